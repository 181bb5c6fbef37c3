"""Statements that one server finishes over rows of all shards: equal to those of one MySQL that holds all rows.

The plain server is the one of keyspace `main`, in a database of its own with the same tables.
"""

from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor, wait
from typing import Any

import pymysql
import pytest

from tests.kit.both import Both, both_places
from tests.kit.cluster import Cluster
from tests.kit.drivers import connect, error_of, fetch, run

pytestmark = pytest.mark.e2e

TABLES = ("customer", "orders", "device", "nick", "everything")


@pytest.fixture(scope="module")
def both(cluster: Cluster) -> Iterator[Both]:
    with both_places(cluster, "plain_finish", TABLES) as found:
        _fill(found)
        yield found


def _fill(both: Both) -> None:
    names = ["Ada", "ada", "Zoë", "Zoe", "Édith", "straße", "a b", "a", "", "ß%_'\"`\\"]
    for key in range(1, 31):
        name = names[key % len(names)].replace("\\", "\\\\").replace("'", "''")
        both.write(
            "INSERT INTO customer (customer_id, name, email, country, balance) VALUES "
            f"({key}, '{name}', {'NULL' if key % 3 else repr(f'c{key}@x')}, '{'GB' if key % 2 else 'FR'}', {key}.5)"
        )
        both.write(
            "INSERT INTO orders (order_id, customer_id, sku, quantity, price) VALUES "
            f"({1000 + key}, {key % 7 + 1}, '{['LAMP', 'MUG', 'PEN'][key % 3]}', {key % 5}, {key}.25)"
        )
    both.write("INSERT INTO nick (nick, customer_id) VALUES ('Ada', 1), ('Zoë', 3), ('bob', 99)")


ROWS = [
    "SELECT c.customer_id, d.customer_id FROM customer c JOIN customer d ON d.name = c.name AND d.country = 'GB'",
    "SELECT n.nick, c.name FROM nick n LEFT JOIN customer c ON c.customer_id = n.customer_id",
    "SELECT customer_id, ROW_NUMBER() OVER (ORDER BY balance DESC, customer_id) FROM customer",
    "SELECT country, COUNT(*), SUM(balance) FROM customer GROUP BY country WITH ROLLUP",
    "SELECT country, COUNT(DISTINCT name) n FROM customer GROUP BY country HAVING n > 1",
    "SELECT name FROM customer WHERE country = 'GB' UNION SELECT nick FROM nick",
    "SELECT customer_id FROM customer WHERE customer_id NOT IN (SELECT customer_id FROM orders)",
    "SELECT (SELECT COUNT(*) FROM orders), MAX(description) FROM nick CROSS JOIN product",
    (
        "SELECT name, (SELECT SUM(o.price) FROM orders o WHERE o.sku = 'LAMP' AND o.quantity < c.customer_id) "
        "FROM customer c WHERE c.customer_id BETWEEN 2 AND 9 AND c.country IN ('GB', 'FR')"
    ),
    "WITH t AS (SELECT name, COUNT(*) n FROM customer GROUP BY name) SELECT * FROM t WHERE n > 2",
    (
        "WITH RECURSIVE t AS (SELECT MIN(customer_id) c FROM customer UNION ALL SELECT c + 1 FROM t WHERE c < 5) "
        "SELECT t.c, n.nick FROM t LEFT JOIN nick n ON n.customer_id = t.c"
    ),
    "SELECT DISTINCT * FROM nick",
    "SELECT p.sku, (SELECT MIN(o.sku) FROM orders o WHERE o.customer_id = 'x') FROM product p",
    "SELECT x.n FROM (SELECT COUNT(*) n FROM orders WHERE customer_id = 'x') x",
    "WITH w AS (SELECT country c, COUNT(*) n FROM customer GROUP BY c) SELECT v.n, w.c FROM w JOIN w v ON v.n <= w.n",
    "SELECT x.* FROM (SELECT nick, (SELECT MAX(order_id) FROM orders) FROM nick) x",
    "SELECT nick, (SELECT COUNT(*) FROM customer) FROM nick UNION SELECT name, customer_id FROM customer",
    "SELECT COUNT(*) FROM customer c JOIN customer d ON d.country = c.country",
    "SELECT AVG(DISTINCT price), STDDEV_POP(price), BIT_OR(quantity) FROM orders",
    "SELECT sku, GROUP_CONCAT(order_id ORDER BY price DESC SEPARATOR '/') FROM orders GROUP BY sku",
    "SELECT name FROM customer ORDER BY LENGTH(name) + customer_id % 3 DESC, customer_id LIMIT 3, 5",
    "SELECT x.sku, p.price FROM (SELECT sku, COUNT(*) FROM orders GROUP BY sku LIMIT 10) x JOIN product p USING (sku)",
    "SELECT COUNT(*) FROM customer c JOIN orders o ON o.quantity = c.customer_id WHERE c.name = 'ß%_''\"`\\\\'",
    "SELECT customer_id c, UPPER(name), MAX(price) FROM customer JOIN product GROUP BY c, UPPER(name) ORDER BY 2",
    "SELECT JSON_LENGTH(JSON_ARRAYAGG(name)), JSON_ARRAYAGG(1) FROM customer",
    "SELECT country, JSON_LENGTH(JSON_ARRAYAGG(name)) FROM customer GROUP BY country",
    "SELECT 1 AS `a ``b`, (SELECT MAX(`nick`) FROM nick WHERE nick <> '`') FROM customer WHERE customer_id = 1",
]


