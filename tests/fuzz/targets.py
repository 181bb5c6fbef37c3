"""What is fuzzed: each target takes any bytes, and raises where it finds a fault.

A target takes its choices from the first bytes, so that the rest reads as a capture.
Invariants that all of them check: no exception but the two of the protocol; no answer to who has not logged in; what
is kept is bounded by what the configuration says, never by what a header promises.
"""

import asyncio
import itertools
import logging
import re
from collections.abc import Callable
from functools import cache
from types import SimpleNamespace
from typing import Any, Final

from core.errors import SluiceError
from router.clients.connection import CLOSED, LOGIN, Connection
from router.engine.load_fields import Format
from router.engine.load_lines import LineSplitter
from router.sessions.bound import bound_literal
from router.sql.dialect import Dialect
from router.sql.normalise import normalise
from router.workers.stats import WorkerStats
from wire import commands as c
from wire import statements as s
from wire.binary import decoder
from wire.bulk import parse_bulk
from wire.compression import CompressedStream
from wire.constants import CLIENT_QUERY_ATTRIBUTES, SERVER_CAPABILITIES
from wire.errors import ClientProtocolError, CommandError, ServerProtocolError, WireError
from wire.keys import RsaPrivateKey, generate_rsa_pem
from wire.login import MAX_LOGIN_BYTES
from wire.login_actions import LoginSettings
from wire.packets import PacketReader
from wire.passwords import Account, Decoys, account_from_password
from wire.repeated import RepeatedScanner
from wire.scan import PREPARE, QUERY, ROWS_ONLY, STRING, ResultScanner

MAX_BYTES: Final = 1 << 20


class Fault(AssertionError):
    """What a target found."""


