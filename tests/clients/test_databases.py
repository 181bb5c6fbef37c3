"""A keyspace is dropped, created and altered as a database is on the plain server."""

from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pymysql
import pytest

from tests.clients.place import Place

pytestmark = pytest.mark.e2e

KEYSPACE = "test_schema_2"
PLAIN = "plain_schema_2"
STATEMENTS = (
    "CREATE TABLE db_parent (id INT PRIMARY KEY)",
    "CREATE TABLE db_child (id INT PRIMARY KEY, parent INT, FOREIGN KEY (parent) REFERENCES db_parent (id))",
    "CREATE TABLE `odd ``name` (id INT)",
    "CREATE VIEW db_view AS SELECT * FROM db_child",
    "CREATE TRIGGER db_trigger BEFORE INSERT ON db_child FOR EACH ROW SET NEW.parent = NULL",
    "CREATE PROCEDURE db_procedure() SELECT 1",
    "CREATE FUNCTION db_function() RETURNS INT DETERMINISTIC RETURN 1",
    "CREATE EVENT db_event ON SCHEDULE EVERY 1 DAY DISABLE DO SELECT 1",
    "{left}",
    "CREATE DATABASE {name}",
    "CREATE DATABASE IF NOT EXISTS {name} CHARACTER SET latin1",
    "SHOW WARNINGS",
    "HANDLER db_parent OPEN AS Own",
    "LOCK TABLES db_parent WRITE",
    "DROP DATABASE {name}",
    "UNLOCK TABLES",
    "BEGIN",
    "INSERT INTO db_parent VALUES (1)",
    "DROP DATABASE {name}",
    "ROLLBACK",
    "HANDLER Own READ FIRST",
    "SELECT DATABASE()",
    "{left}",
    "CREATE DATABASE {name} /*!40100 DEFAULT CHARACTER SET 'latin1' */ -- made anew",
    "USE {name}",
    "SELECT @@character_set_database",
    "CREATE TABLE db_latin (a VARCHAR(5))",
    "SHOW CREATE TABLE db_latin",
    "DROP SCHEMA IF EXISTS {name}",
    "CREATE SCHEMA IF NOT EXISTS {name}",
    "USE {name}",
    "SELECT @@character_set_database = @@character_set_server",
    "ALTER DATABASE CHARACTER SET ascii",
    "SELECT @@character_set_database",
    "ALTER SCHEMA {name} CHARACTER SET utf8mb4",
    "SELECT @@character_set_database",
    "CREATE DATABASE {name}, nosuch",
)
LEFT = (
    "SELECT table_name FROM information_schema.tables WHERE table_schema = '{name}'"
    " UNION ALL SELECT routine_name FROM information_schema.routines WHERE routine_schema = '{name}'"
    " UNION ALL SELECT trigger_name FROM information_schema.triggers WHERE trigger_schema = '{name}'"
    " UNION ALL SELECT event_name FROM information_schema.events WHERE event_schema = '{name}'"
    " ORDER BY 1"
)


def _ask(cnx: "pymysql.Connection[Any]", sql: str) -> tuple[tuple[Any, ...], ...]:
    with cnx.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def _said(cnx: "pymysql.Connection[Any]", name: str) -> list[tuple[Any, ...]]:
    said: list[tuple[Any, ...]] = []
    for statement in STATEMENTS:
        sql = statement.format(name=name, left=LEFT.format(name=name))
        with cnx.cursor() as cursor:
            try:
                affected = cursor.execute(sql)
                said.append((statement, affected, cursor.fetchall(), cursor.warning_count))
            except pymysql.err.MySQLError as error:
                number, text = error.args
                said.append((statement, number, text.replace(name, "") if number != 1064 else ""))
    return said


def test_a_database_is_dropped_and_created(place: Place) -> None:
    place.empty()
    with place.connect(place.server) as cnx:
        _ask(cnx, f"CREATE DATABASE {PLAIN} CHARACTER SET utf8mb4")
        try:
            plain = _said(place.connect(place.server, PLAIN), PLAIN)
        finally:
            _ask(cnx, f"DROP DATABASE {PLAIN}")
    with place.connect(place.router, KEYSPACE) as cnx:
        routed = _said(cnx, KEYSPACE)
    for one, other in zip(plain, routed, strict=True):
        assert str(other).replace(KEYSPACE, PLAIN) == str(one)


def test_connections_know_the_database_as_it_is(place: Place) -> None:
    """Servers keep a database's character set in each connection that has it as default; MariaDB makes tables by it."""
    count = 4
    place.empty()
    connections = [place.connect(place.router, KEYSPACE) for _ in range(count)]
    first = connections[0]

    def made(number: int) -> tuple[str, str]:
        cnx = connections[number]
        _ask(cnx, "SELECT SLEEP(0.2)")
        _ask(cnx, f"CREATE TABLE db_made_{number} (a VARCHAR(5))")
        (shown,) = _ask(cnx, "SELECT @@character_set_database")
        ((_, table),) = _ask(cnx, f"SHOW CREATE TABLE db_made_{number}")
        return shown[0], table.split("CHARSET=")[1].split()[0]

    try:
        with ThreadPoolExecutor(count) as threads:
            for charset in ("latin1", "utf8mb4"):
                list(threads.map(lambda cnx: _ask(cnx, "SELECT SLEEP(0.2)"), connections))
                _ask(first, f"ALTER DATABASE {KEYSPACE} CHARACTER SET {charset}")
                assert list(threads.map(made, range(count))) == [(charset, charset)] * count
                for number in range(count):
                    _ask(first, f"DROP TABLE db_made_{number}")
    finally:
        for cnx in connections:
            cnx.close()
