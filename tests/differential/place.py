"""The two sides of the comparison: one plain MySQL with every keyspace as a database, and a sharded cluster.

Shard k of every sharded keyspace lies on MySQL k, as the database of the keyspace's name; unsharded keyspaces on
MySQL 0. Invariants: `Sides.copy` leaves exactly the plain server's rows of a table on its shards, and exactly their
entries in its lookup tables; sequence tables are the router's own and never copied.
"""

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass
from functools import cached_property
from pathlib import Path
from typing import Any, Final

import pymysql

from cli.layout import MARKER_TEXT
from core.keyrange import ShardMap
from router.vindexes import Lookup
from router.vindexes.base import MultiColumnVindex
from router.vschema import ColumnVindex, Keyspace, Table, TableType, parse
from tests.kit.cluster import PASSWORD, USER, Cluster
from tests.kit.servers import RunningMysql, Servers, Templates, binary_of

CORPUS: Final = Path(__file__).with_name("corpus")
TIMEOUT_S: Final = 10
"""A statement's time on either side."""

_SHARDS: Final = {"user": ("-40", "40-80", "80-c0", "c0-")}
_TWO: Final = ("-80", "80-")  # every further shard costs a process and its start
_OWNER: Final = "differential"  # the account on the MySQLs, on both sides
_CONFIG: Final = """
[cluster]
name = "differential"
[router]
mysql = "127.0.0.1:{mysql}"
http = "127.0.0.1:{http}"
workers = 1
[tablet]
pool_size = 5
[mysql]
binary = "{binary}"
memory = "512MiB"
[[users]]
name = "{user}"
password = "{password}"
"""


@dataclass(frozen=True)
class Place:
    """One keyspace of the corpus."""

    name: str
    folder: Path

    @cached_property
    def vschema(self) -> Keyspace:
        return parse(self.name, (self.folder / f"{self.name}.vschema.json").read_text())

    @cached_property
    def shards(self) -> tuple[str, ...]:
        return _SHARDS.get(self.name, _TWO) if self.vschema.sharded else ("-",)

    @property
    def schema(self) -> Path:
        return self.folder / f"{self.name}.schema.sql"

    @cached_property
    def lookups(self) -> frozenset[str]:
        """Tables that the router fills for its lookup vindexes."""
        document = json.loads((self.folder / f"{self.name}.vschema.json").read_text())
        found = (one.get("params", {}).get("table", "") for one in document.get("vindexes", {}).values())
        return frozenset(table.rpartition(".")[2] for table in found if table)

    def kept(self, table: str) -> bool:
        """Whether `table` holds rows that both sides have."""
        found = self.vschema.tables.get(table)
        return table not in self.lookups and (found is None or found.type is not TableType.SEQUENCE)


def places() -> dict[str, Place]:
    """All keyspaces, by name."""
    files = sorted(CORPUS.glob("planner/*.vschema.json")) + sorted(CORPUS.glob("e2e/*/*.vschema.json"))
    made = [Place(file.name.removesuffix(".vschema.json"), file.parent) for file in files]
    return {place.name: place for place in made}


def statements(text: str) -> Iterator[str]:
    """The statements of a file whose statements end with `;` at a line's end."""
    for one in re.split(r";[ \t]*(?:\n|\Z)", text):
        bare = re.sub(r"^(?:\s*--[^\n]*\n)+", "", one + "\n").strip()
        if bare:
            yield bare


class Sharded(Cluster):
    """The cluster on MySQLs that are there already."""

    def __init__(
        self, home: Path, templates: Templates, mysqls: list[RunningMysql], found: dict[str, Place]
    ) -> None:
        self._mysqls = mysqls
        self._places = found
        super().__init__(home, "mysql", templates)

    def _lay_out(self, templates: Templates, tablet: str) -> None:
        self.home.mkdir(parents=True, exist_ok=True)
        text = _CONFIG.format(
            mysql=self.port,
            http=self.http,
            binary=binary_of("mysql").path,
            user=USER,
            password=PASSWORD,
        )
        for place in self._places.values():
            shards = ", ".join(f'"{shard}"' for shard in place.shards)
            text += (
                f'[[keyspaces]]\nname = "{place.name}"\nshards = [{shards}]\n'
                f'vschema = "{place.folder}/{place.name}.vschema.json"\nschema = "{place.schema}"\n'
            )
            for shard, mysql in zip(place.shards, self._mysqls, strict=False):
                text += (
                    f'[[keyspaces.external]]\nshard = "{shard}"\n'
                    f'dsn = "mysql://{_OWNER}:{_OWNER}@127.0.0.1:{mysql.port}/{place.name}"\n'
                )
        (self.home / "cluster.toml").write_text(text)
        self.layout.data_dir.mkdir(mode=0o700)
        self.layout.marker.write_text(MARKER_TEXT)


