"""Query attributes and connection attributes: read right, whatever comes with them, and told to who asks for them."""

import os
from datetime import datetime, time
from decimal import Decimal
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import PASSWORD, SHARDS, USER, Cluster
from tests.kit.drivers import connect, fetch
from tests.wire.raw_client import RawClient
from wire.commands import build_query
from wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_QUERY_ATTRIBUTES, TYPE_LONG, TYPE_STRING
from wire.packets import iterate_payloads, lenenc_bytes
from wire.query_attributes import build_block, with_attributes
from wire.rows import split_text_row
from wire.scan import PREPARE, QUERY, ResultScanner
from wire.statements import build_execute, build_prepare

pytestmark = pytest.mark.e2e

_COMPONENT = "'file://component_query_attributes'"
# mysql-connector forgets the name of an attribute that is NULL; the packets below have some
GIVEN = (
    ("text", "größe 'x'"),
    ("number", -7),
    ("real", 1.5),
    ("decimal", Decimal("12.50")),
    ("moment", datetime(2026, 3, 1, 12, 30, 1, 5)),
    ("clock", time(10, 20, 30)),
)
_SEEN = ", ".join(f"mysql_query_attribute_string('{name}')" for name, _ in GIVEN)


@pytest.fixture
def component(cluster: Cluster) -> None:
    """The servers have `mysql_query_attribute_string()`, which MySQL's alone know."""
    if cluster.flavour != "mysql":
        pytest.skip("MariaDB has no query attributes")
    for shard in SHARDS:
        if not cluster.query_direct(
            shard, f"SELECT 1 FROM mysql.component WHERE component_urn = {_COMPONENT}"
        ):
            cluster.query_direct(shard, f"INSTALL COMPONENT {_COMPONENT}")


@pytest.mark.usefixtures("component")
@pytest.mark.parametrize("prepared", [False, True])
def test_statements_with_attributes(cluster: Cluster, prepared: bool) -> None:
    cnx = connect("connector", cluster.connect_kwargs())
    plain = cnx.cursor()
    plain.execute("DELETE FROM counter")
    cursor = cnx.cursor(prepared=prepared)
    for number in range(1, 7):
        cursor.clear_attributes()
        for at in range(number % 3):
            cursor.add_attribute(f"größe{at}", (7, "seven")[at])
        cursor.execute("INSERT INTO counter (id, owner) VALUES (%s, %s)", (number, number * 10))
        cursor.execute("SELECT owner, %s FROM counter WHERE id = %s", ("ö?'", number))
        assert cursor.fetchall() == [(number * 10, "ö?'")]
    cursor.add_attribute("n", 5)
    cursor.execute("SELECT COUNT(*) FROM counter")
    assert cursor.fetchall() == [(6,)]
    plain.execute("DELETE FROM counter")
    cnx.close()


def _asked(kwargs: dict[str, Any], prepared: bool) -> list[Any]:
    """What a session with attributes of many types is told of them, in and out of a transaction, and after them."""
    found: list[Any] = []
    cnx = connect("connector", kwargs, autocommit=False)
    cursor = cnx.cursor(prepared=prepared)
    for _ in range(2):
        for name, value in GIVEN:
            cursor.add_attribute(name, value)
        cursor.execute(f"SELECT {_SEEN}, %s, mysql_query_attribute_string('other')", ("own",))
        found.append(cursor.fetchall())
        cursor.clear_attributes()
        cursor.execute(f"SELECT {_SEEN}, %s", ("own",))
        found.append(cursor.fetchall())
        cnx.commit()
        cnx.autocommit = True
    cursor.add_attribute("text", "x" * 300)
    cursor.execute("SET @seen = mysql_query_attribute_string('text')")
    cursor.execute("SELECT LENGTH(@seen)")
    found.append(cursor.fetchall())
    cnx.close()
    return found


@pytest.mark.usefixtures("component")
@pytest.mark.parametrize("prepared", [False, True])
def test_what_the_server_is_told_is_what_it_is_told_directly(cluster: Cluster, prepared: bool) -> None:
    direct = cluster.direct("commerce/-80")
    told = _asked(cluster.connect_kwargs(), prepared)
    assert told == _asked(direct, prepared)
    assert told[0][0][:2] == ("größe 'x'", "-7")
    assert set(told[1][0]) == {None, "own"}
    assert told[-1] == [(300,)]


