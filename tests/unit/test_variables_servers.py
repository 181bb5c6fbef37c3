"""Every variable of MySQL and MariaDB has a class, and its text becomes the value that SELECT gives."""

import re
from typing import Any

import pymysql
import pytest

from core.errors import fail
from router.variables.coupled import canonical, roots
from router.variables.privileged import privileged
from router.variables.table import HARMLESS, SESSION_ONLY, Class, known, rule_of
from router.variables.types import typed
from tablet.backend.connection import BASE_STATE_SQL
from tablet.pool.settings import change, coupled
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


_CANDIDATES = (
    *("1", "0", "2", "5", "100", "65536", "131072", "4194304", "1.5", "ON", "OFF", "'ON'", "'OFF'", "''"),
    *(
        "'utf8mb3'",
        "'latin1'",
        "'utf8mb4_bin'",
        "'de_DE'",
        "'ANSI'",
        "'READ-COMMITTED'",
        "'+03:00'",
        "'MyISAM'",
    ),
    *("'InnoDB'", "'aes-256-ecb'", "'JSON'", "'TREE'", "'COPY'"),
)


def _variables(cursor: Any) -> dict[str, str]:
    cursor.execute("SHOW SESSION VARIABLES")
    return {name: text for name, text in cursor.fetchall() if name not in MOVES}


def _set_otherwise(cursor: Any, name: str, text: str) -> str | None:
    """Gives `name` another value than `text`; the literal that did it, None if none of the usual ones does."""
    first = ("OFF",) if text == "ON" else ("ON",) if text == "OFF" else ()
    number = (str(int(text) + 1), str(int(text) // 2)) if re.fullmatch(r"\d+", text) else ()
    for literal in (*first, *number, *_CANDIDATES):
        try:
            cursor.execute(f"SET @@session.{name} = {literal}")
        except pymysql.MySQLError:
            continue
        cursor.execute(f"SHOW SESSION VARIABLES LIKE '{name}'")
        if cursor.fetchall()[0][1] != text:
            return literal
    return None


def _said_by(name: str, mariadb: bool) -> set[str]:
    return {name, *roots(name), canonical(name, mariadb=mariadb)}


def test_what_a_setting_changes_besides_is_known_and_undone(mysql_server: RunningMysql) -> None:
    """Each setting alone: what else it changes, and whether the tablet's SET back leaves nothing."""
    mariadb = mysql_server.flavour == "mariadb"
    unknown: list[tuple[str, set[str]]] = []
    left: list[tuple[str, str, object]] = []
    tried = 0
    connection = mysql_server.connect()
    with connection, connection.cursor() as cursor:
        cursor.execute(BASE_STATE_SQL)
        base = _variables(cursor)
        for name, text in base.items():
            if name not in known() or known()[name].kind is not Class.SETTING:
                continue
            literal = _set_otherwise(cursor, name, text)
            if literal is None:
                continue
            tried += 1
            changed = {one for one, now in _variables(cursor).items() if now != base[one]}
            if not changed <= {name, *coupled(name)}:
                unknown.append((name, changed))
            says_all = {*roots(name)} or {canonical(name, mariadb=mariadb)}
            besides = (one for one in changed if one != name)
            unknown += [(name, {one}) for one in besides if says_all.isdisjoint(_said_by(one, mariadb))]
            for sql in change(f"{name}={literal}", "", base["collation_connection"]):
                cursor.execute(sql)
            after = {one: now for one, now in _variables(cursor).items() if now != base[one]}
            if after:
                left.append((name, literal, after))
    assert unknown == []
    assert left == []
    assert tried > 90


def test_what_needs_a_privilege_is_known(mysql_server: RunningMysql) -> None:
    mariadb = mysql_server.flavour == "mariadb"
    found: dict[str, str] = {}
    with mysql_server.connect() as boss, boss.cursor() as cursor:
        cursor.execute("CREATE USER unprivileged@'%' IDENTIFIED BY 'pw'")
        try:
            with (
                pymysql.connect(unix_socket=mysql_server.socket, user="unprivileged", password="pw") as cnx,
                cnx.cursor() as poor,
            ):
                for name in sorted(known()):
                    for wanted in ("DEFAULT", f"@@{name}", "1"):
                        try:
                            poor.execute(f"SET SESSION {name} = {wanted}")
                        except pymysql.MySQLError as error:
                            if error.args[0] == 1227:
                                found[name] = error.args[1]
        finally:
            cursor.execute("DROP USER unprivileged@'%'")
    assert found == {
        name: fail("PRIVILEGE", privilege=privilege).message
        for name, privilege in privileged(mariadb=mariadb).items()
    }
