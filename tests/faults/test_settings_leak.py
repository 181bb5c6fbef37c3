"""Hundreds of sessions with settings of their own share eight connections: each sees what it has set, and nothing else.

What a session should see is learnt from the plain server: every SET is run there once, alone, and what the server then
says of the variables is what the session must find on whatever back-end connection its next statement gets. The look is
at performance_schema (information_schema on MariaDB), joined with a table, so that no router can answer it; and at
behaviour: conversion of time zones, the limit of rows, the length of GROUP_CONCAT, what `||` means.

Around that: transactions, errors, statements that are killed, stored programs that SET, clients that go away in the
middle. What a stored program SET outside of a transaction reaches nobody, not even the session that ran it.

SLUICE_LEAK_S is the length in seconds (60), SLUICE_LEAK_SESSIONS the number of sessions (500), SLUICE_SEED the seed.
"""

import os
import random
import re
import threading
import time
import urllib.request
from collections.abc import Callable, Iterator
from typing import Any, Final

import pymysql
import pytest

from tests.kit.cluster import Cluster

LENGTH_S: Final = float(os.environ.get("SLUICE_LEAK_S", "60"))
SESSIONS: Final = int(os.environ.get("SLUICE_LEAK_SESSIONS", "500"))
SEED: Final = int(os.environ.get("SLUICE_SEED", "20260101"))
THREADS: Final = 12
PROBES: Final = 10

pytestmark = [pytest.mark.e2e, pytest.mark.slow, pytest.mark.timeout(int(LENGTH_S) + 240)]

# (the variables that it changes, the statement)
Choice = tuple[tuple[str, ...], str]
Values = dict[str, str | None]

_CHARSET: Final = (
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "collation_connection",
)


def _one(name: str, *values: str) -> list[Choice]:
    return [((name,), f"SET {name} = {value}") for value in (*values, "DEFAULT")]


_COMMON: Final[list[Choice]] = [
    *_one(
        "sql_mode", "''", "'ANSI'", "'PIPES_AS_CONCAT'", "'STRICT_ALL_TABLES,NO_ZERO_DATE'", "'TRADITIONAL'"
    ),
    *_one("time_zone", "'+00:00'", "'+05:30'", "'-08:00'", "'+12:45'"),
    *_one("sql_select_limit", "2", "3", "7", "1000"),
    *_one("lock_wait_timeout", "11", "222"),
    *_one("innodb_lock_wait_timeout", "33", "44"),
    # no DEFAULT for these two: MySQL turns them off then (tests/clients/differences.toml)
    *_one("foreign_key_checks", "0", "1", "OFF")[:-1],
    *_one("unique_checks", "0", "1")[:-1],
    *_one("group_concat_max_len", "10", "20", "4096"),
    *_one("sql_safe_updates", "0", "1"),
    *_one("div_precision_increment", "2", "9"),
    *_one("auto_increment_increment", "5", "7"),
    *_one("default_week_format", "3", "6"),
    *_one("lc_time_names", "'de_DE'", "'ja_JP'"),
    *_one("sort_buffer_size", "65536", "131072"),
    *_one("optimizer_search_depth", "5", "9"),
    (_CHARSET, "SET NAMES latin1"),
    (_CHARSET, "SET NAMES utf8mb4 COLLATE utf8mb4_bin"),
    (_CHARSET, "SET NAMES utf8mb4 COLLATE utf8mb4_unicode_ci"),
    (_CHARSET, "SET NAMES ascii"),
    (_CHARSET, "SET NAMES cp1251"),
    # variables that change each other
    (("max_join_size", "sql_big_selects"), "SET max_join_size = 4294967295"),
    (("max_join_size", "sql_big_selects"), "SET max_join_size = DEFAULT"),
    *_one("sql_big_selects", "0", "1"),
    (("character_set_server", "collation_server"), "SET character_set_server = latin1"),
    (("character_set_server", "collation_server"), "SET collation_server = cp1251_bin"),
    (("character_set_server", "collation_server"), "SET collation_server = DEFAULT"),
    (("sql_mode", "time_zone"), "SET SESSION sql_mode = 'ANSI', @@session.time_zone = '-03:00'"),
]
_TWO_NAMES: Final[list[Choice]] = [
    (("long_query_time", "log_slow_query_time"), "SET long_query_time = 3"),
    (("long_query_time", "log_slow_query_time"), "SET log_slow_query_time = 5"),
    (("long_query_time", "log_slow_query_time"), "SET long_query_time = DEFAULT"),
]
_PROGRAMS: Final = (
    "CREATE FUNCTION leak_sets() RETURNS INT DETERMINISTIC BEGIN SET SESSION lock_wait_timeout = 77; RETURN 1; END",
    "CREATE PROCEDURE leak_breaks() BEGIN SET SESSION div_precision_increment = 1; SIGNAL SQLSTATE '45000'; END",
    "CREATE PROCEDURE leak_next() SET TRANSACTION READ ONLY",
)
_RUNS: Final[tuple[tuple[str, int, dict[str, str]], ...]] = (
    ("SELECT leak_sets()", 0, {"lock_wait_timeout": "77"}),
    ("CALL leak_breaks()", 1644, {"div_precision_increment": "1"}),
    ("CALL leak_next()", 0, {}),
)
_ISOLATIONS: Final = ("READ UNCOMMITTED", "READ COMMITTED", "REPEATABLE READ", "SERIALIZABLE")
_BEHAVIOUR: Final = (
    "UNIX_TIMESTAMP('2020-06-01 12:00:00')",
    "(SELECT LENGTH(GROUP_CONCAT(REPEAT('x', 8))) FROM leak_probe)",
    "1 / 3",
)


