"""Writes that read first: INSERT ... SELECT between shards and keyspaces, UPDATE and DELETE with LIMIT, subqueries and
joins over shards. Rows, counts and errors are those of one MySQL that holds all rows."""

import re
from collections.abc import Iterator

import pymysql
import pytest

from tests.kit.both import Both, both_places, outcome
from tests.kit.cluster import Cluster
from tests.kit.drivers import fetch, run

pytestmark = pytest.mark.e2e

TABLES = ("customer", "orders", "device", "nick", "everything", "account", "account_email", "product", "wide")
SHOWN = {
    "customer": "customer_id",
    "orders": "order_id",
    "device": "serial",
    "nick": "nick",
    "account": "id",
    "product": "sku",
    "wide": "id",
}


@pytest.fixture(scope="module")
def places(cluster: Cluster) -> Iterator[Both]:
    product = cluster.query("SELECT * FROM product")
    with both_places(cluster, "plain_move", TABLES) as found:
        yield found
    with cluster.connect() as cnx, cnx.cursor() as cursor:
        cursor.executemany("INSERT INTO product VALUES (%s, %s, %s)", product)


@pytest.fixture
def both(places: Both) -> Both:
    for table in TABLES:
        if table != "account_email":
            for cnx in (places.sharded, places.plain):
                run(cnx, f"DELETE FROM {table}")
    with pymysql.connect(**places.cluster.direct("main/-")) as main:
        run(main, "DELETE FROM account_team")
    for cnx in (places.sharded, places.plain):
        run(
            cnx,
            "INSERT INTO product (sku, description, price) VALUES ('LAMP', 'Desk lamp', 39.90), ('PEN', 'Pen', 24)",
        )
        run(
            cnx,
            "INSERT INTO customer (customer_id, name, email, country, balance) VALUES "
            + ", ".join(
                f"({n}, '{name}', {'NULL' if n % 3 else repr(f'c{n}@x')}, '{'GB' if n % 2 else 'FR'}', {n}.25)"
                for n, name in enumerate(
                    ("Ada", "ada", "Zoë", "Édith", "straße", "b", "", "ß%_`", "x", "日本"), 1
                )
            ),
        )
        run(
            cnx,
            "INSERT INTO orders (order_id, customer_id, sku, quantity, price) VALUES "
            + ", ".join(f"({100 + n}, {n % 7 + 1}, 'S{n % 4}', {n % 5}, {n}.5)" for n in range(1, 25)),
        )
    return places


def same(both: Both, sql: str, table: str) -> int:
    """Runs a write on both sides; its error's number."""
    found = [outcome(cnx, sql) for cnx in (both.sharded, both.plain)]
    assert found[0] == found[1], sql
    read = f"SELECT * FROM {table} ORDER BY {SHOWN[table]}"
    assert fetch(both.sharded, read) == fetch(both.plain, read), sql
    return found[0][2]


