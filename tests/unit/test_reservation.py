"""Pins: what a statement leaves in its connection and takes away again; and that nothing stays reserved for nothing."""

import asyncio
from typing import Any

import pytest

from core.errors import SluiceError
from router import statements  # first: it and router.execute.reserve import each other
from router.execute.reserve import reserve, run_pinned
from router.sessions import holding
from router.sessions.commit import commit
from router.sessions.ending import close, kill_query
from router.sessions.reservation import Reservation, effect_of
from tests.unit.fake_tablets import HANG, FakeTablet, make_session, turns
from wire.answers import parse_err

assert statements


TEMPORARY = "temporary table "
READ_LOCK = "FLUSH TABLES WITH READ LOCK"


@pytest.mark.parametrize(
    ("sql", "made", "locks", "ended"),
    [
        (b"SELECT GET_LOCK('A', 1)", [], ["A"], []),
        (b'select get_lock("a", 1), get_lock(@b, 2)', ["a named lock"], ["a"], []),
        (b"select get_lock(@name, 2), get_lock(concat('a', 'b'), 1)", ["a named lock"], ["mine"], []),
        (b"select 'x' AS `GET_LOCK(?, 1)`", [], [], []),
        (b"select release_lock( 'a' )", [], [], []),
        (b"do release_all_locks()", [], [], ["a named lock"]),
        (b"create temporary table if not exists `x`.`T` (id int)", [TEMPORARY + "T"], [], []),
        (b"create /* x */ temporary table `a ``b` (id int)", [TEMPORARY + "a `b"], [], []),
        (b"create or replace temporary sequence s", [TEMPORARY + "s"], [], []),
        (b"/*!50000 create temporary table t (id int) */", [TEMPORARY + "t"], [], []),
        (b"create table temporary (id int)", [], [], []),
        (b"drop temporary table if exists `a`, x . b cascade", [], [], [TEMPORARY + "a", TEMPORARY + "b"]),
        (b"drop table t -- gone", [], [], [TEMPORARY + "t"]),
        (b"LOCK TABLES t READ", ["LOCK TABLES"], [], []),
        (b" unlock tables", [], [], ["LOCK TABLES", READ_LOCK]),
        (b"flush tables with read lock", [READ_LOCK], [], []),
        (b"flush local table a, b.c with read lock", ["LOCK TABLES"], [], []),
        (b"flush no_write_to_binlog tables `with` for export", ["LOCK TABLES"], [], []),
        (b"flush tables a, b", [], [], []),
        (b"lock instance for backup", ["LOCK INSTANCE"], [], []),
        (b"unlock instance", [], [], ["LOCK INSTANCE"]),
        (b"backup stage start", ["BACKUP STAGE"], [], []),
        (b"backup stage end", [], [], ["BACKUP STAGE"]),
        (b"backup lock a.b", ["BACKUP LOCK"], [], []),
        (b"backup unlock", [], [], ["BACKUP LOCK"]),
        (b"handler t open", ["HANDLER t"], [], []),
        (b"handler a.t open as `X`", ["HANDLER x"], [], []),
        (b"handler t open y", ["HANDLER y"], [], []),
        (b"handler x read first", [], [], []),
        (b"handler X close", [], [], ["HANDLER x"]),
        (b"select 1", [], [], []),
    ],
)
def test_effects(sql: bytes, made: list[str], locks: list[str], ended: list[str]) -> None:
    effect = effect_of(sql, variables={"name": b"'mine'"})
    assert (effect.makes, effect.locks, effect.ends) == (made, locks, ended)


def test_a_table_that_is_renamed_is_the_same_pin() -> None:
    held = Reservation(1, 1)
    for sql in (b"create temporary table t (i int)", b"alter table t rename column i to j, rename to u"):
        held.note(effect_of(sql), sql, 0.0)
    assert [pin.statement for pin in held.pins.values()] == ["create temporary table t (i int)"]
    held.note(effect_of(b"drop table u"), b"", 0.0)
    assert not held.pins


