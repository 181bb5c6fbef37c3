"""Several statements in one COM_QUERY, compared with the MySQL behind."""

import threading
from typing import Any

import mysql.connector
import pymysql
import pytest
from pymysql.constants import CLIENT, COMMAND, SERVER_STATUS

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e


def pymysql_to(kwargs: dict[str, Any], **more: Any) -> "pymysql.Connection[Any]":
    return pymysql.connect(
        **kwargs, autocommit=True, charset="utf8mb4", client_flag=CLIENT.MULTI_STATEMENTS, **more
    )


def results(cnx: Any, sql: str) -> list[Any]:
    """Every result of one COM_QUERY, an error as its number at the end."""
    cursor = cnx.cursor()
    found: list[Any] = []
    try:
        cursor.execute(sql)
        while True:
            rows = list(cursor.fetchall()) if cursor.description else None
            columns = [c[0] for c in cursor.description] if cursor.description else None
            found.append((columns, rows, cursor.rowcount, cursor.lastrowid))
            if not cursor.nextset():
                break
    except pymysql.err.Error as error:
        found.append(error.args[0])
    return found


TEXTS = (
    "SELECT 1; SELECT 2",
    "SELECT 1; SELECT 'a;b' AS `x;y`; SELECT 3;",
    "SELECT 1; SELECT nosuchcolumn; SELECT 3",
    "INSERT INTO note (id, body) VALUES (70007, 'x'); DELETE FROM note WHERE id = 70007; SELECT ROW_COUNT()",
    "SET @a = 5; SELECT @a; SET @a = @a + 1; SELECT @a AS b",
    'SET sql_mode = \'ANSI_QUOTES\'; SELECT 1 AS "a;b"; SET sql_mode = DEFAULT; SELECT "c;d" AS e',
    "BEGIN; INSERT INTO note (id, body) VALUES (70002, 'x'); ROLLBACK; SELECT COUNT(*) FROM note WHERE id = 70002",
    "SELECT 1; SELEC 2; SELECT 3",
    "DO 1; SELECT 7",
    "SELECT /* ; */ 1; -- only a comment ;\nSELECT 2",
    "/*!40101 SET @b = 2 */; SELECT @b",
)


@pytest.mark.parametrize("sql", TEXTS)
@pytest.mark.parametrize("deprecate_eof", [False, True])
def test_as_the_server_behind(cluster: Cluster, sql: str, deprecate_eof: bool) -> None:
    with (
        pymysql_to(cluster.connect_kwargs(database="main")) as through,
        pymysql_to(cluster.direct_tcp("main/-")) as direct,
    ):
        expected = results(direct, sql)
        if deprecate_eof:
            cnx = mysql.connector.connect(
                **cluster.connect_kwargs(database="main"),
                collation="utf8mb4_general_ci",
                use_pure=True,
                autocommit=True,
            )
            found: list[Any] = []
            try:
                for result in cnx.cmd_query_iter(sql):
                    if "columns" in result:
                        rows = cnx.get_rows()[0]
                        found.append([c[0] for c in result["columns"]])
                        found.append(len(rows))
            except mysql.connector.Error as error:
                found.append(error.errno)
            flat: list[Any] = []
            for one in expected:
                if isinstance(one, int):
                    flat.append(one)
                elif one[0] is not None:
                    flat += [one[0], len(one[1])]
            assert found == flat
            cnx.close()
            return
        assert results(through, sql) == expected
        assert results(through, "SELECT 8") == results(direct, "SELECT 8")


def test_over_shards(cluster: Cluster) -> None:
    cluster.clear("counter")
    values = ", ".join(f"({n}, {n})" for n in range(1, 301))
    with pymysql_to(cluster.connect_kwargs()) as cnx:
        found = results(
            cnx,
            f"INSERT INTO counter (id, owner) VALUES {values}; SELECT id FROM counter ORDER BY id; "
            "SELECT COUNT(*) FROM counter; SELECT id FROM counter WHERE id = 7; DELETE FROM counter WHERE id > 10; "
            "SELECT COUNT(*) FROM counter",
        )
    assert [one[1] for one in found] == [
        None,
        [(n,) for n in range(1, 301)],
        [(300,)],
        [(7,)],
        None,
        [(10,)],
    ]
    assert (found[0][2], found[4][2]) == (300, 290)


def test_a_large_answer_streams(cluster: Cluster) -> None:
    with pymysql_to(cluster.connect_kwargs(database="main")) as cnx:
        found = results(
            cnx,
            "SELECT 1; WITH RECURSIVE n AS (SELECT 1 AS i UNION ALL SELECT i + 1 FROM n WHERE i < 900) "
            "SELECT a.i, REPEAT('x', 50) FROM n a, n b LIMIT 200000; SELECT 2",
        )
    assert [len(one[1]) for one in found] == [1, 200000, 1]


def test_not_asked_for(cluster: Cluster) -> None:
    for kwargs in (cluster.connect_kwargs(database="main"), cluster.direct_tcp("main/-")):
        with pymysql.connect(**kwargs) as cnx:
            assert results(cnx, "SELECT 1; SELECT 2") == [1064]
            assert len(results(cnx, "SELECT 1;")) == 1


def test_set_option(cluster: Cluster) -> None:
    for kwargs in (cluster.connect_kwargs(database="main"), cluster.direct_tcp("main/-")):
        with pymysql.connect(**kwargs) as cnx:
            for option, count in ((0, 2), (1, 1), (0, 2)):
                cnx._execute_command(COMMAND.COM_SET_OPTION, option.to_bytes(2, "little"))
                cnx._read_packet()
                assert len(results(cnx, "SELECT 1; SELECT 2")) == count


def test_kill_ends_them_all(cluster: Cluster) -> None:
    with pymysql_to(cluster.connect_kwargs(database="main")) as cnx:
        number = results(cnx, "SELECT CONNECTION_ID()")[0][1][0][0]
        killer = threading.Timer(0.5, cluster.query, (f"KILL QUERY {number}",), {"database": "main"})
        killer.start()
        found = results(cnx, "SELECT 1; SELECT SLEEP(10) FROM note UNION SELECT SLEEP(10); SELECT 2")
        killer.join()
        assert len(found) == 2
        assert found[-1] == 1317
        assert results(cnx, "SELECT 3")[0][1] == [(3,)]


def test_the_flag_in_every_status(cluster: Cluster) -> None:
    with pymysql_to(cluster.connect_kwargs(database="main")) as cnx:
        cursor = cnx.cursor(pymysql.cursors.SSCursor)
        cursor.execute("SELECT 1; SET @x = 1; SELECT 2")
        more = []
        while True:
            cursor.fetchall()
            more.append(bool(cnx.server_status & SERVER_STATUS.SERVER_MORE_RESULTS_EXISTS))
            if not cursor.nextset():
                break
        assert len(more) == 3
