"""Sort and group keys that compare as MySQL compares, from the text of a row and its WEIGHT_STRING.

The planner does not know types, so it gives every key a weight column; here the type of the answer's column decides:

| key column                               | compared by |
| ---------------------------------------- | --- |
| integers, YEAR                           | exact integer |
| DECIMAL                                  | exact decimal |
| FLOAT, DOUBLE                            | double |
| DATE, DATETIME, TIMESTAMP                | the text: fixed width, most significant first |
| TIME                                     | signed microseconds (may be negative, and beyond 24 h) |
| BIT, binary strings, GEOMETRY, VECTOR    | bytes |
| text                                     | weight; `pad` is the weight of a space where the collation pads |
| ENUM, SET                                | a numeric weight (`column + 0`), or MySQL's weight, which is the index |
| JSON                                     | refused |

Weights of numbers are never looked at: MySQL has none for decimals and doubles, MariaDB none for any number.

Invariants: keys are hashable, and equal keys are values that MySQL calls equal, -0.0 and 0.0, 1.0 and 1.00, 'a' and
'A ' of a padding collation included. NULL sorts before everything, equals NULL, and the other way round descending.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Sequence
from decimal import Decimal
from sys import byteorder
from typing import Any, Final

from core.errors import not_supported
from router.plan.plans import OrderKey
from wire.columns import Column
from wire.constants import (
    BINARY_FLAG,
    CHARSET_BINARY,
    ENUM_FLAG,
    SET_FLAG,
    TYPE_BIT,
    TYPE_BLOB,
    TYPE_BOOL,
    TYPE_DATE,
    TYPE_DATETIME,
    TYPE_DATETIME2,
    TYPE_DECIMAL,
    TYPE_DOUBLE,
    TYPE_ENUM,
    TYPE_FLOAT,
    TYPE_GEOMETRY,
    TYPE_INT24,
    TYPE_JSON,
    TYPE_LONG,
    TYPE_LONG_BLOB,
    TYPE_LONGLONG,
    TYPE_MEDIUM_BLOB,
    TYPE_NEWDATE,
    TYPE_NEWDECIMAL,
    TYPE_NULL,
    TYPE_SET,
    TYPE_SHORT,
    TYPE_STRING,
    TYPE_TIME,
    TYPE_TIME2,
    TYPE_TIMESTAMP,
    TYPE_TIMESTAMP2,
    TYPE_TINY,
    TYPE_TINY_BLOB,
    TYPE_VAR_STRING,
    TYPE_VARCHAR,
    TYPE_VECTOR,
    TYPE_YEAR,
)
from wire.errors import broken_answer

Values = Sequence[bytes | None]
Key = tuple[Any, ...]
KeyOf = Callable[[Values], Key]
PartOf = Callable[[Values], Any]
"""The key of one column of a row, None for NULL."""

INTEGER_TYPES: Final = frozenset(
    (TYPE_TINY, TYPE_BOOL, TYPE_SHORT, TYPE_INT24, TYPE_LONG, TYPE_LONGLONG, TYPE_YEAR)
)
DECIMAL_TYPES: Final = frozenset((TYPE_DECIMAL, TYPE_NEWDECIMAL))
FLOAT_TYPES: Final = frozenset((TYPE_FLOAT, TYPE_DOUBLE))
DATE_TYPES: Final = frozenset(
    (TYPE_DATE, TYPE_NEWDATE, TYPE_DATETIME, TYPE_DATETIME2, TYPE_TIMESTAMP, TYPE_TIMESTAMP2)
)
TIME_TYPES: Final = frozenset((TYPE_TIME, TYPE_TIME2))
STRING_TYPES: Final = frozenset(
    (
        TYPE_VARCHAR,
        TYPE_VAR_STRING,
        TYPE_STRING,
        TYPE_TINY_BLOB,
        TYPE_MEDIUM_BLOB,
        TYPE_LONG_BLOB,
        TYPE_BLOB,
    )
)
# where the levels of a UCA weight begin
_PRIMARY: Final = b"\x02\x00"
_SECONDARY: Final = b"\x00\x20"
_BYTES_TYPES: Final = frozenset((TYPE_BIT, TYPE_GEOMETRY, TYPE_VECTOR, TYPE_NULL))


class Descending:
    """Turns a key's order round."""

    __slots__ = ("key",)

    def __init__(self, key: Any) -> None:
        self.key = key

    def __lt__(self, other: Descending) -> bool:
        return bool(other.key < self.key)

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Descending) and bool(self.key == other.key)

    def __hash__(self) -> int:
        return hash(self.key)


