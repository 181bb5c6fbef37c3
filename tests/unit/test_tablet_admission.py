"""The queue of a tablet: fair, bounded, deadline-aware, and short under standing overload."""

import random
from typing import cast

import pytest

from core.clock import FakeClock
from tablet.pool.admission import FOUND_ROWS, HOLD, PLAIN, Limits, Queue, Refusal

ALL = (0, 1, 2, 3)


class Waiter:
    def __init__(self, user: str, now_s: float, deadline_s: float = 1e9, lane: int = PLAIN) -> None:
        self.user = user
        self.lane = lane
        self.deadline_s = deadline_s
        self.queued_s = now_s
        self.queued = False
        self.profile = None


@pytest.fixture
def clock() -> FakeClock:
    return FakeClock()


def queue(size: int = 100, target_s: float = 1.0, interval_s: float = 0.5) -> Queue:
    return Queue(Limits(size, target_s, interval_s))


def test_serves_the_user_with_the_fewest_running(clock: FakeClock) -> None:
    q = queue()
    for _ in range(3):
        q.started("greedy")
    q.started("modest")
    waiters = [Waiter(user, clock.now_s()) for user in ("greedy", "greedy", "modest", "new", "modest")]
    for waiter in waiters:
        q.add(waiter)
    served = []
    while (taken := q.take(ALL, clock.now_s())) is not None:
        q.started(taken.user)
        served.append(taken.user)
    assert served == ["new", "modest", "modest", "greedy", "greedy"]


def test_first_come_first_served_within_a_user_over_all_lanes(clock: FakeClock) -> None:
    q = queue()
    waiters = []
    for lane in (HOLD, PLAIN, FOUND_ROWS, HOLD):
        waiters.append(Waiter("u", clock.now_s(), lane=lane))
        q.add(waiters[-1])
        clock.advance(0.01)
    assert q.take((PLAIN, FOUND_ROWS), clock.now_s()) is waiters[1]
    assert q.take(ALL, clock.now_s()) is waiters[0]
    assert q.take((PLAIN,), clock.now_s()) is None
    assert q.oldest_s(ALL) == waiters[2].queued_s
    assert [q.take(ALL, clock.now_s()) for _ in range(3)] == [waiters[2], waiters[3], None]


def test_an_expired_waiter_is_never_served(clock: FakeClock) -> None:
    q = queue()
    late = Waiter("u", clock.now_s(), deadline_s=clock.now_s() + 1)
    good = Waiter("u", clock.now_s(), deadline_s=clock.now_s() + 9)
    q.add(late)
    q.add(good)
    clock.advance(1)
    assert q.take(ALL, clock.now_s()) is good
    assert q.expired(clock.now_s()) == [late]
    assert q.waiting == 0
    assert q.expired(clock.now_s()) == []


def test_is_bounded(clock: FakeClock) -> None:
    q = queue(size=2)
    first = Waiter("u", clock.now_s())
    q.add(first)
    q.add(Waiter("u", clock.now_s()))
    assert q.refusal("u", clock.now_s()) is Refusal.FULL
    q.remove(first)
    q.remove(first)  # harmless
    assert q.refusal("u", clock.now_s()) is None
    assert q.waiting == 1


def test_refuses_the_newest_under_standing_overload_only(clock: FakeClock) -> None:
    q = queue(target_s=1.0, interval_s=0.5)
    for _ in range(30):
        q.add(Waiter("u", clock.now_s()))
    clock.advance(0.9)
    assert q.take(ALL, clock.now_s())
    assert q.refusal("u", clock.now_s()) is None
    clock.advance(0.2)
    for _ in range(5):  # everybody waited too long by now, for half a second
        assert q.refusal("u", clock.now_s()) is None
        assert q.take(ALL, clock.now_s())
        clock.advance(0.1)
    assert q.take(ALL, clock.now_s())
    assert q.refusal("u", clock.now_s()) is Refusal.OVERLOADED
    while q.take(ALL, clock.now_s()):
        pass
    assert q.refusal("u", clock.now_s()) is None


def test_a_burst_that_is_served_in_time_refuses_nobody(clock: FakeClock) -> None:
    q = queue(target_s=1.0, interval_s=0.5)
    for _ in range(200):
        if q.waiting < 90:
            q.add(Waiter("u", clock.now_s()))
        clock.advance(0.005)
        assert q.refusal("u", clock.now_s()) is None
        assert q.take(ALL, clock.now_s())


