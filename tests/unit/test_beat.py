"""How often a worker looks after itself, on a loop that is moved by hand."""

from collections.abc import Callable
from typing import Any

from router.workers.beat import BUSY_S, QUIET_S, Beat


class Timer:
    def __init__(self, due_s: float, callback: Callable[..., object]) -> None:
        self.due_s = due_s
        self.callback = callback
        self.cancelled = False

    def cancel(self) -> None:
        self.cancelled = True


class TimedLoop:
    def __init__(self) -> None:
        self.now_s = 0.0
        self.timers: list[Timer] = []

    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Timer:
        assert not args
        self.timers.append(Timer(self.now_s + delay, callback))
        return self.timers[-1]

    def run_until(self, end_s: float) -> None:
        while True:
            waiting = [timer for timer in self.timers if not timer.cancelled and timer.due_s <= end_s]
            if not waiting:
                self.now_s = end_s
                return
            first = min(waiting, key=lambda timer: timer.due_s)
            self.timers.remove(first)
            self.now_s = first.due_s
            first.callback()


class World:
    def __init__(self) -> None:
        self.loop = TimedLoop()
        self.quiet = False
        self.slow: list[bool] = []
        self.ticks: list[tuple[float, float]] = []
        self.beat = Beat(
            self.loop,
            lambda next_s: self.ticks.append((self.loop.now_s, next_s)),
            lambda: self.quiet,
            self.slow.append,
        )


def test_every_second_while_there_is_something_to_do() -> None:
    world = World()
    world.loop.run_until(10)
    assert [at for at, _ in world.ticks] == [float(second) for second in range(1, 11)]
    assert world.slow == []


def test_rarer_while_quiet_and_the_promise_is_kept() -> None:
    world = World()
    world.quiet = True
    world.loop.run_until(3600)
    assert len(world.ticks) < 3600 / QUIET_S + 6
    for (at, promised_s), (following, _) in zip(world.ticks, world.ticks[1:], strict=False):
        assert following == at + promised_s
    assert world.slow == [True]


def test_stirred_it_ticks_within_a_second() -> None:
    world = World()
    world.quiet = True
    world.loop.run_until(100)
    world.quiet = False
    world.beat.stir()
    world.beat.stir()
    before = len(world.ticks)
    world.loop.run_until(100 + BUSY_S)
    assert len(world.ticks) == before + 1
    world.loop.run_until(110)
    assert len(world.ticks) == before + 10
    assert world.slow == [True, False]


def test_stopped_it_ticks_no_more() -> None:
    world = World()
    world.beat.stop()
    world.loop.run_until(100)
    assert world.ticks == []
