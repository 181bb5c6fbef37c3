"""Values of the binary protocol, as prepared statements send and get them.

A value is None, int, float or bytes; decimals and dates are bytes too, in exactly the text that the text protocol
has for them, because `datetime` can hold neither '0000-00-00' nor '-838:59:59'. So a binary row and a text row of
the same data merge, and a bound parameter compares equal to the same literal.
Source: MySQL internals, "Binary Protocol Resultset" and "Binary Protocol Value".
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from struct import Struct
from struct import error as StructError
from typing import Final

from wire import temporal
from wire.columns import Column
from wire.constants import (
    TYPE_BOOL,
    TYPE_DATE,
    TYPE_DATETIME,
    TYPE_DOUBLE,
    TYPE_FLOAT,
    TYPE_INT24,
    TYPE_LONG,
    TYPE_LONGLONG,
    TYPE_NEWDATE,
    TYPE_NULL,
    TYPE_SHORT,
    TYPE_TIME,
    TYPE_TIMESTAMP,
    TYPE_TINY,
    TYPE_YEAR,
)
from wire.errors import broken_answer, malformed
from wire.packets import lenenc_bytes, read_lenenc_bytes
from wire.rows import Cell, Value, value_text

BinaryValue = int | float | bytes | None

# (signed, unsigned) by type
INTEGERS: Final[dict[int, tuple[Struct, Struct]]] = {
    TYPE_TINY: (Struct("<b"), Struct("<B")),
    TYPE_BOOL: (Struct("<b"), Struct("<B")),
    TYPE_SHORT: (Struct("<h"), Struct("<H")),
    TYPE_YEAR: (Struct("<H"), Struct("<H")),
    TYPE_LONG: (Struct("<i"), Struct("<I")),
    TYPE_INT24: (Struct("<i"), Struct("<I")),
    TYPE_LONGLONG: (Struct("<q"), Struct("<Q")),
}
FLOATS: Final[dict[int, Struct]] = {TYPE_FLOAT: Struct("<f"), TYPE_DOUBLE: Struct("<d")}
DATES: Final = frozenset((TYPE_DATE, TYPE_NEWDATE, TYPE_DATETIME, TYPE_TIMESTAMP))
FIXED_SIZES: Final[dict[int, int]] = {
    **{kind: pair[0].size for kind, pair in INTEGERS.items()},
    **{kind: codec.size for kind, codec in FLOATS.items()},
}

Decoder = Callable[[bytes, int], tuple[BinaryValue, int]]
"""(data, offset) -> (value, offset after it); IndexError, ValueError or struct.error where data is wrong."""


def decoder(type: int, unsigned: bool, decimals: int = 31) -> Decoder:
    """The function that reads a value of that column or parameter type.

    `decimals` 0 to 6 fixes the fractional digits of times; anything else shows six if there is a fraction.
    """
    if type in INTEGERS or type in FLOATS:
        codec = FLOATS[type] if type in FLOATS else INTEGERS[type][unsigned]
        unpack, size = codec.unpack_from, codec.size

        def fixed(data: bytes, at: int) -> tuple[BinaryValue, int]:
            value: int | float = unpack(data, at)[0]
            return value, at + size

        return fixed
    if type in DATES:
        date_only = type in (TYPE_DATE, TYPE_NEWDATE)
        return lambda data, at: temporal.read_datetime(data, at, date_only, decimals)
    if type == TYPE_TIME:
        return lambda data, at: temporal.read_time(data, at, decimals)
    if type == TYPE_NULL:
        return lambda data, at: (None, at)
    return read_lenenc_bytes


def value_size(type: int, data: bytes, at: int) -> int:
    """Bytes that a value of that parameter type takes at `at`, its own length included. IndexError if cut."""
    if (size := FIXED_SIZES.get(type)) is not None:
        return size
    if type in DATES or type == TYPE_TIME:
        return data[at] + 1
    if type == TYPE_NULL:
        return 0
    return len_of_lenenc(data, at)


def len_of_lenenc(data: bytes, at: int) -> int:
    """Whole size in bytes of the length-encoded string at `at`. IndexError if its length is cut or no length."""
    first = data[at]
    if first < 251:
        return first + 1
    width = {0xFC: 2, 0xFD: 3, 0xFE: 8}.get(first)
    if width is None or at + 1 + width > len(data):
        raise IndexError("length-encoded string is cut")
    return int.from_bytes(data[at + 1 : at + 1 + width], "little") + 1 + width


def encode_value(type: int, value: Cell, unsigned: bool = False) -> bytes:
    """A value that is not NULL in the encoding of `type`; text and bytes are converted where the type is a number
    or a time. Raises ClientProtocolError 1210 if it does not fit."""
    try:
        if type in INTEGERS:
            if isinstance(value, (str, bytes)):
                value = int(value)
            return INTEGERS[type][unsigned].pack(value)
        if type in FLOATS:
            return FLOATS[type].pack(float(value))
        if type in DATES:
            return temporal.write_datetime(value_text(value))
        if type == TYPE_TIME:
            return temporal.write_time(value_text(value))
        if type == TYPE_NULL:
            return b""
        return lenenc_bytes(value_text(value))
    except (ValueError, OverflowError, ArithmeticError, StructError) as error:
        raise malformed(f"value {value!r:.40} does not fit its type {type}: {error}") from None


class BinaryRowCodec:
    """Reads and writes binary rows of one result set; make one a result set, not one a row."""

    __slots__ = ("_bitmap_size", "_columns", "_decoders")

    def __init__(self, columns: Sequence[Column]) -> None:
        self._columns = tuple(columns)
        self._bitmap_size = (len(self._columns) + 9) // 8
        self._decoders = [decoder(column.type, column.unsigned, column.decimals) for column in columns]

    def decode(self, payload: bytes) -> list[BinaryValue]:
        """The values of one row. Raises ServerProtocolError."""
        at = 1 + self._bitmap_size
        if len(payload) < at or payload[0] != 0:
            raise broken_answer("binary row")
        # the bitmap's first two bits are unused
        nulls = int.from_bytes(payload[1:at], "little") >> 2
        values: list[BinaryValue] = []
        try:
            for read in self._decoders:
                if nulls & 1:
                    values.append(None)
                else:
                    value, at = read(payload, at)
                    values.append(value)
                nulls >>= 1
        except (IndexError, ValueError, StructError):
            raise broken_answer("binary row") from None
        if at != len(payload):
            raise broken_answer("binary row")
        return values

    def encode(self, values: Sequence[Value]) -> bytes:
        """The payload of one row; values as in text rows are converted to the columns' types."""
        nulls = 0
        parts: list[bytes] = []
        for index, (column, value) in enumerate(zip(self._columns, values, strict=True)):
            if value is None:
                nulls |= 4 << index
            else:
                parts.append(encode_value(column.type, value, column.unsigned))
        return b"\0" + nulls.to_bytes(self._bitmap_size, "little") + b"".join(parts)
