"""GET DIAGNOSTICS, SIGNAL and RESIGNAL of a session: through the router they say what they say on the plain server."""

from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

ITEMS = (
    "CLASS_ORIGIN", "SUBCLASS_ORIGIN", "CONSTRAINT_CATALOG", "CONSTRAINT_SCHEMA", "CONSTRAINT_NAME", "CATALOG_NAME",
    "SCHEMA_NAME", "TABLE_NAME", "COLUMN_NAME", "CURSOR_NAME", "MYSQL_ERRNO", "RETURNED_SQLSTATE", "MESSAGE_TEXT",
)  # fmt: skip
ALL = ", ".join(f"@c{at} = {item}" for at, item in enumerate(ITEMS))
TOLD = "SELECT " + ", ".join(f"@c{at}" for at in range(len(ITEMS)))
NUMBERS = ("GET CURRENT DIAGNOSTICS @n = NUMBER, @r = ROW_COUNT", "SELECT @n, @r, ROW_COUNT()")
STATEMENTS = (
    "CREATE TABLE diag_t (id INT PRIMARY KEY, v CHAR(1), n TINYINT)",
    "INSERT INTO diag_t VALUES (1, 'a', 1), (2, 'b', 2)",
    *NUMBERS,
    "UPDATE diag_t SET v = 'z'",
    "GET DIAGNOSTICS @r = ROW_COUNT",
    *NUMBERS,
    "SELECT * FROM diag_t",
    *NUMBERS,
    "SELECT nosuch",
    f"GET DIAGNOSTICS CONDITION 1 {ALL}",
    TOLD,
    "INSERT INTO diag_t VALUES (1, 'a', 1)",
    f"get diagnostics condition 1 {ALL}",
    *NUMBERS,
    "SELECT nosuch FROM diag_t",
    # what there is not is added to the list, and no error
    *(
        f"GET DIAGNOSTICS CONDITION {number} @e = MYSQL_ERRNO"
        for number in ("2", "0", "'1x'", "1.6", "'x'", "NULL", "TRUE", "@nobody", "0x1", "1e0", "1+1", "-1")
    ),
    "SHOW WARNINGS",
    "SELECT nosuch FROM diag_t",
    "GET DIAGNOSTICS CONDITION 7 @e = MYSQL_ERRNO",
    "SHOW COUNT(*) WARNINGS",
    f"GET DIAGNOSTICS CONDITION 2 {ALL}",
    TOLD,
    "SELECT nosuch FROM diag_t",
    "BEGIN",
    "GET DIAGNOSTICS @n = NUMBER",
    "COMMIT",
    "SELECT @n",
    # warnings, of which SHOW WARNINGS does not tell the state
    "SET sql_mode = '', @third = 3",
    "INSERT INTO diag_t VALUES (5, 'yy', 1000), (6, NULL, 'x'), (7, '', '2x')",
    *(
        one
        for key, number in enumerate(("1", "2", "@third", "4"), 1)
        for one in (
            f"GET DIAGNOSTICS CONDITION {number} {ALL}",
            TOLD,
            f"INSERT INTO diag_t VALUES ({key}0, 'yy', 1000), ({key}1, NULL, 'x'), ({key}2, '', '2x')",
        )
    ),
    "DROP TABLE IF EXISTS diag_nosuch",
    f"GET DIAGNOSTICS CONDITION 1 {ALL}",
    TOLD,
    # mistakes
    "GET DIAGNOSTICS",
    "GET DIAGNOSTICS @n",
    "GET DIAGNOSTICS @n = NOSUCH",
    "GET DIAGNOSTICS @n = MYSQL_ERRNO",
    "GET DIAGNOSTICS CONDITION 1 @n = NUMBER",
    "GET DIAGNOSTICS n = NUMBER",
    "GET DIAGNOSTICS @@n = NUMBER",
    "GET STACKED DIAGNOSTICS @n = NUMBER",
    # SIGNAL
    (
        "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'mine', MYSQL_ERRNO = 5000, TABLE_NAME = 't', COLUMN_NAME = 'c',"
        " CLASS_ORIGIN = 'co', SCHEMA_NAME = 's', CATALOG_NAME = 'cat', CURSOR_NAME = 'cur', CONSTRAINT_NAME = 'con',"
        " CONSTRAINT_SCHEMA = 'cs', CONSTRAINT_CATALOG = 'cc', SUBCLASS_ORIGIN = 'so'"
    ),
    f"GET DIAGNOSTICS CONDITION 1 {ALL}",
    TOLD,
    "SET @message = 'of a variable', @number = 7777",
    "SIGNAL SQLSTATE VALUE '01234' SET MESSAGE_TEXT = @message, MYSQL_ERRNO = @number, TABLE_NAME = @message",
    f"GET DIAGNOSTICS CONDITION 1 {ALL}",
    TOLD,
    "SIGNAL SQLSTATE '02000'",
    f"GET DIAGNOSTICS CONDITION 1 {ALL}",
    TOLD,
    "SIGNAL SQLSTATE 'XA001'",
    f"GET DIAGNOSTICS CONDITION 1 {ALL}",
    TOLD,
    "SIGNAL SQLSTATE '00000'",
    "SIGNAL nosuch",
    "SIGNAL SQLSTATE '45000' SET MYSQL_ERRNO = 0",
    "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'a', MESSAGE_TEXT = 'b'",
    "SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = NULL",
    f"GET DIAGNOSTICS CONDITION 1 {ALL}",
    TOLD,
    "RESIGNAL",
    f"GET DIAGNOSTICS CONDITION 1 {ALL}",
    TOLD,
    "PREPARE g FROM 'GET DIAGNOSTICS @n = NUMBER'",
    "DROP TABLE diag_t",
)


