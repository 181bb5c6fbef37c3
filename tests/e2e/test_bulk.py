"""COM_STMT_BULK_EXECUTE: batches of rows end as on the server, on one shard and over several."""

from collections.abc import Iterator, Sequence
from typing import Any

import pytest

from tests.kit.both import Both, both_places
from tests.kit.cluster import PASSWORD, USER, Cluster
from tests.wire.raw_client import RawClient
from wire.answers import parse_err, parse_ok
from wire.bulk import INDICATOR_DEFAULT, INDICATOR_IGNORE, INDICATOR_NULL, SEND_TYPES
from wire.constants import (
    COM_INIT_DB,
    COM_QUERY,
    COM_STMT_BULK_EXECUTE,
    MARIADB_CLIENT_STMT_BULK_OPERATIONS,
    SERVER_STATUS_IN_TRANS,
    TYPE_LONG,
    TYPE_VAR_STRING,
)
from wire.packets import iterate_payloads, lenenc_bytes
from wire.scan import PREPARE, QUERY, ResultScanner
from wire.statements import build_execute, build_prepare

pytestmark = pytest.mark.e2e

BULK = MARIADB_CLIENT_STMT_BULK_OPERATIONS
DEFAULT, IGNORE = ..., NotImplemented
PLAIN = "bulk_plain"
Step = tuple[Any, ...]
INSERT = "INSERT INTO bulk_rows (a, b) VALUES (?, ?)"
IDS = "SELECT GROUP_CONCAT(id, ':', a, ':', IFNULL(b, '-') ORDER BY id), LAST_INSERT_ID() FROM bulk_rows"
MAIN: list[Step] = [
    (INSERT, [(1, "x"), (2, None), (3, DEFAULT), (4, IGNORE)]),
    (INSERT, [(5, "x"), (1, "dup"), (6, "y")]),
    (INSERT, [(7, "text " * 40)]),
    ("UPDATE bulk_rows SET b = ? WHERE a = ?", [("u1", 1), ("u2", 2), (DEFAULT, 3), ("none", 99)]),
    ("UPDATE bulk_rows SET a = ? WHERE a = ?", [(11, 1), (3, 2), (13, 3)]),
    ("DELETE FROM bulk_rows WHERE a = ?", [(11,), (77,)]),
    (INSERT + " ON DUPLICATE KEY UPDATE b = VALUES(b)", [(3, "k"), (40, "n"), (3, "m")]),
    (INSERT + " ON DUPLICATE KEY UPDATE b = ?", [(3, "k", "1"), (41, "n", "2"), (40, "m", "3")]),
    ("INSERT IGNORE INTO bulk_rows (a, b) VALUES (?, ?)", [(3, "k"), (50, "n" * 30)]),
    ("REPLACE INTO bulk_rows (a, b) VALUES (?, ?)", [(3, "k"), (51, "n")]),
    ("INSERT INTO bulk_rows (a, b) VALUES (?, ?) RETURNING id, a", [(60, "k"), (61, "n")]),
    ("INSERT INTO bulk_rows (a) VALUES (?), (?)", [(74, 75), (76, 77)]),
    ("INSERT INTO bulk_rows (id, a) VALUES (?, ?)", [(500, 200), (0, 201), (None, 202), (DEFAULT, 203)]),
    ("SELECT ?", [(1,), (2,)]),
    ("INSERT INTO bulk_rows (a) SELECT ?", [(80,)]),
    ("INSERT INTO bulk_rows (a) VALUES (81)", []),
    (INSERT, []),
    ("SET STATEMENT sql_mode = '' FOR INSERT INTO bulk_rows (a, b) VALUES (?, ?)", [(84, "x" * 30)]),
    ("SET NAMES gbk",),
    (INSERT, [(85, "\xd6\xd0"), (86, "x")]),
    ("SET NAMES utf8mb4",),
    ("BEGIN",),
    (INSERT, [(90, "gone"), (91, "gone")]),
    ("ROLLBACK",),
    (INSERT, [(92, "kept")]),
    ("SET autocommit = 0",),
    (INSERT, [(93, "gone")]),
    ("ROLLBACK",),
    ("SET autocommit = 1",),
    ("SET @who = 'me'",),
    ("INSERT INTO bulk_rows (a, b) VALUES (?, CONCAT(@who, LAST_INSERT_ID()))", [(94,), (95,)]),
]
COUNTER = "SELECT id, owner, hits FROM counter ORDER BY id"
COUNT = "INSERT INTO counter (id, owner, hits) VALUES (?, ?, ?)"
COMMERCE: list[Step] = [
    (COUNT, [(n, n * 2, DEFAULT if n % 3 else n) for n in range(1, 21)]),
    (COUNT, [(31, 1, 1), (32, 1, 1), (7, 1, 1)]),
    (COUNT, [(33, None, 1)]),
    (COUNT + " ON DUPLICATE KEY UPDATE hits = VALUES(hits)", [(n, 1, 9) for n in range(18, 24)]),
    (COUNT + " ON DUPLICATE KEY UPDATE hits = ?", [(n, 1, 9, n) for n in range(22, 26)]),
    (COUNT + " ON DUPLICATE KEY UPDATE hits = ?", [(41, 1, 1, 1), (42, None, 1, 1), (43, 1, 1, 1)]),
    ("UPDATE counter SET hits = ? WHERE id = ?", [(50 + n, n) for n in range(1, 9)]),
    ("UPDATE counter SET hits = ? WHERE owner = ?", [(7, 2), (8, 1)]),
    ("UPDATE counter SET hits = ? WHERE id = ?", [("5", 1), ("no number", 2), ("6", 3)]),
    ("UPDATE counter SET hits = ? WHERE id = ?", [(DEFAULT, 4), (DEFAULT, 5)]),
    ("DELETE FROM counter WHERE id = ?", [(1,), (2,), (3,), (99,)]),
    ("DELETE FROM counter WHERE owner = ?", [(8,), (10,)]),
    ("SET @owner = 77",),
    ("INSERT INTO counter (id, owner) VALUES (?, @owner)", [(51,), (52,)]),
    ("SELECT id FROM counter WHERE id = ?", [(5,)]),
    ("BEGIN",),
    (COUNT, [(61, 1, 1), (62, 1, 1)]),
    ("UPDATE counter SET hits = ? WHERE id = ?", [(1, 6), (1, 7)]),
    ("ROLLBACK",),
    ("INSERT INTO account (id, email, team) VALUES (?, ?, ?)", [(1, "a@x", DEFAULT), (2, "b@x", "t"), (3, None, None)]),
    ("DELETE FROM account WHERE id = ?", [(1,), (2,)]),
    ("INSERT INTO account (id, email) VALUES (?, ?)", [(4, "a@x"), (5, "b@x")]),
]  # fmt: skip


