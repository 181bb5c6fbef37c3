import itertools
from functools import cache

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.login_client import CAPS, Client, login_payload
from tests.wire.strategies import fast
from wire.constants import (
    CACHING_SHA2_PASSWORD,
    CLIENT_CONNECT_ATTRS,
    CLIENT_DEPRECATE_EOF,
    CLIENT_PLUGIN_AUTH,
    CLIENT_PROTOCOL_41,
    CLIENT_SSL,
    NATIVE_PASSWORD,
)
from wire.errors import ClientProtocolError
from wire.keys import RsaPrivateKey, generate_rsa_pem
from wire.login import TRANSITIONS, Login, State
from wire.login_actions import Authenticated, LoginSettings, Refused, Send, UpgradeTls
from wire.passwords import (
    Account,
    Decoys,
    account_from_hash,
    account_from_password,
    caching_sha2_hash,
    native_hash,
)
from wire.scramble import native_scramble

SALT = bytes(range(1, 21))


@cache
def rsa_key() -> RsaPrivateKey:
    return RsaPrivateKey(generate_rsa_pem())


def accounts() -> dict[str, Account]:
    return {
        "plain": account_from_password("secret"),
        "native": account_from_hash(native_hash("secret")),
        "crypt": account_from_hash(caching_sha2_hash("secret", SALT)),
        "empty": account_from_password(""),
    }


def settings(**changes: object) -> LoginSettings:
    counter = itertools.count(1)

    def random_bytes(size: int) -> bytes:
        return bytes((next(counter) * 7 + i) & 0xFF for i in range(size))

    decoys = changes.pop("decoys", None) or Decoys(b"k", [account_from_password("x")])
    return LoginSettings(
        "8.4.0-Sluice",
        decoys,  # type: ignore[arg-type]
        rsa_key=rsa_key,
        random_bytes=random_bytes,
        **changes,  # type: ignore[arg-type]
    )


def login(secure: bool = False, **changes: object) -> Login:
    known = accounts()
    return Login(settings(**changes), known.get, "10.0.0.1", 7, secure)


@pytest.mark.parametrize("channel", ["open", "socket", "tls"])
@pytest.mark.parametrize("plugin", [NATIVE_PASSWORD, CACHING_SHA2_PASSWORD, "client_ed25519"])
@pytest.mark.parametrize("default", [NATIVE_PASSWORD, CACHING_SHA2_PASSWORD])
@pytest.mark.parametrize("user", ["plain", "native", "crypt", "empty"])
def test_the_right_password_lets_in_and_no_other(user: str, default: str, plugin: str, channel: str) -> None:
    for password in (b"secret", b"Secret", b"", b"secret\0", b"x" * 200):
        client = Client(
            login(channel == "socket", default_plugin=default, tls=channel == "tls"),
            user,
            password,
            plugin,
            tls=channel == "tls",
        )
        verdict = client.run()
        right = password == (b"" if user == "empty" else b"secret")
        if right:
            assert isinstance(verdict, Authenticated)
            assert (verdict.user, verdict.database, verdict.charset) == (user, "shop", 255)
            assert verdict.attributes == b"\x03_os\x01x"
            assert not verdict.caps & CLIENT_DEPRECATE_EOF
            assert verdict.max_packet_bytes == 1 << 24
        else:
            assert isinstance(verdict, Refused)
            assert (verdict.number, verdict.sqlstate) == (1045, "28000")
            using = "YES" if password else "NO"
            assert verdict.text == f"Access denied for user '{user}'@'10.0.0.1' (using password: {using})"
        with pytest.raises(ClientProtocolError):
            client.login.receive(b"\x03select 1", 0)


def test_the_plugin_that_is_used() -> None:
    seen = {}
    for user, plugin in itertools.product(accounts(), (NATIVE_PASSWORD, CACHING_SHA2_PASSWORD)):
        client = Client(login(), user, b"secret", plugin)
        client.run()
        seen[user, plugin] = (client.plugin, [payload[:2] for payload in client.seen])
    assert seen["plain", NATIVE_PASSWORD] == (NATIVE_PASSWORD, [])
    assert seen["plain", CACHING_SHA2_PASSWORD] == (CACHING_SHA2_PASSWORD, [b"\x01\x03"])
    assert seen["native", CACHING_SHA2_PASSWORD] == (NATIVE_PASSWORD, [b"\xfem"])
    # full authentication: the public key is sent, the password comes encrypted
    assert seen["crypt", NATIVE_PASSWORD] == (CACHING_SHA2_PASSWORD, [b"\xfec", b"\x01\x04", b"\x01-"])


def test_the_second_login_is_fast() -> None:
    known = accounts()
    for fast_, lengths in ((False, [2, 452]), (True, [2])):
        client = Client(Login(settings(), known.get, "h"), "crypt", b"secret")
        assert isinstance(client.run(), Authenticated)
        assert [len(payload) for payload in client.seen] == lengths
        assert (client.seen[0] == b"\x01\x03") == fast_


