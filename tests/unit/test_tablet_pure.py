"""The tablet's pure parts: settings, pool plan, write epochs, consolidation, prepared statements, histogram."""

import random
from typing import Any

import pytest

from core.errors import SluiceError
from core.stats import BUCKETS, Histogram, bucket_of, percentile, upper_bound_s
from tablet.backend.prepared import MAX_STATEMENTS, OnServer, Prepared
from tablet.epochs import MAX_TABLES, Epochs
from tablet.pool import settings
from tablet.pool.plan import CONVERT_AFTER_S, Act, View, choose, convert, hold_limit, lifetime_s
from tablet.statements.consolidator import MAX_JOINERS, MAX_SHARED_BYTES, Consolidator

BASE = "utf8mb4_0900_ai_ci"


@pytest.mark.parametrize(
    ("old", "new", "expected"),
    [
        ("", "", ()),
        ("a=1", "a=1", ()),
        ("", "a=1,b='x,y'", ("SET @@session.a=1,@@session.b='x,y'",)),
        ("a=1,b=2", "b=3", ("SET @@session.a=DEFAULT,@@session.b=3",)),
        ("a=1", "", ("SET @@session.a=DEFAULT",)),
        (
            "character_set_client=latin1,collation_connection=latin1_bin",
            "",
            (f"SET @@session.character_set_client=utf8mb4,@@session.collation_connection={BASE}",),
        ),
        (
            "character_set_connection=latin1,collation_connection=latin1_bin",
            "character_set_connection=cp1250",
            ("SET @@session.character_set_connection=cp1250",),
        ),
        (
            "character_set_connection=latin1",
            "collation_connection=utf8mb4_bin",
            ("SET @@session.character_set_connection=utf8mb4,@@session.collation_connection=utf8mb4_bin",),
        ),
        (
            "collation_connection=utf8mb4_bin,sql_mode='ANSI'",
            "collation_connection=utf8mb4_bin,sql_mode=''",
            ("SET @@session.sql_mode='',@@session.collation_connection=utf8mb4_bin",),
        ),
        (  # a session that reads backslashes otherwise goes back to its base first
            "sql_mode='NO_BACKSLASH_ESCAPES'",
            "init_x='a\\\\b'",
            ("SET @@session.sql_mode=DEFAULT", "SET @@session.init_x='a\\\\b'"),
        ),
        # MySQL's DEFAULT would turn the checks off
        ("foreign_key_checks=0", "", ("SET @@session.foreign_key_checks=@@global.foreign_key_checks",)),
        ("unique_checks=0", "", ("SET @@session.unique_checks=@@global.unique_checks",)),
        # max_join_size sets sql_big_selects too: what stays is said again behind it
        (
            "max_join_size=9,sql_big_selects=1",
            "max_join_size=8,sql_big_selects=1",
            ("SET @@session.max_join_size=8,@@session.sql_big_selects=1",),
        ),
        (
            "max_join_size=9,sql_big_selects=1",
            "max_join_size=9",
            ("SET @@session.sql_big_selects=DEFAULT,@@session.max_join_size=9",),
        ),
        (
            "lock_wait_timeout=1,long_query_time=2",
            "lock_wait_timeout=1,log_slow_query_time=3",
            ("SET @@session.long_query_time=DEFAULT,@@session.log_slow_query_time=3",),
        ),
    ],
)
def test_settings_change(old: str, new: str, expected: tuple[str, ...]) -> None:
    assert settings.change(old, new, BASE) == expected


@pytest.mark.parametrize(
    "text", ["@a=1", "global x=1", "a", "a=", "=1", "a='x", "a=(1", "a=1,,b=2", "@@global.a=1", "a=)1"]
)
def test_settings_that_are_none(text: str) -> None:
    with pytest.raises(SluiceError):
        settings.change("", text, BASE)


def test_settings_in_doubt_are_all_said_again() -> None:
    doubtful = settings.in_doubt("a=1,b=2", "b=2,c='x,y'")
    assert settings.change(doubtful, "b=2", BASE) == (
        "SET @@session.a=DEFAULT,@@session.c=DEFAULT,@@session.b=2",
    )
    assert settings.change(settings.in_doubt("collation_connection=x", ""), "", BASE) == (
        f"SET @@session.collation_connection={BASE}",
    )


