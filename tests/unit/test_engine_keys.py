"""Keys compare as MySQL compares: types, collations by weight, padding, NULL."""

from decimal import Decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SluiceError
from router.engine.keys import order_key, pad_weight, padded_key, part, time_micros
from router.plan.plans import OrderKey
from wire.columns import Column, number_column
from wire.constants import (
    BINARY_FLAG,
    CHARSET_BINARY,
    CHARSET_UTF8MB4,
    ENUM_FLAG,
    TYPE_BIT,
    TYPE_DATETIME,
    TYPE_DOUBLE,
    TYPE_JSON,
    TYPE_LONGLONG,
    TYPE_NEWDECIMAL,
    TYPE_STRING,
    TYPE_TIME,
    TYPE_VAR_STRING,
    TYPE_YEAR,
    UNSIGNED_FLAG,
)
from wire.errors import ServerProtocolError

WEIGHT = Column(b"w", TYPE_VAR_STRING, CHARSET_BINARY)
TEXT = Column(b"t", TYPE_VAR_STRING, CHARSET_UTF8MB4)


def column(kind, flags=0, charset=CHARSET_BINARY):
    return Column(b"c", kind, charset, 20, flags)


def ordered(definition, values):
    key = order_key([definition], [OrderKey(0)])
    return sorted(values, key=lambda value: key([value]))


@pytest.mark.parametrize(
    ("definition", "values"),
    [
        (column(TYPE_LONGLONG), [None, b"-9223372036854775808", b"-5", b"9", b"10"]),
        (column(TYPE_LONGLONG, UNSIGNED_FLAG), [b"0", b"9223372036854775807", b"18446744073709551615"]),
        (column(TYPE_NEWDECIMAL), [b"-10.5", b"-9.123456789012345678901234567891", b"0.00", b"9", b"10"]),
        (column(TYPE_DOUBLE), [None, b"-1e300", b"-2.5", b"3e-5", b"9", b"1e15"]),
        (column(TYPE_YEAR), [b"0000", b"1999", b"2020"]),
        (
            column(TYPE_TIME),
            [b"-838:59:59.000000", b"-10:00:00", b"-00:00:00.5", b"00:00:00", b"09:00:00", b"100:00:00"],
        ),
        (column(TYPE_DATETIME), [b"0000-00-00 00:00:00", b"1999-12-31 23:59:59", b"2000-01-01 00:00:00"]),
        (column(TYPE_BIT), [b"\x00\x05", b"\x01\x00"]),
        (column(TYPE_BIT, BINARY_FLAG), [b"5", b"10"]),
        (column(TYPE_VAR_STRING), [None, b"", b"B", b"a", b"a ", b"\xff"]),
    ],
)
def test_order_by_type(definition, values):
    assert ordered(definition, list(reversed(values))) == values
    key = order_key([definition], [OrderKey(0, descending=True)])
    assert sorted(values, key=lambda value: key([value])) == list(reversed(values))


def test_equal_values_have_equal_keys():
    for definition, one, other in (
        (column(TYPE_DOUBLE), b"-0", b"0"),
        (column(TYPE_NEWDECIMAL), b"1.0", b"1.00"),
        (column(TYPE_LONGLONG), b"00042", b"42"),
        (column(TYPE_TIME), b"01:00:00", b"01:00:00.000"),
    ):
        key = order_key([definition], [OrderKey(0)])
        assert key([one]) == key([other])
        assert hash(key([one])) == hash(key([other]))


def test_text_goes_by_its_weight():
    key = order_key([TEXT, WEIGHT], [OrderKey(0, weight=1)])
    assert key([b"a", b"\x1c\x47"]) == key([b"A", b"\x1c\x47"])
    assert key([None, None]) < key([b"", b""]) < key([b"Z", b"\x01"])
    with pytest.raises(SluiceError, match="no weight"):
        key([b"a", None])
    with pytest.raises(SluiceError, match="text column 't'"):
        order_key([TEXT], [OrderKey(0)])


def test_numbers_ignore_weights():
    key = order_key([column(TYPE_LONGLONG), WEIGHT], [OrderKey(0, weight=1)])
    assert key([b"7", None]) == key([b"7", b"\x80"])


def test_enum_goes_by_its_index():
    enum = Column(b"e", TYPE_STRING, CHARSET_UTF8MB4, 4, ENUM_FLAG)
    number = number_column("e+0", TYPE_DOUBLE)
    by_number = part([enum, number], 0, 1, enum_weights=False)
    assert by_number([b"z", b"1"]) < by_number([b"a", b"2"])
    by_weight = part([enum, WEIGHT], 0, 1)
    assert by_weight([b"z", b"\x80\0\0\0\0\0\0\x01"]) < by_weight([b"a", b"\x80\0\0\0\0\0\0\x02"])
    with pytest.raises(SluiceError, match="ENUM") as caught:
        part([enum, WEIGHT], 0, 1, enum_weights=False)
    assert caught.value.number == 1235


def test_json_is_refused():
    with pytest.raises(SluiceError, match="JSON"):
        part([column(TYPE_JSON), WEIGHT], 0, 1)


def test_time_micros():
    assert time_micros(b"-838:59:59.999999") == -(838 * 3600 + 59 * 60 + 59) * 10**6 - 999999
    assert time_micros(b"00:00:00.05") == 50_000


def _padded_less(one: bytes, other: bytes, space: bytes) -> bool:
    width = max(len(one), len(other)) + len(space)
    return (one + space * width)[:width] < (other + space * width)[:width]


@given(
    st.lists(st.integers(0x1E, 0x22), max_size=6),
    st.lists(st.integers(0x1E, 0x22), max_size=6),
    st.integers(1, 3),
)
def test_padding_collations_compare_as_if_padded_without_end(one, other, width):
    space = b"\0" * (width - 1) + b"\x20"
    left = b"".join(unit.to_bytes(width, "big") for unit in one)
    right = b"".join(unit.to_bytes(width, "big") for unit in other)
    a, b = pad_weight(left, space), pad_weight(right, space)
    assert (a < b) == _padded_less(left, right, space)
    assert (b < a) == _padded_less(right, left, space)
    equal = not _padded_less(left, right, space) and not _padded_less(right, left, space)
    assert (a == b) == equal
    if equal:
        assert hash(a) == hash(b)
    columns = [TEXT, WEIGHT, WEIGHT]
    key = order_key(columns, [OrderKey(0, 1, True, 2)])
    assert (key([b"", left, space]) < key([b"", right, space])) == _padded_less(right, left, space)


def test_levels_of_a_weight_are_compared_one_after_the_other():
    space = bytes.fromhex("020900200002")
    a, upper, a_space, ab, accent = (
        padded_key(bytes.fromhex(weight), space)
        for weight in (
            "207500200002",
            "207500200008",
            "207502090020002000020002",
            "2075208F0020002000020002",
            "20750020002400020002",
        )
    )
    assert a == a_space < upper < accent < ab
    binary = bytes.fromhex("00000020")
    assert padded_key(bytes.fromhex("0000004100000020"), binary) == bytes.fromhex("00000041")


def test_values_that_do_not_fit_are_not_guessed():
    key = order_key([column(TYPE_LONGLONG)], [OrderKey(0)])
    with pytest.raises(ServerProtocolError):
        key([b"abc"])
    assert Decimal("1.5") == order_key([column(TYPE_NEWDECIMAL)], [OrderKey(0)])([b"1.50"])[1]
