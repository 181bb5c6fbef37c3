"""CALL in the binary protocol: result sets, OUT parameters (SERVER_PS_OUT_PARAMS), as the server itself answers."""

import contextlib
import threading
from collections.abc import Iterator
from typing import Any, cast

import pymysql
import pytest

from tests.kit.cluster import Cluster, wait_for
from tests.wire.raw_client import RawClient
from wire.binary import decoder
from wire.columns import parse_column
from wire.constants import (
    CLIENT_PS_MULTI_RESULTS,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_PS_OUT_PARAMS,
    SERVER_STATUS_IN_TRANS,
    TYPE_LONGLONG,
    TYPE_VAR_STRING,
)
from wire.scan import PREPARE, QUERY, ResultScanner
from wire.statements import build_execute, build_prepare

pytestmark = pytest.mark.e2e

PROCEDURES = (
    "CREATE PROCEDURE ps_two(IN a BIGINT) BEGIN SELECT a, 'one' AS n; SELECT a + 1, NULL; END",
    (
        "CREATE PROCEDURE ps_out(IN a BIGINT, INOUT b BIGINT, OUT c VARCHAR(20)) "
        "BEGIN SELECT a + b AS total; SET b = a * b, c = CONCAT('got ', a); END"
    ),
    (
        "CREATE PROCEDURE ps_into(IN a BIGINT, OUT b BIGINT) "
        "BEGIN SELECT a, 'one' AS n; SELECT a + 1, NULL; SET b = a; END"
    ),
    "CREATE PROCEDURE ps_quiet(OUT c VARCHAR(20)) SET c = 'quiet'",
    (
        "CREATE PROCEDURE ps_breaks(IN a BIGINT) "
        "BEGIN SELECT a; SIGNAL SQLSTATE '45000' SET MESSAGE_TEXT = 'broken'; END"
    ),
    "CREATE PROCEDURE ps_slow() BEGIN DECLARE n INT; WHILE TRUE DO SET n = SLEEP(0.1); END WHILE; END",
    (
        "CREATE PROCEDURE ps_slow_open() BEGIN DECLARE n INT; START TRANSACTION;"
        " WHILE TRUE DO SET n = SLEEP(0.1); END WHILE; END"
    ),
    "CREATE PROCEDURE ps_writes(IN a BIGINT) BEGIN INSERT INTO note (body) VALUES (a); SELECT COUNT(*) FROM note; END",
)
NAMES = ("ps_two", "ps_into", "ps_out", "ps_quiet", "ps_breaks", "ps_writes", "ps_slow", "ps_slow_open")


@pytest.fixture(scope="module")
def procedures(cluster: Cluster) -> Iterator[None]:
    with pymysql.connect(**cluster.direct("main/-")) as cnx, cnx.cursor() as cursor:
        for name in NAMES:
            cursor.execute(f"DROP PROCEDURE IF EXISTS {name}")
        for sql in PROCEDURES:
            cursor.execute(sql)
        cursor.execute("DELETE FROM note")
        yield
        for name in NAMES:
            cursor.execute(f"DROP PROCEDURE {name}")
        cursor.execute("DELETE FROM note")


def ask(client: RawClient, payload: bytes, kind: int = QUERY) -> tuple[bytes, ResultScanner]:
    scanner = ResultScanner()  # it mends the flags that MySQL forgets without CLIENT_DEPRECATE_EOF
    scanner.begin(kind)
    return client.ask(payload, scanner), scanner


def call(client: RawClient, sql: bytes, types: list[int], values: list[object]) -> list[object]:
    """What a prepared CALL answers: rows a result set with whether it is of OUT parameters, an OK as a status, or an
    error; and once more by text afterwards."""
    _, prepared = ask(client, build_prepare(sql), PREPARE)
    found: list[object] = []
    for _ in range(2):  # the second time it is known
        data, scanner = ask(client, build_execute(prepared.statement_id, types, values, False))  # type: ignore[arg-type]
        found.append(read(data))
        if scanner.error_number:
            found.append((scanner.error_number, scanner.sqlstate, scanner.error_text))
    data, _ = ask(client, b"\x03SELECT 'after'")
    assert b"\x05after" in data
    return found


