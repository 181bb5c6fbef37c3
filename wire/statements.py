"""Commands of prepared statements: read from a client, and made anew for a MySQL connection.

Invariants: values are decoded only when asked for; an Execute rebuilt for another statement id means exactly what
the client's meant (types always bound, long data inlined); the wire's own bytes are copied when nothing changes.
Source: MySQL internals, "COM_STMT_EXECUTE": with CLIENT_QUERY_ATTRIBUTES negotiated the count of parameters is in
the packet and each type carries a name.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from struct import Struct

from wire.binary import BinaryValue, encode_value
from wire.constants import (
    CLIENT_QUERY_ATTRIBUTES,
    COM_STMT_EXECUTE,
    CURSOR_TYPE_FOR_UPDATE,
    CURSOR_TYPE_READ_ONLY,
    CURSOR_TYPE_SCROLLABLE,
    PARAMETER_COUNT_AVAILABLE,
    TYPE_LONG_BLOB,
    TYPE_NULL,
    UNSIGNED_PARAMETER,
)
from wire.errors import CommandError, malformed
from wire.packets import PayloadCursor, lenenc_bytes, lenenc_int
from wire.parameters import MAX_PARAMETERS, read_types, read_values, value_slices
from wire.query_attributes import build_block, read_attributes, unbound
from wire.rows import Value

_EXECUTE_HEAD = Struct("<BIBI")
_NO_LONG_DATA: Mapping[int, bytes] = {}


@dataclass(frozen=True, slots=True)
class LongData:
    statement_id: int
    parameter: int
    data: bytes


@dataclass(frozen=True, slots=True)
class Fetch:
    statement_id: int
    row_count: int


@dataclass(frozen=True, slots=True)
class Execute:
    """A COM_STMT_EXECUTE. `types` are those to remember for the next one; `nulls` has bit i for parameter i.

    `values_at` is where the values begin in `payload`; `attributes` is the block of the query attributes sent along
    (`wire.query_attributes`), empty for none.
    """

    payload: bytes
    statement_id: int
    flags: int
    parameter_count: int
    types: tuple[int, ...]
    nulls: int
    values_at: int
    values_end: int
    long_data: Mapping[int, bytes]
    attributes: bytes = b""

    @property
    def wants_cursor(self) -> bool:
        return bool(self.flags & (CURSOR_TYPE_READ_ONLY | CURSOR_TYPE_FOR_UPDATE | CURSOR_TYPE_SCROLLABLE))

    def values(self) -> list[BinaryValue]:
        """The statement's parameters, long data in its place. Raises ClientProtocolError 1835."""
        # Bytes may follow: node's mysql2 sends one for each NULL, and MySQL does not mind.
        values, _ = read_values(self.payload, self.values_at, self.types, self.nulls, self.long_data)
        for index, data in self.long_data.items():
            values[index] = data
        return values


def parse_prepare(payload: bytes) -> bytes:
    """The SQL of a COM_STMT_PREPARE."""
    return payload[1:]


def statement_id(payload: bytes) -> int:
    """The statement of COM_STMT_EXECUTE, _CLOSE, _RESET, _SEND_LONG_DATA and _FETCH alike."""
    if len(payload) < 5:
        raise malformed("COM_STMT without a statement id")
    return int.from_bytes(payload[1:5], "little")


