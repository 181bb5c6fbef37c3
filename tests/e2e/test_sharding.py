"""Answers over shards are those of one MySQL that holds all rows; what cannot be is refused by name.

The plain server is the one of keyspace `main`, in a database of its own with the same tables.
"""

import random
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest

from tests.kit.both import Both, both_places
from tests.kit.cluster import Cluster
from tests.kit.drivers import error_of, fetch, run

pytestmark = pytest.mark.e2e

TABLES = ("customer", "orders", "device", "nick")


@pytest.fixture(scope="module")
def both(cluster: Cluster) -> Iterator[Both]:
    with both_places(cluster, "plain", TABLES) as found:
        fill(found)
        yield found


def fill(both: Both) -> None:
    rnd = random.Random(7)
    words = ["Ada", "ada", "Zoë", "Zoe", "Édith", "edith", "Ümit", "ßpecial", "straße", "a b", "a", ""]
    customers = [
        f"({key}, '{rnd.choice(words)}', {'NULL' if key % 7 == 0 else repr(f'c{key}@x')},"
        f" '{rnd.choice(['GB', 'DE', 'US'])}',"
        f" {rnd.randrange(-5000, 5000) / 100})"
        for key in range(1, 61)
    ]
    both.write(
        f"INSERT INTO customer (customer_id, name, email, country, balance) VALUES {', '.join(customers)}"
    )
    orders = [
        f"({key}, {rnd.randrange(1, 61)}, '{rnd.choice(['LAMP', 'CHAIR', 'PEN'])}', {rnd.randrange(1, 9)},"
        f" {rnd.randrange(100, 9999) / 100}, {rnd.choice(['NULL', repr('n' + str(key % 5))])},"
        f" '2026-{rnd.randrange(1, 13):02d}-{rnd.randrange(1, 29):02d} 10:00:00')"
        for key in range(1, 301)
    ]
    both.write(
        "INSERT INTO orders (order_id, customer_id, sku, quantity, price, note, ordered_at)"
        f" VALUES {', '.join(orders)}"
    )


