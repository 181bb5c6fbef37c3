"""Who waits for a connection, who is served next, who is refused. Pure: the caller passes the time in seconds.

Rules
- Bounded: more than `size` waiters are refused (QUEUE_FULL).
- Fair at the door, too: nobody is refused for what others queue. A user with less than an equal share of a full queue
  takes the place of the newest waiter of the user with the most (`crowded_out`), and comes in under overload.
- Fair among users: the waiting user with the fewest connections in use is served, first come first served within
  a user (max-min fairness). `started` and `ended` tell how many each user has in use.
- Deadline-aware: whoever's deadline has passed is never served; `expired` hands them out. Removal is O(1).
- Affine: of the waiters of the user whose turn it is, one for whom a connection with the right settings is there goes
  before the others, as long as the first of them did not come much earlier (by AFFINITY_S, or three times the usual
  wait, AFFINITY_MOST_S at most). One for whom there will be one soon goes behind them, for AFFINITY_S only: that may
  leave a connection idle. Waiters are indexed by what they need, so that a long queue is not searched.
- Under standing overload the newest are refused at once rather than all served late (CoDel's idea): when for
  `interval_s` everybody served had waited longer than `target_s`, newcomers get OVERLOADED until somebody is
  served within the target or the queue is empty.

A waiter has a lane: what it needs (another flavour of connection, or one to hold), so that those who cannot be
served now do not block those who can.
"""

import heapq
from collections import deque
from collections.abc import Callable, Hashable, Iterable, Sequence
from dataclasses import dataclass
from enum import Enum
from itertools import islice
from typing import Final, Protocol

LANES: Final = 4
PLAIN: Final = 0
FOUND_ROWS: Final = 1
"""Needs a connection with CLIENT_FOUND_ROWS."""
HOLD: Final = 2
"""Will hold the connection: transaction or reservation. HOLD | FOUND_ROWS is both."""


AFFINITY_S: Final = 0.003
"""So long does one wait for the sake of settings where nobody else waits."""
AFFINITY_MOST_S: Final = 0.020
"""So much longer than the others at most, where they wait, too."""
AFFINITY_LOOK: Final = 32
"""So many of the profiles that are waited for are looked at."""

NOW: Final = 0
"""A connection with exactly the settings that the waiter needs is idle."""
CHANGED: Final = 1
"""None has them: one must be changed."""
SOON: Final = 2
"""A statement runs on one that has them."""


class Waiter(Protocol):
    """What the queue sees of a statement. It sets `queued`, and nothing else."""

    user: str
    lane: int
    deadline_s: float
    queued_s: float
    queued: bool

    @property
    def profile(self) -> Hashable:
        """Settings, database and flavour of the connection that it needs."""


class Refusal(Enum):
    FULL = "QUEUE_FULL"
    OVERLOADED = "OVERLOADED"


@dataclass(frozen=True, slots=True)
class Limits:
    size: int
    """Waiters at most."""
    target_s: float
    """A wait that is still fine."""
    interval_s: float
    """So long must everybody have waited longer than the target before newcomers are refused."""


class _User:
    """One user's waiters, by lane, and by lane and profile, in order of arrival (a dict is an ordered set with O(1)
    removal)."""

    __slots__ = ("lanes", "profiles", "waiting")

    def __init__(self) -> None:
        self.lanes: tuple[dict[Waiter, None], ...] = tuple({} for _ in range(LANES))
        self.profiles: tuple[dict[Hashable, dict[Waiter, None]], ...] = tuple({} for _ in range(LANES))
        self.waiting = 0

    def add(self, waiter: Waiter) -> None:
        self.lanes[waiter.lane][waiter] = None
        alike = self.profiles[waiter.lane].get(waiter.profile)
        if alike is None:
            self.profiles[waiter.lane][waiter.profile] = {waiter: None}
        else:
            alike[waiter] = None
        self.waiting += 1

    def remove(self, waiter: Waiter) -> None:
        del self.lanes[waiter.lane][waiter]
        profiles = self.profiles[waiter.lane]
        alike = profiles[waiter.profile]
        if len(alike) == 1:
            del profiles[waiter.profile]
        else:
            del alike[waiter]
        self.waiting -= 1


def _living(waiters: Iterable[Waiter], now_s: float) -> Waiter | None:
    """The first of `waiters` whose deadline has not passed."""
    for waiter in waiters:
        if waiter.deadline_s > now_s:
            return waiter
    return None


def _first(user: _User, lanes: Sequence[int], now_s: float) -> Waiter | None:
    """Who waits longest in `lanes`, of those whose deadline has not passed."""
    if len(lanes) == 1:
        return _living(user.lanes[lanes[0]], now_s)
    best: Waiter | None = None
    for lane in lanes:
        waiter = _living(user.lanes[lane], now_s)
        if waiter is not None and (best is None or waiter.queued_s < best.queued_s):
            best = waiter
    return best


