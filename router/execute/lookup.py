"""Keeps lookup tables in step with the tables that own them, inside the statement's transaction.

What changed is found by comparing the owner's rows before and after the statement, so that expressions, defaults,
conversions and ON DUPLICATE KEY UPDATE are MySQL's own. Rows without a value have no entry. A unique entry that no row
of the owner stands behind (left by a write past the router) is taken over. Source of the tables' form: Vitess's
lookup, lookup_hash and consistent_lookup.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import not_supported
from core.rpc import messages as m
from router.call import TabletError
from router.execute.atomic import Atomic
from router.execute.owner import (
    Cell,
    Row,
    Shape,
    checked,
    keyspace_id_of,
    link_of_keyspace_id,
    link_of_value,
    name_of,
    read_rows,
)
from router.gateway import Link
from router.sessions.session import Session
from router.statements.result import rows_of
from router.view import ClusterView
from router.vindexes import Lookup
from router.vindexes.integers import ONE_TO_ONE
from router.vschema import ColumnVindex, Table, VSchemaError

_DUPLICATE = 1062


@dataclass(frozen=True, slots=True)
class Entry:
    """One row of a lookup table: the literals of its columns from and to."""

    start: tuple[bytes, ...]
    target: bytes


@dataclass(frozen=True, slots=True)
class Origin:
    """Where an entry comes from: the shard and the row of the owner."""

    link: Link
    keyspace_id: bytes
    row: Row


Rows = Sequence[tuple[Link, Row]]


class TakenError(TabletError):
    """MySQL's error of a value that another row of the owner has, in a unique lookup vindex."""


class LookupTable:
    """The lookup table of one owned vindex."""

    def __init__(self, view: ClusterView, owner: Table, owned: ColumnVindex) -> None:
        """Raises NOT_SUPPORTED where its table cannot be found."""
        assert isinstance(owned.vindex, Lookup)
        self._view = view
        self.owner = owner
        self.owned = owned
        self.lookup = owned.vindex
        keyspace, _, name = self.lookup.table.rpartition(".")
        try:
            self.table = view.vschema.find_table(keyspace or owner.keyspace, name)
        except VSchemaError as error:
            raise not_supported(
                f"writing to {owner.keyspace}.{owner.name}, whose lookup vindex {owned.name} has no table "
                f"({error.message})",
                "Name the lookup table in the VSchema.",
            ) from None

    def entries(self, rows: Rows) -> dict[Entry, Origin]:
        found: dict[Entry, Origin] = {}
        primary = self.owner.primary
        assert primary is not None
        for link, row in rows:
            cells = [row[column] for column in self.owned.columns]
            keyspace_id = keyspace_id_of(primary.vindex, primary.columns, row)
            if keyspace_id is None or any(cell is None for cell in cells):
                continue
            start = tuple(
                self.lookup.source_literal(cell.value, cell.literal) for cell in cells if cell is not None
            )
            found[Entry(start, self.lookup.target_literal(keyspace_id))] = Origin(link, keyspace_id, row)
        return found

    def link(self, origin: Origin) -> Link:
        """The shard of an entry."""
        primary = self.table.primary
        column = primary.columns[0] if primary is not None else ""
        names = [one.lower() for one in self.lookup.columns]
        value: object = None
        if column in names:
            cell = origin.row[self.owned.columns[names.index(column)]]
            assert cell is not None
            value = cell.value
        elif column == self.lookup.target.lower():
            value = origin.keyspace_id
        elif self.table.sharded and len(self._view.keyspace(self.table.keyspace).links) > 1:
            raise not_supported(
                f"the lookup table {self.table.keyspace}.{self.table.name}, which is sharded by another column than "
                "those it maps",
                f"Shard it by {', '.join(names)}.",
            )
        return link_of_value(self._view, self.table, value)  # type: ignore[arg-type]

    # ---- SQL

    @property
    def _table(self) -> bytes:
        return name_of(self.table.name)

    def _columns(self) -> list[bytes]:
        return [*map(name_of, self.lookup.columns), name_of(self.lookup.target)]

    def delete(self, entries: Sequence[Entry]) -> bytes:
        # an equation of a whole key locks its entry alone, where a list may be read, and locked, as the whole table
        rows = [
            b" AND ".join(
                name + b" = " + value
                for name, value in zip(self._columns(), (*one.start, one.target), strict=True)
            )
            for one in entries
        ]
        return b"DELETE FROM %b WHERE %b" % (self._table, b" OR ".join(rows))

    def insert(self, entries: Sequence[Entry]) -> bytes:
        rows = b", ".join(b"(" + b", ".join((*one.start, one.target)) + b")" for one in entries)
        text = b"INSERT INTO %b (%b) VALUES %b" % (self._table, b", ".join(self._columns()), rows)
        if self.lookup.unique:
            return text
        target = name_of(self.lookup.target)
        return text + b" ON DUPLICATE KEY UPDATE " + target + b" = " + target  # two rows may share an entry

    def where(self, entry: Entry) -> bytes:
        pairs = zip(map(name_of, self.lookup.columns), entry.start, strict=True)
        return b" AND ".join(name + b" = " + value for name, value in pairs)

    def of_owner(self, row: Row, columns: Sequence[str]) -> bytes:
        """The condition for rows of the owner that have these values."""
        cells = [(column, row[column]) for column in columns]
        return b" AND ".join(
            name_of(column) + (b" = " + cell.literal if isinstance(cell, Cell) else b" IS NULL")
            for column, cell in cells
        )


