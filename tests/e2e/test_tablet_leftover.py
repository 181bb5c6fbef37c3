"""A tablet that is killed leaves statements running on MySQL: the next one counts them as its own."""

import asyncio
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.kit.servers import RunningMysql
from tests.kit.tablet import Asker, dsn, start_tablet, until

pytestmark = pytest.mark.e2e

POOL_SIZE = 5
LEFT = 2
ENDLESS = "SELECT SUM(a.id * b.id * c.id * d.id * e.id) FROM n a, n b, n c, n d, n e"


@pytest.fixture
def database(mysql_server: RunningMysql, database: str) -> Iterator[str]:
    mysql_server.query("CREATE TABLE n (id INT PRIMARY KEY)", database)
    mysql_server.query(f"INSERT INTO n VALUES {', '.join(f'({n})' for n in range(300))}", database)
    yield database
    for thread in threads(mysql_server, database, "COMMAND <> 'Sleep'"):
        mysql_server.query(f"KILL {thread}")


def threads(server: RunningMysql, database: str, which: str = "TRUE") -> list[int]:
    """The tablet's threads; this test's own connection has no database."""
    rows = server.query(f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{database}' AND {which}")
    return [row[0] for row in rows]


async def test_the_cap_holds_after_a_kill(mysql_server: RunningMysql, database: str, tmp_path: Path) -> None:
    first = start_tablet(tmp_path, dsn(mysql_server, database), name="first", pool_size=POOL_SIZE)
    asker = await first.asker()
    await first.serving(asker)
    for _ in range(LEFT):
        asker.start(ENDLESS)
    await until(lambda: len(threads(mysql_server, database, "COMMAND <> 'Sleep'")) == LEFT, 20)
    first.process.kill()
    first.process.wait()
    await first.stop()
    await until(lambda: len(threads(mysql_server, database)) == LEFT, 20)

    second = start_tablet(
        tmp_path, dsn(mysql_server, database), name="second", pool_size=POOL_SIZE, queue_timeout_ms=30_000
    )
    most = 0

    async def watch() -> None:
        nonlocal most
        while True:
            most = max(most, len(await asyncio.to_thread(threads, mysql_server, database)))
            await asyncio.sleep(0.01)

    try:
        asker = await second.asker()
        await second.serving(asker)
        assert (await asker.stats())["in_use"] == LEFT + 1
        watching = asyncio.create_task(watch())
        await all_at_once(asker)
        for thread in threads(mysql_server, database, "INFO LIKE 'SELECT SUM%'"):
            mysql_server.query(f"KILL {thread}")
        async with asyncio.timeout(30):
            while (await asker.stats())["in_use"] > 1:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        await all_at_once(asker)
        watching.cancel()
        assert LEFT + 1 < most <= POOL_SIZE
    finally:
        await second.stop()
    assert f"{LEFT} statements of an earlier tablet" in second.log.read_text()


async def all_at_once(asker: Asker) -> None:
    """More statements than there are connections for."""
    replies = [asker.start("SELECT SLEEP(0.3)")[1] for _ in range(2 * POOL_SIZE)]
    assert {reply.error for reply in await asyncio.gather(*replies)} == {(0, "")}