@pytest.mark.usefixtures("component")
@pytest.mark.parametrize("prepared", [False, True])
def test_every_shard_of_a_statement_is_told(cluster: Cluster, prepared: bool) -> None:
    cluster.clear("counter")
    keys = [next(key for key in range(1, 99) if cluster.shard_of(key) == shard) for shard in ("-80", "80-")]
    cnx = connect("connector", cluster.connect_kwargs())
    cursor = cnx.cursor(prepared=prepared)
    cursor.add_attribute("hits", 41)
    hits = "CAST(mysql_query_attribute_string('hits') AS SIGNED)"
    for statement in (
        f"INSERT INTO counter (id, owner, hits) VALUES ({keys[0]}, 0, {hits}), ({keys[1]}, 0, {hits})",
        f"UPDATE counter SET hits = hits + {hits}",
    ):
        cursor.execute(statement)
    # merged, and finished on one server: there, too
    for statement in (
        f"SELECT hits - {hits}, {hits} FROM counter ORDER BY id",
        f"SELECT {hits}, FIRST_VALUE({hits}) OVER (ORDER BY id) FROM counter WHERE hits > {hits}",
    ):
        cursor.execute(statement)
        assert cursor.fetchall() == [(41, 41)] * 2, statement
    cnx.close()
    cluster.clear("counter")


def _packets(client: RawClient, payload: bytes) -> list[bytes]:
    scanner = ResultScanner()
    scanner.begin(QUERY)
    return [*iterate_payloads(client.ask(payload, scanner))]


def _rows(client: RawClient, payload: bytes) -> list[list[bytes | None]] | bytes:
    packets = _packets(client, payload)
    if packets[0][0] == 0xFF:
        return packets[0][1:9]
    return [split_text_row(packet, packets[0][0]) for packet in packets[2 + packets[0][0] : -1]]


@pytest.mark.usefixtures("component")
def test_packets_that_no_driver_sends(cluster: Cluster) -> None:
    direct = cluster.direct("commerce/-80")
    answers = []
    for address, user, password in (
        (("127.0.0.1", cluster.port), USER, PASSWORD),
        (direct["unix_socket"], direct["user"], direct["password"]),
    ):
        with RawClient(address, user, password, CLIENT_QUERY_ATTRIBUTES) as client:
            assert client.caps & CLIENT_QUERY_ATTRIBUTES
            assert not client.caps & CLIENT_DEPRECATE_EOF
            seen = b"SELECT mysql_query_attribute_string('n')"
            block = build_block([(TYPE_STRING, b"n", b"\x02hi")])
            found: list[Any] = [
                _rows(client, b"\x03" + block + seen),
                _rows(client, b"\x03" + build_block([(TYPE_STRING, b"n", None)]) + seen),
                # a year of four characters where its two bytes would be, text behind it that would be run as well
                _rows(client, b"\x03\x01\x01\0\x01\x0d\0\x01n" + lenenc_bytes(b"2026") + seen),
                # of one name the first; without types; and the next statement without any
                _rows(
                    client,
                    b"\x03" + build_block([(TYPE_STRING, b"n", b"\x01" + x) for x in (b"a", b"b")]) + seen,
                ),
                _rows(client, b"\x03\x01\x01\0\0\x02hi" + seen),
                _rows(client, build_query(seen, True)),
            ]
            named = b"PREPARE p FROM 'SELECT mysql_query_attribute_string(''n'')'"
            found.append(_packets(client, build_query(named, True))[0][0])
            found.append(_rows(client, b"\x03" + block + b"EXECUTE p"))
            several = _packets(client, b"\x03" + block + seen + b"; " + seen + b"; DO 1")
            found.append([packet for packet in several if packet.endswith(b"hi")])
            found.append(_rows(client, build_query(seen, True)))
            scanner = ResultScanner()
            scanner.begin(PREPARE)
            number = client.ask(build_prepare(seen + b", ?"), scanner)[5:9]
            params = build_execute(0, [TYPE_LONG], [7], False)[5:]
            bound = b"\x17" + number + with_attributes(params, 1, block)
            known = b"\x17" + number + b"\x08\x01\0\0\0\x01\0\0\x08\0\0\0"  # a type sent before, no attribute
            untyped = b"\x17" + number + b"\x08\x01\0\0\0\x02\0\0\x08\0\0\0\x02hi"
            null = b"\x17" + number + with_attributes(params, 1, build_block([(TYPE_STRING, b"n", None)]))
            for payload in (bound, known, untyped, null, bound):
                scanner.begin(QUERY)
                last = [*iterate_payloads(client.ask(payload, scanner))]
                found.append(last[0][1:9] if last[0][0] == 0xFF else last[4])
            answers.append(found)
    assert answers[0] == answers[1]
    assert answers[0][6:10] == [0, [[b"hi"]], [b"\x02hi"] * 2, [[None]]]
    assert answers[0][:6] == [[[b"hi"]], [[None]], [[None]], [[b"a"]], b"\x2b\x07#HY000", [[None]]]


