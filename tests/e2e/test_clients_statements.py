"""What an application sees of statements, transactions and errors: equal to a MySQL of the same flavour."""

from collections.abc import Iterator
from typing import Any

import mysql.connector
import pymysql
import pytest
from pymysql.constants import CLIENT
from pymysql.cursors import SSCursor

from tests.kit.cluster import Cluster
from tests.kit.drivers import DRIVERS, ERRORS, connect, error_of, fetch, run

pytestmark = pytest.mark.e2e

each_driver = pytest.mark.parametrize("driver", DRIVERS)


@pytest.fixture(autouse=True)
def _empty(cluster: Cluster) -> Iterator[None]:
    cluster.clear("customer", "orders", "nick", "device")
    yield
    cluster.clear("customer", "orders", "nick", "device")


def add_customer(cnx: Any, key: int, name: str = "Ada") -> None:
    run(cnx, "INSERT INTO customer (customer_id, name, country) VALUES (%s, %s, %s)", (key, name, "GB"))


def names(cluster: Cluster) -> list[str]:
    return sorted(name for (name,) in cluster.query("SELECT name FROM customer"))


# ---- transactions


@each_driver
def test_commit_and_rollback(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs(), autocommit=False)
    add_customer(cnx, 1, "committed")
    assert names(cluster) == []
    cnx.commit()
    assert names(cluster) == ["committed"]
    add_customer(cnx, 2, "rolled back")
    assert fetch(cnx, "SELECT COUNT(*) FROM customer WHERE customer_id = 2") == [(1,)]
    cnx.rollback()
    assert names(cluster) == ["committed"]
    add_customer(cnx, 3, "never committed")
    cnx.close()
    assert names(cluster) == ["committed"]


