"""A statement that becomes many: whatever ends it half way, no half of it is left."""

import asyncio

import pytest

from router.engine.copying import CannotCopyError
from router.execute.atomic import Atomic
from router.sessions.ending import kill_query
from tests.unit.fake_tablets import turns
from tests.unit.test_transactions import UNDO, Shards, number


async def _half(on: Shards, then: BaseException | None) -> None:
    async with Atomic(on.session) as atomic:
        await atomic.write(on.a.link, b"insert 1", ("t",))
        if then is not None:
            raise then
        await asyncio.Event().wait()


@pytest.mark.parametrize("error", [CannotCopyError("x"), ZeroDivisionError()])
async def test_any_exception_undoes_what_was_written(error: Exception) -> None:
    on = Shards()
    await on.begin()
    with pytest.raises(type(error)):
        await _half(on, error)
    assert on.a.texts[-1] == UNDO
    assert on.session.tx is not None
    assert not on.session.tx.lost
    await on.end(b"rollback")
    on.clean()


async def test_any_exception_rolls_back_a_transaction_of_its_own() -> None:
    on = Shards()
    with pytest.raises(CannotCopyError):
        await _half(on, CannotCopyError("x"))
    assert b"COMMIT" not in on.a.texts
    on.clean()


async def test_killed_between_two_writes_the_transaction_is_lost_until_rollback() -> None:
    on = Shards()
    await on.begin()
    on.session.start(_half(on, None))
    await turns()
    assert on.a.texts[-1] == b"insert 1"
    kill_query(on.session)
    assert number(await on.last()) == 1317
    assert number(await on.end(b"commit")) == 15009
    assert b"COMMIT" not in on.a.texts
    await on.end(b"rollback")
    on.clean()
