"""VSchema: which tables there are, how each is sharded, where its generated ids come from. Vitess's JSON format.

`parse(name, json)` gives one keyspace, `VSchema([...])` all of them together, which finds tables, sequences
and sources of reference tables across keyspaces. All are immutable: a change makes new ones.
"""

from router.vschema.catalog import VSchema
from router.vschema.document import parse
from router.vschema.records import (
    AmbiguousTableError,
    AutoIncrement,
    Column,
    ColumnVindex,
    Keyspace,
    Table,
    TableType,
    UnknownKeyspaceError,
    UnknownTableError,
    VSchemaError,
)

__all__ = [
    "AmbiguousTableError",
    "AutoIncrement",
    "Column",
    "ColumnVindex",
    "Keyspace",
    "Table",
    "TableType",
    "UnknownKeyspaceError",
    "UnknownTableError",
    "VSchema",
    "VSchemaError",
    "parse",
]
