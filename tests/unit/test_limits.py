"""Scopes and limits as typed, the table that finds them, and the shared counters."""

import os
import warnings

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.limits import (
    Limit,
    LimitError,
    LimitTable,
    Scope,
    SharedCounters,
    SlotTable,
    WaitingLine,
    even_share,
    parse_assignments,
    parse_scope,
    to_snapshot,
)


@pytest.mark.parametrize(
    ("text", "scope"),
    [
        ("cluster", Scope("cluster")),
        ("keyspace:commerce", Scope("keyspace", keyspace="commerce")),
        ("shard:commerce/-80", Scope("shard", keyspace="commerce", shard="-80")),
        ("user:app", Scope("user", user="app")),
        ("user:a:b/c", Scope("user", user="a:b/c")),
    ],
)
def test_scope(text: str, scope: Scope) -> None:
    assert parse_scope(text) == scope
    assert str(scope) == text


@pytest.mark.parametrize(
    "text",
    ["", "user", "user:", "usr:app", "cluster:x", "shard:commerce", "shard:/-80", "keyspace:a/b", "user:a b"],
)
def test_no_scope(text: str) -> None:
    with pytest.raises(LimitError):
        parse_scope(text)


def test_assignments() -> None:
    limit = parse_assignments(["concurrency=10", "dry_run=true"])
    assert limit == Limit(concurrency=10, dry_run=True)
    assert parse_assignments(["queue=5", "dry_run=off"], limit) == Limit(concurrency=10, queue=5)
    assert Limit.from_json(limit.to_json()) == limit
    assert str(limit) == "concurrency=10 dry_run=true"


@pytest.mark.parametrize(
    ("assignments", "message"),
    [
        ([], "write KEY=VALUE"),
        (["concurrency"], "is not KEY=VALUE"),
        (["rate=5"], "unknown key 'rate'; known: connections, concurrency, queue, queue_ms, dry_run"),
        (["concurrency=-1"], "whole number"),
        (["concurrency=1.5"], "whole number"),
        (["concurrency=²"], "whole number"),
        (["dry_run=maybe"], "true or false"),
        (["dry_run=true"], "nothing is limited"),
        (["connections=1", "connections=2"], "given twice"),
        (["connections=1", "queue=2"], "together with concurrency"),
        (["concurrency=1", "queue=2", "queue_ms=0"], "queue_ms above 0"),
        (["concurrency=none"], "nothing is limited"),
    ],
)
def test_wrong_assignments(assignments: list[str], message: str) -> None:
    with pytest.raises(LimitError, match=message.replace("(", r"\(")):
        parse_assignments(assignments)


def test_records_of_newer_versions_are_read() -> None:
    assert Limit.from_json({"concurrency": 3, "rate": 9, "weight": {"a": 1}}) == Limit(concurrency=3)
    with pytest.raises(LimitError):
        Limit.from_json({"concurrency": "3"})
    with pytest.raises(LimitError):
        Limit.from_json({"dry_run": 1})
    with pytest.raises(LimitError):
        Limit.from_json({"connections": True})


def table(limits: dict[str, Limit], counters: SharedCounters | None = None) -> LimitTable:
    slots = SlotTable(counters or SharedCounters(16, 2))
    return LimitTable.from_snapshot(to_snapshot(limits, {}, ["r"], "r", slots))


def test_table_finds_rules_in_one_order() -> None:
    limits = {
        "shard:commerce/-80": Limit(concurrency=4),
        "user:app": Limit(concurrency=2, connections=7),
        "cluster": Limit(concurrency=9),
        "keyspace:commerce": Limit(connections=5),
    }
    found = table(limits)
    assert [(str(r.scope), r.share) for r in found.for_query("app", "commerce", "-80")] == [
        ("cluster", 9),
        ("user:app", 2),
        ("shard:commerce/-80", 4),
    ]
    assert [str(r.scope) for r in found.for_query("other", "commerce", ("80-", "-80"))] == [
        "cluster",
        "shard:commerce/-80",
    ]
    assert [str(r.scope) for r in found.for_login("app", "commerce")] == ["user:app", "keyspace:commerce"]
    assert found.for_query("app", "commerce", "-80") is found.for_query("app", "commerce", "-80")
    assert len({r.slot for r in found.rules}) == len(found.rules)
    assert all(r.slot > 0 for r in found.rules)


def test_nothing_limited_is_one_attribute() -> None:
    assert not table({}).limits_queries
    assert not table({"user:app": Limit(connections=1)}).limits_queries
    assert table({"user:app": Limit(concurrency=1)}).limits_queries


