"""Which ids a statement may have given itself, and what its OK packet therefore tells."""

import pytest

from core.rpc.messages import F_INSERT, F_INSERT_ID, F_UPSERT
from router.plan.insert_ids import insert_flags
from router.plan.planner import plan
from router.plan.plans import SubstitutePlan
from router.sql.lex import lex
from router.sql.normalise import normalise
from router.vschema import VSchema, parse
from tablet.statements.insert_ids import given_numbers
from wire.constants import TYPE_DATE, TYPE_DOUBLE, TYPE_LONGLONG, TYPE_STRING
from wire.statements import build_execute


def _flags(sql: str) -> int:
    return insert_flags(lex(normalise(sql.encode()).key.decode()).lexemes)


@pytest.mark.parametrize(
    ("sql", "flags"),
    [
        ("INSERT INTO t (a, b) VALUES (1, 'x'), (NULL, DEFAULT)", F_INSERT),
        ("INSERT t VALUES (-1, NOW(), CURRENT_TIMESTAMP, 'a' 'b')", F_INSERT),
        ("REPLACE INTO d.t () VALUES ()", F_INSERT),
        ("INSERT INTO t SET a = 1, t.b = DEFAULT, `c` = '2'", F_INSERT),
        ("INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE a = a + 1", F_UPSERT),
        ("INSERT INTO t (a) VALUES (1) AS n ON DUPLICATE KEY UPDATE a = n.a", F_UPSERT),
        ("INSERT INTO t SET a = 1 ON DUPLICATE KEY UPDATE b = 2", F_UPSERT),
        ("INSERT INTO t (a) VALUES (1), (2) ON DUPLICATE KEY UPDATE a = 3", F_INSERT_ID),
        ("INSERT INTO t (a) VALUES (1) ON DUPLICATE KEY UPDATE id = LAST_INSERT_ID(id)", F_INSERT_ID),
        ("INSERT INTO t (a) VALUES (1 + 2)", F_INSERT_ID),
        ("INSERT INTO t (a) VALUES (1), (UUID())", F_INSERT_ID),
        ("INSERT INTO t SET a = b", F_INSERT_ID),
        ("INSERT INTO t (a) VALUES (@a)", F_INSERT_ID),
        ("INSERT INTO t (a) SELECT 1", F_INSERT_ID),
        ("INSERT INTO t (a) TABLE u", F_INSERT_ID),
        ("INSERT INTO t (a) VALUES (1) RETURNING id", F_INSERT_ID),
        ("INSERT INTO t (a) VALUES (TRUE)", F_INSERT_ID),
        ("INSERT INTO t (a) VALUES (DATE '2024-01-01')", F_INSERT_ID),
    ],
)
def test_what_an_insert_says(sql: str, flags: int) -> None:
    assert _flags(sql) == flags


@pytest.mark.parametrize(
    ("sql", "given", "not_given"),
    [
        (b"INSERT INTO t1 (a, b2) VALUES (5, 'x7')", {5}, {1, 2, 7}),
        (b"INSERT INTO t VALUES (4.6, '98.4', 1e3, .5)", {4, 5, 98, 99, 1000, 0, 1}, {3}),
        (b"INSERT INTO t VALUES ('12 apples', \" +13\", -14)", {12, 13, 14}, set()),
        (b"INSERT INTO t VALUES (123456789012345678901234567890)", {123456789012345678901234567890}, {1}),
        (b"INSERT INTO t VALUES ('1e999', 1.0e300)", set(), {1}),
    ],
)
def test_numbers_of_a_text(sql: bytes, given: set[int], not_given: set[int]) -> None:
    found = given_numbers(sql, None)
    assert found is not None
    assert given <= found
    assert not found & not_given


@pytest.mark.parametrize(
    "sql",
    [
        b"INSERT INTO t VALUES (0x10)",
        b"INSERT INTO t VALUES (x'10')",
        b"INSERT INTO t VALUES (b'101')",
        b"INSERT INTO t VALUES ('1' '2')",
        b"INSERT INTO t VALUES ('1\\2')",
        b"INSERT INTO t VALUES ('\\n5')",
        b"INSERT INTO t VALUES (_utf16 '\0" + b"5')",
        b"INSERT INTO t VALUES (1)" + b" " * 9000,
    ],
)
def test_a_text_that_does_not_tell(sql: bytes) -> None:
    assert given_numbers(sql, None) is None


def test_numbers_of_parameters() -> None:
    values: list[int | float | bytes | None] = [7, 8.5, b"9 lives", b"2024-01-02", None]
    types = [TYPE_LONGLONG, TYPE_DOUBLE, TYPE_STRING, TYPE_DATE, TYPE_STRING]
    execute = build_execute(1, types, values, False)
    found = given_numbers(b"INSERT INTO t VALUES (?, ?, ?, ?, ?)", execute[5:])
    assert found is not None
    assert {7, 8, 9, 2024, 20240102} <= found
    assert not found & {5, 10}
    assert given_numbers(b"INSERT INTO t VALUES (?, '?')", execute[5:]) is None


def test_binds_of_whole_rows_stay_in_their_places() -> None:
    sql = b"INSERT INTO t (a, b) VALUES (1, 2), (@v, 3), (4, NULL)"
    vschema = VSchema([parse("main", {"tables": {"t": {}}})])
    made = plan(normalise(sql).key.decode(), "main", vschema).plan
    assert isinstance(made, SubstitutePlan)
    assert [piece for piece in made.template.pieces if isinstance(piece, int)] == [0, 1, -1, 2, 3]
