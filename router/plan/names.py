"""Names of a statement: which table a name is, which source a column belongs to.

Invariant: a column is given to a source only when MySQL would: an unqualified column whose owner the VSchema does not
tell belongs to nobody, and nothing is concluded from it.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from core.errors import fail, not_supported
from router.sql.parse import exp
from router.vschema import (
    AmbiguousTableError,
    ColumnVindex,
    Table,
    TableType,
    UnknownKeyspaceError,
    UnknownTableError,
    VSchema,
)

SYSTEM_SCHEMAS: Final = frozenset(("information_schema", "performance_schema", "mysql", "sys"))

Place = tuple[int, str]
"""A column of a source: (the source's number, the column's name in lower case)."""


class Kind(Enum):
    """What a source is to routing."""

    SHARDED = "sharded"  # each row lies on the shard of its key
    REFERENCE = "reference"  # every shard has all rows
    WHOLE = "whole"  # a derived table whose rows are right only when one shard computes it


@dataclass(slots=True, eq=False)
class Source:
    """One table, derived table or CTE in a FROM. `keys`: the column tuples that are its sharding key (a derived
    table may show it under several names)."""

    number: int
    alias: str
    kind: Kind
    table: Table | None = None
    vindex: ColumnVindex | None = None
    keys: tuple[tuple[str, ...], ...] = ()
    declared: frozenset[str] = frozenset()
    complete: bool = False  # `declared` are all its columns
    hidden_key: tuple[Place, ...] = ()  # of a derived table: the key's columns inside it
    one_shard: bool = False  # a derived table that is right on the one shard of its key, not on others

    def places(self, key: tuple[str, ...]) -> tuple[Place, ...]:
        return tuple((self.number, column) for column in key)


@dataclass(slots=True)
class Scope:
    """The sources a block sees, and those of the blocks around it."""

    outer: Scope | None = None
    sources: list[Source] = field(default_factory=list)

    def resolve(self, column: exp.Column) -> Place | None:
        """The source's column that `column` means, None when that is not certain."""
        name = column.name.lower()
        qualifier = column.table
        scope: Scope | None = self
        while scope is not None:
            if qualifier:
                for source in scope.sources:
                    if source.alias == qualifier:
                        return source.number, name
            else:
                owners = [source for source in scope.sources if name in source.declared]
                if len(owners) == 1:
                    return owners[0].number, name
                open_sources = [source for source in scope.sources if not source.complete]
                if owners or len(open_sources) > 1:
                    return None
                if open_sources:
                    # the only one that can have it; an outer block's column of this name would be hidden by it,
                    # so nothing is concluded when there is an outer block
                    return (open_sources[0].number, name) if scope.outer is None else None
            scope = scope.outer
        return None


def table_of(node: exp.Table, keyspace: str, vschema: VSchema) -> Table | None:
    """The table a name means; None for a table of MySQL's own schemas. Raises SluiceError."""
    schema, name = node.db, node.name
    if (schema or keyspace).lower() in SYSTEM_SCHEMAS and (schema or keyspace) not in vschema.keyspaces:
        return None
    return find_table(schema or keyspace, name, vschema)


def find_table(keyspace: str, name: str, vschema: VSchema) -> Table:
    """Raises SluiceError: NO_DATABASE, UNKNOWN_DATABASE, UNKNOWN_TABLE, or NOT_SUPPORTED for an ambiguous name."""
    try:
        return vschema.find_table(keyspace or None, name)
    except UnknownKeyspaceError:
        raise fail("UNKNOWN_DATABASE", database=keyspace) from None
    except UnknownTableError:
        if not keyspace:
            raise fail("NO_DATABASE") from None
        raise fail("UNKNOWN_TABLE", table=f"{keyspace}.{name}") from None
    except AmbiguousTableError as error:
        raise not_supported(f"the name {name} without its keyspace", f"{error.message}.") from None


def table_source(number: int, alias: str, table: Table) -> Source:
    """The source of a base table in a sharded keyspace."""
    declared = {column.name.lower() for column in table.columns}
    for vindex in table.column_vindexes:
        declared.update(vindex.columns)
    if table.auto_increment is not None:
        declared.add(table.auto_increment.column)
    if table.primary is None:
        if table.type is not TableType.REFERENCE:
            raise not_supported(
                f"the pinned table {table.keyspace}.{table.name}",
                "Make it a reference table, or move it to an unsharded keyspace.",
            )
        kind = Kind.REFERENCE
        keys: tuple[tuple[str, ...], ...] = ()
    else:
        kind, keys = Kind.SHARDED, (table.primary.columns,)
    return Source(number, alias, kind, table, table.primary, keys, frozenset(declared), table.authoritative)


def tables_in(tree: exp.Expr) -> list[exp.Table]:
    """All tables a statement reads or writes, without its CTEs and DUAL, and without the targets of a DELETE, which
    are names of its FROM."""
    deleted = {id(one) for one in deleted_tables(tree)} if isinstance(tree, exp.Delete) else set()
    return [
        table
        for table in tree.find_all(exp.Table)
        if isinstance(table.this, exp.Identifier)
        and id(table) not in deleted
        and table.arg_key != "tables"
        and not is_dual(table)
        and cte_of(table) is None
    ]


def deleted_tables(tree: exp.Delete) -> list[exp.Table]:
    """What `DELETE a, b FROM ...` and `DELETE FROM a, b USING ...` name; empty where it is the FROM itself."""
    using = tree.args.get("using")
    if not isinstance(using, list) or not using:
        return list(tree.args.get("tables") or [])
    return [tree.this, *(join.this for join in tree.this.args.get("joins") or [])]


def is_dual(table: exp.Table) -> bool:
    """FROM DUAL: no table."""
    return not table.db and isinstance(table.this, exp.Identifier) and table.name.lower() == "dual"


def cte_of(table: exp.Table) -> exp.CTE | None:
    """The CTE that a name means, None for a table. A CTE sees those before it, and itself if WITH is RECURSIVE: in
    `WITH t AS (SELECT ... FROM t)` the inner t is a table."""
    if table.db:
        return None
    inside: exp.Expr = table
    around = table.parent
    current: exp.Expr | None = None
    while around is not None:
        if isinstance(inside, exp.CTE):
            current = inside
        with_ = around.args.get("with_")
        if with_ is not None:
            for cte in with_.expressions:
                if inside is with_ and cte is current and not with_.args.get("recursive"):
                    break
                if cte.alias == table.name:
                    assert isinstance(cte, exp.CTE)
                    return cte
                if inside is with_ and cte is current:
                    break
        inside, around = around, around.parent
    return None


def listed(names: Iterable[str]) -> str:
    return ", ".join(sorted(set(names)))
