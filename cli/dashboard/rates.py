"""Rates and percentiles of the last seconds, from counters that only grow.

Invariants: time is that of the process which counts (its uptime), so a report that is seen twice, or one that came
late, makes no spike; a process that was started again begins anew, and never shows a negative rate.
"""

from collections import deque
from collections.abc import Iterable
from dataclasses import dataclass
from operator import add, sub
from typing import Final

from cli.dashboard.figures import Counters
from core.stats import percentile

WINDOW_S: Final = 3.5
"""Longest time that a rate is taken over; three reports as a rule."""


@dataclass(frozen=True, slots=True)
class Rates:
    """Of one process, or of several summed up."""

    queries: float
    """A second; so are `errors` and `consolidated`."""
    errors: float
    consolidated: float
    settings_hits: int
    settings_missed: int
    latency: tuple[int, ...]
    """Histogram counts of the window."""

    def latency_s(self, percent: float) -> float | None:
        """None where nothing was answered."""
        return percentile(self.latency, percent) if any(self.latency) else None

    @property
    def settings_hit_percent(self) -> float | None:
        asked = self.settings_hits + self.settings_missed
        return 100 * self.settings_hits / asked if asked else None


def total(rates: Iterable[Rates]) -> Rates:
    """All of them as one."""
    found = list(rates)
    counts: tuple[int, ...] = ()
    for one in found:
        counts = tuple(map(add, counts, one.latency)) if counts and one.latency else counts or one.latency
    return Rates(
        sum(r.queries for r in found),
        sum(r.errors for r in found),
        sum(r.consolidated for r in found),
        sum(r.settings_hits for r in found),
        sum(r.settings_missed for r in found),
        counts,
    )


class Tracker:
    """The last reports of one process."""

    __slots__ = ("_seen",)

    def __init__(self) -> None:
        self._seen: deque[Counters] = deque()

    def take(self, counters: Counters) -> None:
        seen = self._seen
        if seen:
            last = seen[-1]
            if counters.pid != last.pid or counters.uptime_s < last.uptime_s:
                seen.clear()
            elif counters.uptime_s == last.uptime_s:
                return
        seen.append(counters)
        while len(seen) > 2 and counters.uptime_s - seen[0].uptime_s > WINDOW_S:
            seen.popleft()

    def rates(self) -> Rates | None:
        """None until two reports were seen."""
        if len(self._seen) < 2:
            return None
        first, last = self._seen[0], self._seen[-1]
        span_s = last.uptime_s - first.uptime_s
        latency = tuple(map(sub, last.latency, first.latency)) if first.latency else last.latency
        return Rates(
            (last.queries - first.queries) / span_s,
            (last.errors - first.errors) / span_s,
            (last.consolidated - first.consolidated) / span_s,
            last.settings_hits - first.settings_hits,
            last.settings_missed - first.settings_missed,
            latency,
        )


class Trackers:
    """A tracker a process, by name; those who are gone are forgotten."""

    __slots__ = ("_trackers",)

    def __init__(self) -> None:
        self._trackers: dict[str, Tracker] = {}

    def take(self, reports: Iterable[tuple[str, Counters]]) -> dict[str, Rates]:
        """Rates by name, of those of whom there are any. A process that does not count time is left out."""
        kept: dict[str, Tracker] = {}
        rates: dict[str, Rates] = {}
        for name, counters in reports:
            tracker = kept[name] = self._trackers.get(name) or Tracker()
            if counters.uptime_s > 0:
                tracker.take(counters)
                found = tracker.rates()
                if found is not None:
                    rates[name] = found
        self._trackers = kept
        return rates