def _said(cnx: "pymysql.Connection[Any]", sql: str) -> tuple[Any, ...]:
    with cnx.cursor() as cursor:
        try:
            affected = cursor.execute(sql)
            return sql, affected, tuple(cursor.fetchall()), cursor._result.warning_count
        except pymysql.err.MySQLError as error:
            return (sql, *error.args)


def test_statements_say_what_they_say_on_the_plain_server(cluster: Cluster) -> None:
    told = []
    for kwargs in (cluster.direct_tcp("main/-"), cluster.connect_kwargs(database="main")):
        with pymysql.connect(**kwargs, autocommit=True) as cnx:
            told.append([_said(cnx, sql) for sql in STATEMENTS])
    assert [pair for pair in zip(*told, strict=True) if pair[0] != pair[1]] == []


def test_of_statements_on_several_shards(cluster: Cluster) -> None:
    cluster.clear("counter")
    with cluster.connect() as cnx:
        rows = ", ".join(f"({id}, 1)" for id in range(901, 909))
        _said(cnx, f"INSERT INTO counter (id, owner) VALUES {rows}")
        assert _said(cnx, "GET DIAGNOSTICS @n = NUMBER, @r = ROW_COUNT")[1:] == (0, (), 0)
        assert _said(cnx, "SELECT @n, @r")[2] == ((0, 8),)
        _said(cnx, "LOCK TABLES counter READ")
        _said(cnx, "GET DIAGNOSTICS CONDITION 1 @e = MYSQL_ERRNO, @s = RETURNED_SQLSTATE")
        assert _said(cnx, "SELECT @e, @s")[2] == ((1235, "42000"),)
    cluster.clear("counter")


def test_resignal_tells_of_no_other_session(cluster: Cluster) -> None:
    """It clears nothing on its server, whose list has what the connection's last user did."""
    with cluster.connect("main") as one, cluster.connect("main") as other:
        for _ in range(2 * cluster.pool_size):
            _said(one, "SELECT secret FROM note")
            assert _said(other, "RESIGNAL")[1] == 1645
            assert "secret" not in str(_said(other, "SHOW WARNINGS"))
            _said(other, "SELECT 1 FROM note LIMIT 0")
