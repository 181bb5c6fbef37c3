import struct

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import fast
from wire.binary import BinaryRowCodec, decoder, encode_value, value_size
from wire.columns import Column
from wire.constants import (
    TYPE_BIT,
    TYPE_BLOB,
    TYPE_DATE,
    TYPE_DATETIME,
    TYPE_DOUBLE,
    TYPE_FLOAT,
    TYPE_GEOMETRY,
    TYPE_INT24,
    TYPE_JSON,
    TYPE_LONG,
    TYPE_LONGLONG,
    TYPE_NEWDECIMAL,
    TYPE_NULL,
    TYPE_SHORT,
    TYPE_TIME,
    TYPE_TIMESTAMP,
    TYPE_TINY,
    TYPE_VAR_STRING,
    TYPE_YEAR,
    UNSIGNED_FLAG,
)
from wire.errors import ClientProtocolError, ServerProtocolError
from wire.results import binary_result

INTEGERS = {TYPE_TINY: 8, TYPE_SHORT: 16, TYPE_LONG: 32, TYPE_INT24: 32, TYPE_LONGLONG: 64}
TEXTS = (TYPE_NEWDECIMAL, TYPE_BLOB, TYPE_JSON, TYPE_BIT, TYPE_GEOMETRY, TYPE_VAR_STRING)

dates = st.builds(
    lambda y, m, d: b"%04d-%02d-%02d" % (y, m, d),
    st.integers(0, 9999),
    st.integers(0, 12),
    st.integers(0, 31),
)
clock = st.builds(
    lambda h, m, s: b"%02d:%02d:%02d" % (h, m, s), st.integers(0, 23), st.integers(0, 59), st.integers(0, 59)
)
micros = st.one_of(st.just(b""), st.integers(1, 999999).map(lambda u: b".%06d" % u))
datetimes = st.builds(lambda a, b, c: a + b" " + b + c, dates, clock, micros)
times = st.builds(
    lambda sign, h, m, s, u: b"%s%02d:%02d:%02d%s" % (sign if h or m or s or u else b"", h, m, s, u),
    st.sampled_from((b"", b"-")),
    st.integers(0, 838),
    st.integers(0, 59),
    st.integers(0, 59),
    micros,
)


@st.composite
def cell(draw: st.DrawFn) -> tuple[Column, int | float | bytes | None]:
    kind = draw(
        st.sampled_from(
            (*INTEGERS, *TEXTS, TYPE_YEAR, TYPE_DOUBLE, TYPE_FLOAT, TYPE_DATE, TYPE_TIMESTAMP, TYPE_TIME)
        )
    )
    unsigned = draw(st.booleans())
    column = Column(b"c", kind, flags=UNSIGNED_FLAG if unsigned else 0)
    if draw(st.integers(0, 4)) == 0:
        return column, None
    if kind in INTEGERS:
        bits = INTEGERS[kind]
        return column, draw(
            st.integers(0, 2**bits - 1) if unsigned else st.integers(-(2 ** (bits - 1)), 2 ** (bits - 1) - 1)
        )
    if kind == TYPE_YEAR:
        return column, draw(st.integers(0, 2155))
    if kind in (TYPE_DOUBLE, TYPE_FLOAT):
        return column, draw(st.floats(allow_nan=False, width=32 if kind == TYPE_FLOAT else 64))
    if kind in TEXTS:
        return column, draw(st.binary(max_size=300))
    return column, draw({TYPE_DATE: dates, TYPE_TIMESTAMP: datetimes, TYPE_TIME: times}[kind])


@fast
@given(st.lists(cell(), min_size=1, max_size=20))
def test_rows_of_all_types(cells: list[tuple[Column, int | float | bytes | None]]) -> None:
    columns = [column for column, _ in cells]
    values = [value for _, value in cells]
    codec = BinaryRowCodec(columns)
    payload = codec.encode(values)
    assert codec.decode(payload) == values
    for broken in (payload[:-1], payload + b"x", b"\1" + payload[1:], b""):
        try:
            assert codec.decode(broken) != values
        except ServerProtocolError:
            continue
    at = 1 + (len(columns) + 9) // 8
    for column, value in cells:
        if value is not None:
            at += value_size(column.type, payload, at)
    assert at == len(payload)