def test_settings_cut_at_top_level_only() -> None:
    assert settings.split_top_level('a=\'x\\\',y\',b=f(1,2),c="p"",q",d=`r,s`', ",") == [
        "a='x\\',y'",
        "b=f(1,2)",
        'c="p"",q"',
        "d=`r,s`",
    ]


def test_settings_are_applied_as_a_server_would() -> None:
    """A model of a session: any path through settings ends in exactly what the last one says."""
    rng = random.Random(1)
    names = ["a", "b", "sql_mode", "character_set_client", "character_set_connection", "collation_connection"]

    def model(session: dict[str, str], sql: str) -> None:
        for part in settings.split_top_level(sql.removeprefix("SET "), ","):
            name, _, value = part.partition("=")
            name = name.removeprefix("@@session.")
            if value == "DEFAULT":
                session.pop(name, None)
            else:
                session[name] = value
            if name == "max_join_size":
                session.pop("sql_big_selects", None)
                if value != "DEFAULT":
                    session["sql_big_selects"] = "0"
            if name == "character_set_connection":
                session["collation_connection"] = BASE if value == "utf8mb4" else f"default of {value}"

    def base() -> dict[str, str]:
        return {
            "character_set_client": "utf8mb4",
            "character_set_connection": "utf8mb4",
            "collation_connection": BASE,
        }

    session = base()
    old = ""
    for _ in range(2000):
        chosen = sorted(name for name in names if rng.random() < 0.4)
        said = [f"{name}={name[0]}{rng.randrange(3)}" for name in chosen]
        pair = [f"{name}={rng.choice('012')}" for name in ("max_join_size", "sql_big_selects")]
        pair.append("sql_big_selects=DEFAULT")
        some = rng.choice(([], pair[:1], pair[1:2], pair[:2], pair[1::-1], [pair[0], pair[2]]))
        new = ",".join([*said, *some])
        for sql in settings.change(old, new, BASE):
            model(session, sql)
        fresh = base()
        if new:
            model(fresh, "SET " + new)
        assert session == fresh, (old, new)
        old = new


def view(**counts: int | bool) -> View:
    values: dict[str, Any] = {
        **dict.fromkeys(("exact", "clean", "other", "wrong_flavour", "free_slots", "opening", "waiting"), 0),
        "may_open": True,
        **counts,
    }
    return View(**values)


@pytest.mark.parametrize(
    ("seen", "act"),
    [
        (view(exact=1, clean=1, other=1, free_slots=1), Act.USE_EXACT),
        (view(clean=1, other=1, free_slots=1), Act.USE_CLEAN),
        (view(other=1, free_slots=1), Act.OPEN),
        (view(other=1, free_slots=1, opening=1), Act.CHANGE),
        (view(other=1, free_slots=1, may_open=False), Act.CHANGE),
        (view(other=1), Act.CHANGE),
        (view(wrong_flavour=1), Act.REPLACE),
        (view(wrong_flavour=1, free_slots=1), Act.OPEN),
        (view(free_slots=1, opening=2, waiting=1), Act.WAIT),
        (view(free_slots=1, opening=1, waiting=1), Act.OPEN),
        (view(), Act.WAIT),
    ],
)
def test_pool_plan(seen: View, act: Act) -> None:
    assert choose(seen) is act


def test_pool_numbers() -> None:
    assert [hold_limit(size, 0.9) for size in (3, 4, 6, 16, 100)] == [1, 2, 4, 14, 90]
    assert hold_limit(16, 0.01) == 1
    assert (lifetime_s(100, 0), lifetime_s(100, 1)) == (80, 100)
    assert convert(None, 1.0)
    assert not convert(1.0, None)
    assert not convert(None, None)
    assert convert(1.0 + 2 * CONVERT_AFTER_S, 1.0)
    assert not convert(1.0, 1.0)


def test_epochs() -> None:
    epochs = Epochs()
    assert epochs.quiet_since(["a", "b"], epochs.clock)
    token = epochs.start(["a"])
    assert not epochs.quiet_since(["a"], epochs.clock)  # somebody may see it already
    assert epochs.quiet_since(["b"], epochs.clock)
    before = epochs.clock
    epochs.finish(token)
    assert not epochs.quiet_since(["b", "a"], before)
    assert epochs.quiet_since(["a"], epochs.clock)
    unknown = epochs.start(None)
    assert not epochs.quiet_since(["z"], epochs.clock)
    before = epochs.clock
    epochs.finish(unknown)
    assert not epochs.quiet_since(["z"], before)
    assert epochs.quiet_since(["z"], epochs.clock)
    one, two = epochs.start(["a"]), epochs.start(["a", "b"])
    epochs.finish(one)
    assert not epochs.quiet_since(["a"], epochs.clock)
    epochs.finish(two)
    assert epochs.quiet_since(["a", "b"], epochs.clock)


