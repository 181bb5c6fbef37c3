"""UPDATE of sharding columns, which takes rows (and entries of lookup tables) to other shards; UPDATE and DELETE of
several tables. Rows, counts and errors are those of one MySQL."""

import re
from collections.abc import Iterator

import pymysql
import pytest

from tests.kit.both import Both, both_places, outcome
from tests.kit.cluster import Cluster
from tests.kit.drivers import fetch, run

pytestmark = pytest.mark.e2e

TABLES = ("customer", "orders", "nick", "device", "account", "account_email", "everything", "wide")
KEYS = {"customer": "customer_id", "orders": "customer_id", "account": "id", "everything": "id", "wide": "id"}

CHANGES = """
UPDATE orders SET customer_id = 3, sku = CONCAT(sku, 'x') WHERE order_id = 101;
UPDATE orders SET customer_id = 3 WHERE customer_id = 3;
UPDATE orders SET customer_id = customer_id + 1, quantity = customer_id;
UPDATE orders SET customer_id = quantity ORDER BY price DESC LIMIT 5;
UPDATE orders SET customer_id = order_id, order_id = order_id + 1 WHERE order_id > 118 ORDER BY order_id DESC;
UPDATE orders SET order_id = order_id - 1, customer_id = 7 WHERE order_id BETWEEN 101 AND 110;
UPDATE customer SET customer_id = customer_id + 100;
UPDATE customer SET customer_id = customer_id + 1 ORDER BY customer_id DESC;
UPDATE customer SET customer_id = customer_id - 1;
UPDATE customer SET customer_id = 2 WHERE customer_id = 1;
UPDATE customer SET customer_id = 20, email = 'c3@x' WHERE customer_id = 1;
UPDATE customer SET customer_id = NULL WHERE customer_id = 1;
UPDATE customer SET customer_id = (SELECT MAX(order_id) FROM orders) WHERE name = 'x';
UPDATE customer c JOIN orders o ON o.order_id = c.customer_id + 100 SET c.customer_id = o.order_id, c.country = 'US';
UPDATE customer SET customer_id = '15', name = LPAD(customer_id, 5, '-') WHERE customer_id = 5;
UPDATE customer SET customer_id = 'text' WHERE customer_id = 1;
UPDATE nick SET nick = CONCAT(nick, 'é') WHERE nick < 'c';
UPDATE nick SET nick = UPPER(nick);
UPDATE device SET serial = label, label = serial;
UPDATE device SET serial = 'same';
UPDATE account SET id = id + 10, note = 'moved';
UPDATE account SET id = id + 10, email = CONCAT('new', id), team = NULL WHERE id > 3;
UPDATE account SET id = 4 WHERE id = 1;
UPDATE everything SET id = id + 1 ORDER BY id DESC
"""

SEVERAL = """
UPDATE customer c JOIN nick n ON n.customer_id = c.customer_id SET c.country = 'XX', n.customer_id = n.customer_id + 10;
UPDATE customer c JOIN nick n ON n.customer_id = c.customer_id SET c.name = n.nick, n.customer_id = c.customer_id + 1
    WHERE c.balance > 2;
UPDATE customer c, orders o SET c.balance = c.balance + o.price, o.note = c.name, o.quantity = o.quantity + 1 WHERE
    o.order_id = c.customer_id + 100;
UPDATE customer c LEFT JOIN nick n ON n.customer_id = c.customer_id - 3 SET c.email = NULL, n.nick = CONCAT('new',
    n.nick);
UPDATE customer c JOIN account a ON a.id = c.customer_id SET a.email = CONCAT('j', c.name),
    c.customer_id = c.customer_id + 50;
UPDATE nick n JOIN device d ON d.serial = CONCAT('D', n.customer_id) SET n.customer_id = 0, d.label = NULL;
DELETE c, n FROM customer c JOIN nick n ON n.customer_id = c.customer_id WHERE n.nick < 'c';
DELETE c.*, o.* FROM customer c LEFT JOIN orders o ON o.quantity = c.customer_id WHERE c.customer_id > 3;
DELETE FROM c, n USING customer c, nick n WHERE n.customer_id = c.customer_id + 1;
DELETE a, o FROM account a JOIN orders o ON o.quantity = a.id WHERE o.sku <> 'S1';
DELETE c, o FROM customer c JOIN orders o ON o.customer_id = c.customer_id WHERE c.customer_id = 4;
DELETE FROM c, o USING customer c JOIN orders o ON o.customer_id = c.customer_id WHERE c.name > 'a';
DELETE c, n FROM customer c JOIN nick n ON n.customer_id = c.missing
"""


