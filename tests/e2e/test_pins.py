"""What reserves a connection: the same answers as on the plain server, and given back as soon as the reason ends."""

from contextlib import closing
from typing import Any

import mysql.connector
import pymysql
import pytest

from tests.kit.cluster import PASSWORD, USER, Cluster, wait_for

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
    (
        ("HANDLER note OPEN", "HANDLER note READ FIRST", "BEGIN", "HANDLER note READ NEXT", "COMMIT"),
        ("HANDLER note",),
        ("HANDLER note READ `PRIMARY` FIRST LIMIT 2", "HANDLER note CLOSE", "HANDLER note READ FIRST"),
    ),
    (
        ("HANDLER note OPEN AS One", "HANDLER main.note OPEN two", "HANDLER note OPEN AS one"),
        ("HANDLER one", "HANDLER two"),
        ("HANDLER ONE CLOSE", "HANDLER two READ FIRST", "HANDLER two CLOSE", "HANDLER two CLOSE"),
    ),
    (
        (
            "CREATE TABLE pin_h (a INT PRIMARY KEY)",
            "INSERT INTO pin_h VALUES (1), (2)",
            "SET @v = 2",
            "HANDLER pin_h OPEN AS h",
            "HANDLER h READ FIRST WHERE a = @v",
            "LOCK TABLES note READ",
            "HANDLER h READ FIRST",
        ),
        ("HANDLER h", "LOCK TABLES"),
        ("UNLOCK TABLES", "HANDLER h READ FIRST", "DROP TABLE pin_h", "HANDLER h READ FIRST"),
    ),
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


WRITE = "INSERT INTO note (body) VALUES ('pin')"
READ_LOCK = "FLUSH TABLES WITH READ LOCK"
OF_OPERATORS: list[tuple[tuple[str, ...], tuple[str, ...], tuple[str, ...]]] = [
    ((READ_LOCK, WRITE, "BEGIN", WRITE, "COMMIT", WRITE), (READ_LOCK,), ("UNLOCK TABLES", WRITE)),
    (
        ("FLUSH TABLES note WITH READ LOCK", "SELECT COUNT(*) FROM big", WRITE),
        ("LOCK TABLES",),
        ("UNLOCK TABLES", WRITE),
    ),
    (("FLUSH LOCAL TABLES note, big FOR EXPORT",), ("LOCK TABLES",), ("BEGIN", WRITE, "COMMIT")),
    (
        (READ_LOCK, "LOCK TABLES note READ"),
        (READ_LOCK, "LOCK TABLES"),
        ("BEGIN", "SELECT COUNT(*) FROM big", WRITE, "ROLLBACK", WRITE, "UNLOCK TABLES", WRITE),
    ),
    ((READ_LOCK, READ_LOCK, "LOCK TABLES note READ"), (READ_LOCK, "LOCK TABLES"), ("UNLOCK TABLES", WRITE)),
    (
        (
            "HANDLER note OPEN",
            "HANDLER big OPEN AS b",
            "FLUSH TABLES big",
            "FLUSH TABLES nosuch WITH READ LOCK",
        ),
        ("HANDLER b", "HANDLER note"),
        ("HANDLER b READ FIRST", "HANDLER b CLOSE", "FLUSH TABLES", "HANDLER note CLOSE"),
    ),
]
OF_MYSQL = (
    ("LOCK INSTANCE FOR BACKUP", "BEGIN", WRITE, "LOCK INSTANCE FOR BACKUP", "ROLLBACK", "UNLOCK TABLES"),
    ("LOCK INSTANCE",),
    ("UNLOCK INSTANCE", "UNLOCK INSTANCE"),
)
OF_MARIADB = (
    ("BACKUP STAGE START", "BACKUP STAGE FLUSH", "BACKUP STAGE BLOCK_DDL", WRITE),
    ("BACKUP STAGE",),
    ("BACKUP STAGE END", "BACKUP STAGE END", "BACKUP LOCK note", "BACKUP UNLOCK", "BACKUP UNLOCK"),
)


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


def test_locks_of_operators(cluster: Cluster) -> None:
    wrong = []
    for statements, pins, ends in (*OF_OPERATORS, OF_MYSQL if cluster.flavour == "mysql" else OF_MARIADB):
        with pymysql.connect(**cluster.direct("main/-")) as plain:
            expected = (_say(plain, statements), sorted(pins), _say(plain, ends), [])
        with cluster.connect("main") as routed:
            found = (_say(routed, statements), _pins(routed), _say(routed, ends), _pins(routed))
        if found != expected:
            wrong.append((found, expected))
    assert wrong == []