# Rows change their shards, keyspaces are crossed, errors are MySQL's own.
WRITES = """
INSERT INTO orders (order_id, customer_id, sku, quantity, price) SELECT order_id + 100, quantity + 1, sku, 1,
    price FROM orders;
INSERT INTO device (serial, label) SELECT CONCAT(name, customer_id), country FROM customer;
INSERT INTO device SELECT CONCAT(c.name, o.order_id), o.sku FROM customer c JOIN orders o ON o.quantity =
    c.customer_id;
REPLACE INTO device (serial, label) SELECT country, name FROM customer ORDER BY customer_id;
INSERT INTO nick (nick, customer_id) SELECT name, customer_id FROM customer ORDER BY customer_id LIMIT 1;
INSERT INTO nick (nick, customer_id) SELECT name, customer_id FROM customer;
INSERT IGNORE INTO nick (nick, customer_id) SELECT name, customer_id FROM customer ORDER BY customer_id;
INSERT INTO nick (nick, customer_id) SELECT name, customer_id FROM customer ORDER BY customer_id ON DUPLICATE
    KEY UPDATE customer_id = nick.customer_id * 100 + VALUES(customer_id);
INSERT INTO wide (id, pad) SELECT COUNT(*), sku FROM orders GROUP BY sku HAVING COUNT(*) > 100;
INSERT INTO wide SELECT customer_id, MAX(price) FROM orders GROUP BY customer_id;
INSERT INTO wide SELECT order_id, customer_id FROM orders UNION SELECT customer_id, name FROM customer;
INSERT INTO wide (pad, id) WITH t AS (SELECT sku, SUM(quantity) q FROM orders GROUP BY sku) SELECT sku, q * 1000
    + LENGTH(sku) + ROW_NUMBER() OVER (ORDER BY sku) FROM t;
INSERT INTO wide SELECT customer_id + 0.0, 1.5e0 + customer_id FROM customer;
INSERT INTO wide (id) SELECT customer_id FROM customer WHERE customer_id IN (SELECT quantity FROM orders);
INSERT INTO wide SELECT customer_id, 1 / (customer_id - 5) FROM customer;
INSERT IGNORE INTO wide SELECT customer_id, IFNULL(1 / (customer_id - 5), 0) FROM customer;
INSERT INTO wide SELECT customer_id FROM customer;
INSERT INTO wide (id, pda) SELECT customer_id, 1 FROM customer;
INSERT INTO product SELECT name, email, balance FROM customer WHERE email IS NOT NULL;
INSERT INTO product SELECT sku, MAX(note), SUM(price) FROM orders GROUP BY sku;
INSERT INTO customer (customer_id, name, country) SELECT order_id, sku, 'X' FROM orders;
INSERT INTO customer (customer_id, name, country) SELECT customer_id, 'again', 'X' FROM orders ON DUPLICATE KEY
    UPDATE balance = balance + 1, name = VALUES(name);
INSERT INTO account (id, email, team) SELECT customer_id, email, country FROM customer;
INSERT INTO account (id, email, team) SELECT customer_id + 5, 'same', country FROM customer;
REPLACE INTO account (id, note) SELECT quantity, sku FROM orders ORDER BY order_id;
"""


CHANGES = """
UPDATE customer SET name = CONCAT(name, 'x'), balance = balance + 1 WHERE country = 'GB' ORDER BY balance DESC LIMIT 3;
UPDATE customer c SET c.email = NULL, balance = DEFAULT ORDER BY c.email IS NULL, c.customer_id LIMIT 2;
UPDATE orders SET order_id = order_id + 1 ORDER BY order_id DESC LIMIT 100;
UPDATE orders SET order_id = order_id + 1 ORDER BY order_id LIMIT 3;
DELETE FROM orders WHERE quantity > 1 ORDER BY price DESC, order_id LIMIT 5;
DELETE FROM orders WHERE sku = 'S1' AND quantity IN (SELECT customer_id FROM customer WHERE balance > 3);
DELETE FROM customer WHERE EXISTS (SELECT 1 FROM orders o WHERE o.quantity = customer.customer_id) ORDER BY name DESC,
    customer_id LIMIT 2;
DELETE FROM customer WHERE customer_id > (SELECT AVG(quantity) FROM orders) OR name = 'Ada';
DELETE FROM customer WHERE customer_id = (SELECT quantity FROM orders);
UPDATE customer SET balance = (SELECT SUM(price) FROM orders WHERE quantity = customer.customer_id), name = 'w'
    WHERE customer_id < 8;
UPDATE customer SET name = (SELECT MAX(sku) FROM orders WHERE quantity = customer.customer_id) WHERE customer_id < 8;
UPDATE customer c JOIN orders o ON o.order_id = c.customer_id + 100
    SET c.name = CONCAT(c.name, o.sku), c.balance = o.price WHERE o.quantity <> 2;
UPDATE customer c LEFT JOIN orders o ON o.order_id = c.customer_id + 95 SET c.email = o.note, c.country = 'LJ';
UPDATE customer c, (SELECT quantity, COUNT(*) n FROM orders GROUP BY quantity) t SET c.balance = t.n
    WHERE t.quantity = c.customer_id;
UPDATE customer a JOIN customer b ON b.customer_id = a.customer_id + 1 SET a.name = b.name;
UPDATE customer c JOIN orders o ON o.quantity = c.customer_id SET c.country = 'DU';
DELETE c FROM customer c JOIN orders o ON o.quantity = c.customer_id WHERE o.sku LIKE 'S%';
DELETE FROM customer USING customer LEFT JOIN orders ON quantity = customer.customer_id WHERE order_id IS NULL;
UPDATE customer SET balance = 1 / (customer_id - 5) WHERE name > '' LIMIT 20;
UPDATE customer SET name = 'x' WHERE name > 5 LIMIT 20;
UPDATE product p JOIN customer c ON c.customer_id = LENGTH(p.description) SET p.description = c.name;
DELETE FROM product WHERE sku IN (SELECT sku FROM orders) OR price > (SELECT MAX(balance) FROM customer) ORDER BY price;
UPDATE account SET email = CONCAT('n', id), team = 'new' ORDER BY id DESC LIMIT 4;
UPDATE account SET note = (SELECT name FROM customer WHERE customer_id = account.id), email = note WHERE id > 2;
DELETE FROM account WHERE id IN (SELECT quantity FROM orders) ORDER BY id LIMIT 3;
UPDATE account SET email = 'same' LIMIT 2;
DELETE FROM nick WHERE nick = 'Ada' OR customer_id IN (SELECT customer_id FROM customer) LIMIT 100
"""


