"""LOAD DATA LOCAL INFILE: into an unsharded table as on the server, into a sharded one by its rows; every client."""

import random
import threading
from pathlib import Path
from typing import Any

import pymysql
import pytest

from cli.local import create_database
from tests.kit.cluster import Cluster
from tests.kit.drivers import DRIVERS, ERRORS, connect, error_of, fetch
from tests.kit.servers import RunningMysql

pytestmark = pytest.mark.e2e

OPTION = {"pymysql": "local_infile", "connector": "allow_local_infile", "mysqlclient": "local_infile"}


def opened(cluster: Cluster, driver: str, database: str, **more: Any) -> Any:
    return connect(driver, cluster.connect_kwargs(database=database), **{OPTION[driver]: True}, **more)


def load(cnx: Any, sql: str) -> tuple[int, int]:
    """Affected rows and the last insert id."""
    cursor = cnx.cursor()
    cursor.execute(sql)
    found = int(cursor.rowcount), int(cursor.lastrowid or 0)
    cursor.close()
    return found


@pytest.mark.parametrize("driver", DRIVERS)
def test_unsharded(cluster: Cluster, driver: str, tmp_path: Path) -> None:
    path = tmp_path / "notes.csv"
    path.write_text('id;body\n1;"one ""and"" only"\n2;\\N\n3;"thr\\nee"\nx;5\n', "utf-8")
    cnx = opened(cluster, driver, "main")
    fetch(cnx, "DELETE FROM note")
    affected, _ = load(
        cnx,
        f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE note CHARACTER SET utf8mb4 FIELDS TERMINATED BY ';' "
        "OPTIONALLY ENCLOSED BY '\"' IGNORE 1 LINES (@id, body) SET id = @id * 10",
    )
    assert affected == 4
    assert fetch(cnx, "SELECT @id") == [("x",)]
    assert fetch(cnx, "SELECT id, body FROM note WHERE body <> '5' OR body IS NULL ORDER BY id") == [
        (10, 'one "and" only'),
        (20, None),
        (30, "thr\nee"),
    ]
    cnx.close()


