"""What the pool does next: pure decisions on counts, performed by `pool.py`.

The algorithm. A statement wants a profile (settings, database, CLIENT_FOUND_ROWS). Below capacity it gets an idle
connection with exactly this profile; else one with no settings at all, since a SET is cheaper than a connect; else
a new one is opened, so that settings in use spread over the pool and stay; only then an idle one with other
settings is changed (`affinity.py` says which, and when). At capacity an idle one of the wrong FOUND_ROWS flavour is
replaced (capabilities are fixed at login). Otherwise it waits.
"""

from dataclasses import dataclass
from enum import Enum
from typing import Final

CONVERT_AFTER_S: Final = 0.05
"""A flavour at capacity gives up a connection for the other once the other has waited that much longer."""


class Act(Enum):
    USE_EXACT = "exact"
    USE_CLEAN = "clean"
    OPEN = "open"
    CHANGE = "change"
    REPLACE = "replace"
    """Close an idle one of the other flavour and open one in its place."""
    WAIT = "wait"


@dataclass(frozen=True, slots=True)
class View:
    """What a decision sees. All counts are of connections."""

    exact: int
    clean: int
    """Idle, of the right flavour, without settings."""
    other: int
    """Idle, of the right flavour, with other settings."""
    wrong_flavour: int
    """Idle, of the other flavour."""
    free_slots: int
    """Below the cap, closing ones counted as there."""
    opening: int
    """Connects in flight."""
    waiting: int
    """Statements that wait already, each for one of those."""
    may_open: bool
    """MySQL is known to be up and no back-off runs."""


def choose(view: View) -> Act:
    """What to do for one newcomer.

    >>> choose(View(0, 0, 0, 0, free_slots=2, opening=0, waiting=0, may_open=True)).name
    'OPEN'
    """
    if view.exact:
        return Act.USE_EXACT
    if view.clean:
        return Act.USE_CLEAN
    if view.may_open and view.free_slots and view.opening <= view.waiting:
        return Act.OPEN
    if view.other:
        return Act.CHANGE
    if view.may_open and view.wrong_flavour and view.opening <= view.waiting:
        return Act.REPLACE
    return Act.WAIT


def convert(own_since_s: float | None, other_since_s: float | None) -> bool:
    """Whether a connection just freed goes over to the other flavour: `since` is when the longest waiting of
    each flavour came, None if nobody waits."""
    if other_since_s is None:
        return False
    if own_since_s is None:
        return True
    return own_since_s - other_since_s > CONVERT_AFTER_S


def hold_limit(pool_size: int, share: float) -> int:
    """How many connections transactions and reservations may hold together: at least 1, at most pool_size - 2."""
    return max(1, min(int(pool_size * share), pool_size - 2))


def lifetime_s(max_lifetime_s: float, fraction: float) -> float:
    """The age at which one connection is replaced: 80 to 100 % of the maximum, by `fraction` (0 to 1), so that
    connections opened together do not go together."""
    return max_lifetime_s * (0.8 + 0.2 * fraction)
