"""Query attributes: what a client sends along with a statement, read from one packet and put into another.

They travel as one block, that of a COM_QUERY: count, 1, NULL bits, 1, (type, name) of each, values.

Invariant: a block made here means the same to every MySQL, to the byte where the statement's text begins behind it.
What was sent is not copied but made anew: MySQL 9.7 reads a YEAR, an INT24 or an unknown type as a string with its
length, and a reader of another mind would take another part of the packet for the SQL. The value of such a type is
NULL, since that is what `mysql_query_attribute_string` makes of it.
Source: MySQL's "COM_QUERY" and "COM_STMT_EXECUTE"; what the manual leaves open, from a server's answers.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from typing import Final

from wire.binary import len_of_lenenc
from wire.constants import (
    PARAMETER_COUNT_AVAILABLE,
    TYPE_BLOB,
    TYPE_BOOL,
    TYPE_DATE,
    TYPE_DATETIME,
    TYPE_DECIMAL,
    TYPE_DOUBLE,
    TYPE_FLOAT,
    TYPE_JSON,
    TYPE_LONG,
    TYPE_LONG_BLOB,
    TYPE_LONGLONG,
    TYPE_MEDIUM_BLOB,
    TYPE_NEWDECIMAL,
    TYPE_SHORT,
    TYPE_STRING,
    TYPE_TIME,
    TYPE_TIMESTAMP,
    TYPE_TINY,
    TYPE_TINY_BLOB,
    TYPE_VAR_STRING,
    TYPE_VARCHAR,
    TYPE_VECTOR,
    UNSIGNED_PARAMETER,
)
from wire.errors import CommandError, malformed
from wire.packets import PayloadCursor, lenenc_bytes, lenenc_int, read_lenenc_bytes
from wire.parameters import MAX_PARAMETERS, read_types

NO_ATTRIBUTES: Final = b"\x00\x01"
"""The block where there are none, which COM_QUERY has all the same."""

_FIXED_SIZES: Final = {
    TYPE_TINY: 1,
    TYPE_SHORT: 2,
    TYPE_LONG: 4,
    TYPE_LONGLONG: 8,
    TYPE_FLOAT: 4,
    TYPE_DOUBLE: 8,
}
_DATETIME_SIZES: Final = (0, 4, 7, 11)
_TIME_SIZES: Final = (0, 8, 12)
_TEMPORAL: Final = {
    TYPE_DATE: _DATETIME_SIZES,
    TYPE_DATETIME: _DATETIME_SIZES,
    TYPE_TIMESTAMP: _DATETIME_SIZES,
    TYPE_TIME: _TIME_SIZES,
}
_TEXT: Final = frozenset((TYPE_VARCHAR, TYPE_VAR_STRING, TYPE_STRING))
_STRINGS: Final = _TEXT | {
    TYPE_DECIMAL, TYPE_NEWDECIMAL, TYPE_TINY_BLOB, TYPE_MEDIUM_BLOB, TYPE_LONG_BLOB, TYPE_BLOB, TYPE_JSON,
    TYPE_VECTOR,
}  # fmt: skip

_EXECUTE_HEAD_BYTES: Final = 5
"""Of what follows the statement's id: cursor flags, iterations."""

Attribute = tuple[int, bytes, bytes | None]
"""Type, name, the value's bytes on the wire (None: NULL)."""


