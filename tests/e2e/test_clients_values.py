"""Values of every type, in text and binary, small and huge: equal to what the server itself gives the same client."""

import datetime
import io
from collections.abc import Iterator
from decimal import Decimal
from typing import Any

import pytest

from tests.kit.cluster import Cluster
from tests.kit.drivers import DRIVERS, ERRORS, connect, error_of, fetch, run

pytestmark = pytest.mark.e2e

each_driver = pytest.mark.parametrize("driver", DRIVERS)

MIB = 1024 * 1024
COLUMNS = (
    "id, ti, tiu, sm, me, it, itu, bi, biu, fl, db, de, bt, da, tm, dt, ts, yr, ch, vc, bn, vb, tt, tx, lt, tb, bl,"
    " lb, en, st, js"
)
EMOJI = "日本語 – Zażółć 😀 \\ ' \" % \0 \n\x1a end"
DATETIME = datetime.datetime(2026, 2, 28, 23, 59, 59, 123456)

ROWS: list[tuple[Any, ...]] = [
    (
        *(1, 127, 255, 32767, 8388607, 2147483647, 4294967295, 2**63 - 1, 2**64 - 1, 1.5, 1e300),
        *(Decimal("12345678901234567890.1234567890"), b"\x01\xff\xfe", datetime.date(9999, 12, 31)),
        *(datetime.timedelta(hours=838, minutes=59, seconds=59), DATETIME, DATETIME.replace(microsecond=123000)),
        *(2155, "chars", EMOJI, b"\0\1\2\3\4\5\6\7", bytes(range(200)), "tiny", EMOJI * 10, EMOJI * 5000),
        *(b"\xff" * 255, b"'\\\0\x1a", bytes(range(256)) * 300, "größer", "red,blue", '{"a": [1, "ü", null]}'),
    ),
    (
        *(2, -128, 0, -32768, -8388608, -2147483648, 0, -(2**63), 0, -0.25, -1e-300),
        *(Decimal("-0.0000000001"), b"\0\0\0", datetime.date(1000, 1, 1)),
        *(datetime.timedelta(hours=-838, minutes=-59, seconds=-58, microseconds=-500), datetime.datetime(1000, 1, 1)),
        *(datetime.datetime(1970, 1, 2, 0, 0, 1), 1901, "", "", b"12345678", b"", "", "", "", b"", b"", b""),
        *("small", "", "[]"),
    ),
    (3, *([None] * 30)),
]  # fmt: skip


@pytest.fixture(autouse=True)
def _empty(cluster: Cluster) -> Iterator[None]:
    cluster.clear("everything")
    yield
    cluster.clear("everything")


def insert_text() -> str:
    return f"INSERT INTO everything ({COLUMNS}) VALUES ({', '.join(['%s'] * 31)})"


@each_driver
def test_every_type_as_text(cluster: Cluster, driver: str) -> None:
    cnx = connect(driver, cluster.connect_kwargs())
    for row in ROWS:
        assert run(cnx, insert_text(), row)[0] == 1
    found = sorted(fetch(cnx, f"SELECT {COLUMNS} FROM everything"))
    assert [row[0] for row in found] == [1, 2, 3]
    for row, sent in zip(found, ROWS, strict=True):
        shard = f"commerce/{cluster.shard_of(row[0])}"
        direct = connect(driver, cluster.direct_tcp(shard))
        select = f"SELECT {COLUMNS}, pt FROM everything WHERE id = {row[0]}"
        assert fetch(cnx, select) == fetch(direct, select)
        direct.close()
        assert row[6:9] == sent[6:9]
        assert row[11] == sent[11]
        assert (row[13], row[15]) == (sent[13], sent[15])
        assert row[19] == sent[19]
        assert (row[21], row[24], row[27]) == (sent[21], sent[24], sent[27])
    cnx.close()


