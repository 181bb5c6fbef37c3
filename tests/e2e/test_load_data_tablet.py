"""A tablet between a router's file and a real MySQL: whatever comes in the middle, no row half done, no lost place."""

import asyncio
from collections.abc import AsyncIterator, Iterator
from pathlib import Path

import pytest

from cli.local import create_database
from core.rpc import messages as m
from tests.e2e.test_tablet import BEGIN, dsn
from tests.kit.servers import RunningMysql
from tests.kit.tablet import Asker, Reply, TabletServer, running_tablet, until

pytestmark = pytest.mark.e2e

LOAD = "LOAD DATA LOCAL INFILE 'f' INTO TABLE t"
FLAGS = m.F_WRITE | m.F_INFILE | m.F_BEGIN
DATABASE = "t_load"


@pytest.fixture
def database(mysql_server: RunningMysql) -> Iterator[str]:
    create_database(mysql_server.server, DATABASE)
    mysql_server.query("CREATE TABLE t (id INT PRIMARY KEY, v VARCHAR(100))", DATABASE)
    yield DATABASE
    mysql_server.query(f"DROP DATABASE {DATABASE}")


@pytest.fixture
async def tablet(mysql_server: RunningMysql, database: str, tmp_path: Path) -> AsyncIterator[TabletServer]:
    async with running_tablet(tmp_path / "tablet", dsn(mysql_server, database), pool_size=4) as server:
        yield server
    assert server.process.returncode == 0
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
async def asker(tablet: TabletServer) -> AsyncIterator[Asker]:
    asker = Asker(tablet.endpoint, "asker")
    await asyncio.wait_for(asker.welcome, 20)
    yield asker
    await asker.close()


async def rows(asker: Asker) -> str | None:
    return (await asker.run("SELECT COUNT(*) FROM t")).value


async def all_given_back(asker: Asker) -> None:
    """Every place of the pool is free again, and no connection is in an unknown state."""

    async def free() -> bool:
        stats = await asker.stats()
        return stats["in_use"] == 1 and not stats["held"]  # the admin lane

    async with asyncio.timeout(10):
        while not await free():  # noqa: ASYNC110
            await asyncio.sleep(0.02)
    answers = await asyncio.gather(*(asker.run("SELECT 7, SLEEP(0.02)") for _ in range(8)))
    assert {answer.value for answer in answers} == {"7"}


async def asked(asker: Asker, done: "asyncio.Future[Reply]") -> tuple[int, bytes]:
    """The statement and the file that MySQL wants for it; fails with the answer where it does not ask."""
    wanted = asyncio.ensure_future(asker.files.get())
    await asyncio.wait((wanted, done), timeout=30, return_when=asyncio.FIRST_COMPLETED)
    assert not done.done(), done.result().error
    return await asyncio.wait_for(wanted, 1)


async def test_files_in_pieces(asker: Asker) -> None:
    id_, done = asker.start(LOAD, FLAGS, extra=BEGIN)
    assert await asked(asker, done) == (id_, b"f")
    sent = 0
    for n in range(600):  # more packets than there are sequence ids
        data = b"%d\tone\n" % n
        asker.send_file(id_, data)
        sent += len(data)
    asker.send_file(id_, b"")
    reply = await asyncio.wait_for(done, 10)
    assert not reply.error[0], reply.error
    assert reply.data[3] == 1
    await until(lambda: asker.taken_bytes == sent)
    assert reply.handle
    await asker.run("COMMIT", m.F_RELEASE, reply.handle)
    assert await rows(asker) == "600"
    await all_given_back(asker)


async def test_a_file_nobody_sends(asker: Asker) -> None:
    """A LOAD DATA without F_INFILE: the server that asks is not trusted."""
    reply = await asker.run(LOAD, m.F_WRITE)
    assert reply.failed is not None
    await all_given_back(asker)


@pytest.mark.parametrize("ends", ["cancel", "free", "peer", "error"])
async def test_ends_in_the_middle(asker: Asker, tablet: TabletServer, ends: str) -> None:
    other = Asker(tablet.endpoint, "other")
    await asyncio.wait_for(other.welcome, 20)
    first = await other.run("SELECT 1", m.F_BEGIN, extra=BEGIN)
    text = LOAD if ends != "error" else LOAD + " (id, v, nosuch)"
    id_, done = other.start(text, m.F_WRITE | m.F_INFILE, first.handle)
    if ends == "error":
        reply = await asyncio.wait_for(done, 10)
        assert reply.error[0] == 1054
        assert other.files.empty()
        assert reply.handle == first.handle  # the transaction stands
        other.free(first.handle)
    else:
        await asyncio.wait_for(other.files.get(), 5)
        other.send_file(id_, b"".join(b"%d\tx\n" % n for n in range(2000)))
        await until(lambda: other.taken_bytes > 0)
        if ends == "cancel":
            other.cancel(id_)
        elif ends == "free":
            other.free(first.handle)
        if ends == "peer":
            asker.dealer.send((m.PEER_GONE, "other"))
        else:
            reply = await asyncio.wait_for(done, 10)
            assert reply.error[0] == 1317
            assert reply.handle == 0
            other.send_file(id_, b"late\n")  # sent before the answer came
            other.send_file(id_, b"")
    await all_given_back(asker)
    assert await rows(asker) == "0"
    await other.close()


async def test_the_server_closes_in_the_middle(asker: Asker, mysql_server: RunningMysql) -> None:
    id_, done = asker.start(LOAD, FLAGS, extra=BEGIN)
    await asked(asker, done)
    asker.send_file(id_, b"1\tx\n")
    await until(lambda: asker.taken_bytes > 0)
    ((thread,),) = mysql_server.query(
        f"SELECT ID FROM information_schema.PROCESSLIST WHERE DB = '{DATABASE}' AND INFO LIKE 'LOAD%'"
    )
    mysql_server.query(f"KILL {thread}")
    reply = await asyncio.wait_for(done, 10)
    assert reply.failed is not None
    await all_given_back(asker)
    assert await rows(asker) == "0"
