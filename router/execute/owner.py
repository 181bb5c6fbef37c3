"""Rows of a table that owns lookup vindexes, as far as its lookup tables hold them.

Values travel as literals that mean the same in every session: text as UTF-8 in hexadecimal, numbers as they are.
Invariant: a row is known by its primary key; two rows with equal keys are one row.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from core.errors import fail, not_supported
from router.execute.patience import Patience
from router.execute.route import shard_of
from router.gateway import Link
from router.sessions.session import Session
from router.statements.result import checked as checked
from router.statements.result import rows_of
from router.view import ClusterView
from router.vindexes.base import AnyVindex, MultiColumnVindex, Value, VindexError
from router.vschema import ColumnVindex, Table

_NUMBER: Final = re.compile(rb"(?:tinyint|smallint|mediumint|int|bigint|decimal|year)\b", re.I)
_INTEGER: Final = re.compile(rb"(?:tiny|small|medium|big)?int\b", re.I)
_BINARY: Final = re.compile(rb"(?:var)?binary\b|\w*blob\b|bit\b", re.I)
_INEXACT: Final = re.compile(rb"float\b|double\b|json\b|geometry\b|point\b", re.I)


@dataclass(frozen=True, slots=True)
class Cell:
    """A value: as a literal of SQL, and for a vindex."""

    literal: bytes
    value: Value


Row = dict[str, Cell | None]
"""By column, in lower case; None is NULL."""


def name_of(column: str) -> bytes:
    return b"`" + column.encode().replace(b"`", b"``") + b"`"


@dataclass(frozen=True, slots=True)
class Shape:
    """What SHOW COLUMNS says: `types` by column (lower case), `primary` the columns of the primary key."""

    types: dict[str, bytes]
    primary: tuple[str, ...]

    def wanted(self, table: Table, vindexes: Sequence[ColumnVindex]) -> tuple[str, ...]:
        """The columns to read. Raises NOT_SUPPORTED where they cannot be told apart exactly."""
        assert table.primary is not None
        if not self.primary:
            raise not_supported(
                f"writing to {table.keyspace}.{table.name}, which owns a lookup vindex and has no primary key",
                "Give the table a primary key.",
            )
        names = [*self.primary, *table.primary.columns, *(c for one in vindexes for c in one.columns)]
        found = tuple(dict.fromkeys(names))
        for name in found:
            kind = self.types.get(name)
            if kind is None or _INEXACT.match(kind):
                raise not_supported(
                    f"a lookup vindex on {table.keyspace}.{table.name} with the column {name}, "
                    + ("which is not there" if kind is None else "whose values have no exact text"),
                    "Take it out of the VSchema's column_vindexes.",
                )
        return found

    def is_integer(self, column: str) -> bool:
        return _INTEGER.match(self.types.get(column, b"")) is not None

    def read(self, column: str, alias: bytes = b"") -> bytes:
        """The expression that reads a column."""
        name = (alias + b"." if alias else b"") + name_of(column)
        kind = self.types[column]
        if _NUMBER.match(kind):
            return name
        return b"HEX(" + name + b")" if _BINARY.match(kind) else b"HEX(CONVERT(" + name + b" USING utf8mb4))"

    def cell(self, column: str, text: bytes | None) -> Cell | None:
        if text is None:
            return None
        kind = self.types[column]
        if _NUMBER.match(kind):
            return Cell(text, int(text) if text.lstrip(b"-").isdigit() else text)
        mark = b"x'" if _BINARY.match(kind) else b"_utf8mb4 x'"
        return Cell(mark + text + b"'", bytes.fromhex(text.decode("ascii")))


async def shape_of(session: Session, link: Link, table: Table) -> Shape:
    """Raises TabletError."""
    answer = await session.worker.calls.execute(
        link, b"SHOW COLUMNS FROM " + name_of(table.name), user=session.user
    )
    checked(answer)
    types: dict[str, bytes] = {}
    primary: list[str] = []
    for row in rows_of(answer).rows:
        column = (row[0] or b"").decode("utf-8", "replace").lower()
        types[column] = row[1] or b""
        if row[3] == b"PRI":
            primary.append(column)
    return Shape(types, tuple(primary))


async def unique_keys(session: Session, link: Link, table: Table) -> list[tuple[str, ...]]:
    """The columns of each unique key, the primary one included. Raises TabletError; NOT_SUPPORTED for keys over parts
    of columns or expressions, whose conflicts cannot be foreseen."""
    answer = await session.worker.calls.execute(
        link, b"SHOW INDEX FROM " + name_of(table.name), user=session.user
    )
    checked(answer)
    found: dict[bytes, list[str]] = {}
    for row in rows_of(answer).rows:
        if row[1] != b"0":
            continue
        if row[4] is None or row[7] is not None:
            raise not_supported(
                f"INSERT IGNORE, REPLACE or ON DUPLICATE KEY UPDATE of {table.keyspace}.{table.name}, which owns "
                "a lookup vindex and has a unique key over a part of a column or an expression",
                "Write a plain INSERT, or UPDATE.",
            )
        found.setdefault(row[2] or b"", []).append(row[4].decode("utf-8", "replace").lower())
    return [tuple(columns) for columns in found.values()]


async def read_rows(
    session: Session,
    link: Link,
    shape: Shape,
    columns: Sequence[str],
    alias: bytes,
    rest: bytes,
    patience: Patience | None = None,
    *,
    scans: bool = False,
) -> dict[tuple[bytes, ...], Row]:
    """The rows of `SELECT columns FROM rest` by primary key. `patience`: as for `Atomic.write`; `scans`: they
    are not found by a key. Raises SluiceError."""
    limit = session.worker.boot.config.router.max_memory_rows
    text = b"SELECT " + b", ".join(shape.read(column, alias) for column in columns) + b" " + rest
    steps = session.worker.calls.in_session(session, link, text)
    answer = await (steps if patience is None else patience.during(link, steps, scans=scans))
    checked(answer)
    found: dict[tuple[bytes, ...], Row] = {}
    for cells in rows_of(answer).rows:
        row = {column: shape.cell(column, cell) for column, cell in zip(columns, cells, strict=True)}
        found[key_of(shape, row)] = row
    if len(found) > limit:
        raise fail("RESULT_TOO_LARGE", limit=limit)
    return found


def key_of(shape: Shape, row: Row) -> tuple[bytes, ...]:
    """What tells a row from others of its shard."""
    cells = [row[column] for column in shape.primary]
    return tuple(cell.literal if cell is not None else b"NULL" for cell in cells)


def by_key(shape: Shape, keys: Sequence[tuple[bytes, ...]]) -> bytes:
    """The condition for the rows with these primary keys."""
    if len(keys) == 1:  # certain to be read by the key, and so locks nothing else
        pairs = zip(map(name_of, shape.primary), keys[0], strict=True)
        return b"(" + b" AND ".join(name + b" = " + value for name, value in pairs) + b")"
    names = b", ".join(map(name_of, shape.primary))
    return b"(" + names + b") IN (" + b", ".join(b"(" + b", ".join(key) + b")" for key in keys) + b")"


def keyspace_id_of(vindex: AnyVindex, columns: Sequence[str], row: Row) -> bytes | None:
    """Where a row lies, of the values of its sharding columns. Raises VINDEX_VALUE."""
    values = [None if (cell := row[column]) is None else cell.value for column in columns]
    try:
        if isinstance(vindex, MultiColumnVindex):
            return vindex.row_keyspace_id(values)
        return vindex.keyspace_id(values[0])
    except VindexError as error:
        raise fail("VINDEX_VALUE", vindex=vindex.name, value=error.value, reason=error.reason) from None


def link_of_value(view: ClusterView, table: Table, value: Value) -> Link:
    """The shard of a lookup table's row. Raises SluiceError."""
    keyspace = view.keyspace(table.keyspace)
    if not table.sharded or len(keyspace.links) == 1:
        return keyspace.links[0]
    vindex = table.primary.vindex if table.primary is not None else None
    link = (
        None if vindex is None or isinstance(vindex, MultiColumnVindex) else shard_of(keyspace, vindex, value)
    )
    if link is None:
        raise fail("VINDEX_VALUE", vindex=table.name, value=str(value), reason="no shard can hold this row")
    return link


def link_of_keyspace_id(view: ClusterView, keyspace: str, keyspace_id: bytes) -> Link:
    found = view.keyspace(keyspace)
    return found.by_shard[found.shard_map.shard_for(keyspace_id)]
