"""Variables set for one statement (SET_VAR hints of MySQL, SET STATEMENT of MariaDB), each as on the plain server."""

from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from router.variables.table import Class, known, rule_of
from tests.kit.cluster import Cluster

pytestmark = pytest.mark.e2e

NOT_HINTABLE = (3637, 3128, 1064, 4537, 1193)
NOT_OF_SESSIONS = (1229, 1238)
REFUSED = 1235
MOVES = frozenset(
    ("timestamp", "rand_seed1", "rand_seed2", "insert_id", "pseudo_thread_id", "system_versioning_asof")
)


@pytest.fixture
def pair(cluster: Cluster) -> Iterator[tuple[Any, Any]]:
    """A cursor through the router and one on the plain server, in keyspace main with a table of one row."""
    with (
        cluster.connect("main") as through,
        pymysql.connect(**cluster.direct("main/-")) as plain,
        plain.cursor() as second,
        through.cursor() as first,
    ):
        second.execute("CREATE TABLE variable_probe (id INT PRIMARY KEY)")
        try:
            second.execute("INSERT INTO variable_probe VALUES (1)")
            yield first, second
        finally:
            second.execute("DROP TABLE variable_probe")


def _said(cursor: Any, sql: str) -> Any:
    try:
        cursor.execute(sql)
        return cursor.fetchall()
    except pymysql.MySQLError as error:
        return error.args[0]


def _values(cursor: Any) -> dict[str, str]:
    """A literal for each session variable, another than the present value where one is easily found."""
    cursor.execute("SHOW SESSION VARIABLES")
    found = {}
    for name, value in cursor.fetchall():
        if value.isdigit():
            found[name] = str(int(value) // 2 if int(value) > 1 else 1 - int(value))
        elif value in ("ON", "OFF"):
            found[name] = "0" if value == "ON" else "1"
        else:
            found[name] = "'" + value.replace("'", "''") + "'"
    return found


def test_hints(cluster: Cluster, pair: tuple[Any, Any]) -> None:
    if cluster.flavour != "mysql":
        pytest.skip("MySQL has SET_VAR")
    through, plain = pair
    wrong, hintable = [], 0
    for name, value in _values(plain).items():
        sql = f"SELECT /*+ SET_VAR({name}={value}) */ @@{name}, id FROM variable_probe"
        wanted = _said(plain, sql), _said(plain, "SHOW WARNINGS")
        if isinstance(wanted[1], int) or any(one[1] in NOT_HINTABLE for one in wanted[1]):
            continue
        hintable += 1
        found = _said(through, sql), _said(through, "SHOW WARNINGS")
        if name == "sql_auto_is_null":
            assert found[0] == REFUSED
        elif found != wanted and name not in MOVES:
            wrong.append((sql, found, wanted))
        after = f"SELECT @@{name}, id FROM variable_probe"
        if name not in MOVES and _said(through, after) != _said(plain, after):
            wrong.append((after, name, value))
    assert wrong == [], wrong
    assert hintable > 40


def test_hints_over_several_shards(cluster: Cluster) -> None:
    if cluster.flavour != "mysql":
        pytest.skip("MySQL has SET_VAR")
    cluster.clear("customer")
    rows = ", ".join(f"({number}, 'n', 'x', {number})" for number in range(1, 8))
    cluster.query(f"INSERT INTO customer (customer_id, name, country, balance) VALUES {rows}")
    try:
        limited = "SELECT /*+ SET_VAR(sql_select_limit=2) */ customer_id FROM customer ORDER BY customer_id"
        assert cluster.query(limited) == [(1,), (2,)]
        average = "SELECT /*+ SET_VAR(div_precision_increment=6) */ AVG(balance) FROM customer"
        ((mean,),) = cluster.query(average)
        assert len(str(mean).partition(".")[2]) == 8
    finally:
        cluster.clear("customer")


def test_set_statement(cluster: Cluster, pair: tuple[Any, Any]) -> None:
    if cluster.flavour != "mariadb":
        pytest.skip("MariaDB has SET STATEMENT")
    through, plain = pair
    wrong, done = [], 0
    for name, value in _values(plain).items():
        sql = f"SET STATEMENT {name} = {value} FOR SELECT @@{name}, id FROM variable_probe"
        wanted, found = _said(plain, sql), _said(through, sql)
        kind = rule_of(name).kind
        if found == REFUSED:
            if kind not in (Class.REFUSED, Class.RESERVE, Class.ROUTER):
                wrong.append((sql, found, wanted))
        elif wanted in NOT_OF_SESSIONS:
            pass  # the router takes the default of any variable
        elif found != wanted and name not in MOVES and kind is not Class.IGNORED:
            wrong.append((sql, found, wanted))
        else:
            done += isinstance(found, tuple)
        after = f"SELECT @@{name}"
        if (
            kind is Class.SETTING
            and name in known()
            and name not in MOVES
            and _said(through, after) != _said(plain, after)
        ):
            wrong.append((after, name, value))
    assert wrong == [], wrong
    assert done > 100


def test_set_statement_around_statements(cluster: Cluster, pair: tuple[Any, Any]) -> None:
    if cluster.flavour != "mariadb":
        pytest.skip("MariaDB has SET STATEMENT")
    through, plain = pair
    for sql in (
        "SET STATEMENT sql_mode = '', lock_wait_timeout = 7 FOR INSERT INTO variable_probe VALUES ('8x')",
        "SET STATEMENT lock_wait_timeout = 2 + 3 FOR SELECT @@lock_wait_timeout",
        "SET STATEMENT max_statement_time=1 FOR SET STATEMENT lock_wait_timeout=3 FOR SELECT @@lock_wait_timeout",
        "SELECT @@max_statement_time, @@lock_wait_timeout, @@sql_mode = ''",
        "SET STATEMENT lock_wait_timeout = 4 FOR SET @seen = @@lock_wait_timeout",
        "SELECT @seen",
        "SET STATEMENT max_statement_time = 0.2 FOR SELECT SLEEP(3)",
        "SET STATEMENT sql_select_limit = 1 FOR SELECT id FROM variable_probe ORDER BY id",
        "SET STATEMENT nosuch = 1 FOR SELECT 1",
        "SET STATEMENT autocommit = 1 FOR SELECT 1",
        "SET STATEMENT lock_wait_timeout = 4 FOR SELECT * FROM nosuch",
        "SET STATEMENT lock_wait_timeout 4 FOR SELECT 1",
        "SET STATEMENT lock_wait_timeout = 4",
        "SELECT @@lock_wait_timeout",
    ):
        said = _said(through, sql)
        plain.execute("DELETE FROM variable_probe WHERE id = 8")
        assert (sql, said) == (sql, _said(plain, sql))
    for sql in (
        "SET STATEMENT sql_mode = '' FOR SET SESSION sql_mode = 'NO_BACKSLASH_ESCAPES'",
        "SELECT @@sql_mode",
        r"SELECT 'a\'b', id FROM variable_probe WHERE id = 1",
    ):
        assert (sql, _said(through, sql)) == (sql, _said(plain, sql))
    cluster.clear("customer")
    rows = ", ".join(f"({number}, 'n', 'x')" for number in range(1, 8))
    cluster.query(f"INSERT INTO customer (customer_id, name, country) VALUES {rows}")
    try:
        limited = (
            "SET STATEMENT sql_select_limit = 2 FOR SELECT customer_id FROM customer ORDER BY customer_id"
        )
        assert cluster.query(limited) == [(1,), (2,)]
    finally:
        cluster.clear("customer")
