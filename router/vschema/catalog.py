"""All keyspaces' VSchemas together: names are resolved here as Vitess resolves them.

Making one never fails: a keyspace whose sequence lives in another that is not there yet still serves what does not
need it. `problems()` says what does not resolve, for whoever applies a VSchema.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from types import MappingProxyType

from router.vschema.records import (
    AmbiguousTableError,
    Keyspace,
    Table,
    TableType,
    UnknownKeyspaceError,
    UnknownTableError,
    VSchemaError,
)


class VSchema:
    """The keyspaces by name, and what is found in them."""

    __slots__ = ("_global", "keyspaces")

    keyspaces: Mapping[str, Keyspace]

    def __init__(self, keyspaces: Iterable[Keyspace]) -> None:
        self.keyspaces = MappingProxyType({keyspace.name: keyspace for keyspace in keyspaces})
        self._global = _tables_by_name(self.keyspaces.values())

    def keyspace(self, name: str) -> Keyspace:
        """Raises UnknownKeyspaceError."""
        try:
            return self.keyspaces[name]
        except KeyError:
            raise UnknownKeyspaceError(f"Unknown keyspace '{name}'") from None

    def find_table(self, keyspace: str | None, name: str) -> Table:
        """The table `name` of `keyspace`; with None, of the only keyspace that has it.

        Raises UnknownKeyspaceError, UnknownTableError, AmbiguousTableError.
        """
        if keyspace is not None:
            table = self.keyspace(keyspace).find_table(name)
            if table is None:
                raise UnknownTableError(f"Table '{keyspace}.{name}' is not in the VSchema")
            return table
        candidates = self._global.get(name, ())
        if len(candidates) == 1:
            return candidates[0]
        if len(self.keyspaces) == 1:
            (only,) = self.keyspaces.values()
            table = only.find_table(name)
            if table is not None:
                return table
        if candidates:
            places = ", ".join(sorted(table.keyspace for table in candidates))
            raise AmbiguousTableError(
                f"Table '{name}' is in several keyspaces ({places}): name one, or USE it"
            )
        raise UnknownTableError(f"Table '{name}' is in no keyspace's VSchema: name its keyspace, or USE it")

    def sequence_of(self, table: Table) -> Table | None:
        """The sequence that fills the table's auto_increment column, None when it has none.

        Raises VSchemaError when the VSchema names a sequence that does not exist or is none.
        """
        auto_increment = table.auto_increment
        if auto_increment is None:
            return None
        try:
            found = self.find_table(auto_increment.sequence_keyspace or None, auto_increment.sequence)
        except VSchemaError as error:
            raise VSchemaError(f"sequence of table {table.keyspace}.{table.name}: {error.message}") from None
        if found.type is not TableType.SEQUENCE:
            raise VSchemaError(
                f"sequence of table {table.keyspace}.{table.name}: {found.keyspace}.{found.name} is not of type "
                '"sequence" in its VSchema: apply that one first'
            )
        return found

    def source_of(self, table: Table) -> Table | None:
        """The table that a reference table is a copy of, None when the VSchema names none.

        Raises VSchemaError when it names one that cannot be it.
        """
        if table.source is None:
            return None
        keyspace, name = table.source
        where = f"source of reference table {table.keyspace}.{table.name}"
        if keyspace == table.keyspace:
            raise VSchemaError(f"{where}: {keyspace}.{name} is in the same keyspace")
        try:
            found = self.find_table(keyspace, name)
        except VSchemaError as error:
            raise VSchemaError(f"{where}: {error.message}") from None
        if found.type is TableType.SEQUENCE or found.source is not None:
            raise VSchemaError(f"{where}: {keyspace}.{name} is a sequence, or a copy itself")
        return found

    def problems(self) -> tuple[str, ...]:
        """What does not resolve across keyspaces, a line each."""
        lines: list[str] = []
        for keyspace in self.keyspaces.values():
            for table in keyspace.tables.values():
                for resolve in (self.sequence_of, self.source_of):
                    try:
                        resolve(table)
                    except VSchemaError as error:
                        lines.append(error.message)
        return tuple(lines)


def _tables_by_name(keyspaces: Iterable[Keyspace]) -> dict[str, tuple[Table, ...]]:
    """What a name without a keyspace may mean. A reference table that copies a table of its own name steps back
    behind it, as in Vitess (buildKeyspaceGlobalTables)."""
    found: dict[str, list[Table]] = {}
    copies: list[Table] = []
    for keyspace in keyspaces:
        if keyspace.require_explicit_routing:
            continue
        for table in keyspace.tables.values():
            if table.source is not None and table.source[1] == table.name:
                copies.append(table)
            else:
                found.setdefault(table.name, []).append(table)
    for copy in copies:
        originals = found.get(copy.name)
        if originals is not None and copy.source != (originals[0].keyspace, copy.name):
            originals.append(copy)
    return {name: tuple(tables) for name, tables in found.items()}
