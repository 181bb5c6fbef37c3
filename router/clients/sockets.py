"""The clients' sockets of a worker: one epoll set, which the loop watches, and a transport as small as it can be.

Whoever stands for a client (a login, a connection, a parked record) owns its descriptor and is called with `ready`.
Going from one to the next costs an assignment: the descriptor stays in the set, no object of the loop is made.
uvloop's own transports need 1.1 KB a client and 64 us to be made of a descriptor; this one 100 bytes and 1 us.

Invariants:
- A descriptor in the set has exactly one owner; every descriptor in it is non-blocking, so an owner may be called
  once too often (for the descriptor's earlier owner). In a storm of logins a newcomer's is not in it yet.
- Nothing is called back from within `write`, `close` or `abort`.
- One turn of the loop looks at EVENTS_A_TURN clients at most; the kernel gives the others their turn next.
"""

import logging
import os
import select
from collections.abc import Callable
from typing import Any, Final, Protocol

EVENTS_A_TURN: Final = 64
FIRST_READ_BYTES: Final = 476
"""Most commands are smaller, and a buffer of that size comes from Python's own allocator: 1 us less than 32 KiB."""
READ_BYTES: Final = 64 * 1024
HIGH_BYTES: Final = 64 * 1024
"""With more than that waiting to be sent, the protocol is told to pause."""
LOW_BYTES: Final = 16 * 1024
_SEND_BYTES: Final = 256 * 1024
LINGER_S: Final = 30.0
"""So long a closed connection's last bytes wait for a client that does not read."""

_IN: Final = select.EPOLLIN | select.EPOLLRDHUP
_OUT: Final = select.EPOLLOUT
_GONE: Final = select.EPOLLHUP | select.EPOLLERR

log = logging.getLogger("router.sockets")


def read(fd: int) -> bytes:
    """What a client has sent; empty at its end. Raises OSError, BlockingIOError where there is nothing."""
    data = os.read(fd, FIRST_READ_BYTES)
    return data + more_of(fd) if len(data) == FIRST_READ_BYTES else data


def more_of(fd: int) -> bytes:
    """The rest of what a client has sent; the end of it is seen at the next read. Raises OSError."""
    try:
        return os.read(fd, READ_BYTES)
    except BlockingIOError:
        return b""


def to_nobody(data: bytes) -> None:
    """Where a closed connection's answers go."""


class Owner(Protocol):
    """Whoever stands for a client."""

    def ready(self, event: int) -> None:
        """There is something to read, or the client is gone."""
        ...

    def abort(self, reason: str) -> None:
        """`ready` has raised: ends the connection."""
        ...


class Loop(Protocol):
    """The part of an asyncio loop that this needs."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> Any: ...
    def call_soon(self, callback: Callable[..., object], *args: Any) -> Any: ...
    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Any: ...


class Sockets:
    """See the module."""

    __slots__ = ("_epoll", "_owners", "call_later", "call_soon", "on_turn")

    def __init__(self, loop: Loop) -> None:
        self._epoll = select.epoll()
        self._owners: list[Owner | None] = []
        """By descriptor: descriptors are small numbers, and a list costs 8 bytes each."""
        self.call_soon = loop.call_soon
        self.call_later = loop.call_later
        self.on_turn: Callable[[], object] | None = None
        """Called when a client says something."""
        loop.add_reader(self._epoll.fileno(), self._turn)

    def add(self, fd: int, owner: Owner) -> None:
        """`fd` is non-blocking; it is `owner`'s from now on."""
        self.note(fd, owner)
        self._epoll.register(fd, _IN)

    def note(self, fd: int, owner: Owner) -> None:
        """As `add`, but not in the set yet (`register`): somebody else looks at it (`router.clients.newcomers`)."""
        owners = self._owners
        if fd >= len(owners):
            owners.extend([None] * (fd + 257 - len(owners)))
        owners[fd] = owner

    def register(self, fd: int) -> None:
        """Into the set, for the owner it has."""
        self._epoll.register(fd, _IN)

    def give(self, fd: int, owner: Owner) -> None:
        """It is `owner`'s from now on; it must be watched for reading, as `add` has it."""
        self._owners[fd] = owner

    def owner(self, fd: int) -> Owner | None:
        return self._owners[fd] if 0 <= fd < len(self._owners) else None

    def watch(self, fd: int, *, reading: bool, writing: bool) -> None:
        self._epoll.modify(fd, (_IN if reading else 0) | (_OUT if writing else 0))

    def take(self, fd: int) -> None:
        """Out of the set; still open, and the caller's."""
        self._owners[fd] = None
        self._epoll.unregister(fd)

    def close(self, fd: int) -> None:
        """Closed, and thereby out of the kernel's set: no process has a copy of a descriptor that is in it."""
        self._owners[fd] = None
        os.close(fd)

    def _turn(self) -> None:
        if self.on_turn is not None:
            self.on_turn()
        owners = self._owners
        for fd, event in self._epoll.poll(0, EVENTS_A_TURN):
            owner = owners[fd]
            if owner is not None:
                try:
                    owner.ready(event)
                except Exception:
                    log.exception("a client's data could not be handled; it is disconnected")
                    owner.abort("internal error")


