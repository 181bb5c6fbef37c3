"""A network that swallows what the tablet says to MySQL on some of its connections, and closes nothing."""

import asyncio
from collections.abc import Callable
from pathlib import Path

import pytest

from core.rpc import messages as m
from tests.kit.proxy import Address, CutProxy
from tests.kit.servers import RunningMysql
from tests.kit.tablet import running_tablet, until
from wire.constants import SERVER_STATUS_IN_TRANS

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

QUERY_S = 0.5
FAILS_LATE = "UPDATE t SET v = IF(GET_LOCK('{0}', 60), 'x', 1) WHERE id = 3"


@pytest.fixture
def database(mysql_server: RunningMysql, database: str) -> str:
    mysql_server.query("CREATE TABLE t (id INT PRIMARY KEY, v INT)", database)
    mysql_server.query("INSERT INTO t VALUES (1, 0), (2, 0), (3, 0)", database)
    return database


def threads(server: RunningMysql, database: str) -> int:
    ((count,),) = server.query(f"SELECT COUNT(*) FROM information_schema.PROCESSLIST WHERE DB = '{database}'")
    return int(count)


async def test_no_place_is_lost_to_it(
    mysql_server: RunningMysql, database: str, tmp_path: Path, cut_proxy: Callable[[Address], CutProxy]
) -> None:
    """A transaction given back (ROLLBACK), a reserved connection given back (reset), a statement that failed in its
    transaction (COM_PING): each waits for MySQL, and must end; what they have locked must be free again."""
    proxy = cut_proxy(str(mysql_server.socket))
    account = mysql_server.account
    dsn = f"mysql://{account.user}:{account.password}@127.0.0.1:{proxy.port}/{database}"
    async with running_tablet(
        tmp_path / "tablet", dsn, pool_size=6, reserved_share=1.0, query_timeout_s=QUERY_S
    ) as tablet:
        asker = await tablet.asker()
        await tablet.serving(asker)
        handles = []
        for id_, flags in ((1, m.F_BEGIN), (2, m.F_BEGIN | m.F_RESERVE), (3, m.F_BEGIN)):
            sql = f"UPDATE t SET v = 1 WHERE id = {id_}"
            begin = {"begin": "START TRANSACTION"}
            reply = await asker.run(sql, flags | m.F_WRITE, extra=begin, tables=["t"])
            assert reply.error == (0, "")
            assert reply.status & SERVER_STATUS_IN_TRANS
            handles.append(reply.handle)
        assert (await asker.stats())["in_use"] == 4
        gate = mysql_server.connect()
        gate.query(f"SELECT GET_LOCK('{database}', 0)")
        _, late = asker.start(FAILS_LATE.format(database), m.F_WRITE | m.F_OLAP, handles[2], tables=["t"])
        await until(lambda: bool(mysql_server.query(RUNS.format(database))), 20)
        proxy.swallow(first=1)  # the admin lane is the oldest
        gate.close()
        asker.free(handles[0])
        asker.free(handles[1])
        reply = await asyncio.wait_for(late, 30)
        assert reply.error[0] == 15009, reply.error
        assert "connection to MySQL was lost" in reply.error[1]
        assert reply.handle == 0
        async with asyncio.timeout(30):
            while (await asker.stats())["in_use"] > 1 or threads(mysql_server, database) > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        replies = await asyncio.gather(
            *(asker.run(f"UPDATE t SET v = 2 WHERE id = {n}", m.F_WRITE, tables=["t"]) for n in (1, 2, 3))
        )
        assert [reply.error for reply in replies] == [(0, "")] * 3
    assert "Traceback" not in tablet.log.read_text()
    assert tablet.log.read_text().count("did not answer the tablet's own command") == 3


RUNS = "SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{0}' AND INFO LIKE 'UPDATE t%GET_LOCK%'"
