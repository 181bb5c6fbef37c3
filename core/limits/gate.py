"""The gate of one worker: a login or a statement passes, waits, or is refused with the reason.

Invariants
- What passed holds one claim of each of its rules until `leave`; what was refused or waits holds none.
- Who waits stands in the line of the one rule that was full, so a statement never holds one limit while it waits for
  another. Lines are first in, first out in a worker; between workers of a router there is no order.
- A newcomer never overtakes the line of its own worker.
- Every waiter is answered exactly once: by its turn, by its deadline, or it leaves by itself.

Room that another worker gives back is noticed by `tick`: call it every TICK_S while `waiting` is not zero.
"""

from collections.abc import Callable
from typing import Final

from core.clock import Clock
from core.errors import SluiceError, fail
from core.limits.counters import SharedCounters
from core.limits.table import CONNECTIONS, LimitTable, Rule, Rules
from core.limits.waiting import WaitingLine

TICK_S: Final = 0.005
_UNBOUNDED: Final = 2**31  # the queue's counter bounds the line, over all workers

Answer = Callable[[SluiceError | None], None]
"""Told once: None, and the statement holds its claims; or why it was refused."""


class Waiter:
    """A statement in line; `Gate.forget` takes it out."""

    __slots__ = ("answer", "line_rule", "queue_slot", "rules", "since_s")

    def __init__(self, rules: Rules, line_rule: Rule, answer: Answer, since_s: float) -> None:
        self.rules = rules
        self.line_rule = line_rule
        self.queue_slot = line_rule.queue_slot
        self.answer = answer
        self.since_s = since_s


