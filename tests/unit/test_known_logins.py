"""The short way in: it says yes to nothing that the long way would refuse."""

import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from cli.bench.protocol import Login as Client
from core.config import User
from core.errors import fail
from router.clients.arrival import Arrival
from router.clients.known_logins import MAX_KNOWN, KnownLogins
from router.clients.parked import Profile, ProfileValues
from router.sessions.accounts import Accounts
from router.sql.dialect import Dialect
from wire.constants import CACHING_SHA2_PASSWORD, CLIENT_COMPRESS, NATIVE_PASSWORD, SERVER_CAPABILITIES
from wire.greetings import Greetings
from wire.login_actions import LoginSettings
from wire.packets import frame

CAPS = SERVER_CAPABILITIES | CLIENT_COMPRESS


class Shelf(KnownLogins):
    """Without sessions: what a session would begin with is not this test's matter."""

    begins = True

    def _begin(self, request: Any, caps: int) -> tuple[Profile, int] | None:
        values = ProfileValues(
            request.user, caps, request.charset, request.database or "", "", "", True, 0, False,
            Dialect.DEFAULT.value, None, (), "", (), request.attributes,
        )  # fmt: skip
        return (Profile(cast("Any", None), values), 7) if self.begins else None


class Full(SimpleNamespace):
    """A worker that admits nobody more."""

    admission = stats = sockets = property(lambda self: self)
    logins_refused = 0

    def perf_counter(self) -> float:
        return 0.0

    def admit(self, *_: object) -> None:
        raise fail("TOO_MANY_CONNECTIONS", used=1, limit=1)

    def note_error(self, *_: object) -> None:
        pass

    def owner(self, fd: int) -> None:
        pass


class World:
    def __init__(self, *, plugin: str = CACHING_SHA2_PASSWORD, require_tls: bool = False) -> None:
        self.accounts = Accounts(
            [User("app", "secret", None, "shop"), User("empty", "", None, "shop")], b"decoys"
        )
        self.login_settings = LoginSettings(
            "9.7.0-Sluice", self.accounts.decoys, default_plugin=plugin, require_tls=require_tls, tls=True
        )
        self.greetings = Greetings(self.login_settings)
        self.known = Shelf(cast("Any", self))

    def packet(
        self, user: str = "app", password: str = "secret", nonce: bytes | None = None
    ) -> tuple[bytes, bytes]:
        """A client's login packet, and the nonce it was greeted with."""
        nonce = nonce or self.greetings.nonce()
        reply = Client(user, password, "shop").receive(self.greetings.packet(7, nonce)[4:])
        assert reply is not None
        return frame(reply, 1), nonce


@pytest.fixture(params=[CACHING_SHA2_PASSWORD, NATIVE_PASSWORD])
def world(request: pytest.FixtureRequest) -> World:
    return World(plugin=request.param)


def test_a_right_proof_is_known_again(world: World) -> None:
    first = world.known.proved(*world.packet())
    second = world.known.proved(*world.packet())
    assert first is not None
    assert second is first
    assert first.user == "app"


def test_the_proof_counts_each_time(world: World) -> None:
    data, nonce = world.packet()
    assert world.known.proved(data, nonce) is not None
    for wrong in (
        world.packet(password="sekret"),
        world.packet(user="nobody"),
        world.packet(user="empty", password=""),
        (data, world.greetings.nonce()),  # a replay
        (data[:-1], nonce),
        (data + b"\0", nonce),
        (data[:3] + b"\2" + data[4:], nonce),
        (b"", nonce),
        (data[:40], nonce),
        (data.replace(b"app\0", b"App\0"), nonce),
    ):
        assert world.known.proved(*wrong) is None


def test_every_changed_bit_of_the_proof_is_refused(world: World) -> None:
    data, nonce = world.packet()
    assert world.known.proved(data, nonce) is not None
    at = data.index(b"app\0") + 5
    for byte in range(20):
        for bit in range(8):
            bad = bytearray(data)
            bad[at + byte] ^= 1 << bit
            assert world.known.proved(bytes(bad), nonce) is None


def test_an_account_that_changed_or_went_is_not_known(world: World) -> None:
    data, nonce = world.packet()
    assert world.known.proved(data, nonce) is not None
    world.accounts = Accounts([User("app", "other", None, "shop")], b"decoys")
    assert world.known.proved(data, nonce) is None
    world.accounts = Accounts([], b"decoys")
    assert world.known.proved(data, nonce) is None


def test_an_account_that_requires_tls_is_not_known(world: World) -> None:
    data, nonce = world.packet()
    assert world.known.proved(data, nonce) is not None
    account = world.accounts.find("app")
    assert account is not None
    account.require_tls = True
    assert world.known.proved(data, nonce) is None


def test_where_tls_is_required_nobody_is_known() -> None:
    world = World(require_tls=True)
    assert world.known.proved(*world.packet()) is None


def test_compression_goes_the_long_way(world: World) -> None:
    data, nonce = world.packet()
    caps = int.from_bytes(data[4:8], "little") | CLIENT_COMPRESS
    assert world.known.proved(data[:4] + caps.to_bytes(4, "little") + data[8:], nonce) is None


def test_a_session_that_would_not_begin_is_not_known(world: World) -> None:
    world.known.begins = False
    assert world.known.proved(*world.packet()) is None


def test_what_is_known_is_bounded(world: World) -> None:
    for number in range(MAX_KNOWN + 10):
        data, nonce = world.packet()
        data = data[:8] + number.to_bytes(4, "little") + data[12:]  # the client's max_allowed_packet
        assert world.known.proved(data, nonce) is not None
    assert len(world.known._known) <= MAX_KNOWN
    world.known.forget()
    assert not world.known._known


def test_a_refusal_comes_next_to_the_login(world: World) -> None:
    known = world.known.proved(*world.packet())
    assert known is not None
    ours, theirs = socket.socketpair()
    with ours, theirs:
        arrival = Arrival.__new__(Arrival)
        arrival.fd, arrival.id, arrival.host, arrival.nonce = ours.fileno(), 1, "", b""
        arrival.worker = cast("Any", Full(connections={}))
        arrival._logged_in(known)
        told = theirs.recv(1000)
    assert told[3:5] == b"\2\xff"


def test_greetings_are_those_of_a_login() -> None:
    from wire.login import Login

    drawn = bytes(range(40, 60))
    settings = LoginSettings(
        "10.11-Sluice",
        SimpleNamespace(),
        tls=True,
        random_bytes=lambda size: (drawn * (size // 20 + 1))[:size],
    )  # type: ignore[arg-type]
    greetings = Greetings(settings)
    login = Login(settings, {}.get, "h", connection_id=0x12345678)
    assert greetings.packet(0x12345678, greetings.nonce()) == login.start()
