"""Transactions over shards: what reaches which shard, what the client hears, and that nothing is left behind."""

import asyncio
from collections.abc import Sequence
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import SluiceError
from core.rpc import messages as m
from router.execute.several import Scatter, SeveralShards
from router.execute.write import write_on
from router.plan.plans import Choice, Chooser, Kind, SelectPlan
from router.sessions.ending import close, kill_query
from router.sessions.reservation import Reservation
from router.statements import routines, transactions
from tests.unit.fake_tablets import HANG, FakeTablet, make_session, turns
from wire.answers import parse_err, parse_ok
from wire.constants import SERVER_STATUS_IN_TRANS

SAVEPOINT = b"SAVEPOINT sluice_statement"
UNDO = b"ROLLBACK TO SAVEPOINT sluice_statement"


class Shards:
    """A session over two shards."""

    def __init__(self, mode: str = "multi") -> None:
        self.a = FakeTablet(shard="-80").welcome()
        self.b = FakeTablet(shard="80-").welcome()
        self.session, self.connection = make_session(asyncio.get_running_loop(), mode)

    @property
    def both(self) -> list[tuple[Any, bytes]]:
        return [(self.a.link, b"update t"), (self.b.link, b"update t")]

    async def begin(self) -> None:
        transactions.begin(self.session, Kind.BEGIN, b"begin")
        await self.last()

    async def end(self, sql: bytes) -> bytes:
        kind = Kind.COMMIT if sql.startswith(b"commit") else Kind.ROLLBACK
        try:
            transactions.end(self.session, kind, sql)
        except Exception as error:
            self.session.error(error.number, error.sqlstate, error.message)  # type: ignore[attr-defined]
        return await self.last()

    async def run(self, tablet: FakeTablet, sql: bytes = b"update one", flags: int = m.F_WRITE) -> bytes:
        try:
            self.session.forward(tablet.link, flags, ("t",), sql, None)
        except Exception as error:
            self.session.error(error.number, error.sqlstate, error.message)  # type: ignore[attr-defined]
        return await self.last()

    async def write(self, work: Sequence[tuple[Any, bytes]] | None = None) -> bytes:
        self.session.start(write_on(self.session, work or self.both, ("t",)))
        return await self.last()

    async def last(self) -> bytes:
        await turns()
        assert len(self.connection.answers) == self.connection.ended, "one answer a statement"
        return self.connection.answers[-1]

    def clean(self) -> None:
        """Nothing of this session is on any tablet."""
        assert not self.a.open
        assert not self.b.open
        assert not self.a.link.pending
        assert not self.b.link.pending
        assert self.session.tx is None
        assert self.session.worker.transactions == 0


def number(answer: bytes) -> int:
    return parse_err(answer).number


def in_trans(answer: bytes) -> bool:
    return bool(parse_ok(answer).status & SERVER_STATUS_IN_TRANS)


async def test_begin_costs_nothing_and_the_first_statement_brings_it() -> None:
    on = Shards()
    await on.begin()
    assert on.a.texts == []
    assert in_trans(on.connection.answers[-1])
    assert in_trans(await on.run(on.a))
    await on.run(on.a)
    assert on.a.texts == [b"START TRANSACTION", b"update one", b"update one"]
    await on.end(b"commit")
    assert on.a.texts[-1] == b"COMMIT"
    assert on.b.texts == []
    on.clean()


async def test_a_write_of_several_shards_is_a_transaction_that_the_client_does_not_see() -> None:
    on = Shards()
    answer = await on.write()
    assert not in_trans(answer)
    assert parse_ok(answer).affected_rows == 2
    assert on.a.texts == on.b.texts == [b"START TRANSACTION", b"update t", b"COMMIT"]
    on.clean()


async def test_a_write_on_one_shard_needs_none() -> None:
    on = Shards()
    await on.write(on.both[:1])
    assert on.a.texts == [b"update t"]
    on.clean()


