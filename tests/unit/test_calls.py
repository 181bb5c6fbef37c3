"""Awaited requests: cancelled, killed, too large, lost."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import SluiceError
from core.limits import Limit, LimitTable, SharedCounters, SlotTable, to_snapshot
from core.rpc import messages as m
from router import call as call_module
from router.call import TabletError
from router.calls import Calls
from router.workers.admission import Admission
from tests.unit.fake_tablets import HANG, FakeClock, FakeTablet, make_session, turns
from wire.packets import frame


def hanging() -> tuple[FakeTablet, Calls]:
    tablet = FakeTablet().welcome()
    tablet.script = lambda sql: HANG
    return tablet, Calls(asyncio.get_running_loop())


async def test_an_answer_in_pieces_is_whole_and_credited() -> None:
    tablet, calls = hanging()
    task = asyncio.ensure_future(calls.execute(tablet.link, b"select"))
    await turns()
    request = tablet.sent[-1][1]
    tablet.link.on_record([m.RESULT, request, 0, b"ab"])
    tablet.link.on_record([m.RESULT, request, m.I_WARNINGS, b"warn"])
    tablet.link.on_record([m.RESULT, request, m.I_LAST, b"cd"])
    answer = await task
    assert (answer.data, answer.warnings) == (b"abcd", b"warn")
    assert (m.CREDIT, request, 2) in tablet.sent


async def test_cancelled_abandons_and_frees_what_comes() -> None:
    tablet, calls = hanging()
    task = asyncio.ensure_future(calls.execute(tablet.link, b"select", flags=m.F_BEGIN, extra={"begin": "b"}))
    await turns()
    task.cancel()
    await turns()
    assert task.cancelled()
    assert tablet.freed == [1]
    assert not tablet.link.pending
    assert not calls._running


async def test_interrupt_ends_what_the_task_waits_for() -> None:
    tablet, calls = hanging()
    task: asyncio.Task[Any] = asyncio.create_task(calls.execute(tablet.link, b"select"))
    await turns()
    assert calls.interrupt(task)
    assert parse_number((await task).data) == 1317
    assert not calls.interrupt(task)


@pytest.mark.parametrize(("flags", "done"), [(0, False), (m.F_WRITE, True)])
async def test_a_step_that_is_done_as_it_is_killed_is_the_last(flags: int, done: bool) -> None:
    tablet, calls = hanging()
    task: asyncio.Task[Any] = asyncio.create_task(calls.execute(tablet.link, b"select", flags=flags))
    await turns()
    record = tablet.hanging.pop(b"select")
    assert calls.interrupt(task)
    tablet.answer(record)
    if done:  # what is written is written
        assert not (await task).failed
    else:
        with pytest.raises(TabletError) as killed:
            await task
        assert killed.value.number == 1317


def parse_number(data: bytes) -> int:
    return int.from_bytes(data[5:7], "little")


async def test_too_large_is_told_at_the_end_with_what_is_still_held(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(call_module, "MAX_ANSWER_BYTES", 10)
    tablet, calls = hanging()
    task = asyncio.ensure_future(calls.execute(tablet.link, b"select"))
    await turns()
    request = tablet.sent[-1][1]
    tablet.hanging.clear()
    tablet.link.on_record([m.RESULT, request, 0, bytes(11)])
    assert tablet.sent[-1] == (m.CANCEL, request)
    tablet.link.on_record([m.RESULT, request, 0, bytes(11)])
    assert not task.done()
    tablet.link.on_record([m.RESULT, request, m.I_LAST | m.I_ERR, b"", 5, 0])
    with pytest.raises(TabletError) as failure:
        await task
    assert failure.value.handle == 5
    assert not tablet.freed


async def test_no_tablet_and_no_room_is_a_tablet_error() -> None:
    tablet, calls = hanging()
    tablet.link.close("moved")
    with pytest.raises(TabletError) as failure:
        await calls.execute(tablet.link, b"select")
    assert failure.value.number == 15001
    assert failure.value.handle == 0


async def test_lost_while_waiting() -> None:
    tablet, calls = hanging()
    task = asyncio.ensure_future(calls.execute(tablet.link, b"select"))
    await turns()
    tablet.lose()
    with pytest.raises(TabletError) as failure:
        await task
    assert failure.value.number == 15008


async def test_rows_of_a_statement_outside_of_any_transaction_hold_nothing() -> None:
    tablet = FakeTablet().welcome()
    session, _ = make_session(asyncio.get_running_loop())
    answer = await session.worker.calls.in_session(session, tablet.link, b"select 1")
    assert not answer.failed
    assert tablet.open == {}
    assert session.tx is None
    assert frame(b"", 1)


# ---- claims of statements


class Gates:
    """An admission with one limit on all statements."""

    def __init__(self, concurrency: int) -> None:
        self.counters = SharedCounters(rows=16, workers=2)
        self.slots = SlotTable(self.counters)
        self.clock = FakeClock()
        self.worker: Any = SimpleNamespace(
            loop=asyncio.get_running_loop(),
            boot=SimpleNamespace(counters=self.counters),
            column=0,
            clock=self.clock,
            view=None,
            connections={},
        )
        self.admission = Admission(self.worker)
        self.limit(cluster=Limit(concurrency=concurrency, queue=5, queue_ms=60_000))

    def limit(self, **limits: Limit) -> None:
        rows = to_snapshot(limits, {}, ["r"], "r", self.slots)
        self.worker.view = SimpleNamespace(limits=LimitTable.from_snapshot(rows))
        self.admission.limits_changed()

    def used(self) -> list[int]:
        return [self.counters.total(slot) for slot in range(1, 16)]

    def enter(self) -> tuple[Any, "asyncio.Task[None]"]:
        session: Any = SimpleNamespace(rules=(), user="app")
        return session, asyncio.ensure_future(self.admission.enter(session, "ks", ("-",)))


@pytest.mark.parametrize("then", ["raised", "removed"])
async def test_claims_of_one_who_waited_through_a_new_view_are_given_back(then: str) -> None:
    gates = Gates(1)
    first, entered = gates.enter()
    await entered
    second, waiting = gates.enter()
    await turns()
    assert not waiting.done()
    if then == "raised":
        gates.limit(cluster=Limit(concurrency=2, queue=5))
    else:
        gates.limit()
    await waiting
    for session in (first, second):
        gates.admission.gate.leave(session.rules)
    assert gates.used() == [0] * 15


async def test_one_who_goes_while_waiting_or_just_let_in_claims_nothing() -> None:
    gates = Gates(1)
    first, entered = gates.enter()
    await entered
    _, waiting = gates.enter()
    _, other = gates.enter()
    await turns()
    waiting.cancel()
    await turns()
    gates.admission.gate.leave(first.rules)  # lets `other` in ...
    other.cancel()  # ... which goes in the same turn
    await turns()
    assert waiting.cancelled()
    assert other.cancelled()
    assert gates.used() == [0] * 15


async def test_over_the_queue_is_refused() -> None:
    gates = Gates(0)
    waiting = [gates.enter()[1] for _ in range(5)]
    await turns()
    _, refused = gates.enter()
    with pytest.raises(SluiceError):
        await refused
    for task in waiting:
        task.cancel()
    await turns()
    assert gates.used() == [0] * 15


async def test_what_a_draining_tablet_did_not_begin_goes_to_its_successor() -> None:
    tablet, calls = hanging()
    task = asyncio.ensure_future(calls.execute(tablet.link, b"update", flags=m.F_WRITE))
    await turns()
    first = tablet.sent[-1][1]
    tablet.link.on_record([m.FAIL, first, 1053, "08S01", "Server shutdown in progress", 0])
    await turns()
    assert tablet.link.waiting_count() == 1
    tablet.lose()
    tablet.welcome()
    await turns()
    second = tablet.sent[-1]
    assert (second[0], second[8]) == (m.EXECUTE, b"update")
    tablet.link.on_record([m.RESULT, second[1], m.I_LAST | m.I_OK, b"ok"])
    assert (await task).data == b"ok"


async def test_a_held_connection_does_not_move() -> None:
    tablet, calls = hanging()
    task = asyncio.ensure_future(calls.execute(tablet.link, b"update", handle=3))
    await turns()
    tablet.link.on_record([m.FAIL, tablet.sent[-1][1], 1053, "08S01", "Server shutdown in progress", 3])
    with pytest.raises(TabletError) as failure:
        await task
    assert failure.value.number == 1053
