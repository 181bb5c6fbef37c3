"""Which statements may run stored programs that use user variables, and which variables."""

import pytest

from core.rpc.messages import F_WRITE
from tablet.program_variables import ProgramVariables, Rows

AUDIT: Rows = [
    [b"function", b"area", b"0", b""],
    [b"view", b"maps", b"0", b""],
    [b"trigger", b"orders", b"0", b"SET NEW.by_whom = @App_User, @n := @`my n` + @@sql_mode"],
]


def known(*rows: list[bytes | None], many: bool = False) -> ProgramVariables:
    variables = ProgramVariables()
    variables.learn([*rows], many=many)
    return variables


@pytest.mark.parametrize(
    ("body", "names"),
    [
        (b"SET @a = 1; SET @B=@a + @@global.x", "a,b"),
        (b"SELECT 1 INTO @`c d`, @`e`, @'f', @\"g\", @h.i$j", "e,f,g,h.i$j"),
        (b"SET x = 'me@example.org'", ""),
        ("SET @größe = 1".encode(), "größe"),
        (b"", ""),
        (None, ""),
    ],
)
def test_names(body: bytes | None, names: str) -> None:
    assert known([b"procedure", b"p", b"0", body]).names == names


@pytest.mark.parametrize(
    ("sql", "flags", "needed"),
    [
        (b"INSERT INTO orders VALUES (1)", F_WRITE, True),
        (b"/* a */ insert into `shop`.`Orders` values (1)", F_WRITE, True),
        (b"UPDATE maps SET a = 1", F_WRITE, True),  # a view of the table, perhaps
        (b"LOAD DATA LOCAL INFILE 'x' INTO TABLE orders", F_WRITE, True),
        (b"INSERT INTO orders_2 VALUES (1)", F_WRITE, False),
        (b"SELECT * FROM orders", 0, False),
        (b"SELECT area(1)", 0, True),
        (b"(SELECT * FROM maps)", 0, True),
        (b"CREATE TABLE t AS SELECT area(1)", F_WRITE, True),
        (b"DROP FUNCTION area", F_WRITE, False),
        (b"CREATE TABLE orders (id INT)", F_WRITE, False),
        (b"SELECT * FROM orders FOR UPDATE", F_WRITE, False),
        (b"ALTER TABLE orders ADD x INT", F_WRITE, False),
        (b"COMMIT", F_WRITE, False),
    ],
)
def test_needed(sql: bytes, flags: int, needed: bool) -> None:
    assert known(*AUDIT).needed_by(sql, flags, ["t"]) is needed


def test_a_call_runs_anything() -> None:
    assert known(*AUDIT).needed_by(b"-- a\nCALL p()", F_WRITE, None)
    assert not known(AUDIT[0]).needed_by(b"CALL p()", F_WRITE, None)


def test_nothing_is_needed_where_no_program_uses_any() -> None:
    quiet = known(AUDIT[0], [b"trigger", b"orders", b"0", b""])
    assert not quiet.names
    assert not quiet.needed_by(b"INSERT INTO orders VALUES (area(1))", F_WRITE, ["orders"])


def test_more_programs_than_can_be_known() -> None:
    assert known(*AUDIT, many=True).needed_by(b"SELECT 1", 0, ())
    assert known(*AUDIT, [b"function", "größe".encode(), b"0", b""]).needed_by(b"SELECT 1", 0, ())
