"""Deadlines in buckets, against a list that is searched."""

import random

from router.clients.wheel import Wheel


def test_nothing_early_and_nothing_lost() -> None:
    draw = random.Random(7)
    now_s = 1000.0
    wheel: Wheel[int] = Wheel(0.5, now_s)
    due: dict[int, float] = {}
    latest: dict[int, float] = {}
    given: set[int] = set()
    for number in range(2000):
        due[number] = now_s + draw.uniform(-1, 20)
        latest[number] = max(due[number], now_s) + wheel.step_s
        wheel.add(number, due[number])
        if draw.random() < 0.3:
            now_s += draw.choice((0.01, 0.1, 1.0))
            for item in wheel.take_due(now_s):
                assert item not in given
                assert due[item] <= now_s
                given.add(item)
            assert all(item in given or by_s > now_s for item, by_s in latest.items())
    given.update(wheel.take_due(now_s + 100))
    assert given == set(due)
    assert not wheel


def test_a_long_sleep_walks_buckets_not_steps() -> None:
    wheel: Wheel[str] = Wheel(0.001, 0.0)
    wheel.add("a", 5.0)
    assert list(wheel.take_due(1e9)) == ["a"]


def test_what_is_added_while_taking_comes_later() -> None:
    wheel: Wheel[str] = Wheel(1.0, 0.0)
    wheel.add("a", 0.5)
    for item in wheel.take_due(10.0):
        wheel.add(item, 3.0)
    assert len(wheel) == 1
    assert list(wheel.take_due(10.5)) == []
    assert list(wheel.take_due(11.0)) == ["a"]
