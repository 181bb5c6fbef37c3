"""Typed parameters as COM_STMT_EXECUTE has them; with names also those that COM_QUERY calls query attributes.

Invariant: reading values yields exactly the bytes they occupy, so that whatever follows is found.
"""

from __future__ import annotations

from collections.abc import Collection, Sequence
from struct import error as StructError

from wire.binary import BinaryValue, decoder, value_size
from wire.constants import UNSIGNED_PARAMETER
from wire.errors import malformed
from wire.packets import PayloadCursor

MAX_PARAMETERS = 65535


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