class Asker:
    """A client that sends batches, and keeps what becomes of them."""

    def __init__(self, client: RawClient, database: str) -> None:
        self.client = client
        self._ask(bytes((COM_INIT_DB,)) + database.encode())

    def _ask(self, payload: bytes, kind: int = QUERY) -> tuple[list[bytes], ResultScanner]:
        scanner = ResultScanner()
        scanner.begin(kind)
        return list(iterate_payloads(self.client.ask(payload, scanner))), scanner

    def query(self, sql: str) -> Any:
        return _outcome(self._ask(bytes((COM_QUERY,)) + sql.encode())[0])

    def run(self, sql: str, rows: Sequence[Sequence[Any]] | None = None) -> Any:
        """A statement, or a batch of `rows` for it."""
        if rows is None:
            return self.query(sql)
        payloads, prepared = self._ask(build_prepare(sql.encode()), PREPARE)
        if payloads[0][0] == 0xFF:
            return _outcome(payloads)
        return _outcome(self._ask(_bulk(prepared.statement_id, rows))[0])


def _bulk(statement_id: int, rows: Sequence[Sequence[Any]]) -> bytes:
    texts = [any(isinstance(row[at], str) for row in rows) for at in range(len(rows[0]))] if rows else []
    parts = [
        bytes((COM_STMT_BULK_EXECUTE,)),
        statement_id.to_bytes(4, "little"),
        SEND_TYPES.to_bytes(2, "little"),
    ]
    parts += [bytes((TYPE_VAR_STRING if text else TYPE_LONG, 0)) for text in texts]
    indicators = {None: INDICATOR_NULL, DEFAULT: INDICATOR_DEFAULT, IGNORE: INDICATOR_IGNORE}
    for row in rows:
        for value in row:
            if isinstance(value, str):
                parts.append(b"\0" + lenenc_bytes(value.encode("latin-1")))
            elif isinstance(value, int):
                parts.append(b"\0" + value.to_bytes(4, "little", signed=True))
            else:
                parts.append(bytes((indicators[value],)))
    return b"".join(parts)


