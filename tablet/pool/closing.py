"""Closes connections and keeps their places in the cap until the server has let go of them.

A place is free again only when MySQL's process list no longer has the thread (a killed or rolling-back thread
outlives its socket), and `SETTLE_S` later, since Threads_connected is counted down after the thread has left the
list: measured, under 1 ms on an idle MySQL 9.7 and MariaDB 10.11. With MySQL down, places are kept until it is back;
a new incarnation of the server has none of the old threads.

    connection                          what is done
    idle, no transaction                COM_QUIT, wait for EOF, look at the process list
    running a statement                 KILL by the admin lane, then the same
    silent after COM_QUIT               KILL after QUIT_TIMEOUT_S, the socket aborted after ABORT_TIMEOUT_S
    lost, or login broken off           look at the process list; with no thread id known wait connect_timeout
    login without an answer             the same, from the moment when MySQL answers the admin lane again
    still there LINGER_S after that     KILL: MySQL may never hear that its client is gone (a silent network), and
                                        what its transaction has locked stays locked until it does
"""

import asyncio
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from core.clock import Clock
from tablet.backend.admin import AdminLane
from tablet.backend.connection import CONNECT_TIMEOUT_S, Connection
from tablet.backend.server import Answer

SETTLE_S: Final = 0.005
FIRST_LOOK_S: Final = 0.002
LOOK_EVERY_S: Final = 0.05
QUIT_TIMEOUT_S: Final = 2.0
ABORT_TIMEOUT_S: Final = 6.0
LINGER_S: Final = 1.0

Released = Callable[[], None]


@dataclass(slots=True)
class _Leaving:
    """A thread whose socket is gone."""

    then: Released
    since_s: float
    killed: bool = False


class Closer:
    """Counts the places that closing connections still take: `pending`."""

    def __init__(self, loop: asyncio.AbstractEventLoop, clock: Clock, admin: AdminLane) -> None:
        self._loop = loop
        self._clock = clock
        self._admin = admin
        self._open: dict[Connection, float] = {}  # told to close, not yet lost: since when
        self._looking: dict[tuple[int, int], _Leaving] = {}  # by thread id and incarnation
        self._look_due = False
        self._killed: set[Connection] = set()
        self.pending = 0

    def close(self, connection: Connection) -> None:
        """Ends `connection`; its owner's `on_lost` must call `lost`."""
        if connection.is_lost or connection in self._open:
            return
        connection.closing = True
        self._open[connection] = self._clock.now_s()
        if connection.task is None:
            connection.quit()
        else:
            self._kill(connection)

    def lost(self, connection: Connection, then: Released) -> None:
        """The socket of `connection` is gone: `then` is called when the server has let go of its thread."""
        self._open.pop(connection, None)
        self._killed.discard(connection)
        self.watch(connection.thread_id, connection.incarnation, then)

    def watch(
        self, thread_id: int | None, incarnation: int, then: Released, *, lingers: bool = False
    ) -> None:
        """Calls `then` when MySQL has no thread `thread_id` (None: after its connect_timeout, which begins when it
        answers again where it `lingers`)."""
        self.pending += 1
        if thread_id is None and lingers:
            self._await_word(incarnation, then)
            return
        if thread_id is None:
            self._loop.call_later(CONNECT_TIMEOUT_S if self._admin.up else SETTLE_S, self._release, then)
            return
        self._looking[(thread_id, incarnation)] = _Leaving(then, self._clock.now_s())
        self._schedule(FIRST_LOOK_S)

    def _await_word(self, incarnation: int, then: Released) -> None:
        if incarnation < self._admin.incarnation:
            self._release(then)
        elif self._admin.up:
            self._loop.call_later(CONNECT_TIMEOUT_S, self._release, then)
        else:
            self._loop.call_later(LOOK_EVERY_S, self._await_word, incarnation, then)

    @property
    def is_closing(self) -> bool:
        """Whether `sweep` may have to move one on."""
        return bool(self._open)

    def sweep(self, now_s: float) -> None:
        """Moves on those that do not go by themselves."""
        for connection, since_s in list(self._open.items()):
            if now_s - since_s > ABORT_TIMEOUT_S:
                connection.abort()
            elif now_s - since_s > QUIT_TIMEOUT_S:
                self._kill(connection)

    def _kill(self, connection: Connection) -> None:
        if connection in self._killed:
            return
        self._killed.add(connection)
        if not self._admin.up:
            connection.abort()
            return
        # A lost admin lane is no reason to wait: the process list decides later.
        self._admin.run(
            f"KILL {connection.thread_id}", lambda answer: connection.abort() if answer.lost else None
        )

    def _schedule(self, delay_s: float) -> None:
        if not self._look_due and self._looking:
            self._look_due = True
            self._loop.call_later(delay_s, self._look)

    def _look(self) -> None:
        self._look_due = False
        if not self._looking:
            return
        if not self._admin.up:
            self._schedule(LOOK_EVERY_S)
            return
        for key, leaving in list(self._looking.items()):
            if key[1] < self._admin.incarnation:
                del self._looking[key]
                self._release(leaving.then)
        asked = list(self._looking)
        if not asked:
            return
        numbers = ",".join(str(thread_id) for thread_id, _ in asked)

        def answered(answer: Answer) -> None:
            if not answer.lost and answer.error is None:
                there = {int(row[0] or 0) for row in answer.rows}
                for key in asked:
                    if key not in self._looking:
                        continue
                    if key[0] not in there:
                        self._loop.call_later(SETTLE_S, self._release, self._looking.pop(key).then)
                    elif key[1] == self._admin.incarnation:
                        self._kill_lingering(key[0], self._looking[key])
            self._schedule(LOOK_EVERY_S)

        self._admin.run(f"SELECT ID FROM information_schema.PROCESSLIST WHERE ID IN ({numbers})", answered)

    def _kill_lingering(self, thread_id: int, leaving: _Leaving) -> None:
        if not leaving.killed and self._clock.now_s() - leaving.since_s >= LINGER_S:
            leaving.killed = True
            self._admin.run(f"KILL {thread_id}", lambda answer: setattr(leaving, "killed", not answer.lost))

    def _release(self, then: Released) -> None:
        self.pending -= 1
        then()