@pytest.mark.parametrize("says", [(1062, "Duplicate"), (15003, "late", False), (1213, "Deadlock")])
async def test_a_failed_shard_undoes_the_others_of_an_implicit_transaction(says: Any) -> None:
    on = Shards()
    on.b.script = lambda sql: says if sql == b"update t" else None
    assert number(await on.write()) == says[0]
    assert b"COMMIT" not in on.a.texts
    assert len(on.a.freed) == 1
    on.clean()


async def test_a_shard_that_fails_at_begin_undoes_the_others() -> None:
    on = Shards()
    on.b.lose()
    on.session.start(write_on(on.session, on.both, ("t",)))
    await turns()
    on.b.clock.now += 6
    on.b.link.tick()
    assert number(await on.last()) == 15001
    on.clean()


async def test_a_partial_commit_is_said() -> None:
    on = Shards()
    on.b.script = lambda sql: (15008, "lost", False) if sql == b"COMMIT" else None
    answer = await on.write()
    assert b"ks/-80" in answer
    assert b"ks/80-" in answer
    assert number(answer) == 15011
    on.clean()


@pytest.mark.parametrize("lost", [0, 1])
async def test_a_transaction_that_has_lost_a_shard_commits_on_none(lost: int) -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    await on.run(on.b)
    gone = (on.a, on.b)[lost]
    gone.script = lambda sql: (15009, "lost", False) if sql in (b"DO 0", b"COMMIT") else None
    assert number(await on.end(b"commit")) == 15009
    assert b"COMMIT" not in (on.b, on.a)[lost].texts
    await on.end(b"rollback")
    on.clean()


async def test_inside_a_transaction_a_failed_statement_is_undone_on_every_shard_and_the_transaction_lives() -> (
    None
):
    on = Shards()
    await on.begin()
    await on.run(on.a)
    on.b.script = lambda sql: (1062, "Duplicate") if sql == b"update t" else None
    assert number(await on.write()) == 1062
    assert on.a.texts[-3:] == [SAVEPOINT, b"update t", UNDO]
    assert on.b.texts[-3:] == [SAVEPOINT, b"update t", UNDO]
    await on.end(b"commit")
    assert on.a.texts[-1] == on.b.texts[-1] == b"COMMIT"
    on.clean()


async def test_mode_single_undoes_what_was_written_before_the_second_shard_was_refused() -> None:
    on = Shards("single")
    await on.begin()
    await on.run(on.a)
    assert number(await on.write()) > 15000
    assert on.a.texts[-1] == UNDO
    assert on.b.texts == []
    await on.end(b"rollback")
    on.clean()


async def test_mode_single_refuses_a_statement_for_a_second_shard() -> None:
    on = Shards("single")
    await on.begin()
    await on.run(on.a)
    assert number(await on.run(on.b)) > 15000
    assert on.b.texts == []
    await on.end(b"commit")
    on.clean()


async def test_a_deadlock_on_one_shard_rolls_all_back() -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    await on.run(on.b)
    on.b.script = lambda sql: (1213, "Deadlock") if sql == b"update one" else None
    assert number(await on.run(on.b)) == 1213
    await turns()
    assert not on.a.open
    assert on.session.tx is None
    assert not in_trans(await on.end(b"commit"))
    assert b"COMMIT" not in on.a.texts


async def test_a_statement_that_commits_on_one_of_several_shards_loses_the_transaction() -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    await on.run(on.b)
    assert parse_ok(await on.run(on.b, b"commit in some other way"))
    assert number(await on.run(on.a)) == 15009
    assert not on.a.open
    await on.end(b"rollback")
    on.clean()


async def test_a_statement_that_commits_where_nothing_else_is_held_ends_the_transaction() -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    assert not in_trans(await on.run(on.a, b"commit in some other way"))
    on.clean()


async def test_call_beside_other_shards_is_refused() -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    main = SimpleNamespace(name="main", links=(on.b.link,))
    on.session.worker.view = SimpleNamespace(keyspaces={"main": main}, keyspace=lambda name: main)  # type: ignore[assignment]
    on.session.keyspace = "main"
    with pytest.raises(SluiceError, match="procedure may commit"):
        routines.call(on.session, Kind.CALL, b"call p()")
    close(on.session)


