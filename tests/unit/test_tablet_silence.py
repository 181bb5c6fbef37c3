"""Limits of the tablet's own waits, on a clock of the test's own."""

from types import SimpleNamespace
from typing import Any

import pytest

from core.config import Tablet as TabletConfig
from core.rpc import messages as m
from tablet.backend.connection import Command
from tablet.backend.killer import HARD_AFTER_S
from tablet.statements.request import SHARED
from tablet.statements.sharing import Sharing
from tablet.statements.silence import Silence
from tablet.statements.statement import Statement

QUERY_S = 30.0


class Back:
    """A connection of the pool."""

    thread_id = 7
    closing = False

    def __init__(self) -> None:
        self.task: Any = None
        self.aborted = 0

    def abort(self) -> None:
        self.closing = True
        self.aborted += 1


def command() -> Command:
    return object.__new__(Command)


@pytest.mark.parametrize(("answers", "limit_s"), [(True, QUERY_S + HARD_AFTER_S), (False, HARD_AFTER_S)])
def test_a_command_without_an_answer_costs_its_connection(answers: bool, limit_s: float) -> None:
    silence, silent, runs, idle = Silence(QUERY_S), Back(), Back(), Back()
    silent.task, runs.task = command(), SimpleNamespace()
    backs: Any = [silent, runs, idle]
    assert not silence.sweep(backs, 100.0, answers)
    assert not silence.sweep(backs, 99.9 + limit_s, answers)
    (said,) = silence.sweep(backs, 100.0 + limit_s, answers)
    assert f"{limit_s:.0f} s" in said
    assert (silent.aborted, runs.aborted, idle.aborted) == (1, 0, 0)
    assert not silence.sweep(backs, 1000.0, answers), "it is closing"


def test_each_command_has_its_own_time() -> None:
    silence, back = Silence(QUERY_S), Back()
    for turn in range(100):
        back.task = command()
        assert not silence.sweep([back], 30.0 * turn, answers=True)  # type: ignore[list-item]
    back.task = None
    assert not silence.sweep([back], 5000.0, answers=True)  # type: ignore[list-item]
    back.task = command()
    assert not silence.sweep([back], 6000.0, answers=True)  # type: ignore[list-item]
    assert not back.aborted


class Asker:
    def __init__(self) -> None:
        self.statements: dict[int, Any] = {}
        self.records: list[tuple[Any, ...]] = []

    def send(self, record: tuple[Any, ...]) -> None:
        self.records.append(record)


def test_a_sharer_that_reads_nothing_more_is_ended_and_holds_nobody() -> None:
    now = 100.0
    stats: Any = SimpleNamespace(
        timeouts=0, errors=0, bytes_out=0, note_error=lambda *_: None, query_time=SimpleNamespace()
    )
    sharing = Sharing(TabletConfig(query_timeout_s=QUERY_S), stats)
    sharing.now = lambda: now  # type: ignore[attr-defined]
    asker = Asker()
    chunks = [b"x" * m.WINDOW_BYTES] * 3

    def joiner(id_: int) -> Statement:
        statement = Statement(sharing, asker, id_, 0, "app", ("", "db", False), ["t"], b"select", None)  # type: ignore[arg-type]
        asker.statements[id_] = statement
        statement.deliver(chunks, m.I_LAST, 0, b"")
        return statement

    slow, quick = joiner(1), joiner(2)
    assert slow.state == quick.state == SHARED
    while quick.state == SHARED:
        quick.credit(m.WINDOW_BYTES)
    now += sharing.stall_s - 1
    sharing.sweep_slow(now)
    slow.credit(1)  # it took some
    now += sharing.stall_s - 1
    sharing.sweep_slow(now)
    assert slow.state == SHARED
    assert list(sharing.slow) == [slow]
    now += 1
    sharing.sweep_slow(now)
    assert not sharing.slow
    assert not asker.statements
    kind, id_, number, _, text, _ = asker.records[-1]
    assert (kind, id_, number) == (m.FAIL, 1, 3024)
    assert "60 s, what a client may take to read on" in text
