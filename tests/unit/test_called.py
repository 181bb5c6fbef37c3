"""What procedures leave open is the session's, and a CALL that was not begun leaves nothing."""

import pytest

from core.errors import CODES, SluiceError
from core.rpc import messages as m
from router.plan.plans import Kind
from router.sessions import called
from router.sessions.commit import commit
from router.sessions.ending import close
from router.statements import xa
from tests.unit.fake_tablets import turns
from tests.unit.test_transactions import Shards, in_trans, number


async def call(on: Shards, sql: bytes) -> bytes:
    called.begins(on.session)
    return await on.run(on.a, sql, m.F_WRITE | m.F_CALL)


async def again(on: Shards) -> bytes:
    """The tablet drained; its successor is here."""
    await turns()
    on.a.lose()
    on.a.welcome()
    return await on.last()


async def test_a_call_that_leaves_nothing_holds_nothing() -> None:
    on = Shards()
    assert not in_trans(await call(on, b"call nothing()"))
    assert on.session.tx is None
    assert on.a.texts == [b"call nothing()"]
    assert not on.a.open
    on.clean()


@pytest.mark.parametrize("end", [b"commit", b"rollback"])
async def test_a_transaction_left_open_is_ended_by_the_client(end: bytes) -> None:
    on = Shards()
    assert in_trans(await call(on, b"call begins()"))
    await on.run(on.a)
    await on.run(on.b)
    assert on.b.texts == [b"START TRANSACTION", b"update one"]
    await on.end(end)
    assert on.a.texts[-1] == end.upper()
    on.clean()


async def test_autocommit_that_a_procedure_turned_off_is_off() -> None:
    on = Shards()
    await call(on, b"call autocommit_off()")
    assert not on.session.autocommit
    assert on.session.tx is None
    assert in_trans(await on.run(on.a))
    await on.end(b"rollback")
    on.session.autocommit = True
    on.clean()


async def test_in_a_transaction_it_says_whether_that_is_still_open() -> None:
    on = Shards()
    await on.begin()
    await on.run(on.a)
    assert in_trans(await call(on, b"call nothing()"))
    assert not in_trans(await call(on, b"call ends()"))
    assert on.session.tx is None
    on.clean()


async def test_a_call_that_was_refused_leaves_set_transaction_to_the_next() -> None:
    on = Shards()
    on.session.next_transaction = ["SET TRANSACTION READ ONLY"]
    on.a.script = lambda sql: (15002, "full", False)
    assert number(await call(on, b"call begins()")) == 15002
    assert on.session.tx is None
    assert on.session.next_transaction == ["SET TRANSACTION READ ONLY"]
    on.clean()


async def test_a_call_that_met_a_draining_tablet_goes_once_more() -> None:
    on = Shards()
    on.session.next_transaction = ["SET TRANSACTION READ ONLY"]
    said = iter([(CODES["DRAINING"].number, "drains", False), None])
    on.a.script = lambda sql: next(said, None)
    called.begins(on.session)
    on.session.forward(on.a.link, m.F_WRITE | m.F_CALL, None, b"call begins()", None)
    assert in_trans(await again(on))
    assert on.a.texts == [b"SET TRANSACTION READ ONLY", b"call begins()"] * 2
    assert on.session.next_transaction is None
    await on.end(b"commit")
    on.clean()


async def test_a_read_that_goes_once_more_is_still_what_set_transaction_is_about() -> None:
    on = Shards()
    on.session.next_transaction = ["SET TRANSACTION READ ONLY"]
    said = iter([(CODES["DRAINING"].number, "drains", False), None])
    on.a.script = lambda sql: next(said, None)
    on.session.forward(on.a.link, 0, ("t",), b"select one", None)
    await again(on)
    first, second = [record[6] for record in on.a.sent if record[0] == m.EXECUTE]
    assert "read_only" in first
    assert first == second
    assert on.session.next_transaction is None
    on.clean()


async def test_a_call_whose_connection_was_kept_may_have_begun_one() -> None:
    on = Shards()
    on.a.script = lambda sql: (1317, "killed", True) if sql.startswith(b"call") else None
    assert number(await call(on, b"call begins()")) == 1317
    assert on.session.tx is not None
    await on.end(b"rollback")
    assert on.a.texts[-1] == b"ROLLBACK"
    on.clean()


async def start(on: Shards, sql: bytes = b"xa start 'x'") -> bytes:
    called.begins_branch(on.session, on.a.link)
    return await on.run(on.a, sql, m.F_WRITE | m.F_BRANCH)


async def test_an_xa_transaction_is_its_servers_to_end() -> None:
    on = Shards()
    on.a.script = lambda sql: (1399, "XAER_RMFAIL") if sql in (b"COMMIT", b"ROLLBACK") else None
    assert in_trans(await start(on))
    assert number(await on.run(on.b)) == 1235
    for end in (b"commit", b"rollback"):
        assert number(await on.end(end)) == 1399
        assert on.session.tx is not None
    with pytest.raises(SluiceError) as caught:  # what commits implicitly
        await commit(on.session)
    assert caught.value.number == 1399
    assert on.b.texts == []
    assert b"START TRANSACTION" not in on.a.texts
    close(on.session)
    await turns()
    assert len(on.a.freed) == 1
    on.clean()


async def test_of_an_xa_transaction_whose_connection_is_gone_the_server_is_asked() -> None:
    on = Shards()
    await start(on)
    on.a.lose()
    on.a.welcome()
    assert number(await on.run(on.a)) == 15050
    xa.run(on.session, Kind.XA, b"xa commit 'x'")
    assert not in_trans(await on.last())
    assert on.a.sent[-1][4] == 0
    on.clean()


async def test_an_xa_transaction_that_met_a_draining_tablet_begins_once_more() -> None:
    on = Shards()
    said = iter([(CODES["DRAINING"].number, "drains", False), None])
    on.a.script = lambda sql: next(said, None)
    called.begins_branch(on.session, on.a.link)
    on.session.forward(on.a.link, m.F_WRITE | m.F_BRANCH, (), b"xa start 'x'", None)
    assert in_trans(await again(on))
    assert [bool(record[3] & m.F_BEGIN) for record in on.a.sent if record[0] == m.EXECUTE] == [True, True]
    xa.run(on.session, Kind.XA, b"xa rollback 'x'")
    await on.last()
    on.clean()
