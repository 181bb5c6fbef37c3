"""What lookup vindexes need of tables, compared with what is there: told when a VSchema is applied.

Notes, not errors: the tables may be made afterwards. Invariant: nothing is changed, and a server that cannot be asked
stops nothing.
"""

from __future__ import annotations

from typing import Any, Final

from cli.cluster import external
from cli.target import Target
from core.config import Dsn
from router.vindexes import Lookup
from router.vschema import ColumnVindex, Table, VSchema, VSchemaError

_NO_TABLE: Final = 1146


def notes(target: Target, vschema: VSchema, keyspace: str) -> list[str]:
    """A line for each thing that the owned lookup vindexes of `keyspace` lack."""
    servers = _Servers(target)
    found: list[str] = []
    try:
        for owner in vschema.keyspaces[keyspace].tables.values():
            for one in owner.column_vindexes:
                if one.owned and isinstance(one.vindex, Lookup):
                    found += _of(servers, vschema, owner, one, one.vindex)
    finally:
        servers.close()
    return found


def _of(servers: _Servers, vschema: VSchema, owner: Table, one: ColumnVindex, lookup: Lookup) -> list[str]:
    where = f"note: vindex {one.name}"
    till = f"; until then writes to {owner.keyspace}.{owner.name} fail"
    given = {"table": lookup.table, "from": lookup.columns, "to": lookup.target}
    lacking = [name for name, value in given.items() if not value]
    if lacking:
        return [f"{where}: give its params {' and '.join(lacking)}{till}"]
    if len(lookup.columns) != len(one.columns):
        return [
            f"{where}: its params' from has {len(lookup.columns)} columns, {owner.name} has {len(one.columns)}{till}"
        ]
    keyspace, _, name = lookup.table.rpartition(".")
    try:
        table = vschema.find_table(keyspace or owner.keyspace, name)
    except VSchemaError as error:
        return [f"{where}: {error.message}: add {lookup.table} to its VSchema{till}"]
    lines = []
    for keyspace, name, columns in (
        (owner.keyspace, owner.name, list(one.columns)),
        (table.keyspace, table.name, [*lookup.columns, lookup.target]),
    ):
        there = servers.columns(keyspace, name)
        if isinstance(there, str):
            lines.append(f"{where}: {keyspace}.{name} could not be looked at: {there}")
        elif there is None:
            lines.append(f"{where}: CREATE TABLE {keyspace}.{name}, which is not there{till}")
        else:
            lines += [
                f"{where}: {keyspace}.{name} has no column {column}: add it, or change the vindex{till}"
                for column in columns
                if column.lower() not in there
            ]
    if not lines and lookup.unique and not servers.is_unique(table.keyspace, table.name, lookup.columns):
        lines.append(
            f"{where}: {table.keyspace}.{table.name} has no unique key of {', '.join(lookup.columns)}: without it the"
            " values are not unique"
        )
    return lines


class _Servers:
    """One connection to the first shard of each keyspace that is asked about."""

    def __init__(self, target: Target) -> None:
        self._target = target
        self._open: dict[str, Any] = {}

    def columns(self, keyspace: str, table: str) -> frozenset[str] | str | None:
        """The table's columns in lower case; None where there is no table; a text where that is not known."""
        import mysql.connector

        try:
            rows = self._ask(keyspace, f"SHOW COLUMNS FROM {_quoted(table)}")
        except mysql.connector.Error as error:
            return None if error.errno == _NO_TABLE else str(error.msg)
        except (OSError, ValueError, KeyError) as error:
            return str(error)
        return frozenset(str(row[0]).lower() for row in rows)

    def is_unique(self, keyspace: str, table: str, columns: tuple[str, ...]) -> bool:
        """Whether a unique key has no columns but some of these, as far as that is known."""
        import mysql.connector

        keys: dict[str, set[str]] = {}
        try:
            rows = self._ask(keyspace, f"SHOW INDEX FROM {_quoted(table)}")
        except (mysql.connector.Error, OSError):
            return True
        for row in rows:
            if not row[1]:
                keys.setdefault(row[2], set()).add(str(row[4]).lower())
        wanted = {column.lower() for column in columns}
        return any(key <= wanted for key in keys.values())

    def close(self) -> None:
        for connection in self._open.values():
            connection.close()

    def _ask(self, keyspace: str, sql: str) -> list[Any]:
        if keyspace not in self._open:
            self._open[keyspace] = external.connect(self._dsn(keyspace))
        cursor = self._open[keyspace].cursor()
        cursor.execute(sql)
        rows: list[Any] = cursor.fetchall()
        cursor.close()
        return rows

    def _dsn(self, keyspace: str) -> Dsn:
        declared = next(one for one in self._target.config.keyspaces if one.name == keyspace)
        shard = declared.shards[0]
        given = declared.external_dsn(shard)
        if given is not None:
            return given
        file = self._target.layout.mysql(keyspace, shard) / "tablet.dsn"
        return Dsn.parse(file.read_text().strip(), str(file))


def _quoted(name: str) -> str:
    return "`" + name.replace("`", "``") + "`"
