"""MariaDB's extended metadata: column definitions in the form that each client negotiated, as on the server."""

from collections.abc import Iterator
from typing import Any

import pytest

from tests.kit.cluster import PASSWORD, USER, Cluster
from tests.wire.raw_client import RawClient
from wire.columns import parse_column
from wire.constants import (
    CLIENT_FOUND_ROWS,
    COM_FIELD_LIST,
    COM_INIT_DB,
    COM_QUERY,
    CURSOR_TYPE_READ_ONLY,
    MARIADB_CLIENT_EXTENDED_METADATA,
)
from wire.packets import iterate_payloads
from wire.scan import PREPARE, QUERY, ROWS_ONLY, ResultScanner
from wire.statements import build_execute, build_prepare

pytestmark = pytest.mark.e2e

EXTENDED = MARIADB_CLIENT_EXTENDED_METADATA
JSON = b"\x01\x04json"
MAIN = (
    "SELECT js, ip, pt, id FROM typed WHERE id = 1",
    "SELECT * FROM typed",
    "SELECT JSON_OBJECT('a', id), CAST(ip AS CHAR) FROM typed",
    "SELECT 1 UNION SELECT js FROM typed",
    "CALL typed_rows()",
    "SELECT js FROM typed; SET @x = 1; SELECT ip FROM typed",
    "SELECT js FROM no_such_table",
    "SHOW CREATE TABLE typed",
    "CHECK TABLE typed",
    "EXPLAIN SELECT js FROM typed",
)
COMMERCE = (
    "SELECT js, pt, vc FROM everything WHERE id = 1",
    "SELECT js, pt, vc FROM everything ORDER BY id",
    "SELECT DISTINCT js FROM everything",
    "SELECT MAX(js), COUNT(*), AVG(it) FROM everything",
    "SELECT js, GROUP_CONCAT(vc) FROM everything GROUP BY js ORDER BY js LIMIT 2",
    "SELECT a.js, b.pt FROM everything a JOIN everything b ON a.it = b.it",
    "SELECT js, ROW_NUMBER() OVER (ORDER BY id) FROM everything",
    "SELECT @@version_comment, DATABASE(), CONNECTION_ID()",
    "SHOW WARNINGS",
    "CHECK TABLE everything",
)


@pytest.fixture(scope="module")
def typed(cluster: Cluster) -> Iterator[None]:
    if cluster.flavour != "mariadb":
        pytest.skip("MySQL has no such metadata")
    procedure = "CREATE PROCEDURE typed_rows() BEGIN SELECT js FROM typed; SELECT 1, ip FROM typed; END"
    table = "CREATE TABLE typed (id INT PRIMARY KEY, js JSON, ip INET6, pt POINT)"
    drop = ("DROP TABLE IF EXISTS typed", "DROP PROCEDURE IF EXISTS typed_rows")
    row = "INSERT INTO typed VALUES (1, '[1]', '::1', POINT(1, 2))"
    for sql in (*drop, table, row, procedure):
        cluster.query_direct("main/-", sql)
    cluster.clear("everything")
    for shard, id_ in zip(("commerce/-80", "commerce/80-"), (1, 4), strict=True):
        cluster.query_direct(
            shard, f"INSERT INTO everything (id, it, js, vc) VALUES ({id_}, 1, '[{id_}]', 'x')"
        )
    yield
    cluster.clear("everything")
    for sql in drop:
        cluster.query_direct("main/-", sql)


