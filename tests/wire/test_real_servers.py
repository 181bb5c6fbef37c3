"""`wire` against real servers: what the scanner converts is, to the byte, what the server itself sends to a client
with DEPRECATE_EOF; literals and bound values mean the same; session trackers are understood."""

from collections.abc import Callable, Iterator

import pytest

from tests.kit.servers import RunningMysql
from tests.wire.raw_client import RawClient
from wire import scan
from wire.binary import BinaryRowCodec
from wire.columns import parse_column
from wire.commands import build_query
from wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_QUERY_ATTRIBUTES,
    CLIENT_SESSION_TRACK,
    TYPE_BLOB,
    TYPE_DATE,
    TYPE_DATETIME,
    TYPE_DOUBLE,
    TYPE_LONG,
    TYPE_LONGLONG,
    TYPE_NEWDECIMAL,
    TYPE_NULL,
    TYPE_TIME,
    TYPE_VAR_STRING,
    UNSIGNED_PARAMETER,
)
from wire.literals import literal
from wire.packets import iterate_payloads
from wire.rows import Value, split_text_row
from wire.scan import ResultScanner
from wire.statements import build_close, build_execute, build_prepare, parse_execute, rebuild_execute

pytestmark = pytest.mark.e2e

Open = Callable[[int], RawClient]


@pytest.fixture
def connect(mysql_server: RunningMysql) -> Iterator[Open]:
    clients: list[RawClient] = []

    def opened(caps: int) -> RawClient:
        clients.append(
            RawClient(mysql_server.socket, mysql_server.account.user, mysql_server.account.password, caps)
        )
        return clients[-1]

    yield opened
    for client in clients:
        client.socket.close()


STATEMENTS = [
    "SELECT 1",
    "SELECT 1 AS a, 'x' AS b, NULL AS c WHERE 1 = 0",
    "WITH RECURSIVE n AS (SELECT 1 i UNION ALL SELECT i + 1 FROM n WHERE i < 700) SELECT i, REPEAT('x', i % 60) FROM n",
    "SET @a = 1",
    "DO 1/0",
    "SELECT 1/0, CAST('x' AS SIGNED)",
    "SELECT * FROM no_such_table",
    "SELECT 1; SET @b = 2; SELECT 2, 3; DO 1",
    "SELECT 1; SELECT * FROM no.such_table; SELECT 3",
    "SELECT REPEAT('x', 300), REPEAT('y', 70000)",
    "START TRANSACTION",
    "SELECT 1",
    "ROLLBACK",
]


def test_converted_answers_are_those_of_the_server_itself(connect: Open) -> None:
    classic, modern = connect(0), connect(CLIENT_DEPRECATE_EOF)
    scanner = ResultScanner()
    for sql in STATEMENTS:
        scanner.begin(deprecate_eof=True)
        converted = classic.ask(build_query(sql.encode(), False), scanner)
        assert modern.ask_raw(build_query(sql.encode(), False), len(converted)) == converted, sql
        assert not scanner.session_changes


def test_rows_beyond_16_mib(connect: Open, mysql_server: RunningMysql) -> None:
    limit = mysql_server.query("SELECT @@global.max_allowed_packet")[0][0]
    mysql_server.query("SET GLOBAL max_allowed_packet = 67108864")
    try:
        classic, modern = connect(0), connect(CLIENT_DEPRECATE_EOF)
        scanner = ResultScanner()
        for size in (0xFFFFFF - 5, 0xFFFFFF - 4, 0xFFFFFF - 3, 0xFFFFFF, 2 * 0xFFFFFF - 9, 2 * 0xFFFFFF):
            sql = f"SELECT REPEAT('x', {size}) UNION ALL SELECT 'y'".encode()
            scanner.begin(deprecate_eof=True)
            converted = classic.ask(build_query(sql, False), scanner)
            assert (scanner.kind, scanner.row_count) == (scan.RESULTSET, 2)
            assert modern.ask_raw(build_query(sql, False), len(converted)) == converted
            first = list(iterate_payloads(converted))[2]
            assert split_text_row(first, 1) == [b"x" * size]
    finally:
        mysql_server.query(f"SET GLOBAL max_allowed_packet = {limit}")


VALUES: list[tuple[int, int | float | bytes | None]] = [
    (TYPE_LONG, -7),
    (TYPE_LONGLONG | UNSIGNED_PARAMETER, 2**64 - 1),
    (TYPE_DOUBLE, 0.1),
    (TYPE_DOUBLE, -1.5e300),
    (TYPE_NEWDECIMAL, b"-12.340"),
    (TYPE_VAR_STRING, "it's \\ \" \n \0 ä \x1a".encode()),
    (TYPE_BLOB, bytes(range(256))),
    (TYPE_DATE, b"2024-02-29"),
    (TYPE_DATETIME, b"2024-02-29 01:02:03"),
    (TYPE_DATETIME, b"2024-02-29 01:02:03.000456"),
    (TYPE_TIME, b"-838:59:59"),
    (TYPE_NULL, None),
    (TYPE_VAR_STRING, None),
    (TYPE_VAR_STRING, b""),
]