def test_every_type_prepared(cluster: Cluster) -> None:
    """mysql-connector sends COM_STMT_EXECUTE and reads binary rows."""
    cnx = connect("connector", cluster.connect_kwargs())
    cursor = cnx.cursor(prepared=True)
    # The connector itself breaks on times below 0 and beyond a day, and on YEAR, in binary.
    columns = COLUMNS.replace(" yr,", "")
    rows = [(*row[:14], row[14] and datetime.timedelta(hours=23, seconds=5), *row[15:]) for row in ROWS]
    for row in rows:
        cursor.execute(insert_text(), row)
        assert cursor.rowcount == 1
    for row in rows:
        direct = connect("connector", cluster.direct_tcp(f"commerce/{cluster.shard_of(row[0])}"))
        plain = direct.cursor(prepared=True)
        select = f"SELECT {columns} FROM everything WHERE id = %s"
        plain.execute(select, (row[0],))
        cursor.execute(select, (row[0],))
        assert cursor.column_names == plain.column_names
        assert [(d[0], d[1], d[6], d[7]) for d in cursor.description] == [
            (d[0], d[1], d[6], d[7]) for d in plain.description
        ]
        ((expected,), (found,)) = plain.fetchall(), cursor.fetchall()
        assert found == expected
        assert found[6:9] == row[6:9]
        plain.close()
        direct.close()
    cursor.execute(f"SELECT {columns} FROM everything")
    assert sorted(found[0] for found in cursor.fetchall()) == [1, 2, 3]
    cursor.execute("SELECT COUNT(*), SUM(ti), MAX(de) FROM everything WHERE id > %s", (0,))
    assert cursor.fetchall() == [(3, Decimal(-1), ROWS[0][11])]
    cnx.close()


def test_columns_are_described_as_by_the_server(cluster: Cluster) -> None:
    """Type, flags, length, decimals, character set, original names."""
    described = []
    for kwargs in (cluster.connect_kwargs(), cluster.direct_tcp("commerce/-80")):
        cnx = connect("pymysql", kwargs)
        with cnx.cursor() as cursor:
            cursor.execute(f"SELECT {COLUMNS}, 1 + 1 AS two, e.id AS alias FROM everything e WHERE e.id = 5")
            fields = cursor._result.fields
        names = ("db", "table_name", "org_table", "name", "org_name", "charsetnr", "length", "type_code")
        described.append(
            [[*(getattr(field, name) for name in names), field.flags, field.scale] for field in fields]
        )
        cnx.close()
    assert described[0] == described[1]


def test_session_state_is_described_as_by_the_server(cluster: Cluster) -> None:
    """Drivers choose their types by it: Connector/J makes a BigInteger of what is unsigned."""
    state = (
        "@@autocommit, @@session.foreign_key_checks, @@last_insert_id, @@wait_timeout, @@sql_mode, CONNECTION_ID(),"
        " LAST_INSERT_ID(), ROW_COUNT(), FOUND_ROWS(), DATABASE()"
    )
    told = []
    for kwargs in (cluster.connect_kwargs(database="main"), cluster.direct_tcp("main/-")):
        with connect("pymysql", kwargs) as cnx, cnx.cursor() as cursor:
            cursor.execute("SET @i = 5, @big = 18446744073709551615")
            for what in (state, "@i", "@big"):
                cursor.execute(f"SELECT {what}")
                told.append([(f.name, f.type_code, f.flags) for f in cursor._result.fields])
    assert told[:3] == told[3:]