def _choices(cluster: Cluster) -> list[Choice]:
    mysql = cluster.flavour == "mysql"
    isolation = "transaction_isolation" if mysql else "tx_isolation"
    levels = [((isolation,), f"SET SESSION TRANSACTION ISOLATION LEVEL {level}") for level in _ISOLATIONS]
    limit = _one("max_execution_time", "60000") if mysql else _one("max_statement_time", "60")
    return [*_COMMON, *levels, *limit, *([] if mysql else _TWO_NAMES)]


class Model:
    """What the plain server says: `base` after a login, `reset` after COM_RESET_CONNECTION, `after` a choice."""

    def __init__(self, cluster: Cluster) -> None:
        self.choices = _choices(cluster)
        self.names = sorted({name for names, _ in self.choices for name in names})
        schema = "performance_schema" if cluster.flavour == "mysql" else "information_schema"
        columns = ", ".join(
            f"MAX(CASE WHEN v.variable_name = '{name}' THEN v.variable_value END)" for name in self.names
        )
        self.look = (
            f"SELECT {columns} FROM {schema}.session_variables v, leak_probe p WHERE p.id = 1 AND v.variable_name IN"
            f" ({', '.join(repr(name) for name in self.names)})"
        )
        self._kwargs = cluster.direct_tcp("main/-")
        with self._connect() as cnx:
            self.base = self.seen(cnx)
            reset_connection(cnx)
            self.reset = self.seen(cnx)
        self.after: dict[str, Values] = {}
        for names, text in self.choices:
            with self._connect() as cnx:
                run(cnx, text)
                seen = self.seen(cnx)
                self.after[text] = {name: seen[name] for name in names}
        self._behaviour: dict[tuple[str | None, ...], tuple[Any, ...]] = {}
        self._lock = threading.Lock()

    def seen(self, cnx: Any) -> Values:
        """The variables as the server of the connection that runs the statement has them."""
        ((*values,),) = run(cnx, self.look)
        return dict(zip(self.names, values, strict=True))

    def behaviour(self, values: Values) -> tuple[Any, ...]:
        """What the plain server answers to the behavioural questions under `values`."""
        names = ("time_zone", "group_concat_max_len", "div_precision_increment")
        key = tuple(values[name] for name in names)
        with self._lock:
            if key not in self._behaviour:
                with self._connect() as cnx:
                    run(
                        cnx,
                        "SET time_zone = '{}', group_concat_max_len = {}, div_precision_increment = {}".format(
                            *key
                        ),
                    )
                    (self._behaviour[key],) = run(cnx, BEHAVIOUR)
            return self._behaviour[key]

    def _connect(self) -> Any:
        return pymysql.connect(**self._kwargs, charset="utf8mb4", autocommit=True)