@pytest.mark.parametrize("again", [b"commit", b"update"])
async def test_a_lost_shard_loses_the_transaction_until_rollback(again: bytes) -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    await on.run(on.b)
    on.b.lose()
    on.b.welcome()
    if again == b"update":
        assert number(await on.run(on.b)) == 15009
        assert number(await on.run(on.a)) == 15009
    assert number(await on.end(b"commit")) in (15009, 15011)
    assert b"COMMIT" not in on.b.texts
    await on.end(b"rollback")
    on.clean()


async def test_lost_while_the_statement_runs() -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    on.a.script = lambda sql: HANG
    on.session.forward(on.a.link, m.F_WRITE, (), b"update slow", None)
    on.a.lose()
    assert number(await on.last()) == 15008
    assert number(await on.run(on.a)) == 15009
    await on.end(b"rollback")
    on.clean()


async def test_a_read_is_sent_again_once_and_what_may_write_never() -> None:
    on = Shards()
    on.a.script = lambda sql: HANG
    for flags, sent in ((m.F_CONSOLIDATE, 2), (0, 1), (m.F_WRITE, 1)):
        before = len(on.a.texts)
        on.session.forward(on.a.link, flags, (), b"select 1", None)
        on.a.lose()
        on.a.welcome()
        await turns()
        assert len(on.a.texts) - before == sent
        on.a.lose()
        on.a.welcome()
        assert number(await on.last()) == 15008
        assert len(on.a.texts) - before == sent


async def test_a_read_is_not_sent_again_after_bytes_went_to_the_client() -> None:
    on = Shards()
    on.a.script = lambda sql: HANG
    on.session.forward(on.a.link, 0, (), b"select 1", None)
    request = on.session.request
    on.a.link.on_record([m.RESULT, request, 0, b"\x01\x00\x00\x01\x01"])
    on.a.lose()
    on.a.welcome()
    await turns()
    assert on.a.texts == [b"select 1"]
    assert on.connection.aborted
    assert on.connection.ended == 0


async def test_kill_query_in_a_write_of_several_shards_leaves_the_transaction_whole() -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    on.b.script = lambda sql: HANG if sql == b"update t" else None
    on.session.start(write_on(on.session, on.both, ("t",)))
    await turns()
    kill_query(on.session)
    assert number(await on.last()) == 1317
    assert on.a.texts[-1] == on.b.texts[-1] == UNDO
    assert all((on.a.open, on.b.open)), "the transaction goes on, as on MySQL"
    await on.end(b"commit")
    assert on.a.texts[-1] == on.b.texts[-1] == b"COMMIT"
    on.clean()


async def test_kill_query_in_an_implicit_transaction_rolls_it_back() -> None:
    on = Shards()
    on.b.script = lambda sql: HANG if sql == b"update t" else None
    on.session.start(write_on(on.session, on.both, ("t",)))
    await turns()
    kill_query(on.session)
    assert number(await on.last()) == 1317
    on.clean()


async def test_kill_query_does_not_cut_a_commit_short() -> None:
    on = Shards()
    on.b.script = lambda sql: HANG if sql == b"COMMIT" else None
    on.session.start(write_on(on.session, on.both, ("t",)))
    await turns()
    kill_query(on.session)
    await turns()
    assert on.connection.ended == 0
    on.b.answer(on.b.hanging.pop(b"COMMIT"))
    assert not in_trans(await on.last())
    on.clean()


async def test_kill_query_while_it_waits_for_a_tablet() -> None:
    on = Shards()
    on.a.lose()
    on.session.forward(on.a.link, m.F_WRITE, (), b"update one", None)
    kill_query(on.session)
    assert number(await on.last()) == 1317
    on.a.welcome()
    assert on.a.texts == []


