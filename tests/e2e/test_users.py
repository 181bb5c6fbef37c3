"""Two users with different rights, and users that are made, changed and removed live."""

import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster, wait_for

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]


def users(cluster: Cluster, *args: str, stdin: str = "") -> str:
    ran = subprocess.run(
        [sys.executable, "-m", "cli.main", "users", *args, "-f", str(cluster.home / "cluster.toml")],
        cwd=ROOT,
        input=stdin,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )
    assert ran.returncode == 0, ran.stderr
    return ran.stdout


def login(cluster: Cluster, user: str, **more: Any) -> "pymysql.Connection[Any]":
    more.setdefault("database", None)
    more.setdefault("port", cluster.port)
    return pymysql.connect(
        host="127.0.0.1",
        user=user,
        password=more.pop("password", "pw"),
        autocommit=True,
        **more,
    )


def run(cnx: "pymysql.Connection[Any]", sql: str) -> Any:
    with cnx.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def refused(cnx: "pymysql.Connection[Any]", sql: str) -> tuple[int, str]:
    with pytest.raises(pymysql.err.MySQLError) as caught, cnx.cursor() as cursor:
        cursor.execute(sql)
    number, text = caught.value.args
    return number, text


@pytest.fixture
def made(cluster: Cluster) -> Iterator[list[str]]:
    """Users that the test makes: removed after it."""
    names: list[str] = []
    yield names
    for name in names:
        if f"{name} " in users(cluster, "list"):
            users(cluster, "remove", name)


def test_variables_of_administrators(cluster: Cluster, made: list[str]) -> None:
    made.append("setter")
    users(cluster, "add", "setter", "--roles", "admin:main", "--password-file", "-", stdin="pw\n")
    tried = [
        "sql_log_bin = 0",
        "@@session.binlog_format = 'ROW'",
        "pseudo_thread_id = 1",
        "innodb_tmpdir = '/'",
    ]
    if cluster.flavour == "mysql":
        tried += ["gtid_next = 'AUTOMATIC'", "sql_require_primary_key = 1", "max_error_count = DEFAULT"]
    else:
        tried += ["gtid_seq_no = 1", "enforce_storage_engine = MyISAM"]
    with pymysql.connect(**cluster.direct("main/-")) as admin, admin.cursor() as boss:
        boss.execute("CREATE USER setter@'%' IDENTIFIED BY 'pw'")
        try:
            port = cluster.direct_tcp("main/-")["port"]
            with login(cluster, "setter") as through, login(cluster, "setter", port=port) as plain:
                for one in tried:
                    assert refused(through, f"SET @x = 1, {one}") == refused(plain, f"SET @x = 1, {one}")
                    assert refused(through, f"SET @x = 1, {one}")[0] == 1227
                assert run(through, "SELECT @x") == ((None,),)
                if cluster.flavour == "mysql":  # of hints MySQL says so in a warning
                    for one in (
                        "max_error_count=5",
                        "sql_require_primary_key=1",
                        "default_table_encryption=0",
                    ):
                        sql = f"SELECT /*+ SET_VAR({one}) */ 1, @@max_error_count"
                        told = [(run(cnx, sql), run(cnx, "SHOW WARNINGS")) for cnx in (through, plain)]
                        assert told[0] == told[1]
                run(through, "SET @x = 1, sql_mode = '', lock_wait_timeout = 9")
        finally:
            boss.execute("DROP USER setter@'%'")


