"""INSERT and REPLACE of rows whose shards are known once something is computed: rows, counts and errors are those of
one MySQL."""

import re
from collections.abc import Iterator

import pymysql
import pytest

from tests.kit.both import Both, both_places, outcome
from tests.kit.cluster import Cluster
from tests.kit.drivers import fetch, run

pytestmark = pytest.mark.e2e

TABLES = ("customer", "orders", "account", "account_email", "product", "wide")

WRITES = """
INSERT INTO wide (id, pad) VALUES ((SELECT MAX(order_id) FROM orders) + 1, 'new');
INSERT INTO wide (id, pad) VALUES (CRC32('a'), (SELECT name FROM customer WHERE customer_id = 3));
INSERT INTO wide VALUES (5 + 6, CONCAT('a', 1)) ON DUPLICATE KEY UPDATE pad = 'twice';
INSERT INTO wide VALUES (5 + 6, CONCAT('a', 1)) ON DUPLICATE KEY UPDATE pad = 'twice';
REPLACE INTO wide (id, pad) VALUES ((SELECT COUNT(*) FROM orders) - 13, 'third');
INSERT INTO wide (id, pad) VALUES ((SELECT customer_id FROM customer), 'several');
INSERT INTO wide (id, pad) VALUES (1 / 0, 'none');
INSERT INTO wide (id, pad) VALUES (10 + 1, 'there');
INSERT INTO wide VALUES (10 + 20, 'a'), (31, CONCAT('x', id)), (((-32)), x'41'), (33, 'z'), (44 - 7, (SELECT
    MAX(sku) FROM orders)), (34, DEFAULT(pad));
INSERT INTO wide VALUES (10 + 20, 'a'), (31, CONCAT('x', id)), (((-32)), x'41'), (33, 'z'), (44 - 7, (SELECT
    MAX(sku) FROM orders));
INSERT IGNORE INTO wide VALUES (30, 'b'), (-CEIL(34), 'new'), (36, 'c');
INSERT INTO wide VALUES (30, 'b'), (-CEIL(34), 'x'), (39, 'c') ON DUPLICATE KEY UPDATE pad = CONCAT(VALUES(pad), pad);
REPLACE INTO wide SET id = 10 + 20, pad = (SELECT MIN(name) FROM customer);
INSERT INTO wide SET pad = 'set', id = LENGTH('abc') + 40;
INSERT INTO wide VALUES (50 + 1, 'new'), (43, 'there');
INSERT INTO product VALUES ('A', CONCAT('a', 1), (SELECT MAX(price) FROM orders)), ('B', LOWER('B'), 1 + 1);
INSERT INTO product SET sku = 'C', description = IF(RAND() < 2, 'rand', ''), price = 1;
INSERT INTO account VALUES (1 + 100, CONCAT('a', 1), 't1', MD5('x')), (102, NULL, DEFAULT, 'n'), (3 * 35, 'b', (SELECT
    MAX(country) FROM customer), NULL);
INSERT INTO account SET id = 10 + 6, email = 'a1';
REPLACE INTO account SET id = 10 + 6, email = UPPER('b'), note = IF(RAND() < 2, 'rand', '');
REPLACE INTO account (id, email) VALUES (16, IF(RAND() < 2, 'rand', '')), (17, 'z');
INSERT INTO account (id, email) VALUES (16, 'up'), (18, 'new') ON DUPLICATE KEY UPDATE id = VALUES(id), email = 'up';
INSERT INTO orders (order_id, customer_id, sku, quantity, price) VALUES (103, 3, 'u', 9, 9), (104, 4, 'u', 9, 9)
    ON DUPLICATE KEY UPDATE customer_id = VALUES(customer_id), sku = VALUES(sku);
"""


@pytest.fixture
def both(cluster: Cluster) -> Iterator[Both]:
    product = cluster.query("SELECT * FROM product")
    with both_places(cluster, "plain_computed", TABLES) as found:
        run(found.plain, "DELETE FROM product")
        found.write("INSERT INTO customer VALUES (3, 'Ada', NULL, 'GB', 1), (4, 'Zoë', NULL, 'FR', 2.5)")
        rows = ", ".join(f"({n}, {n % 5}, 'S{n % 4}', 1, {n}.5)" for n in range(100, 124))
        found.write(f"INSERT INTO orders (order_id, customer_id, sku, quantity, price) VALUES {rows}")
        yield found
    with cluster.connect() as cnx, cnx.cursor() as cursor:
        cursor.executemany("INSERT INTO product VALUES (%s, %s, %s)", product)


def test_values_that_are_computed_first(both: Both) -> None:
    for sql in WRITES.strip().split(";\n"):
        assert outcome(both.sharded, sql) == outcome(both.plain, sql), sql
        found = re.search(r"INTO (\w+)", sql)
        assert found is not None
        read = f"SELECT * FROM {found[1]} ORDER BY 1"
        assert fetch(both.sharded, read) == fetch(both.plain, read), sql
        entries = fetch(both.sharded, "SELECT email FROM account_email ORDER BY email")
        assert entries == fetch(
            both.plain, "SELECT email FROM account WHERE email IS NOT NULL ORDER BY email"
        )
    shown = "SELECT * FROM product ORDER BY sku"
    on_shards = [both.cluster.query_direct(f"commerce/{shard}", shown) for shard in ("-80", "80-")]
    assert on_shards[0] == on_shards[1] != []
    text = (
        "INSERT INTO customer (customer_id, name, country) VALUES (NULL + 1, 's', 'GB'), (DEFAULT, 't', 'GB')"
    )
    count, first = run(both.sharded, text)
    ids = fetch(both.sharded, "SELECT customer_id FROM customer WHERE name IN ('s', 't') ORDER BY 1")
    assert (count, ids) == (2, [(first,), (first + 1,)])
    with pytest.raises(pymysql.err.NotSupportedError, match="hexadecimal"):
        run(both.sharded, "INSERT INTO wide (id, pad) VALUES (x'41' + 1, 'A')")
