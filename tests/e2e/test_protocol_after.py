"""What a session can ask of the statement before: FOUND_ROWS(), ROW_COUNT(), warnings; as the MySQL behind says."""

from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

ASKED = ("SELECT FOUND_ROWS(), ROW_COUNT()", "SHOW WARNINGS", "SHOW ERRORS", "SHOW COUNT(*) WARNINGS")

STATEMENTS = (
    "SELECT 1",
    "SELECT id FROM note",
    "SELECT id FROM note WHERE id < 0",
    "SELECT id FROM note LIMIT 2",
    "SELECT id FROM note ORDER BY id LIMIT 1, 1",
    "SELECT SQL_CALC_FOUND_ROWS id FROM note LIMIT 1",
    "SELECT COUNT(*) FROM note",
    "INSERT INTO note (id, body) VALUES (20, 'a'), (21, 'b')",
    "INSERT IGNORE INTO note (id, body) VALUES (1, 'a'), (22, 'b')",
    "INSERT INTO note (id, body) VALUES (1, 'again')",
    "UPDATE note SET body = 'changed'",
    "UPDATE note SET body = body",
    "DELETE FROM note WHERE id = 3",
    "REPLACE INTO note (id, body) VALUES (1, 'z')",
    "SET @x = 1",
    "SET sql_mode = ''; INSERT INTO note (id, body) VALUES ('7x', REPEAT('y', 300))",
    "SELECT 1 / 0",
    "SELECT 1 / 0, 2 / 0 FROM note",
    "SELECT CAST('12abc' AS SIGNED), CAST('x' AS SIGNED)",
    "SELECT nosuch FROM note",
    "SELECT * FROM nosuch",
    "SELEC",
    "CREATE TABLE IF NOT EXISTS note (id INT)",
    "DROP TABLE IF EXISTS nosuch",
    "BEGIN",
    "BEGIN; UPDATE note SET body = 'q'; COMMIT",
    "BEGIN; SELECT 1 / 0 FROM note",
    "DO 1 / 0",
    "SHOW TABLES",
    "SELECT @@warning_count",
    "SELECT 1 / 0; SELECT @@warning_count",
    "SELECT 1 / 0; SELECT 1",
    "SELECT 1 / 0; SELECT id FROM note",
    "SELECT 1 / 0; SET @x = 1",
    "SELECT 1 / 0; SHOW WARNINGS; SHOW WARNINGS",
    "SELECT 1 / 0, 1 / 0, 1 / 0; SHOW WARNINGS LIMIT 1, 2",
    "SELECT 1 / 0; SELECT ROW_COUNT()",
    "SELECT 1 / 0; USE main",
    "SELECT 1 / 0; BEGIN",
    "INSERT INTO note (body) VALUES (NULL); SELECT id FROM note WHERE id IS NULL",
)


DIFFERENT = {
    ("both", "SELECT id FROM note ORDER BY id LIMIT 1, 1"): "servers count the rows that OFFSET skips",
    ("mysql", "UPDATE note SET body = 'changed'"): "MySQL's UPDATE sets FOUND_ROWS() too",
    ("mysql", "UPDATE note SET body = body"): "MySQL's UPDATE sets FOUND_ROWS() too",
    ("mysql", "BEGIN; UPDATE note SET body = 'q'; COMMIT"): "MySQL's UPDATE sets FOUND_ROWS() too",
    ("mysql", "DO 1 / 0"): "MySQL's DO sets FOUND_ROWS() to 1",
    ("mariadb", "SELEC"): "the error's text is the router's: it says MySQL",
}


def run(cnx: "pymysql.Connection[Any]", sql: str) -> Any:
    with cnx.cursor() as cursor:
        try:
            cursor.execute(sql)
        except pymysql.err.Error as error:
            return error.args[0]
        return [tuple(row) for row in cursor.fetchall()] if cursor.description else cursor.rowcount


def story(kwargs: dict[str, Any], sql: str) -> list[Any]:
    told = []
    with pymysql.connect(**kwargs, autocommit=True, charset="utf8mb4") as cnx:
        for asked in ASKED:
            run(cnx, "TRUNCATE TABLE note")
            run(cnx, "INSERT INTO note (id, body) VALUES (1, 'a'), (2, 'b'), (3, 'c'), (4, 'd'), (5, 'e')")
            run(cnx, "SELECT 1 UNION SELECT 2 UNION SELECT 3")
            told += [run(cnx, one) for one in sql.split("; ")]
            told.append((asked, run(cnx, asked)))
            run(cnx, "ROLLBACK")
    return told


@pytest.mark.parametrize("sql", STATEMENTS)
def test_as_the_server_behind(cluster: Cluster, sql: str) -> None:
    for name in ("both", cluster.flavour):
        if (name, sql) in DIFFERENT:
            pytest.skip(DIFFERENT[name, sql])
    through = story(cluster.connect_kwargs(database="main"), sql)
    assert through == story(cluster.direct_tcp("main/-"), sql)


def test_over_shards(cluster: Cluster) -> None:
    cluster.clear("counter")
    with cluster.connect() as cnx:
        run(cnx, f"INSERT INTO counter (id, owner) VALUES {', '.join(f'({n}, {n})' for n in range(1, 41))}")
        assert run(cnx, "SELECT ROW_COUNT()") == [(40,)]
        run(cnx, "SELECT id FROM counter WHERE id < 31")
        assert run(cnx, "SELECT FOUND_ROWS(), ROW_COUNT()") == [(30, -1)]
        run(cnx, "UPDATE counter SET hits = 7 WHERE id < 21")
        assert run(cnx, "SELECT ROW_COUNT()") == [(20,)]
        run(cnx, "SELECT id / 0 FROM counter WHERE id IN (1, 2, 3, 4)")
        assert len({cluster.shard_of(n) for n in (1, 2, 3, 4)}) == 2
        found = run(cnx, "SHOW WARNINGS")
        assert {(level, code) for level, code, _ in found} == {("Warning", 1365)}
        assert len(found) == 4
        assert run(cnx, "SHOW COUNT(*) WARNINGS") == [(4,)]
        run(cnx, "SELECT id FROM counter WHERE id = 1")
        assert run(cnx, "SHOW WARNINGS") == []