def test_who_has_none_is_offered_none(cluster: Cluster) -> None:
    with RawClient(("127.0.0.1", cluster.port), USER, PASSWORD, CLIENT_QUERY_ATTRIBUTES) as client:
        assert client.query_attributes == (cluster.flavour == "mysql")


_TABLE = "performance_schema.session_connect_attrs"
_OWN = f"{_TABLE} WHERE PROCESSLIST_ID = CONNECTION_ID()"


def test_a_client_is_told_what_it_said_of_itself(cluster: Cluster) -> None:
    cnx = connect("pymysql", cluster.connect_kwargs(), program_name="størk 'x'")
    number = cnx.thread_id()
    said = [
        ("_client_name", "pymysql"),
        ("_client_version", cnx._connect_attrs["_client_version"]),
        ("_pid", str(os.getpid())),
        ("program_name", "størk 'x'"),
    ]
    rows = [(number, *pair, position) for position, pair in enumerate(said)]
    for sql, expected in (
        (f"SELECT * FROM {_OWN} ORDER BY ORDINAL_POSITION", rows),
        ("SELECT * FROM performance_schema.session_account_connect_attrs", rows),
        (f"SELECT attr_name, attr_value FROM {_OWN}", said),
        (
            (
                f"SELECT a.ATTR_VALUE FROM {_TABLE} AS a JOIN Performance_Schema.`session_account_connect_attrs` b ON 1"
                " WHERE a.ATTR_NAME = '_client_name' AND a.ATTR_NAME = b.ATTR_NAME"
            ),
            [("pymysql",)],
        ),
        (
            f"SELECT {_TABLE}.ATTR_VALUE, session_connect_attrs.ORDINAL_POSITION FROM {_TABLE} ORDER BY 2 DESC LIMIT 1",
            [("størk 'x'", 3)],
        ),
        (f"SELECT COUNT(*), (SELECT MAX(ATTR_VALUE) FROM {_OWN}) IS NULL FROM {_OWN}", [(4, 0)]),
        (f"SELECT ATTR_VALUE FROM {_TABLE} WHERE PROCESSLIST_ID = 1 OR ATTR_NAME = ''", []),
    ):
        assert fetch(cnx, sql) == expected, sql
    cnx.select_db("performance_schema")
    assert fetch(cnx, "SELECT COUNT(*) FROM session_connect_attrs") == [(4,)]
    cnx.close()


def test_the_name_of_a_column_is_as_on_the_server(cluster: Cluster) -> None:
    text = f"SELECT ATTR_NAME, attr_value, {_TABLE}.ORDINAL_POSITION, PROCESSLIST_ID FROM {_OWN}"
    names = []
    for cnx in (cluster.connect(), pymysql.connect(**cluster.direct("commerce/-80"))):
        with cnx, cnx.cursor() as cursor:
            cursor.execute(text)
            names.append([column[0] for column in cursor.description])
    assert names[0] == names[1]


def test_they_change_with_the_user_and_come_in_binary_rows(cluster: Cluster) -> None:
    cnx = connect("connector", cluster.connect_kwargs(), conn_attrs={"program_name": "first"})
    cursor = cnx.cursor(prepared=True)
    name = f"SELECT ATTR_VALUE FROM {_OWN} AND ATTR_NAME = %s"
    cursor.execute(name, ("program_name",))
    assert cursor.fetchall() == [(b"first",)]  # as from the server, for its binary collation
    cursor.close()
    cnx._conn_attrs["program_name"] = "second"
    cnx.cmd_change_user(USER, PASSWORD, "commerce")
    assert fetch(cnx, name, ("program_name",)) == [("second",)]
    assert fetch(cnx, name, ("_client_name",)) == [("mysql-connector-python",)]
    cnx.close()
    with RawClient(("127.0.0.1", cluster.port), USER, PASSWORD) as silent:
        assert _rows(silent, b"\x03SELECT ATTR_NAME FROM " + _OWN.encode()) == []


def test_connection_attributes_are_bounded(cluster: Cluster) -> None:
    cnx = connect("pymysql", cluster.connect_kwargs(), program_name="x" * 60_000)
    (lost,) = fetch(
        cnx, f"SELECT ATTR_VALUE > 59000, (SELECT COUNT(*) FROM {_OWN}) FROM {_OWN} AND ORDINAL_POSITION = 0"
    )
    assert lost == (1, 4)
    cnx.close()
    with pytest.raises(pymysql.err.OperationalError, match="Bad handshake"):
        connect("pymysql", cluster.connect_kwargs(), program_name="x" * 66_000)