@pytest.fixture(scope="module")
def places(cluster: Cluster) -> Iterator[Both]:
    with both_places(cluster, "plain_keys", TABLES) as found:
        yield found


@pytest.fixture
def both(places: Both) -> Both:
    for table in TABLES:
        if table != "account_email":
            for cnx in (places.sharded, places.plain):
                run(cnx, f"DELETE FROM {table}")
    names = ("Ada", "ada", "Zoë", "Édith", "straße", "b", "", "ß%_`", "x", "日本")
    values = ", ".join(
        f"({n}, '{name}', {'NULL' if n % 3 else repr(f'c{n}@x')}, 'GB', {n}.25)"
        for n, name in enumerate(names, 1)
    )
    places.write(f"INSERT INTO customer (customer_id, name, email, country, balance) VALUES {values}")
    values = ", ".join(f"({100 + n}, {n % 7 + 1}, 'S{n % 4}', {n % 5}, {n}.5)" for n in range(1, 25))
    places.write(f"INSERT INTO orders (order_id, customer_id, sku, quantity, price) VALUES {values}")
    places.write("INSERT INTO nick VALUES ('ann', 1), ('Bea', 2), ('cyd', 3), ('Éva', 4)")
    places.write("INSERT INTO device VALUES ('D1', 'L1'), ('D2', 'L2'), ('D3', 'L3'), ('D4', 'L4')")
    places.write(
        "INSERT INTO account VALUES (1, 'a', 't1', NULL), (2, 'b', 't1', 'n'), (3, NULL, NULL, ''), (4, 'd', 't2', 'm')"
    )
    for cnx in (places.sharded, places.plain):
        run(cnx, "SET time_zone = '+02:00'")
        run(
            cnx,
            "INSERT INTO everything (id, fl, db, de, bt, tm, dt, ts, ch, vc, vb, en, st, js, pt) VALUES (1, 0.1, -0e0, "
            "12345678901234567890.0123456789, b'101', '-838:59:58.999999', '2026-10-25 02:30:00.5', '2026-10-25 "
            "02:30:00.123', 'ch', 'vc ', x'00ff27', 'größer', 'red,blue', '{\"a\": [1, \"x\", null]}', "
            f"ST_GeomFromText('POINT(1 -2.5)')), (2, {', '.join(['NULL'] * 14)}), (3, 1, 1, 1, 1, '00:00:00', "
            "'2026-01-01', '2026-07-01', '', '', '', 'small', '', '[]', NULL)",
        )
    return places


def same(both: Both, sql: str, table: str) -> int:
    """Runs a write on both sides; its error's number. Every row lies where its key says."""
    found = [outcome(cnx, sql) for cnx in (both.sharded, both.plain)]
    assert found[0] == found[1], sql
    names = [row[0] for row in fetch(both.plain, f"SHOW COLUMNS FROM {table}")]
    columns = ", ".join("ST_AsText(pt)" if name == "pt" else name for name in names)
    read = f"SELECT {columns} FROM {table} ORDER BY 1"
    assert fetch(both.sharded, read) == fetch(both.plain, read), sql
    if table in KEYS:
        for shard in ("-80", "80-"):
            keys = both.cluster.query_direct(f"commerce/{shard}", f"SELECT {KEYS[table]} FROM {table}")
            assert {both.cluster.shard_of(key) for (key,) in keys} <= {shard}, sql
    accounts = fetch(both.plain, "SELECT email, id FROM account WHERE email IS NOT NULL ORDER BY email")
    entries = fetch(both.sharded, "SELECT email, keyspace_id FROM account_email ORDER BY email")
    assert entries == [(email, both.cluster.keyspace_id(key)) for email, key in accounts]
    return found[0][2]