class Reader(Protocol):
    """What a transport calls; it is what asyncio calls a protocol."""

    def data_received(self, data: bytes) -> None: ...

    def connection_lost(self, error: Exception | None) -> None:
        """The client or the network ended it. Not called after `close` or `abort` of this side."""
        ...

    def pause_writing(self) -> None: ...

    def resume_writing(self) -> None: ...

    def abort(self, reason: str) -> None: ...


class SocketTransport:
    """A client's socket: what is written goes out at once, or waits until the client takes it."""

    __slots__ = ("_closing", "_out", "_paused", "_protocol", "_reading", "_sockets", "fd")

    def __init__(self, sockets: Sockets, fd: int, protocol: Reader) -> None:
        """`fd` is in the set already, and this object's from now on."""
        self._sockets = sockets
        self._protocol = protocol
        self._out: bytearray | None = None
        self._reading = True
        self._paused = False
        self._closing = False
        self.fd = fd
        """-1: closed, or given to another."""
        sockets.give(fd, self)

    @property
    def idle(self) -> bool:
        """Whether it is open and holds nothing: then its descriptor may be given to another."""
        return self._out is None and self._reading and not self._closing and self.fd >= 0

    # ---- in

    def ready(self, event: int) -> None:
        if event & _OUT:
            self._flush()
            if self.fd < 0:
                return
            event &= ~_OUT
        if not event:
            return
        if not self._reading or self._closing:
            if event & _GONE:
                self._lost(None)
            return
        try:
            data = os.read(self.fd, FIRST_READ_BYTES)
            if len(data) == FIRST_READ_BYTES:
                data += more_of(self.fd)
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        if data:
            self._protocol.data_received(data)
        else:
            self._lost(None)

    def pause_reading(self) -> None:
        self._reading = False
        self._watch()

    def resume_reading(self) -> None:
        self._reading = True
        self._watch()

    # ---- out

    def write(self, data: bytes | bytearray) -> None:
        """Sends it, or keeps what the kernel does not take. Ignored once closing."""
        if self._closing:
            return
        if self._out is None:
            try:
                sent = os.write(self.fd, data)
            except BlockingIOError:
                sent = 0
            except OSError as error:
                self._closing = True
                self._sockets.call_soon(self._lost, error)
                return
            if sent == len(data):
                return
            self._out = bytearray(memoryview(data)[sent:])
            self._watch()
        else:
            self._out += data
        if len(self._out) > HIGH_BYTES and not self._paused:
            self._paused = True
            self._protocol.pause_writing()

    def _flush(self) -> None:
        out = self._out
        if out is None or self.fd < 0:
            return
        try:
            sent = os.write(self.fd, memoryview(out)[:_SEND_BYTES])
        except BlockingIOError:
            return
        except OSError as error:
            self._lost(error)
            return
        del out[:sent]
        if not out:
            self._out = None
            if self._closing:
                self._release()
                return
            self._watch()
        if self._paused and len(out) <= LOW_BYTES:
            self._paused = False
            self._protocol.resume_writing()

    def _watch(self) -> None:
        if self.fd >= 0:
            self._sockets.watch(
                self.fd, reading=self._reading and not self._closing, writing=self._out is not None
            )

    # ---- the end

    def _lost(self, error: Exception | None) -> None:
        if self.fd >= 0:
            self._release()
            self._protocol.connection_lost(error)

    def _release(self) -> None:
        fd, self.fd = self.fd, -1
        self._closing = True
        self._out = None
        if fd >= 0:
            self._sockets.close(fd)

    def close(self) -> None:
        """Closes when what was written has gone out, or after LINGER_S."""
        if not self._closing:
            self._closing = True
            if self._out is None:
                self._release()
            else:
                self._watch()
                self._sockets.call_later(LINGER_S, self._release)

    def abort(self, reason: str = "") -> None:
        """Closes at once. With a reason: called by `Sockets`, for the protocol to end."""
        if reason:
            self._protocol.abort(reason)
        self._release()

    def detach(self) -> int:
        """The descriptor, whose owner the caller names (`Sockets.give`); only while `idle`."""
        fd, self.fd = self.fd, -1
        self._closing = True
        return fd