@pytest.mark.parametrize("caps", [0, CLIENT_QUERY_ATTRIBUTES])
def test_prepared_statements(connect: Open, caps: int) -> None:
    classic, modern = connect(caps), connect(caps | CLIENT_DEPRECATE_EOF)
    scanner = ResultScanner()
    types = [kind for kind, _ in VALUES]
    values: list[Value] = [value for _, value in VALUES]
    for sql in (b"SELECT " + b", ".join([b"?"] * len(VALUES)), b"SELECT 1", b"SET @a = ?", b"DO 1"):
        scanner.begin(scan.PREPARE, deprecate_eof=True)
        prepared = classic.ask(build_prepare(sql), scanner)
        theirs = modern.ask_raw(build_prepare(sql), len(prepared))
        # MariaDB's ids go on counting where a thread of the server is used again
        assert theirs[:5] + theirs[9:] == prepared[:5] + prepared[9:]
        assert scanner.kind == scan.PREPARED
        number, count = scanner.statement_id, scanner.parameter_count
        # built for another connection's capabilities first, then fitted to this one
        foreign = build_execute(1, types[:count], values[:count], not classic.query_attributes)
        parsed = parse_execute(
            foreign, count, caps=0 if classic.query_attributes else CLIENT_QUERY_ATTRIBUTES
        )
        execute = rebuild_execute(parsed, number, classic.query_attributes)
        scanner.begin(deprecate_eof=True)
        answer = classic.ask(execute, scanner)
        assert scanner.kind in (scan.RESULTSET, scan.OK), scanner.error_text
        execute = rebuild_execute(parsed, int.from_bytes(theirs[5:9], "little"), modern.query_attributes)
        assert modern.ask_raw(execute, len(answer)) == answer
        if count > 1:
            payloads = list(iterate_payloads(answer))
            columns = [parse_column(payload) for payload in payloads[1 : 1 + count]]
            row = BinaryRowCodec(columns).decode(payloads[1 + count])
            for sent, got in zip(values, row, strict=True):
                if isinstance(sent, bytes) and isinstance(got, bytes):
                    assert got in (sent, sent + b".000000"), (sent, got)
                elif isinstance(got, bytes):
                    assert got == b"" or float(got) == sent
                else:
                    assert got == sent
        classic.socket.sendall(b"\x05\0\0\0" + build_close(number))


def test_a_literal_means_what_the_bound_value_means(connect: Open) -> None:
    client = connect(0)
    scanner = ResultScanner()
    for mode, escapes in (("", False), ("NO_BACKSLASH_ESCAPES", True)):
        scanner.begin()
        client.ask(build_query(f"SET sql_mode = '{mode}', NAMES utf8mb4".encode(), False), scanner)
        assert scanner.kind == scan.OK, scanner.error_text
        for kind, value in VALUES:
            text = literal(value, kind, no_backslash_escapes=escapes)
            scanner.begin()
            answer = client.ask(build_query(b"SELECT " + text, False), scanner)
            assert scanner.kind == scan.RESULTSET, (text, scanner.error_text)
            (got,) = split_text_row(list(iterate_payloads(answer))[3], 1)
            if isinstance(value, float):
                assert got is not None
                assert float(got) == value
            else:
                assert got == (value if value is None or isinstance(value, bytes) else b"%d" % value)


def test_session_trackers(connect: Open) -> None:
    client = connect(CLIENT_SESSION_TRACK)
    scanner = ResultScanner(session_track=True)

    def run(sql: str) -> bytes:
        scanner.begin()
        out = client.ask(build_query(sql.encode(), False), scanner)
        assert scanner.kind != scan.ERR, scanner.error_text
        return out

    run(
        "SET session_track_system_variables = '*', session_track_schema = ON, session_track_state_change = ON"
    )
    run("SET session_track_transaction_info = 'CHARACTERISTICS'")
    out = run("USE mysql")
    assert scanner.session_changes[0].schema == "mysql"
    # a client that does not track gets a plain OK
    assert list(iterate_payloads(out)) == [b"\0\0\0\x02\0\0\0"]
    run("SET sort_buffer_size = 524288")
    assert ("sort_buffer_size", "524288") in scanner.session_changes[0].system_variables
    run("SET @user_variable = 1")
    assert scanner.session_changes[0].state_changed is True
    run("START TRANSACTION READ ONLY")
    assert scanner.session_changes[0].transaction_characteristics == "START TRANSACTION READ ONLY;"
    state = scanner.session_changes[0].transaction_state
    assert state is not None
    assert state[0] == "T"
    assert not any(changes.unknown_types for changes in scanner.session_changes)
