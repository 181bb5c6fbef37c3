"""When a storm of logins is on."""

from core.clock import FakeClock
from core.limits import SharedCounters
from router.clients.storm import LOOK_S, ROUND_S, SHORTEST_ROUND_S, STORM_A_CORE, Storm

CORES = 2


def test_the_logins_of_all_workers_make_a_storm() -> None:
    clock, counters = FakeClock(), SharedCounters(4, 4)
    workers = [Storm(counters, column, clock, CORES) for column in range(4)]
    accepted = 0
    for rate, on in ((0.9, False), (1.2, True), (0.9, False), (3.0, True)):
        each = int(rate * CORES * STORM_A_CORE * LOOK_S / len(workers)) + 1
        for _ in range(2):  # the first look of one worker does not see yet what the others are about to say
            clock.advance(LOOK_S + 0.001)
            accepted += each
            found = [worker.look(accepted) for worker in workers]
        assert found[-1] is on


def test_between_looks_nothing_is_counted() -> None:
    clock, counters = FakeClock(), SharedCounters(4, 4)
    storm = Storm(counters, 0, clock, CORES)
    assert not storm.look(1_000_000)
    clock.advance(LOOK_S)
    assert storm.look(1_000_000)
    clock.advance(LOOK_S / 2)
    assert storm.look(1_000_001)
    clock.advance(LOOK_S)
    assert not storm.look(1_000_001)


def test_rounds_are_as_far_apart_as_makes_each_worth_it() -> None:
    clock, counters = FakeClock(), SharedCounters(4, 4)
    storm = Storm(counters, 0, clock, CORES)
    accepted = 0
    for a_second, round_s in ((100, ROUND_S), (1_000, 0.016), (100_000, SHORTEST_ROUND_S), (0, ROUND_S)):
        clock.advance(1.0)
        accepted += a_second
        storm.look(accepted)
        assert abs(storm.round_s - round_s) < 1e-9


def test_a_worker_that_died_takes_its_logins_along() -> None:
    clock, counters = FakeClock(), SharedCounters(4, 4)
    one, other = Storm(counters, 0, clock, CORES), Storm(counters, 1, clock, CORES)
    clock.advance(1.0)
    one.look(50_000)
    other.look(10)
    counters.clear_worker(0)
    clock.advance(1.0)
    assert not other.look(20)
    clock.advance(1.0)
    assert other.look(20 + 2 * CORES * STORM_A_CORE)
