"""Which tables are written now and which were written since: what makes consolidated reads linearizable.

A read may share the answer of an execution only if no write to its tables was in flight at any moment since that
execution began: neither finished since (its effect may be missing in the answer) nor running now (its effect may
already be visible to others). Writes whose tables are not known count for all tables. A write of a transaction is
in flight while a statement runs that may commit it.

Invariant: a write's token is finished only when MySQL is known to be done with it, also after a lost connection.
"""

from collections.abc import Sequence
from typing import Final

MAX_TABLES: Final = 10_000
"""Distinct tables remembered; beyond that all epochs are folded into one."""

Token = tuple[str, ...] | None
"""The tables of one write; None is not known."""


class Epochs:
    """Counts of finished writes by table, and of those in flight."""

    __slots__ = ("_finished", "_finished_all", "_running", "_running_all", "clock")

    def __init__(self) -> None:
        self.clock = 0
        self._finished: dict[str, int] = {}
        self._finished_all = 0
        self._running: dict[str, int] = {}
        self._running_all = 0

    def start(self, tables: Sequence[str] | None) -> Token:
        """A write to `tables` (None: not known) begins; give the token to `finish`."""
        if tables is None:
            self._running_all += 1
            return None
        running = self._running
        for table in tables:
            running[table] = running.get(table, 0) + 1
        return tuple(tables)

    def finish(self, token: Token) -> None:
        """That write is over, whatever its outcome."""
        self.clock += 1
        if token is None:
            self._running_all -= 1
            self._finished_all = self.clock
            return
        for table in token:
            left = self._running[table] - 1
            if left:
                self._running[table] = left
            else:
                del self._running[table]
            self._finished[table] = self.clock
        if len(self._finished) > MAX_TABLES:
            self._finished.clear()
            self._finished_all = self.clock

    def quiet_since(self, tables: Sequence[str], clock: int) -> bool:
        """Whether none of `tables` is being written, nor was a write to them finished after `clock`."""
        if self._running_all or self._finished_all > clock:
            return False
        running, finished = self._running, self._finished
        return not any(table in running or finished.get(table, 0) > clock for table in tables)
