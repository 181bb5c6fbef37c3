"""A bounded first-in, first-out line of those who wait, each with a deadline. Pure: time comes as an argument.

Invariants: nobody is in it twice; leaving is O(1); who has passed the deadline is never given a turn.
"""

from collections.abc import Hashable, Iterator
from typing import Generic, TypeVar

_T = TypeVar("_T", bound=Hashable)


class WaitingLine(Generic[_T]):
    """Whoever holds the line asks `first` when room may have come, and `expired` as time passes."""

    __slots__ = ("_deadlines", "bound")

    def __init__(self, bound: int) -> None:
        self.bound = bound
        self._deadlines: dict[_T, float] = {}

    def __len__(self) -> int:
        return len(self._deadlines)

    def __contains__(self, who: object) -> bool:
        return who in self._deadlines

    def __iter__(self) -> Iterator[_T]:
        return iter(list(self._deadlines))

    def join(self, who: _T, deadline_s: float) -> bool:
        """To the end of the line; False if it is full."""
        if len(self._deadlines) >= self.bound:
            return False
        if who in self._deadlines:
            raise ValueError("waits already")
        self._deadlines[who] = deadline_s
        return True

    def leave(self, who: _T) -> bool:
        """Out of the line, wherever it stands; False if it was not in it."""
        return self._deadlines.pop(who, None) is not None

    def first(self, now_s: float) -> _T | None:
        """Whose turn it is: the first whose deadline has not passed. Stays in line until it leaves."""
        return next((who for who, deadline_s in self._deadlines.items() if deadline_s > now_s), None)

    def expired(self, now_s: float) -> list[_T]:
        """Takes out those whose deadline has passed."""
        late = [who for who, deadline_s in self._deadlines.items() if deadline_s <= now_s]
        for who in late:
            del self._deadlines[who]
        return late