class Queue:
    """The waiters of one tablet."""

    def __init__(self, limits: Limits) -> None:
        self._limits = limits
        self._users: dict[str, _User] = {}
        self._running: dict[str, int] = {}
        self._levels: dict[int, dict[str, None]] = {}
        """Waiting users by what they have running; empty while no more than one user waits."""
        self._in_order: deque[Waiter] = deque()
        """Those whose deadlines come in the order in which they came: nearly all, and a heap costs more."""
        self._deadlines: list[tuple[float, int, Waiter]] = []
        """A heap of the others."""
        self._sequence = 0
        self._above_since_s: float | None = None
        self.waiting = 0
        self.by_lane = [0] * LANES
        self.last_wait_s = 0.0
        self._usual_wait_s = 0.0
        """Of the last served, the latest counting most."""

    # -- use of connections

    def started(self, user: str) -> None:
        """`user` got a connection."""
        count = self._running.get(user, 0)
        self._running[user] = count + 1
        if self._levels and user in self._users:
            self._move(user, count, count + 1)

    def ended(self, user: str) -> None:
        """`user` gave a connection back."""
        count = self._running[user]
        if count == 1:
            del self._running[user]
        else:
            self._running[user] = count - 1
        if self._levels and user in self._users:
            self._move(user, count, count - 1)

    @property
    def contended(self) -> bool:
        """Whether several users wait: then it matters how many connections each has."""
        return bool(self._levels)

    def running(self, user: str) -> int:
        return self._running.get(user, 0)

    # -- waiting

    def refusal(self, user: str, now_s: float) -> Refusal | None:
        """Why a newcomer of `user` may not wait, if so."""
        full = self.waiting >= self._limits.size
        if not full and not self.overloaded(now_s):
            return None
        known = self._users.get(user)
        users = len(self._users) + (known is None)
        share = (self._limits.size if full else self.waiting) // users
        if share and (known.waiting if known is not None else 0) < share and users > 1:
            return None
        return Refusal.FULL if full else Refusal.OVERLOADED

    def overloaded(self, now_s: float) -> bool:
        """Whether everybody served for `interval_s` had waited longer than the target."""
        return self._above_since_s is not None and now_s - self._above_since_s >= self._limits.interval_s

    def add(self, waiter: Waiter) -> None:
        """Queues `waiter`; ask `refusal` first, and `crowded_out` afterwards."""
        user = self._users.get(waiter.user)
        if user is None:
            user = self._users[waiter.user] = _User()
            if len(self._users) == 2:
                for name in self._users:
                    self._levels.setdefault(self._running.get(name, 0), {})[name] = None
            elif self._levels:
                self._levels.setdefault(self._running.get(waiter.user, 0), {})[waiter.user] = None
        user.add(waiter)
        self.waiting += 1
        self.by_lane[waiter.lane] += 1
        waiter.queued = True
        in_order = self._in_order
        if not in_order or waiter.deadline_s >= in_order[-1].deadline_s:
            in_order.append(waiter)
        else:
            self._sequence += 1
            heapq.heappush(self._deadlines, (waiter.deadline_s, self._sequence, waiter))

    def crowded_out(self) -> Waiter | None:
        """Takes out who has to go for the one that was added to a full queue, if it was full."""
        if self.waiting <= self._limits.size:
            return None
        greediest = max(self._users.values(), key=lambda user: user.waiting)
        newest = max(
            (next(reversed(lane)) for lane in greediest.lanes if lane), key=lambda waiter: waiter.queued_s
        )
        self.remove(newest)
        return newest

    def remove(self, waiter: Waiter) -> None:
        """Takes `waiter` out, whether served, cancelled or expired. Nothing if it does not wait."""
        if not waiter.queued:
            return
        waiter.queued = False
        user = self._users[waiter.user]
        user.remove(waiter)
        self.waiting -= 1
        self.by_lane[waiter.lane] -= 1
        if not user.waiting:
            del self._users[waiter.user]
            if len(self._users) == 1:
                self._levels.clear()
            elif self._levels:
                self._leave_level(waiter.user, self._running.get(waiter.user, 0))
        if not self.waiting:
            self._above_since_s = None
            self._usual_wait_s = 0.0
            self._deadlines.clear()
            self._in_order.clear()

    def take(
        self, lanes: Sequence[int], now_s: float, fit: Callable[[Hashable], int] | None = None
    ) -> Waiter | None:
        """The next to be served among `lanes`, taken out; None if nobody waits there, or those who do had better wait
        for AFFINITY_S. `fit`: NOW, CHANGED or SOON of a profile."""
        waiter = self.next(lanes, now_s)
        if waiter is not None and fit is not None:
            waiter = self._affine(waiter, now_s, fit)
        if waiter is not None:
            self.serve(waiter, now_s)
        return waiter

    def alike(self, first: Waiter, profile: Hashable, now_s: float) -> Waiter | None:
        """Who is served before `first`, which `next` named, by a connection that has `profile`: it itself or one who
        came not much later; None if nobody."""
        if first.profile == profile:
            return first
        waiters = self._users[first.user].profiles[first.lane].get(profile)
        if waiters is None:
            return None
        waiter = _living(waiters, now_s)
        return waiter if waiter is not None and waiter.queued_s <= first.queued_s + self._grace_s() else None

    def _grace_s(self) -> float:
        """So much later may one have come who goes before the others for the sake of settings."""
        return min(max(3 * self._usual_wait_s, AFFINITY_S), AFFINITY_MOST_S)

    def next(self, lanes: Sequence[int], now_s: float) -> Waiter | None:
        """The next to be served among `lanes`; None if nobody waits there."""
        if not self._levels:
            for user in self._users.values():  # one at most
                return _first(user, lanes, now_s)
            return None
        for level in sorted(self._levels):
            best: Waiter | None = None
            for name in self._levels[level]:
                waiter = _first(self._users[name], lanes, now_s)
                if waiter is not None and (best is None or waiter.queued_s < best.queued_s):
                    best = waiter
            if best is not None:
                return best
        return None

    def serve(self, waiter: Waiter, now_s: float) -> None:
        """Takes `waiter`, which `next` named, out."""
        self.remove(waiter)
        wait_s = now_s - waiter.queued_s
        self.last_wait_s = wait_s
        self._usual_wait_s += (wait_s - self._usual_wait_s) / 16
        if wait_s <= self._limits.target_s:
            self._above_since_s = None
        elif self._above_since_s is None and self.waiting:
            self._above_since_s = now_s

    def _affine(self, first: Waiter, now_s: float, fit: Callable[[Hashable], int]) -> Waiter | None:
        """Who came first of those who need no SET, if not much later than the first of all; else the first; else,
        where that has not waited for long, who would wait in vain for a connection that needs none."""
        latest_s = first.queued_s + self._grace_s()
        changed: Waiter | None = None
        now: Waiter | None = None
        for profile, waiters in islice(self._users[first.user].profiles[first.lane].items(), AFFINITY_LOOK):
            found = fit(profile)
            best = now if found == NOW else changed
            waiter = _living(waiters, now_s) if found != SOON else None
            if (
                waiter is None
                or waiter.queued_s > latest_s
                or (best is not None and best.queued_s <= waiter.queued_s)
            ):
                continue
            if found == NOW:
                now = waiter
            else:
                changed = waiter
        return now or (first if now_s - first.queued_s >= AFFINITY_S else changed)

    def expired(self, now_s: float) -> list[Waiter]:
        """Those whose deadline has passed, taken out."""
        gone: list[Waiter] = []
        in_order = self._in_order
        while in_order and (not in_order[0].queued or in_order[0].deadline_s <= now_s):
            waiter = in_order.popleft()
            if waiter.queued:
                self.remove(waiter)
                gone.append(waiter)
        if len(in_order) > 64 and len(in_order) > 4 * self.waiting:
            self._in_order = deque(waiter for waiter in in_order if waiter.queued)
        heap = self._deadlines
        while heap and (not heap[0][2].queued or heap[0][0] <= now_s):
            waiter = heapq.heappop(heap)[2]
            if waiter.queued:
                self.remove(waiter)
                gone.append(waiter)
        if len(heap) > 64 and len(heap) > 4 * self.waiting:
            self._deadlines = [entry for entry in heap if entry[2].queued]
            heapq.heapify(self._deadlines)
        if gone and self._above_since_s is None and self.waiting:
            self._above_since_s = now_s  # nobody was served in time: as good as served too late
        return gone

    def oldest_s(self, lanes: Sequence[int]) -> float | None:
        """When the longest waiting of `lanes` came; None if nobody waits there."""
        since = [
            next(iter(user.lanes[lane])).queued_s
            for user in self._users.values()
            for lane in lanes
            if user.lanes[lane]
        ]
        return min(since, default=None)

    def all(self) -> list[Waiter]:
        """Everybody who waits, in no particular order."""
        return [waiter for user in self._users.values() for lane in user.lanes for waiter in lane]

    # -- inside

    def _move(self, user: str, old: int, new: int) -> None:
        self._leave_level(user, old)
        self._levels.setdefault(new, {})[user] = None

    def _leave_level(self, user: str, level: int) -> None:
        users = self._levels[level]
        del users[user]
        if not users:
            del self._levels[level]
