"""What one worker counts. Plain attributes, added to on the hot path, reported once a second."""

from collections import deque
from time import time
from typing import Any

from core.stats import Histogram


class WorkerStats:
    """Counters of one worker process; `report` is what travels."""

    __slots__ = (
        "bytes_out",
        "connections_total",
        "errors",
        "last_errors",
        "latency",
        "logins_refused",
        "mysql_errors",
        "plan_misses",
        "queries",
    )

    def __init__(self) -> None:
        self.queries = 0
        self.errors = 0
        self.mysql_errors = 0
        self.plan_misses = 0
        self.connections_total = 0
        self.logins_refused = 0
        self.bytes_out = 0
        self.latency = Histogram()
        self.last_errors: deque[tuple[float, int, str]] = deque(maxlen=20)

    def note_error(self, number: int, text: str) -> None:
        """An ERR packet that the router itself made."""
        self.errors += 1
        self.last_errors.append((time(), number, text[:200]))

    def report(self) -> dict[str, Any]:
        """Counters as a msgpack-able dict."""
        return {
            "queries": self.queries,
            "errors": self.errors,
            "mysql_errors": self.mysql_errors,
            "plan_misses": self.plan_misses,
            "connections_total": self.connections_total,
            "logins_refused": self.logins_refused,
            "latency": self.latency.snapshot(),
            "last_errors": list(self.last_errors),
        }