class Gate:
    """`worker`: this worker's column of `counters`."""

    def __init__(self, counters: SharedCounters, worker: int, clock: Clock) -> None:
        self._counters = counters
        self._worker = worker
        self._clock = clock
        self._lines: dict[int, WaitingLine[Waiter]] = {}  # by slot of the rule
        self._turning = False
        self._again = False
        self.waiting = 0
        self.refused: dict[str, int] = {}
        """How often, by `SCOPE KEY`."""
        self.would_refuse: dict[str, int] = {}
        """The same of limits in dry run, which let it pass."""

    # ---- connections

    def login(self, rules: Rules) -> None:
        """Claims for a new connection. Raises USER_LIMIT or LIMIT_CONNECTIONS; then nothing is held."""
        full = self._claim(rules)
        if full is not None:
            raise self._refusal(full, 0.0)

    def move(self, held: Rules, rules: Rules) -> None:
        """For a connection that goes to another database or user: holds `rules` instead of `held` afterwards; if it
        raises, `held` still."""
        kept = {rule.slot for rule in held}
        new = tuple(rule for rule in rules if rule.slot not in kept)
        self.login(new)
        wanted = {rule.slot for rule in rules}
        self.leave(tuple(rule for rule in held if rule.slot not in wanted))

    def recount(self, held: Rules, rules: Rules) -> None:
        """For a connection that was open when the limits changed: as `move`, but never refused."""
        kept, wanted = {rule.slot for rule in held}, {rule.slot for rule in rules}
        for rule in rules:
            if rule.slot not in kept:
                self._counters.force(rule.slot, self._worker)
        self.leave(tuple(rule for rule in held if rule.slot not in wanted))

    # ---- statements

    def enter(self, rules: Rules, answer: Answer) -> Waiter | None:
        """None: it passed and holds its claims; `answer` is not called. Else it waits, and `answer` is called later.
        Raises USER_LIMIT or LIMIT_CONCURRENCY when it may not wait."""
        full = self._in_line(rules) if self.waiting else None
        if full is None:
            full = self._claim(rules)
            if full is None:
                return None
        if not full.queue:
            raise self._refusal(full, 0.0)
        if not self._counters.claim(full.queue_slot, self._worker, full.queue):
            raise self._refusal(full, 0.0)
        waiter = Waiter(rules, full, answer, self._clock.now_s())
        self._join(waiter)
        return waiter

    def leave(self, rules: Rules) -> None:
        """Gives the claims back, and the next in line their turn."""
        for rule in rules:
            self._counters.release(rule.slot, self._worker)
        if self.waiting:
            self._turns()

    def forget(self, waiter: Waiter) -> bool:
        """Out of the line without an answer (its client has gone). False: it was answered before, and holds its
        claims if that answer was None."""
        line = self._lines.get(waiter.line_rule.slot)
        if line is None or not line.leave(waiter):
            return False
        self._left(waiter)
        return True

    def tick(self) -> None:
        """Refuses those who waited too long, and lets in those for whom there is room."""
        if not self.waiting:
            return
        now_s = self._clock.now_s()
        for slot, line in list(self._lines.items()):
            for waiter in line.expired(now_s):
                self._left(waiter)
                waiter.answer(self._refusal(waiter.line_rule, now_s - waiter.since_s))
            self._drop_empty(slot)
        self._turns()

    def renew(self, table: LimitTable) -> None:
        """For a new snapshot: who waits goes by the new numbers; whose limit is gone waits no more."""
        for line in list(self._lines.values()):
            for waiter in line:
                rules = (table.find(rule.key, rule.scope) for rule in waiter.rules)
                waiter.rules = tuple(rule for rule in rules if rule is not None)
                mine = table.find(waiter.line_rule.key, waiter.line_rule.scope)
                if mine is not None and mine.slot == waiter.line_rule.slot:
                    waiter.line_rule = mine
                    continue
                line.leave(waiter)
                self._left(waiter)
                try:
                    again = self._claim(waiter.rules)
                    if again is not None:
                        raise self._refusal(again, self._clock.now_s() - waiter.since_s)
                except SluiceError as error:
                    waiter.answer(error)
                else:
                    waiter.answer(None)
        for slot in list(self._lines):
            self._drop_empty(slot)
        self._turns()

    # ---- inside

    def _claim(self, rules: Rules) -> Rule | None:
        """Claims all, or none and gives the rule that is full."""
        for index, rule in enumerate(rules):
            if rule.dry_run:
                if self._counters.force(rule.slot, self._worker) > rule.share:
                    _count(self.would_refuse, rule)
            elif not self._counters.claim(rule.slot, self._worker, rule.share):
                for claimed in rules[:index]:
                    self._counters.release(claimed.slot, self._worker)
                return rule
        return None

    def _in_line(self, rules: Rules) -> Rule | None:
        return next((rule for rule in rules if not rule.dry_run and self._lines.get(rule.slot)), None)

    def _join(self, waiter: Waiter) -> None:
        rule = waiter.line_rule
        line = self._lines.get(rule.slot)
        if line is None:
            line = self._lines[rule.slot] = WaitingLine(_UNBOUNDED)
        line.join(waiter, waiter.since_s + rule.queue_ms / 1000)
        self.waiting += 1

    def _left(self, waiter: Waiter) -> None:
        self._counters.release(waiter.queue_slot, self._worker)
        self.waiting -= 1

    def _drop_empty(self, slot: int) -> None:
        line = self._lines.get(slot)
        if line is not None and not line:
            del self._lines[slot]

    def _turns(self) -> None:
        """An answer may end its statement at once and so come back here: then go round again, not deeper."""
        if self._turning:
            self._again = True
            return
        self._turning = self._again = True
        try:
            while self._again:
                self._again = False
                now_s = self._clock.now_s()
                for slot, line in list(self._lines.items()):
                    while (waiter := line.first(now_s)) is not None and self._claim(waiter.rules) is None:
                        line.leave(waiter)
                        self._left(waiter)
                        waiter.answer(None)
                    self._drop_empty(slot)
        finally:
            self._turning = False

    def _refusal(self, rule: Rule, waited_s: float) -> SluiceError:
        _count(self.refused, rule)
        used = self._counters.total(rule.slot)
        limit = str(rule.limit)
        if rule.share != rule.limit:
            limit += f" (this router's share: {rule.share})"
        if rule.key == CONNECTIONS:
            if rule.scope.kind == "user":
                return fail("USER_LIMIT", user=rule.scope.user, resource="max_user_connections", limit=limit)
            return fail("LIMIT_CONNECTIONS", scope=rule.scope, limit=limit, used=used)
        advice = self._advice(rule, waited_s)
        running = "1 query runs" if used == 1 else f"{used} queries run"
        if rule.scope.kind == "user":
            limit = f"{limit}; {running}; {advice}"
            return fail("USER_LIMIT", user=rule.scope.user, resource="concurrency", limit=limit)
        return fail("LIMIT_CONCURRENCY", scope=rule.scope, limit=limit, used=running, advice=advice)

    def _advice(self, rule: Rule, waited_s: float) -> str:
        if not rule.queue:
            return "queries over it are refused at once (queue = 0)"
        waiting = self._counters.total(rule.queue_slot)
        if waited_s:
            return f"waited {waited_s * 1000:.0f} ms with {waiting} others (queue_ms = {rule.queue_ms})"
        return f"{waiting} of queue = {rule.queue} wait already"


def _count(counts: dict[str, int], rule: Rule) -> None:
    name = f"{rule.scope} {rule.key}"
    counts[name] = counts.get(name, 0) + 1