ORDERED = [
    "SELECT customer_id, name FROM customer ORDER BY customer_id",
    "SELECT customer_id, name FROM customer ORDER BY customer_id DESC LIMIT 7",
    "SELECT customer_id FROM customer ORDER BY customer_id LIMIT 5 OFFSET 11",
    "SELECT customer_id FROM customer ORDER BY customer_id LIMIT 11, 5",
    "SELECT name, customer_id FROM customer ORDER BY name, customer_id",
    "SELECT name, email, customer_id FROM customer ORDER BY email DESC, 3",
    "SELECT balance b, customer_id FROM customer ORDER BY b DESC, customer_id",
    "SELECT customer_id FROM customer ORDER BY balance, customer_id LIMIT 10",
    "SELECT * FROM customer WHERE country = 'GB' ORDER BY customer_id",
    "SELECT * FROM customer WHERE email IS NULL ORDER BY customer_id",
    "SELECT customer_id, balance * 2 AS twice FROM customer WHERE balance > 0 ORDER BY twice, customer_id",
    "SELECT COUNT(*) FROM customer",
    "SELECT COUNT(*) AS n, COUNT(email), SUM(balance), MIN(balance), MAX(balance) FROM customer",
    "SELECT AVG(balance) FROM customer",
    "SELECT AVG(quantity), SUM(quantity), SUM(price) FROM orders",
    "SELECT COUNT(*), SUM(balance), MIN(name), AVG(balance) FROM customer WHERE customer_id < 0",
    "SELECT MIN(name), MAX(name) FROM customer",
    "SELECT MIN(ordered_at), MAX(ordered_at) FROM orders",
    "SELECT country, COUNT(*) FROM customer GROUP BY country ORDER BY country",
    "SELECT country, COUNT(*) AS n FROM customer GROUP BY country ORDER BY n DESC, country",
    "SELECT sku, SUM(quantity), AVG(price), MIN(price), MAX(price) FROM orders GROUP BY sku ORDER BY sku",
    "SELECT sku, note, COUNT(*) FROM orders GROUP BY sku, note ORDER BY sku, note",
    "SELECT note, COUNT(*) FROM orders GROUP BY note ORDER BY note",
    "SELECT DISTINCT country FROM customer ORDER BY country",
    "SELECT DISTINCT sku, quantity FROM orders ORDER BY sku, quantity LIMIT 9",
    "SELECT customer_id FROM customer WHERE customer_id IN (1, 2, 3, 4, 5, 99) ORDER BY customer_id",
    "SELECT customer_id FROM customer WHERE customer_id IN (3, 3, 3) ORDER BY 1",
    "SELECT COUNT(*) FROM customer WHERE customer_id IN (1, 2, 3, 4, 5, 99)",
    "SELECT customer_id FROM customer WHERE customer_id BETWEEN 10 AND 20 ORDER BY customer_id",
    "SELECT customer_id FROM customer WHERE customer_id = 5 OR customer_id = 6 ORDER BY customer_id",
    "SELECT customer_id FROM customer WHERE customer_id = 5 OR balance > 20 ORDER BY customer_id",
    "SELECT customer_id FROM customer WHERE NOT customer_id = 5 ORDER BY customer_id LIMIT 8",
    "SELECT customer_id FROM customer WHERE customer_id = '7'",
    "SELECT customer_id FROM customer WHERE customer_id = 7.0",
    "SELECT customer_id FROM customer WHERE 7 = customer_id AND name IS NOT NULL",
    "SELECT customer_id FROM customer WHERE customer_id = 3 + 4",
    "SELECT customer_id FROM customer WHERE customer_id = NULL",
    "SELECT customer_id FROM customer WHERE customer_id IS NULL",
    "SELECT customer_id FROM customer WHERE customer_id = -1",
    (
        "SELECT c.customer_id, o.order_id FROM customer c JOIN orders o ON o.customer_id = c.customer_id"
        " WHERE c.customer_id = 5 ORDER BY o.order_id"
    ),
    (
        "SELECT c.customer_id, o.order_id FROM customer c JOIN orders o ON o.customer_id = c.customer_id"
        " ORDER BY o.order_id"
    ),
    (
        "SELECT c.country, SUM(o.price) FROM customer c JOIN orders o USING (customer_id)"
        " GROUP BY c.country ORDER BY c.country"
    ),
    (
        "SELECT c.customer_id, COUNT(o.order_id) FROM customer c LEFT JOIN orders o ON o.customer_id = c.customer_id"
        " GROUP BY c.customer_id ORDER BY c.customer_id"
    ),
    "SELECT o.order_id, p.description FROM orders o JOIN product p ON p.sku = o.sku ORDER BY o.order_id LIMIT 20",
    "SELECT p.sku, SUM(o.quantity * p.price) FROM orders o JOIN product p USING (sku) GROUP BY p.sku ORDER BY p.sku",
    "SELECT * FROM product ORDER BY sku",
    "SELECT COUNT(*) FROM product",
    "SELECT name FROM customer WHERE customer_id = 9 AND EXISTS (SELECT 1 FROM orders WHERE customer_id = 9)",
    "SELECT (SELECT COUNT(*) FROM orders WHERE customer_id = 9) AS n, name FROM customer WHERE customer_id = 9",
    "SELECT customer_id, CASE WHEN balance < 0 THEN 'debt' ELSE 'fine' END AS s FROM customer ORDER BY s, customer_id",
    "SELECT country, COUNT(*) FROM customer WHERE name LIKE 'a%' GROUP BY country ORDER BY country",
    "SELECT UPPER(name) AS u, customer_id FROM customer ORDER BY u, customer_id",
    "SELECT order_id FROM orders WHERE ordered_at >= '2026-06-01' ORDER BY ordered_at, order_id LIMIT 15",
    "SELECT order_id, price FROM orders ORDER BY price DESC, order_id LIMIT 15",
    "SELECT 1 FROM customer LIMIT 0",
    "SELECT COUNT(*) FROM orders WHERE sku = 'PEN' AND quantity > 3",
    "SELECT MAX(order_id) FROM orders",
    "SELECT customer_id, SUM(price) FROM orders GROUP BY customer_id ORDER BY customer_id",
    "SELECT customer_id, SUM(price) AS total FROM orders GROUP BY customer_id ORDER BY total DESC, customer_id LIMIT 5",
    "SELECT sku FROM orders GROUP BY sku ORDER BY sku",
    "SELECT country FROM customer GROUP BY country HAVING COUNT(*) > 1000",
    "SELECT customer_id FROM customer WHERE customer_id = 1 UNION SELECT customer_id FROM orders WHERE customer_id = 1",
    "SELECT 1 + 1, 'x', NULL",
    "SELECT NOW() > '2020-01-01'",
]