class LookupWriter:
    """Writes what a statement changed: rows of the owner are locked before entries, see `router.execute.attempts`."""

    def __init__(self, session: Session, view: ClusterView, atomic: Atomic, shape: Shape) -> None:
        self._session = session
        self._view = view
        self._atomic = atomic
        self._shape = shape

    async def apply(self, tables: Sequence[LookupTable], before: Rows, after: Rows) -> None:
        """Raises SluiceError; then the statement must be undone."""
        work: list[tuple[LookupTable, dict[Entry, Origin], dict[Entry, Origin]]] = []
        for table in tables:
            old, new = table.entries(before), table.entries(after)
            gone = {entry: origin for entry, origin in old.items() if entry not in new}
            # while a table is being filled, every row that a statement touches gets its entry
            filling = table.lookup.write_only
            come = {entry: origin for entry, origin in new.items() if filling or entry not in old}
            if not table.lookup.unique:
                gone = {entry: o for entry, o in gone.items() if not await self._has_row(table, entry, o)}
            work.append((table, gone, come))
        for table, gone, come in work:
            less, more = self._by_link(table, gone), self._by_link(table, come)
            for link in self._view.keyspace(table.table.keyspace).links:
                if link in less:
                    await self._write(table, link, table.delete(less[link]), gone=True)
                if link in more:
                    await self._add(table, link, more[link], come)

    async def _add(
        self, table: LookupTable, link: Link, entries: Sequence[Entry], origins: dict[Entry, Origin]
    ) -> None:
        try:
            await self._write(table, link, table.insert(entries))
        except TabletError as error:
            if error.number != _DUPLICATE or not table.lookup.unique:
                raise
            self._session.warnings = None
            for entry in entries:
                await self._take(table, link, entry, origins[entry], error)

    @staticmethod
    def _by_link(table: LookupTable, entries: dict[Entry, Origin]) -> dict[Link, list[Entry]]:
        """In the order of values, so that all writers lock them in one."""
        found: dict[Link, list[Entry]] = {}
        for entry, origin in entries.items():
            found.setdefault(table.link(origin), []).append(entry)
        for some in found.values():
            some.sort(key=lambda one: one.start)
        return found

    async def _write(self, table: LookupTable, link: Link, text: bytes, *, gone: bool = False) -> None:
        await self._atomic.touch(link)
        if self._session.tx is not None:
            self._session.tx.note_entries(link, gone=gone)
        steps = self._session.worker.calls.in_session(
            self._session, link, text, flags=m.F_WRITE, tables=(table.table.name,)
        )
        checked(await self._atomic.patience.during(link, steps))

    async def _has_row(self, table: LookupTable, entry: Entry, origin: Origin) -> bool:
        """Whether another row of the owner still stands behind an entry."""
        primary = table.owner.primary
        assert primary is not None
        if (
            primary.columns == self._shape.primary
            and isinstance(primary.vindex, ONE_TO_ONE)
            and self._shape.is_integer(primary.columns[0])
        ):
            return False  # a row of the same keyspace id would have the same key
        return bool(await self._owners(table, origin.link, origin.row, origin.keyspace_id))

    async def _owners(
        self, table: LookupTable, link: Link, row: Row, keyspace_id: bytes, lock: bytes = b" FOR UPDATE"
    ) -> list[Row]:
        owner = table.owner
        primary = owner.primary
        assert primary is not None
        columns = tuple(dict.fromkeys((*self._shape.primary, *primary.columns, *table.owned.columns)))
        rest = b"FROM %b WHERE %b%b" % (
            name_of(owner.name),
            table.of_owner(row, table.owned.columns),
            lock,
        )
        await self._atomic.touch(link)
        patience = self._atomic.patience
        found = await read_rows(self._session, link, self._shape, columns, b"", rest, patience)
        return [
            one
            for one in found.values()
            if keyspace_id_of(primary.vindex, primary.columns, one) == keyspace_id
        ]

    async def _take(
        self, table: LookupTable, link: Link, entry: Entry, origin: Origin, error: TabletError
    ) -> None:
        """Writes a unique entry that may be there already; raises `error` where a row stands behind that."""
        lookup = table.lookup
        target = name_of(lookup.target)
        read = b"SELECT HEX(%b) FROM %b WHERE %b LOCK IN SHARE MODE" % (
            target,
            table._table,
            table.where(entry),
        )
        steps = self._session.worker.calls.in_session(self._session, link, read)
        answer = checked(await self._atomic.patience.during(link, steps))
        held = [row[0] for row in rows_of(answer).rows]
        if not held:
            await self._write(table, link, table.insert([entry]))
            return
        keyspace_id = lookup.keyspace_id_of_target(held[0] or b"")
        if keyspace_id == origin.keyspace_id:
            return
        owner_link = link_of_keyspace_id(self._view, table.owner.keyspace, keyspace_id)
        # Who deletes or changes that row locks it and then wants this entry, which is locked here: so it is not
        # waited for where the row is there, as it is committed. A transaction of the client's would get its snapshot
        # by that, or has one.
        for lock in (b"", b" FOR UPDATE") if self._atomic.own else (b" FOR UPDATE",):
            if await self._owners(table, owner_link, origin.row, keyspace_id, lock):
                raise TakenError(error.number, error.sqlstate, error.message, error.handle)
        update = b"UPDATE %b SET %b = %b WHERE %b" % (table._table, target, entry.target, table.where(entry))
        await self._write(table, link, update, gone=True)
