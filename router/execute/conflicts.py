"""Rows of INSERT IGNORE, REPLACE and ON DUPLICATE KEY UPDATE that meet, in a unique lookup vindex, a value of a row of
another shard: one row at a time, as MySQL does it.

A row's own shard decides first, by the keys that it has there. Invariants
- What is found is locked before anything is written, and read again after.
- A row is skipped, deleted or updated for having a value only if it has that value on its shard, whatever the lookup
  table says; an entry that was not foreseen refuses the statement.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from enum import Enum

from core.errors import ErrorCode, SluiceError, not_supported
from router.execute.atomic import Atomic
from router.execute.interplay import Values
from router.execute.lookup import LookupTable, LookupWriter, Rows
from router.execute.owner import (
    Row,
    Shape,
    by_key,
    checked,
    key_of,
    keyspace_id_of,
    link_of_keyspace_id,
    name_of,
    read_rows,
)
from router.gateway import Link
from router.sessions.session import Session
from router.sessions.warnings import add_warning
from router.sql.normalise import literal_value
from router.statements.result import rows_of
from router.variables.reading import is_mariadb
from router.view import ClusterView
from router.vschema import Table
from wire.answers import Ok


class Kind(Enum):
    """What the statement does with a row that is in its way."""

    SKIP = "INSERT IGNORE"
    REPLACE = "REPLACE"
    UPDATE = "INSERT ... ON DUPLICATE KEY UPDATE"


@dataclass(frozen=True, slots=True)
class Holder:
    """A row that has a value of the lookup vindex `lookup`."""

    lookup: LookupTable
    link: Link
    row: Row


class Conflicts:
    """Of one statement under way."""

    def __init__(
        self,
        session: Session,
        view: ClusterView,
        atomic: Atomic,
        table: Table,
        shape: Shape,
        columns: Sequence[str],
        keys: Sequence[tuple[str, ...]],
        kind: Kind,
    ) -> None:
        """`keys`: the columns of the unique keys that each shard has."""
        self._session = session
        self._view = view
        self._atomic = atomic
        self._table = table
        self._shape = shape
        self._columns = columns
        self._keys = keys
        self._kind = kind
        self._lookups = [LookupTable(view, table, one) for one in table.owned()]

    async def write(
        self,
        link: Link,
        text: bytes,
        values: Values,
        insert: int,
        meets: bytes,
        where: bytes,
    ) -> Ok:
        """Writes one row, whose shard is `link`, by `text`. `meets`: the condition for rows that have one of its keys;
        `where`: for those, and the row itself. Raises Failed, SluiceError."""
        here = await self._read(link, meets)
        mine = {key_of(self._shape, row) for row in here}
        holders = [one for one in await self._holders(values) if self._apart(one, link, mine)]
        if not holders or (self._kind is not Kind.REPLACE and here):
            return await self._written(link, text, insert, where, [(link, row) for row in here])
        if self._kind is Kind.SKIP:
            add_warning(self._session, self._duplicate(holders[0], values))
            return Ok(0, 0, self._session.status, 1)
        if self._kind is Kind.REPLACE:
            gone = {(one.link, key_of(self._shape, one.row)): one.row for one in holders}
            deleted = 0
            for at, key in gone:
                name = self._table.name
                delete = b"DELETE FROM %b WHERE %b" % (name_of(name), by_key(self._shape, [key]))
                deleted += (await self._atomic.write(at, delete, (name,))).affected_rows
            before = [(link, row) for row in here] + [(at, row) for (at, _), row in gone.items()]
            ok = await self._written(link, text, insert, where, before)
            return Ok(ok.affected_rows + deleted, ok.last_insert_id, ok.status, ok.warnings, ok.info)
        return await self._update(holders[0], text, insert, meets)

    async def _update(self, holder: Holder, text: bytes, insert: int, meets: bytes) -> Ok:
        """Runs an upsert on the shard of the row that it will find there by its own key."""
        columns = holder.lookup.owned.columns
        if not any(set(key) == set(columns) for key in self._keys):
            raise self._refused(
                f"that meets a row of another shard, since the shards have no unique key of {', '.join(columns)}",
                f"Add UNIQUE KEY ({', '.join(columns)}) to the table.",
            )
        key = key_of(self._shape, holder.row)
        met = await self._read(holder.link, meets)
        if [key_of(self._shape, row) for row in met] != [key]:
            raise self._refused("that meets several rows of another shard", "UPDATE that row instead.")
        return await self._written(holder.link, text, insert, meets, [(holder.link, holder.row)], stays=True)

    async def _written(
        self, link: Link, text: bytes, insert: int, where: bytes, before: Rows, *, stays: bool = False
    ) -> Ok:
        """Writes by `text` on `link`, and the entries then. `stays`: the one row of `before` must be all there is."""
        shape, atomic = self._shape, self._atomic
        known = {(at, key_of(shape, row)) for at, row in before}
        before = [
            *before,
            *((link, r) for r in await self._read(link, where) if (link, key_of(shape, r)) not in known),
        ]
        ok = await atomic.write(link, text, (self._table.name,), insert, atomic.patience)
        after: list[tuple[Link, Row]] = []
        for at in dict.fromkeys((link, *(at for at, _ in before))):
            keys = [key_of(shape, row) for one, row in before if one is at]
            wanted = [by_key(shape, keys)] if keys else []
            if at is link:
                wanted.append(where)
            after += [(at, row) for row in await self._read(at, b" OR ".join(wanted))]
        if stays and [key_of(shape, row) for _, row in after] != [key_of(shape, row) for _, row in before]:
            raise self._refused(
                "that changes the primary key of a row of another shard", "UPDATE that row instead."
            )
        if any(self._home(row) is not at for at, row in after):
            raise self._refused("that takes a row to another shard", "UPDATE that row instead.")
        await LookupWriter(self._session, self._view, atomic, shape).apply(self._lookups, before, after)
        return ok

    async def _read(self, link: Link, where: bytes) -> list[Row]:
        await self._atomic.touch(link)
        rest = b"FROM %b WHERE %b FOR UPDATE" % (name_of(self._table.name), where)
        patience = self._atomic.patience
        found = await read_rows(self._session, link, self._shape, self._columns, b"", rest, patience)
        return list(found.values())

    # ---- who has a value already

    async def _holders(self, values: Values) -> list[Holder]:
        found: list[Holder] = []
        for lookup in self._lookups:
            columns = lookup.owned.columns
            given = [values.get(column, b"NULL") for column in columns]
            if not lookup.lookup.unique or any(one.upper() in (b"", b"NULL", b"DEFAULT") for one in given):
                continue
            # as it is stored: a number in a column of text is not compared as a number
            literals = [
                one if self._shape.is_integer(column) else b"CONCAT(" + one + b")"
                for column, one in zip(columns, given, strict=True)
            ]
            where = b" AND ".join(name_of(c) + b" = " + one for c, one in zip(columns, literals, strict=True))
            for keyspace_id in await self._targets(lookup, literals):
                link = link_of_keyspace_id(self._view, self._table.keyspace, keyspace_id)
                found += [
                    Holder(lookup, link, row)
                    for row in await self._read(link, where)
                    if self._home(row) is link
                ]
        return found

    async def _targets(self, lookup: LookupTable, literals: Sequence[bytes]) -> list[bytes]:
        """The keyspace ids that the lookup table has for values; all its shards are asked, for who knows where values
        that are equal to these lie."""
        found: list[bytes] = []
        names = map(name_of, lookup.lookup.columns)
        text = b"SELECT HEX(%b) FROM %b WHERE %b" % (
            name_of(lookup.lookup.target),
            name_of(lookup.table.name),
            b" AND ".join(name + b" = " + one for name, one in zip(names, literals, strict=True)),
        )
        if not self._atomic.own:  # a snapshot may be older
            text += b" LOCK IN SHARE MODE"
        for link in self._view.keyspace(lookup.table.keyspace).links:
            await self._atomic.touch(link)
            steps = self._session.worker.calls.in_session(self._session, link, text)
            answer = checked(await self._atomic.patience.during(link, steps))
            found += [lookup.lookup.keyspace_id_of_target(row[0] or b"") for row in rows_of(answer).rows]
        return found

    def _apart(self, holder: Holder, link: Link, mine: set[tuple[bytes, ...]]) -> bool:
        """Whether it is another row than those that the row's own shard finds."""
        return holder.link is not link or key_of(self._shape, holder.row) not in mine

    def _home(self, row: Row) -> Link | None:
        primary = self._table.primary
        assert primary is not None
        keyspace_id = keyspace_id_of(primary.vindex, primary.columns, row)
        if keyspace_id is None:
            return None
        return link_of_keyspace_id(self._view, self._table.keyspace, keyspace_id)

    def _refused(self, what: str, instead: str) -> SluiceError:
        return not_supported(
            f"{self._kind.value} into {self._table.keyspace}.{self._table.name}, which owns a lookup vindex, {what},",
            instead,
        )

    def _duplicate(self, holder: Holder, values: Values) -> SluiceError:
        """MySQL's warning. Its key is called as the vindex, which is what all shards have in common."""
        shown: list[str] = []
        for column in holder.lookup.owned.columns:
            try:
                value: object = literal_value(values[column])
            except SluiceError:  # an expression
                cell = holder.row[column]
                value = cell.value if cell is not None else None
            shown.append(value.decode("utf-8", "replace") if isinstance(value, bytes) else str(value))
        key = holder.lookup.owned.name
        if not is_mariadb(self._session):
            key = f"{self._table.name}.{key}"
        code = ErrorCode("", 1062, "23000", False, "", "")
        return SluiceError(code, f"Duplicate entry '{'-'.join(shown)}' for key '{key}'")