@each_driver
@pytest.mark.parametrize("size", [16 * MIB - 200, 16 * MIB + 5, 24 * MIB])
def test_large_packets_both_ways(cluster: Cluster, driver: str, size: int) -> None:
    """Packets of 16 MiB and more are split on the wire."""
    body = (bytes(range(65, 91)) * (size // 26 + 1))[:size]
    cnx = connect(driver, cluster.connect_kwargs(database="main"))
    run(cnx, "DELETE FROM big")
    assert run(cnx, "INSERT INTO big VALUES (1, %s)", (body,))[0] == 1
    ((found,),) = fetch(cnx, "SELECT body FROM big WHERE id = 1")
    assert found == body
    assert fetch(cnx, "SELECT LENGTH(body), SHA2(body, 256) = SHA2(%s, 256) FROM big", (body,)) == [(size, 1)]
    run(cnx, "DELETE FROM big")
    cnx.close()


def test_a_packet_beyond_max_allowed_packet(cluster: Cluster) -> None:
    cnx = connect("pymysql", cluster.connect_kwargs(database="main"))
    with pytest.raises(ERRORS) as caught:
        run(cnx, "INSERT INTO big VALUES (1, %s)", (b"x" * (65 * MIB),))
    assert error_of(caught.value)[0] in (1153, 2006, 2013, 0)
    assert cluster.query("SELECT 1") == [(1,)]


def test_long_data(cluster: Cluster) -> None:
    """mysql-connector sends what it reads from a file by COM_STMT_SEND_LONG_DATA."""
    cnx = connect("connector", cluster.connect_kwargs())
    cursor = cnx.cursor(prepared=True)
    body = bytes(range(256)) * 4096
    for key in (1, 2, 3, 4):
        cursor.execute(
            "INSERT INTO everything (id, lb, vc) VALUES (%s, %s, %s)", (key, io.BytesIO(body), "after")
        )
    cursor.execute("SELECT lb, vc FROM everything WHERE id = %s", (3,))
    assert cursor.fetchall() == [(body, "after")]
    cursor.execute("INSERT INTO everything (id, lb) VALUES (%s, %s)", (5, b"no long data"))
    cursor.execute("SELECT lb FROM everything WHERE id = %s", (5,))
    assert cursor.fetchall() == [(b"no long data",)]
    cnx.close()


def test_a_prepared_statement_outlives_many_others(cluster: Cluster) -> None:
    cnx = connect("connector", cluster.connect_kwargs())
    kept = cnx.cursor(prepared=True)
    kept.execute("SELECT sku, price FROM product WHERE sku = %s", ("PEN",))
    assert kept.fetchall() == [("PEN", Decimal("24.00"))]
    for number in range(200):
        other = cnx.cursor(prepared=True)
        other.execute(f"SELECT {number} + %s", (1,))
        assert other.fetchall() == [(number + 1,)]
        other.close()
    kept.execute("SELECT sku, price FROM product WHERE sku = %s", ("MUG",))
    assert kept.fetchall() == [("MUG", Decimal("8.50"))]
    cnx.close()


def test_errors_of_prepared_statements(cluster: Cluster) -> None:
    cnx = connect("connector", cluster.connect_kwargs())
    direct = connect("connector", cluster.direct_tcp("commerce/-80"))
    for sql, args in (
        ("SELECT nosuch FROM customer WHERE customer_id = %s", (1,)),
        ("SELEC %s", (1,)),
        ("INSERT INTO customer (customer_id, name, country) VALUES (%s, %s, %s)", (7, None, "GB")),
    ):
        found = []
        for one in (cnx, direct):
            cursor = one.cursor(prepared=True)
            with pytest.raises(ERRORS) as caught:
                cursor.execute(sql, args)
            cursor.close()
            found.append((error_of(caught.value)[0], caught.value.sqlstate))
        assert found[0] == found[1], sql
    assert fetch(cnx, "SELECT 1") == [(1,)]
    cnx.close()
    direct.close()


def test_prepared_over_both_shards_with_order_and_limit(cluster: Cluster) -> None:
    cnx = connect("connector", cluster.connect_kwargs())
    cursor = cnx.cursor(prepared=True)
    for key in range(1, 31):
        cursor.execute(
            "INSERT INTO everything (id, de, vc) VALUES (%s, %s, %s)", (key, Decimal(key) / 4, f"v{key}")
        )
    cursor.execute("SELECT id, de, vc FROM everything WHERE id > %s ORDER BY id DESC LIMIT 3", (10,))
    assert cursor.fetchall() == [(k, Decimal(k) / 4, f"v{k}") for k in (30, 29, 28)]
    cursor.execute("UPDATE everything SET vc = %s WHERE id <= %s", ("same", 20))
    assert cursor.rowcount == 20
    cursor.execute("DELETE FROM everything WHERE id IN (%s, %s, %s)", (1, 2, 3))
    assert cursor.rowcount == 3
    cnx.close()