UNORDERED = [
    "SELECT customer_id, name, email, country, balance FROM customer",
    "SELECT * FROM orders",
    "SELECT DISTINCT name FROM customer",
    "SELECT sku, COUNT(*) FROM orders GROUP BY sku",
    "SELECT o.* FROM orders o JOIN customer c ON c.customer_id = o.customer_id WHERE c.country = 'DE'",
]


def answer(cnx: Any, sql: str) -> tuple[list[str], list[tuple[Any, ...]]]:
    with cnx.cursor() as cursor:
        cursor.execute(sql)
        return [column[0] for column in cursor.description], list(cursor.fetchall())


@pytest.mark.parametrize("sql", ORDERED)
def test_equal_to_one_server(both: Both, sql: str) -> None:
    try:
        found = answer(both.sharded, sql)
    except pymysql.err.Error as error:
        number, text = error_of(error)
        if number != 1235:
            raise
        pytest.skip(f"refused by name: {text}")
    assert found == answer(both.plain, sql)


@pytest.mark.parametrize("sql", UNORDERED)
def test_equal_but_for_the_order(both: Both, sql: str) -> None:
    names, rows = answer(both.sharded, sql)
    plain_names, plain_rows = answer(both.plain, sql)
    assert names == plain_names
    assert sorted(map(repr, rows)) == sorted(map(repr, plain_rows))


def test_limit_without_an_order_gives_that_many_rows(both: Both) -> None:
    assert len(fetch(both.sharded, "SELECT customer_id FROM customer LIMIT 17")) == 17
    assert len(fetch(both.sharded, "SELECT customer_id FROM customer LIMIT 50, 20")) == 10


REFUSED = [
    ("SELECT c.name, p.name FROM customer c JOIN customer p ON p.name = c.name FOR UPDATE", "join"),
    ("SELECT SQL_CALC_FOUND_ROWS name FROM customer", "SQL_CALC_FOUND_ROWS"),
    ("UPDATE customer SET customer_id = DEFAULT WHERE customer_id = 6", "customer_id"),
    ("INSERT INTO device (label) VALUES ('x')", "serial"),
]


@pytest.mark.parametrize(("sql", "word"), REFUSED)
def test_what_is_not_supported_is_refused_by_name(both: Both, sql: str, word: str) -> None:
    with pytest.raises(pymysql.err.Error) as caught:
        fetch(both.sharded, sql)
    number, text = error_of(caught.value)
    assert (number, word.lower() in text.lower()) == (1235, True), text
    assert fetch(both.sharded, "SELECT 1") == [(1,)]


# ---- routing


def counts(cluster: Cluster) -> dict[str, int]:
    """MySQL's own count of statements by shard."""
    found = {}
    for shard in ("-80", "80-"):
        ((_, value),) = cluster.query_direct(f"commerce/{shard}", "SHOW GLOBAL STATUS LIKE 'Com_select'")
        found[shard] = int(value)
    return found