@pytest.mark.parametrize("stuck", [b"update t", b"COMMIT", SAVEPOINT])
@pytest.mark.parametrize("explicit", [False, True])
async def test_a_client_that_goes_leaves_nothing(stuck: bytes, explicit: bool) -> None:
    on = Shards()
    if explicit:
        await on.begin()
        await on.run(on.a)
    on.b.script = lambda sql: HANG if sql == stuck else None
    on.session.start(write_on(on.session, on.both, ("t",)))
    await turns()
    close(on.session)
    await turns()
    for sql in list(on.b.hanging):
        on.b.answer(on.b.hanging.pop(sql))
    await turns()
    on.clean()
    if stuck == b"COMMIT" and not explicit:
        assert on.a.texts[-1] == on.b.texts[-1] == b"COMMIT", "what has begun to commit goes on"


async def test_a_client_that_goes_while_its_first_statement_opens_the_transaction() -> None:
    on = Shards()
    await on.begin()
    on.a.script = lambda sql: HANG
    on.session.forward(on.a.link, m.F_WRITE, (), b"update one", None)
    close(on.session)
    await turns()
    on.clean()


async def test_savepoints_are_replayed_on_a_shard_that_joins() -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    assert on.session.tx is not None
    on.session.tx.savepoints.append(b"SAVEPOINT `s`")
    await on.run(on.b)
    assert on.b.texts == [b"START TRANSACTION", b"SAVEPOINT `s`", b"update one"]


@pytest.mark.parametrize("lives", [False, True])
@pytest.mark.parametrize("at", [b"START TRANSACTION", b"SAVEPOINT `s`"])
async def test_a_shard_that_cannot_join_holds_nothing(at: bytes, lives: bool) -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    assert on.session.tx is not None
    on.session.tx.savepoints.append(b"SAVEPOINT `s`")
    on.b.script = lambda sql: (15003, "late", lives) if sql == at else None
    assert number(await on.run(on.b)) == 15003
    assert not on.b.open
    assert on.a.open
    await on.end(b"commit")
    on.clean()


async def test_several_shards_beside_a_reserved_connection_are_refused() -> None:
    on = Shards()
    on.session.reserved = {on.a.link: Reservation(1, on.a.link.incarnation)}
    on.a.open[1] = False
    assert number(await on.write()) == 1235
    assert on.a.texts == on.b.texts == []


async def test_a_reserved_connection_is_not_given_back_by_commit() -> None:
    on = Shards()
    on.a.open[1] = False
    on.session.reserved = {on.a.link: Reservation(1, on.a.link.incarnation)}
    await on.begin()
    await on.run(on.a)
    assert on.a.texts == [b"START TRANSACTION", b"update one"]
    assert on.a.open == {1: True}
    await on.end(b"commit")
    assert on.a.open == {1: False}
    assert on.session.reserved
    close(on.session)
    assert on.a.open == {}


async def test_a_reserved_connection_of_another_incarnation_is_lost_once() -> None:
    on = Shards()
    on.session.reserved = {on.a.link: Reservation(1, on.a.link.incarnation)}
    on.a.lose()
    on.a.welcome()
    assert number(await on.run(on.a)) == 15008
    assert not in_trans(await on.run(on.a))


async def test_autocommit_off_opens_by_itself_and_commit_ends() -> None:
    on = Shards()
    on.session.autocommit = False
    assert in_trans(await on.run(on.a))
    assert on.a.sent[-1][3] & m.F_NO_AUTOCOMMIT
    await on.end(b"commit")
    on.clean()


@pytest.mark.parametrize(("error", "stays"), [(1146, False), (1062, True)])
async def test_autocommit_off_begins_nothing_for_a_statement_without_its_table(
    error: int, stays: bool
) -> None:
    """A client that leaves it at that holds no connection, as on a server."""
    on = Shards()
    on.session.autocommit = False
    on.a.script = lambda sql: (error, "no") if sql == b"update one" else None
    assert number(await on.run(on.a)) == error
    await turns()
    assert bool(on.a.open) is stays
    await on.end(b"rollback")
    assert in_trans(await on.run(on.a, b"update two"))
    assert number(await on.run(on.a)) == error
    await turns()
    assert on.a.open
    await on.end(b"rollback")
    on.clean()