BEHAVIOUR: Final = f"SELECT {', '.join(_BEHAVIOUR)} FROM leak_probe WHERE id = 1"


def run(cnx: Any, sql: str) -> tuple[tuple[Any, ...], ...]:
    with cnx.cursor() as cursor:
        cursor.execute(sql)
        return tuple(cursor.fetchall())


def reset_connection(cnx: Any) -> None:
    cnx._execute_command(0x1F, b"")
    cnx._read_ok_packet()


class Client:
    """One session's life: logs in, sets, works, checks after every statement, goes away one way or another."""

    def __init__(self, number: int, cluster: Cluster, model: Model) -> None:
        self.number = number
        self.random = random.Random(SEED * 100_003 + number)
        self._cluster = cluster
        self._model = model
        self.checks = 0
        self.cnx: Any = None
        self.expected: Values = {}
        self.history: list[str] = []
        """What it has set since it logged in, for the message of a failure."""

    def turn(self) -> None:
        """A few statements, each followed by a look. AssertionError at the first leak."""
        if self.cnx is None:
            self._log_in()
        what = self.random.random()
        if what < 0.40:
            self._set(self.random.randint(1, 4))
        elif what < 0.60:
            self._read()
        elif what < 0.68:
            self._write()
        elif what < 0.80:
            self._transaction()
        elif what < 0.84:
            self._error()
        elif what < 0.86:
            self._program()
        elif what < 0.88:
            self._killed()
        elif what < 0.92:
            reset_connection(self.cnx)
            self.expected = dict(self._model.reset)
            self.history.append("(reset)")
            self.check("COM_RESET_CONNECTION")
        else:
            self._leave()

    def check(self, after: str) -> None:
        """What the server says now is what this session has set."""
        seen = self._model.seen(self.cnx)
        wrong = {n: (seen[n], self.expected[n]) for n in seen if seen[n] != self.expected[n]}
        said = "; ".join(self.history)
        assert not wrong, f"session {self.number}, after {after}: (seen, set) {wrong}; it has said {said}"
        self.checks += 1

    def close(self) -> None:
        if self.cnx is not None:
            self.cnx.close()
            self.cnx = None

    def _log_in(self) -> None:
        self.cnx = self._cluster.connect("main")
        self.expected = dict(self._model.base)
        self.history = []
        if self.random.random() < 0.8:
            self._set(5)

    def _set(self, times: int) -> None:
        for _ in range(times):
            _, text = self.random.choice(self._model.choices)
            run(self.cnx, text)
            self.expected.update(self._model.after[text])
            self.history.append(text)
            self.check(text)

    def _read(self) -> None:
        (found,) = run(self.cnx, BEHAVIOUR)
        wanted = self._model.behaviour(self.expected)
        assert found == wanted, f"session {self.number}: {BEHAVIOUR} says {found}, {wanted} expected"
        rows = run(self.cnx, "SELECT id FROM leak_probe")
        limit = min(PROBES, int(self.expected["sql_select_limit"] or 0))
        assert len(rows) == limit, f"session {self.number}: {len(rows)} rows, sql_select_limit {limit}"
        ((joined,),) = run(self.cnx, "SELECT '1' || '0' FROM leak_probe WHERE id = 1")
        pipes = "PIPES_AS_CONCAT" in (self.expected["sql_mode"] or "")
        assert str(joined) == ("10" if pipes else "1"), f"session {self.number}: || gives {joined}"
        self.check("reads")

    def _write(self) -> None:
        run(self.cnx, f"UPDATE leak_own SET n = n + 1 WHERE id = {self.number}")
        self.check("UPDATE")

    def _transaction(self) -> None:
        run(self.cnx, "BEGIN")
        for _ in range(self.random.randint(1, 3)):
            self.random.choice((self._write, self._write, lambda: self._set(1)))()
        if self.random.random() < 0.1:
            self._leave()
            return
        run(self.cnx, self.random.choice(("COMMIT", "ROLLBACK")))
        self.check("the transaction's end")

    def _error(self) -> None:
        text, number = self.random.choice(
            (
                ("SELECT no_such_column FROM leak_probe", 1054),
                (f"INSERT INTO leak_own VALUES ({self.number}, 0)", 1062),
                ("SET lock_wait_timeout = 5, sql_select_limit = 1, time_zone = 'nowhere'", 1298),
                ("SET default_week_format = 1, no_such_variable = 1", 1193),
            )
        )
        assert self._number(text) == number
        self.check(f"error {number} of {text}")

    def _program(self) -> None:
        """What a program SETs is the session's afterwards."""
        text, number, made = self.random.choice(_RUNS)
        assert self._number(text) == number
        self.expected.update(made)
        self.history.append(text)
        self.check(text)

    def _killed(self) -> None:
        """KILL QUERY from elsewhere while a statement with this session's settings runs, or comes to run."""
        self.cnx._execute_command(3, "SELECT SLEEP(0.5) FROM leak_probe WHERE id = 1")
        time.sleep(self.random.random() * 0.02)
        with self._cluster.connect("main") as other:
            run(other, f"KILL QUERY {self.cnx.thread_id()}")
        assert _number_of(self.cnx._read_query_result) in (0, 1317)
        self.check("KILL QUERY")

    def _number(self, text: str) -> int:
        return _number_of(lambda: run(self.cnx, text))

    def _leave(self) -> None:
        how = self.random.random()
        if how < 0.3:
            # in the middle of a statement
            self.cnx._execute_command(3, "SELECT SLEEP(0.02) FROM leak_probe WHERE id = 1")
        if how < 0.7:
            self.cnx._force_close()
        else:
            self.cnx.close()
        self.cnx = None