def test_a_key_goes_to_its_shard_only(both: Both) -> None:
    cluster = both.cluster
    for key in (1, 2, 3, 4, 5):
        before = counts(cluster)
        for _ in range(10):
            assert fetch(both.sharded, f"SELECT customer_id FROM customer WHERE customer_id = {key}") == [
                (key,)
            ]
        after = counts(cluster)
        own = cluster.shard_of(key)
        other = "80-" if own == "-80" else "-80"
        assert after[own] - before[own] >= 10
        assert after[other] - before[other] < 5  # the tablet's own questions


def test_inserts_are_split_by_shard(both: Both) -> None:
    cluster = both.cluster
    for shard in ("-80", "80-"):
        rows = cluster.query_direct(f"commerce/{shard}", "SELECT customer_id FROM customer")
        assert rows
        assert {cluster.shard_of(key) for (key,) in rows} == {shard}
        rows = cluster.query_direct(f"commerce/{shard}", "SELECT customer_id FROM orders")
        assert {cluster.shard_of(key) for (key,) in rows} == {shard}


def test_texts_as_keys(both: Both) -> None:
    """xxhash and unicode_loose_md5: found again, and by the collation's equality where the vindex has it."""
    cnx = both.sharded
    serials = [f"serial-{number}" for number in range(40)]
    values = ", ".join(f"('{serial}', 'l-{serial}')" for serial in serials)
    both.write(f"INSERT INTO device (serial, label) VALUES {values}")
    for serial in serials:
        assert fetch(cnx, "SELECT label FROM device WHERE serial = %s", (serial,)) == [(f"l-{serial}",)]
    both.write(
        "INSERT INTO nick (nick, customer_id) VALUES ('Ada', 1), ('Zoë', 2), ('straße', 3), ('日本', 4)"
    )
    for text in ("Ada", "ADA", "ada", "Zoë", "ZOE", "zoe", "日本"):
        sql = f"SELECT customer_id FROM nick WHERE nick = '{text}'"
        assert fetch(cnx, sql) == fetch(both.plain, sql), text
    split = [
        both.cluster.query_direct(f"commerce/{shard}", "SELECT COUNT(*) FROM device")[0][0]
        for shard in ("-80", "80-")
    ]
    assert sum(split) == 40
    assert min(split) > 5


# ---- writes


def test_writes_leave_the_same_rows(both: Both) -> None:
    for sql in (
        "UPDATE customer SET name = 'one' WHERE customer_id = 3",
        "UPDATE customer SET balance = balance + 1 WHERE customer_id IN (1, 2, 3, 4)",
        "UPDATE customer SET country = 'FR' WHERE country = 'DE'",
        "UPDATE customer SET name = CONCAT(name, '!')",
        "UPDATE customer SET balance = 0 WHERE customer_id = 1000",
        "DELETE FROM orders WHERE customer_id = 4",
        "DELETE FROM orders WHERE quantity = 8",
        "DELETE FROM customer WHERE customer_id > 55",
        "INSERT INTO customer (customer_id, name, country) VALUES (101, 'a', 'GB'), (102, 'b', 'GB'), (103, 'c', 'GB')",
        (
            "INSERT INTO customer (customer_id, name, country) VALUES (101, 'x', 'GB'), (104, 'y', 'GB')"
            " ON DUPLICATE KEY UPDATE name = 'dup'"
        ),
        "INSERT IGNORE INTO customer (customer_id, name, country) VALUES (102, 'x', 'GB'), (105, 'z', 'GB')",
        "REPLACE INTO customer (customer_id, name, country) VALUES (103, 'r', 'GB')",
    ):
        both.write(sql)
        for table, key in (("customer", "customer_id"), ("orders", "order_id"), ("product", "sku")):
            select = f"SELECT * FROM {table} ORDER BY {key}"
            assert fetch(both.sharded, select) == fetch(both.plain, select), sql