def test_counts_agree_after_any_history(clock: FakeClock) -> None:
    rng = random.Random(3)
    q = queue(size=10**6)
    waiting: list[Waiter] = []
    running: list[str] = []
    for _ in range(5000):
        step = rng.random()
        if step < 0.45:
            waiter = Waiter(
                rng.choice("abcdef"), clock.now_s(), clock.now_s() + rng.random(), rng.randrange(4)
            )
            q.add(waiter)
            waiting.append(waiter)
        elif step < 0.6 and waiting:
            q.remove(waiting.pop(rng.randrange(len(waiting))))
        elif step < 0.85:
            taken = q.take(rng.choice((ALL, (0,), (1, 3))), clock.now_s())
            if taken is not None:
                assert taken.deadline_s > clock.now_s()
                waiting.remove(cast("Waiter", taken))
                q.started(taken.user)
                running.append(taken.user)
        elif running:
            q.ended(running.pop(rng.randrange(len(running))))
        clock.advance(rng.random() * 0.01)
        for expired in q.expired(clock.now_s()):
            waiting.remove(cast("Waiter", expired))
        assert q.waiting == len(waiting) == sum(q.by_lane)
        assert set(q.all()) == set(waiting)
    for user in "abcdef":
        assert q.running(user) == running.count(user)


def test_max_min_fairness_between_a_flood_and_a_trickle(clock: FakeClock) -> None:
    """Eight connections, one user with a hundred waiting, one with one at a time: the second hardly waits."""
    q = queue(size=1000)
    running: list[tuple[float, str]] = []
    waits: dict[str, list[float]] = {"flood": [], "trickle": []}
    for tick in range(2000):
        now = clock.now_s()
        for entry in [entry for entry in running if entry[0] <= now]:
            running.remove(entry)
            q.ended(entry[1])
        while sum(w.user == "flood" for w in q.all()) < 100:
            q.add(Waiter("flood", now))
        if tick % 5 == 0:
            q.add(Waiter("trickle", now))
        while len(running) < 8 and (taken := q.take(ALL, now)) is not None:
            q.started(taken.user)
            running.append((now + 0.01, taken.user))
            waits[taken.user].append(now - taken.queued_s)
        clock.advance(0.001)
    assert max(waits["trickle"]) <= 0.011
    assert len(waits["flood"]) > 1000


def test_a_full_queue_has_room_for_each_users_share(clock: FakeClock) -> None:
    q = queue(size=10)
    loud = []
    for n in range(10):
        loud.append(Waiter("loud", clock.now_s(), lane=n % 2))
        q.add(loud[-1])
        clock.advance(0.01)
    assert q.refusal("loud", clock.now_s()) is Refusal.FULL
    for n in range(5):
        assert q.refusal("quiet", clock.now_s()) is None
        q.add(Waiter("quiet", clock.now_s()))
        assert q.crowded_out() is loud[9 - n], "the newest of the greediest"
        assert q.waiting == 10
    assert q.refusal("quiet", clock.now_s()) is Refusal.FULL
    assert q.refusal("loud", clock.now_s()) is Refusal.FULL
    assert q.crowded_out() is None


def test_a_queue_of_as_many_users_as_places_refuses_the_next(clock: FakeClock) -> None:
    q = queue(size=3)
    for user in "abc":
        q.add(Waiter(user, clock.now_s()))
    assert q.refusal("d", clock.now_s()) is Refusal.FULL


def test_overload_refuses_those_who_make_it(clock: FakeClock) -> None:
    q = queue(target_s=0.1, interval_s=0.1)
    for _ in range(20):
        q.add(Waiter("loud", clock.now_s()))
    q.add(Waiter("quiet", clock.now_s()))
    clock.advance(0.2)
    q.take(ALL, clock.now_s())
    clock.advance(0.2)
    q.take(ALL, clock.now_s())
    assert q.overloaded(clock.now_s())
    assert q.refusal("loud", clock.now_s()) is Refusal.OVERLOADED
    assert q.refusal("quiet", clock.now_s()) is None
    assert q.refusal("new", clock.now_s()) is None