def _outcome(payloads: list[bytes]) -> Any:
    if payloads[0][0] == 0xFF:
        error = parse_err(payloads[0])
        return error.number, error.text.partition(" at row")[0].replace(PLAIN, "commerce")
    if payloads[0][0] == 0:
        ok = parse_ok(payloads[0])
        return ok.affected_rows, ok.last_insert_id, ok.warnings, ok.info, ok.status & SERVER_STATUS_IN_TRANS
    return payloads[2 + payloads[0][0] : -1]


def _direct(cluster: Cluster) -> tuple[str, str, str]:
    direct = cluster.direct("main/-")
    return direct["unix_socket"], direct["user"], direct["password"]


@pytest.fixture
def router(cluster: Cluster) -> Iterator[RawClient]:
    if cluster.flavour != "mariadb":
        pytest.skip("MySQL has no such command")
    with RawClient(("127.0.0.1", cluster.port), USER, PASSWORD, BULK) as client:
        yield client


def test_batches_on_one_shard(cluster: Cluster, router: RawClient) -> None:
    table = "CREATE TABLE bulk_rows (id INT PRIMARY KEY AUTO_INCREMENT, a INT UNIQUE, b VARCHAR(20) DEFAULT 'dflt')"
    told: list[list[Any]] = []
    with RawClient(*_direct(cluster), BULK) as plain:
        for asker in (Asker(plain, "main"), Asker(router, "main")):
            cluster.query_direct("main/-", "DROP TABLE IF EXISTS bulk_rows")
            cluster.query_direct("main/-", table)
            told.append([(asker.run(*step), asker.query(IDS), asker.query("SHOW WARNINGS")) for step in MAIN])
    for step, there, here in zip(MAIN, *told, strict=True):
        assert here == there, step
    cluster.query_direct("main/-", "DROP TABLE bulk_rows")


def test_batches_over_several_shards(cluster: Cluster, router: RawClient) -> None:
    with (
        both_places(cluster, PLAIN, ("counter", "account", "account_email")) as both,
        RawClient(*_direct(cluster), BULK) as plain,
    ):
        assert isinstance(both, Both)
        there, here = Asker(plain, PLAIN), Asker(router, "commerce")
        for step in COMMERCE:
            assert here.run(*step) == there.run(*step), step
            assert here.query(COUNTER) == there.query(COUNTER), step
        accounts = "SELECT id, email, team FROM account ORDER BY id"
        assert here.query(accounts) == there.query(accounts)
    cluster.query_direct("main/-", "DELETE FROM account_team")


def test_ids_of_a_sequence_and_what_is_refused(cluster: Cluster, router: RawClient) -> None:
    cluster.clear("customer", "counter")
    asker = Asker(router, "commerce")
    rows = [(f"n{n}", "DE") for n in range(6)]
    affected, first, _, info, _ = asker.run("INSERT INTO customer (name, country) VALUES (?, ?)", rows)
    assert (affected, info) == (6, b"Records: 6  Duplicates: 0  Warnings: 0")
    found = asker.query("SELECT customer_id FROM customer ORDER BY name")
    assert [int(row[1:]) for row in found] == list(range(first, first + 6))
    assert asker.query("SELECT LAST_INSERT_ID()") == [lenenc_bytes(b"%d" % first)]
    number, text = asker.run("UPDATE counter SET hits = ? WHERE id = ?", [(IGNORE, 1)])
    assert (number, "to be ignored" in text) == (1235, True)
    # types of a batch hold for an execution after it, and a batch is refused to who did not negotiate it
    payloads, prepared = asker._ask(build_prepare(b"INSERT INTO counter (id, owner) VALUES (?, ?)"), PREPARE)
    assert payloads[0][0] == 0
    batch = _bulk(prepared.statement_id, [(1, 1)])
    asker._ask(batch)
    again = build_execute(prepared.statement_id, (TYPE_LONG, TYPE_LONG), (2, 2), False)
    untyped = again[:11] + b"\0" + again[16:]
    assert _outcome(asker._ask(untyped)[0])[0] == 1
    assert _outcome(asker._ask(batch[:5] + b"\0\0" + batch[11:].replace(b"\1\0\0\0", b"\3\0\0\0"))[0])[0] == 1
    assert asker.query("SELECT COUNT(*) FROM counter") == [b"\x013"]
    with RawClient(("127.0.0.1", cluster.port), USER, PASSWORD, 0) as other:
        asker = Asker(other, "commerce")
        assert asker.run("DELETE FROM counter WHERE id = ?", [(1,)])[0] == 1295
    cluster.clear("customer", "counter")