def test_a_reference_table_counts_its_rows_once(both: Both) -> None:
    try:
        both.write("INSERT INTO product (sku, description, price) VALUES ('CUP', 'Cup', 1)")
    finally:
        for cnx in (both.sharded, both.plain):
            run(cnx, "DELETE FROM product WHERE sku = 'CUP'")


@pytest.mark.parametrize(
    "sql",
    [
        "SELECT * FORM customer",
        "SELECT FROM WHERE",
        "UPDATE customer SET",
        "SELCT 1, 'a'",
        "SELECT 'open",
        "SELECT (1",
        "SET sort_buffer_size =",
        "SHOW",
        "INSERT INTO customer (customer_id, name) VALUES (1, 'a', 2)",
    ],
)
def test_a_syntax_error_is_that_of_the_server(both: Both, sql: str) -> None:
    errors = []
    for cnx in (both.sharded, both.plain):
        with pytest.raises(pymysql.err.Error) as caught:
            run(cnx, sql)
        errors.append(error_of(caught.value))
    assert errors[0] == errors[1]
    assert errors[0][0] in (1064, 1136)


def test_explain_says_whose_plan_it_is(cluster: Cluster) -> None:
    with cluster.connect() as cnx:
        for where, noted in (("", True), (" WHERE customer_id = 5", False)):
            fetch(cnx, f"EXPLAIN SELECT * FROM customer{where}")
            notes = [text for _, _, text in fetch(cnx, "SHOW WARNINGS") if "commerce/-80" in text]
            assert bool(notes) == noted


def test_what_belongs_to_the_router_is_the_routers(cluster: Cluster) -> None:
    with cluster.connect() as cnx:
        expected = (cluster.connect_kwargs()["port"], 2000)
        assert fetch(cnx, "SELECT @@port, @@global.max_connections") == [expected]
        assert fetch(cnx, "SHOW VARIABLES LIKE 'max_connections'") == [("max_connections", "2000")]


def test_a_table_that_the_vschema_lacks_is_warned_of(cluster: Cluster) -> None:
    with cluster.connect() as cnx:
        run(cnx, "CREATE TABLE IF NOT EXISTS stray (a INT PRIMARY KEY)")
        try:
            ((level, number, text),) = fetch(cnx, "SHOW WARNINGS")
            assert (level, number) == ("Warning", 15018)
            assert "'commerce.stray' is not in the VSchema" in text
            with pytest.raises(pymysql.err.Error) as caught:
                fetch(cnx, "SELECT * FROM stray")
            assert error_of(caught.value)[0] == 1146
            assert "clusterctl vschema apply" in str(caught.value)
        finally:
            run(cnx, "DROP TABLE stray")


def test_table_maintenance_answers_once_and_commits(both: Both) -> None:
    with both.cluster.connect(autocommit=False) as cnx:
        run(cnx, "INSERT INTO nick (nick, customer_id) VALUES ('analyzed', 1)")
        assert [row[1:] for row in fetch(cnx, "ANALYZE TABLE customer")] == [
            row[1:] for row in fetch(both.plain, "ANALYZE TABLE customer")
        ]
        cnx.rollback()
    assert fetch(both.sharded, "SELECT customer_id FROM nick WHERE nick = 'analyzed'") == [(1,)]
    run(both.sharded, "DELETE FROM nick WHERE nick = 'analyzed'")


def test_a_write_to_a_reference_table_reaches_every_shard(both: Both) -> None:
    run(both.sharded, "INSERT INTO product (sku, description, price) VALUES ('JUG', 'Jug', 1)")
    run(both.sharded, "UPDATE product SET price = 2 WHERE sku = 'JUG'")
    for shard in ("-80", "80-"):
        found = both.cluster.query_direct(f"commerce/{shard}", "SELECT price FROM product WHERE sku = 'JUG'")
        assert [float(price) for (price,) in found] == [2.0]
    run(both.sharded, "DELETE FROM product WHERE sku = 'JUG'")
    assert fetch(both.sharded, "SELECT COUNT(*) FROM product") == [(5,)]