def test_a_client_that_leaves_takes_its_locks_along(cluster: Cluster) -> None:
    takes = [READ_LOCK, "FLUSH TABLES note FOR EXPORT", "LOCK TABLES note WRITE", "HANDLER note OPEN"]
    takes += (
        ["LOCK INSTANCE FOR BACKUP"]
        if cluster.flavour == "mysql"
        else ["BACKUP STAGE START", "BACKUP LOCK note"]
    )
    alter = ("SET lock_wait_timeout = 1", "ALTER TABLE note COMMENT = 'pin'")
    for take in takes:
        with cluster.connect("main") as cnx:
            assert _say(cnx, (take,)) == [(take, 0, [])]
            if take == "BACKUP STAGE START":
                _say(cnx, ("BACKUP STAGE BLOCK_DDL",))
            assert len(_pins(cnx)) == 1
        with pymysql.connect(**cluster.direct("main/-")) as other:
            wait_for(lambda: _say(other, alter)[1][1] == 0, 30, f"{take} ends")


def test_a_reset_session_holds_nothing(cluster: Cluster) -> None:
    more = {"autocommit": True, "use_pure": True, "charset": "utf8mb4", "collation": "utf8mb4_general_ci"}
    with closing(mysql.connector.connect(**cluster.connect_kwargs(database="main"), **more)) as cnx:
        for end in (cnx.cmd_reset_connection, lambda: cnx.cmd_change_user(USER, PASSWORD, "main")):
            cursor = cnx.cursor()
            cursor.execute("SELECT GET_LOCK('pin reset', 0)")
            assert cursor.fetchall() == [(1,)]
            cursor.execute("HANDLER note OPEN")
            end()
            cursor = cnx.cursor()
            cursor.execute("SHOW PINS")
            assert cursor.fetchall() == []
            free = "SELECT IS_FREE_LOCK('pin reset')"
            wait_for(lambda: cluster.query_direct("main/-", free) == [(1,)], 30, "the lock is free")  # noqa: B023


def test_a_session_hears_that_its_connection_is_gone(cluster: Cluster) -> None:
    """As after the idle limit, which `test_tablet.py` waits for."""
    with cluster.connect("main") as cnx:
        for ask in ("SHOW PINS", "SELECT COUNT(*) FROM note"):
            assert _say(cnx, ("SELECT GET_LOCK('pin gone', 0)",))[0][2] == [(1,)]
            ((server_id,),) = cluster.query_direct("main/-", "SELECT IS_USED_LOCK('pin gone')")
            cluster.query_direct("main/-", f"KILL {server_id}")
            free = "SELECT IS_FREE_LOCK('pin gone')"
            wait_for(lambda: cluster.query_direct("main/-", free) == [(1,)], 30, "the lock is free")  # noqa: B023
            ((_, number, *_),) = _say(cnx, (ask,))
            assert number in (15008, 15020)
            assert _pins(cnx) == []
            assert _say(cnx, ("SELECT 1",))[0][2] == [(1,)]


def test_handlers_in_a_sharded_keyspace(cluster: Cluster) -> None:
    with cluster.connect("commerce") as cnx:
        assert _say(cnx, ("HANDLER customer OPEN",))[0][1] == 1235
        assert _say(cnx, ("FLUSH TABLES WITH READ LOCK",))[0][1] == 1235
        assert _say(cnx, ("HANDLER product OPEN", "HANDLER product READ FIRST"))[1][1] == 1
        assert _pins(cnx) == ["HANDLER product"]
        assert (
            _say(cnx, ("HANDLER product CLOSE", "HANDLER main.note OPEN AS n", "HANDLER n CLOSE"))[2][1] == 0
        )
        assert _pins(cnx) == []
        assert _say(cnx, ("FLUSH STATUS",))[0][1] == 0


def test_a_lock_that_another_has_pins_nothing(cluster: Cluster) -> None:
    with cluster.connect("main") as holder, cluster.connect("main") as other:
        assert _say(holder, ("SELECT GET_LOCK('pin', 0)",))[0][2] == [(1,)]
        assert _say(other, ("SELECT GET_LOCK('pin', 0)",))[0][2] == [(0,)]
        assert _pins(other) == []
        assert _pins(holder) == ["a named lock 'pin'"]
        assert _say(holder, ("SELECT RELEASE_LOCK('pin')",))[0][2] == [(1,)]


def test_unlock_tables_unlocks_all_of_the_session(cluster: Cluster) -> None:
    with cluster.connect("main") as cnx:
        said = _say(cnx, (READ_LOCK, "USE `commerce:-80`", READ_LOCK))
        assert [one[1] for one in said] == [0, 0, 0], said
        assert _pins(cnx) == [READ_LOCK, READ_LOCK]
        assert _say(cnx, ("UNLOCK TABLES",)) == [("UNLOCK TABLES", 0, [])]
        assert _pins(cnx) == []
