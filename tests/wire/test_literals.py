import re

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import fast
from wire.constants import (
    TYPE_BLOB,
    TYPE_DATE,
    TYPE_DATETIME,
    TYPE_DOUBLE,
    TYPE_LONGLONG,
    TYPE_NEWDECIMAL,
    TYPE_NULL,
    TYPE_STRING,
    TYPE_TIME,
    TYPE_VAR_STRING,
    UNSIGNED_PARAMETER,
)
from wire.errors import CommandError
from wire.literals import literal, quotes_safely, string_literal

UNESCAPE = {b"0": b"\0", b"n": b"\n", b"r": b"\r", b"Z": b"\x1a"}


def read_string(token: bytes, backslashes: bool) -> bytes:
    """What MySQL's lexer makes of a quoted string that must be all there is."""
    assert token[:1] == token[-1:] == b"'"
    inner = token[1:-1]
    out = b""
    at = 0
    while at < len(inner):
        byte = inner[at : at + 1]
        if byte == b"\\" and backslashes:
            following = inner[at + 1 : at + 2]
            assert following
            out += UNESCAPE.get(following, following)
            at += 2
        elif byte == b"'":
            assert inner[at + 1 : at + 2] == b"'"
            out += b"'"
            at += 2
        else:
            out += byte
            at += 1
    return out


nasty = st.binary(max_size=40) | st.text("'\"\\\0\n\r\x1a%-;ab", max_size=20).map(str.encode)


@fast
@given(nasty, st.booleans())
def test_strings_read_back_and_end_where_they_should(text: bytes, no_backslashes: bool) -> None:
    token = string_literal(text, no_backslash_escapes=no_backslashes)
    assert read_string(token, not no_backslashes) == text


@fast
@given(
    nasty, st.sampled_from((TYPE_NEWDECIMAL, TYPE_DATE, TYPE_DATETIME, TYPE_TIME, TYPE_LONGLONG, TYPE_BLOB))
)
def test_no_type_lets_text_through(text: bytes, kind: int) -> None:
    try:
        token = literal(text, kind)
    except CommandError as error:
        assert error.number == 1367  # noqa: PT017
        return
    if kind == TYPE_LONGLONG:  # text bound as a number is a string to MySQL too
        assert read_string(token, True) == text
    else:
        assert re.fullmatch(rb"[-+]?[0-9.]+|_binary x'[0-9a-f]*'|(DATE|TIMESTAMP|TIME)?'[-0-9:. T]+'", token)


@pytest.mark.parametrize(
    ("value", "kind", "expected"),
    [
        (None, TYPE_NULL, b"NULL"),
        (-5, TYPE_LONGLONG, b"-5"),
        (2**64 - 1, TYPE_LONGLONG | UNSIGNED_PARAMETER, b"18446744073709551615"),
        (0.1, TYPE_DOUBLE, b"0.1e0"),
        (1e300, TYPE_DOUBLE, b"1e300"),
        (-2.0, TYPE_DOUBLE, b"-2e0"),
        (b"12.50", TYPE_NEWDECIMAL, b"12.50"),
        (b"1E+3", TYPE_NEWDECIMAL, b"1000"),
        (b"it's \\", TYPE_VAR_STRING, b"'it\\'s \\\\'"),
        (b"plain", TYPE_STRING, b"'plain'"),
        (b"\x00\xff", TYPE_BLOB, b"_binary x'00ff'"),
        (b"", TYPE_BLOB, b"_binary x''"),
        (b"2024-02-03", TYPE_DATE, b"DATE'2024-02-03'"),
        (b"2024-02-03 04:05:06.000007", TYPE_DATETIME, b"TIMESTAMP'2024-02-03 04:05:06.000007'"),
        (b"0000-00-00 00:00:00", TYPE_DATETIME, b"'0000-00-00 00:00:00'"),
        (b"2024-00-03", TYPE_DATE, b"'2024-00-03'"),
        (b"-838:59:59", TYPE_TIME, b"TIME'-838:59:59'"),
    ],
)
def test_literals(value: int | float | bytes | None, kind: int, expected: bytes) -> None:
    assert literal(value, kind) == expected


@pytest.mark.parametrize(
    ("value", "kind"),
    [
        (float("nan"), TYPE_DOUBLE),
        (float("-inf"), TYPE_DOUBLE),
        (b"1; drop table t", TYPE_NEWDECIMAL),
        (b"NaN", TYPE_NEWDECIMAL),
        (b"1E+999999", TYPE_NEWDECIMAL),
        (b"tomorrow", TYPE_DATE),
        (b"1:2:3'", TYPE_TIME),
    ],
)
def test_what_has_no_literal(value: float | bytes, kind: int) -> None:
    with pytest.raises(CommandError) as caught:
        literal(value, kind)
    assert (caught.value.number, caught.value.sqlstate) == (1367, "22007")


def test_character_sets_in_which_quotes_are_not_safe() -> None:
    assert quotes_safely(255)
    assert quotes_safely(8)
    assert not quotes_safely(28)
    assert literal(b"\xbf'", TYPE_STRING, hexadecimal=True) == b"x'bf27'"