async def test_commit_and_chain_goes_on_with_the_same_characteristics() -> None:
    on = Shards()
    transactions.begin(on.session, Kind.BEGIN, b"start transaction read only")
    await on.last()
    await on.run(on.a)
    assert in_trans(await on.end(b"commit and chain"))
    await on.run(on.b)
    assert on.b.texts[0] == b"START TRANSACTION READ ONLY"


async def test_a_select_of_several_shards_can_be_killed_inside_a_transaction() -> None:
    on = Shards()
    plan = SelectPlan(Chooser(Choice.SCATTER, "ks"), ("t",), False, False)
    several = SeveralShards.__new__(SeveralShards)
    several._plan, several._flags, several._finisher = plan, 0, None
    several._links = lambda literals: (on.a.link, on.b.link)
    await on.begin()
    on.a.script = on.b.script = lambda sql: HANG if sql == b"select" else None
    several(on.session, b"select", [], None)
    await turns()
    assert on.a.hanging
    assert on.b.hanging
    kill_query(on.session)
    assert number(await on.last()) == 1317
    await turns()
    assert all((on.a.open, on.b.open)), "the transaction lives"
    await on.end(b"rollback")
    on.clean()


@pytest.mark.parametrize("held", [1, 2])
async def test_what_ends_a_transaction_is_said_to_write(held: int) -> None:
    on = Shards()
    for sql in (b"commit", b"rollback"):
        await on.begin()
        for tablet in (on.a, on.b)[:held]:
            await on.run(tablet)
        await on.end(sql)
        assert on.a.texts[-1] == sql.upper()
        assert on.a.sent[-1][3] & m.F_WRITE, "done is done, also where a KILL comes late"
        on.clean()


@pytest.mark.parametrize("sql", [b"commit and chain", b"rollback and chain"])
@pytest.mark.parametrize("reserved", [False, True])
@pytest.mark.parametrize("says", [(1694, "not inside a transaction"), (3024, "too long", True)])
async def test_an_end_that_fails_leaves_nothing_open(sql: bytes, reserved: bool, says: Any) -> None:
    on = Shards()
    if reserved:
        on.a.open[1] = False
        on.session.reserved = {on.a.link: Reservation(1, on.a.link.incarnation)}
    await on.begin()
    await on.run(on.a)
    word = sql.split()[0].upper()
    failing: list[Any] = [says]
    on.a.keeps = True
    on.a.script = lambda text: failing.pop() if failing and text == word else None
    await on.end(sql)
    assert on.a.open == {}, "its transaction may be open: nobody goes on with it"
    await on.end(b"rollback")
    if reserved:
        assert number(await on.run(on.a)) == 15009, (
            "what the connection had is gone, and the client hears of it"
        )
    on.clean()


async def test_kill_query_that_comes_with_a_commit_of_several_shards_lets_it_be() -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    await on.run(on.b)
    transactions.end(on.session, Kind.COMMIT, b"commit")
    await asyncio.sleep(0)
    kill_query(on.session)
    assert not in_trans(await on.last())
    assert on.a.texts[-1] == on.b.texts[-1] == b"COMMIT"
    on.clean()


async def test_an_answer_that_is_long_enough_does_not_cost_a_reserved_connection() -> None:
    on = Shards()
    on.b.open[1] = False
    on.session.reserved = {on.b.link: Reservation(1, on.b.link.incarnation)}
    on.b.script = lambda sql: HANG
    enough = SimpleNamespace(finished=True, feed=lambda *_: [], credits=list)
    scatter = Scatter(on.session, enough, (on.a.link, on.b.link))  # type: ignore[arg-type]
    scatter.start(0, ("t",), b"select")
    await turns()
    assert not scatter.done.done()
    on.b.answer(on.b.hanging.pop(b"select"))
    assert scatter.done.done()
    assert on.b.open == {1: False}
    assert on.session.reserved