class Sides:
    """Both sides, loaded. `close()` ends them."""

    def __init__(self, home: Path) -> None:
        templates = Templates(home / "templates")
        self.servers = Servers(home, templates)
        self.places = places()
        try:
            self.plain_server = self._mysql()
            self.mysqls = [self._mysql() for _ in range(4)]
            self._make_databases()
            self.cluster = Sharded(home / "cluster", templates, self.mysqls, self.places)
        except BaseException:
            self.servers.close()
            raise
        self._admin = [self._direct(mysql) for mysql in self.mysqls]
        self._plain_admin = self._direct(self.plain_server)
        self.seeds = self._seeds()
        self.copied: set[str] = set()
        for name, text in self.seeds.items():
            self._seed(name, text)

    def plain(self, database: str) -> "pymysql.Connection[Any]":
        server = self.plain_server
        return _open(
            host="127.0.0.1",
            port=server.port,
            user=_OWNER,
            password=_OWNER,
            database=database,
        )

    def sharded(self, database: str) -> "pymysql.Connection[Any]":
        return _open(**self.cluster.connect_kwargs(database=database))

    def reset(self, tables: list[str]) -> None:
        """Puts the seed rows of `tables` (KEYSPACE.TABLE) back on both sides."""
        with self._plain_admin.cursor() as cursor:
            cursor.execute("SET foreign_key_checks = 0")
            for name in tables:
                keyspace, _, table = name.partition(".")
                cursor.execute(f"USE `{keyspace}`")
                cursor.execute(f"DELETE FROM `{table}`")
                if name in self.seeds:
                    cursor.execute(self.seeds[name])
        for name in tables:
            self.copy(*name.split(".", 1))

    def clear(self, keyspace: str) -> None:
        """Empties a keyspace's tables on both sides, but its lookup and sequence tables."""
        for cnx in (self._plain_admin, *self._admin[: len(self.places[keyspace].shards)]):
            with cnx.cursor() as cursor:
                cursor.execute("SET foreign_key_checks = 0")
                for table in self.tables(keyspace):
                    cursor.execute(f"DELETE FROM `{keyspace}`.`{table}`")

    def tables(self, keyspace: str) -> list[str]:
        with self._plain_admin.cursor() as cursor:
            cursor.execute(f"SHOW FULL TABLES FROM `{keyspace}` WHERE Table_type = 'BASE TABLE'")
            return [row[0] for row in cursor.fetchall() if self.places[keyspace].kept(row[0])]

    def copy(self, keyspace: str, table: str) -> None:
        """Lays the plain server's rows of a table on the shards, each where its primary vindex says."""
        place = self.places[keyspace]
        with self._plain_admin.cursor() as cursor:
            cursor.execute(f"SHOW COLUMNS FROM `{keyspace}`.`{table}`")
            columns = [row[0] for row in cursor.fetchall() if "GENERATED" not in row[5]]
            names = ", ".join(f"`{column}`" for column in columns)
            cursor.execute(f"SELECT {names} FROM `{keyspace}`.`{table}`")
            rows = list(cursor.fetchall())
        lower = [column.lower() for column in columns]
        by_shard: dict[str, list[Any]] = {shard: [] for shard in place.shards}
        for row in rows:
            for shard in self._shards_of(place, table, dict(zip(lower, row, strict=True))):
                by_shard[shard].append(row)
        for shard, cnx in zip(place.shards, self._admin, strict=False):
            with cnx.cursor() as cursor:
                cursor.execute("SET foreign_key_checks = 0, sql_mode = 'NO_AUTO_VALUE_ON_ZERO'")
                cursor.execute(f"DELETE FROM `{keyspace}`.`{table}`")
                if by_shard[shard]:
                    marks = ", ".join(["%s"] * len(columns))
                    insert = f"INSERT INTO `{keyspace}`.`{table}` ({names}) VALUES ({marks})"
                    cursor.executemany(insert, by_shard[shard])
        described = place.vschema.tables.get(table)
        if described is not None:
            named = [dict(zip(lower, row, strict=True)) for row in rows]
            for one in described.owned():
                self._map(place, described, one, named)

    def _map(self, place: Place, owner: Table, owned: ColumnVindex, rows: list[dict[str, Any]]) -> None:
        """Fills the lookup table of an owned vindex with the entries of the owner's rows."""
        lookup = owned.vindex
        assert isinstance(lookup, Lookup)
        keyspace, _, name = lookup.table.rpartition(".")
        held = self.places[keyspace or place.name]
        if held.vschema.sharded and name not in held.vschema.tables:
            return  # the router does not know it: it neither writes nor asks it
        names = ", ".join(f"`{column}`" for column in (*lookup.columns, lookup.target))
        for shard, cnx in zip(held.shards, self._admin, strict=False):
            with cnx.cursor() as cursor:
                cursor.execute(f"DELETE FROM `{held.name}`.`{name}`")
                for row in rows:
                    values = [row[column] for column in owned.columns]
                    if None in values:
                        continue
                    keyspace_id = self._keyspace_id(place, owner, row)
                    entry = dict(zip((one.lower() for one in lookup.columns), values, strict=True))
                    entry[lookup.target.lower()] = keyspace_id
                    if shard in self._shards_of(held, name, entry):
                        marks = ", ".join(["%s"] * len(values))
                        target = lookup.target_literal(keyspace_id).decode()
                        cursor.execute(
                            f"INSERT IGNORE INTO `{held.name}`.`{name}` ({names}) VALUES ({marks}, {target})",
                            values,
                        )

    def _shards_of(self, place: Place, table: str, row: dict[str, Any]) -> tuple[str, ...]:
        found = place.vschema.tables.get(table)
        if not place.vschema.sharded:
            return ("-",)
        assert found is not None, f"{place.name}.{table} is not in the VSchema"
        shards = ShardMap(place.shards)
        if found.type is TableType.REFERENCE:
            return place.shards
        if found.pinned is not None:
            return (shards.shard_for(found.pinned),)
        return (shards.shard_for(self._keyspace_id(place, found, row)),)

    def _keyspace_id(self, place: Place, table: Table, row: dict[str, Any]) -> bytes:
        primary = table.primary
        assert primary is not None, table.name
        if primary.lookup:
            owner, own = next(
                (other, one)
                for other in place.vschema.tables.values()
                for one in other.column_vindexes
                if one.owned and one.name == primary.name
            )
            with self._plain_admin.cursor(pymysql.cursors.DictCursor) as cursor:
                cursor.execute(
                    f"SELECT * FROM `{place.name}`.`{owner.name}` WHERE `{own.columns[0]}` = %s",
                    (row[primary.columns[0]],),
                )
                rows = cursor.fetchall()
            assert rows, f"no row of {owner.name} for one of {table.name}"
            return self._keyspace_id(place, owner, {name.lower(): value for name, value in rows[0].items()})
        values = [row[column] for column in primary.columns]
        vindex = primary.vindex
        if isinstance(vindex, MultiColumnVindex):
            made = vindex.row_keyspace_id(values)
        else:
            made = vindex.keyspace_id(values[0])
        assert made is not None, f"{table.name}: no shard for {values}"
        return made

    def _mysql(self) -> RunningMysql:
        return self.servers.mysql("mysql", max_connections=150)

    def _direct(self, server: RunningMysql) -> "pymysql.Connection[Any]":
        return _open(
            unix_socket=server.socket,
            user=server.account.user,
            password=server.account.password,
            init_command="SET innodb_lock_wait_timeout = 1",
        )

    def _make_databases(self) -> None:
        for n, server in enumerate((self.plain_server, *self.mysqls)):
            with self._direct(server) as cnx, cnx.cursor() as cursor:
                cursor.execute(f"CREATE USER {_OWNER}@'%' IDENTIFIED BY '{_OWNER}'")
                cursor.execute(f"GRANT ALL PRIVILEGES ON *.* TO {_OWNER}@'%' WITH GRANT OPTION")
                for place in self.places.values():
                    if n and n > len(place.shards):
                        continue
                    cursor.execute(f"CREATE DATABASE `{place.name}` DEFAULT CHARACTER SET utf8mb4")
                    if n == 0:
                        cursor.execute(f"USE `{place.name}`")
                        for statement in statements(place.schema.read_text()):
                            cursor.execute(statement)

    def _seeds(self) -> dict[str, str]:
        found: dict[str, str] = {}
        keyspace = ""
        for statement in statements((CORPUS / "planner" / "rows.sql").read_text()):
            use = re.fullmatch(r"USE `(\w+)`", statement)
            if use:
                keyspace = use[1]
                continue
            insert = re.match(r"INSERT INTO `(\w+)`", statement)
            assert insert, statement[:80]
            found[f"{keyspace}.{insert[1]}"] = statement
        return found

    def _seed(self, name: str, text: str) -> None:
        """Loads through the router; where that refuses the write, past it."""
        keyspace, _, table = name.partition(".")
        with self._plain_admin.cursor() as cursor:
            cursor.execute(f"USE `{keyspace}`")
            cursor.execute(text)
        try:
            with self.sharded(keyspace) as cnx, cnx.cursor() as cursor:
                cursor.execute(text)
        except pymysql.err.Error:
            self.copied.add(name)
            self.copy(keyspace, table)

    def close(self) -> None:
        for cnx in (self._plain_admin, *self._admin):
            cnx.close()
        try:
            self.cluster.close()
        finally:
            self.servers.close()


def _open(**where: Any) -> "pymysql.Connection[Any]":
    """A connection whose values come as MySQL wrote them."""
    return pymysql.connect(
        **where,
        charset="utf8mb4",
        autocommit=True,
        conv=_ENCODERS,
        read_timeout=TIMEOUT_S,
    )


_ENCODERS: Final = {
    kind: encode for kind, encode in pymysql.converters.conversions.items() if isinstance(kind, type)
}
