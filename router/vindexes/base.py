"""What every vindex is: a function from a column's value to a keyspace id.

Invariants
- Keyspace ids are bit-compatible with Vitess (`go/vt/vtgate/vindexes`, v23), so that rows which a Vitess cluster
  wrote are found where they lie.
- One value of a column has one keyspace id however it is written: 7, "7", " 7 " and 7.00 agree where MySQL calls
  them equal to an integer column's 7. (Vitess answers "no shard" for some of these, which loses rows.)
- A value whose shard is not certain raises VindexError; it is never guessed.
- Vindexes are pure and immutable once made.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from decimal import Decimal
from typing import Protocol, runtime_checkable

from core.keyrange import KeyRange

Value = int | bytes | str | Decimal | None
"""A column's value. `bytes` is text as UTF-8, or binary data as it is; None is NULL."""

_INTEGER = re.compile(r"[ \t]*([+-]?)0*([0-9]{1,40})[ \t]*", re.ASCII)
_LONG_INTEGER = re.compile(r"[ \t]*[+-]?[0-9]+[ \t]*", re.ASCII)


class VindexError(Exception):
    """A value that a vindex cannot map. `value`: the value, shortened for a message; `reason`: why not."""

    def __init__(self, value: Value, reason: str) -> None:
        self.value = _shown(value)
        self.reason = reason
        super().__init__(f"cannot map {self.value}: {reason}")


class VindexParamError(ValueError):
    """A vindex of the VSchema with an unknown type, or parameters it cannot work with."""


@runtime_checkable
class Vindex(Protocol):
    """A vindex over one column."""

    @property
    def name(self) -> str:
        """Its name in the VSchema."""

    @property
    def cost(self) -> int:
        """Vitess's cost: of two that apply, the planner takes the lower."""

    @property
    def unique(self) -> bool:
        """One value has at most one keyspace id."""

    @property
    def functional(self) -> bool:
        """Computed from the value alone. False: a lookup vindex, which a table maps."""

    def keyspace_id(self, value: Value) -> bytes | None:
        """Where the rows with this value lie; None: no row can have it (a read finds nothing, a write must be
        refused). Raises VindexError when that cannot be said."""


@runtime_checkable
class MultiColumnVindex(Protocol):
    """A vindex over several columns, in the order of the VSchema."""

    @property
    def name(self) -> str: ...

    @property
    def cost(self) -> int: ...

    @property
    def unique(self) -> bool: ...

    @property
    def functional(self) -> bool: ...

    @property
    def column_count(self) -> int:
        """How many values `row_keyspace_id` takes."""

    @property
    def partial(self) -> bool:
        """The first columns alone narrow the shards down, see `prefix`."""

    def row_keyspace_id(self, values: Sequence[Value]) -> bytes | None:
        """As `Vindex.keyspace_id`, of the values of all columns."""

    def prefix(self, values: Sequence[Value]) -> KeyRange | None:
        """The key range that holds all rows with these values in the first columns; None: no row can have them.
        Raises VindexError, also when the vindex is not `partial`."""


AnyVindex = Vindex | MultiColumnVindex


def integer_of(value: Value) -> int | None:
    """The integer equal to `value`, None when no integer is. Raises VindexError for text that is no plain
    integer: MySQL would compare it with an integer column as a floating-point number."""
    if value is None:
        return None
    if isinstance(value, int):
        return int(value)
    if isinstance(value, Decimal):
        if not value.is_finite():
            raise VindexError(value, "it is not a number")
        if value.adjusted() > 40:
            return None
        number = int(value)
        return number if number == value else None
    if isinstance(value, bytes):
        text = value.decode("latin-1")
    elif isinstance(value, str):
        text = value
    else:
        raise VindexError(value, f"type {type(value).__name__} is not an integer")
    match = _INTEGER.fullmatch(text)
    if match is not None:
        number = int(match[2])
        return -number if match[1] == "-" else number
    if _LONG_INTEGER.fullmatch(text):
        return None  # more than 40 digits: beyond any integer column
    raise VindexError(value, "it is not an integer")


def bytes_of(value: Value) -> bytes:
    """The value's text as MySQL would write it, in UTF-8; NULL has none: b"" (as in Vitess)."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        try:
            return value.encode()
        except UnicodeEncodeError:
            raise VindexError(value, "it is not valid Unicode text") from None
    if value is None:
        return b""
    if isinstance(value, int):
        return b"%d" % value
    if isinstance(value, Decimal) and value.is_finite():
        return format(value, "f").encode()
    raise VindexError(value, f"type {type(value).__name__} has no text to hash")


def _shown(value: object) -> str:
    if isinstance(value, bytes):
        value = value.decode("utf-8", "backslashreplace")
    text = "NULL" if value is None else repr(value) if isinstance(value, str) else str(value)
    return text if len(text) <= 64 else text[:61] + "..."