def _answer(cnx: Any, sql: str) -> tuple[list[str], list[str]]:
    with cnx.cursor() as cursor:
        cursor.execute(sql)
        return [column[0] for column in cursor.description], sorted(map(repr, cursor.fetchall()))


@pytest.mark.parametrize("sql", ROWS)
def test_equal_to_one_server(both: Both, sql: str) -> None:
    assert _answer(both.sharded, sql) == _answer(both.plain, sql)


def test_every_type_arrives_as_it_lay(both: Both) -> None:
    columns = [row[0] for row in fetch(both.plain, "SHOW COLUMNS FROM everything")]
    text = {"js": "NULL", "pt": "NULL"}
    for key, values in enumerate(
        (
            (
                "-128, 255, -32768, 8388607, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615, "
                "3.4e38, 2.2250738585072014e-308, 12345678901234567890.0123456789, b'10000000000000001', "
                "'9999-12-31', '-838:59:58.999999', '0001-01-01 00:00:00.000001', '2026-10-25 00:30:00.123', 2155, "
                "'ch ', 'vc ', 'b', x'00ff27', 'ü', '\\\\\\'\\n', '', x'', x'80', x'0a', 'größer', 'red,blue'"
            ),
            ", ".join(["NULL"] * 29),
            ", ".join(["NULL"] * 8 + ["-0e0"] * 2 + ["NULL"] * 19),
            (
                "0, 0, 0, 0, 0, 0, 0, 0, 0.1, 16777217.1, -0.5, 0, '1000-01-01', '00:00:00', '1000-01-01', "
                "'2026-10-25 01:30:00.999', 1901, '', '', '', '', '', '', '', '', '', '', 'small', ''"
            ),
            (
                "1, 1, 1, 1, 1, 1, 1, 1, 1.2345678, 1e300, 1, 1, "
                "'2024-02-29', '23:59:59.999999', '2024-02-29 23:59:59', "
                "'1970-01-01 00:00:01', 2000, 'Ä', '😀', x'0000000000000000', x'', 'a', 'b', 'c', 'd', 'e', 'f', 2, 7"
            ),
        ),
        1,
    ):
        given = values.count(",") and values
        for cnx in (both.sharded, both.plain):
            run(cnx, "SET time_zone = '+00:00'")
            run(cnx, f"INSERT INTO everything ({', '.join(columns[:-2])}) VALUES ({key}, {given})")
    kept = [name for name in columns if name not in text]
    shown = ", ".join(f"a.`{name}`" for name in kept)
    exact = ", ".join(
        f"HEX(a.`{name}`), a.fl + 0e0, a.ts + 0" for name in ("ch", "vc", "bn", "vb", "tx", "bl")
    )
    sql = f"SELECT {shown}, {exact} FROM everything a LEFT JOIN nick b ON b.nick = a.vc WHERE a.id > 0"
    for settings in ("SET time_zone = 'SYSTEM'", "SET time_zone = '+05:30'"):
        both.write(settings)
        assert _answer(both.sharded, sql) == _answer(both.plain, sql)
    direct = {**both.cluster.direct("main/-"), "database": "plain_finish", "charset": "latin1"}
    with both.cluster.connect(charset="latin1") as one, pymysql.connect(**direct) as other:
        assert _answer(one, sql) == _answer(other, sql)
    both.write("SET sql_mode = 'ANSI_QUOTES,NO_BACKSLASH_ESCAPES,PAD_CHAR_TO_FULL_LENGTH'")
    assert _answer(both.sharded, sql) == _answer(both.plain, sql)
    both.write("SET sql_mode = DEFAULT")
    both.write("SET time_zone = DEFAULT")
    assert fetch(both.sharded, "SELECT @@sql_mode") == fetch(both.plain, "SELECT @@sql_mode")


