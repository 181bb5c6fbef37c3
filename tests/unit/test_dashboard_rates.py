"""Rates from counters: late and repeated reports, restarts, percentiles of the window."""

from typing import Any

import pytest

from cli.dashboard.figures import Counters, parse
from cli.dashboard.rates import Tracker, total
from cli.dashboard.text import (
    UNICODE,
    Column,
    bar,
    columns,
    count,
    cut,
    duration,
    fits,
    plain,
    span,
    spark,
    wrap,
)
from tests.unit.dashboard_samples import cluster, worker


def counters(**more: Any) -> Counters:
    return parse(cluster([worker(**more)])).workers[0].counters


def test_none_until_there_are_two_reports() -> None:
    tracker = Tracker()
    assert tracker.rates() is None
    tracker.take(counters(at_s=1.0))
    assert tracker.rates() is None


def test_time_is_that_of_the_process() -> None:
    tracker = Tracker()
    tracker.take(counters(at_s=10.0, rate=100))
    tracker.take(counters(at_s=10.0, rate=100))
    assert tracker.rates() is None
    tracker.take(counters(at_s=12.0, rate=100))
    rates = tracker.rates()
    assert rates is not None
    assert rates.queries == 100.0
    assert sum(rates.latency) == 200


def test_the_window_slides() -> None:
    tracker = Tracker()
    for second in range(1, 20):
        tracker.take(counters(at_s=second, queries=second**2))
    rates = tracker.rates()
    assert rates is not None
    assert rates.queries == (19**2 - 16**2) / 3


def test_a_restart_begins_anew() -> None:
    tracker = Tracker()
    tracker.take(counters(at_s=10.0))
    tracker.take(counters(at_s=11.0))
    tracker.take(counters(at_s=1.0, pid=101, rate=7))
    assert tracker.rates() is None
    tracker.take(counters(at_s=2.0, pid=101, rate=7))
    rates = tracker.rates()
    assert rates is not None
    assert rates.queries == 7


def test_percentiles_of_several() -> None:
    made = []
    for rate in (10, 90):
        tracker = Tracker()
        tracker.take(counters(at_s=1.0, rate=rate))
        tracker.take(counters(at_s=2.0, rate=rate))
        rates = tracker.rates()
        assert rates is not None
        made.append(rates)
    summed = total(made)
    assert summed.queries == 100
    assert sum(summed.latency) == 100
    assert summed.latency_s(99) == pytest.approx(0.001, rel=0.2)
    assert total([]).latency_s(50) is None


@pytest.mark.parametrize(
    "value", [0, 1, 9.99, 10, 999.9, 9999.4, 9999.6, 99_950, 999_499, 999_500, 1e9, 7e14]
)
def test_numbers_are_short(value: float) -> None:
    assert len(count(value)) <= 6


@pytest.mark.parametrize(
    "value", [0, 1e-6, 9.99e-4, 1e-3, 9.996e-3, 0.0999, 0.9994, 1, 60, 99.4, 99.6, 5969, 1e5]
)
def test_durations_are_short(value: float) -> None:
    assert len(duration(value)) <= 6


def test_texts() -> None:
    assert span(45) == "45s"
    assert span(3725) == "1h 2m"
    assert plain("a\x1b[31m\nb") == "a [31m b"
    assert cut("abcdef", 4) == "abc…"
    assert wrap("one two three", 8, 2) == ["one two", "three"]
    assert wrap("x" * 20, 8, 2) == ["x" * 8, "x" * 7 + "…"]
    assert wrap("", 8, 2) == [""]
    assert bar(1, 100, 5, UNICODE) == "█░░░░"
    assert bar(200, 100, 5, UNICODE) == "█████"
    assert bar(0, 0, 3, UNICODE) == "░░░"
    assert spark([0, None, 7], 5, UNICODE) == "  ▁ █"
    assert spark([], 3, UNICODE) == "   "


def test_columns_give_way_in_order() -> None:
    heads = (Column("NAME", right=False), Column("a", drop=1), Column("b", drop=2), Column("c"))
    rows = [["name-of-it", "1", "2", "3"]]
    assert fits(heads, rows, 16)
    assert [line.plain for line in columns(heads, rows, 16)] == ["NAME       a b c", "name-of-it 1 2 3"]
    assert [line.plain for line in columns(heads, rows, 14)] == ["NAME       a c", "name-of-it 1 3"]
    assert [line.plain for line in columns(heads, rows, 8)] == ["NAME   c", "name-… 3"]
