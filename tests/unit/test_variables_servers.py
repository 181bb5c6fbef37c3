"""Every variable of MySQL and MariaDB has a class, and its text becomes the value that SELECT gives."""

import pymysql
import pytest

from router.variables.table import HARMLESS, SESSION_ONLY, Class, known, rule_of
from router.variables.types import typed
from tests.kit.servers import RunningMysql

pytestmark = pytest.mark.e2e

GLOBAL_ONLY = 1229
READ_ONLY = 1238
MOVES = frozenset(
    [
        "timestamp",
        "pseudo_thread_id",
        "statement_id",
        "rand_seed1",
        "rand_seed2",
        "error_count",
        "warning_count",
        "gtid_binlog_state",
        "gtid_current_pos",
        "gtid_executed",
    ]
)


def test_every_variable_that_a_session_may_set_has_a_class(mysql_server: RunningMysql) -> None:
    unclassified: list[str] = []
    settable_but_read_only: list[str] = []
    connection = mysql_server.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("SHOW SESSION VARIABLES")
        for name, _ in list(cursor.fetchall()):
            try:
                cursor.execute(f"SET SESSION {name} = @@{name}")
                number = 0
            except pymysql.MySQLError as error:
                number = error.args[0]
            if number in (GLOBAL_ONLY, READ_ONLY):
                continue
            if name not in known():
                unclassified.append(name)
            elif number == 0 and rule_of(name).read_only:
                settable_but_read_only.append(name)
    assert unclassified == []
    assert settable_but_read_only == []


def test_values_are_those_of_select(mysql_server: RunningMysql) -> None:
    mariadb = mysql_server.flavour == "mariadb"
    differ: list[tuple[str, object, object]] = []
    connection = mysql_server.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("SHOW SESSION VARIABLES")
        for name, text in list(cursor.fetchall()):
            cursor.execute(f"SELECT @@{name}")
            row = cursor.fetchone()
            assert row is not None
            if name not in MOVES and typed(name, text, mariadb=mariadb) != row[0]:
                differ.append((name, text, row[0]))
    assert differ == []


def test_settings_without_a_global_value_are_listed(mysql_server: RunningMysql) -> None:
    connection = mysql_server.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute("SHOW SESSION VARIABLES")
        session = {name for name, _ in cursor.fetchall()}
        cursor.execute("SHOW GLOBAL VARIABLES")
        only = session - {name for name, _ in cursor.fetchall()}
    settings = {name for name in only if name in known() and known()[name].kind is Class.SETTING}
    assert settings <= SESSION_ONLY
    assert set(HARMLESS) <= set(known())