def test_grouping_by_an_alias_of_an_expression(both: Both) -> None:
    sql = "SELECT YEAR(ordered_at) y, MONTH(ordered_at) m, SUM(price) FROM orders GROUP BY y, m ORDER BY y, m"
    assert answer(both.sharded, sql) == answer(both.plain, sql)


def test_a_write_that_fails_on_one_shard_changes_none(both: Both) -> None:
    """Outside a transaction it is one of its own; inside, the statement alone is undone."""
    cluster = both.cluster
    keys = [k for k in range(200, 230) if cluster.shard_of(k) == "-80"][:2]
    other = next(k for k in range(200, 230) if cluster.shard_of(k) == "80-")
    cluster.query_direct(
        "commerce/80-",
        f"INSERT INTO customer (customer_id, name, country) VALUES ({other}, 'in the way', 'GB')",
    )
    values = ", ".join(f"({k}, 'new', 'GB')" for k in (*keys, other))
    insert = f"INSERT INTO customer (customer_id, name, country) VALUES {values}"
    count = f"SELECT COUNT(*) FROM customer WHERE customer_id IN ({keys[0]}, {keys[1]})"
    with pytest.raises(pymysql.err.IntegrityError):
        run(both.sharded, insert)
    assert fetch(both.sharded, count) == [(0,)]
    with cluster.connect(autocommit=False) as cnx:
        run(cnx, f"INSERT INTO customer (customer_id, name, country) VALUES ({keys[0]}, 'kept', 'GB')")
        with pytest.raises(pymysql.err.IntegrityError):
            run(cnx, insert.replace(f"({keys[0]}, 'new', 'GB'), ", ""))
        cnx.commit()
    assert fetch(both.sharded, count) == [(1,)]
    run(both.sharded, f"DELETE FROM customer WHERE customer_id IN ({keys[0]}, {other})")


def test_a_row_that_is_ignored_takes_no_id(both: Both) -> None:
    cluster = both.cluster
    keys = {cluster.shard_of(k): k for k in range(240, 280)}  # one a shard: the new row's is not known
    for shard, key in keys.items():
        cluster.query_direct(
            f"commerce/{shard}",
            "INSERT INTO customer (customer_id, name, email, country) "
            f"VALUES ({key}, 'holds it', 'taken@x', 'GB')",
        )
    insert = "INSERT IGNORE INTO customer (name, email, country) VALUES ('new', 'taken@x', 'GB')"
    assert run(both.sharded, insert) == (0, 0)
    both.sharded.cursor().execute(f"DELETE FROM customer WHERE customer_id IN ({keys['-80']}, {keys['80-']})")


def test_random_point_reads_and_writes_agree(both: Both) -> None:
    rnd = random.Random(11)
    for _ in range(150):
        key = rnd.randrange(300, 340)
        sql = rnd.choice(
            [
                (
                    f"INSERT INTO customer (customer_id, name, country) VALUES ({key}, 'n{rnd.randrange(5)}', 'GB')"
                    " ON DUPLICATE KEY UPDATE balance = balance + 1"
                ),
                f"UPDATE customer SET name = 'u{rnd.randrange(5)}' WHERE customer_id = {key}",
                f"DELETE FROM customer WHERE customer_id = {key}",
                f"UPDATE customer SET balance = balance * 2 WHERE customer_id IN ({key}, {key + 1}, {key + 2})",
            ]
        )
        both.write(sql)
        select = f"SELECT * FROM customer WHERE customer_id BETWEEN {key} AND {key + 3} ORDER BY customer_id"
        assert fetch(both.sharded, select) == fetch(both.plain, select)
    both.write("DELETE FROM customer WHERE customer_id BETWEEN 300 AND 345")
