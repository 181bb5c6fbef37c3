"""Counters that all workers of a router share: who uses how much of which limit, exact and without a lock.

They lie in an anonymous shared mapping that is made before the workers are forked: a row a limit, a column a worker,
64 bits each. A worker writes only its own column, so no increment is ever lost.

Invariants
- `claim` never lets the row's sum pass the limit: it adds to its own cell first and sums the row afterwards, with a
  memory fence between, so of two workers that claim at the same time at least one sees the other. Both may see the
  other and both be refused, when there was room for one: that is the price of having no lock.
- What was claimed is released in the same row by the same worker; or by `clear_worker`, when it has died.
- A row that is given to another limit while claims of the old one are open counts those too until they are released.
"""

import mmap
import threading
from collections.abc import Iterable
from typing import Final

from core.limits.scopes import LimitError

ROWS: Final = 256
WORKERS: Final = 256


class SharedCounters:
    """Make it before forking; in a worker use `claim` and `release` with the worker's own number only."""

    __slots__ = ("_acquire", "_cells", "_map", "_release", "rows", "workers")

    def __init__(self, rows: int = ROWS, workers: int = WORKERS) -> None:
        """`workers`: how many columns; each costs 15 ns a claim."""
        self.rows = rows
        self.workers = workers
        self._map = mmap.mmap(-1, rows * workers * 8)
        self._cells = memoryview(self._map).cast("q")
        # Releasing and taking a lock that this process alone knows: a store-release and a load-acquire, which is
        # the full fence that x86 and ARM need between the store of the own cell and the loads of the others.
        lock = threading.Lock()
        lock.acquire()
        self._release = lock.release
        self._acquire = lock.acquire

    def claim(self, slot: int, worker: int, limit: int) -> bool:
        """Adds one to `worker`'s cell of row `slot` unless the row's sum would pass `limit`."""
        cells = self._cells
        first = slot * self.workers
        cells[first + worker] += 1
        self._release()
        self._acquire()
        if sum(cells[first : first + self.workers]) <= limit:
            return True
        cells[first + worker] -= 1
        return False

    def force(self, slot: int, worker: int) -> int:
        """Adds one whatever the sum is, and gives the sum: for dry runs, and for what was there before its limit."""
        first = slot * self.workers
        self._cells[first + worker] += 1
        return sum(self._cells[first : first + self.workers])

    def release(self, slot: int, worker: int) -> None:
        """Takes back one claim."""
        self._cells[slot * self.workers + worker] -= 1

    def note(self, slot: int, worker: int, value: int) -> None:
        """Puts `value` into `worker`'s cell of a row that counts something else than claims."""
        self._cells[slot * self.workers + worker] = value

    def clear_worker(self, worker: int) -> None:
        """Of the main process, once that worker is dead and before another takes its number."""
        for cell in range(worker, self.rows * self.workers, self.workers):
            self._cells[cell] = 0

    def total(self, slot: int) -> int:
        first = slot * self.workers
        return sum(self._cells[first : first + self.workers])


class SlotTable:
    """Which row of the counters counts what; kept by a router's main process. A name keeps its row as long as there
    is room, so that a limit that is removed and set again finds what is in use."""

    def __init__(self, counters: SharedCounters, reserved: int = 1) -> None:
        """The first `reserved` rows are the caller's own."""
        self._counters = counters
        self._slots: dict[str, int] = {}  # oldest first
        self._free = list(range(counters.rows - 1, reserved - 1, -1))

    def assign(self, names: Iterable[str]) -> dict[str, int]:
        """A row for each name. Raises LimitError when there are more names than rows."""
        wanted = list(dict.fromkeys(names))
        kept = frozenset(wanted)
        for name in wanted:
            slot = self._slots.pop(name, None)
            if slot is None:
                slot = self._free.pop() if self._free else self._take(kept)
            self._slots[name] = slot
        return {name: self._slots[name] for name in wanted}

    def _take(self, kept: frozenset[str]) -> int:
        idle = [name for name in self._slots if name not in kept]
        if not idle:
            raise LimitError(
                f"more than {self._counters.rows} counters are needed for the limits: remove some (limits unset)"
            )
        name = next((n for n in idle if self._counters.total(self._slots[n]) == 0), idle[0])
        return self._slots.pop(name)