class PaddedWeight(bytes):
    """A weight of a padding collation that has a unit below a space, its trailing spaces stripped.

    Such a value sorts before its own prefix ('a\\t' < 'a'), so bytes alone do not order it. Weights without such a
    unit stay plain bytes: stripped, they order as they are. As a subclass this one decides mixed comparisons.
    """

    space: bytes

    def __new__(cls, weight: bytes, space: bytes) -> PaddedWeight:
        made = super().__new__(cls, weight)
        made.space = space
        return made

    def __lt__(self, other: bytes) -> bool:
        return self._padded(other) < other + self._spaces(other)

    def __gt__(self, other: bytes) -> bool:
        return self._padded(other) > other + self._spaces(other)

    def __le__(self, other: bytes) -> bool:
        return not self > other

    def __ge__(self, other: bytes) -> bool:
        return not self < other

    __eq__ = bytes.__eq__
    __hash__ = bytes.__hash__

    def _padded(self, other: bytes) -> bytes:
        return bytes(self) + self.space * max(0, len(other) - len(self))

    def _spaces(self, other: bytes) -> bytes:
        return self.space * max(0, len(self) - len(other))


def padded_key(weight: bytes, space: bytes) -> bytes | tuple[bytes, ...]:
    """The key of a value whose collation pads with spaces of weight `space`.

    MariaDB's UCA collations of several levels (`uca1400_as_cs`) lay the levels end to end without a mark: a space
    weighs 0209 0020 0002. The ranges of their units tell them apart; each level pads with its own unit.
    """
    if len(space) < 4 or space[:2] < _PRIMARY:
        return pad_weight(weight, space)
    return tuple(
        pad_weight(level, unit or b"\0\0")
        for level, unit in zip(_levels(weight), _levels(space), strict=True)
    )


def _levels(weight: bytes) -> tuple[bytes, bytes, bytes]:
    units = [weight[at : at + 2] for at in range(0, len(weight), 2)]
    return (
        b"".join(unit for unit in units if unit >= _PRIMARY),
        b"".join(unit for unit in units if _SECONDARY <= unit < _PRIMARY),
        b"".join(unit for unit in units if unit < _SECONDARY),
    )


def pad_weight(weight: bytes, space: bytes) -> bytes:
    """The key of a value of one level whose collation pads with spaces of weight `space`."""
    width = len(space)
    end = len(weight)
    if width == 1:
        stripped = weight.rstrip(space)
        low = bool(stripped) and min(stripped) < space[0]
    else:
        while end >= width and weight[end - width : end] == space:
            end -= width
        stripped = weight[:end]
        low = _has_low_unit(stripped, space)
    return PaddedWeight(stripped, space) if low else stripped


def _has_low_unit(weight: bytes, space: bytes) -> bool:
    width = len(space)
    if width == 2 and len(weight) % 2 == 0:
        units = array("H", weight)
        if byteorder == "little":
            units.byteswap()
        return bool(units) and min(units) < int.from_bytes(space, "big")
    return any(weight[at : at + width] < space for at in range(0, len(weight), width))


def time_micros(text: bytes) -> int:
    """A TIME of MySQL ('-838:59:59.000000') in microseconds."""
    negative = text[:1] == b"-"
    clock, _, fraction = text.removeprefix(b"-").partition(b".")
    hours, minutes, seconds = clock.split(b":")
    micros = ((int(hours) * 60 + int(minutes)) * 60 + int(seconds)) * 1_000_000
    micros += int(fraction.ljust(6, b"0")[:6] or b"0")
    return -micros if negative else micros


def decimal_value(text: bytes) -> Decimal:
    return Decimal(text.decode("ascii"))


_NUMERIC: Final[dict[int, Callable[[bytes], Any]]] = {
    **dict.fromkeys(INTEGER_TYPES, int),
    **dict.fromkeys(DECIMAL_TYPES, decimal_value),
    **dict.fromkeys(FLOAT_TYPES, float),
}


