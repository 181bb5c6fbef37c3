"""Whether a storm of logins is on: then a worker looks at newcomers in rounds instead of whenever one of them speaks.

With many workers each gets few of the logins of a storm, and would wake for one client at a time, four times a login:
the waking then costs more than the login. In rounds several share one, and running queries find the cores free.

    logins of all workers of this router, a second and core     newcomers are looked at
    below STORM_A_CORE                                           when they speak
    from there on                                                in rounds, ROUND_S apart or less

Invariant: counted are the workers of a router together, in memory they share; a worker writes its own cell only.
"""

import os
from typing import Final

from core.clock import Clock
from core.limits import SharedCounters

ARRIVALS_SLOT: Final = 1
"""The row of the shared counters in which each worker says how many clients it has accepted in its life."""
LOOK_S: Final = 0.1
STORM_A_CORE: Final = 500
"""Logins a second and core: about a tenth of what a core bears."""
ROUND_S: Final = 0.05
SHORTEST_ROUND_S: Final = 0.002
A_ROUND: Final = 16
"""So many newcomers make a round worth its waking: more often is not needed."""


class Storm:
    """See the module."""

    __slots__ = (
        "_clock",
        "_column",
        "_counters",
        "_looked_s",
        "_mine",
        "_seen",
        "_storm_rate",
        "active",
        "round_s",
    )

    def __init__(self, counters: SharedCounters, column: int, clock: Clock, cores: int = 0) -> None:
        """`cores` 0: those of the machine."""
        self._counters = counters
        self._column = column
        self._clock = clock
        self._storm_rate = STORM_A_CORE * (cores or os.cpu_count() or 1)
        self._looked_s = clock.now_s()
        self._seen = counters.total(ARRIVALS_SLOT)
        self._mine = 0
        self.active = False
        self.round_s = ROUND_S
        """How long after a round the next one comes."""

    def look(self, accepted: int) -> bool:
        """Whether a storm is on. `accepted`: how many clients this worker has accepted in its life. Cheap: counts anew
        each LOOK_S only."""
        now_s = self._clock.now_s()
        passed_s = now_s - self._looked_s
        if passed_s < LOOK_S:
            return self.active
        self._counters.note(ARRIVALS_SLOT, self._column, accepted)
        total = self._counters.total(ARRIVALS_SLOT)
        rate = (total - self._seen) / passed_s  # below zero when a worker has died: no storm, for this once
        mine = (accepted - self._mine) / passed_s
        self._looked_s, self._seen, self._mine = now_s, total, accepted
        self.active = rate >= self._storm_rate
        self.round_s = max(SHORTEST_ROUND_S, min(ROUND_S, A_ROUND / mine if mine else ROUND_S))
        return self.active
