"""The block of typed parameters shared by COM_STMT_EXECUTE and, as query attributes, by COM_QUERY.

Invariant: reading values yields exactly the bytes they occupy, so that whatever follows is found.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from dataclasses import dataclass
from struct import error as StructError

from wire.binary import BinaryValue, decoder, value_size
from wire.constants import UNSIGNED_PARAMETER
from wire.errors import malformed
from wire.packets import PayloadCursor

MAX_PARAMETERS = 65535


@dataclass(frozen=True, slots=True)
class Parameter:
    """`type` is the two-byte type with UNSIGNED_PARAMETER; `name` is empty for a placeholder's value."""

    type: int
    value: BinaryValue
    name: bytes = b""


def read_parameters(data: bytes, at: int, count: int, named: bool) -> tuple[tuple[Parameter, ...], int]:
    """Null bitmap, types and values at `at`, and the offset after them. New types must be bound."""
    cursor = PayloadCursor(data, "parameters", at)
    if count > MAX_PARAMETERS:
        raise malformed("too many parameters")
    nulls = cursor.uint((count + 7) // 8)
    if cursor.uint(1) != 1:
        raise malformed("parameters without types")
    types, names = read_types(cursor, count, named)
    values, end = read_values(data, cursor.at, types, nulls)
    parameters = tuple(
        Parameter(type_, value, name) for type_, value, name in zip(types, values, names, strict=True)
    )
    return parameters, end


def read_types(cursor: PayloadCursor, count: int, named: bool) -> tuple[tuple[int, ...], tuple[bytes, ...]]:
    """`count` two-byte types, each followed by its name where `named`."""
    if not named:
        block = cursor.take(2 * count)
        return tuple(block[i] | block[i + 1] << 8 for i in range(0, 2 * count, 2)), (b"",) * count
    types: list[int] = []
    names: list[bytes] = []
    for _ in range(count):
        types.append(cursor.uint(2))
        names.append(cursor.lenenc_bytes())
    return tuple(types), tuple(names)


def read_values(
    data: bytes, at: int, types: Sequence[int], nulls: int, skipped: Collection[int] = ()
) -> tuple[list[BinaryValue], int]:
    """The values of parameters, None for NULL and for those in `skipped` (sent as long data), and the offset
    after them. Raises ClientProtocolError 1835."""
    values: list[BinaryValue] = []
    try:
        for index, type_ in enumerate(types):
            if nulls >> index & 1 or index in skipped:
                values.append(None)
                continue
            value, at = decoder(type_ & 0xFF, bool(type_ & UNSIGNED_PARAMETER))(data, at)
            values.append(value)
    except (IndexError, ValueError, StructError):
        raise malformed("value of a parameter") from None
    return values, at


def value_slices(
    data: bytes, at: int, types: Sequence[int], nulls: int, skipped: Collection[int] = ()
) -> tuple[list[tuple[int, int] | None], int]:
    """Where each value lies in `data` as (start, end), None as in `read_values`, and the offset after them all."""
    slices: list[tuple[int, int] | None] = []
    try:
        for index, type_ in enumerate(types):
            if nulls >> index & 1 or index in skipped:
                slices.append(None)
                continue
            start = at
            at += value_size(type_ & 0xFF, data, at)
            slices.append((start, at))
    except IndexError:
        raise malformed("value of a parameter") from None
    if at > len(data):
        raise malformed("value of a parameter")
    return slices, at
