"""A histogram of durations with fixed logarithmic buckets: cheap to add to, to send and to merge.

Buckets are quarters of a power of two in microseconds, so that a percentile is at most 19 % off (12 % on
average). Counts are a plain list of ints: they travel in msgpack, and lists of several processes add up.
"""

from bisect import bisect_right
from collections.abc import Sequence
from typing import Final

BUCKETS: Final = 128
"""Up to 2^32 microseconds, more than an hour; what is longer falls into the last one."""


def upper_bound_s(index: int) -> float:
    """The upper end of bucket `index`, in seconds."""
    if index < 4:
        return (index + 1) / 1_000_000
    exponent, quarter = divmod(index - 4, 4)
    return float((5 + quarter) << exponent) / 1_000_000


_UPPER_S: Final = [upper_bound_s(index) for index in range(BUCKETS - 1)]


def bucket_of(seconds: float) -> int:
    """The index of the bucket that holds `seconds` (0 and less: the first)."""
    return bisect_right(_UPPER_S, seconds)


class Histogram:
    """Counts of durations. Not bounded by time: whoever reads takes differences of `counts`."""

    __slots__ = ("count", "counts", "total_s")

    def __init__(self) -> None:
        self.counts = [0] * BUCKETS
        self.count = 0
        self.total_s = 0.0

    def add(self, seconds: float) -> None:
        """Counts one duration (seconds)."""
        self.counts[bisect_right(_UPPER_S, seconds)] += 1
        self.count += 1
        self.total_s += seconds

    def percentile(self, percent: float) -> float:
        """Seconds below which `percent` (0 to 100) of the durations lie; 0.0 where there are none."""
        return percentile(self.counts, percent)

    def snapshot(self) -> dict[str, object]:
        """`counts`, `count`, `total_s` and the usual percentiles in seconds, as plain values."""
        return {
            "counts": list(self.counts),
            "count": self.count,
            "total_s": self.total_s,
            "p50_s": self.percentile(50),
            "p95_s": self.percentile(95),
            "p99_s": self.percentile(99),
        }


def percentile(counts: Sequence[int], percent: float) -> float:
    """As `Histogram.percentile`, of a list of counts (such as a difference or a sum of several)."""
    total = sum(counts)
    if not total:
        return 0.0
    rank = max(1, -(-int(total * percent) // 100))
    seen = 0
    for index, count in enumerate(counts):
        seen += count
        if seen >= rank:
            return upper_bound_s(index)
    return upper_bound_s(len(counts) - 1)