@pytest.mark.parametrize("user", ["plain", "native", "crypt"])
@pytest.mark.parametrize("plugin", [NATIVE_PASSWORD, CACHING_SHA2_PASSWORD])
@pytest.mark.parametrize("password", [b"wrong", b""])
@pytest.mark.parametrize("secure", [False, True])
def test_an_unknown_user_sees_what_a_wrong_password_sees(
    user: str, plugin: str, password: bytes, secure: bool
) -> None:
    known = {user: accounts()[user]}
    shown = []
    for name in (user, "U" * len(user)):
        decoys = Decoys(b"k", list(known.values()))
        client = Client(Login(settings(decoys=decoys), known.get, "h", 7, secure), name, password, plugin)
        verdict = client.run()
        assert isinstance(verdict, Refused)
        shown.append([payload.replace(b"'%s'" % name.encode(), b"?") for payload in client.seen])
    assert shown[0] == shown[1]


def test_tls_can_be_required() -> None:
    refused = Client(login(tls=True, require_tls=True), "plain", b"secret").run()
    assert isinstance(refused, Refused)
    assert refused.number == 3159
    assert isinstance(
        Client(login(tls=True, require_tls=True), "plain", b"secret", tls=True).run(), Authenticated
    )
    assert isinstance(Client(login(True, require_tls=True), "plain", b"secret").run(), Authenticated)


def test_tls_is_refused_where_not_offered_and_bytes_in_the_clear_while_it_is_due() -> None:
    request = (CAPS | CLIENT_SSL).to_bytes(4, "little") + bytes(28)
    one = login()
    one.start()
    (refused,) = one.receive(request, 1)
    assert isinstance(refused, Refused)
    assert refused.number == 1043
    two = login(tls=True)
    two.start()
    assert two.receive(request, 1) == [UpgradeTls()]
    (refused,) = two.receive(login_payload("empty", b"", NATIVE_PASSWORD), 2)
    assert isinstance(refused, Refused)
    three = login(tls=True)
    three.start()
    (refused,) = three.receive(login_payload("empty", b"", NATIVE_PASSWORD, CAPS | CLIENT_SSL), 1)
    assert isinstance(refused, Refused)


def test_a_password_in_the_clear_is_not_taken_over_an_open_channel() -> None:
    one = login()
    one.start()
    actions = one.receive(login_payload("crypt", b"x" * 32, CACHING_SHA2_PASSWORD), 1)
    assert actions == [Send(b"\x02\0\0\x02\x01\x04")]
    (refused,) = one.receive(b"secret\0", 3)
    assert isinstance(refused, Refused)
    assert refused.number == 1045


def test_old_clients() -> None:
    for payload in (b"\x00\x00\x00\x00\x00user\0pw", b"\x85\x24\x00\x00\x00root\0"):
        one = login()
        one.start()
        (refused,) = one.receive(payload, 1)
        assert isinstance(refused, Refused)
        assert (refused.number, refused.sqlstate) == (1251, "08004")
    # 4.1 without plugins: native or nothing
    caps = CAPS & ~CLIENT_PLUGIN_AUTH
    assert isinstance(Client(login(), "native", b"secret", NATIVE_PASSWORD, caps=caps).run(), Authenticated)
    refused = Client(login(), "crypt", b"secret", NATIVE_PASSWORD, caps=caps).run()
    assert isinstance(refused, Refused)
    assert refused.number == 1251


def test_sequence_ids_and_finality() -> None:
    one = login()
    one.start()
    (refused,) = one.receive(login_payload("empty", b"", NATIVE_PASSWORD), 2)
    assert isinstance(refused, Refused)
    assert refused.number == 1156
    for _ in range(3):
        with pytest.raises(ClientProtocolError):
            one.receive(login_payload("empty", b"", NATIVE_PASSWORD), 1)
    two = login()
    two.start()
    assert two.refuse(1040, "08004", "Too many connections").data[3] == 1
    with pytest.raises(RuntimeError):
        two.start()


def test_nothing_before_the_greeting() -> None:
    (refused,) = login().receive(login_payload("empty", b"", NATIVE_PASSWORD), 0)
    assert isinstance(refused, Refused)


def test_change_user() -> None:
    for user, password, right in (
        ("plain", b"secret", True),
        ("plain", b"no", False),
        ("nobody", b"x", False),
    ):
        client = Client(login(), user, password)
        verdict = client.change_user(CAPS & ~CLIENT_CONNECT_ATTRS)
        assert isinstance(verdict, Authenticated) == right
        assert client.seen[0][0] == 0xFE
        assert client.seen[0].endswith(bytes(range(1, 21)) + b"\0")  # libmariadb goes by the nonce it knows
        if isinstance(verdict, Authenticated):
            assert (verdict.database, verdict.charset) == ("db", 255)


