"""A tablet that stood still does not do late what its routers have given up."""

import asyncio
import signal
from pathlib import Path

import pytest

from core.rpc import messages as m
from tablet.daemon.serving import ASLEEP_S
from tests.kit.servers import RunningMysql
from tests.kit.tablet import dsn, running_tablet

pytestmark = [pytest.mark.e2e, pytest.mark.fault]


@pytest.fixture
def database(mysql_server: RunningMysql, database: str) -> str:
    mysql_server.query("CREATE TABLE t (id INT PRIMARY KEY)", database)
    return database


async def test_writes_that_came_while_it_stood_still_are_not_done(
    mysql_server: RunningMysql, database: str, tmp_path: Path
) -> None:
    async with running_tablet(tmp_path / "tablet", dsn(mysql_server, database), pool_size=4) as tablet:
        asker = await tablet.asker("before")
        await tablet.serving(asker)
        reply = await asker.run("INSERT INTO t VALUES (1)", m.F_BEGIN | m.F_WRITE, extra={"begin": "BEGIN"})
        assert reply.handle
        tablet.process.send_signal(signal.SIGSTOP)
        try:
            asker.start("COMMIT", m.F_WRITE | m.F_RELEASE, reply.handle, tables=["t"])
            asker.start("INSERT INTO t VALUES (2)", m.F_WRITE, tables=["t"])
            await asyncio.sleep(ASLEEP_S + 0.5)
        finally:
            tablet.process.send_signal(signal.SIGCONT)
        after = await tablet.asker("after")
        await tablet.serving(after)
        assert (await after.run("INSERT INTO t VALUES (3)", m.F_WRITE, tables=["t"])).error == (0, "")
        async with asyncio.timeout(20):
            while (await after.stats())["in_use"] > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert (await after.run("SELECT id FROM t")).rows == [["3"]]
    assert "this tablet stood still" in tablet.log.read_text()