def pieces_of(data: bytes) -> list[bytes]:
    """The input in two to five pieces, as its first byte says: what arrives from a socket may be cut anywhere."""
    if not data:
        return []
    cut = data[0]
    data = data[1:]
    step = max(1, len(data) // (1 + cut % 5)) if cut else max(1, len(data))
    return [data[at : at + step] for at in range(0, len(data), step)]


# ---- a whole connection before its login


@cache
def _key() -> RsaPrivateKey:
    return RsaPrivateKey(generate_rsa_pem())


@cache
def _accounts() -> dict[str, Account]:
    return {"app": account_from_password("a long secret that nobody guesses")}


class Transport:
    """Takes what a connection sends."""

    def __init__(self) -> None:
        self.sent = bytearray()
        self.closed = False

    def write(self, data: bytes) -> None:
        if not self.closed:
            self.sent += data

    def close(self) -> None:
        self.closed = True

    abort = close

    def pause_reading(self) -> None: ...

    def resume_reading(self) -> None: ...


@cache
def _loop() -> asyncio.AbstractEventLoop:
    return asyncio.new_event_loop()


@cache
def _log() -> logging.Logger:
    log = logging.getLogger("fuzz")
    log.disabled = True
    return log


def _worker() -> Any:
    counter = itertools.count(1)
    return SimpleNamespace(
        loop=_loop(),
        log=_log(),
        stats=WorkerStats(),
        accounts=SimpleNamespace(find=_accounts().get),
        login_settings=LoginSettings(
            "9.7.0-Sluice",
            Decoys(b"k", list(_accounts().values())),
            rsa_key=_key,
            random_bytes=lambda size: bytes((next(counter) * 7 + i) & 0xFF for i in range(size)),
        ),
        connections={},
        half_open={},
        active=0,
        take_id=lambda: 7,
        forget=lambda *about: None,
        clock=SimpleNamespace(now_s=lambda: 0.0),
    )


class _Watched(Connection):
    """A connection that says when somebody got in."""

    __slots__ = ()

    def attach(self, fd: int) -> None:
        self.transport = Transport()  # type: ignore[assignment]
        self.write = self.transport.write

    def logged_in(self, *about: Any) -> None:
        raise Fault(f"{about} was let in without a password")


def login(data: bytes) -> None:
    """A connection that was greeted, to a server whose only user has a secret: nobody gets in, whatever is sent;
    what is answered is packets of the login, or an error."""
    connection = _Watched(_worker(), "10.0.0.1")
    connection.take_over(7, -1, bytes(range(1, 21)))
    transport: Any = connection.transport
    for piece in pieces_of(data):
        if connection.state == CLOSED:
            break
        connection.data_received(piece)
        entrance = connection.entrance
        if entrance is not None and entrance._reader.buffered_bytes > MAX_LOGIN_BYTES + len(data):
            raise Fault("more is kept than a login may send")
    if connection.session is not None or connection.state not in (LOGIN, CLOSED):
        raise Fault("a session without a login")
    sent = bytes(transport.sent)
    if len(sent) > 4096:
        raise Fault("a long answer before the login")
    at = 0
    while at < len(sent):
        first = sent[at + 4]
        if first not in (0x01, 0xFE, 0xFF):
            raise Fault(f"an answer that begins with 0x{first:02x} before the login")
        at += 4 + int.from_bytes(sent[at : at + 3], "little")


# ---- parsers


def packets(data: bytes) -> None:
    """PacketReader: any bytes give whole payloads or ClientProtocolError, the same ones however they are cut."""
    found: list[list[tuple[bytes, int]]] = []
    for pieces in ([data[1:]], pieces_of(data)):
        reader = PacketReader(4096, consecutive=bool(data and data[0] & 1))
        got: list[tuple[bytes, int]] = []
        try:
            for piece in pieces:
                reader.buffer(piece)
                while (packet := reader.next()) is not None:
                    got.append(packet)
        except ClientProtocolError:
            got.append((b"refused", -1))
        if reader.buffered_bytes > 4096 + len(data):
            raise Fault("more is kept than allowed")
        found.append(got)
    if found[0] != found[1]:
        raise Fault("packets depend on how they are cut")


def _attributes(block: bytes) -> None:
    """A block of query attributes says itself what it says, with the SQL behind it where it was."""
    if block and c.parse_query(b"\x03" + block + b"SQL", CLIENT_QUERY_ATTRIBUTES) != (block, b"SQL"):
        raise Fault("query attributes read otherwise the second time")


_PARSERS: Final[tuple[Callable[[bytes, int], object], ...]] = (
    lambda payload, caps: c.parse_query(payload, caps),
    lambda payload, caps: _attributes(c.parse_query(payload, caps)[0]),
    lambda payload, caps: c.parse_field_list(payload),
    lambda payload, caps: c.parse_init_db(payload),
    lambda payload, caps: c.parse_process_kill(payload),
    lambda payload, caps: c.parse_set_option(payload),
    lambda payload, caps: s.parse_prepare(payload),
    lambda payload, caps: s.statement_id(payload),
    lambda payload, caps: s.parse_long_data(payload),
    lambda payload, caps: s.parse_fetch(payload),
)


def commands(data: bytes) -> None:
    """Every command's parser: a value or ClientProtocolError."""
    if not data:
        return
    which, payload = data[0], data[1:]
    caps = SERVER_CAPABILITIES if which & 128 else SERVER_CAPABILITIES & ~CLIENT_QUERY_ATTRIBUTES
    try:
        _PARSERS[which % len(_PARSERS)](payload, caps)
    except ClientProtocolError:
        pass


def execute(data: bytes) -> None:
    """COM_STMT_EXECUTE: parsed, built anew and parsed again it has the same values."""
    if len(data) < 2:
        return
    count, caps = data[0] & 31, CLIENT_QUERY_ATTRIBUTES if data[0] & 128 else 0
    types = tuple(data[2:3] * count) if data[0] & 64 else None
    try:
        asked = s.parse_execute(data[1:], count, types, {}, caps)
        values = asked.values()
        again = s.parse_execute(s.rebuild_execute(asked, 1, False), count)
    except ClientProtocolError:
        return
    if repr(again.values()) != repr(values):
        raise Fault("a rebuilt execution has other values")


_ONE_LITERAL: Final = re.compile(rb"SELECT (?:NULL|[-+]?\?|(?:_binary|DATE|TIMESTAMP|TIME) ?\?) FROM t")


def bulk(data: bytes) -> None:
    """COM_STMT_BULK_EXECUTE: rows or an error; written anew they are the same, and each value has a literal or 1367."""
    if len(data) < 2:
        return
    count, choice = data[0] & 15, data[1]
    known = data[1:2] * (2 * count) if choice & 1 else None
    try:
        asked = parse_bulk(data[1:], count, known)
        rows = list(asked.rows())
        again = list(asked.converted(bytes).rows())
    except (ClientProtocolError, CommandError):
        return
    if repr(again) != repr(rows):
        raise Fault("rows written anew are others")
    if len(rows) * count > len(data):
        raise Fault("more values than bytes")
    for row in rows:
        for (_, value), kind in zip(row, asked.types, strict=True):
            for dialect in Dialect:
                try:
                    token = bound_literal(value, kind & 0xFF, dialect)
                except CommandError:
                    continue
                key = normalise(b"SELECT " + token + b" FROM t", dialect).key
                if _ONE_LITERAL.fullmatch(key) is None:
                    raise Fault(f"{token!r} is more than one literal")


def binary(data: bytes) -> None:
    """Values of the binary protocol: a value or one of the errors that its caller turns into 1835."""
    if len(data) < 1:
        return
    from struct import error

    try:
        _, end = decoder(data[0], bool(data[0] & 1))(data, 1)
    except (IndexError, ValueError, error, WireError):
        return
    if end > len(data):
        raise Fault("a value beyond the end")


_COMMANDS: Final = (QUERY, PREPARE, QUERY, ROWS_ONLY, STRING)


def answers(data: bytes) -> None:
    """An answer of MySQL: an end or ServerProtocolError; what goes to the client does not depend on how it is cut."""
    if len(data) < 2:
        return
    flags = data[0]
    outs: list[tuple[bool, bytes | None]] = []
    for pieces in ([data[2:]], pieces_of(data[1:])):
        scanner = ResultScanner(session_track=bool(flags & 1), extended=bool(flags & 128))
        command = _COMMANDS[(flags >> 4) % len(_COMMANDS)]
        form = bool(flags & 64) if flags & 32 else None
        scanner.begin(command, bool(flags & 2), bool(flags & 4), flags & 8, 0, client_extended=form)
        done, out = False, b""
        try:
            for piece in pieces:
                done, part = scanner.feed(piece)
                out += part
        except ServerProtocolError:
            outs.append((False, None))
            continue
        if len(out) > 4 * len(data) + 64:
            raise Fault("more goes out than came in")
        outs.append((done, out if done else None))
    if outs[0] != outs[1]:
        raise Fault(f"an answer depends on how it is cut: {outs}")
    done, expected = outs[0]
    if done and command == QUERY and not flags & 8:
        repeated = RepeatedScanner(session_track=bool(flags & 1), extended=bool(flags & 128))
        for _ in range(3):
            repeated.begin(command, bool(flags & 2), bool(flags & 4), client_extended=form)
            if repeated.feed(data[2:]) != (done, expected):
                raise Fault("an answer that comes again is another")


def compressed(data: bytes) -> None:
    """The compressed protocol: no more than the headers say, or ClientProtocolError."""
    if not data:
        return
    stream = CompressedStream(3 if data[0] & 1 else 0)
    size = 0
    try:
        for piece in pieces_of(data):
            size += len(stream.receive(piece))
    except ClientProtocolError:
        return
    if size > (len(data) // 7 + 1) * 0xFFFFFF:
        raise Fault("more than the headers say")


def lines(data: bytes) -> None:
    """Rows of LOAD DATA: the fast way finds what the exact one does."""
    if len(data) < 3:
        return
    choice, columns = data[0], 1 + data[1] % 4
    quote, escape = (b"", b'"', b'"', b"'")[choice & 3], (b"\\", b"", b'"', b"\\")[choice >> 2 & 3]
    if quote and escape and quote != escape and escape == b'"':
        escape = b"\\"
    format = Format(
        (b",", b"\t", b"||", b"ab")[choice >> 4 & 3], quote, escape, b"x>" if choice & 64 else b"",
        (b"\n", b"\r\n")[choice >> 7],
    )  # fmt: skip
    wanted = tuple(range(columns))[data[2] % (columns + 1) :]
    exact = LineSplitter(format, columns, wanted, data[2] >> 6)
    exact._kept = data[3:]
    cut = LineSplitter(format, columns, wanted, data[2] >> 6)
    try:
        expected = list(exact.end())
        rows = [row for piece in pieces_of(data[2:]) for row in cut.feed(piece)]
        rows += cut.end()
    except SluiceError:
        return
    if rows != expected:
        raise Fault(f"{rows} instead of {expected}")


TARGETS: Final[dict[str, Callable[[bytes], None]]] = {
    one.__name__: one for one in (login, packets, commands, execute, bulk, binary, answers, compressed, lines)
}