def test_two_users_with_different_rights(cluster: Cluster, made: list[str]) -> None:
    cluster.clear("customer")
    cluster.query("INSERT INTO customer (customer_id, name, country) VALUES (1, 'a', 'x'), (2, 'b', 'x')")
    made += ["reader", "maker"]
    users(cluster, "add", "reader", "--roles", "read:commerce", "--password-file", "-", stdin="pw\n")
    said = users(
        cluster,
        "add",
        "maker",
        "--roles",
        "read:main",
        "write:main",
        "ddl:main",
        "--password-file",
        "-",
        stdin="pw\n",
    )
    assert "in effect in the router" in said

    with (
        login(cluster, "reader", database="commerce") as reader,
        login(cluster, "maker", database="main") as maker,
    ):
        rows = run(reader, "SELECT customer_id, name FROM customer ORDER BY customer_id")
        assert rows == ((1, "a"), (2, "b"))
        # the plan is cached by now; who may not see is refused all the same
        text = "SELECT customer_id, name FROM commerce.customer ORDER BY customer_id"
        assert run(reader, text) == rows
        for _ in range(2):
            number, said = refused(maker, text)
            assert number == 1142
            assert said.startswith("SELECT command denied to user 'maker'@'")
            assert said.endswith("for table 'customer'")
        assert refused(reader, "INSERT INTO customer (customer_id, name) VALUES (3, 'c')")[0] == 1142
        assert refused(reader, "UPDATE customer SET name = 'x' WHERE customer_id = 1")[0] == 1142
        assert refused(reader, "DELETE FROM customer")[0] == 1142
        assert refused(reader, "DROP TABLE customer")[0] == 1142
        assert refused(reader, "SELECT * FROM customer WHERE customer_id = 1 FOR UPDATE")[0] == 1142
        assert refused(reader, "SELECT * FROM main.product")[0] == 1142
        assert refused(reader, "SELECT * FROM mysql.user")[0] == 1142
        assert refused(reader, "SELECT * FROM information_schema.processlist")[0] == 1227
        assert refused(reader, "SET @x = (SELECT MAX(name) FROM main.product)")[0] == 1142
        assert refused(reader, "EXPLAIN SELECT * FROM main.product")[0] == 1142
        assert refused(reader, "SHOW TABLES FROM main")[0] == 1044
        number, said = refused(reader, "USE main")
        assert (number, said.partition("@")[0]) == (1044, "Access denied for user 'reader'")
        assert refused(reader, "USE nosuch")[0] == 1044
        assert [row[0] for row in run(reader, "SHOW DATABASES")] == [
            "commerce",
            "information_schema",
            "performance_schema",
        ]
        assert run(reader, "SELECT COUNT(*) FROM information_schema.tables WHERE table_schema = 'main'") == (
            (0,),
        )
        (user, current) = run(reader, "SELECT USER(), CURRENT_USER()")[0]
        assert user.startswith("reader@127.0.0.1")
        assert current == "reader@%"
        assert run(reader, "SHOW GRANTS") == (
            ("GRANT USAGE ON *.* TO `reader`@`%`",),
            ("GRANT SELECT, SHOW VIEW ON `commerce`.* TO `reader`@`%`",),
        )
        assert refused(reader, "SHOW GRANTS FOR maker")[0] == 1044
        run(maker, "CREATE TABLE rights_test (id INT PRIMARY KEY)")
        run(maker, "INSERT INTO rights_test VALUES (1)")
        assert run(maker, "SELECT * FROM rights_test") == ((1,),)
        assert refused(maker, "CREATE PROCEDURE rights_p() SELECT 1")[0] == 1044
        run(maker, "DROP TABLE rights_test")
        assert refused(maker, f"KILL {reader.thread_id()}")[0] == 1095
    with pytest.raises(pymysql.err.MySQLError) as caught:
        login(cluster, "reader", database="main")
    assert caught.value.args[0] == 1044


def test_live_changes(cluster: Cluster, made: list[str]) -> None:
    made.append("changing")
    assert "changing" not in users(cluster, "list")
    users(cluster, "add", "changing", "--roles", "read:commerce", "--password-file", "-", stdin="one\n")
    with login(cluster, "changing", password="one", database="commerce") as cnx:
        assert run(cnx, "SELECT name FROM customer WHERE customer_id = -77") == ()
        users(cluster, "grant", "changing", "write:commerce")
        run(cnx, "DELETE FROM customer WHERE customer_id = -77")
        users(cluster, "revoke", "changing", "read:commerce", "write:commerce")
        assert refused(cnx, "SELECT name FROM customer WHERE customer_id = -77")[0] == 1142
        users(cluster, "password", "changing", "--password-file", "-", stdin="two\n")
        assert run(cnx, "SELECT 1") == ((1,),)
        with pytest.raises(pymysql.err.MySQLError) as caught:
            login(cluster, "changing", password="one")
        assert caught.value.args[0] == 1045
        login(cluster, "changing", password="two").close()
        users(cluster, "grant", "changing", "read")
        users(cluster, "remove", "changing")
        with pytest.raises(pymysql.err.MySQLError):
            run(cnx, "SELECT 1 FROM customer")
        with pytest.raises(pymysql.err.MySQLError) as caught:
            login(cluster, "changing", password="two")
        assert caught.value.args[0] == 1045