def test_changes_as_one_server(both: Both) -> None:
    for sql in CHANGES.strip().split(";\n"):
        table = re.match(r"UPDATE (\w+)", sql)
        assert table is not None
        same(both, sql, table[1])


def test_several_tables_as_one_server(both: Both) -> None:
    for sql in SEVERAL.strip().split(";\n"):
        same(both, sql, "account")
        for table in ("customer", "orders", "nick", "device"):
            read = f"SELECT * FROM {table} ORDER BY 1"
            assert fetch(both.sharded, read) == fetch(both.plain, read), sql


def test_in_a_transaction(both: Both) -> None:
    both.write("START TRANSACTION")
    same_in = "UPDATE account SET id = id + 7 WHERE id < 3"
    both.write(same_in)
    found = [outcome(cnx, "UPDATE account SET id = 4 WHERE id = 8") for cnx in (both.sharded, both.plain)]
    assert found[0] == found[1] == (-1, "", 1062)
    both.write("UPDATE orders SET customer_id = customer_id + 1 WHERE quantity = 2")
    for read in ("SELECT * FROM account ORDER BY id", "SELECT * FROM orders ORDER BY order_id"):
        assert fetch(both.sharded, read) == fetch(both.plain, read)
    both.write(
        "UPDATE customer c JOIN nick n ON n.customer_id = c.customer_id SET c.country = 'XX', n.customer_id = 7"
    )
    both.write("DELETE c, n FROM customer c JOIN nick n ON n.customer_id = c.customer_id")
    both.write("ROLLBACK")
    same(both, "UPDATE account SET id = 4 WHERE id = 99", "account")
    both.write("BEGIN")
    both.write(same_in)
    both.write("COMMIT")
    same(both, "UPDATE account SET id = 4 WHERE id = 99", "account")
    run(both.sharded, "PREPARE p FROM 'UPDATE customer SET customer_id = ? WHERE customer_id = ?'")
    run(both.sharded, "SET @a = 77, @b = 2")
    assert run(both.sharded, "EXECUTE p USING @a, @b")[0] == 1
    run(both.sharded, "DEALLOCATE PREPARE p")
    both.plain.cursor().execute("UPDATE customer SET customer_id = 77 WHERE customer_id = 2")
    same(both, "UPDATE customer SET customer_id = 2 WHERE customer_id = 77", "customer")


def test_what_cannot_move_is_refused_as_a_whole(both: Both) -> None:
    read = "SELECT * FROM customer ORDER BY customer_id"
    before = fetch(both.sharded, read)
    for shard in ("-80", "80-"):
        text = "CREATE TRIGGER moved BEFORE DELETE ON customer FOR EACH ROW SET @gone = 1"
        both.cluster.query_direct(f"commerce/{shard}", text)
    try:
        with pytest.raises(pymysql.err.NotSupportedError, match="triggers"):
            run(both.sharded, "UPDATE customer SET customer_id = customer_id + 100")
    finally:
        for shard in ("-80", "80-"):
            both.cluster.query_direct(f"commerce/{shard}", "DROP TRIGGER moved")
    with pytest.raises(pymysql.err.NotSupportedError, match="sharding column customer"):
        run(both.sharded, "UPDATE customer SET customer_id = DEFAULT")
    with pytest.raises(pymysql.err.NotSupportedError, match="IGNORE"):
        run(both.sharded, "UPDATE IGNORE customer SET customer_id = customer_id + 100")
    assert fetch(both.sharded, read) == before
