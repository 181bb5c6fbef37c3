"""Values of a SELECT as literals for a column: the pairs of types that are exact, and those that are refused."""

import pytest

from router.engine.assigning import Render, renders, routed
from router.engine.copying import CannotCopyError
from wire import constants as c
from wire.columns import Column

NAMES = {45: "utf8mb4", 8: "latin1", 35: "ucs2"}


def render(source: Column, kind: bytes, *, steady: bool = True, hidden: bool = False) -> Render:
    (found,) = renders(
        [source],
        [("t", kind)],
        lambda number: NAMES.get(number, ""),
        steady_zone=steady,
        hidden_digits=hidden,
    )
    return found


def column(type_: int, charset: int = 63, flags: int = 0) -> Column:
    return Column(b"x", type_, charset, 10, flags)


@pytest.mark.parametrize(
    ("source", "kind", "cell", "literal"),
    [
        (column(c.TYPE_LONG), b"bigint unsigned", b"-5", b"-5"),
        (column(c.TYPE_LONG, flags=c.ZEROFILL_FLAG), b"varchar(10)", b"00005", b"'00005'"),
        (column(c.TYPE_NEWDECIMAL), b"decimal(30,10)", b"12345678901234567890.01", b"12345678901234567890.01"),
        (column(c.TYPE_NEWDECIMAL), b"varchar(2)", b"1.50", b"'1.50'"),
        # a decimal would round 2.5 to 3, a double does to 2
        (column(c.TYPE_DOUBLE), b"int", b"2.5", b"2.5e0"),
        (column(c.TYPE_DOUBLE), b"double", b"1e20", b"1e20"),
        (column(c.TYPE_DOUBLE), b"varchar(100)", b"1e20", b"'1e20'"),
        (column(c.TYPE_YEAR), b"year", b"0000", b"0000"),
        (column(c.TYPE_BIT), b"bit(17)", b"\x01\x00\x01", b"65537"),
        (column(c.TYPE_BIT), b"blob", b"\x01", b"_binary x'01'"),
        (column(c.TYPE_DATE), b"datetime(6)", b"2024-02-29", b"'2024-02-29'"),
        (column(c.TYPE_DATETIME), b"date", b"2024-02-29 23:59:59", b"'2024-02-29 23:59:59'"),
        (column(c.TYPE_TIME), b"time(6)", b"-838:59:58.999999", b"'-838:59:58.999999'"),
        (column(c.TYPE_TIMESTAMP), b"timestamp", b"2024-02-29 23:59:59", b"'2024-02-29 23:59:59'"),
        (column(c.TYPE_TIMESTAMP), b"text", b"2024-02-29 23:59:59", b"'2024-02-29 23:59:59'"),
        # not x'': that is a number where a number is wanted
        (column(c.TYPE_VAR_STRING), b"int", b"12", b"_binary x'3132'"),
        (column(c.TYPE_VAR_STRING, 8), b"varchar(5)", b"\xe9", b"_latin1 x'e9'"),
        (column(c.TYPE_BLOB, 45), b"json", b"[]", b"_utf8mb4 x'5b5d'"),
        (column(c.TYPE_STRING, 45, c.ENUM_FLAG), b"enum('a')", b"a", b"_utf8mb4 x'61'"),
        (column(c.TYPE_JSON, 45), b"json", b'[-2.5]', b"_utf8mb4 x'5b2d322e355d'"),
    ],
)  # fmt: skip
def test_exact(source: Column, kind: bytes, cell: bytes, literal: bytes) -> None:
    assert render(source, kind)(cell) == literal


