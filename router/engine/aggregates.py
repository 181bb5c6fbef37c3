"""The parts that shards computed of an aggregate become the whole: one accumulator per output column and group.

| op    | parts                           | whole |
| ----- | ------------------------------- | --- |
| count | exact integers                  | their sum; NULL parts count 0 |
| sum   | decimals, or doubles            | their sum of the same type and scale; NULL if all parts are NULL |
| min   | values (text: with its weight)  | the least that is not NULL, in the bytes of the shard that has it |
| max   | likewise                        | the greatest |
| avg   | SUM in `column`, COUNT in `extra` | the quotient, with `div_precision_increment` digits more than SUM |

Invariant: integers and decimals are exact whatever their size; doubles are added in the order the parts come.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import replace
from decimal import Decimal
from typing import Any

from core.errors import not_supported
from router.engine.keys import (
    DECIMAL_TYPES,
    FLOAT_TYPES,
    INTEGER_TYPES,
    PartOf,
    Values,
    decimal_value,
    part,
)
from router.engine.numbers import (
    add_decimals,
    average_length,
    average_scale,
    decimal_text,
    divide_decimals,
    double_text,
)
from router.plan.plans import Aggregate
from wire.columns import Column
from wire.constants import ENUM_FLAG, SET_FLAG, TYPE_DOUBLE, TYPE_NEWDECIMAL, UNSIGNED_FLAG
from wire.errors import broken_answer

Row = list[bytes | None]


class Combiner:
    """Folds one aggregate. `state` values are opaque to the caller: `first`, then `fold` for each further row of
    the group, and `store` writes the result into the group's row."""

    __slots__ = ("column",)

    def __init__(self, column: Column) -> None:
        self.column = column
        """The column definition of the result."""

    def first(self, values: Values) -> Any:
        raise NotImplementedError

    def fold(self, state: Any, values: Values) -> Any:
        raise NotImplementedError

    def store(self, state: Any, row: Row) -> None:
        raise NotImplementedError


class _Sum(Combiner):
    __slots__ = ("_add", "_at", "_empty", "_read", "_text")

    def __init__(self, at: int, column: Column, *, count: bool) -> None:
        super().__init__(column)
        self._at = at
        self._empty = b"0" if count else None
        self._read, self._add, self._text = _arithmetic(column, "COUNT" if count else "SUM")

    def first(self, values: Values) -> Any:
        return _number(self._read, values[self._at])

    def fold(self, state: Any, values: Values) -> Any:
        value = _number(self._read, values[self._at])
        if value is None:
            return state
        return value if state is None else self._add(state, value)

    def store(self, state: Any, row: Row) -> None:
        row[self._at] = self._empty if state is None else self._text(state)


class _Average(Combiner):
    __slots__ = ("_add", "_at", "_extra", "_read")

    def __init__(self, at: int, extra: int, column: Column, increment: int) -> None:
        self._read, self._add, _ = _arithmetic(column, "AVG")
        self._at = at
        self._extra = extra
        if column.type in FLOAT_TYPES:
            # DOUBLE(10,2) has a scale as well, and AVG has more digits
            super().__init__(replace(column, decimals=average_scale(column.decimals, increment)))
        else:
            super().__init__(
                replace(
                    column,
                    type=TYPE_NEWDECIMAL,
                    decimals=average_scale(column.decimals, increment),
                    length=average_length(column.length, column.decimals, increment),
                    flags=column.flags & ~UNSIGNED_FLAG,
                )
            )

    def first(self, values: Values) -> Any:
        return _number(self._read, values[self._at]), _number(int, values[self._extra]) or 0

    def fold(self, state: Any, values: Values) -> Any:
        total, count = state
        value = _number(self._read, values[self._at])
        if value is not None:
            total = value if total is None else self._add(total, value)
        return total, count + (_number(int, values[self._extra]) or 0)

    def store(self, state: Any, row: Row) -> None:
        total, count = state
        row[self._extra] = b"%d" % count
        if total is None or not count:
            row[self._at] = None
        elif self.column.type == TYPE_DOUBLE:
            row[self._at] = double_text(total / count, self.column.decimals)
        else:
            scale = self.column.decimals
            row[self._at] = decimal_text(divide_decimals(Decimal(total), count, scale), scale)


class _Extreme(Combiner):
    """min or max; what it keeps is the text (and weight and pad, for ORDER BY) of the row that has it."""

    __slots__ = ("_keep", "_key", "_least")

    def __init__(self, at: int, weight: int, pad: int, column: Column, key: PartOf, *, least: bool) -> None:
        super().__init__(column)
        self._keep = tuple(dict.fromkeys(position for position in (at, weight, pad) if position >= 0))
        self._key = key
        self._least = least

    def first(self, values: Values) -> Any:
        return self._key(values), [values[at] for at in self._keep]

    def fold(self, state: Any, values: Values) -> Any:
        key = self._key(values)
        if key is None:
            return state
        best = state[0]
        if best is None or (key < best if self._least else best < key):
            return key, [values[at] for at in self._keep]
        return state

    def store(self, state: Any, row: Row) -> None:
        for at, value in zip(self._keep, state[1], strict=True):
            row[at] = value


def combiners(
    columns: Sequence[Column],
    aggregates: Sequence[Aggregate],
    *,
    increment: int = 4,
    enum_weights: bool = True,
) -> list[Combiner]:
    """One for each aggregate. `increment` is the session's div_precision_increment.

    Raises SluiceError NOT_SUPPORTED for an aggregate or a type that cannot be combined.
    """
    return [_combiner(columns, aggregate, increment, enum_weights) for aggregate in aggregates]


def _combiner(columns: Sequence[Column], agg: Aggregate, increment: int, enum_weights: bool) -> Combiner:
    column = columns[agg.column]
    if agg.op in ("count", "sum"):
        return _Sum(agg.column, column, count=agg.op == "count")
    if agg.op == "avg":
        return _Average(agg.column, agg.extra, column, increment)
    if agg.op in ("min", "max"):
        # MIN and MAX compare an ENUM by its text, and so does its weight; MariaDB and MySQL drop the flag with it
        compared = list(columns)
        compared[agg.column] = replace(column, flags=column.flags & ~(ENUM_FLAG | SET_FLAG))
        key = part(compared, agg.column, agg.weight, agg.pad, enum_weights=enum_weights)
        return _Extreme(agg.column, agg.weight, agg.pad, column, key, least=agg.op == "min")
    raise not_supported(f"the aggregate {agg.op} over several shards", "Give the query the sharding column.")


_Arithmetic = tuple[Callable[[bytes], Any], Callable[[Any, Any], Any], Callable[[Any], bytes]]


def _arithmetic(column: Column, what: str) -> _Arithmetic:
    decimals = column.decimals
    if column.type in DECIMAL_TYPES:
        return decimal_value, add_decimals, lambda value: decimal_text(value, decimals)
    if column.type in INTEGER_TYPES:
        return int, _add, lambda value: b"%d" % value
    if column.type in FLOAT_TYPES:
        return float, _add, lambda value: double_text(value, decimals)
    raise not_supported(
        f"{what} of column type {column.type} over several shards", "Convert the argument with CAST."
    )


def _add(left: Any, right: Any) -> Any:
    return left + right


def _number(read: Callable[[bytes], Any], text: bytes | None) -> Any:
    if text is None:
        return None
    try:
        return read(text)
    except (ValueError, ArithmeticError):
        raise broken_answer(f"value {text[:40]!r} does not fit its column's type") from None
