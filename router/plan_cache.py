"""Compiled plans by normalised text, bounded in bytes.

Eviction is second chance (CLOCK): a hit costs one attribute write, and a burst of statements that come once does not
push out the ones that come always.
"""

from router.plan.needs import Needs
from router.sessions.parts import Runner

OVERHEAD_BYTES = 2000
"""What a plan and its entry take beside the text, about."""


class Entry:
    __slots__ = ("needs", "runner", "size_bytes", "used")

    def __init__(self, runner: Runner, size_bytes: int, needs: Needs) -> None:
        self.runner = runner
        self.needs = needs or None
        """Rights that not every user has: asked at each hit, since users share plans. None: nothing to ask."""
        self.size_bytes = size_bytes
        self.used = False


class PlanCache:
    """`get` and `put`; `entries` is open to the hot path's own lookup."""

    __slots__ = ("entries", "evictions", "max_bytes", "size_bytes")

    def __init__(self, max_bytes: int) -> None:
        self.entries: dict[bytes, Entry] = {}
        self.max_bytes = max_bytes
        self.size_bytes = 0
        self.evictions = 0

    def get(self, key: bytes) -> Entry | None:
        entry = self.entries.get(key)
        if entry is not None:
            entry.used = True
        return entry

    def put(self, key: bytes, runner: Runner, needs: Needs = ()) -> None:
        """Keeps `runner`, unless it alone is larger than an eighth of the cache."""
        size = 3 * len(key) + OVERHEAD_BYTES
        if size > self.max_bytes // 8:
            return
        old = self.entries.pop(key, None)
        if old is not None:
            self.size_bytes -= old.size_bytes
        while self.size_bytes + size > self.max_bytes:
            self._evict_one()
        self.entries[key] = Entry(runner, size, needs)
        self.size_bytes += size

    def _evict_one(self) -> None:
        while True:
            key = next(iter(self.entries))
            entry = self.entries.pop(key)
            if not entry.used:
                self.size_bytes -= entry.size_bytes
                self.evictions += 1
                return
            entry.used = False
            self.entries[key] = entry