@pytest.mark.parametrize(
    ("sql", "left"),
    [
        (b"drop table a, b", ["HANDLER z"]),
        (b"alter table a add x int", ["HANDLER y", "HANDLER z"]),
        (b"truncate table b", ["HANDLER a", "HANDLER z"]),
        (b"rename table b to x, c to y", ["HANDLER a"]),
        (b"flush tables", ["HANDLER a", "HANDLER y", "HANDLER z"]),
        (b"insert into a values (1)", ["HANDLER a", "HANDLER y", "HANDLER z"]),
    ],
)
def test_what_closes_handlers(sql: bytes, left: list[str]) -> None:
    held = Reservation(1, 1)
    for opened in (b"handler a open", b"handler b open as y", b"handler k.c open z"):
        held.note(effect_of(opened), opened, 0.0)
    held.note(effect_of(sql), sql, 0.0)
    assert sorted(held.pins) == sorted(left)


def test_all_locks_end_at_once_and_tables_stay() -> None:
    held = Reservation(1, 1)
    for sql in (b"select get_lock('a', 1)", b"select get_lock(@x, 1)", b"create temporary table t (i int)"):
        held.note(effect_of(sql), sql, 0.0)
    held.note(effect_of(b"do release_all_locks()"), b"", 0.0)
    assert list(held.pins) == ["temporary table t"]
    assert not held.locks


class One:
    def __init__(self) -> None:
        self.tablet = FakeTablet().welcome()
        self.session, self.connection = make_session(asyncio.get_running_loop())

    async def pinned(self, sql: bytes) -> bytes:
        self.session.start(run_pinned(self.session, self.tablet.link, sql, 0, ()))
        await turns()
        assert len(self.connection.answers) == self.connection.ended
        return self.connection.answers[-1]


async def test_a_pinned_connection_is_kept_until_its_last_pin_ends() -> None:
    one = One()
    await one.pinned(b"select get_lock('a', 1)")
    assert one.session.reserved
    assert list(one.tablet.open) == [1]
    await one.pinned(b"select release_lock('a')")
    assert one.session.reserved is None
    assert one.tablet.open == {}


async def test_a_lock_that_is_not_got_pins_nothing() -> None:
    one = One()
    await one.pinned(b"select GET_LOCK('a', 0)")  # the tablet knows of no such lock afterwards
    assert one.session.reserved is None
    assert one.tablet.open == {}


@pytest.mark.parametrize("says", [(1064, "syntax"), (15003, "late", True), (15003, "late", False)])
async def test_a_statement_that_fails_pins_nothing(says: Any) -> None:
    one = One()
    one.tablet.script = lambda sql: says if b"get_lock" in sql else None
    assert parse_err(await one.pinned(b"select get_lock('a', 1)")).number == says[0]
    assert one.session.reserved is None
    assert one.tablet.open == {}


@pytest.mark.parametrize("says", [(1040, "too many"), (15004, "full", False), (15004, "full", True)])
async def test_what_cannot_be_reserved_is_not(says: Any) -> None:
    one = One()
    one.tablet.script = lambda sql: says
    with pytest.raises(SluiceError):
        await reserve(one.session, one.tablet.link)
    assert one.session.reserved is None
    assert one.tablet.open == {}


async def test_kill_query_keeps_what_was_pinned_before() -> None:
    one = One()
    await one.pinned(b"select get_lock('a', 1)")
    one.tablet.script = lambda sql: HANG
    one.session.start(run_pinned(one.session, one.tablet.link, b"select get_lock('b', 99)", 0, ()))
    await turns()
    kill_query(one.session)
    await turns()
    assert parse_err(one.connection.answers[-1]).number == 1317
    assert one.session.reserved
    assert list(one.session.reserved[one.tablet.link].pins) == ["a named lock 'a'"]
    assert list(one.tablet.open) == [1]


async def test_a_tablet_that_restarts_takes_the_pins_with_it_and_says_so_once() -> None:
    one = One()
    await one.pinned(b"select get_lock('a', 1)")
    one.tablet.lose()
    one.tablet.welcome()
    assert parse_err(await one.pinned(b"select get_lock('b', 1)")).number == 15008
    assert one.session.reserved is None
    await one.pinned(b"select get_lock('b', 1)")
    assert one.session.reserved


async def test_inside_a_transaction_its_connection_is_the_reserved_one() -> None:
    one = One()
    session, link = one.session, one.tablet.link
    holding.open_transaction(session)
    session.forward(link, 0, (), b"update t", None)
    await turns()
    await one.pinned(b"select get_lock('a', 1)")
    assert list(one.tablet.open) == [1]
    await commit(session)
    assert one.tablet.open == {1: False}
    close(session)
    assert one.tablet.open == {}