class Asker:
    """A client that keeps what answers say of their columns."""

    def __init__(self, client: RawClient, database: str) -> None:
        self.client = client
        self._ask(bytes((COM_INIT_DB,)) + database.encode())

    def _ask(self, payload: bytes, kind: int = QUERY) -> tuple[bytes, ResultScanner]:
        scanner = ResultScanner()
        scanner.begin(kind)
        return self.client.ask(payload, scanner), scanner

    def query(self, sql: str) -> list[Any]:
        return _described(self._ask(bytes((COM_QUERY,)) + sql.encode())[0])

    def execute(self, sql: str, cursor: bool) -> list[Any]:
        """What COM_STMT_PREPARE and the execution say; an error as its number."""
        data, prepared = self._ask(build_prepare(sql.encode()), PREPARE)
        payloads = list(iterate_payloads(data))
        if payloads[0][0] == 0xFF:
            return [int.from_bytes(payloads[0][1:3], "little")]
        told = [_shown(payload) for payload in payloads[1:] if payload[0] == 3]
        execute = bytearray(build_execute(prepared.statement_id, (), (), False))
        execute[5] = CURSOR_TYPE_READ_ONLY if cursor else 0
        if cursor:  # no rows come before they are fetched: definitions, and the EOF behind them
            answer, _ = self._ask(bytes(execute), ROWS_ONLY)
            payloads = list(iterate_payloads(answer))
            return [told, [_shown(payload) for payload in payloads[1:-1]]]
        return [told, _described(self._ask(bytes(execute))[0])]

    def fields(self, table: str) -> list[bytes]:
        """The definitions by COM_FIELD_LIST, without the default values behind them, which the router does not tell."""
        data, _ = self._ask(bytes((COM_FIELD_LIST,)) + table.encode() + b"\0", ROWS_ONLY)
        payloads = list(iterate_payloads(data))[:-1]
        return [payload[: payload.index(b"\x0c", payload.index(b"typed")) + 13] for payload in payloads]


def _described(data: bytes) -> list[Any]:
    """Of each result its columns, "ok", or the number of the error."""
    payloads = list(iterate_payloads(data))
    found: list[Any] = []
    while payloads:
        head = payloads.pop(0)
        if head[0] in (0, 0xFF):
            found.append(int.from_bytes(head[1:3], "little") if head[0] else "ok")
            continue
        found.append([_shown(payloads.pop(0)) for _ in range(head[0])])
        payloads.pop(0)
        while payloads.pop(0)[0] != 0xFE:
            pass
    return found


def _shown(definition: bytes) -> tuple[bytes, bytes | None]:
    column = parse_column(definition)
    return column.name, column.extended


def test_offered_as_the_server_offers_it(cluster: Cluster) -> None:
    for address, user, password in _places(cluster, "main/-"):
        with RawClient(address, user, password, EXTENDED) as client:
            assert bool(client.caps & EXTENDED) == (cluster.flavour == "mariadb")


@pytest.mark.usefixtures("typed")
@pytest.mark.parametrize("database", ["main", "commerce"])
def test_definitions_are_those_of_the_server(cluster: Cluster, database: str) -> None:
    """Three sessions take turns, so that pooled connections, shared answers and known heads serve each of them."""
    shard = {"main": "main/-", "commerce": "commerce/-80"}[database]
    direct, router = _places(cluster, shard)
    wants = (EXTENDED, 0, EXTENDED | CLIENT_FOUND_ROWS)
    plain = [Asker(RawClient(*direct, caps), database) for caps in wants]
    ours = [Asker(RawClient(*router, caps), database) for caps in wants]
    ways: list[tuple[str, Any]] = [("text", Asker.query), ("prepared", lambda a, sql: a.execute(sql, False))]
    if database == "main":
        ways.append(("cursor", lambda a, sql: a.execute(sql, True) if sql.startswith("SELECT js") else None))
    for begin in ("DO 0", "BEGIN", "SET autocommit = 0"):
        for asker in (*plain, *ours):
            asker.query(begin)
        for sql in MAIN if database == "main" else COMMERCE:
            for name, way in ways:
                if name != "text" and (";" in sql or "OVER" in sql or sql.startswith(("CHECK", "SHOW W"))):
                    continue
                for want, there, here in zip(wants, plain, ours, strict=True):
                    found = way(here, sql)
                    assert found == way(there, sql), (begin, sql, name, want)
                    told = str(found)
                    assert (
                        ("json" in told or "b''" in told or "b'" not in told) if want else "json" not in told
                    )
        for asker in (*plain, *ours):
            asker.query("ROLLBACK")
    if database == "main":
        for there, here in zip(plain, ours, strict=True):
            assert here.fields("typed") == there.fields("typed")
    for asker in (*plain, *ours):
        asker.client.socket.close()


def _places(cluster: Cluster, shard: str) -> list[tuple[Any, str, str]]:
    """Address, user and password of the shard's server and of the router."""
    direct = cluster.direct(shard)
    return [
        (direct["unix_socket"], direct["user"], direct["password"]),
        (("127.0.0.1", cluster.port), USER, PASSWORD),
    ]
