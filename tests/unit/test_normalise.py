"""The normaliser: what is a literal, what stays, and that nothing of the text is lost."""

import re
import time
from decimal import Decimal

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from core.errors import SluiceError
from router.sql.literals import literal_value
from router.sql.normalise import Dialect, dialect_of, normalise, split_statements

CASES = [
    (b"SELECT c FROM sbtest1 WHERE id=12345", b"SELECT c FROM sbtest1 WHERE id=?", [b"12345"]),
    (b"select 'a', \"b\"", b"select ?, ?", [b"'a'", b'"b"']),
    (rb"select 'it''s', 'a\'b', ''", b"select ?, ?, ?", [b"'it''s'", rb"'a\'b'", b"''"]),
    (b"select 'a' 'b'\n\"c\"", b"select ?", [b"'a' 'b'\n\"c\""]),
    (b"select `a``1?`, t1.c2 from t1", b"select `a``1?`, t1.c2 from t1", []),
    (b"select -1, 1.5e-3, .5, 1., 1e9", b"select -?, ?, ?, ?, ?", [b"1", b"1.5e-3", b".5", b"1.", b"1e9"]),
    (b"select 0x1F, x'41', 0b01, b'1', N'n'", b"select ?, ?, ?, ?, ?", None),
    (
        b"select _utf8mb4'a', _latin1 'b', a_1'c'",
        b"select ?, ?, a_1?",
        [b"_utf8mb4'a'", b"_latin1 'b'", b"'c'"],
    ),
    (b"select 1abc, a1, $1, 0x1G from t", b"select 1abc, a1, $1, 0x1G from t", []),
    (b"select @a, @'b', @`c`, @@x", b"select @a, @'b', @`c`, @@x", []),
    (b"select ? from t where a = ?", b"select ? from t where a = ?", [b"?", b"?"]),
    (b"select null, true", b"select null, true", []),
    (b"select 5--1", b"select ?--?", [b"5", b"1"]),
    (b"select 5 -- 1", b"select ?", [b"5"]),
    (b"select 5 # '1'\n, 2", b"select ? # '1'\n, ?", [b"5", b"2"]),
    (b"/* a 1 */ select 1 /* tail='x' */ ;", b"select ?", [b"1"]),
    (b"select /* mid 'x' */ 1", b"select /* mid 'x' */ ?", [b"1"]),
    (
        b"/*vt+ A=1 */ select /*+ MAX_EXECUTION_TIME(5) */ 1",
        b"/*vt+ A=1 */ select /*+ MAX_EXECUTION_TIME(5) */ ?",
        [b"1"],
    ),
    (b"/*!40101 SET NAMES utf8 */;", b"/*!40101 SET NAMES utf8 */", []),
    (
        b"select a from t order by 1, b, 2 desc limit 3",
        b"select a from t order by 1, b, 2 desc limit ?",
        [b"3"],
    ),
    (b"select a from t group by 1 order by 2", b"select a from t group by 1 order by 2", []),
    (b"select a from t group by 1 having a > 2", b"select a from t group by 1 having a > ?", [b"2"]),
    (b"select a from t order by a + 1, f(2)", b"select a from t order by a + ?, f(?)", [b"1", b"2"]),
    (b"select 'open", b"select 'open", []),
    (b"  select 1 ; \n", b"select ?", [b"1"]),
    ("select 'ü', ü1 from t".encode(), "select ?, ü1 from t".encode(), ["'ü'".encode()]),
]


@pytest.mark.parametrize(("sql", "key", "literals"), CASES)
def test_cases(sql: bytes, key: bytes, literals: list[bytes] | None) -> None:
    found = normalise(sql)
    assert found.key == key
    if literals is not None:
        assert list(found.literals) == literals


def test_dialects() -> None:
    sql = rb"""select "a", 'b\', 'c'"""
    assert normalise(sql, Dialect.NO_BACKSLASH_ESCAPES).literals == (b'"a"', rb"'b\'", b"'c'")
    assert normalise(sql, Dialect.ANSI_QUOTES).key.startswith(b'select "a", ?')
    assert normalise(sql, Dialect.ANSI_QUOTES_NO_BACKSLASH_ESCAPES).literals == (rb"'b\'", b"'c'")
    assert dialect_of("STRICT_TRANS_TABLES,ANSI_QUOTES") is Dialect.ANSI_QUOTES
    assert dialect_of("ANSI,NO_BACKSLASH_ESCAPES") is Dialect.ANSI_QUOTES_NO_BACKSLASH_ESCAPES
    assert dialect_of("") is Dialect.DEFAULT


