"""The tablet's counters, and the flat dict that STATS answers (dashboards and /metrics read it).

Counters only grow; whoever shows rates takes differences. Times are seconds.
"""

import resource
import time
from collections import Counter, deque
from typing import Any, Final

from core.stats import Histogram

MAX_ERRORS: Final = 20
"""Last errors kept."""


class Stats:
    """What happened in this process since it started."""

    def __init__(self, now_s: float) -> None:
        self.started_s = now_s
        self.queries = 0
        self.errors = 0
        self.killed = 0
        self.timeouts = 0
        self.opens = 0
        self.settings_hits = 0
        self.settings_clean = 0
        self.settings_changes = 0
        self.consolidated = 0
        self.not_consolidated: Counter[str] = Counter()
        self.bytes_out = 0
        self.queue_wait = Histogram()
        self.query_time = Histogram()
        self.last_errors: deque[dict[str, Any]] = deque(maxlen=MAX_ERRORS)
        self.down_reason = ""

    def note_error(self, number: int, text: str) -> None:
        """Remembers an error for the dashboard; the statement's text is not kept, it may hold secrets."""
        self.last_errors.append({"when": time.time(), "number": number, "text": text[:300]})

    def counters(self) -> dict[str, Any]:
        """The part of STATS that is counted here."""
        return {
            "queries": self.queries,
            "errors": self.errors,
            "killed": self.killed,
            "timeouts": self.timeouts,
            "opens": self.opens,
            "settings_hits": self.settings_hits,
            "settings_clean": self.settings_clean,
            "settings_changes": self.settings_changes,
            "consolidated": self.consolidated,
            "not_consolidated": dict(self.not_consolidated),
            "bytes_out": self.bytes_out,
            "queue_wait": self.queue_wait.snapshot(),
            "query_time": self.query_time.snapshot(),
            "last_errors": list(self.last_errors),
        }


def rss_bytes() -> int:
    """Resident memory of this process."""
    try:
        with open("/proc/self/statm", encoding="ascii") as statm:
            return int(statm.read().split()[1]) * resource.getpagesize()
    except (OSError, ValueError, IndexError):
        return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss * 1024
