"""Deadlines in buckets: what is due is found without looking at what is not.

Invariants: nothing is walked but what is due; an item is given out once for each `add`; one whose matter is settled
meanwhile stays in its bucket until then (the taker looks).
"""

from collections.abc import Iterator
from typing import Generic, TypeVar

Item = TypeVar("Item")


class Wheel(Generic[Item]):
    """Items by the time they are due, in steps of `step_s`; given out at most one step late."""

    __slots__ = ("_buckets", "_next", "step_s")

    def __init__(self, step_s: float, now_s: float) -> None:
        self.step_s = step_s
        self._buckets: dict[int, list[Item]] = {}
        self._next = int(now_s / step_s)
        """The first bucket that was not given out."""

    def __bool__(self) -> bool:
        return bool(self._buckets)

    def __len__(self) -> int:
        return sum(map(len, self._buckets.values()))

    def add(self, item: Item, due_s: float) -> None:
        """`due_s` in the past: due at the next step."""
        step = max(int(due_s / self.step_s), self._next)
        bucket = self._buckets.get(step)
        if bucket is None:
            self._buckets[step] = [item]
        else:
            bucket.append(item)

    def take_due(self, now_s: float) -> Iterator[Item]:
        """Every item whose step is over. What is added meanwhile comes at a later step."""
        first, last = self._next, int(now_s / self.step_s)
        if last <= first:
            return
        self._next = last
        steps = range(first, last) if last - first <= len(self._buckets) else sorted(self._buckets)
        for step in steps:
            if step < last:
                yield from self._buckets.pop(step, ())
