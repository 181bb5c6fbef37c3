"""The rounds of a storm of logins, driven by hand over real socket pairs."""

import os
import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from router.clients.newcomers import NEWCOMERS_A_TURN, TRIES, Newcomers
from router.clients.parked import Parked
from router.clients.sockets import Sockets


class Timer:
    def __init__(self, callback: Callable[[], object]) -> None:
        self.callback: Callable[[], object] | None = callback

    def cancel(self) -> None:
        self.callback = None


class World:
    """A worker, its listener and its loop, as much of them as the rounds see."""

    def __init__(self) -> None:
        self.loop = self
        self.timers: list[tuple[float, Timer]] = []
        self.reader: Callable[[], object] = lambda: None
        self.sockets = Sockets(self)
        self.clients: list[Client] = []
        self.stats = SimpleNamespace(connections_total=0)
        self.storm = SimpleNamespace(round_s=0.05, look=lambda accepted: self.stormy)
        self.log = SimpleNamespace(exception=lambda text: self.events.append(text))
        self.stormy = True
        self.backlog = 0
        self.events: list[str] = []
        self.rounds = Newcomers(cast("Any", self), cast("Any", self))

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        self.reader = callback

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        raise AssertionError

    def call_later(self, delay_s: float, callback: Callable[[], object]) -> Timer:
        timer = Timer(callback)
        self.timers.append((delay_s, timer))
        return timer

    def stir(self) -> None:
        self.events.append("stir")

    def open(self) -> None:
        self.events.append("open")

    def accept_some(self) -> bool:
        self.events.append("accept")
        self.backlog -= 1
        return self.backlog > 0

    def turn(self) -> float:
        """What was due is done; how long it was put off."""
        (delay_s, timer) = self.timers.pop(0)
        if timer.callback is not None:
            timer.callback()
        return delay_s


class Client:
    """Stands for a login, with the far end of its socket."""

    def __init__(self, world: World, *, parked: bool = False) -> None:
        near, self.far = socket.socketpair()
        self.fd = near.detach()
        os.set_blocking(self.fd, False)
        self.got: list[bytes] = []
        self.rounds: Newcomers | None = world.rounds
        self.fail = False
        profile = SimpleNamespace(
            parking=SimpleNamespace(on_data=lambda _, data, flags=0: self.received(data))
        )
        self.owner: Any = Parked(1, "h", cast("Any", profile), None, b"", None) if parked else self
        world.sockets.note(self.fd, self.owner)
        world.rounds.join(self.fd, self.owner)
        world.clients.append(self)

    def received(self, data: bytes) -> None:
        if self.fail:
            raise RuntimeError("no")
        self.got.append(data)

    def ready(self, event: int) -> None:
        self.received(b"woken: " + os.read(self.fd, 100))

    def abort(self, reason: str) -> None:
        self.got.append(reason.encode())


@pytest.fixture
def world() -> Iterator[World]:
    made = World()
    made.rounds.begin()
    yield made
    for client in made.clients:
        client.far.close()
        if made.sockets.owner(client.fd) is client.owner:
            made.sockets.close(client.fd)


def test_a_newcomer_is_looked_at_in_the_next_round_and_wakes_nobody(world: World) -> None:
    client = Client(world)
    client.far.send(b"hello")
    world.reader()
    assert client.got == []
    assert world.turn() == world.storm.round_s
    assert client.got == [b"hello"]
    assert world.events == ["stir", "accept"]
    assert len(world.timers) == 1
    world.turn()
    assert client.got == [b"hello"]  # it says itself whether it is looked at again


def test_a_silent_one_goes_into_the_set(world: World) -> None:
    client = Client(world)
    for _ in range(TRIES + 1):
        assert client.rounds is world.rounds
        world.turn()
    assert client.rounds is None
    client.far.send(b"late")
    world.turn()
    assert client.got == []
    world.reader()
    assert client.got == [b"woken: late"]


def test_the_first_statement_puts_a_session_into_the_set(world: World) -> None:
    client = Client(world, parked=True)
    client.far.send(b"select")
    world.turn()
    assert client.got == [b"select"]
    with pytest.raises(FileExistsError):
        world.sockets.register(client.fd)


def test_one_that_left_is_told_of(world: World) -> None:
    client = Client(world)
    client.far.close()
    world.turn()
    assert client.got == [b""]


def test_one_that_was_closed_is_not_looked_at(world: World) -> None:
    client = Client(world)
    world.sockets.close(client.fd)
    other = Client(world)  # of the same number, it may be
    other.far.send(b"mine")
    world.turn()
    assert client.got == []
    assert other.got == [b"mine"]


def test_many_are_looked_at_in_several_turns_the_oldest_first(world: World) -> None:
    clients = [Client(world) for _ in range(2 * NEWCOMERS_A_TURN + 1)]
    for client in clients:
        client.far.send(b"x")
    for turn, seen in enumerate((NEWCOMERS_A_TURN, 2 * NEWCOMERS_A_TURN, len(clients))):
        assert world.turn() == (0 if turn else world.storm.round_s)
        assert [bool(client.got) for client in clients] == [n < seen for n in range(len(clients))]
    assert world.turn() == world.storm.round_s


def test_accepting_ends_a_round_and_goes_on_in_turns(world: World) -> None:
    world.backlog = 3
    world.turn()
    assert world.turn() == 0
    assert world.turn() == 0
    assert world.events == ["stir", "accept", "accept", "accept"]
    assert world.turn() == world.storm.round_s


def test_after_the_storm_all_go_into_the_set(world: World) -> None:
    client = Client(world)
    world.stormy = False
    world.turn()
    assert not world.rounds.on
    assert world.events[-1] == "open"
    client.far.send(b"hello")
    world.reader()
    assert client.got == [b"woken: hello"]
    assert client.rounds is None
    world.rounds.end()
    assert not world.timers


def test_one_that_fails_harms_no_other(world: World) -> None:
    one, other = Client(world), Client(world)
    one.fail = True
    one.far.send(b"a")
    other.far.send(b"b")
    world.turn()
    assert one.got == [b"internal error"]
    assert other.got == [b"b"]