@pytest.mark.parametrize("sql", WRITES.strip().rstrip(";").split(";\n"))
def test_as_one_server(both: Both, sql: str) -> None:
    found = re.search(r"INTO (\w+)", sql)
    assert found is not None
    same(both, sql, found[1])


@pytest.mark.parametrize("sql", CHANGES.strip().split(";\n"))
def test_changes_as_one_server(both: Both, sql: str) -> None:
    for cnx in (both.sharded, both.plain):
        run(
            cnx,
            "INSERT INTO account (id, email, team, note) SELECT customer_id, email, country, 'x' FROM customer",
        )
        run(cnx, "INSERT INTO nick SELECT CONCAT(name, customer_id), customer_id FROM customer")
    found = re.search(r"(?:UPDATE|FROM) (\w+)", sql)
    assert found is not None
    same(both, sql, found[1] if found[1] in SHOWN else "customer")
    entries = fetch(both.sharded, "SELECT email FROM account_email ORDER BY email")
    assert entries == fetch(both.plain, "SELECT email FROM account WHERE email IS NOT NULL ORDER BY email")


def test_what_is_changed_and_read_at_once(both: Both) -> None:
    """MySQL refuses it, MariaDB reads what was there before."""
    for sql in (
        "UPDATE customer SET balance = (SELECT MAX(balance) FROM customer) WHERE name = 'Ada'",
        "DELETE FROM customer WHERE balance < (SELECT AVG(balance) FROM customer)",
    ):
        number = same(both, sql, "customer")
        assert number == (1093 if both.cluster.flavour == "mysql" else 0)
    same(
        both,
        "DELETE FROM customer WHERE balance < (SELECT a FROM (SELECT AVG(balance) a FROM customer) d)",
        "customer",
    )


def test_changes_inside_a_transaction(both: Both) -> None:
    both.write("START TRANSACTION")
    both.write("UPDATE orders SET quantity = 9 ORDER BY order_id LIMIT 4")
    same(
        both,
        "UPDATE customer SET name = 'nine' WHERE customer_id IN (SELECT quantity FROM orders)",
        "customer",
    )
    same(both, "DELETE FROM orders WHERE quantity = 9 ORDER BY order_id DESC LIMIT 3", "orders")
    both.write("ROLLBACK")
    for table in ("orders", "customer"):
        read = f"SELECT * FROM {table} ORDER BY 1"
        assert fetch(both.sharded, read) == fetch(both.plain, read)


def test_a_transaction_and_its_rollback(both: Both) -> None:
    for sql in ("START TRANSACTION", "UPDATE customer SET name = CONCAT('t', name)"):
        both.write(sql)
    same(both, "INSERT INTO nick SELECT name, customer_id FROM customer WHERE customer_id > 2", "nick")
    assert same(both, "INSERT INTO nick SELECT 'same', customer_id FROM customer", "nick") == 1062
    same(both, "INSERT INTO device SELECT nick, 'own' FROM nick", "device")
    both.write("ROLLBACK")
    for table in ("nick", "device", "customer"):
        read = f"SELECT * FROM {table} ORDER BY 1"
        assert fetch(both.sharded, read) == fetch(both.plain, read)


def test_prepared(both: Both) -> None:
    for cnx in (both.sharded, both.plain):
        run(cnx, "PREPARE p FROM 'INSERT INTO nick SELECT CONCAT(name, ?), ? FROM customer WHERE name > ?'")
        run(cnx, "SET @a = 'ä', @b = 5, @c = 'b'")
        assert run(cnx, "EXECUTE p USING @a, @b, @c")[0] > 1
    read = "SELECT * FROM nick ORDER BY nick"
    assert fetch(both.sharded, read) == fetch(both.plain, read)