def test_geometry_arrives_as_it_lay(both: Both) -> None:
    for key, shape in enumerate(("POINT(1 -2.5)", "POINT(0 0)"), 61):
        both.write(f"INSERT INTO everything (id, pt) VALUES ({key}, ST_GeomFromText('{shape}'))")
    sql = "SELECT a.pt, ST_AsText(a.pt), ST_SRID(b.pt) FROM everything a JOIN everything b ON b.id = a.id + 1"
    assert _answer(both.sharded, sql) == _answer(both.plain, sql)
    both.write("DELETE FROM everything WHERE id > 60")


def test_types_that_only_a_server_can_compare(both: Both) -> None:
    """The index of an ENUM, the bits of a SET, JSON: found out while merging."""
    for key, row in enumerate(
        ("2, 'red', '[2]'", "1, '', '1.5'", "3, 'red,blue', '10'", "1, 'blue', '{}'", "2, 1, '\"a\"'")
    ):
        both.write(f"INSERT INTO everything (id, en, st, js) VALUES ({71 + key}, {row})")
    for sql in (
        "SELECT id, en, st FROM everything WHERE id > 70 ORDER BY en DESC, st, id",
        "SELECT en, COUNT(*), MAX(id) FROM everything WHERE id > 70 GROUP BY en ORDER BY en",
        "SELECT DISTINCT st FROM everything WHERE id > 70 ORDER BY 1 LIMIT 2",
        "SELECT id, js FROM everything WHERE id > 70 ORDER BY js DESC LIMIT 3",
        "SELECT MIN(en), MAX(st) FROM everything WHERE id > 70",
    ):
        for begin in ("DO 0", "START TRANSACTION"):
            both.write(begin)
            assert fetch(both.sharded, sql) == fetch(both.plain, sql), sql
            both.write("COMMIT")
    both.write("DELETE FROM everything WHERE id > 70")


def test_json_is_copied_where_its_text_says_all(both: Both) -> None:
    documents = [
        "1",
        "-2.5",
        '"a"',
        "null",
        "true",
        "[]",
        '{"a": [1, {"b": [2.5e10, [null, "x"]]}], "ü": "😀"}',
        "[1.0]",
    ]
    for key, document in enumerate(documents, 100):
        both.write(f"INSERT INTO everything (id, js) VALUES ({key}, '{document}')")
    sql = (
        "SELECT a.id, a.js FROM everything a JOIN nick b ON b.customer_id = a.id - a.id + 1 WHERE a.id >= 100"
    )
    assert _answer(both.sharded, sql) == _answer(both.plain, sql)
    for key, value in ((200, "JSON_ARRAY(1, JSON_OBJECT('a', 1.10))"), (201, "JSON_ARRAY(CURRENT_DATE)")):
        both.write(f"INSERT INTO everything (id, js) VALUES ({key}, {value})")
        if both.cluster.flavour == "mysql":
            with pytest.raises(pymysql.err.Error, match="JSON with numbers"):
                fetch(both.sharded, sql)
        both.write(f"DELETE FROM everything WHERE id = {key}")
    both.write("DELETE FROM everything WHERE id >= 100")


def test_inside_a_transaction_its_own_writes_are_seen(both: Both) -> None:
    sql = "SELECT COUNT(*), COUNT(DISTINCT nick) FROM nick JOIN customer ON LENGTH(name) >= 0"
    before = fetch(both.sharded, sql)
    with both.cluster.connect(autocommit=False) as cnx:
        run(cnx, "INSERT INTO nick (nick, customer_id) VALUES ('mine', 5)")
        assert fetch(cnx, sql) == [(before[0][0] + 30, before[0][1] + 1)]
        assert cnx.server_status & 1, "still in the transaction"
        assert fetch(both.sharded, sql) == before
        cnx.rollback()
    assert fetch(both.sharded, sql) == before


