"""A pool under many times its load, simulated on a fake clock: most of what it can do is still done in time, whoever
is refused is told at once, and afterwards it is as before. Counts only; `clusterctl bench overload` measures the same
on a real cluster."""

import heapq
import random
from dataclasses import dataclass, field

import pytest

from core.clock import FakeClock
from tablet.pool.admission import PLAIN, Limits, Queue

CONNECTIONS = 16
SERVICE_S = 0.020
WAIT_S = 1.0
"""queue_timeout_ms; the pool makes target and interval of it."""
BEST_PER_S = CONNECTIONS / SERVICE_S


@dataclass(eq=False, slots=True)
class Statement:
    user: str
    deadline_s: float
    queued_s: float
    lane: int = PLAIN
    queued: bool = False
    profile: None = None


@dataclass
class Counts:
    due: int = 0
    good: int = 0
    refused: int = 0
    expired: int = 0
    longest: int = 0
    by_user: dict[str, int] = field(default_factory=dict)


class Pool:
    """CONNECTIONS servers behind a Queue."""

    def __init__(self) -> None:
        self.clock = FakeClock(0.0)
        self.queue = Queue(Limits(1000, target_s=WAIT_S / 2, interval_s=WAIT_S / 4))
        self.ends: list[tuple[float, int, Statement]] = []
        self.sequence = 0
        self.free = CONNECTIONS
        self.counts = Counts()

    def run(self, per_s: float, seconds: float, users: tuple[str, ...] = ("app",)) -> Counts:
        """Statements come at random moments, `per_s` of each user in turn."""
        draw = random.Random(11)
        self.counts = counts = Counts()
        end_s = self.clock.now_s() + seconds
        next_s = self.clock.now_s()
        while next_s < end_s:
            self._until(next_s)
            counts.due += 1
            self._arrive(Statement(draw.choice(users), next_s + WAIT_S, next_s))
            counts.longest = max(counts.longest, self.queue.waiting)
            next_s += draw.expovariate(per_s)
        self._until(end_s)
        return counts

    def _arrive(self, statement: Statement) -> None:
        if self.free:
            self._start(statement)
        elif self.queue.refusal(statement.user, self.clock.now_s()) is not None:
            self.counts.refused += 1
        else:
            self.queue.add(statement)
            if self.queue.crowded_out() is not None:
                self.counts.refused += 1

    def _start(self, statement: Statement) -> None:
        self.free -= 1
        self.sequence += 1
        self.queue.started(statement.user)
        heapq.heappush(self.ends, (self.clock.now_s() + SERVICE_S, self.sequence, statement))

    def _until(self, moment_s: float) -> None:
        while self.ends and self.ends[0][0] <= moment_s:
            ended_s, _, statement = heapq.heappop(self.ends)
            self.clock.advance(ended_s - self.clock.now_s())
            self.free += 1
            self.queue.ended(statement.user)
            if ended_s <= statement.deadline_s + SERVICE_S:
                self.counts.good += 1
                self.counts.by_user[statement.user] = self.counts.by_user.get(statement.user, 0) + 1
            self.counts.expired += len(self.queue.expired(ended_s))
            waiter = self.queue.take((PLAIN,), ended_s)
            if waiter is not None:
                assert isinstance(waiter, Statement)
                self._start(waiter)
        self.clock.advance(moment_s - self.clock.now_s())


@pytest.mark.parametrize("times", [1.0, 2.0, 10.0])
def test_goodput_stays(times: float) -> None:
    seconds = 20.0
    counts = Pool().run(BEST_PER_S * times, seconds)
    assert counts.good >= 0.8 * BEST_PER_S * seconds
    assert counts.longest <= 1000
    if times > 2:
        assert counts.refused > counts.expired, "most are told at once, not after they waited"


def test_a_storm_passes() -> None:
    pool = Pool()
    pool.run(BEST_PER_S * 10, 5.0)
    pool.run(BEST_PER_S * 0.5, 3.0)
    calm = pool.run(BEST_PER_S * 0.5, 10.0)
    assert calm.refused == calm.expired == 0
    assert calm.good >= calm.due - CONNECTIONS


def test_many_wake_at_once() -> None:
    pool = Pool()
    for _ in range(100_000):
        pool.counts.due += 1
        pool._arrive(Statement("app", WAIT_S, 0.0))
    assert pool.queue.waiting <= 1000
    pool._until(WAIT_S + SERVICE_S)
    assert pool.counts.good >= 0.8 * BEST_PER_S * WAIT_S
    assert pool.queue.waiting == 0
    assert pool.counts.due == pool.counts.good + pool.counts.refused + pool.counts.expired + len(pool.ends)


def test_one_users_storm_does_not_starve_another() -> None:
    """It asks for half of the pool, and gets it, whatever the other asks for."""
    counts = Pool().run(BEST_PER_S * 10, 20.0, users=("loud",) * 19 + ("quiet",))
    assert counts.good >= 0.8 * BEST_PER_S * 20
    assert counts.by_user["quiet"] >= 0.95 * counts.due / 20