def test_change_user_of_a_client_that_knows_no_plugins() -> None:
    nonce, caps = bytes(range(1, 21)), CAPS & ~CLIENT_CONNECT_ATTRS & ~CLIENT_PLUGIN_AUTH
    for user, password, right in (
        ("native", b"secret", True),
        ("native", b"no", False),
        ("native", b"", False),
        ("empty", b"", True),
        ("nobody", b"x", False),
        ("crypt", b"secret", False),
    ):
        proof = native_scramble(password, nonce) if password else b""
        payload = b"\x11%s\0%c%sdb\0\xff\0" % (user.encode(), len(proof), proof)
        verdict = login().change_user(payload, 0, caps, nonce)[-1]
        assert isinstance(verdict, Authenticated) == right, (user, password)


def test_a_missing_nul_behind_the_plugin_is_forgiven() -> None:
    one = login()
    one.start()
    payload = login_payload("empty", b"", NATIVE_PASSWORD, CAPS & ~CLIENT_CONNECT_ATTRS)[:-1]
    assert isinstance(one.receive(payload, 1)[0], Authenticated)


def test_the_table_lets_only_proofs_lead_to_done() -> None:
    assert {state for state, after in TRANSITIONS.items() if State.DONE in after} == {
        State.REQUEST,
        State.TLS_REQUEST,
        State.SWITCHED,
        State.FULL,
        State.ENCRYPTED,
    }
    assert all(TRANSITIONS[state] == frozenset() for state in (State.DONE, State.FAILED))


def follow(one: Login, payloads: list[bytes]) -> list[object]:
    """Feeds payloads with right sequence ids until a verdict; nothing but typed actions may come of it."""
    one.start()
    sequence = 1
    seen: list[object] = []
    for payload in payloads:
        for action in one.receive(payload, sequence & 0xFF):
            seen.append(action)
            if isinstance(action, (Refused, Authenticated)):
                return seen
            if isinstance(action, UpgradeTls):
                one.tls_started()
            else:
                sequence += 1
        sequence += 1
    return seen


def start_like(user: str) -> st.SearchStrategy[bytes]:
    """Logins that are right but for bytes changed at random."""
    whole = login_payload(user, b"x" * 20, NATIVE_PASSWORD)

    def change(places: list[tuple[int, int]]) -> bytes:
        data = bytearray(whole)
        for at, byte in places:
            data[at % len(data)] = byte
        return bytes(data)

    return st.lists(st.tuples(st.integers(0, 200), st.integers(0, 255)), max_size=6).map(change)


noise = st.one_of(
    st.binary(max_size=80),
    start_like("plain"),
    start_like("native"),
    st.binary(max_size=60).map(lambda tail: CLIENT_PROTOCOL_41.to_bytes(4, "little") + bytes(28) + tail),
    st.binary(min_size=20, max_size=32),
    st.just((CAPS | CLIENT_SSL).to_bytes(4, "little") + bytes(28)),
    st.just(b"\x02"),
    st.binary(min_size=256, max_size=256),
)


@fast
@given(st.lists(noise, max_size=6), st.booleans(), st.booleans())
def test_noise_is_never_let_in(payloads: list[bytes], secure: bool, tls: bool) -> None:
    known = {"plain": account_from_password("secret"), "native": account_from_hash(native_hash("secret"))}
    one = Login(settings(tls=tls), known.get, "h", 1, secure)
    assert not any(isinstance(action, Authenticated) for action in follow(one, payloads))


def test_a_proof_for_one_nonce_is_none_for_another() -> None:
    first, second = login(), login()
    second.settings.random_bytes(20)
    Client(first, "plain", b"secret")
    first.start()
    second.start()
    proof = native_scramble(b"secret", first._nonce)
    payload = login_payload("plain", proof, NATIVE_PASSWORD)
    assert isinstance(second.receive(payload, 1)[0], Refused)
    assert isinstance(first.receive(payload, 1)[0], Authenticated)


@pytest.mark.parametrize("secure", [True, False])
def test_an_account_that_wants_tls_is_denied_in_the_open(secure: bool) -> None:
    account = account_from_password("secret")
    account.require_tls = True
    one = Login(settings(), {"plain": account}.get, "10.0.0.1", 7, secure)
    client = Client(one, "plain", b"secret", NATIVE_PASSWORD)
    verdict = client.run()
    if secure:
        assert isinstance(verdict, Authenticated)
    else:
        assert isinstance(verdict, Refused)
        assert (verdict.number, verdict.text) == (
            1045,
            "Access denied for user 'plain'@'10.0.0.1' (using password: YES)",
        )