def split_query(payload: bytes) -> tuple[bytes, bytes]:
    """Of a COM_QUERY with CLIENT_QUERY_ATTRIBUTES: the block, empty where there are no attributes, and the text.
    Raises CommandError 1835, after which MySQL goes on."""
    if payload[1:3] == NO_ATTRIBUTES:
        return b"", payload[3:]
    cursor = PayloadCursor(payload, "COM_QUERY", 1)
    count = cursor.lenenc_int()
    if cursor.lenenc_int() != 1:
        raise malformed("COM_QUERY with other than one set of parameters")
    if not count:
        return b"", cursor.rest()
    if count > MAX_PARAMETERS:
        raise malformed("too many query attributes")
    nulls = cursor.uint((count + 7) // 8)
    if not cursor.uint(1):
        raise unbound()
    types, names = read_types(cursor, count, True)
    found, cursor.at = read_attributes(payload, cursor.at, types, names, nulls)
    return build_block(found), cursor.rest()


def unbound() -> CommandError:
    """Attributes whose types are said to be known: MySQL remembers none of them."""
    return CommandError(1835, "HY000", "Malformed communication packet: query attributes without types")


def read_attributes(
    data: bytes, at: int, types: Sequence[int], names: Sequence[bytes], nulls: int
) -> tuple[list[Attribute], int]:
    """Attributes whose values begin at `at`, bit i of `nulls` for the i-th, and the offset after them. Raises
    ClientProtocolError 1835."""
    found: list[Attribute] = []
    for index, (type_, name) in enumerate(zip(types, names, strict=True)):
        if nulls >> index & 1:
            found.append((type_, name, None))
            continue
        start = at
        at = _end_of_value(type_ & ~UNSIGNED_PARAMETER, data, at)
        found.append((type_, name, data[start:at]))
    return found, at


def _end_of_value(kind: int, data: bytes, at: int) -> int:
    size = _FIXED_SIZES.get(kind)
    if size is None:
        if kind == TYPE_BOOL:
            raise malformed("a query attribute of no type")
        try:
            size = len_of_lenenc(data, at)
        except IndexError:
            raise malformed("value of a query attribute") from None
        sizes = _TEMPORAL.get(kind)
        if sizes is not None and data[at] not in sizes:
            raise malformed("value of a query attribute")
    if at + size > len(data):
        raise malformed("value of a query attribute")
    return at + size


def build_block(attributes: Sequence[Attribute]) -> bytes:
    """The block of these attributes, empty for none."""
    count = len(attributes)
    if not count:
        return b""
    nulls = 0
    named: list[bytes] = []
    values: list[bytes] = []
    for index, (type_, name, value) in enumerate(attributes):
        kind = type_ & ~UNSIGNED_PARAMETER
        if kind in _STRINGS and value is not None:
            value = lenenc_bytes(read_lenenc_bytes(value, 0)[0])  # a length has one form only
        elif kind not in _FIXED_SIZES and kind not in _TEMPORAL:
            type_, value = TYPE_STRING, None
        if value is None:
            nulls |= 1 << index
        else:
            values.append(value)
        named.append(type_.to_bytes(2, "little") + lenenc_bytes(name))
    bits = nulls.to_bytes((count + 7) // 8, "little")
    return b"".join((lenenc_int(count), b"\x01", bits, b"\x01", *named, *values))


def parse_block(block: bytes) -> list[Attribute]:
    """The attributes of a block."""
    if not block:
        return []
    cursor = PayloadCursor(block, "query attributes")
    count = cursor.lenenc_int()
    cursor.take(1)
    nulls = cursor.uint((count + 7) // 8)
    cursor.take(1)
    types, names = read_types(cursor, count, True)
    return read_attributes(block, cursor.at, types, names, nulls)[0]


def converted(block: bytes, convert: Callable[[bytes], bytes]) -> bytes:
    """The block with names and texts in another character set."""
    return build_block(
        [
            (
                type_,
                convert(name),
                lenenc_bytes(convert(read_lenenc_bytes(value, 0)[0]))
                if value is not None and type_ & ~UNSIGNED_PARAMETER in _TEXT
                else value,
            )
            for type_, name, value in parse_block(block)
        ]
    )


# ---- COM_STMT_EXECUTE


def unnamed(payload: bytes, count: int) -> bytes | None:
    """A COM_STMT_EXECUTE of a statement with `count` parameters from a client with CLIENT_QUERY_ATTRIBUTES as one
    without says it; None where it brings attributes, names or flags, or is not whole."""
    bound = 11 + (count + 7) // 8
    if (
        len(payload) <= bound
        or payload[10] != count
        or count > 250
        or payload[5] & ~PARAMETER_COUNT_AVAILABLE
    ):
        return None
    values, types = bound + 1, b""
    if payload[bound] == 1:
        values += 3 * count
        named = bytearray(payload[bound + 1 : values])
        if len(named) != 3 * count or any(named[2::3]):
            return None
        del named[2::3]
        types = bytes(named)
    return b"".join((payload[:5], b"\0", payload[6:10], payload[11 : bound + 1], types, payload[values:]))


def types_end(count: int) -> int:
    """Where in `params` (what follows the statement's id in an execution that binds `count` types without names) the
    values begin."""
    return _EXECUTE_HEAD_BYTES + (count + 7) // 8 + 1 + 2 * count


def named_types(head: bytes, count: int) -> bytes:
    """`head`, the `types_end` first bytes of an execution without query attributes, as CLIENT_QUERY_ATTRIBUTES has it:
    with the count, and an empty name for each type."""
    at = types_end(count) - 2 * count
    types = head[at:]
    named = b"".join([types[i : i + 2] + b"\0" for i in range(0, len(types), 2)])
    return head[:_EXECUTE_HEAD_BYTES] + lenenc_int(count) + head[_EXECUTE_HEAD_BYTES:at] + named


def with_attributes(params: bytes, count: int, block: bytes) -> bytes:
    """`params` as CLIENT_QUERY_ATTRIBUTES has it, with the attributes of `block` behind its `count` values."""
    attributes = parse_block(block)
    nulls = 0
    types = values = b""
    if count:
        end = types_end(count)
        at = end - 2 * count
        nulls = int.from_bytes(params[_EXECUTE_HEAD_BYTES : at - 1], "little")
        types = b"".join([params[i : i + 2] + b"\0" for i in range(at, end, 2)])
        values = params[end:]
    for index, (_, _, value) in enumerate(attributes, count):
        if value is None:
            nulls |= 1 << index
    total = count + len(attributes)
    return b"".join(
        (
            bytes((params[0] | PARAMETER_COUNT_AVAILABLE,)),
            params[1:_EXECUTE_HEAD_BYTES],
            lenenc_int(total),
            nulls.to_bytes((total + 7) // 8, "little"),
            b"\x01",
            types,
            *[type_.to_bytes(2, "little") + lenenc_bytes(name) for type_, name, _ in attributes],
            values,
            *[value for _, _, value in attributes if value is not None],
        )
    )
