"""What a tablet that was killed has left on MySQL: it takes its places in the cap until it ends.

A server notices that a client is gone when it has an answer for it, and a host that is gone not at all: statements run
on, and transactions keep their locks. So the process list is asked once, after this tablet has the lock of its MySQL
(`backend/ownership.py`) and before it serves.

    thread                                               is
    named by the last tablet in etcd (`threads.py`)      surely a tablet's, and no other tablet may have any: killed
    of the same account, host and database, running      taken for such, but perhaps an operator's: left alone
    the same, idle                                       of a tablet that was killed just now, and about to go; one
                                                         that is there after GRACE_S is somebody else's

All count until they have ended. While there are any, no reads are consolidated: a write may be among them.
"""

import asyncio
import logging
from collections.abc import Callable, Sequence
from typing import Final

from tablet.backend.admin import AdminLane
from tablet.backend.server import Answer
from tablet.epochs import Epochs
from tablet.pool.closing import SETTLE_S
from tablet.pool.pool import Pool

LOOK_EVERY_S: Final = 0.1
GRACE_S: Final = 2.0
_HOST: Final = "SUBSTRING_INDEX({0}.HOST, ':', 1)"
_FIND_SQL: Final = (
    "SELECT p.ID, p.COMMAND = 'Sleep' FROM information_schema.PROCESSLIST p JOIN information_schema.PROCESSLIST me"
    " ON p.USER = me.USER AND p.ID <> me.ID AND (p.ID IN ({0}) OR p.DB <=> me.DB"
    f" AND {_HOST.format('p')} = {_HOST.format('me')})"
    " WHERE me.ID = CONNECTION_ID()"
)
_LEFT_SQL: Final = (
    "SELECT ID FROM information_schema.PROCESSLIST WHERE ID IN ({0}) AND (ID IN ({1}) OR COMMAND <> 'Sleep')"
)

log = logging.getLogger("sluice.tablet")


class Leftover:
    """`find` once, after the first login of the admin lane."""

    def __init__(self, loop: asyncio.AbstractEventLoop, admin: AdminLane, pool: Pool, epochs: Epochs) -> None:
        self._loop = loop
        self._admin = admin
        self._pool = pool
        self._epochs = epochs
        self._left: set[int] = set()
        self._killed: set[int] = set()
        self._idle: set[int] = set()

    def find(self, named: Sequence[int], then: Callable[[], None]) -> None:
        """Takes places for what is found and kills what is `named`, then calls `then`; not where the admin lane is
        lost meanwhile: then it is called again, and what it has found before counts once."""

        def answered(answer: Answer) -> None:
            if answer.lost:
                return
            found = {int(row[0] or 0) for row in answer.rows}
            fresh, looks = found - self._left, bool(self._left)
            self._left |= found
            self._killed = found.intersection(named)
            self._idle = {int(row[0] or 0) for row in answer.rows if row[1] == b"1"} - self._killed
            if fresh:
                log.warning(
                    "%d statements of an earlier tablet are still running; %d threads, surely its own, are killed",
                    len(self._left) - len(self._idle),
                    len(self._killed),
                )
                self._loop.call_later(GRACE_S, self._idle.clear)
                self._pool.take_places(len(fresh))
                for thread in self._killed:
                    self._admin.run(f"KILL {thread}", _ignore)
                if not looks:
                    self._epochs.start(None)
                    self._loop.call_later(LOOK_EVERY_S, self._look)
            then()

        self._admin.run(_FIND_SQL.format(_list(named)), answered)

    def _look(self) -> None:
        def answered(answer: Answer) -> None:
            if not answer.lost and answer.error is None:
                left = self._left & {int(row[0] or 0) for row in answer.rows}
                ended, self._left = len(self._left) - len(left), left
                self._loop.call_later(SETTLE_S, self._pool.give_places, ended)
            if self._left:
                self._loop.call_later(LOOK_EVERY_S, self._look)
            else:
                self._epochs.finish(None)

        self._admin.run(_LEFT_SQL.format(_list(self._left), _list(self._killed | self._idle)), answered)


def _list(threads: "Sequence[int] | set[int]") -> str:
    return ",".join(map(str, sorted(threads))) or "0"


def _ignore(answer: Answer) -> None:
    """It was gone already, or the next look shows it."""
    del answer
