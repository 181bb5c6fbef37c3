"""The rows of one table that an UPDATE or DELETE found first: what happens to each, and its writing.

Invariants: a row is changed once, whatever it joins with; it lies where its sharding columns say, before and after;
the values that are assigned are literals of `engine.assigning`.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.errors import SluiceError, not_supported
from router.call import TabletError
from router.engine.assigning import renders, routed
from router.engine.copying import Cells
from router.execute.atomic import Atomic
from router.execute.lookup import LookupTable, LookupWriter
from router.execute.moving import charset_names, has_steady_zone
from router.execute.owner import (
    Cell,
    Row,
    Shape,
    by_key,
    key_of,
    keyspace_id_of,
    link_of_keyspace_id,
    name_of,
    read_rows,
    shape_of,
)
from router.execute.relocate import Relocation
from router.execute.values import render, value_of
from router.gateway import Link
from router.plan.moves import ChangeMove
from router.plan.plans import Bind
from router.sessions.session import Session
from router.view import ClusterView
from router.vschema import Table
from wire.answers import Ok
from wire.columns import Column

KEYS_AT_ONCE: Final = 1000
_INEXACT: Final = re.compile(rb"float\b|double\b|json\b|geometry\b|point\b|timestamp\b|enum\b|set\b", re.I)
Key = tuple[bytes, ...]


@dataclass(slots=True)
class Change:
    """Rows of `link` that get the same values. `to`: the shard that they go to. `new_keys`: their primary keys then.
    `checked`: where they lie then is as foreseen, whatever the server makes of the values."""

    link: Link
    to: Link
    values: tuple[bytes, ...]
    checked: bool = True
    keys: list[Key] = field(default_factory=list)
    new_keys: list[Key] = field(default_factory=list)


class TableChange:
    """One statement's run of a ChangeMove: `prepare`, `take` what was found, `write`."""

    def __init__(
        self, move: ChangeMove, refusal: tuple[str, str], view: ClusterView, literals: Sequence[bytes]
    ) -> None:
        """`refusal`: what the client is told where it cannot be done."""
        self._move = move
        self._refusal = refusal
        self._view = view
        self._literals = literals
        self._links = view.keyspace(move.keyspace).links
        table = view.vschema.keyspaces[move.keyspace].find_table(move.table)
        assert table is not None
        self._table: Table = table
        self._shape = Shape({}, ())
        self._keys: tuple[str, ...] = ()
        self._changes: list[Change] = []
        self._rekeyed = False
        self._owned = table.owned(None if move.moved else move.changed)

    async def prepare(self, session: Session) -> bytes:
        """Asks a server for the table's columns; the expressions of the key. Raises SluiceError."""
        self._shape = shape = await shape_of(session, self._links[0], self._table)
        move = self._move
        self._rekeyed = bool(
            move.changed and not move.changed.isdisjoint(shape.primary) and (move.moved or move.fetched)
        )
        self._keys = self._key_columns()
        return b", ".join(shape.read(column, move.alias) for column in self._keys)

    @property
    def width(self) -> int:
        """How many columns of the query are for this table."""
        return len(self._keys) + len(self._move.fetched) + len(self._move.foreseen)

    def _key_columns(self) -> tuple[str, ...]:
        """The columns that tell a row and its shard. Raises NOT_SUPPORTED."""
        table, move, shape = self._table, self._move, self._shape
        construct, instead = self._refusal
        where = f"{construct}, of {move.keyspace}.{move.table}"
        if not shape.primary:
            raise not_supported(f"{where}, which has no primary key", instead)
        sharding = table.primary.columns if table.primary is not None else ()
        names = tuple(dict.fromkeys((*shape.primary, *sharding)))
        for name in names:
            kind = shape.types.get(name)
            if kind is None or _INEXACT.match(kind):
                raise not_supported(f"{where}, whose key column {name} has no exact text", instead)
        changed = (move.changed or frozenset()).intersection(shape.primary)
        known = {*move.fetched, *move.foreseen} if self._rekeyed else set()
        if changed - known and (self._rekeyed or self._owned):
            raise not_supported(f"{where}, that changes the primary key by what is not known before", instead)
        return names

    # ---- what happens to each row

    def take(
        self,
        session: Session,
        columns: Sequence[Column],
        rows: Iterable[Cells],
        hidden_digits: bool,
        *,
        lenient: bool,
    ) -> None:
        """Takes its part of the rows that were found. `lenient`: IGNORE. Raises SluiceError, CannotCopyError."""
        move, table, shape, keys = self._move, self._table, self._shape, self._keys
        given = (*move.fetched, *move.foreseen)
        for column in given:
            if column not in shape.types:
                raise TabletError(1054, "42S22", f"Unknown column '{column}' in 'field list'", 0)
        making = renders(
            columns[len(keys) :],
            [(column, shape.types[column]) for column in given],
            charset_names(session),
            steady_zone=has_steady_zone(session),
            hidden_digits=hidden_digits,
        )
        making = [
            routed(make, shape.types[name]) if name in keys else make
            for make, name in zip(making, given, strict=True)
        ]
        wanted = [
            at
            for at, name in enumerate(given)
            if at < len(move.fetched) or (self._rekeyed and name in shape.primary)
        ]
        seen: set[tuple[Link, Key]] = set()
        found: dict[tuple[Link, Link, bool, tuple[bytes, ...]], Change] = {}
        for cells in rows:
            row: Row = {name: shape.cell(name, cell) for name, cell in zip(keys, cells, strict=False)}
            if any(row[name] is None for name in shape.primary):
                continue  # of an outer join: there is no row
            link = self._links[0]
            if table.primary is not None:
                keyspace_id = keyspace_id_of(table.primary.vindex, table.primary.columns, row)
                if keyspace_id is None:
                    continue  # no row can have this value
                link = link_of_keyspace_id(self._view, move.keyspace, keyspace_id)
            key = key_of(shape, row)
            if (link, key) in seen:
                continue
            seen.add((link, key))
            assigned = cells[len(keys) :]
            texts = {
                given[at]: b"NULL" if (cell := assigned[at]) is None else making[at](cell) for at in wanted
            }
            values = tuple(texts[name] for name in move.fetched)
            to, checked = self._target(row, link, texts)
            group = (link, to, checked, (*values, *key) if self._rekeyed else values)
            change = found.setdefault(group, Change(link, to, values, checked))
            change.keys.append(key)
            change.new_keys.append(
                tuple(texts.get(name, old) for name, old in zip(shape.primary, key, strict=True))
            )
        self._changes = self._ordered(list(found.values()))
        if lenient and any(one.to is not one.link for one in self._changes):
            construct, instead = self._refusal
            raise not_supported(f"{construct} to another shard with IGNORE", instead)

    def _target(self, row: Row, link: Link, texts: dict[str, bytes]) -> tuple[Link, bool]:
        """Where a row goes that lies on `link`, and whether that is certain. What cannot be a key is for the server to
        refuse, or to make one of."""
        primary = self._table.primary
        moved = self._move.moved
        if not moved or primary is None:
            return link, True
        try:
            new = row | {name: _cell_of(texts[name]) for name in moved}
            if all(_same(row[name], new[name]) for name in moved):
                return link, True
            keyspace_id = keyspace_id_of(primary.vindex, primary.columns, new)
        except SluiceError:
            keyspace_id = None
        if keyspace_id is None:
            return link, False
        return link_of_keyspace_id(self._view, self._move.keyspace, keyspace_id), False

    def _ordered(self, changes: list[Change]) -> list[Change]:
        """In key range order; where keys change, in the order of the statement, or else of the keys, as a server reads
        them: each row may get a key that another leaves."""
        if self._move.copies:
            return [
                Change(link, link, one.values, True, one.keys, one.new_keys)
                for link in self._links
                for one in changes
            ]
        if not self._rekeyed:
            return sorted(changes, key=lambda one: self._links.index(one.link))
        if self._move.tail.pieces:
            return changes
        return sorted(changes, key=lambda one: [_sortable(text) for text in one.keys[0]])

    # ---- writing

    async def write(self, session: Session, atomic: Atomic) -> list[Ok]:
        """Raises Failed, SluiceError, CannotCopyError."""
        oks: list[Ok] = []
        relocation = Relocation(session, atomic, self._table, self._shape, self._refusal)
        for change in self._changes:
            for text, first, last in self._statements(change):
                keys, new_keys = change.keys[first:last], change.new_keys[first:last]
                ok = await self._write(session, atomic, relocation, change, text, keys, new_keys)
                if not self._move.copies or change.link is self._links[0]:
                    oks.append(ok)
        return oks

    def _statements(self, change: Change) -> Iterator[tuple[bytes, int, int]]:
        """Each statement, and which rows it is for."""
        move = self._move
        tail = render(move.tail, self._literals)
        head = render(move.head, self._literals, change.values)
        at_once = KEYS_AT_ONCE
        if move.changed and not move.changed.isdisjoint(self._shape.primary):
            at_once = 1 << 30  # a row that got another's key must not be met again
        for first in range(0, len(change.keys), at_once):
            some = change.keys[first : first + at_once]
            yield head + b" WHERE " + by_key(self._shape, some) + tail, first, first + len(some)

    async def _write(
        self,
        session: Session,
        atomic: Atomic,
        relocation: Relocation,
        change: Change,
        text: bytes,
        keys: list[Key],
        new_keys: list[Key],
    ) -> Ok:
        """Raises Failed, SluiceError, CannotCopyError."""
        table, shape, link = self._table, self._shape, change.link
        if not self._owned and change.checked:
            return await atomic.write(link, text, (table.name,))
        columns = shape.wanted(table, self._owned)
        rest = b"FROM %b WHERE %b FOR UPDATE"
        before: dict[Key, Row] = {}
        if self._owned:
            was = rest % (name_of(table.name), by_key(shape, keys))
            before = await read_rows(session, link, shape, columns, b"", was)
        ok = await atomic.write(link, text, (table.name,))
        now = rest % (name_of(table.name), by_key(shape, new_keys))
        after = await read_rows(session, link, shape, columns, b"", now)
        if not change.checked:
            self._check_places(change, after, len(keys))
        if change.to is not link and after:
            await relocation.bring(link, change.to, new_keys)
        writer = LookupWriter(session, self._view, atomic, shape)
        rows = [(link, row) for row in before.values()], [(change.to, row) for row in after.values()]
        await writer.apply([LookupTable(self._view, table, one) for one in self._owned], *rows)
        return ok

    def _check_places(self, change: Change, after: dict[Key, Row], expected: int) -> None:
        """Raises NOT_SUPPORTED where the server stored other keys than were foreseen."""
        primary = self._table.primary
        assert primary is not None
        for row in after.values():
            keyspace_id = keyspace_id_of(primary.vindex, primary.columns, row)
            if (
                keyspace_id is None
                or link_of_keyspace_id(self._view, self._move.keyspace, keyspace_id) is not change.to
            ):
                expected = -1
        if len(after) != expected:
            construct, instead = self._refusal
            raise not_supported(
                f"{construct} to a value that MySQL changes as it is stored, or ignores,", instead
            )


def _cell_of(literal: bytes) -> Cell | None:
    if literal.upper() == b"NULL":
        return None
    negative = literal[:1] == b"-"
    return Cell(literal, value_of(Bind(0, negative), (literal[1:] if negative else literal,)))


def _same(old: Cell | None, new: Cell | None) -> bool:
    if old is None or new is None:
        return old is new
    one, other = (value.encode() if isinstance(value, str) else value for value in (old.value, new.value))
    return type(one) is type(other) and one == other


def _sortable(literal: bytes) -> tuple[int, int, bytes]:
    number = literal.removeprefix(b"-")
    return (0, int(literal), b"") if number.isdigit() else (1, 0, literal)
