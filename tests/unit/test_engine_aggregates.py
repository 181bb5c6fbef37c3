"""Aggregates put together as MySQL computes and prints them."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SluiceError
from router.engine.affected import combine_info, combine_oks
from router.engine.aggregates import combiners
from router.engine.numbers import average_length, decimal_text, divide_decimals, double_text
from router.plan.plans import Aggregate
from wire.answers import Ok
from wire.columns import Column, number_column
from wire.constants import (
    CHARSET_BINARY,
    CHARSET_UTF8MB4,
    ENUM_FLAG,
    TYPE_DOUBLE,
    TYPE_LONGLONG,
    TYPE_NEWDECIMAL,
    TYPE_STRING,
    TYPE_TIME,
    TYPE_VAR_STRING,
    UNSIGNED_FLAG,
)

COUNT = number_column("n", TYPE_LONGLONG)


def fold(columns, aggregate, rows):
    [combiner] = combiners(columns, [aggregate])
    state = combiner.first(list(rows[0]))
    for row in rows[1:]:
        state = combiner.fold(state, list(row))
    out = list(rows[0])
    combiner.store(state, out)
    return out, combiner.column


@pytest.mark.parametrize(
    ("value", "text"),
    [  # as MySQL 9.7 and MariaDB 10.11 print them
        (1e14, b"100000000000000"),
        (1e15, b"1e15"),
        (999999999999999.0, b"999999999999999"),
        (1000000000000001.0, b"1.000000000000001e15"),
        (123456789012345680000.0, b"1.2345678901234568e20"),
        (1e-4, b"0.0001"),
        (1e-5, b"0.00001"),
        (1.5e-15, b"0.0000000000000015"),
        (-1.2345678901234567e-14, b"-0.000000000000012345678901234567"),
        (1e-16, b"1e-16"),
        (0.1, b"0.1"),
        (1.7976931348623157e308, b"1.7976931348623157e308"),
        (5e-324, b"5e-324"),
        (-0.0, b"-0"),
        (0.0, b"0"),
        (123456789.0, b"123456789"),
        (-2.5, b"-2.5"),
        (123456789012345.67, b"123456789012345.67"),
        (1939055191676315.5, b"1939055191676315.5"),
        (9999999999999998.0, b"9.999999999999998e15"),
        (float("inf"), b"0"),
    ],
)
def test_doubles_are_printed_as_mysql_does(value, text):
    assert double_text(value) == text


@given(st.floats(allow_nan=False, allow_infinity=False))
def test_printed_doubles_read_back(value):
    assert float(double_text(value)) == value


def test_fixed_scales():
    assert double_text(2.0, 2) == b"2.00"
    assert decimal_text(Decimal("-0.004"), 2) == b"0.00"
    assert decimal_text(Decimal("1E+3"), 0) == b"1000"
    assert divide_decimals(Decimal("3.00009"), 2, 9) == Decimal("1.500045000")
    assert divide_decimals(Decimal(-1), 3, 4) == Decimal("-0.3333")
    assert divide_decimals(Decimal(1), 32, 4) == Decimal("0.0313"), "half goes away from zero"
    assert [average_length(*args, 4) for args in ((33, 0), (34, 3), (27, 0), (24, 0))] == [16, 16, 10, 7]


def test_count_and_sum_are_exact():
    assert fold([COUNT], Aggregate("count", 0), [[b"9007199254740993"], [b"1"], [None]])[0] == [
        b"9007199254740994"
    ]
    total = number_column("s", TYPE_NEWDECIMAL, decimals=3)
    rows = [[b"18446744073709551615.001"], [None], [b"18446744073709551615.002"]]
    assert fold([total], Aggregate("sum", 0), rows)[0] == [b"36893488147419103230.003"]
    assert fold([total], Aggregate("sum", 0), [[None], [None]])[0] == [None]
    double = number_column("s", TYPE_DOUBLE, decimals=31)
    assert fold([double], Aggregate("sum", 0), [[b"0.1"], [b"0.2"]])[0] == [b"0.30000000000000004"]


def test_average():
    total = number_column("s", TYPE_NEWDECIMAL, decimals=3, length=34)
    out, column = fold(
        [total, COUNT], Aggregate("avg", 0, 1), [[b"1.500", b"2"], [None, b"0"], [b"-0.500", b"1"]]
    )
    assert out == [b"0.3333333", b"3"]
    assert (column.decimals, column.length) == (7, 16)
    double = number_column("s", TYPE_DOUBLE, decimals=31)
    assert (
        fold([double, COUNT], Aggregate("avg", 0, 1), [[b"1", b"2"], [b"1", b"1"]])[0][0]
        == b"0.6666666666666666"
    )
    fixed = number_column("s", TYPE_DOUBLE, decimals=2)
    out, column = fold([fixed, COUNT], Aggregate("avg", 0, 1), [[b"1.00", b"3"]])
    assert out[0] == b"0.333333"
    assert column.decimals == 6
    assert fold([total, COUNT], Aggregate("avg", 0, 1), [[None, b"0"]])[0] == [None, b"0"]


def test_least_and_greatest():
    unsigned = number_column("m", TYPE_LONGLONG, UNSIGNED_FLAG)
    rows = [[None], [b"9"], [b"18446744073709551615"], [b"10"]]
    assert fold([unsigned], Aggregate("max", 0), rows)[0] == [b"18446744073709551615"]
    assert fold([unsigned], Aggregate("min", 0), rows)[0] == [b"9"]
    time = number_column("m", TYPE_TIME)
    assert fold([time], Aggregate("min", 0), [[b"-01:00:00"], [b"-100:00:00"]])[0] == [b"-100:00:00"]
    text = Column(b"m", TYPE_VAR_STRING, CHARSET_UTF8MB4)
    weight = Column(b"w", TYPE_VAR_STRING, CHARSET_BINARY)
    rows = [[b"b", b"B"], [b"a", b"A"], [None, None]]
    assert fold([text, weight], Aggregate("min", 0, weight=1), rows)[0] == [b"a", b"A"]
    enum = Column(b"m", TYPE_STRING, CHARSET_UTF8MB4, 4, ENUM_FLAG)
    assert fold([enum, weight], Aggregate("max", 0, weight=1), rows)[0] == [b"b", b"B"]


def test_what_cannot_be_combined_is_refused():
    with pytest.raises(SluiceError, match="group_concat"):
        combiners([COUNT], [Aggregate("group_concat", 0)])
    with pytest.raises(SluiceError, match="SUM"):
        combiners([number_column("t", TYPE_TIME)], [Aggregate("sum", 0)])


def test_oks_of_a_write():
    one = Ok(3, 0, 2, 1, b"Rows matched: 4  Changed: 3  Warnings: 1")
    two = Ok(1, 7, 3, 0, b"Rows matched: 1  Changed: 1  Warnings: 0")
    whole = combine_oks([one, two])
    assert whole == Ok(4, 7, 3, 1, b"Rows matched: 5  Changed: 4  Warnings: 1")
    assert combine_oks([one, two], status=1).status == 1
    assert combine_info([b"", b""]) == b""
    assert combine_info(
        [b"Records: 2  Duplicates: 0  Warnings: 0", b"", b"Records: 3  Duplicates: 1  Warnings: 0"]
    ) == (b"Records: 5  Duplicates: 1  Warnings: 0")
    assert combine_info([b"something", b"else: 4"]) == b"something"
    with pytest.raises(ValueError, match="no answers"):
        combine_oks([])
