"""Statements that end just when they are to be stopped: the answer is what became of them on the server."""

import asyncio
from collections.abc import AsyncIterator, Callable
from pathlib import Path

import pytest

from core.rpc import messages as m
from tests.kit.proxy import Address, CutProxy
from tests.kit.servers import RunningMysql
from tests.kit.tablet import Asker, Reply, running_tablet
from wire.constants import SERVER_STATUS_IN_TRANS

pytestmark = pytest.mark.e2e

TRANSACTION_S = 1.5
UNKNOWN = 15008
"""What the tablet says where this machine is so slow that the KILL seems to be of no use."""
TIMED_OUT = (15010, UNKNOWN)


@pytest.fixture
def database(mysql_server: RunningMysql, database: str) -> str:
    mysql_server.query("CREATE TABLE t (id INT PRIMARY KEY)", database)
    return database


@pytest.fixture
def proxy(mysql_server: RunningMysql, cut_proxy: Callable[[Address], CutProxy]) -> CutProxy:
    """What the tablet says reaches MySQL, and MySQL the tablet, only while it flows."""
    return cut_proxy(str(mysql_server.socket))


@pytest.fixture
async def asker(
    mysql_server: RunningMysql, database: str, proxy: CutProxy, tmp_path: Path
) -> AsyncIterator[Asker]:
    account = mysql_server.account
    dsn = f"mysql://{account.user}:{account.password}@127.0.0.1:{proxy.port}/{database}"
    async with running_tablet(
        tmp_path / "tablet", dsn, pool_size=4, transaction_timeout_s=TRANSACTION_S, query_timeout_s=30.0
    ) as tablet:
        asker = await tablet.asker()
        await tablet.serving(asker)
        yield asker
    assert "Traceback" not in tablet.log.read_text()


async def begin(asker: Asker) -> int:
    reply = await asker.run("SELECT 1", m.F_BEGIN, extra={"begin": "START TRANSACTION"}, tables=["t"])
    assert reply.error == (0, "")
    assert reply.status & SERVER_STATUS_IN_TRANS
    return reply.handle


async def late(asker: Asker, proxy: CutProxy, sql: str, flags: int, handle: int) -> Reply:
    """Runs a statement that gets to MySQL together with the KILL that is to stop it."""
    proxy.stall()
    _, done = asker.start(sql, flags, handle, tables=["t"])
    await asyncio.sleep(TRANSACTION_S + 0.7)
    proxy.flow()
    return await asyncio.wait_for(done, 30)


async def test_a_write_that_is_done_before_its_kill_is_not_called_done_when_its_transaction_is_rolled_back(
    asker: Asker, proxy: CutProxy, mysql_server: RunningMysql, database: str
) -> None:
    handle = await begin(asker)
    reply = await late(asker, proxy, "INSERT INTO t VALUES (1)", m.F_WRITE, handle)
    assert reply.handle == 0
    assert reply.error[0] in TIMED_OUT
    assert mysql_server.query("SELECT COUNT(*) FROM t FOR UPDATE", database) == [(0,)]


async def test_a_commit_that_is_done_before_its_kill_is_called_done(
    asker: Asker, proxy: CutProxy, mysql_server: RunningMysql, database: str
) -> None:
    handle = await begin(asker)
    await asker.run("INSERT INTO t VALUES (1)", m.F_WRITE, handle, tables=["t"])
    reply = await late(asker, proxy, "COMMIT", m.F_WRITE | m.F_RELEASE | m.F_STATUS, handle)
    assert reply.handle == 0
    there = mysql_server.query("SELECT COUNT(*) FROM t FOR UPDATE", database) == [(1,)]
    if reply.error[0] != UNKNOWN:
        assert there == (reply.error[0] == 0)


async def test_a_commit_whose_answer_is_lost_is_called_neither_done_nor_undone(
    asker: Asker, proxy: CutProxy
) -> None:
    for sql, expected in (("COMMIT", UNKNOWN), ("INSERT INTO t VALUES (2)", 15009)):
        handle = await begin(asker)
        await asker.run("INSERT INTO t VALUES (1)", m.F_WRITE, handle, tables=["t"])
        proxy.stall()
        _, done = asker.start(sql, m.F_WRITE, handle, tables=["t"])
        await asyncio.sleep(0.2)
        proxy.cut()
        proxy.flow()
        reply = await asyncio.wait_for(done, 30)
        assert (reply.error[0], reply.handle) == (expected, 0)