def test_into_and_from_the_unsharded_keyspace(both: Both) -> None:
    before = fetch(both.sharded, "SELECT COALESCE(MAX(id), 0) FROM main.note")[0][0]
    count, first = run(
        both.sharded, "INSERT INTO main.note (body) SELECT name FROM customer ORDER BY customer_id"
    )
    assert count == 10
    assert first > before
    assert fetch(both.sharded, "SELECT LAST_INSERT_ID()") == [(first,)]
    found = fetch(both.sharded, "SELECT body FROM main.note WHERE id >= %s ORDER BY id", (first,))
    assert found == fetch(both.plain, "SELECT name FROM customer ORDER BY customer_id")
    into = "INSERT INTO device SELECT CONCAT(body, id), body FROM main.note WHERE id >= %s"
    assert run(both.sharded, into, (first,))[0] == 10
    run(both.sharded, "DELETE FROM main.note WHERE id >= %s", (first,))
    assert sorted(fetch(both.sharded, "SELECT label FROM device")) == sorted(found)


def test_ids_come_from_the_sequence(both: Both) -> None:
    count, first = run(both.sharded, "INSERT INTO customer (name, country) SELECT sku, 'SQ' FROM orders")
    ids = [
        row[0]
        for row in fetch(both.sharded, "SELECT customer_id FROM customer WHERE country = 'SQ' ORDER BY 1")
    ]
    assert (count, ids) == (24, list(range(first, first + 24)))
    text = (
        "INSERT INTO orders (order_id, customer_id, sku, quantity, price) "
        "SELECT IF(quantity, NULL, order_id + 500), 3, sku, 0, 0 FROM orders WHERE order_id < 110"
    )
    count, first = run(both.sharded, text)
    found = [
        row[0] for row in fetch(both.sharded, "SELECT order_id FROM orders WHERE order_id > 200 ORDER BY 1")
    ]
    assert (count, found) == (9, [605, *range(first, first + 8)])


def test_lookup_tables_follow(both: Both) -> None:
    same(
        both,
        "INSERT INTO account (id, email, team) SELECT customer_id, email, country FROM customer",
        "account",
    )
    read = "SELECT email FROM account WHERE email IS NOT NULL ORDER BY email"
    assert fetch(both.sharded, "SELECT email FROM account_email ORDER BY email") == fetch(both.plain, read)
    same(both, "REPLACE INTO account (id, email) SELECT id, CONCAT('new', id) FROM account", "account")
    assert fetch(both.sharded, "SELECT email FROM account_email ORDER BY email") == fetch(both.plain, read)
    assert fetch(both.sharded, "SELECT COUNT(*) FROM main.account_team") == [(10,)]


def test_values_arrive_as_they_lay(both: Both) -> None:
    values = (
        "-128, 255, -32768, 8388607, -2147483648, 4294967295, -9223372036854775808, 18446744073709551615, "
        "2.2250738585072014e-308, 12345678901234567890.0123456789, b'10000000000000001', "
        "'9999-12-31', '-838:59:58.999999', '0001-01-01 00:00:00.000001', '2026-10-25 00:30:00.123', 2155, "
        "'ch ', 'vc ', 'b', x'00ff27', 'ü', '\\\\\\'\\n', '', x'', x'80', x'0a', 'größer', 'red,blue'"
    )
    columns = [row[0] for row in fetch(both.plain, "SHOW COLUMNS FROM everything")]
    names = ", ".join(one for one in columns[:-2] if one != "fl")
    into = names.replace("id, ", "id, ", 1)
    exact = "HEX(ch), HEX(vc), HEX(bn), HEX(vb), HEX(tx), HEX(bl), HEX(lt), db + 0, bt + 0, en + 0, st + 0"
    for charset in ("utf8mb4", "latin1"):
        for cnx in (both.sharded, both.plain):
            run(cnx, "SET NAMES utf8mb4")
            run(cnx, "SET time_zone = '+00:00'")
            run(cnx, f"REPLACE INTO everything ({into}) VALUES (1, {values})")
            run(cnx, f"REPLACE INTO everything ({into}) VALUES (2, {', '.join(['NULL'] * 28)})")
            run(cnx, 'UPDATE everything SET js = \'{"a": [1, "x", null, 1.5, true]}\' WHERE id = 1')
            run(cnx, f"SET NAMES {charset}")
            run(cnx, "SET sql_select_limit = 1")
            rest = names.removeprefix("id, ")
            text = f"INSERT INTO everything (id, {rest}, js) SELECT id + 40, {rest}, js FROM everything WHERE id < 3"
            assert run(cnx, text)[0] == 2
            run(cnx, "SET sql_select_limit = DEFAULT")
            run(cnx, "SET NAMES utf8mb4")
        read = f"SELECT {names}, js, {exact} FROM everything ORDER BY id"
        assert fetch(both.sharded, read) == fetch(both.plain, read)
        assert len(fetch(both.sharded, read)) == 4
        for cnx in (both.sharded, both.plain):
            run(cnx, "DELETE FROM everything")
            run(cnx, "SET time_zone = DEFAULT")


