"""What stored programs leave in a session never reaches the next one, told by a session tracker or not."""

import asyncio
from collections.abc import AsyncIterator
from pathlib import Path

import pytest

from cli.local import create_database
from core.rpc import messages as m
from tests.kit.servers import RunningMysql
from tests.kit.tablet import Asker, dsn, running_tablet

pytestmark = pytest.mark.e2e

DATABASE = "t_programs"
PROGRAMS = {
    "setter": "FUNCTION setter() RETURNS INT DETERMINISTIC BEGIN SET SESSION lock_wait_timeout = 7; RETURN 1; END",
    "viewed": "VIEW viewed AS SELECT setter() AS n",
    "outer_view": "VIEW outer_view AS SELECT n FROM viewed",
    "takes_lock": "FUNCTION takes_lock() RETURNS INT BEGIN RETURN GET_LOCK('t_programs', 0); END",
    "breaks": "PROCEDURE breaks() BEGIN SET SESSION lock_wait_timeout = 8; SIGNAL SQLSTATE '45000'; END",
    "shows": "PROCEDURE shows() BEGIN SET SESSION lock_wait_timeout = 9; SELECT 1; END",
    "next_only": "PROCEDURE next_only() SET TRANSACTION READ ONLY",
    "fires": "TRIGGER fires BEFORE INSERT ON fired FOR EACH ROW SET SESSION lock_wait_timeout = 11",
    "fires_and_breaks": (
        "TRIGGER fires_and_breaks BEFORE INSERT ON broken FOR EACH ROW"
        " BEGIN SET SESSION lock_wait_timeout = 12; SIGNAL SQLSTATE '45000'; END"
    ),
    "innocent": "FUNCTION innocent() RETURNS INT DETERMINISTIC BEGIN DECLARE n INT; SET n = 3; RETURN n; END",
}


CASES = [
    (("setter",), "SELECT setter()", m.F_WRITE, 0),
    (("setter",), "SELECT 'a plan that took it for harmless', setter()", 0, 0),
    (("setter",), "SHOW TABLES WHERE setter() = 1", 0, 0),
    (("setter", "viewed", "outer_view"), "SELECT * FROM outer_view", 0, 0),
    (("setter",), "SELECT setter() UNION SELECT 1 / (SELECT 1 UNION SELECT 2)", 0, 1242),
    (("breaks",), "CALL breaks()", m.F_WRITE, 1644),
    (("shows",), "CALL shows()", m.F_WRITE, 0),
    (("fires",), "INSERT INTO fired VALUES (1)", m.F_WRITE, 0),
    (("fires_and_breaks",), "INSERT INTO broken VALUES (1)", m.F_WRITE, 1644),
    (("takes_lock",), "SELECT takes_lock()", m.F_WRITE, 0),
]
"""Programs, statement, flags, MySQL's error."""
KNOWN_S = 0.4
"""After that the tablet has looked which programs there are."""


@pytest.fixture
async def asker(mysql_server: RunningMysql, tmp_path: Path) -> AsyncIterator[Asker]:
    """A tablet with so few connections that each statement gets the one of the statement before."""
    create_database(mysql_server.server, DATABASE)
    for table in ("fired", "broken", "plain"):
        mysql_server.query(f"CREATE TABLE {table} (n INT)", DATABASE)
    where = dsn(mysql_server, DATABASE)
    try:
        async with running_tablet(tmp_path / "tablet", where, pool_size=3, query_timeout_s=5.0) as server:
            asker = await server.asker()
            await server.serving(asker)
            yield asker
    finally:
        mysql_server.query(f"DROP DATABASE {DATABASE}")
    assert "Traceback" not in server.log.read_text()


async def _make(asker: Asker, *names: str) -> None:
    """Makes them anew, as a router has it done."""
    for name in names:
        for sql in (f"DROP {PROGRAMS[name].split()[0]} IF EXISTS {name}", f"CREATE {PROGRAMS[name]}"):
            reply = await asker.run(sql, m.F_WRITE)
            assert not reply.error[0], reply.error


async def _seen(asker: Asker) -> list[str | None]:
    # another connection may still be on its way to giving the lock back
    ask = "SELECT @@lock_wait_timeout, IS_USED_LOCK('t_programs') <=> CONNECTION_ID()"
    return (await asker.run(ask)).rows[0]


@pytest.mark.parametrize("known", [False, True])
async def test_nothing_stays(asker: Asker, known: bool) -> None:
    before = await _seen(asker)
    assert before[1] == "0"
    if known:
        await _make(asker, *(name for name in PROGRAMS if name != "takes_lock"))
        await asyncio.sleep(KNOWN_S)
    for programs, sql, flags, number in CASES:
        if not known or programs == ("takes_lock",):
            await _make(asker, *programs)
            await asyncio.sleep(KNOWN_S if known else 0.0)
        tables = ["fired", "broken"] if sql.startswith("INSERT") else None
        assert (await asker.run(sql, flags, tables=tables)).error[0] == number, sql
        for _ in range(3):
            assert await _seen(asker) == before, sql
        begun = await asker.run("", m.F_BEGIN, extra={"begin": "START TRANSACTION"})
        assert begun.handle
        reply = await asker.run(sql, flags | m.F_STATUS, begun.handle, tables=tables)
        assert reply.error[0] == number, sql
        await asker.run("COMMIT", m.F_RELEASE | m.F_STATUS, begun.handle)
        for _ in range(3):
            assert await _seen(asker) == before, f"{sql} in a transaction"


async def test_a_one_shot_transaction_characteristic_dies_with_its_call(asker: Asker) -> None:
    await _make(asker, "next_only")
    assert not (await asker.run("CALL next_only()", m.F_WRITE)).error[0]
    assert not (await asker.run("INSERT INTO plain VALUES (1)", m.F_WRITE, tables=["plain"])).error[0]


async def test_a_transaction_that_cannot_begin_leaves_no_characteristic(asker: Asker) -> None:
    begun = await asker.run(
        "START TRANSACTION NONSENSE", m.F_BEGIN, extra={"begin": "SET TRANSACTION READ ONLY"}
    )
    assert begun.error[0] == 1064
    if begun.handle:
        asker.free(begun.handle)
    assert not (await asker.run("INSERT INTO plain VALUES (1)", m.F_WRITE, tables=["plain"])).error[0]


async def test_a_setting_that_fails_in_a_transaction_is_put_right_by_the_next(asker: Asker) -> None:
    begun = await asker.run("", m.F_BEGIN, settings="sql_mode='ANSI'", extra={"begin": "START TRANSACTION"})
    bad = "lock_wait_timeout=5,sql_mode='',time_zone='nowhere'"
    assert (await asker.run("SELECT 1", m.F_STATUS, begun.handle, settings=bad)).error[0] == 1298
    ask = "SELECT @@sql_mode LIKE '%ANSI%', @@lock_wait_timeout, @@time_zone"
    reply = await asker.run(ask, m.F_STATUS, begun.handle, settings="sql_mode='ANSI'")
    assert reply.rows[0][0] == "1"
    assert reply.rows[0][1] != "5"
    await asker.run("COMMIT", m.F_RELEASE | m.F_STATUS, begun.handle)
    fresh = await asker.run(ask)
    assert fresh.rows[0][0] == "0"
    assert fresh.rows[0][1:] == reply.rows[0][1:]
