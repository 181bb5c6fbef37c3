"""Idle sessions, put by: a small record instead of a connection; the descriptor stays in the worker's set of sockets.

A session that is idle and holds nothing (`parkable`) loses its transport, its connection and its `Session`; the first
byte of its client brings it back as it was (`on_ready`). What equal sessions have in common is one
`Profile` of theirs all. The same record, with the descriptor, is what a successor process is given
(router.workers.handover).

Invariants:
- A connection id is in `worker.connections` as either a Connection or a Parked, never both and never neither.
- Claims of limits go on while parked. What is read from a parked descriptor is handled in the same call.
- No parked session costs CPU; of awake ones only those are looked at that may have been idle for `park_after_s`.
"""

import contextlib
import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final
from weakref import WeakValueDictionary

from router.clients.connection import BUSY, CLOSED, Connection
from router.clients.parked import Parked, Profile, ProfileValues, record_of, revive
from router.clients.sockets import read
from router.clients.wheel import Wheel

if TYPE_CHECKING:
    from router.workers.worker import Worker

PARKS_A_TURN: Final = 100
"""Parked in one turn of the loop, so that running queries are not held up."""
LOOK_AGAIN_S: Final = 60.0
"""An idle session that cannot be parked is looked at less and less often, at least so often."""

_QUIT: Final = b"\x01\0\0\0\x01"


def parkable(connection: Connection) -> bool:
    """Whether nothing but plain values would be lost with this connection's objects."""
    session = connection.session
    return (
        connection.idle
        and session is not None
        and connection.is_plain_and_empty()
        and (not session.statements or all(one.settled for one in session.statements.values()))
        and session.next_transaction is None
        and (session.tracker is None or session.tracker.at_rest)
    )


@dataclass(slots=True)
class Counts:
    parked: int = 0
    """Sessions parked now."""
    parks: int = 0
    wakes: int = 0


class Parking:
    """A worker's parked sessions."""

    def __init__(self, worker: "Worker", after_s: float) -> None:
        """`after_s` 0: nothing is parked by itself."""
        self.worker = worker
        self.counts = Counts()
        self._after_s = after_s
        self._profiles: WeakValueDictionary[ProfileValues, Profile] = WeakValueDictionary()
        self._wheel: Wheel[Connection] = Wheel(max(after_s, 0.4) / 4, worker.perf_counter())
        self._ticking = False

    # ---- awake sessions that may be idle

    @property
    def looks_on(self) -> bool:
        """Whether awake sessions are waited for."""
        return self._ticking

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
        fd = connection.let_go()
        record = record_of(self, connection, session, fd)
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
        """From now on `record` stands for its connection, and owns `fd`, which is in the set of sockets."""
        self.worker.sockets.give(fd, record)
        self.worker.connections[record.id] = record
        self.counts.parked += 1
        if record.session.variables is not None:
            self.worker.inactivity.watch(record.id)

    def take_out(self, record: Parked) -> int:
        """The descriptor, which is the caller's now, and watched no more; -1 where the session has woken. The record
        still stands in the table of connections."""
        fd = record.fd
        if self.worker.sockets.owner(fd) is not record:
            return -1
        self.worker.sockets.take(fd)
        self.counts.parked -= 1
        return fd

    def put_back(self, record: Parked, fd: int) -> None:
        """Of `take_out`, or of another process: it is watched again."""
        self.worker.sockets.add(fd, record)
        self.keep(record, fd)

    def close(self, record: Parked, last_words: bytes = b"") -> None:
        """Disconnects it, after `last_words` as far as the kernel takes them at once."""
        fd = record.fd
        if self.worker.sockets.owner(fd) is record:
            if last_words:
                with contextlib.suppress(OSError):
                    os.write(fd, last_words)
            self.worker.sockets.close(fd)
            self.counts.parked -= 1
        self.worker.connections.pop(record.id, None)
        self.worker.inactivity.forget(record.id)
        self.worker.admission.leave(record)

    # ---- waking

    def on_ready(self, record: Parked) -> None:
        """The client says something, or leaves. One that leaves with COM_QUIT, or without a word, is not woken."""
        try:
            data = read(record.fd)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        self.on_data(record, data)

    def on_data(self, record: Parked, data: bytes, flags: int = 0) -> None:
        """What the client of a session that is parked has sent, all of it so far; empty: it is gone. `flags` go along
        with what it asks now, and with nothing later."""
        if not data or data == _QUIT:
            self.close(record)
            return
        self.counts.parked -= 1
        self.counts.wakes += 1
        connection = revive(self.worker, record)
        connection.attach(record.fd)
        self.watch(connection)
        session = connection.session
        if flags and session is not None:
            session.flags |= flags
            connection.data_received(data)
            session.flags &= ~flags
        else:
            connection.data_received(data)