def test_epochs_are_bounded() -> None:
    epochs = Epochs()
    before = epochs.clock
    for number in range(MAX_TABLES + 1):
        epochs.finish(epochs.start([f"t{number}"]))
    assert not epochs.quiet_since(["t0"], before)
    assert epochs.quiet_since(["t0"], epochs.clock)


class Read:
    def __init__(self, tables: list[str] | None = None) -> None:
        self.tables = tables
        self.flight: Any = None


def test_consolidation() -> None:
    epochs = Epochs()
    consolidator = Consolidator(epochs, enabled=True)
    leader, joiner, late, third = (Read(["t"]) for _ in range(4))
    assert consolidator.join(("k",), Read(None)) == "tables_unknown"
    assert consolidator.join(("k",), leader) == "first"
    epochs.finish(epochs.start(["t"]))
    assert consolidator.join(("k",), joiner) == ""  # the leader was not sent yet
    flight = leader.flight
    consolidator.sent(flight)
    epochs.finish(epochs.start(["t"]))
    assert consolidator.join(("k",), late) == "written"  # and leads from now on
    assert consolidator.join(("k",), third) == ""
    assert consolidator.end(flight) == [joiner]
    assert (leader.flight, joiner.flight) == (None, None)
    assert late.flight.joiners == {third: None}
    consolidator.leave(late.flight, third)
    assert consolidator.end(late.flight) == []
    assert len(consolidator) == 0
    assert Consolidator(epochs, enabled=False).join(("k",), Read([])) == "off"


def test_consolidation_is_bounded() -> None:
    consolidator = Consolidator(Epochs(), enabled=True)
    leader = Read(["t"])
    consolidator.join(("k",), leader)
    reasons = [consolidator.join(("k",), Read(["t"])) for _ in range(MAX_JOINERS + 1)]
    assert reasons[-1] == "joiners_full"
    assert set(reasons[:-1]) == {""}
    flight = leader.flight
    assert consolidator.part(flight, b"x" * MAX_SHARED_BYTES)
    assert not consolidator.part(flight, b"x")


def test_prepared_is_least_recently_used_first() -> None:
    prepared = Prepared()
    made = {number: OnServer(number, 1, True) for number in (*range(MAX_STATEMENTS), 1000, 2000)}
    for number in range(MAX_STATEMENTS):
        assert prepared.add((b"%d" % number, "", ""), made[number]) is None
    assert prepared.get((b"0", "", "")) is made[0]
    assert prepared.add((b"new", "", ""), made[1000]) == 1
    assert prepared.get((b"1", "", "")) is None
    assert prepared.get((b"0", "sql_mode=''", "")) is None
    assert prepared.add((b"0", "", ""), made[2000]) == 0  # prepared anew: the old one is to be closed
    assert prepared.get((b"0", "", "")) is made[2000]
    prepared.clear()
    assert len(prepared) == 0


def test_histogram() -> None:
    rng = random.Random(5)
    histogram = Histogram()
    values = sorted(rng.expovariate(200) for _ in range(5000))
    for value in values:
        histogram.add(value)
    for percent in (50, 95, 99):
        exact = values[int(len(values) * percent / 100) - 1]
        assert exact <= histogram.percentile(percent) * 1.001
        assert histogram.percentile(percent) <= exact * 1.26
    assert histogram.count == sum(histogram.counts) == 5000
    assert percentile([0] * BUCKETS, 99) == 0.0
    bounds = [upper_bound_s(index) for index in range(BUCKETS)]
    assert bounds == sorted(bounds)
    for us in (0, 1, 5, 7, 8, 1000, 123456, 10**9, 10**13):
        index = bucket_of(us / 1e6)
        assert us / 1e6 < bounds[index] or index == BUCKETS - 1
    before = histogram.counts[0]
    histogram.add(-1.0)
    assert histogram.counts[0] == before + 1
