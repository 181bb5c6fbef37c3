"""Whether rows of one INSERT IGNORE, REPLACE or ON DUPLICATE KEY UPDATE meet each other on the way, in what is unique.

MySQL writes row after row: a value that an earlier row of the statement took, or that a row has which a later one
changes, is met though nobody has it in the end. Written together such rows would not show it. Where it is not certain
that two values differ (no plain literal, not ASCII, other forms of one number) they count as equal: one row at a time
is always right.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from decimal import Decimal, InvalidOperation
from typing import Final

from core.errors import SluiceError
from router.execute.owner import Row
from router.sql.normalise import literal_value

Values = dict[str, bytes]
"""A row's values by column, as literals."""
_ANYTHING: Final = ""
"""Of a value that may be equal to any other."""


def meet_each_other(
    rows: Sequence[Values],
    before: Iterable[Row],
    keys: Iterable[Sequence[str]],
    lookups: Iterable[Sequence[str]],
    primary: Sequence[str],
) -> bool:
    """`before`: what the rows' keys find; `keys`, `lookups`: the columns of each unique key that the shards have, and
    of each unique lookup vindex."""
    if len(rows) < 2:
        return False
    lookups = [tuple(columns) for columns in lookups]
    for columns in {*map(tuple, keys), *lookups}:
        given = [value for row in rows if (value := _of_literals(row, columns)) is not None]
        if len(set(given)) < len(given) or (given and any(_ANYTHING in value for value in given)):
            return True
    own = [_of_literals(row, primary) for row in rows]
    for columns in lookups:
        owners = {_of_literals(row, columns): key for row, key in zip(rows, own, strict=True)}
        owners.pop(None, None)
        for row in before:
            value = _of_cells(row, columns)
            if value is not None and owners:
                if _ANYTHING in value:
                    return True
                if value in owners and owners[value] != _of_cells(row, primary):
                    return True
    return False


def _of_literals(row: Values, columns: Sequence[str]) -> tuple[str, ...] | None:
    """None where one is NULL, or left out."""
    literals = [row.get(column, b"NULL") for column in columns]
    if any(literal.upper() in (b"NULL", b"DEFAULT") for literal in literals):
        return None
    found: list[str] = []
    for literal in literals:
        try:
            found.append(_folded(literal_value(literal)))
        except SluiceError:
            found.append(_ANYTHING)
    return tuple(found)


def _of_cells(row: Row, columns: Sequence[str]) -> tuple[str, ...] | None:
    found: list[str] = []
    for column in columns:
        cell = row.get(column)
        if cell is None:
            return None
        found.append(_folded(cell.value))
    return tuple(found)


def _folded(value: object) -> str:
    """Equal for all values that some type of column or some collation may find equal; _ANYTHING where that is not
    known."""
    if isinstance(value, bytes):
        try:
            value = value.decode("ascii")
        except UnicodeDecodeError:
            return _ANYTHING
    text = str(value).strip().casefold()
    if not text.isascii() or not text:
        return _ANYTHING
    try:
        number = Decimal(text)
    except InvalidOperation:
        return text
    return format(number.normalize(), "f") if number.is_finite() else text