def test_shares() -> None:
    limits = {"user:app": Limit(concurrency=10)}

    def share(shares: dict[str, dict[str, list[int]]], routers: list[str], me: str) -> int:
        rows = to_snapshot(limits, shares, routers, me, SlotTable(SharedCounters(8, 1)))
        return LimitTable.from_snapshot(rows).rules[0].share

    assert share({}, ["a"], "a") == 10
    assert share({"user:app": {"concurrency": [3, 10]}}, ["a"], "a") == 10  # alone: all of it
    assert share({"user:app": {"concurrency": [3, 10]}}, ["a", "b"], "a") == 3
    assert (
        share({"user:app": {"concurrency": [30, 40]}}, ["a", "b"], "a") == 5
    )  # divided before the limit changed
    assert share({}, ["a", "b", "c"], "b") == 3


@given(st.integers(0, 100), st.sets(st.text("abc", min_size=1), min_size=1, max_size=8))
def test_even_shares_sum_up(limit: int, routers: set[str]) -> None:
    assert sum(even_share(limit, routers, me) for me in routers) == limit


def test_slots_are_kept_and_bounded() -> None:
    counters = SharedCounters(4, 1)
    slots = SlotTable(counters)
    first = slots.assign(["a", "b"])
    assert slots.assign(["b"]) == {"b": first["b"]}
    assert slots.assign(["a", "b"]) == first  # found again
    counters.force(first["a"], 0)
    assert slots.assign(["b", "c", "d"]).keys() == {"b", "c", "d"}
    assert set(slots.assign(["b", "c", "d"]).values()) == {1, 2, 3}
    with pytest.raises(LimitError, match="more than 4"):
        slots.assign(["1", "2", "3", "4"])


@given(
    st.lists(st.tuples(st.integers(0, 2), st.integers(0, 3), st.booleans()), max_size=60), st.integers(0, 5)
)
def test_counters_against_a_model(steps: list[tuple[int, int, bool]], limit: int) -> None:
    counters = SharedCounters(3, 4)
    held: list[list[int]] = [[0] * 4 for _ in range(3)]
    for slot, worker, take in steps:
        if take:
            passed = counters.claim(slot, worker, limit)
            assert passed is (sum(held[slot]) < limit)
            held[slot][worker] += passed
        elif held[slot][worker]:
            counters.release(slot, worker)
            held[slot][worker] -= 1
        assert counters.total(slot) == sum(held[slot]) <= limit
    counters.clear_worker(1)
    for slot in range(3):
        assert counters.total(slot) == sum(held[slot]) - held[slot][1]


def test_claims_of_processes_never_exceed() -> None:
    """Two processes count each other's claims: what one holds, the other is refused."""
    counters = SharedCounters(4, 2)
    limit, rounds = 1, 20_000
    pids = []
    for worker in range(2):
        with warnings.catch_warnings():  # from 3.12 on, when another test has left a thread
            warnings.simplefilter("ignore", DeprecationWarning)
            pid = os.fork()
        if pid == 0:
            bad = 0
            for _ in range(rounds):
                if counters.claim(1, worker, limit):
                    # Row 2 counts who is inside; a second one inside would be seen by one of them.
                    bad += counters.force(2, worker) > limit
                    counters.release(2, worker)
                    counters.release(1, worker)
                    counters.force(3, worker)
            os._exit(min(bad, 100))
        pids.append(pid)
    assert [os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1]) for pid in pids] == [0, 0]
    assert counters.total(1) == counters.total(2) == 0
    assert counters.total(3) > 0


@settings(max_examples=60)
@given(st.lists(st.tuples(st.sampled_from("jlft"), st.integers(0, 5)), max_size=40))
def test_line_against_a_model(steps: list[tuple[str, int]]) -> None:
    line: WaitingLine[int] = WaitingLine(3)
    model: list[tuple[int, float]] = []
    now_s = 0.0
    for step, who in steps:
        if step == "j" and who not in line:
            assert line.join(who, now_s + who) is (len(model) < 3)
            if len(model) < 3:
                model.append((who, now_s + who))
        elif step == "l":
            assert line.leave(who) is any(w == who for w, _ in model)
            model = [(w, d) for w, d in model if w != who]
        elif step == "f":
            assert line.first(now_s) == next((w for w, d in model if d > now_s), None)
        elif step == "t":
            now_s += 1
            assert line.expired(now_s) == [w for w, d in model if d <= now_s]
            model = [(w, d) for w, d in model if d > now_s]
        assert len(line) == len(model)
        assert list(line) == [w for w, _ in model]


def test_nobody_is_in_line_twice() -> None:
    line: WaitingLine[int] = WaitingLine(2)
    assert line.join(1, 1)
    with pytest.raises(ValueError, match="waits already"):
        line.join(1, 1)
