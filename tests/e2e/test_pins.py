"""What reserves a connection: the same answers as on the plain server, and given back as soon as the reason ends."""

from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

CASES: list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
    # statements, what is pinned then, statements that end it
    (("CREATE TEMPORARY TABLE pin_t (id INT)",), ("temporary table pin_t",), ("DROP TABLE pin_t",)),
    (
        (
            "CREATE /* x */ TEMPORARY TABLE `pin t` (id INT)",
            "INSERT INTO `pin t` VALUES (1)",
            "TABLE `pin t`",
        ),
        ("temporary table pin t",),
        ("DROP TABLE `pin t` -- end",),
    ),
    (
        ("CREATE TEMPORARY TABLE main.pin_t (id INT)", "CREATE TEMPORARY TABLE pin_u SELECT 1 AS a"),
        ("temporary table pin_t", "temporary table pin_u"),
        ("DROP TABLE nosuch, pin_t", "DROP TEMPORARY TABLE IF EXISTS pin_t, pin_u"),
    ),
    (
        ("CREATE TEMPORARY TABLE pin_t (id INT)", "ALTER TABLE pin_t ADD COLUMN b INT, RENAME TO pin_u"),
        ("temporary table pin_u",),
        ("DROP TABLE pin_u",),
    ),
    (
        ("SET @v = 'abc'", "CREATE TEMPORARY TABLE pin_t SELECT @v AS v", "SELECT v FROM pin_t"),
        ("temporary table pin_t",),
        ("DROP TABLE pin_t",),
    ),
    (
        ("BEGIN", "CREATE TEMPORARY TABLE pin_t (id INT)", "INSERT INTO pin_t VALUES (1)", "ROLLBACK"),
        ("temporary table pin_t",),
        ("SELECT COUNT(*) FROM pin_t", "DROP TEMPORARY TABLE pin_t"),
    ),
    (("SELECT GET_LOCK('pin', 1)",), ("a named lock 'pin'",), ("SELECT RELEASE_LOCK('pin')",)),
    (
        ("SELECT GET_LOCK('pin', 1)", "DO GET_LOCK('pin', 1)", "SELECT RELEASE_LOCK('pin')"),
        ("a named lock 'pin'",),
        ("DO RELEASE_LOCK('pin')", "SELECT RELEASE_LOCK('pin')"),
    ),
    (
        ("SELECT GET_LOCK('pin', 1), GET_LOCK(\"pin'2\", 1)",),
        ("a named lock 'pin'", "a named lock 'pin'2'"),
        ("SELECT RELEASE_ALL_LOCKS()",),
    ),
    (
        ("SET @n = 'pin'", "SELECT GET_LOCK(@n, 1)", "SELECT IS_FREE_LOCK(@n)"),
        ("a named lock 'pin'",),
        ("SELECT RELEASE_LOCK(@n)", "SELECT RELEASE_LOCK(@n)", "SELECT IS_FREE_LOCK(@n)"),
    ),
    (
        ("SET @got = GET_LOCK('pin', 1)", "SELECT @got"),
        ("a named lock 'pin'",),
        ("SET @got = RELEASE_LOCK('pin') + 5, @x = 1", "SELECT @got, @x"),
    ),
    (
        ("PREPARE pin FROM 'SELECT GET_LOCK(?, 1)'", "SET @n = 'pin'", "EXECUTE pin USING @n"),
        ("a named lock 'pin'",),
        ("SELECT RELEASE_LOCK('pin')",),
    ),
    (("SELECT GET_LOCK(CONCAT('pi', 'n'), 1)",), ("a named lock",), ("DO RELEASE_ALL_LOCKS()",)),
    (("LOCK TABLES note READ",), ("LOCK TABLES",), ("SELECT * FROM product", "UNLOCK TABLES")),
    (("LOCK TABLES note WRITE",), ("LOCK TABLES",), ("BEGIN", "SELECT COUNT(*) >= 0 FROM product", "COMMIT")),
]
MARIADB: list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
    (
        ("CREATE TEMPORARY SEQUENCE pin_s", "SELECT NEXTVAL(pin_s)"),
        ("temporary table pin_s",),
        ("DROP SEQUENCE pin_s",),
    ),
    (
        ("CREATE OR REPLACE TEMPORARY TABLE pin_t (id INT)", "SELECT * FROM pin_t"),
        ("temporary table pin_t",),
        ("DROP TABLE pin_t",),
    ),
]


def _say(cnx: "pymysql.Connection[Any]", statements: tuple[str, ...]) -> list[Any]:
    found: list[Any] = []
    for sql in statements:
        with cnx.cursor() as cursor:
            try:
                found.append((sql, cursor.execute(sql), list(cursor.fetchall())))
            except pymysql.err.MySQLError as error:
                found.append((sql, *error.args))
    return found


def _pins(cnx: "pymysql.Connection[Any]") -> list[str]:
    with cnx.cursor() as cursor:
        cursor.execute("SHOW PINS")
        return sorted(row[1] for row in cursor.fetchall())


def test_pins_begin_and_end_with_their_reason(cluster: Cluster) -> None:
    wrong = []
    for statements, pins, ends in CASES + (MARIADB if cluster.flavour == "mariadb" else []):
        with pymysql.connect(**cluster.direct_tcp("main/-"), autocommit=True) as plain:
            expected = (_say(plain, statements), sorted(pins), _say(plain, ends), [])
        with pymysql.connect(**cluster.connect_kwargs(database="main"), autocommit=True) as routed:
            found = (_say(routed, statements), _pins(routed), _say(routed, ends), _pins(routed))
        if found != expected:
            wrong.append((found, expected))
    assert wrong == []


def test_a_lock_that_another_has_pins_nothing(cluster: Cluster) -> None:
    with cluster.connect("main") as holder, cluster.connect("main") as other:
        assert _say(holder, ("SELECT GET_LOCK('pin', 0)",))[0][2] == [(1,)]
        assert _say(other, ("SELECT GET_LOCK('pin', 0)",))[0][2] == [(0,)]
        assert _pins(other) == []
        assert _pins(holder) == ["a named lock 'pin'"]
        assert _say(holder, ("SELECT RELEASE_LOCK('pin')",))[0][2] == [(1,)]
