"""Two tablets of one shard: one serves, whatever happens to it, and the cap of its MySQL holds."""

import asyncio
import signal
from pathlib import Path
from typing import Any

import pytest

from cli.local import EtcdServer
from controlplane.topo.store import Store
from core.rpc import messages as m
from tablet.backend.ownership import lock_name
from tests.kit.servers import Running, RunningMysql
from tests.kit.tablet import Asker, dsn, start_tablet, until

pytestmark = [pytest.mark.e2e, pytest.mark.fault]

POOL_SIZE = 4


@pytest.fixture
def database(mysql_server: RunningMysql, database: str) -> str:
    mysql_server.query("CREATE TABLE t (id INT PRIMARY KEY, v INT)", database)
    mysql_server.query("INSERT INTO t VALUES (1, 0)", database)
    return database


class Watch:
    """The most threads that the tablets had at once; this one's own connection has no database."""

    def __init__(self, server: RunningMysql, database: str) -> None:
        self.most = 0
        self._server, self._database = server, database
        self._task = asyncio.create_task(self._run())

    async def _run(self) -> None:
        while True:
            self.most = max(self.most, len(await asyncio.to_thread(threads, self._server, self._database)))
            await asyncio.sleep(0.02)

    def stop(self) -> int:
        self._task.cancel()
        return self.most


def threads(server: RunningMysql, database: str) -> list[int]:
    rows = server.query(f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{database}'")
    return [int(row[0]) for row in rows]


def owner(server: RunningMysql, database: str) -> int:
    """The thread that has the lock."""
    ((thread,),) = server.query(f"SELECT IS_USED_LOCK('{lock_name(database)}')")
    return int(thread or 0)


async def fill(asker: Asker) -> None:
    """More statements than there are connections for."""
    replies = [asker.start("SELECT SLEEP(0.2)")[1] for _ in range(2 * POOL_SIZE)]
    assert {reply.error for reply in await asyncio.gather(*replies)} == {(0, "")}


async def test_the_second_waits_until_the_first_is_gone(
    mysql_server: RunningMysql, database: str, tmp_path: Path
) -> None:
    """Without etcd: MySQL's lock alone decides. The second logs in once a second to ask, and leaves at once."""
    options: dict[str, Any] = {"pool_size": POOL_SIZE}
    first = start_tablet(tmp_path, dsn(mysql_server, database), name="first", **options)
    second = None
    try:
        asker = await first.asker()
        await first.serving(asker)
        second = start_tablet(tmp_path / "2", dsn(mysql_server, database), name="second", **options)
        await until(lambda: "another tablet serves" in second.log.read_text(), 20)
        waits = Asker(second.endpoint, "too-early")
        await fill(asker)
        assert not waits.welcome.done(), "a tablet that does not serve welcomes nobody"
        await waits.close()
        first.process.kill()
        first.process.wait()
        watch = Watch(mysql_server, database)
        after = await second.asker("after")
        await second.serving(after)
        await fill(after)
        assert watch.stop() <= POOL_SIZE
    finally:
        await first.stop()
        if second is not None:
            await second.stop()


async def test_a_tablet_that_stood_still_finds_another_in_its_place(
    mysql_server: RunningMysql, etcd_server: Running[EtcdServer], database: str, tmp_path: Path
) -> None:
    """The second kills what the first has on MySQL, also the idle transaction that holds a row; the first ends."""
    options: dict[str, Any] = {
        "etcd": etcd_server.server.endpoint,
        "cluster": database,
        "pool_size": POOL_SIZE,
    }
    store = Store.connect([etcd_server.server.endpoint], database)
    first = start_tablet(tmp_path / "1", dsn(mysql_server, database), name="first", **options)
    second = None
    try:
        asker = await first.asker()
        await first.serving(asker)
        reply = await asker.run("UPDATE t SET v = 1", m.F_BEGIN | m.F_WRITE, extra={"begin": "BEGIN"})
        assert reply.handle
        held = set(threads(mysql_server, database))
        assert len(held) == 2
        async with asyncio.timeout(20):
            while await listed(store) != held:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        second = start_tablet(tmp_path / "2", dsn(mysql_server, database), name="second", **options)
        await until(lambda: "serves this shard; waiting" in second.log.read_text(), 20)
        assert set(threads(mysql_server, database)) == held, "one that sees the other in etcd does not log in"

        first.process.send_signal(signal.SIGSTOP)
        mysql_server.query(f"KILL {owner(mysql_server, database)}")
        watch = Watch(mysql_server, database)
        after = await second.asker("after")
        await second.serving(after, 30)
        reply = await after.run("UPDATE t SET v = 2", m.F_WRITE, tables=["t"])
        assert reply.error == (0, ""), "the row is free"
        first.process.send_signal(signal.SIGCONT)
        await fill(after)
        await until(lambda: first.process.poll() is not None, 20)
        assert first.process.returncode == 1
        assert "has taken over commerce/-" in first.log.read_text()
        assert watch.stop() <= POOL_SIZE
        assert "1 threads, surely its own, are killed" in second.log.read_text()
        async with asyncio.timeout(20):
            while (record := await store.get("tablets/second")) is None or record.value["state"] != m.SERVING:  # noqa: ASYNC110
                await asyncio.sleep(0.05)
        assert mysql_server.query("SELECT v FROM t", database) == [(2,)]
    finally:
        first.process.send_signal(signal.SIGCONT)
        await first.stop()
        if second is not None:
            await second.stop()
        await store.close()


async def listed(store: Store) -> set[int]:
    record = await store.get("threads/commerce/-")
    return set(record.value["threads"]) if record is not None else set()