def test_a_removed_user_in_a_statement_finishes_it_and_is_told(cluster: Cluster, made: list[str]) -> None:
    import threading

    made.append("busy")
    users(cluster, "add", "busy", "--roles", "read:commerce", "--password-file", "-", stdin="pw\n")
    cnx = login(cluster, "busy", database="commerce")
    found: list[Any] = []
    thread = threading.Thread(target=lambda: found.append(run(cnx, "SELECT SLEEP(2)")))
    thread.start()
    wait_for(
        lambda: (
            any("SLEEP" in str(row) for row in cluster.query_direct("commerce/-80", "SHOW PROCESSLIST"))
            or any("SLEEP" in str(row) for row in cluster.query_direct("commerce/80-", "SHOW PROCESSLIST"))
        ),
        5,
        "the statement does not run",
    )
    users(cluster, "remove", "busy")
    thread.join()
    assert found == [((0,),)]
    with pytest.raises(pymysql.err.MySQLError):
        run(cnx, "SELECT * FROM customer")


def test_tls_and_connections(cluster: Cluster, made: list[str]) -> None:
    made.append("careful")
    options = ["--require-tls", "on", "--max-connections", "2"]
    users(cluster, "add", "careful", "--roles", "read", *options, "--password-file", "-", stdin="pw\n")
    with pytest.raises(pymysql.err.MySQLError) as caught:
        login(cluster, "careful", ssl_disabled=True)
    assert caught.value.args[0] == 1045
    one, two = login(cluster, "careful", ssl={}), login(cluster, "careful", ssl={})
    assert run(one, "SELECT 1") == ((1,),)
    with pytest.raises(pymysql.err.MySQLError) as caught:
        login(cluster, "careful", ssl={})
    assert caught.value.args == (
        1226,
        "User 'careful' has exceeded the 'max_user_connections' resource (current value: 2)",
    )
    two.close()

    def again() -> bool:
        try:
            login(cluster, "careful", ssl={}).close()
        except pymysql.err.MySQLError:
            return False
        return True

    wait_for(again, 5, "the place is not given back")
    one.close()


def test_an_administrator_sees_and_ends_sessions_of_others(cluster: Cluster, made: list[str]) -> None:
    made.append("boss")
    users(cluster, "add", "boss", "--roles", "admin", "--password-file", "-", stdin="pw\n")
    other = cluster.connect()
    with login(cluster, "boss") as boss:
        assert other.thread_id() in [row[0] for row in run(boss, "SHOW PROCESSLIST")]
        assert run(boss, "SHOW GRANTS") == (("GRANT ALL PRIVILEGES ON *.* TO `boss`@`%`",),)
        assert run(boss, "SHOW GRANTS FOR app") == (("GRANT ALL PRIVILEGES ON *.* TO `app`@`%`",),)
        (found,) = run(
            boss,
            "SELECT p.id, user, db, command, time < 60, info FROM information_schema.PROCESSLIST AS p"
            f" WHERE command = 'sleep' AND p.id = {other.thread_id()} ORDER BY time DESC",
        )
        assert found == (other.thread_id(), "app", "commerce", "Sleep", 1, None)
        mine = "SELECT COUNT(*), MIN(info LIKE 'SELECT COUNT%') FROM information_schema.processlist"
        for charset in ("utf8mb4", "latin1"):
            run(boss, f"SET NAMES {charset}")
            assert run(boss, f"{mine} WHERE id = CONNECTION_ID()") == ((1, 1),)
        run(boss, f"KILL {found[0]}")
        with pytest.raises(pymysql.err.MySQLError):
            run(other, "SELECT 1")


def test_nothing_of_a_password_is_in_etcd_or_shown(cluster: Cluster, made: list[str]) -> None:
    made.append("hidden")
    users(cluster, "add", "hidden", "--password-file", "-", stdin="Tr0ub4dor\n")
    assert "Tr0ub4dor" not in users(cluster, "list", "--json")
    files = [path for path in (cluster.layout.data_dir / "etcd").rglob("*") if path.is_file()]
    assert files
    assert not any(b"Tr0ub4dor" in path.read_bytes() for path in files)