@pytest.mark.parametrize("driver", ["connector", "mysqlclient"])
def test_prepared_and_other_drivers(both: Both, driver: str) -> None:
    cnx = connect(driver, both.cluster.connect_kwargs())
    sql = "SELECT c.customer_id, c.balance, n.nick FROM customer c JOIN nick n ON n.nick = c.name AND c.balance > {}"
    expected = sorted(fetch(both.plain, sql.format("2.5")))
    assert expected
    if driver == "connector":
        cursor = cnx.cursor(prepared=True)
        for _ in range(2):
            cursor.execute(sql.format("%s"), ("2.5",))
            assert sorted(cursor.fetchall()) == expected
        cursor.close()
    assert sorted(fetch(cnx, sql.format("2.5"))) == expected
    cnx.close()


def test_two_keyspaces_at_once(both: Both) -> None:
    run(both.sharded, "INSERT INTO main.big (id, body) VALUES (-1, x'00ff'), (-2, NULL)")
    sql = (
        "SELECT b.nick, main.big.id, HEX(big.body) "
        "FROM main.big JOIN commerce.nick b ON b.customer_id > 90 WHERE big.id < 0"
    )
    assert sorted(fetch(both.sharded, sql)) == [("bob", -2, None), ("bob", -1, "00FF")]
    run(both.sharded, "DELETE FROM main.big WHERE id < 0")


def test_errors_are_those_of_the_server_and_nothing_stays_behind(both: Both) -> None:
    for sql in (
        "SELECT nope FROM customer c JOIN nick n ON n.nick = c.name",
        "SELECT (SELECT customer_id FROM orders) FROM nick",
        "SELECT id FROM (SELECT 1 AS x UNION SELECT customer_id FROM nick) t",
    ):
        errors = []
        for cnx in (both.sharded, both.plain):
            with pytest.raises(pymysql.err.Error) as caught:
                fetch(cnx, sql)
            errors.append(error_of(caught.value)[0])
        assert errors[0] == errors[1]
    assert fetch(both.sharded, "SHOW PINS") in ([], ())
    assert fetch(both.sharded, "SELECT FOUND_ROWS(), ROW_COUNT()")


def test_found_rows_and_sql_select_limit(both: Both) -> None:
    sql = "SELECT c.customer_id FROM customer c JOIN nick n ON n.customer_id > 0"
    both.write("SET sql_select_limit = 7")
    for cnx in (both.sharded, both.plain):
        assert len(fetch(cnx, sql)) == 7
        assert fetch(cnx, "SELECT FOUND_ROWS()") == [(7,)]
    both.write("SET sql_select_limit = DEFAULT")
    assert len(fetch(both.sharded, sql)) == 90


def test_many_at_once_and_clients_that_leave(both: Both) -> None:
    """More than a pool has connections: each waits its turn, and what was given up is given back."""
    sql = "SELECT COUNT(*), SUM(c.balance) FROM customer c JOIN orders o ON o.quantity < c.customer_id"
    expected = fetch(both.plain, sql)

    def ask(number: int) -> list[tuple[Any, ...]]:
        with both.cluster.connect() as cnx:
            if number % 4 == 3:
                cnx._execute_command(3, sql)  # type: ignore[attr-defined]
                cnx._force_close()  # type: ignore[attr-defined]
                return expected
            return fetch(cnx, sql)

    with ThreadPoolExecutor(24) as threads:
        assert all(found == expected for found in threads.map(ask, range(72)))
    assert fetch(both.sharded, sql) == expected


def test_a_kill_ends_it(both: Both) -> None:
    sql = "SELECT SLEEP(20 + COUNT(*)) FROM customer c JOIN orders o ON o.quantity < c.customer_id"
    with both.cluster.connect() as cnx, ThreadPoolExecutor(1) as thread:
        number = fetch(cnx, "SELECT CONNECTION_ID()")[0][0]
        asked = thread.submit(fetch, cnx, sql)
        while not asked.done():
            run(both.sharded, f"KILL QUERY {number}")
            wait((asked,), timeout=0.2)
        if asked.exception() is not None:
            assert error_of(asked.exception())[0] == 1317
        else:
            assert asked.result() == [(1,)], "SLEEP tells by its value that it was killed"
        assert fetch(cnx, "SELECT 1") == [(1,)]