def test_refused_whole(both: Both) -> None:
    """What might change on the way is refused, and nothing of it is there."""
    run(both.sharded, "INSERT INTO everything (id, fl) VALUES (1, NULL), (2, 1.5), (3, 0.1)")
    with pytest.raises(pymysql.err.NotSupportedError, match="FLOAT fl"):
        run(both.sharded, "INSERT INTO everything (id, fl) SELECT id + 10, fl FROM everything ORDER BY id")
    assert (
        run(both.sharded, "INSERT INTO everything (id, fl) SELECT id + 10, fl + 0e0 FROM everything")[0] == 3
    )
    with pytest.raises(pymysql.err.NotSupportedError, match="reads c"):
        run(
            both.sharded,
            "INSERT INTO nick SELECT name, customer_id FROM customer c ON DUPLICATE KEY UPDATE customer_id = c.balance",
        )
    read = "SELECT id, fl + 0e0 FROM everything WHERE id < 10 ORDER BY id"
    assert fetch(both.sharded, read.replace("< 10", "> 10").replace("id,", "id - 10,", 1)) == fetch(
        both.sharded, read
    )
    run(both.sharded, "DELETE FROM everything")


def test_refused_half_way_nothing_is_left(both: Both) -> None:
    """The value that is refused comes behind a whole batch, in the client's own transaction."""
    many = "customer_id + 10 * (a.order_id + 24 * b.order_id)"
    average = "IF(a.order_id = 124 AND b.order_id = 124, (SELECT AVG(quantity) FROM orders), NULL)"
    rows = f"SELECT {many}, {average} FROM customer, orders a, orders b"
    rows = rows.replace("customer_id +", "customer.customer_id +", 1)
    run(both.sharded, "START TRANSACTION")
    with pytest.raises(pymysql.err.NotSupportedError, match="averages or quotients"):
        run(both.sharded, f"INSERT INTO everything (id, de) {rows} ORDER BY 1")
    run(both.sharded, "COMMIT")
    assert fetch(both.sharded, "SELECT COUNT(*) FROM everything") == [(0,)]


def test_decimals_with_all_their_digits(both: Both) -> None:
    head = "INSERT INTO everything (id, de) SELECT quantity + 1,"
    with pytest.raises(pymysql.err.NotSupportedError, match=r"CAST\("):
        run(both.sharded, f"{head} AVG(price) FROM orders GROUP BY quantity")
    for cnx in (both.sharded, both.plain):
        run(cnx, f"{head} CAST(AVG(price) / 7 AS DECIMAL(20, 10)) FROM orders GROUP BY quantity")
        run(cnx, head.replace("+ 1", "+ 11") + " SUM(price) * 1.001 FROM orders GROUP BY quantity")
    read = "SELECT id, de FROM everything ORDER BY id"
    assert fetch(both.sharded, read) == fetch(both.plain, read)
    assert len(fetch(both.plain, read)) == 10
    for cnx in (both.sharded, both.plain):
        run(cnx, "DELETE FROM everything")


def test_sharding_columns_from_other_character_sets(both: Both) -> None:
    head = "INSERT INTO device (serial, label)"
    for charset in ("ucs2", "cp1251"):
        with pytest.raises(pymysql.err.NotSupportedError, match="CONVERT"):
            run(both.sharded, f"{head} SELECT CONVERT(country USING {charset}), name FROM customer")
    with pytest.raises(pymysql.err.NotSupportedError, match="not ASCII"):
        run(both.sharded, f"{head} SELECT CAST(name AS BINARY), 'x' FROM customer")
    same(both, f"{head} SELECT CONVERT(CONCAT(customer_id, 'é') USING latin1), 'x' FROM customer", "device")
    same(both, f"{head} SELECT CAST(CONCAT('b', customer_id) AS BINARY), 'x' FROM customer", "device")
    for (serial,) in fetch(both.plain, "SELECT serial FROM device"):
        assert fetch(both.sharded, "SELECT COUNT(*) FROM device WHERE serial = %s", (serial,)) == [(1,)]