@pytest.mark.parametrize("driver", ["connector", "mysqlclient"])
@pytest.mark.parametrize("tls", [True, False])
def test_a_large_file_compressed(cluster: Cluster, driver: str, tls: bool, tmp_path: Path) -> None:
    path = tmp_path / "notes.tsv"
    path.write_text("".join(f"{n}\t{'x' * (n % 190)}\n" for n in range(1, 20_001)))
    cnx = opened(cluster, driver, "main", tls=tls, compress=True)
    fetch(cnx, "DELETE FROM note")
    assert load(cnx, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE note")[0] == 20_000
    assert fetch(cnx, "SELECT COUNT(*), SUM(LENGTH(body)) FROM note") == [
        (20_000, sum(n % 190 for n in range(1, 20_001)))
    ]
    fetch(cnx, "DELETE FROM note")
    cnx.close()


@pytest.mark.parametrize("driver", DRIVERS)
def test_sharded(cluster: Cluster, driver: str, tmp_path: Path) -> None:
    path = tmp_path / "customers.csv"
    lines = [f'{n},"customer, {n}",DE,c{n}@example.org' for n in range(1, 3001)]
    path.write_text("\r\n".join(["id,name,country,email", *lines]), "utf-8")
    cnx = opened(cluster, driver, "commerce")
    fetch(cnx, "DELETE FROM customer")
    sql = (
        f"LOAD DATA LOCAL INFILE '{path}' REPLACE INTO TABLE customer FIELDS TERMINATED BY ',' ENCLOSED BY '\"' "
        "LINES TERMINATED BY '\\r\\n' IGNORE 1 LINES (customer_id, name, country, email) SET balance = 7"
    )
    assert load(cnx, sql)[0] == 3000
    assert fetch(cnx, "SELECT COUNT(*), SUM(customer_id), MIN(name), SUM(balance) FROM customer") == [
        (3000, 3000 * 3001 // 2, "customer, 1", 21000)
    ]
    assert fetch(cnx, "SELECT name FROM customer WHERE customer_id = 2999") == [("customer, 2999",)]
    for shard in ("-80", "80-"):
        ((count,),) = cluster.query_direct(f"commerce/{shard}", "SELECT COUNT(*) FROM customer")
        assert 1200 < count < 1800
    assert load(cnx, sql)[0] == 6000  # each row deleted and inserted
    fetch(cnx, "DELETE FROM customer")
    cnx.close()


def test_sequences_fill_what_is_not_given(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "customers.tsv"
    path.write_text("a\tDE\nb\tDE\nc\tFR\n")
    cnx = opened(cluster, "pymysql", "commerce")
    fetch(cnx, "DELETE FROM customer")
    affected, first = load(cnx, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE customer (name, country)")
    assert affected == 3
    assert first >= 1_000_000
    assert fetch(cnx, "SELECT customer_id, name FROM customer ORDER BY customer_id") == [
        (first, "a"),
        (first + 1, "b"),
        (first + 2, "c"),
    ]
    path.write_text("\\N\td\tDE\n0\te\tDE\n12\tf\tFR\n")
    affected, second = load(
        cnx, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE customer (customer_id, name, country)"
    )
    assert affected == 3
    assert second > first
    assert fetch(
        cnx,
        "SELECT name FROM customer WHERE customer_id IN (12, %s, %s) ORDER BY name",
        (
            second,
            second + 1,
        ),
    ) == [("d",), ("e",), ("f",)]
    path.write_text("x\t5\tMUG\t1\t2\n")
    fetch(cnx, "DELETE FROM orders")
    load(
        cnx,
        f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE orders (@x, customer_id, sku, quantity, price) "
        "SET note = UPPER(@x)",
    )
    assert fetch(cnx, "SELECT customer_id, note FROM orders") == [(5, "X")]
    fetch(cnx, "DELETE FROM orders")
    fetch(cnx, "DELETE FROM customer")
    cnx.close()


def test_a_sharding_column_of_text(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "nicks.txt"
    path.write_bytes("Zoë\t1\nÅsa\t2\n".encode("latin-1"))
    cnx = opened(cluster, "pymysql", "commerce")
    fetch(cnx, "DELETE FROM nick")
    load(cnx, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE nick CHARACTER SET latin1")
    assert fetch(cnx, "SELECT customer_id FROM nick WHERE nick = 'zoë'") == [(1,)]
    assert fetch(cnx, "SELECT customer_id FROM nick WHERE nick = 'Åsa'") == [(2,)]
    fetch(cnx, "DELETE FROM nick")
    cnx.close()


def test_reference_table_and_many_lines(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "wide.tsv"
    path.write_text("".join(f"{n}\t{'p' * 900}\n" for n in range(6000)))  # several batches a shard
    cnx = opened(cluster, "pymysql", "commerce")
    fetch(cnx, "DELETE FROM wide")
    assert load(cnx, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE wide")[0] == 6000
    assert fetch(cnx, "SELECT COUNT(*), SUM(id) FROM wide") == [(6000, 6000 * 5999 // 2)]
    fetch(cnx, "DELETE FROM wide")
    path.write_text("PIN\tPin\t0.10\n")
    assert load(cnx, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE product")[0] == 1
    for shard in ("-80", "80-"):
        found = cluster.query_direct(f"commerce/{shard}", "SELECT description FROM product WHERE sku = 'PIN'")
        assert found == [("Pin",)]
    fetch(cnx, "DELETE FROM product WHERE sku = 'PIN'")
    cnx.close()


def test_a_failure_undoes_the_statement_only(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "wide.tsv"
    path.write_text("".join(f"{n}\t{'p' * 900}\n" for n in range(4000)) + "oops\tx\n")
    cnx = opened(cluster, "pymysql", "commerce")
    fetch(cnx, "DELETE FROM wide")
    with pytest.raises(ERRORS) as caught:
        load(cnx, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE wide")
    assert "row 4001" in error_of(caught.value)[1] or "oops" in error_of(caught.value)[1]
    assert fetch(cnx, "SELECT COUNT(*) FROM wide") == [(0,)]
    fetch(cnx, "BEGIN")
    fetch(cnx, "INSERT INTO wide (id, pad) VALUES (1000001, 'mine')")
    with pytest.raises(ERRORS):
        load(cnx, f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE wide")
    assert fetch(cnx, "SELECT id FROM wide") == [(1000001,)]
    fetch(cnx, "ROLLBACK")
    assert fetch(cnx, "SELECT COUNT(*) FROM wide") == [(0,)]
    cnx.close()


def test_warnings_are_summed(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "counter.tsv"
    path.write_text("".join(f"{n}\t{n}\n" for n in range(1, 11)))
    cnx = opened(cluster, "pymysql", "commerce")
    fetch(cnx, "DELETE FROM counter")
    cursor = cnx.cursor()
    cursor.execute(f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE counter")
    assert cursor._result.warning_count == 10
    assert cursor._result.message.endswith(b"Records: 10  Deleted: 0  Skipped: 0  Warnings: 10")
    cursor.execute("SHOW WARNINGS")
    assert len(cursor.fetchall()) == 10
    fetch(cnx, "DELETE FROM counter")
    cnx.close()


@pytest.mark.parametrize(
    ("database", "clauses", "number", "part"),
    [
        ("main", "INTO TABLE nosuch", 1146, "nosuch"),
        ("commerce", "INTO TABLE nosuch", 1146, "nosuch"),
        ("commerce", "INTO TABLE wide (@a, pad) SET id = @a", 1235, "sharding column"),
        ("commerce", "INTO TABLE wide (id, @a) SET pad = @b", 1235, "@b"),
        ("commerce", "INTO TABLE wide (id, @a) SET pad = (SELECT 1)", 1235, "subquery"),
        ("commerce", "INTO TABLE wide FIELDS TERMINATED BY ''", 1235, "FIELDS TERMINATED BY ''"),
        ("commerce", "INTO TABLE wide CHARACTER SET gbk", 1235, "gbk"),
        ("commerce", "INTO TABLE wide FIELDS ENCLOSED BY 'ab'", 1235, "ENCLOSED BY"),
        ("commerce", "INTO TABLE", 1064, "syntax"),
    ],
)
def test_refusals_leave_the_session_usable(
    cluster: Cluster, tmp_path: Path, database: str, clauses: str, number: int, part: str
) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("1\tx\n")
    cnx = opened(cluster, "pymysql", database)
    with pytest.raises(ERRORS) as caught:
        load(cnx, f"LOAD DATA LOCAL INFILE '{path}' {clauses}")
    assert error_of(caught.value)[0] == number
    assert part in error_of(caught.value)[1]
    assert fetch(cnx, "SELECT 1") == [(1,)]
    cnx.close()


def test_not_asked_for(cluster: Cluster, tmp_path: Path) -> None:
    path = tmp_path / "rows.tsv"
    path.write_text("1\tx\n")
    cnx = cluster.connect("main")
    for sql, number in (("LOCAL INFILE", 3948), ("INFILE", 1235)):
        with pytest.raises(ERRORS) as caught:
            fetch(cnx, f"LOAD DATA {sql} '{path}' INTO TABLE note")
        assert error_of(caught.value)[0] == number
    cnx.close()


@pytest.mark.parametrize(("database", "table"), [("main", "note"), ("commerce", "wide")])
def test_a_client_that_breaks_off_leaves_nothing(cluster: Cluster, database: str, table: str) -> None:
    """Rows that came before the client was gone are rolled back, and the pool goes on."""
    check = cluster.connect(database)
    fetch(check, f"DELETE FROM {table}")
    for cut in (0, 1, 2):
        cnx = opened(cluster, "pymysql", database, tls=False)
        cnx._execute_command(3, f"LOAD DATA LOCAL INFILE 'x' INTO TABLE {table}")
        assert cnx._read_packet()._data == b"\xfbx"
        for number in range(cut):
            start = 5000 * number + 1
            cnx.write_packet(b"".join(b"%d\tabc\n" % n for n in range(start, start + 5000)))
        if cut == 2:
            cnx._sock.sendall(b"\x10\x00\x00\x04cut")
        cnx._force_close()
    assert fetch(check, f"SELECT COUNT(*) FROM {table}") == [(0,)]
    for _ in range(20):
        assert fetch(check, "SELECT 1") == [(1,)]
    check.close()


FORMATS = [
    ("", b"\t", b"", b"\\", b"\n"),
    ("FIELDS TERMINATED BY ',' OPTIONALLY ENCLOSED BY '\"'", b",", b'"', b"\\", b"\n"),
    (
        "FIELDS TERMINATED BY ',' ENCLOSED BY '\"' ESCAPED BY '\"' LINES TERMINATED BY '\\r\\n'",
        b",", b'"', b'"', b"\r\n",
    ),
    ("FIELDS TERMINATED BY '||' ESCAPED BY '' LINES STARTING BY 'go:' TERMINATED BY X'0A'", b"||", b"", b"", b"\n"),
]  # fmt: skip


@pytest.mark.parametrize("clauses", FORMATS)
def test_lines_are_read_as_the_server_reads_them(
    cluster: Cluster,
    mysql_server: RunningMysql,
    tmp_path: Path,
    clauses: tuple[str, bytes, bytes, bytes, bytes],
) -> None:
    text, field_end, quote, escape, line_end = clauses
    chance = random.Random(20)
    pieces = [b"a", b"b ", b"N", b"NULL", b"0", field_end[:1], b"'", b"\\n"]
    pieces += [quote * 2, escape + b"N", escape + field_end, escape + escape, escape + b"t"] if escape else []
    pieces += [escape + line_end] if escape == b"\\" else []
    lines = []
    for number in range(1500):
        label = b"".join(chance.choices(pieces, k=chance.randrange(6)))
        if quote and chance.random() < 0.5:
            label = quote + label.replace(quote, quote * 2).replace(b"\\", line_end) + quote
        serial = b"%d" % (number * 7)
        if quote and chance.random() < 0.5:
            serial = quote + serial + quote
        fields = [serial, label, b"more"][: chance.choice((2, 2, 2, 2, 3, 1))]
        start = b"go:" if b"go:" in text.encode() else b""
        lines.append(start + field_end.join(fields) + line_end)
    path = tmp_path / "load_lines"
    path.write_bytes(b"skipped" + line_end + b"".join(lines))
    sql = f"LOAD DATA LOCAL INFILE '{path}' INTO TABLE device CHARACTER SET utf8mb4 {text} IGNORE 1 LINES"
    select = "SELECT serial, HEX(label) FROM device ORDER BY serial"
    create_database(mysql_server.server, "load_lines")
    try:
        mysql_server.query(
            "CREATE TABLE device (serial VARCHAR(40) PRIMARY KEY, label VARCHAR(100) NOT NULL)", "load_lines"
        )
        account = mysql_server.account
        plain = pymysql.connect(
            unix_socket=str(mysql_server.socket),
            user=account.user,
            password=account.password,
            database="load_lines",
            local_infile=True,
            autocommit=True,
            charset="utf8mb4",
        )
        cnx = opened(cluster, "pymysql", "commerce")
        fetch(cnx, "DELETE FROM device")
        try:
            assert load(cnx, sql)[0] == load(plain, sql)[0]
            assert fetch(cnx, select) == fetch(plain, select)
        finally:
            fetch(cnx, "DELETE FROM device")
            plain.close()
            cnx.close()
    finally:
        mysql_server.query("DROP DATABASE load_lines")


def test_a_file_waits_for_the_server(cluster: Cluster, tmp_path: Path) -> None:
    """While MySQL waits for a lock, no process holds the file."""
    path = tmp_path / "large.tsv"
    with path.open("wb") as file:
        for n in range(1, 150_000):
            file.write(b"%d\t%b\n" % (n, b"x" * 190))
    holder, cnx = cluster.connect("main"), opened(cluster, "pymysql", "main")
    fetch(cnx, "DELETE FROM note")
    fetch(holder, "BEGIN")
    fetch(holder, "INSERT INTO note (id, body) VALUES (5000, 'held')")
    pids = cluster.pids("router-worker") + cluster.pids("tablet")
    before = {pid: cluster.rss_bytes(pid) for pid in pids}
    loaded: list[int] = []
    sql = f"LOAD DATA LOCAL INFILE '{path}' IGNORE INTO TABLE note"
    thread = threading.Thread(target=lambda: loaded.append(load(cnx, sql)[0]))
    thread.start()
    thread.join(1.5)
    assert thread.is_alive()
    for pid in pids:
        assert cluster.rss_bytes(pid) - before[pid] < 12 << 20
    fetch(holder, "ROLLBACK")
    thread.join(60)
    assert loaded == [149_999]
    fetch(cnx, "TRUNCATE TABLE note")
    holder.close()
    cnx.close()
