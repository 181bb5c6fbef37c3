"""How a tablet's statements share answers: the consolidator's verdicts carried out.

Invariants
- A statement that has joined another is in `joined` until it has its answer, runs by itself, or fails.
- Whoever takes its part slowly holds neither a connection nor the others: it is in `slow`, with the time when it last
  took some, until it has all, or has taken nothing for `stall_s`.
"""

from typing import Any, Final

from core.config import Tablet as TabletConfig
from core.errors import SluiceError, fail
from core.rpc.messages import (
    F_CONSOLIDATE,
    F_DEPRECATE_EOF,
    F_EXTENDED,
    F_FOUND_ROWS,
    F_MORE_RESULTS,
    F_NO_AUTOCOMMIT,
    F_PREPARED,
    F_WARNINGS,
)
from tablet.epochs import Epochs
from tablet.statements.consolidator import Consolidator, Flight
from tablet.statements.request import ATTRIBUTES, DONE, JOINED, NEW, Request
from tablet.statements.statement import Statement
from tablet.stats import Stats

_FLAVOUR: Final = (
    F_PREPARED | F_DEPRECATE_EOF | F_NO_AUTOCOMMIT | F_MORE_RESULTS | F_FOUND_ROWS
    | F_WARNINGS | F_EXTENDED
)  # fmt: skip
"""What of the flags decides the bytes of an answer, and whether its warnings are asked for."""
_HOPELESS: Final = frozenset({"too_large", "slow_client"})
"""Reasons to stop sharing that hold for the next leader too: its joiners would only wait one after the other."""
_STALL_S: Final = 60.0
"""A client that takes nothing of its answer for so long gives up its connection, or its part of an answer that is all
here (no less than the query timeout)."""


class Sharing:
    """The part of `Execution` that knows of flights."""

    def __init__(self, config: TabletConfig, stats: Stats) -> None:
        self.stats = stats
        self.epochs = Epochs()
        self.consolidator = Consolidator(self.epochs, enabled=config.consolidator == "on")
        self.joined: dict[Any, None] = {}
        self.slow: dict[Any, float] = {}
        self.stall_s = max(_STALL_S, config.query_timeout_s)

    def _start(self, statement: Statement) -> None:
        raise NotImplementedError

    def _joins(self, statement: Statement) -> bool:
        """Whether the statement now waits for another's answer."""
        flags = statement.flags
        params: Any = statement.params if flags & F_PREPARED else None
        if flags & ATTRIBUTES:
            params = (params, statement.attributes)
        key = (statement.sql, statement.profile, statement.user, flags & _FLAVOUR, params)
        reason = self.consolidator.join(key, statement)
        if not reason:
            statement.state = JOINED
            self.joined[statement] = None
            return True
        if reason != "first":
            self.stats.not_consolidated[reason] += 1
        return False

    def land(self, flight: Flight, last: bytes, info: int, status: int) -> None:
        """The leader has its whole answer: its joiners get it too."""
        joiners = self.consolidator.end(flight)
        if not joiners:
            return
        self.stats.consolidated += len(joiners)
        chunks = [*(flight.chunks or ()), last]
        for joiner in joiners:
            joiner.deliver(chunks, info, status, flight.warnings)

    def unshare(self, flight: Flight, reason: str) -> None:
        """The leader goes on alone; its joiners run on their own."""
        joiners = self.consolidator.end(flight)
        flight.chunks = None
        if joiners:
            self.stats.not_consolidated[reason] += len(joiners)
        alone = reason in _HOPELESS
        for joiner in joiners:
            if alone:
                joiner.flags &= ~F_CONSOLIDATE
            self._rerun(joiner)

    def fly_without(self, statement: Request) -> None:
        """`statement` failed by itself: as a joiner it leaves, as the leader it leaves the others to themselves."""
        flight = statement.flight
        assert flight is not None
        if flight.leader is statement:
            self.unshare(flight, "leader_failed")
        else:
            self.consolidator.leave(flight, statement)

    def sweep_slow(self, now_s: float) -> None:
        """Ends those that take nothing of what they share."""
        for statement, since_s in list(self.slow.items()):
            if now_s - since_s >= self.stall_s:
                self.stats.timeouts += 1
                setting = "what a client may take to read on"
                statement.fail(fail("TIMED_OUT", limit_s=f"{self.stall_s:g}", setting=setting))

    def _rerun(self, statement: Statement) -> None:
        self.joined.pop(statement, None)
        if statement.state == DONE:
            return
        statement.state = NEW
        try:
            self._start(statement)
        except SluiceError as error:
            statement.fail(error)