def parse_execute(
    payload: bytes,
    parameter_count: int,
    known_types: Sequence[int] | None = None,
    long_data: Mapping[int, bytes] = _NO_LONG_DATA,
    caps: int = 0,
) -> Execute:
    """Parses a COM_STMT_EXECUTE of a statement with `parameter_count` placeholders, not its values.

    `known_types`: the types of the last Execute of this statement, for a client that does not send them again.
    `long_data`: what COM_STMT_SEND_LONG_DATA brought, by parameter. CommandError 1210 where types were never sent
    and not all values are NULL.
    """
    if len(payload) < 10:
        raise malformed("COM_STMT_EXECUTE")
    _, statement, flags, _ = _EXECUTE_HEAD.unpack_from(payload)
    attributes = bool(caps & CLIENT_QUERY_ATTRIBUTES)
    count = parameter_count
    if not count and not (attributes and flags & PARAMETER_COUNT_AVAILABLE):
        return _without_parameters(payload, statement, flags)
    cursor = PayloadCursor(payload, "COM_STMT_EXECUTE", 10)
    if attributes:
        count = cursor.lenenc_int()
        if not parameter_count <= count <= MAX_PARAMETERS:
            raise CommandError(1210, "HY000", "Incorrect arguments to mysqld_stmt_execute")
        if not count:
            return _without_parameters(payload, statement, flags)
    nulls = cursor.uint((count + 7) // 8)
    names: tuple[bytes, ...] = ()
    if cursor.uint(1):
        types, names = read_types(cursor, count, attributes)
    elif count > parameter_count:
        raise unbound()
    elif known_types is not None and len(known_types) == count:
        types = tuple(known_types)
    elif nulls == (1 << count) - 1:
        types = (TYPE_NULL,) * count  # Connector/J sends no types where each value is NULL from the first on
    else:
        raise CommandError(1210, "HY000", "Incorrect arguments to mysqld_stmt_execute")
    # as in MySQL, long data sent for a parameter wins over a NULL bit
    usable = (
        {index: data for index, data in long_data.items() if index < parameter_count}
        if long_data
        else long_data
    )
    for index in usable:
        nulls &= ~(1 << index)
    at, end, block = cursor.at, len(payload), b""
    if count > parameter_count:
        types, of_attributes = types[:parameter_count], types[parameter_count:]
        _, end = value_slices(payload, at, types, nulls, usable)
        found, _ = read_attributes(
            payload, end, of_attributes, names[parameter_count:], nulls >> parameter_count
        )
        nulls &= (1 << parameter_count) - 1
        block = build_block(found)
    return Execute(payload, statement, flags, parameter_count, types, nulls, at, end, usable, block)


def _without_parameters(payload: bytes, statement: int, flags: int) -> Execute:
    return Execute(payload, statement, flags, 0, (), 0, len(payload), len(payload), _NO_LONG_DATA)


def rebuild_execute(execute: Execute, statement_id: int, query_attributes: bool) -> bytes:
    """The same execution as a payload for `statement_id` on a MySQL connection, with types bound anew.

    Cursor flags are dropped (who calls has refused them or answers without), query attributes too. Where no long
    data is in the way, the values are copied as they came.
    """
    types = execute.types
    if not execute.long_data:
        return (
            _execute_head(statement_id, types, execute.nulls, query_attributes)
            + execute.payload[execute.values_at : execute.values_end]
        )
    return build_execute(statement_id, types, execute.values(), query_attributes, execute.long_data)


def build_execute(
    statement_id: int,
    types: Sequence[int],
    values: Sequence[Value],
    query_attributes: bool,
    long_data: Mapping[int, bytes] = _NO_LONG_DATA,
) -> bytes:
    """A COM_STMT_EXECUTE payload from values. A parameter in `long_data` keeps a string type or becomes a blob."""
    bound = list(types)
    nulls = 0
    parts: list[bytes] = []
    for index, (type_, value) in enumerate(zip(types, values, strict=True)):
        if index in long_data:
            if type_ & 0xFF not in LONG_DATA_TYPES:
                bound[index] = TYPE_LONG_BLOB
            parts.append(lenenc_bytes(long_data[index]))
        elif value is None:
            nulls |= 1 << index
        else:
            parts.append(encode_value(type_ & 0xFF, value, bool(type_ & UNSIGNED_PARAMETER)))
    return _execute_head(statement_id, bound, nulls, query_attributes) + b"".join(parts)


LONG_DATA_TYPES = frozenset((15, 249, 250, 251, 252, 253, 254))
"""Types for which libmysql accepts long data: VARCHAR, the blobs, VAR_STRING, STRING."""


def _execute_head(statement: int, types: Sequence[int], nulls: int, query_attributes: bool) -> bytes:
    head = _EXECUTE_HEAD.pack(COM_STMT_EXECUTE, statement, 0, 1)
    count = len(types)
    if not count:
        return head
    bitmap = nulls.to_bytes((count + 7) // 8, "little") + b"\x01"
    if query_attributes:
        block = b"".join([type_.to_bytes(2, "little") + b"\0" for type_ in types])
        return head + lenenc_int(count) + bitmap + block
    return head + bitmap + b"".join([type_.to_bytes(2, "little") for type_ in types])


def parse_long_data(payload: bytes) -> LongData:
    """A COM_STMT_SEND_LONG_DATA; it has no answer, so errors in it surface at the next execute."""
    if len(payload) < 7:
        raise malformed("COM_STMT_SEND_LONG_DATA")
    return LongData(
        int.from_bytes(payload[1:5], "little"), int.from_bytes(payload[5:7], "little"), payload[7:]
    )


def parse_fetch(payload: bytes) -> Fetch:
    if len(payload) < 9:
        raise malformed("COM_STMT_FETCH")
    return Fetch(int.from_bytes(payload[1:5], "little"), int.from_bytes(payload[5:9], "little"))


def build_prepare(sql: bytes) -> bytes:
    return b"\x16" + sql


def build_close(statement_id: int) -> bytes:
    return b"\x19" + statement_id.to_bytes(4, "little")


def build_reset(statement_id: int) -> bytes:
    return b"\x1a" + statement_id.to_bytes(4, "little")
