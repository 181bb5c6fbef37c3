"""A drained worker: who leaves when."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from router.workers import draining
from router.workers.draining import Draining


class Client:
    def __init__(self, worker: Any, number: int, busy_until_s: float) -> None:
        self.worker = worker
        self.number = number
        self.busy_until_s = busy_until_s
        self.left: tuple[str, float] | None = None
        worker.connections[number] = self

    def drain(self, error: Any) -> None:
        assert "drained" in error.message
        if self.worker.clock.now_s() >= self.busy_until_s:
            self._leave("idle")

    def refuse(self, error: Any) -> None:
        assert error.number == 1053
        self._leave("refused")

    def _leave(self, how: str) -> None:
        self.left = (how, round(self.worker.clock.now_s(), 1))
        del self.worker.connections[self.number]


@pytest.fixture
def worker(monkeypatch: pytest.MonkeyPatch) -> Any:
    now = [0.0]
    real = asyncio.sleep

    async def sleep(delay_s: float) -> None:
        now[0] += delay_s
        await real(0)

    monkeypatch.setattr(draining.asyncio, "sleep", sleep)
    return SimpleNamespace(
        connections={}, clock=SimpleNamespace(now_s=lambda: now[0]), stir=lambda: None, loop=None
    )


async def drained(worker: Any, grace_s: float, limit_s: float) -> Draining:
    worker.loop = asyncio.get_running_loop()
    made = Draining(worker)
    made.begin(grace_s, limit_s)
    assert made._task is not None
    await made._task
    return made


async def test_idle_ones_stay_for_the_grace_and_busy_ones_for_the_limit(worker: Any) -> None:
    idle, soon, late = Client(worker, 1, 0), Client(worker, 2, 6.0), Client(worker, 3, 99.0)
    made = await drained(worker, 5.0, 4.0)
    assert idle.left is not None
    assert idle.left[0] == "idle"
    assert 5.0 <= idle.left[1] <= 5.2
    assert soon.left is not None
    assert soon.left[0] == "idle"
    assert 6.0 <= soon.left[1] <= 6.2
    assert late.left is not None
    assert late.left[0] == "refused"
    assert 9.0 <= late.left[1] <= 9.3
    assert made.active


async def test_nobody_there_ends_it_at_once_and_it_stays_closed(worker: Any) -> None:
    made = await drained(worker, 1000.0, 1000.0)
    assert worker.clock.now_s() == 0.0
    assert made.active
    made.end()
    assert not made.active