@pytest.mark.parametrize(
    ("source", "kind", "cell"),
    [
        (column(c.TYPE_FLOAT), b"float", b"0.1"),
        (column(c.TYPE_DOUBLE), b"varchar(20)", b"0.1"),
        (column(c.TYPE_TIME), b"datetime", b"10:00:00"),
        (column(c.TYPE_DATETIME), b"bigint", b"2024-02-29 23:59:59"),
        (column(c.TYPE_DATETIME), b"time", b"2024-02-29 23:59:59"),
        (column(c.TYPE_DATETIME), b"date", b"2024-02-29 23:59:59.500000"),
        (column(c.TYPE_STRING, 45, c.ENUM_FLAG), b"int", b"a"),
        (column(c.TYPE_STRING, 45, c.SET_FLAG), b"blob", b"a"),
        (column(c.TYPE_VAR_STRING, 999), b"text", b"a"),
        (column(c.TYPE_JSON, 45), b"int", b"1"),
        (column(c.TYPE_JSON, 45), b"json", b'{"a": 1.50}'),
        (column(c.TYPE_JSON, 45), b"json", b'["2024-02-29"]'),
        (column(c.TYPE_JSON, 45), b"json", b'["base64:type15:eA=="]'),
        (column(c.TYPE_GEOMETRY), b"point", b"x"),
        (column(c.TYPE_VAR_STRING), b"point", b"x"),
        (column(c.TYPE_LONG), b"int", b"1 or 1"),
    ],
)
def test_refused(source: Column, kind: bytes, cell: bytes) -> None:
    with pytest.raises(CannotCopyError):
        render(source, kind)(cell)


def test_a_timestamp_needs_a_zone_in_which_no_hour_comes_twice() -> None:
    with pytest.raises(CannotCopyError, match="time_zone"):
        render(column(c.TYPE_TIMESTAMP), b"timestamp", steady=False)(b"2024-02-29 23:59:59")
    assert render(column(c.TYPE_TIMESTAMP), b"datetime", steady=False)(b"2024-02-29 23:59:59")


def test_what_is_computed_with_more_digits_than_it_shows() -> None:
    decimal = column(c.TYPE_NEWDECIMAL)
    for kind in (b"decimal(20,10)", b"int", b"varchar(20)"):
        with pytest.raises(CannotCopyError, match=r"CAST\("):
            render(decimal, kind, hidden=True)(b"0.3333")
    stored = Column(b"x", c.TYPE_NEWDECIMAL, 63, 10, 0, 2, b"db", b"t", b"t", b"x")
    assert render(stored, b"decimal(20,10)", hidden=True)(b"1.50") == b"1.50"
    double = Column(b"x", c.TYPE_DOUBLE, 63, 10, 0, 2)
    with pytest.raises(CannotCopyError, match="0e0"):
        render(double, b"double")(b"1.88")


@pytest.mark.parametrize(
    ("source", "kind", "cell", "literal"),
    [
        (column(c.TYPE_VAR_STRING, 8), b"varchar(5)", b"\xe9", b"_latin1 x'e9'"),
        (column(c.TYPE_VAR_STRING, 45), b"varchar(5)", b"\xc3\xa9", b"_utf8mb4 x'c3a9'"),
        (column(c.TYPE_VAR_STRING), b"varchar(5)", b"a", b"_utf8mb4 x'61'"),
        (column(c.TYPE_VAR_STRING), b"bigint(20)", b"5", b"_utf8mb4 x'35'"),
        (column(c.TYPE_VAR_STRING), b"varbinary(5)", b"\xe9", b"_binary x'e9'"),
        (column(c.TYPE_VAR_STRING, 8), b"varbinary(5)", b"\xe9", b"_binary x'e9'"),
        (column(c.TYPE_VAR_STRING, 35), b"varbinary(5)", b"\0a", b"_binary x'0061'"),
        (column(c.TYPE_LONG), b"bigint(20)", b"-5", b"-5"),
    ],
)
def test_a_value_that_names_a_shard(source: Column, kind: bytes, cell: bytes, literal: bytes) -> None:
    assert routed(render(source, kind), kind)(cell) == literal


@pytest.mark.parametrize(
    ("source", "cell"),
    [
        (column(c.TYPE_VAR_STRING, 35), b"\0a"),  # the router does not read ucs2
        (column(c.TYPE_VAR_STRING, 8), b"\x81"),  # MySQL's latin1 has it, cp1252 has not
        (column(c.TYPE_VAR_STRING), b"\xe9"),  # any character, as the column's character set is
    ],
)
def test_a_value_that_names_no_certain_shard(source: Column, cell: bytes) -> None:
    with pytest.raises(CannotCopyError, match="utf8mb4"):
        routed(render(source, b"varchar(5)"), b"varchar(5)")(cell)
