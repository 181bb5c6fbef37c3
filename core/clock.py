"""Time as an injected value: nothing else in Sluice calls the `time` module for decisions."""

import time
from typing import Protocol


class Clock(Protocol):
    """Monotonic time."""

    def now_s(self) -> float:
        """Seconds on a clock that never goes back; its zero means nothing."""
        ...


class MonotonicClock:
    """The machine's own monotonic clock."""

    now_s = staticmethod(time.monotonic)


class FakeClock:
    """A clock for tests: moves only when told."""

    def __init__(self, start_s: float = 1000.0) -> None:
        self._now_s = start_s

    def now_s(self) -> float:
        return self._now_s

    def advance(self, seconds: float) -> None:
        """Moves on by `seconds` (not negative)."""
        if seconds < 0:
            raise ValueError("time does not go back")
        self._now_s += seconds
