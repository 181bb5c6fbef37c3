"""When a worker looks after itself: every second while something happens, ever more rarely while nothing does.

Heartbeats to tablets, reports to the router's main process and time limits hang on it. With sixty workers of idle
clients a tick a second would cost what the clients do not.

Invariants: whatever could make a tick necessary sooner calls `stir` (or is seen by `is_quiet` at the tick before); the
next tick then comes within BUSY_S. `tick` is told when the next one comes at the latest.
"""

from collections.abc import Callable
from typing import Any, Final, Protocol

BUSY_S: Final = 1.0
QUIET_S: Final = 16.0


class Loop(Protocol):
    """The part of an asyncio loop that this needs."""

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Any: ...


class Beat:
    """See the module."""

    __slots__ = ("_handle", "_is_quiet", "_loop", "_on_slow", "_tick", "interval_s")

    def __init__(
        self,
        loop: Loop,
        tick: Callable[[float], object],
        is_quiet: Callable[[], bool],
        on_slow: Callable[[bool], object],
    ) -> None:
        """`on_slow`: told when ticks become rarer (True: from now on `stir` is to be called) and when not any more."""
        self._loop = loop
        self._tick = tick
        self._is_quiet = is_quiet
        self._on_slow = on_slow
        self.interval_s = BUSY_S
        self._handle: Any = loop.call_later(BUSY_S, self._run)

    def stir(self) -> None:
        """Something happens."""
        if self.interval_s > BUSY_S:
            self._pace(BUSY_S)
            self._handle.cancel()
            self._handle = self._loop.call_later(BUSY_S, self._run)

    def stop(self) -> None:
        self._handle.cancel()

    def _run(self) -> None:
        self._pace(min(2 * self.interval_s, QUIET_S) if self._is_quiet() else BUSY_S)
        self._handle = self._loop.call_later(self.interval_s, self._run)
        self._tick(self.interval_s)

    def _pace(self, interval_s: float) -> None:
        was_slow, self.interval_s = self.interval_s > BUSY_S, interval_s
        if was_slow is not (interval_s > BUSY_S):
            self._on_slow(not was_slow)