def read(data: bytes) -> list[object]:
    results: list[object] = []
    payloads = []
    at = 0
    while at < len(data):
        size = int.from_bytes(data[at : at + 3], "little")
        payloads.append(data[at + 4 : at + 4 + size])
        at += 4 + size
    flags = SERVER_MORE_RESULTS_EXISTS | SERVER_PS_OUT_PARAMS
    while payloads:
        head = payloads.pop(0)
        if head[0] == 0xFF:
            results.append("error")
        elif head[0] == 0:
            results.append(("ok", head[1], int.from_bytes(head[3:5], "little") & flags))
        else:
            columns = [parse_column(payloads.pop(0)) for _ in range(head[0])]
            payloads.pop(0)
            rows = []
            while payloads[0][0] != 0xFE:
                rows.append(row_of(payloads.pop(0), [(one.type, one.flags) for one in columns]))
            end = payloads.pop(0)
            results.append(([one.name for one in columns], rows, int.from_bytes(end[3:5], "little") & flags))
    return results


def row_of(payload: bytes, types: list[tuple[int, int]]) -> list[object]:
    nulls = int.from_bytes(payload[1 : 1 + (len(types) + 9) // 8], "little") >> 2
    at = 1 + (len(types) + 9) // 8
    values: list[object] = []
    for index, (type_, flags) in enumerate(types):
        if nulls >> index & 1:
            values.append(None)
        else:
            value, at = decoder(type_, bool(flags & 32))(payload, at)
            values.append(value)
    return values


@pytest.mark.parametrize(
    ("sql", "types", "values"),
    [
        (b"CALL ps_two(?)", [TYPE_LONGLONG], [41]),
        (b"CALL ps_out(?, ?, ?)", [TYPE_LONGLONG, TYPE_LONGLONG, TYPE_VAR_STRING], [6, 7, None]),
        (b"CALL ps_out(5, ?, ?)", [TYPE_LONGLONG, TYPE_VAR_STRING], [8, None]),
        (b"CALL ps_quiet(?)", [TYPE_VAR_STRING], [None]),
        (b"CALL ps_breaks(?)", [TYPE_LONGLONG], [3]),
        (b"CALL ps_writes(?)", [TYPE_LONGLONG], [3]),
        (b"CALL ps_into(?, @into)", [TYPE_LONGLONG], [3]),
        (b"CALL ps_breaks(? + LENGTH(@into))", [TYPE_LONGLONG], [3]),
    ],
)
@pytest.mark.usefixtures("procedures")
@pytest.mark.parametrize("transaction", [False, True])
def test_as_the_server_answers(
    cluster: Cluster, sql: bytes, types: list[int], values: list[object], transaction: bool
) -> None:
    direct = cluster.direct("main/-")
    caps = CLIENT_PS_MULTI_RESULTS
    answers: list[list[object]] = []
    with (
        contextlib.closing(
            RawClient(direct["unix_socket"], direct["user"], direct["password"], caps).socket
        ) as one,
        contextlib.closing(RawClient(("127.0.0.1", cluster.port), "hashed", "hashed", caps).socket) as two,
    ):
        for sock in (one, two):
            client = RawClient.__new__(RawClient)
            client.socket = sock
            ask(client, b"\x03USE main")
            ask(client, b"\x03DELETE FROM note")
            if transaction:
                ask(client, b"\x03START TRANSACTION")
            try:
                answers.append(call(client, sql, types, values))
            except AssertionError as error:
                answers.append(["refused", str(error)[:20]])
            if transaction:
                ask(client, b"\x03ROLLBACK")
    assert answers[1] == answers[0]
    if b"ps_out" in sql:
        results = cast("list[Any]", answers[1][0])
        assert [result[-1] & SERVER_PS_OUT_PARAMS for result in results] == [0, SERVER_PS_OUT_PARAMS, 0]


@pytest.mark.parametrize(("name", "left_open"), [("ps_slow", False), ("ps_slow_open", True)])
def test_a_killed_call_leaves_the_transaction_that_it_left(
    cluster: Cluster, procedures: None, name: str, left_open: bool
) -> None:
    with cluster.connect("main") as cnx:
        number = cnx.thread_id()
        running = "SELECT 1 FROM information_schema.processlist WHERE state = 'User sleep'"

        def kill() -> None:
            wait_for(lambda: cluster.query_direct("main/-", running), 20, "the procedure does not run")
            cluster.query(f"KILL QUERY {number}")

        killer = threading.Thread(target=kill)
        killer.start()
        with cnx.cursor() as cursor:
            with pytest.raises(pymysql.err.OperationalError) as killed:
                cursor.execute(f"CALL {name}()")
            killer.join()
            assert killed.value.args[0] == 1317
            cursor.execute("INSERT INTO note (body) VALUES ('after')")
            assert bool(cnx.server_status & SERVER_STATUS_IN_TRANS) is left_open
    found = cluster.query("SELECT COUNT(*) FROM note WHERE body = 'after'", database="main")
    cluster.query("DELETE FROM note", database="main")
    assert found == [(0 if left_open else 1,)]
