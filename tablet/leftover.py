"""What a tablet that was killed has left running on MySQL: it takes its places in the cap until it ends.

A server notices that a client is gone when it has an answer for it, not before: statements of a tablet that was killed
run on. Nobody else knows of them, so the process list is asked once, before this tablet serves: threads of the same
account, host and database that run something are taken for such. They are not killed, for an operator's own may be
among them; that one counts until it has ended. While there are any, no reads are consolidated: a write may be among
them.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from tablet.admin import AdminLane, Answer
from tablet.closing import SETTLE_S
from tablet.epochs import Epochs
from tablet.pool import Pool

LOOK_EVERY_S: Final = 0.1
_HOST: Final = "SUBSTRING_INDEX({0}.HOST, ':', 1)"
_FIND_SQL: Final = (
    "SELECT p.ID FROM information_schema.PROCESSLIST p JOIN information_schema.PROCESSLIST me"
    " ON p.USER = me.USER AND p.DB <=> me.DB AND p.ID <> me.ID"
    f" AND {_HOST.format('p')} = {_HOST.format('me')}"
    " WHERE me.ID = CONNECTION_ID() AND p.COMMAND <> 'Sleep'"
)
_LEFT_SQL: Final = "SELECT ID FROM information_schema.PROCESSLIST WHERE COMMAND <> 'Sleep' AND ID IN ({0})"

log = logging.getLogger("sluice.tablet")


class Leftover:
    """`find` once, after the first login of the admin lane."""

    def __init__(self, loop: asyncio.AbstractEventLoop, admin: AdminLane, pool: Pool, epochs: Epochs) -> None:
        self._loop = loop
        self._admin = admin
        self._pool = pool
        self._epochs = epochs
        self._left: set[bytes] = set()

    def find(self, then: Callable[[], None]) -> None:
        """Takes places for what is found, then calls `then`; not where the admin lane is lost meanwhile."""

        def answered(answer: Answer) -> None:
            if answer.lost:
                return
            self._left = {row[0] or b"" for row in answer.rows}
            if self._left:
                log.warning("%d statements of an earlier tablet are still running", len(self._left))
                self._pool.take_places(len(self._left))
                self._epochs.start(None)
                self._loop.call_later(LOOK_EVERY_S, self._look)
            then()

        self._admin.run(_FIND_SQL, answered)

    def _look(self) -> None:
        def answered(answer: Answer) -> None:
            if not answer.lost and answer.error is None:
                left = self._left & {row[0] or b"" for row in answer.rows}
                ended, self._left = len(self._left) - len(left), left
                self._loop.call_later(SETTLE_S, self._pool.give_places, ended)
            if self._left:
                self._loop.call_later(LOOK_EVERY_S, self._look)
            else:
                self._epochs.finish(None)

        self._admin.run(_LEFT_SQL.format(b",".join(self._left).decode()), answered)
