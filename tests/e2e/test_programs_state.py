"""Triggers, stored functions, procedures and views read the state of their session, whatever connection runs them, and
leave it as on the plain server."""

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from tests.e2e.test_session_as_plain import said
from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

MADE = (
    "CREATE TABLE prog (id INT AUTO_INCREMENT PRIMARY KEY, a BIGINT)",
    "CREATE TABLE prog_log (id INT AUTO_INCREMENT PRIMARY KEY, v BIGINT) AUTO_INCREMENT = 500",
    "CREATE TABLE prog_other (id INT AUTO_INCREMENT PRIMARY KEY) AUTO_INCREMENT = 777000",
    "CREATE TRIGGER prog_t BEFORE INSERT ON prog FOR EACH ROW INSERT INTO prog_log (v) VALUES (LAST_INSERT_ID())",
    "CREATE FUNCTION prog_id() RETURNS BIGINT READS SQL DATA RETURN LAST_INSERT_ID()",
    "CREATE FUNCTION prog_me() RETURNS BIGINT READS SQL DATA RETURN CONNECTION_ID()",
    """CREATE FUNCTION prog_both() RETURNS BIGINT MODIFIES SQL DATA
       BEGIN SET @both = prog_id(); INSERT INTO prog_log (v) VALUES (2); RETURN LAST_INSERT_ID(); END""",
    """CREATE PROCEDURE prog_p(me BIGINT)
       BEGIN SELECT prog_me() = me, LAST_INSERT_ID(); INSERT INTO prog_log (v) VALUES (1); END""",
    "CREATE VIEW prog_v AS SELECT id, a, prog_id() AS last FROM prog WHERE id >= LAST_INSERT_ID()",
)
SAID = (
    "SELECT prog_id()",
    "INSERT INTO prog (a) VALUES (1)",
    "SELECT LAST_INSERT_ID(), prog_id()",
    "INSERT INTO prog (a) VALUES (2), (3)",
    "SELECT v FROM prog_log",
    "SELECT * FROM prog_v",
    "INSERT INTO prog (id, a) VALUES (90, 4)",
    "SELECT LAST_INSERT_ID()",
    "DELETE FROM prog WHERE id < prog_id()",
    "UPDATE prog SET a = prog_id() WHERE id = LAST_INSERT_ID(3)",
    "SELECT a, prog_id(), prog_me() = CONNECTION_ID() FROM prog",
    "CALL prog_p(CONNECTION_ID())",
    "SELECT LAST_INSERT_ID()",
    "BEGIN",
    "SELECT prog_both()",
    "SELECT LAST_INSERT_ID(), prog_id(), @both",
    "SELECT prog_me() = CONNECTION_ID(), prog_both()",
    "COMMIT",
    "SELECT GET_LOCK('prog', 1), prog_me() = CONNECTION_ID()",
    "SELECT IS_USED_LOCK('prog') IS NULL, prog_me() = CONNECTION_ID()",
    "SELECT RELEASE_LOCK('prog')",
    "SELECT last FROM prog_v",
    "PREPARE one FROM 'SELECT prog_id(), prog_me() = CONNECTION_ID()'",
    "EXECUTE one",
)


@pytest.fixture(scope="module")
def programs(cluster: Cluster) -> Iterator[Cluster]:
    with cluster.connect("main") as cnx, cnx.cursor() as cursor:
        for sql in MADE:
            cursor.execute(sql)
        yield cluster
        for what in ("TABLE prog, prog_log, prog_other", "VIEW prog_v", "PROCEDURE prog_p"):
            cursor.execute(f"DROP {what}")
        for name in ("prog_id", "prog_me", "prog_both"):
            cursor.execute(f"DROP FUNCTION {name}")


def test_it_is_the_sessions(programs: Cluster) -> None:
    told: list[list[Any]] = []
    for kwargs in (programs.direct_tcp("main/-"), programs.connect_kwargs(database="main")):
        with (
            pymysql.connect(**kwargs, autocommit=True) as cnx,
            programs.connect("main") as other,
            other.cursor() as foreign,
        ):
            for table, first in (("prog", 1), ("prog_log", 500)):
                foreign.execute(f"DELETE FROM {table}")
                foreign.execute(f"ALTER TABLE {table} AUTO_INCREMENT = {first}")
            one: list[Any] = []
            for sql in SAID:
                foreign.execute("INSERT INTO prog_other VALUES ()")  # what a connection of the pool remembers
                one.append(said(cnx, sql))
            told.append(one)
    assert [pair for pair in zip(*told, strict=True) if pair[0] != pair[1]] == []


def test_over_shards(cluster: Cluster) -> None:
    cluster.clear("counter")
    with cluster.connect() as cnx, cnx.cursor() as cursor:

        def rows(sql: str) -> list[Any]:
            cursor.execute(sql)
            return list(cursor.fetchall())

        try:
            rows(
                "CREATE FUNCTION prog_shards(n INT) RETURNS INT DETERMINISTIC"
                " BEGIN SET @sum = @sum + n; RETURN @from + n; END"
            )
            rows("CREATE FUNCTION prog_shards_id() RETURNS INT READS SQL DATA RETURN LAST_INSERT_ID()")
            rows("INSERT INTO counter (id, owner, hits) VALUES (1, 1, 1), (2, 1, 2), (3, 1, 3), (4, 1, 4)")
            rows("SET @from = 100, @sum = 0")
            rows("SELECT LAST_INSERT_ID(77)")
            assert rows("SELECT id, prog_shards(hits) FROM counter ORDER BY id") == [
                (i, 100 + i) for i in range(1, 5)
            ]
            assert rows("SELECT @sum") == [(10,)]
            assert rows("SELECT prog_shards_id(), COUNT(*) FROM counter GROUP BY 1") == [(77, 4)]
            rows("BEGIN")
            rows("UPDATE counter SET hits = hits + 1")
            assert rows("SELECT SUM(prog_shards(hits)) FROM counter") == [(414,)]
            rows("ROLLBACK")
            assert rows("SELECT @sum, SUM(hits) FROM counter") == [(24, 10)]
        finally:
            rows("ROLLBACK")
            rows("DROP FUNCTION IF EXISTS prog_shards")
            rows("DROP FUNCTION IF EXISTS prog_shards_id")
            cluster.clear("counter")