@fast
@given(st.lists(cell(), min_size=1, max_size=6), st.binary(max_size=60))
def test_noise_is_a_server_protocol_error(cells: list[tuple[Column, object]], noise: bytes) -> None:
    codec = BinaryRowCodec([column for column, _ in cells])
    try:
        codec.decode(noise)
    except ServerProtocolError:
        return
    assert noise[0] == 0


# from the manual's pages on binary values
@pytest.mark.parametrize(
    ("type_", "encoded", "text"),
    [
        (TYPE_DATETIME, "0bda070a11131b1e01000000", b"2010-10-17 19:27:30.000001"),
        (TYPE_DATETIME, "04da070a11", b"2010-10-17 00:00:00"),
        (TYPE_DATETIME, "00", b"0000-00-00 00:00:00"),
        (TYPE_DATE, "04da070a11", b"2010-10-17"),
        (TYPE_DATE, "00", b"0000-00-00"),
        (TYPE_TIME, "0c0178000000131b1e01000000"[:26], None),
        (TYPE_TIME, "080001000000131b1e", b"43:27:30"),
        (TYPE_TIME, "00", b"00:00:00"),
        (TYPE_TIME, "0801220000 0016 3b3b".replace(" ", ""), b"-838:59:59"),
        (TYPE_DOUBLE, "6666666666662440", 10.2),
        (TYPE_FLOAT, "33332341", struct.unpack("<f", b"\x33\x33\x23\x41")[0]),
        (TYPE_NULL, "", None),
    ],
)
def test_values_of_the_manual(type_: int, encoded: str, text: bytes | float | None) -> None:
    data = bytes.fromhex(encoded)
    if type_ == TYPE_TIME and text is None:
        with pytest.raises(ValueError, match="not a time"):  # 120 days, which no server can hold
            decoder(type_, False)(data, 0)
        return
    assert decoder(type_, False)(data, 0) == (text, len(data))
    if text is not None:
        assert encode_value(type_, text) == data


def test_fractional_digits_follow_the_column() -> None:
    column = Column(b"t", TYPE_TIME, decimals=3)
    codec = BinaryRowCodec([column])
    assert codec.decode(codec.encode([b"10:00:00"])) == [b"10:00:00.000"]
    assert codec.decode(codec.encode([b"10:00:00.12"])) == [b"10:00:00.120"]
    whole = BinaryRowCodec([Column(b"t", TYPE_DATETIME, decimals=0)])
    assert whole.decode(whole.encode([b"2020-01-02 03:04:05"])) == [b"2020-01-02 03:04:05"]


def test_the_null_bitmap_begins_at_bit_two() -> None:
    codec = BinaryRowCodec([Column(b"%d" % i, TYPE_TINY) for i in range(7)])
    payload = codec.encode([None, 1, 1, 1, 1, 1, None])
    assert payload == b"\0\x04\x01\x01\x01\x01\x01\x01"


def test_text_is_converted_to_the_type() -> None:
    assert encode_value(TYPE_LONGLONG, b"18446744073709551615", True) == b"\xff" * 8
    assert encode_value(TYPE_DOUBLE, "1.5") == struct.pack("<d", 1.5)
    assert encode_value(TYPE_NEWDECIMAL, 12) == b"\x0212"
    for kind, value in (
        (TYPE_TINY, 300),
        (TYPE_LONG, b"x"),
        (TYPE_DATE, b"today"),
        (TYPE_TIME, b"1"),
        (TYPE_TINY, -129),
    ):
        with pytest.raises(ClientProtocolError):
            encode_value(kind, value)


def test_binary_result() -> None:
    data = binary_result([Column(b"n", TYPE_LONGLONG)], [[7], [None]], 0)
    assert data.endswith(
        b"\x0a\0\0\x04\0\0\x07\0\0\0\0\0\0\0" + b"\x02\0\0\x05\0\x04" + b"\x05\0\0\x06\xfe\0\0\x02\0"
    )
