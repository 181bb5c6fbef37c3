"""Idle sessions, put by: a small record instead of a connection, and its descriptor in one epoll set.

A session that is idle and holds nothing (`parkable`) loses its transport, its protocol object and its `Session`; the
first byte of its client, or the hang-up, brings it back as it was (`_wake`). What equal sessions have in common is one
`Profile` of theirs all. The same record, with the descriptor, is what a successor process is given (router.handover).

Invariants:
- A connection id is in `worker.connections` as either a Connection or a Parked, never both and never neither.
- Claims of limits go on while parked. Nothing is ever read from a parked descriptor: its bytes stay in the kernel.
- No parked session costs CPU; of awake ones only those are looked at that may have been idle for `park_after_s`.
"""

import contextlib
import select
import socket
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from router.connection import BUSY, CLOSED, READY, Connection
from router.parked import Parked, Profile, ProfileValues, record_of, revive
from router.wheel import Wheel

if TYPE_CHECKING:
    from router.worker import Worker

PARKS_A_TURN: Final = 100
WAKES_A_TURN: Final = 32
"""Bounds of what one turn of the loop does, so that neither starves running queries."""
LOOK_AGAIN_S: Final = 60.0
"""An idle session that cannot be parked is looked at less and less often, at least so often."""

_HUNG: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_WATCHED: Final = select.EPOLLIN | select.EPOLLRDHUP
_QUIT: Final = b"\x01\0\0\0\x01"


def parkable(connection: Connection) -> bool:
    """Whether nothing but plain values would be lost with this connection's objects."""
    session = connection.session
    return (
        connection.state == READY
        and session is not None
        and connection.is_plain_and_empty()
        and session.tx is None
        and not session.reserved
        and not session.statements
        and session.next_transaction is None
        and session.task is None
        and not session.request
    )


@dataclass(slots=True)
class Counts:
    parked: int = 0
    """Sessions parked now."""
    parks: int = 0
    wakes: int = 0


class Parking:
    """A worker's parked sessions."""

    def __init__(self, worker: "Worker", family: int, after_s: float) -> None:
        """`after_s` 0: nothing is parked by itself."""
        self.worker = worker
        self.counts = Counts()
        self._family = family
        self._after_s = after_s
        self._profiles: WeakValueDictionary[ProfileValues, Profile] = WeakValueDictionary()
        self._records: list[Parked | None] = []
        """By descriptor."""
        self._waking: dict[int, Connection] = {}
        self._epoll = select.epoll()
        self._wheel: Wheel[Connection] = Wheel(max(after_s, 0.4) / 4, worker.perf_counter())
        self._ticking = False
        worker.loop.add_reader(self._epoll.fileno(), self._on_readable)

    # ---- awake sessions that may be idle

    def watch(self, connection: Connection) -> None:
        """This session is awake from now on: it is parked when it has been idle for `park_after_s`."""
        if self._after_s:
            self._wheel.add(connection, self.worker.perf_counter() + self._after_s)
            if not self._ticking:
                self._ticking = True
                self.worker.loop.call_later(self._wheel.step_s, self._tick)

    def _tick(self) -> None:
        self._look([*self._wheel.take_due(self.worker.perf_counter())])

    def _look(self, due: list[Connection]) -> None:
        now_s = self.worker.perf_counter()
        for connection in due[-PARKS_A_TURN:]:
            session = connection.session
            if connection.state == CLOSED or session is None:
                continue
            idle_s = now_s - session.started_s
            if connection.state == BUSY:
                self._wheel.add(connection, now_s + self._after_s)
            elif idle_s < self._after_s:
                self._wheel.add(connection, session.started_s + self._after_s)
            elif not self.park(connection):
                self._wheel.add(connection, now_s + min(max(idle_s, self._after_s), LOOK_AGAIN_S))
        del due[-PARKS_A_TURN:]
        if due:
            self.worker.loop.call_later(0.001, self._look, due)
        elif self._wheel:
            self.worker.loop.call_later(self._wheel.step_s, self._tick)
        else:
            self._ticking = False

    # ---- parking

    def park(self, connection: Connection) -> bool:
        """Puts the session by; False where it cannot be: it goes on as it was."""
        if not parkable(connection):
            return False
        session = connection.session
        assert session is not None
        try:
            fd = connection.duplicate_descriptor()
        except OSError:
            return False
        record = record_of(self, connection, session, fd)
        connection.let_go()
        self.keep(record, fd)
        self.counts.parks += 1
        return True

    def intern(self, values: ProfileValues) -> Profile:
        """The one profile of these values."""
        profile = self._profiles.get(values)
        if profile is None:
            profile = self._profiles[values] = Profile(self, values)
        return profile

    def keep(self, record: Parked, fd: int) -> None:
        """From now on `record` stands for its connection, and `fd` is this object's."""
        records = self._records
        if fd >= len(records):
            records.extend([None] * (fd + 1 - len(records) + 256))
        records[fd] = record
        self.worker.connections[record.id] = record
        self.counts.parked += 1
        self._epoll.register(fd, _WATCHED)

    def take_out(self, record: Parked) -> int:
        """The descriptor, which is the caller's now; -1 where the session is being woken. The record still stands in
        the table of connections."""
        fd = record.fd
        if fd >= len(self._records) or self._records[fd] is not record:
            return -1
        self._records[fd] = None
        self._epoll.unregister(fd)
        self.counts.parked -= 1
        return fd

    def close(self, record: Parked, last_words: bytes = b"") -> None:
        """Disconnects it, after `last_words` as far as the kernel takes them at once."""
        fd = self.take_out(record)
        if fd >= 0:
            sock = socket.socket(self._family, socket.SOCK_STREAM, 0, fd)
            with sock:
                if last_words:
                    _send_now(sock, last_words)
        self._waking.pop(record.id, None)
        self._drop(record)

    def _drop(self, record: Parked) -> None:
        self.worker.connections.pop(record.id, None)
        self.worker.admission.leave(record)

    # ---- waking

    def _on_readable(self) -> None:
        for fd, event in self._epoll.poll(0, WAKES_A_TURN):
            record = self._records[fd]
            if record is None:
                continue
            self.take_out(record)
            sock = socket.socket(self._family, socket.SOCK_STREAM, 0, fd)
            if event & _HUNG and _said_goodbye(sock):
                sock.close()
                self._drop(record)
            else:
                self._wake(record, sock)

    def _wake(self, record: Parked, sock: socket.socket) -> None:
        connection = revive(self.worker, record)
        self._waking[record.id] = connection
        self.counts.wakes += 1
        self.worker.spawn(self._connect(record, connection, sock))

    async def _connect(self, record: Parked, connection: Connection, sock: socket.socket) -> None:
        try:
            await self.worker.loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:
            sock.close()
            if self._waking.pop(record.id, None) is not None:
                self._drop(record)

    def arrived(self, connection: Connection) -> bool:
        """The woken connection has its transport and stands for itself again; False: it was killed meanwhile."""
        if self._waking.pop(connection.id, None) is None:
            return False
        self.worker.connections[connection.id] = connection
        self.watch(connection)
        return True


def _said_goodbye(sock: socket.socket) -> bool:
    """Whether the client has left with nothing but COM_QUIT, if that: there is nobody to wake the session for."""
    try:
        return sock.recv(len(_QUIT) + 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) in (b"", _QUIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _send_now(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
