"""Clients' sockets on a loop that is driven by hand, over real socket pairs."""

import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from router.clients.sockets import FIRST_READ_BYTES, LINGER_S, Sockets, SocketTransport


class HandLoop:
    """Runs what is readable, and what was put off, when told."""

    def __init__(self) -> None:
        self.readers: list[Callable[[], object]] = []
        self.soon: list[tuple[Callable[..., object], tuple[Any, ...]]] = []
        self.later: list[tuple[float, Callable[..., object]]] = []

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None:
        del fd, args
        self.readers.append(callback)

    def call_soon(self, callback: Callable[..., object], *args: Any) -> None:
        self.soon.append((callback, args))

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> None:
        assert not args
        self.later.append((delay, callback))

    def turn(self) -> None:
        for callback in self.readers:
            callback()
        soon, self.soon = self.soon, []
        for callback, args in soon:
            callback(*args)


class Client:
    """A protocol that notes what it is told, and the far end of its socket."""

    def __init__(self, sockets: Sockets) -> None:
        near, self.far = socket.socketpair()
        self.far.setblocking(False)
        fd = near.detach()
        os.set_blocking(fd, False)
        self.events: list[str] = []
        self.got = b""
        self.fail = False
        sockets.add(fd, self)
        self.transport = SocketTransport(sockets, fd, self)

    def ready(self, event: int) -> None:
        raise AssertionError("the transport owns the descriptor")

    def data_received(self, data: bytes) -> None:
        if self.fail:
            raise RuntimeError("no")
        self.got += data

    def connection_lost(self, error: Exception | None) -> None:
        self.events.append("lost")

    def pause_writing(self) -> None:
        self.events.append("pause")

    def resume_writing(self) -> None:
        self.events.append("resume")

    def abort(self, reason: str) -> None:
        self.events.append(reason)


@pytest.fixture
def loop() -> HandLoop:
    return HandLoop()


@pytest.fixture
def sockets(loop: HandLoop) -> Sockets:
    return Sockets(loop)


@pytest.fixture
def client(sockets: Sockets) -> Iterator[Client]:
    made = Client(sockets)
    yield made
    made.far.close()
    made.transport.abort()


def test_what_comes_is_handed_on_whatever_its_size(loop: HandLoop, client: Client) -> None:
    sent = b""
    for size in (1, FIRST_READ_BYTES - 1, FIRST_READ_BYTES, FIRST_READ_BYTES + 1, 10_000):
        sent += client.far.send(bytes([size & 0xFF]) * size) * bytes([size & 0xFF])
        loop.turn()
        assert client.got == sent
    client.far.close()
    loop.turn()
    assert client.events == ["lost"]
    assert client.transport.fd == -1


def test_what_the_client_does_not_take_waits_in_order(loop: HandLoop, client: Client) -> None:
    piece = bytes(range(256)) * 4096
    client.transport.write(piece)
    client.transport.write(b"the end")
    assert client.events == ["pause"]
    assert not client.transport.idle
    got = b""
    for _ in range(200):
        try:
            got += client.far.recv(1 << 20)
        except BlockingIOError:
            loop.turn()
    assert got == piece + b"the end"
    assert client.events == ["pause", "resume"]
    assert client.transport.idle


def test_a_closed_client_that_never_reads_is_let_go(loop: HandLoop, client: Client) -> None:
    client.transport.write(bytes(4 << 20))
    client.transport.close()
    fd = client.transport.fd
    assert fd >= 0
    ((delay_s, release),) = loop.later
    assert delay_s == LINGER_S
    release()
    assert client.transport.fd == -1
    with pytest.raises(OSError, match="Bad file descriptor"):
        os.fstat(fd)
    assert client.events == ["pause"]


def test_close_comes_after_what_was_written(loop: HandLoop, client: Client) -> None:
    piece = b"x" * 1_000_000
    client.transport.write(piece)
    client.transport.close()
    client.transport.write(b"never")
    got = b""
    while True:
        try:
            part = client.far.recv(1 << 20)
        except BlockingIOError:
            loop.turn()
            continue
        if not part:
            break
        got += part
    assert got == piece
    assert "lost" not in client.events


def test_a_write_to_a_client_that_left_is_told_later(loop: HandLoop, client: Client) -> None:
    client.far.close()
    client.transport.write(b"a")
    client.transport.write(b"b")
    assert client.events == []
    loop.turn()
    assert client.events == ["lost"]


def test_nothing_is_read_while_paused(loop: HandLoop, client: Client) -> None:
    client.transport.pause_reading()
    client.far.send(b"ahead")
    loop.turn()
    assert client.got == b""
    client.transport.resume_reading()
    loop.turn()
    assert client.got == b"ahead"
    client.transport.pause_reading()
    client.far.close()
    loop.turn()
    assert client.events == ["lost"]


def test_one_that_fails_is_disconnected_and_harms_no_other(
    loop: HandLoop, sockets: Sockets, client: Client
) -> None:
    client.fail = True
    other = Client(sockets)
    client.far.send(b"a")
    other.far.send(b"b")
    loop.turn()
    assert client.events == ["internal error"]
    assert client.transport.fd == -1
    assert other.got == b"b"
    other.far.close()
    loop.turn()


def test_a_descriptor_goes_from_owner_to_owner(loop: HandLoop, sockets: Sockets, client: Client) -> None:
    fd = client.transport.detach()
    assert client.transport.fd == -1
    again = SocketTransport(sockets, fd, client)
    client.far.send(b"x")
    loop.turn()
    assert client.got == b"x"
    assert sockets.owner(fd) is again
    again.abort()
    assert sockets.owner(fd) is None
