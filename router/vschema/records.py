"""The values a VSchema is made of.

Invariants
- Column names are compared without regard to case: where a record names a column to match against, the name is in
  lower case. Table and keyspace names are compared as they are, as MySQL on Linux does.
- In an unsharded keyspace no table has vindexes, whatever the JSON says: Vitess ignores them there.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from enum import Enum

from router.vindexes import AnyVindex, Lookup


class VSchemaError(Exception):
    """A VSchema that cannot be used, or a name that it does not resolve. `message` is one line for the user."""

    def __init__(self, message: str) -> None:
        self.message = message
        super().__init__(message)


class UnknownKeyspaceError(VSchemaError):
    """No keyspace of this name (MySQL's 1049)."""


class UnknownTableError(VSchemaError):
    """No table of this name where it was looked for (MySQL's 1146)."""


class AmbiguousTableError(VSchemaError):
    """Several keyspaces have a table of this name, and none was named."""


class TableType(Enum):
    TABLE = ""
    SEQUENCE = "sequence"  # gives ids: see `AutoIncrement`
    REFERENCE = "reference"  # every shard holds all rows


@dataclass(frozen=True, slots=True)
class ColumnVindex:
    """Columns whose values a vindex maps. `columns` are in lower case, in the vindex's order; `owned`: this table
    must keep the vindex's lookup table in step."""

    name: str
    columns: tuple[str, ...]
    vindex: AnyVindex
    owned: bool = False

    @property
    def lookup(self) -> bool:
        """A lookup vindex: its table maps values, no function."""
        return not self.vindex.functional


@dataclass(frozen=True, slots=True)
class AutoIncrement:
    """`column` (lower case) is filled from a sequence: `sequence_keyspace` is empty when the VSchema names none.
    `VSchema.sequence_of` gives the keyspace then."""

    column: str
    sequence_keyspace: str
    sequence: str


@dataclass(frozen=True, slots=True)
class Column:
    """A column as the VSchema describes it: `name` as written, `type` one of Vitess's names (`INT64`, `VARCHAR`),
    empty when it is not given."""

    name: str
    type: str = ""
    invisible: bool = False
    default: str = ""
    collation_name: str = ""
    size: int = 0
    scale: int = 0
    nullable: bool = True
    values: tuple[str, ...] = ()


@dataclass(frozen=True, slots=True)
class Table:
    """`primary`: what decides on the shard of a row; None in an unsharded keyspace, and for reference and pinned
    tables. `authoritative`: `columns` are all columns there are, in order. `pinned`: the keyspace id whose shard holds
    the whole table. `source`: (keyspace, table) that a reference table is a copy of."""

    name: str
    keyspace: str
    sharded: bool
    type: TableType = TableType.TABLE
    primary: ColumnVindex | None = None
    column_vindexes: tuple[ColumnVindex, ...] = ()
    auto_increment: AutoIncrement | None = None
    columns: tuple[Column, ...] = ()
    authoritative: bool = False
    pinned: bytes | None = None
    source: tuple[str, str] | None = None
    _columns_by_name: Mapping[str, Column] = field(init=False, repr=False, compare=False, hash=False)

    def __post_init__(self) -> None:
        by_name = {column.name.lower(): column for column in self.columns}
        object.__setattr__(self, "_columns_by_name", by_name)

    def column(self, name: str) -> Column | None:
        """The described column of this name, in any case; None when the VSchema does not describe it."""
        return self._columns_by_name.get(name.lower())

    def unsupported_write_reason(self) -> tuple[str, str] | None:
        """Why INSERT, UPDATE and DELETE must be refused: the construct and what to do instead, as
        `core.errors.not_supported` takes them; None when the write is fine."""
        if self.primary is not None and self.primary.lookup:
            return (
                f"writing to {self.keyspace}.{self.name}, whose primary vindex {self.primary.name} is a lookup vindex",
                "Give the table a functional primary vindex, such as hash.",
            )
        return None

    def owned(self, changed: frozenset[str] | None = None) -> tuple[ColumnVindex, ...]:
        """The lookup vindexes whose tables a write must keep in step. `changed`: the columns (lower case) that an
        UPDATE changes in rows that stay where they are, None where rows come or go."""
        return tuple(
            one
            for one in self.column_vindexes
            if one.owned and (changed is None or not changed.isdisjoint(one.columns))
        )


@dataclass(frozen=True, slots=True)
class Keyspace:
    """One keyspace's VSchema. `require_explicit_routing`: its tables are found only when the keyspace is named.
    `warnings`: what in the JSON has no effect, a line each. `vindex_types`: the type of each vindex as the JSON names
    it. The three fields before it are kept as they are and not used."""

    name: str
    sharded: bool
    tables: Mapping[str, Table]
    vindexes: Mapping[str, AnyVindex]
    require_explicit_routing: bool = False
    warnings: tuple[str, ...] = ()
    foreign_key_mode: str = "unspecified"
    tenant_column: str = ""
    tenant_column_type: str = ""
    vindex_types: Mapping[str, str] = field(default_factory=dict)

    def find_table(self, name: str) -> Table | None:
        """The table of this name. An unsharded keyspace has every table, described or not."""
        table = self.tables.get(name)
        if table is None and not self.sharded:
            return Table(name, self.name, sharded=False)
        return table

    @property
    def lookup_tables(self) -> tuple[str, ...]:
        """The tables (as the VSchema writes them) in which lookup vindexes keep their rows."""
        return tuple(one.table for one in self.vindexes.values() if isinstance(one, Lookup) and one.table)
