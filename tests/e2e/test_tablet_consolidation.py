"""Consolidated reads are never older than their own request, whatever is written meanwhile; real servers."""

import asyncio
import itertools
import random
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import pytest

from cli.local import Flavour
from core.rpc import messages as m
from tests.kit.servers import RunningMysql
from tests.kit.tablet import Asker, TabletServer, dsn, running_tablet

pytestmark = pytest.mark.e2e


@pytest.fixture
def database(mysql_server: RunningMysql, database: str) -> str:
    mysql_server.query("CREATE TABLE t (id INT PRIMARY KEY, v INT)", database)
    mysql_server.query("INSERT INTO t VALUES (1, 0), (2, 0)", database)
    return database


@pytest.fixture
async def tablet(mysql_server: RunningMysql, database: str, tmp_path: Path) -> AsyncIterator[TabletServer]:
    async with running_tablet(tmp_path / "tablet", dsn(mysql_server, database), pool_size=12) as server:
        yield server
    assert "Traceback" not in server.log.read_text()


@pytest.fixture
async def asker(tablet: TabletServer) -> Asker:
    asker = await tablet.asker()
    await tablet.serving(asker)
    return asker


READ = "SELECT v, SLEEP(0.02) FROM t WHERE id = 1"
SHARED: dict[str, Any] = {"tables": ["t"]}


async def test_equal_reads_run_once(asker: Asker) -> None:
    replies = await asyncio.gather(*(asker.run(READ, m.F_CONSOLIDATE, **SHARED) for _ in range(50)))
    assert {reply.rows[0][0] for reply in replies} == {"0"}
    assert sum(bool(reply.info & m.I_SHARED) for reply in replies) == 49
    stats = await asker.stats()
    assert stats["consolidated"] == 49
    # another user, other settings, another flavour: another execution
    others = await asyncio.gather(
        asker.run(READ, m.F_CONSOLIDATE, **SHARED),
        asker.run(READ, m.F_CONSOLIDATE, user="other", **SHARED),
        asker.run(READ, m.F_CONSOLIDATE, settings="time_zone='+01:00'", **SHARED),
        asker.run(READ, m.F_CONSOLIDATE | m.F_DEPRECATE_EOF, **SHARED),
        asker.run(READ, m.F_CONSOLIDATE | m.F_WARNINGS, **SHARED),
        asker.run(READ, m.F_CONSOLIDATE),
    )
    assert not any(reply.info & m.I_SHARED for reply in others)
    assert (await asker.stats())["not_consolidated"] == {"tables_unknown": 1}


async def test_a_read_sees_every_write_that_was_answered_before_it(asker: Asker) -> None:
    """The register: whoever reads after a write was answered sees it or a later one, and time never goes back."""
    rng = random.Random(7)
    written = 0
    seen = 0
    shared = 0
    running = True

    async def writer() -> None:
        nonlocal written
        for number in itertools.count(1):
            if not running:
                return
            if number % 3 == 0:
                begun = await asker.run(
                    f"UPDATE t SET v = {number} WHERE id = 1",
                    m.F_WRITE | m.F_BEGIN,
                    tables=["t"],
                    extra={"begin": "START TRANSACTION"},
                )
                assert begun.error == (0, "")
                reply = await asker.run("COMMIT", m.F_RELEASE, begun.handle)
            else:
                tables = ["t"] if number % 2 else None
                reply = await asker.run(f"UPDATE t SET v = {number} WHERE id = 1", m.F_WRITE, tables=tables)
            assert reply.error == (0, "")
            written = number
            await asyncio.sleep(rng.random() * 0.03)

    async def reader() -> None:
        nonlocal seen, shared
        while running:
            at_least = max(written, seen)
            reply = await asker.run("SELECT v, SLEEP(0.005) FROM t WHERE id = 1", m.F_CONSOLIDATE, **SHARED)
            value = int(reply.rows[0][0] or 0)
            assert value >= at_least
            seen = max(seen, value)
            shared += bool(reply.info & m.I_SHARED)
            await asyncio.sleep(rng.random() * 0.004)

    tasks = [asyncio.create_task(task) for task in (writer(), *(reader() for _ in range(20)))]
    await asyncio.sleep(3)
    running = False
    await asyncio.gather(*tasks)
    assert written > 20
    assert shared > 50
    assert (await asker.stats())["not_consolidated"]["written"] > 10


async def test_a_leader_that_fails_fails_nobody_else(asker: Asker, flavour: Flavour) -> None:
    killed = 0 if flavour == "mysql" else 1317  # a SLEEP that MySQL ends says 1, and no error
    await asker.run("SELECT 1")  # a connection is there: the leader runs at once
    sql = "SELECT v, SLEEP(2) FROM t WHERE id = 1"
    for how in ("cancelled", "timed out"):
        leader, led = asker.start(
            sql, m.F_CONSOLIDATE, tables=["t"], deadline_s=1.5 if how == "timed out" else 0
        )
        joined = [asker.start(sql, m.F_CONSOLIDATE, tables=["t"])[1] for _ in range(5)]
        impatient = asker.start(sql, m.F_CONSOLIDATE, tables=["t"], deadline_s=0.15)[1]
        async with asyncio.timeout(10):
            while (await asker.stats())["waiting"] < 5:  # noqa: ASYNC110
                await asyncio.sleep(0.01)
        if how == "cancelled":
            asker.cancel(leader)
        assert (await led).error[0] == (killed if how == "cancelled" else 3024)
        assert (await impatient).error[0] == 3024
        replies = await asyncio.gather(*joined)
        assert {reply.rows[0][0] for reply in replies} == {"0"}
    alone = (await asker.stats())[
        "not_consolidated"
    ]  # a leader whose connection is still being opened has not run
    assert alone.get("stopped", 0) + alone.get("leader_failed", 0) >= 10


async def test_large_answers_are_not_shared_but_right(
    asker: Asker, mysql_server: RunningMysql, database: str
) -> None:
    mysql_server.query("CREATE TABLE big (id INT PRIMARY KEY AUTO_INCREMENT, v TEXT)", database)
    mysql_server.query("INSERT INTO big (v) VALUES (REPEAT('y', 4000))", database)
    for _ in range(10):
        mysql_server.query("INSERT INTO big (v) SELECT v FROM big", database)
    for limit, shared in ((40, True), (1024, False)):
        sql = f"SELECT id, v, SLEEP(0.1 * (id = 1)) FROM big ORDER BY id LIMIT {limit}"
        replies = await asyncio.gather(*(asker.run(sql, m.F_CONSOLIDATE, tables=["big"]) for _ in range(5)))
        assert {len(reply.rows) for reply in replies} == {limit}
        assert {reply.data for reply in replies} == {replies[0].data}
        assert any(reply.info & m.I_SHARED for reply in replies) == shared
    reasons = (await asker.stats())["not_consolidated"]
    assert reasons.get("too_large", 0) + reasons.get("slow_client", 0) == 4