def put_back(key: bytes, literals: tuple[bytes, ...]) -> bytes:
    """The key with its literals again: a `?` counts where normalising the key finds one."""
    pieces = re.split(
        rb"(`[^`]*(?:``[^`]*)*(?:`|\Z)|/\*.*?(?:\*/|\Z)|--(?=[\x00-\x20]|\Z)[^\n]*|#[^\n]*|@'[^']*'|\?)",
        key,
        flags=re.S,
    )
    values = iter(literals)
    return b"".join(next(values) if piece == b"?" else piece for piece in pieces) + b"".join(values)


_WORDS = rb"""select |a1|`q?`|'s?'|"d"|12|1.5e3| |,|(|)| order by | ? |-|/* c 1 */| x'41'| _utf8mb4'z'|=| from |.|t"""
_PIECES = st.sampled_from([*_WORDS.split(b"|"), b"# x\n", b"-- y\n"])


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(_PIECES, max_size=25))
def test_nothing_is_lost(pieces: list[bytes]) -> None:
    sql = b"select " + b"".join(pieces) + b"\n end"
    found = normalise(sql)
    assert put_back(found.key, found.literals) == sql


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.lists(_PIECES, max_size=25))
def test_literals_do_not_change_the_key(pieces: list[bytes]) -> None:
    sql = b"select " + b" ".join(pieces) + b" end"
    found = normalise(sql)
    again = normalise(found.key)
    assert again.key == found.key
    assert all(literal == b"?" for literal in again.literals)
    assert len(again.literals) == len(found.literals)


@settings(max_examples=300, derandomize=True, deadline=None)
@given(st.binary(max_size=200), st.sampled_from(list(Dialect)))
def test_any_bytes(sql: bytes, dialect: Dialect) -> None:
    assert normalise(sql, dialect).key.count(b"?") >= len(normalise(sql, dialect).literals)
    split_statements(sql, dialect)


@pytest.mark.parametrize(
    "unit",
    [b"'\\'", b"''", b"/*", b"1.", b"_", b"`", b"-", b"'a' ", b"0x", b"1e", b"by 1,", b"by(", b" ", b"_a '"],
)
def test_linear(unit: bytes) -> None:
    def cost(count: int) -> float:
        sql = unit * count + b"'"
        start = time.process_time()
        normalise(sql)
        split_statements(sql)
        return time.process_time() - start

    assert cost(40000) < 40 * cost(4000) + 0.05


def test_split() -> None:
    assert split_statements(b"select 1; select ';' /* ; */;; -- x;\n") == [
        b"select 1",
        b" select ';' /* ; */",
    ]
    body = b"create definer=a@b procedure p() begin select 1; end"
    assert split_statements(b"select 1;" + body) == [b"select 1", body]
    assert split_statements(b"create table t (a int); drop table t") == [
        b"create table t (a int)",
        b" drop table t",
    ]
    assert split_statements(b"  ") == []


@pytest.mark.parametrize(
    ("token", "value"),
    [
        (b"12", 12),
        (b"18446744073709551615", 18446744073709551615),
        (b"1.50", Decimal("1.50")),
        (b".5", Decimal("0.5")),
        (b"1e3", 1000.0),
        (b"'it''s'", "it's"),
        (rb"'a\'\n\%\x'", "a'\n\\%x"),
        (rb"'\''''", "''"),
        (b"'a' \"b\"", "ab"),
        (b'"say ""hi"""', 'say "hi"'),
        (b"x'4142'", b"AB"),
        (b"0x414", b"\x04\x14"),
        (b"b'101'", b"\x05"),
        (b"0b1", b"\x01"),
        (b"N'n'", "n"),
        (b"_binary 'a'", b"a"),
        (b"_utf8mb4'\xc3\xbc'", "ü"),
        (b"_latin1'\xfc'", "ü"),
        (b"'\xff'", b"\xff"),
        (b"NULL", None),
    ],
)
def test_literal_value(token: bytes, value: object) -> None:
    found = literal_value(token)
    assert found == value
    assert type(found) is type(value)


def test_literal_value_refuses() -> None:
    with pytest.raises(SluiceError):
        literal_value(b"abc")
    assert literal_value(rb"'a\'", dialect=Dialect.NO_BACKSLASH_ESCAPES) == "a\\"
