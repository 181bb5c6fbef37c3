"""UPDATE and DELETE of rows that are found first: their keys and what is to be assigned, locked, then each shard's rows
by their keys.

One transaction around all (the session's, or one of its own). Invariants: a row is changed once, whatever it joins
with; it lies where its sharding columns say; the values that are assigned are literals of `engine.assigning`.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.errors import not_supported
from router.calls import TabletError
from router.engine.affected import combine_oks
from router.engine.assigning import renders
from router.engine.copying import CannotCopyError
from router.execute.atomic import Atomic, Failed
from router.execute.lookup import LookupTable, LookupWriter
from router.execute.moving import begin_of, charset_names, has_steady_zone, refused
from router.execute.owner import (
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
from router.execute.selecting import UPDATE, Selected, select
from router.execute.values import render
from router.gateway import Link
from router.plan.moves import ChangeMove
from router.sessions.session import Session
from router.variables.reading import is_mariadb
from router.view import ClusterView
from router.vschema import Table
from wire.answers import Ok

KEYS_AT_ONCE: Final = 1000
_INEXACT: Final = re.compile(rb"float\b|double\b|json\b|geometry\b|point\b|timestamp\b|enum\b|set\b", re.I)
_NAMES: Final = frozenset((1052, 1054, 1060, 1066, 1146, 1222, 1241, 1305))
"""Errors of names, which servers find before anything else."""
_Key = tuple[bytes, ...]


@dataclass(slots=True)
class _Change:
    """Rows of one shard that get the same values."""

    values: tuple[bytes, ...]
    keys: list[_Key] = field(default_factory=list)


class ChangeMover:
    """Runs a ChangeMove. `refusal`: what the client is told where it cannot be done."""

    def __init__(self, move: ChangeMove, refusal: tuple[str, str], view: ClusterView) -> None:
        self._move = move
        self._refusal = refusal
        self._view = view
        self._links = view.keyspace(move.keyspace).links
        table = view.vschema.keyspaces[move.keyspace].find_table(move.table)
        assert table is not None
        self._table: Table = table
        first = move.head.pieces[0]
        assert isinstance(first, bytes)
        self._updates = first.startswith(b"UPDATE")
        self._lenient = b"IGNORE" in first.partition(b"`")[0].split()

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        """As a Runner."""
        del sql, params
        session.start(self._run(session, literals))

    async def _run(self, session: Session, literals: Sequence[bytes]) -> None:
        move, table = self._move, self._table
        twice = self._read_twice(session)
        if session.worker.admission.limits_queries:
            shards = tuple(link.shard for link in self._links)
            await session.worker.admission.enter(session, move.keyspace, shards)
        shape = await shape_of(session, self._links[0], table)
        keys = self._key_columns(shape)
        expressions = b", ".join(shape.read(column, move.alias) for column in keys)
        query = render(move.query, literals, (expressions,))
        oks: list[Ok] = []
        warnings = 0
        try:
            async with Atomic(session, begin_of(session, query)) as atomic:
                try:
                    selected = await select(session, self._view, query, UPDATE, lenient=self._lenient)
                except TabletError as error:
                    if twice is None or error.number in _NAMES:
                        raise
                    raise twice from None
                if twice is not None:
                    raise twice
                warnings = len(session.warnings or ())
                changes = self._changes(session, selected, shape, keys)
                for link, found in changes.items():
                    for text, some in self._statements(found, shape, literals):
                        ok = await self._write(session, atomic, shape, link, text, some)
                        if not move.copies or link is self._links[0]:
                            oks.append(ok)
                await atomic.commit()
        except Failed as failed:
            session.reply(failed.answer.data)
            return
        except CannotCopyError as error:
            raise refused(self._refusal, error) from None
        nothing = b"Rows matched: 0  Changed: 0  Warnings: 0" if self._updates else b""
        total = combine_oks(oks, status=session.status) if oks else Ok(0, 0, session.status, 0, nothing)
        session.ok(total.affected_rows, total.last_insert_id, warnings + total.warnings, total.info)

    def _read_twice(self, session: Session) -> TabletError | None:
        """What the server says of a table that is changed and read at once, where it does: once all names are found."""
        if not self._move.self_read:
            return None
        alias = self._move.alias.decode("utf-8", "replace").strip("`")
        says = f"You can't specify target table '{alias}' for update in FROM clause"
        if is_mariadb(session):
            if self._updates or not self._move.joined:
                return None
            twice = "both as a target for 'DELETE' and as a separate source for data"
            says = f"Table '{alias}' is specified twice, {twice}"
        return TabletError(1093, "HY000", says, 0)

    def _key_columns(self, shape: Shape) -> tuple[str, ...]:
        """The columns that tell a row and its shard. Raises NOT_SUPPORTED."""
        table, move = self._table, self._move
        construct, instead = self._refusal
        if not shape.primary:
            raise not_supported(
                f"{construct}, of {move.keyspace}.{move.table}, which has no primary key", instead
            )
        sharding = table.primary.columns if table.primary is not None else ()
        names = tuple(dict.fromkeys((*shape.primary, *sharding)))
        for name in names:
            kind = shape.types.get(name)
            if kind is None or _INEXACT.match(kind):
                raise not_supported(
                    f"{construct}, of {move.keyspace}.{move.table}, whose key column {name} has no exact text",
                    instead,
                )
        if (
            move.changed
            and not move.changed.isdisjoint(shape.primary)
            and (move.fetched or table.owned(move.changed))
        ):
            raise not_supported(f"{construct}, that changes the primary key by other rows' values", instead)
        return names

    def _changes(
        self, session: Session, selected: Selected, shape: Shape, keys: tuple[str, ...]
    ) -> dict[Link, list[_Change]]:
        """What happens on each shard, in key range order; on each in the order of the query. Raises SluiceError."""
        move, table = self._move, self._table
        for column in move.fetched:
            if column not in shape.types:
                raise TabletError(1054, "42S22", f"Unknown column '{column}' in 'field list'", 0)
        making = renders(
            selected.columns[len(keys) :],
            [(column, shape.types[column]) for column in move.fetched],
            charset_names(session),
            steady_zone=has_steady_zone(session),
            hidden_digits=selected.hidden_digits,
        )
        seen: set[tuple[Link, _Key]] = set()
        found: dict[Link, dict[tuple[bytes, ...], _Change]] = {link: {} for link in self._links}
        for cells in selected.rows():
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
            values = tuple(
                b"NULL" if cell is None else make(cell)
                for make, cell in zip(making, cells[len(keys) :], strict=True)
            )
            found[link].setdefault(values, _Change(values)).keys.append(key)
        if move.copies:
            return {link: list(found[self._links[0]].values()) for link in self._links}
        return {link: list(changes.values()) for link, changes in found.items() if changes}

    def _statements(
        self, changes: Sequence[_Change], shape: Shape, literals: Sequence[bytes]
    ) -> Iterator[tuple[bytes, list[_Key]]]:
        """Each statement, with the keys of its rows."""
        move = self._move
        tail = render(move.tail, literals)
        at_once = KEYS_AT_ONCE
        if move.changed and not move.changed.isdisjoint(shape.primary):
            at_once = 1 << 30  # a row that got another's key must not be met again
        for change in changes:
            head = render(move.head, literals, change.values)
            for first in range(0, len(change.keys), at_once):
                some = change.keys[first : first + at_once]
                yield head + b" WHERE " + by_key(shape, some) + tail, some

    async def _write(
        self, session: Session, atomic: Atomic, shape: Shape, link: Link, text: bytes, keys: list[_Key]
    ) -> Ok:
        """Raises Failed, SluiceError."""
        move, table = self._move, self._table
        owned = table.owned(move.changed)
        if not owned:
            return await atomic.write(link, text, (table.name,))
        columns = shape.wanted(table, owned)
        rest = b"FROM %b WHERE %b FOR UPDATE" % (name_of(table.name), by_key(shape, keys))
        before = await read_rows(session, link, shape, columns, b"", rest)
        ok = await atomic.write(link, text, (table.name,))
        after = await read_rows(session, link, shape, columns, b"", rest)
        writer = LookupWriter(session, self._view, atomic, shape)
        for one in owned:
            rows = [[(link, row) for row in found.values()] for found in (before, after)]
            await writer.apply(LookupTable(self._view, table, one), *rows)
        return ok