@each_driver
def test_begin_in_autocommit(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    for begin in ("BEGIN", "START TRANSACTION"):
        run(cnx, begin)
        add_customer(cnx, 1)
        assert names(cluster) == []
        run(cnx, "ROLLBACK")
        assert fetch(cnx, "SELECT * FROM customer") == []
    add_customer(cnx, 1, "at once")
    assert names(cluster) == ["at once"]
    cnx.close()


def test_a_transaction_over_both_shards(cluster: Cluster) -> None:
    one = next(k for k in range(1, 100) if cluster.shard_of(k) == "-80")
    other = next(k for k in range(1, 100) if cluster.shard_of(k) == "80-")
    with cluster.connect(autocommit=False) as cnx:
        add_customer(cnx, one, "one")
        add_customer(cnx, other, "other")
        assert sorted(fetch(cnx, "SELECT name FROM customer")) == [("one",), ("other",)]
        assert names(cluster) == []
        cnx.rollback()
        assert fetch(cnx, "SELECT name FROM customer") == []
        add_customer(cnx, one, "one")
        add_customer(cnx, other, "other")
        cnx.commit()
    assert names(cluster) == ["one", "other"]
    for key, shard in ((one, "-80"), (other, "80-")):
        assert cluster.query_direct(f"commerce/{shard}", "SELECT customer_id FROM customer") == [(key,)]


def test_autocommit_off_and_on(cluster: Cluster) -> None:
    with cluster.connect() as cnx:
        run(cnx, "SET autocommit = 0")
        add_customer(cnx, 1)
        assert names(cluster) == []
        run(cnx, "SET autocommit = 1")  # commits, as in MySQL
        assert names(cluster) == ["Ada"]
        assert fetch(cnx, "SELECT @@autocommit") == [(1,)]


def test_savepoints(cluster: Cluster) -> None:
    with cluster.connect(autocommit=False) as cnx:
        add_customer(cnx, 1, "first")
        run(cnx, "SAVEPOINT s")
        add_customer(cnx, 2, "second")
        run(cnx, "ROLLBACK TO SAVEPOINT s")
        add_customer(cnx, 3, "third")
        cnx.commit()
    assert names(cluster) == ["first", "third"]


def test_an_error_keeps_the_transaction(cluster: Cluster) -> None:
    with cluster.connect(autocommit=False) as cnx:
        add_customer(cnx, 1, "first")
        with pytest.raises(pymysql.err.IntegrityError):
            add_customer(cnx, 1, "again")
        add_customer(cnx, 2, "second")
        cnx.commit()
    assert names(cluster) == ["first", "second"]


def test_a_read_only_transaction(cluster: Cluster) -> None:
    with cluster.connect() as cnx:
        run(cnx, "START TRANSACTION READ ONLY")
        assert fetch(cnx, "SELECT COUNT(*) FROM customer") == [(0,)]
        with pytest.raises(pymysql.err.Error) as caught:
            add_customer(cnx, 1)
        assert error_of(caught.value)[0] == 1792
        run(cnx, "COMMIT")


# ---- errors are the server's own


SAME_ERRORS = [
    "SELECT nosuch FROM customer WHERE customer_id = 1",
    "SELECT * FROM customer WHERE customer_id = 1 AND nosuch = 2",
    "INSERT INTO customer (customer_id, name, country) VALUES (7, NULL, 'GB')",
    "INSERT INTO customer (customer_id, name, country) VALUES (7, 'x', 'too long')",
    "INSERT INTO customer (customer_id, nosuch) VALUES (7, 1)",
    "UPDATE customer SET nosuch = 1 WHERE customer_id = 7",
    "SELECT CAST('2020-13-45' AS DATE) + nosuchfunction(1)",
    "SELECT",
    "SELEC 1",
    "SELECT 'unfinished",
    "SET sql_mode = 'NOSUCH'",
    "SET nosuchvariable = 1",
    "SET @@nosuchvariable = 1",
    "SELECT @@nosuchvariable",
    "SELECT (SELECT 1 UNION SELECT 2)",
    "SELECT 18446744073709551615 + 1",
    "SAVEPOINT",
    "ROLLBACK TO SAVEPOINT nosuch",
]


@pytest.mark.parametrize("sql", SAME_ERRORS)
def test_errors_are_those_of_the_server(cluster: Cluster, sql: str) -> None:
    found = []
    for kwargs in (cluster.connect_kwargs(), cluster.direct_tcp("commerce/-80")):
        cnx = connect("connector", kwargs)
        with pytest.raises(mysql.connector.Error) as caught:
            fetch(cnx, sql)
        assert fetch(cnx, "SELECT 1") == [(1,)]  # the connection goes on
        cnx.close()
        found.append((caught.value.errno, caught.value.sqlstate))
    assert found[0] == found[1]


def test_a_duplicate_key_names_the_key(cluster: Cluster) -> None:
    with cluster.connect() as cnx:
        add_customer(cnx, 1)
        with pytest.raises(pymysql.err.IntegrityError) as caught:
            add_customer(cnx, 1)
    number, text = error_of(caught.value)
    assert (number, "'1'" in text, "PRIMARY" in text) == (1062, True, True)


# ---- what comes with an answer


@each_driver
def test_affected_rows(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    rows = ", ".join(f"({k}, 'n{k}', 'GB')" for k in range(1, 21))
    assert run(cnx, f"INSERT INTO customer (customer_id, name, country) VALUES {rows}")[0] == 20
    assert run(cnx, "UPDATE customer SET country = 'US' WHERE customer_id <= 10")[0] == 10
    assert run(cnx, "UPDATE customer SET country = 'US' WHERE customer_id <= 12")[0] == 2
    assert run(cnx, "DELETE FROM customer WHERE customer_id IN (1, 2, 3, 400)")[0] == 3
    assert run(cnx, "REPLACE INTO customer (customer_id, name, country) VALUES (4, 'new', 'FR')")[0] == 2
    assert run(cnx, "SELECT ROW_COUNT()")[0] in (1, -1)
    cnx.close()


def test_found_rows_flag(cluster: Cluster) -> None:
    for flag, expected in ((0, 0), (CLIENT.FOUND_ROWS, 1)):
        cluster.clear("customer")
        with cluster.connect(client_flag=flag) as cnx:
            add_customer(cnx, 1)
            assert run(cnx, "UPDATE customer SET name = 'Ada' WHERE customer_id = 1")[0] == expected
            for key in range(2, 12):
                add_customer(cnx, key)
            assert run(cnx, "UPDATE customer SET name = 'Ada'")[0] == 11 * expected


@each_driver
def test_last_insert_id_of_a_sequence(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    insert = "INSERT INTO customer (name, country) VALUES "
    _, first = run(cnx, insert + "('a', 'GB')")
    assert first >= 1_000_000
    assert fetch(cnx, "SELECT LAST_INSERT_ID()") == [(first,)]
    affected, second = run(cnx, insert + "('b', 'GB'), ('c', 'GB'), ('d', 'GB')")
    assert (affected, second > first) == (3, True)
    assert fetch(cnx, "SELECT LAST_INSERT_ID()") == [(second,)]
    found = sorted(k for (k,) in fetch(cnx, "SELECT customer_id FROM customer"))
    assert found == [first, second, second + 1, second + 2]
    run(cnx, "INSERT INTO customer (customer_id, name, country) VALUES (5, 'given', 'GB')")
    assert fetch(cnx, "SELECT LAST_INSERT_ID()") == [(second,)]
    run(cnx, "INSERT INTO orders (customer_id, sku, quantity, price) VALUES (LAST_INSERT_ID(), 'PEN', 1, 2)")
    assert fetch(cnx, f"SELECT COUNT(*) FROM orders WHERE customer_id = {second}") == [(1,)]
    cnx.close()


def test_last_insert_id_of_auto_increment(cluster: Cluster) -> None:
    with cluster.connect("main") as cnx:
        _, first = run(cnx, "INSERT INTO note (body) VALUES ('a')")
        _, second = run(cnx, "INSERT INTO note (body) VALUES ('b')")
        assert second == first + 1
        assert fetch(cnx, "SELECT LAST_INSERT_ID()") == [(second,)]
    with cluster.connect("main") as cnx:
        assert fetch(cnx, "SELECT LAST_INSERT_ID()") == [(0,)]


def test_warnings_of_the_server(cluster: Cluster) -> None:
    with cluster.connect() as cnx, cnx.cursor() as cursor:
        cursor.execute("SELECT CAST('1x' AS SIGNED)")
        assert cursor.warning_count == 1
        cursor.execute("SHOW WARNINGS")
        ((level, number, text),) = cursor.fetchall()
        assert (level, number) == ("Warning", 1292)
        assert "1x" in text


def test_multi_statements(cluster: Cluster) -> None:
    with cluster.connect(client_flag=CLIENT.MULTI_STATEMENTS) as cnx, cnx.cursor() as cursor:
        cursor.execute("SELECT 1; SELECT COUNT(*) FROM product; SELECT 'three'")
        found = [cursor.fetchall()]
        while cursor.nextset():
            found.append(cursor.fetchall())
        assert found == [((1,),), ((5,),), (("three",),)]
    with cluster.connect() as cnx, pytest.raises(pymysql.err.ProgrammingError) as caught:
        fetch(cnx, "SELECT 1; SELECT 2")
    assert error_of(caught.value)[0] == 1064


# ---- the shape of the cluster


@each_driver
def test_show(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    databases = {name for (name,) in fetch(cnx, "SHOW DATABASES")}
    assert {"commerce", "main", "information_schema"} <= databases
    tables = ["account", "account_email", "counter", "customer", "device", "everything"]
    tables += ["nick", "orders", "product", "ticket", "wide"]
    assert [name for (name,) in fetch(cnx, "SHOW TABLES")] == tables
    assert {"note", "big"} <= {name for (name,) in fetch(cnx, "SHOW TABLES FROM main")}
    ((name, ddl),) = fetch(cnx, "SHOW CREATE TABLE customer")
    assert (name, "PRIMARY KEY (`customer_id`)" in ddl) == ("customer", True)
    columns = [row[0] for row in fetch(cnx, "SHOW COLUMNS FROM customer")]
    assert columns == ["customer_id", "name", "email", "country", "balance"]
    assert [row[0] for row in fetch(cnx, "DESCRIBE customer")] == columns
    assert fetch(cnx, "SHOW VARIABLES LIKE 'autocommit'") == [("autocommit", "ON")]
    assert fetch(cnx, "SHOW WARNINGS") == []
    assert any(row[0] == "utf8mb4" for row in fetch(cnx, "SHOW CHARACTER SET"))
    cnx.close()


@each_driver
def test_a_targeted_shard(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    for key in range(1, 21):
        add_customer(cnx, key)
    run(cnx, "USE `commerce:-80`")
    here = sorted(k for (k,) in fetch(cnx, "SELECT customer_id FROM customer"))
    assert here == [k for k in range(1, 21) if cluster.shard_of(k) == "-80"]
    for expression in ("DATABASE()", "SCHEMA(), 1", "CONCAT(DATABASE())"):
        assert fetch(cnx, f"SELECT {expression}")[0][0] == "commerce:-80"
    tables = fetch(cnx, "SELECT table_name FROM information_schema.tables WHERE table_schema = DATABASE()")
    assert ("customer",) in tables
    run(cnx, "USE commerce")
    assert fetch(cnx, "SELECT COUNT(*) FROM customer") == [(20,)]
    cnx.close()
    cnx = connect(driver, cluster.connect_kwargs(database="commerce:80-"))
    there = sorted(k for (k,) in fetch(cnx, "SELECT customer_id FROM customer"))
    assert sorted(here + there) == list(range(1, 21))
    cnx.close()


def test_information_schema(cluster: Cluster) -> None:
    with cluster.connect() as cnx:
        found = fetch(
            cnx,
            "SELECT table_name FROM information_schema.tables WHERE table_schema = 'commerce' ORDER BY 1",
        )
        assert ("customer",) in found
        assert len(found) == len(set(found))
        assert fetch(
            cnx,
            "SELECT column_name FROM information_schema.columns"
            " WHERE table_schema = DATABASE() AND table_name = 'nick' ORDER BY ordinal_position",
        ) == [("nick",), ("customer_id",)]


# ---- session state


def test_what_a_session_sets_stays_in_it(cluster: Cluster) -> None:
    with cluster.connect() as one, cluster.connect() as other:
        run(one, "SET @mine = 42, SESSION sql_mode = 'ANSI_QUOTES', time_zone = '+05:00'")
        run(one, "SET @word = 'naïve'")
        for _ in range(20):
            assert fetch(one, "SELECT @mine, @word, @@time_zone") == [(42, "naïve", "+05:00")]
            assert fetch(other, "SELECT @mine, @word, @@time_zone = '+05:00'") == [(None, None, 0)]
            assert fetch(one, 'SELECT "country" FROM customer WHERE customer_id = 1') == []
            assert fetch(other, 'SELECT "country" FROM product WHERE sku = "PEN"') == [("country",)]


@pytest.mark.parametrize("charset", ["utf8mb4", "latin1", "utf8mb3"])
def test_character_sets_of_the_connection(cluster: Cluster, charset: str) -> None:
    with cluster.connect() as cnx:
        add_customer(cnx, 1, "Zoë Ünal")
    options = {"charset": "utf8", "use_unicode": True} if charset == "utf8mb3" else {"charset": charset}
    with cluster.connect(**options) as cnx:
        assert fetch(cnx, "SELECT name FROM customer WHERE name = 'Zoë Ünal'") == [("Zoë Ünal",)]
        run(cnx, "UPDATE customer SET name = 'Ærø' WHERE customer_id = 1")
    assert names(cluster) == ["Ærø"]


def test_get_lock_belongs_to_the_session(cluster: Cluster) -> None:
    with cluster.connect() as one, cluster.connect() as other:
        assert fetch(one, "SELECT GET_LOCK('sluice', 1)") == [(1,)]
        assert fetch(other, "SELECT GET_LOCK('sluice', 0)") == [(0,)]
        assert fetch(one, "SELECT RELEASE_LOCK('sluice')") == [(1,)]
        assert fetch(other, "SELECT GET_LOCK('sluice', 1)") == [(1,)]
        assert fetch(other, "SELECT RELEASE_ALL_LOCKS()") == [(1,)]


def test_temporary_tables_belong_to_the_session(cluster: Cluster) -> None:
    with cluster.connect("main") as one, cluster.connect("main") as other:
        run(one, "CREATE TEMPORARY TABLE mine (id INT PRIMARY KEY)")
        run(one, "INSERT INTO mine VALUES (1), (2)")
        assert fetch(one, "SELECT COUNT(*) FROM mine") == [(2,)]
        with pytest.raises(ERRORS):
            fetch(other, "SELECT COUNT(*) FROM mine")


def test_a_kill_in_the_middle_of_rows(cluster: Cluster) -> None:
    """An ERR ends the rows, and the connection goes on, as on MySQL."""
    digits = " UNION ALL ".join(f"SELECT {one} AS d" for one in range(10))
    cluster.query("CREATE TABLE kill_rows (id INT, pad VARCHAR(500))", database="main")
    killer = cluster.connect("main")
    try:
        run(
            killer,
            f"INSERT INTO kill_rows SELECT a.d, REPEAT('x', 500) FROM ({digits}) a, ({digits}) b, ({digits}) c",
        )
        run(killer, "COMMIT")
        with cluster.connect("main") as cnx:
            cursor = cnx.cursor(SSCursor)
            cursor.execute("SELECT a.*, b.* FROM kill_rows a, kill_rows b")
            for _ in range(1000):
                cursor.fetchone()
            run(killer, f"KILL QUERY {cnx.thread_id()}")
            with pytest.raises(pymysql.err.OperationalError) as caught:
                cursor.fetchall()
            assert error_of(caught.value)[0] == 1317
            assert fetch(cnx, "SELECT 1") == [(1,)]
    finally:
        run(killer, "DROP TABLE kill_rows")
        killer.close()


def test_kill_query(cluster: Cluster) -> None:
    import threading

    with cluster.connect("main") as victim, cluster.connect("main") as killer:
        ((number,),) = fetch(victim, "SELECT CONNECTION_ID()")
        timer = threading.Timer(0.5, lambda: run(killer, f"KILL QUERY {number}"))
        timer.start()
        try:
            # MySQL's SLEEP gives 1 when it is interrupted; SELECT itself fails where it scans.
            assert fetch(victim, "SELECT SLEEP(20)") == [(1,)]
        except pymysql.err.OperationalError as error:
            assert error.args[0] == 1317  # noqa: PT017
        timer.join()
        assert fetch(victim, "SELECT 1") == [(1,)]