def is_enum_or_set(column: Column) -> bool:
    return column.type in (TYPE_ENUM, TYPE_SET) or bool(
        column.type in STRING_TYPES and column.flags & (ENUM_FLAG | SET_FLAG)
    )


def part(
    columns: Sequence[Column], at: int, weight: int = -1, pad: int = -1, *, enum_weights: bool = True
) -> PartOf:
    """How column `at` of a row is compared. `enum_weights`: WEIGHT_STRING of an ENUM is its index (MySQL), not
    its text (MariaDB). Raises SluiceError NOT_SUPPORTED for what cannot be ordered outside of MySQL."""
    column = columns[at]
    name = column.name.decode("utf-8", "replace")
    if is_enum_or_set(column):
        if weight >= 0 and columns[weight].type in _NUMERIC:
            return _converted(weight, _NUMERIC[columns[weight].type])
        if weight >= 0 and enum_weights:
            return _weight(at, weight, -1, name)
        raise not_supported(
            f"ordering, grouping or DISTINCT by the ENUM or SET column '{name}' over several shards",
            f"Use {name} + 0 for the order of its definition, or CAST({name} AS CHAR) for that of its text.",
        )
    convert = _NUMERIC.get(column.type)
    if convert is not None:
        return _converted(at, convert)
    if column.type in DATE_TYPES:
        return _plain(at)
    if column.type in TIME_TYPES:
        return _converted(at, time_micros)
    if column.type == TYPE_BIT and column.flags & BINARY_FLAG:
        # MariaDB's MIN and MAX of a BIT: announced as BIT, sent as digits
        return _converted(at, int)
    if column.type in _BYTES_TYPES:
        return _plain(at)
    if column.type in STRING_TYPES:
        if column.charset == CHARSET_BINARY:
            return _plain(at)
        if weight >= 0:
            return _weight(at, weight, pad, name)
        raise not_supported(
            f"ordering, grouping or DISTINCT by the text column '{name}' over several shards here",
            f"Use WEIGHT_STRING({name}), or give the query the sharding column.",
        )
    if column.type == TYPE_JSON:
        raise not_supported(
            f"ordering, grouping or DISTINCT by the JSON column '{name}' over several shards",
            f"Use CAST({name} AS CHAR), or extract a value with ->> and CAST it.",
        )
    raise not_supported(
        f"ordering, grouping or DISTINCT by column '{name}' of type {column.type} over several shards",
        "Convert it with CAST.",
    )


def order_key(columns: Sequence[Column], order: Sequence[OrderKey], *, enum_weights: bool = True) -> KeyOf:
    """The key of a row for ORDER BY, GROUP BY or DISTINCT by these columns. Raises as `part`."""
    parts = [
        (part(columns, key.column, key.weight, key.pad, enum_weights=enum_weights), key.descending)
        for key in order
    ]
    if len(parts) == 1 and not parts[0][1]:
        single = parts[0][0]

        def key_of_one(values: Values) -> Key:
            value = single(values)
            return (0,) if value is None else (1, value)

        return key_of_one

    def key_of(values: Values) -> Key:
        key: list[Any] = []
        for part_of, descending in parts:
            value = part_of(values)
            if descending:
                key.append(value is None)
                key.append(None if value is None else Descending(value))
            else:
                key.append(value is not None)
                key.append(value)
        return tuple(key)

    return key_of


def _plain(at: int) -> PartOf:
    def plain(values: Values) -> Any:
        return values[at]

    return plain


def _converted(at: int, convert: Callable[[bytes], Any]) -> PartOf:
    def converted(values: Values) -> Any:
        text = values[at]
        if text is None:
            return None
        try:
            return convert(text)
        except (ValueError, ArithmeticError):
            raise broken_answer(f"value {text[:40]!r} does not fit its column's type") from None

    return converted


def _weight(at: int, weight: int, pad: int, name: str) -> PartOf:
    def weighed(values: Values) -> Any:
        key = values[weight]
        if key is None:
            if values[at] is None:
                return None
            raise not_supported(
                f"ordering, grouping or DISTINCT by '{name}' over several shards: MySQL has no weight for a value",
                f"Use LEFT({name}, n).",
            )
        if pad >= 0 and (space := values[pad]):
            return padded_key(key, space)
        return key

    return weighed