def _number_of(does: Callable[[], object]) -> int:
    """MySQL's error, 0 for none."""
    try:
        does()
    except pymysql.MySQLError as error:
        return int(error.args[0])
    return 0


@pytest.fixture
def tables(cluster: Cluster) -> Iterator[None]:
    cluster.query("CREATE TABLE leak_probe (id INT PRIMARY KEY)", database="main")
    cluster.query("CREATE TABLE leak_own (id INT PRIMARY KEY, n INT NOT NULL)", database="main")
    cluster.query(
        f"INSERT INTO leak_probe VALUES {', '.join(f'({n})' for n in range(1, PROBES + 1))}", database="main"
    )
    cluster.query(
        f"INSERT INTO leak_own VALUES {', '.join(f'({n}, 0)' for n in range(SESSIONS))}", database="main"
    )
    for program in _PROGRAMS:
        cluster.query(program, database="main")
    yield
    for program in _PROGRAMS:
        cluster.query(" ".join(("DROP", *program.split("(")[0].split()[1:])), database="main")
    cluster.query("DROP TABLE leak_probe", database="main")
    cluster.query("DROP TABLE leak_own", database="main")


def reserved_connections(cluster: Cluster) -> int:
    """Connections reserved for sessions, on all tablets."""
    with urllib.request.urlopen(f"http://127.0.0.1:{cluster.http}/metrics", timeout=10) as answer:
        text = answer.read().decode()
    found = re.findall(r"^sluice_tablet_reserved\{.*\} (\d+)", text, re.MULTILINE)
    assert found, "no sluice_tablet_reserved in /metrics"
    return sum(int(value) for value in found)


def test_no_setting_leaks(cluster: Cluster, tables: None) -> None:
    model = Model(cluster)
    clients = [Client(number, cluster, model) for number in range(SESSIONS)]
    failures: list[BaseException] = []
    end = time.monotonic() + LENGTH_S

    def work(mine: list[Client]) -> None:
        order = random.Random(SEED + mine[0].number)
        try:
            while time.monotonic() < end and not failures:
                order.choice(mine).turn()
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(clients[n::THREADS],)) for n in range(THREADS)]
    for thread in threads:
        thread.start()
    reserved = most = 0
    while any(thread.is_alive() for thread in threads):
        time.sleep(1)
        reserved = max(reserved, reserved_connections(cluster))
        most = max(most, cluster.threads_connected("main/-"))
    checks = sum(client.checks for client in clients)
    connected = sum(client.cnx is not None for client in clients)
    for client in clients:
        client.close()
    if failures:
        raise failures[0]
    print(f"{checks} checks, {connected} sessions at the end, {reserved} reserved, {most} connections")
    assert checks > LENGTH_S * 20
    assert connected > SESSIONS // 3
    assert reserved == 0
