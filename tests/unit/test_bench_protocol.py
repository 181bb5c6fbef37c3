"""The bench's client: its login against the server's side in wire, and answers however they are cut into chunks."""

import itertools
from functools import cache

import pytest

from cli.bench import protocol
from cli.bench.protocol import Answer, AnswerReader, ServerRefused
from wire.answers import eof_packet, err_packet, ok_packet
from wire.errors import WireError
from wire.keys import RsaPrivateKey, generate_rsa_pem
from wire.login import Login
from wire.login_actions import Authenticated, LoginSettings, Refused, Send
from wire.packets import PacketReader, frame
from wire.passwords import (
    Account,
    Decoys,
    account_from_hash,
    account_from_password,
    caching_sha2_hash,
    native_hash,
)
from wire.statements import parse_execute


@cache
def rsa_key() -> RsaPrivateKey:
    return RsaPrivateKey(generate_rsa_pem())


def log_in(account: Account, password: str) -> "tuple[protocol.Login, list[object]]":
    """Both sides, until one of them is through."""
    counter = itertools.count(1)
    settings = LoginSettings(
        "9.7.0-Sluice",
        Decoys(b"k", [account]),
        rsa_key=rsa_key,
        random_bytes=lambda size: bytes((next(counter) * 7 + i) & 0xFF for i in range(size)),
    )
    server = Login(settings, {"app": account}.get, "10.0.0.1", 7, secure=False)
    client = protocol.Login("app", password, "shop")
    reader = PacketReader(consecutive=True)
    to_client: list[bytes] = [server.start()]
    ends: list[object] = []
    while to_client and not ends:
        for payload, sequence in reader.feed(to_client.pop(0)):
            answer = client.receive(payload)
            if answer is None:
                continue
            reader.expected = (sequence + 2) & 0xFF
            for action in server.receive(answer, sequence + 1):
                if isinstance(action, Send):
                    to_client.append(action.data)
                else:
                    ends.append(action)
    return client, ends


@pytest.mark.parametrize(
    "account",
    [
        account_from_password("secret"),
        account_from_hash(native_hash("secret")),
        account_from_hash(caching_sha2_hash("secret", bytes(range(1, 21)))),
    ],
    ids=["sha2 cached", "native", "sha2 by RSA"],
)
def test_logs_in_by_every_plugin(account: Account) -> None:
    client, ends = log_in(account, "secret")
    assert isinstance(ends[0], Authenticated)
    assert ends[0].database == "shop"
    assert client.server_version == "9.7.0-Sluice"
    assert client.deprecate_eof


def test_an_empty_password() -> None:
    _, ends = log_in(account_from_password(""), "")
    assert isinstance(ends[0], Authenticated)


def test_a_wrong_password_is_refused() -> None:
    _, ends = log_in(account_from_password("secret"), "wrong")
    assert isinstance(ends[0], Refused)


def test_the_server_says_no_at_once() -> None:
    client = protocol.Login("app", "", "")
    with pytest.raises(ServerRefused, match="1040: Too many"):
        client.receive(err_packet(0, 1040, "08004", "Too many connections")[4:])


def answer_bytes(rows: list[bytes], *, deprecate_eof: bool, end: bytes | None = None) -> bytes:
    """A result of one column; `end` in place of the end of its rows."""
    payloads = [b"\x01", b"\x03def" + b"\0" * 20]
    if not deprecate_eof:
        payloads.append(b"\xfe\0\0\x02\0")
    payloads += rows
    payloads.append(end or (b"\xfe\0\0\x02\0\0\0" if deprecate_eof else b"\xfe\0\0\x02\0"))
    return b"".join(frame(payload, i + 1) for i, payload in enumerate(payloads))


def read(data: bytes, chunk: int, *, deprecate_eof: bool = True, **options: bool) -> Answer:
    reader = AnswerReader(deprecate_eof=deprecate_eof, **options)
    found = None
    for at in range(0, len(data), chunk):
        assert found is None, "it was given out before it was whole"
        found = reader.feed(data[at : at + chunk])
    assert found is not None
    return found


@pytest.mark.parametrize("chunk", [1, 3, 1000])
@pytest.mark.parametrize("deprecate_eof", [True, False])
def test_rows(chunk: int, deprecate_eof: bool) -> None:
    text = answer_bytes([b"\x03abc", b"\xfb", b"\0"], deprecate_eof=deprecate_eof)
    assert read(text, chunk, deprecate_eof=deprecate_eof).rows == (b"abc", None, b"")
    binary = answer_bytes([b"\0\0\x03abc", b"\0\x04"], deprecate_eof=deprecate_eof)
    assert read(binary, chunk, deprecate_eof=deprecate_eof, binary=True).rows == (b"abc", None)


@pytest.mark.parametrize("chunk", [1, 1000])
def test_other_answers(chunk: int) -> None:
    assert read(ok_packet(1, status=2), chunk) == Answer()
    refused = read(err_packet(1, 1213, "40001", "Deadlock"), chunk).error
    assert refused is not None
    assert (refused.number, refused.text) == (1213, "Deadlock")
    broken = answer_bytes([b"\x03abc"], deprecate_eof=True, end=err_packet(1, 1317, "70100", "killed")[4:])
    error = read(broken, chunk).error
    assert error is not None
    assert error.number == 1317


@pytest.mark.parametrize("deprecate_eof", [True, False])
def test_prepared(deprecate_eof: bool) -> None:
    payloads = [b"\0\x05\0\0\0\x01\0\x02\0\0\0\0", b"p1", b"p2", b"c1"]
    if not deprecate_eof:
        payloads = [*payloads[:3], eof_packet(0, 2)[4:], payloads[3], eof_packet(0, 2)[4:]]
    data = b"".join(frame(payload, i + 1) for i, payload in enumerate(payloads))
    assert read(data, 1, deprecate_eof=deprecate_eof, preparing=True).statement_id == 5
    bare = frame(b"\0\x06\0\0\0\0\0\0\0\0\0\0", 1)
    assert read(bare, 1, deprecate_eof=deprecate_eof, preparing=True).statement_id == 6


def test_packets_out_of_order() -> None:
    with pytest.raises(WireError):
        AnswerReader(deprecate_eof=True).feed(frame(b"\x01", 2))


def test_execute_is_what_a_server_reads() -> None:
    first = parse_execute(protocol.execute(3, (5, 1 << 40), first=True)[4:], 2)
    assert (first.statement_id, first.values()) == (3, [5, 1 << 40])
    again = parse_execute(protocol.execute(3, (6, 7), first=False)[4:], 2, first.types)
    assert again.values() == [6, 7]
