"""INSERT and REPLACE into tables that own lookup vindexes.

All rows of a shard are written at once, as on one MySQL. Where that meets a value of a unique lookup vindex which a row
elsewhere has, and the statement says what to do then, it is undone and run again a row at a time, see
`router.execute.conflicts`.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.errors import not_supported
from router.execute.atomic import Atomic
from router.execute.attempts import ComesAgainError
from router.execute.conflicts import Conflicts, Kind
from router.execute.insert import InsertWork, ignores
from router.execute.interplay import meet_each_other
from router.execute.lookup import LookupTable, LookupWriter, Rows, TakenError
from router.execute.owner import Row, Shape, by_key, key_of, name_of, read_rows, shape_of, unique_keys
from router.gateway import Link
from router.plan.plans import InsertPlan
from router.sessions.session import Session
from router.view import ClusterView
from wire.answers import Ok

_ATTEMPTS: Final = 3


class OwnedInsert:
    """Writes rows of a table that owns lookup vindexes. `prepare` once, outside of the transaction."""

    def __init__(self, plan: InsertPlan, view: ClusterView) -> None:
        self._view = view
        self._kind = _kind_of(plan)
        self._row_by_row = 0
        self._link = view.keyspace(plan.keyspace).links[0]
        self._table = view.vschema.keyspaces[plan.keyspace].tables[plan.table]
        self._shape = Shape({}, ())
        self._columns: tuple[str, ...] = ()
        self._keys: Sequence[tuple[str, ...]] = ()

    async def prepare(self, session: Session) -> None:
        """Asks a server for the table's columns and keys. Raises SluiceError."""
        self._shape = await shape_of(session, self._link, self._table)
        self._columns = self._shape.wanted(self._table, self._table.owned())
        self._keys = (
            [self._shape.primary]
            if self._kind is None
            else await unique_keys(session, self._link, self._table)
        )

    async def write(
        self, session: Session, atomic: Atomic, plan: InsertPlan, work: InsertWork, insert: int
    ) -> list[Ok]:
        """Writes what `InsertRunner.work` made of `plan`'s rows. `insert`: as for `Atomic.write`. Raises Failed,
        SluiceError, ComesAgainError."""
        try:
            if self._row_by_row and self._kind is not None:
                return await self._singly(session, atomic, self._kind, work, insert)
            return await self._together(session, atomic, plan, work, insert)
        except TakenError:
            if self._kind is None:
                raise
            # one that was not there a moment ago may be met once more
            if self._row_by_row < (_ATTEMPTS if atomic.own else 1):
                self._row_by_row += 1
                raise ComesAgainError from None
            if self._kind is Kind.UPDATE:
                raise
            raise not_supported(
                f"{self._kind.value} into {self._table.keyspace}.{self._table.name}, which owns a lookup vindex, with "
                "a value of its column that the server changes as it is stored",
                "Write the value as the column has it.",
            ) from None

    async def _singly(
        self, session: Session, atomic: Atomic, kind: Kind, work: InsertWork, insert: int
    ) -> list[Ok]:
        conflicts = Conflicts(
            session, self._view, atomic, self._table, self._shape, self._columns, self._keys, kind
        )
        oks: list[Ok] = []
        for (link, row), text in zip(work[1], work[3](), strict=True):
            meets, where = self._meets([row]), self._condition([row], self._keys)
            oks.append(await conflicts.write(link, text, row, insert, meets, where))
        return oks

    async def _together(
        self, session: Session, atomic: Atomic, plan: InsertPlan, work: InsertWork, insert: int
    ) -> list[Ok]:
        table, shape = self._table, self._shape
        owned = table.owned()
        statements, values, _, _ = work
        links = [link for link, _ in statements]
        conditions = {
            link: self._condition([row for at, row in values if at is link], self._keys) for link in links
        }
        known = plan.plain and all(_given(row, shape.primary) for _, row in values)
        lookups = [LookupTable(self._view, table, one) for one in owned]
        before: Rows = [] if known else await self._read(session, atomic, links, conditions, ())
        if self._kind is not None and self._meet_each_other([row for _, row in values], before):
            return await self._singly(session, atomic, self._kind, work, insert)
        patience = atomic.patience
        oks = [await atomic.write(link, text, plan.tables, insert, patience) for link, text in statements]
        old = [(link, key_of(shape, row)) for link, row in before]
        after = await self._read(session, atomic, links, conditions, old)
        if known and len(after) != len(values):
            raise not_supported(
                f"values that {table.keyspace}.{table.name}, which owns a lookup vindex, changes as they are "
                "written",
                "Write values of the primary key's own type.",
            )
        writer = LookupWriter(session, self._view, atomic, shape)
        await writer.apply(lookups, before, after)
        return oks

    def _meet_each_other(self, rows: Sequence[dict[str, bytes]], before: Rows) -> bool:
        unique = [one.columns for one in self._table.owned() if one.vindex.unique]
        return meet_each_other(rows, (row for _, row in before), self._keys, unique, self._shape.primary)

    async def _read(
        self,
        session: Session,
        atomic: Atomic,
        links: Sequence[Link],
        conditions: dict[Link, bytes],
        old: Sequence[tuple[Link, tuple[bytes, ...]]],
    ) -> list[tuple[Link, Row]]:
        """The rows that the values may meet, and those that had the keys `old`."""
        shape, found = self._shape, list[tuple[Link, Row]]()
        for link in links:
            where = conditions[link]
            keys = [key for at, key in old if at is link]
            if keys:
                where += b" OR " + by_key(shape, keys)
            rest = b"FROM %b WHERE %b FOR UPDATE" % (name_of(self._table.name), where)
            rows = await read_rows(session, link, shape, self._columns, b"", rest, atomic.patience)
            found += [(link, row) for row in rows.values()]
        return found

    def _meets(self, rows: Sequence[dict[str, bytes]]) -> bytes:
        """For rows that have a unique key of one of `rows`."""
        parts = [_equal(row, key) for row in rows for key in self._keys if _given(row, key)]
        return b" OR ".join(b"(" + part + b")" for part in dict.fromkeys(parts)) or b"FALSE"

    def _condition(self, rows: Sequence[dict[str, bytes]], keys: Sequence[tuple[str, ...]]) -> bytes:
        """For rows that have a unique key of one of `rows`, or its sharding column where no key is known."""
        primary = self._table.primary
        assert primary is not None
        parts: list[bytes] = []
        for row in rows:
            sure = False
            for key in keys:
                if any(value == b"" for name, value in row.items() if name in key):
                    raise not_supported(
                        f"INSERT into {self._table.keyspace}.{self._table.name}, which owns a lookup vindex, with a "
                        "function for a unique column",
                        "Compute the value first, and write it as a literal.",
                    )
                if _given(row, key):
                    parts.append(_equal(row, key))
                    sure = True
            if not sure and _given(row, primary.columns):
                parts.append(_equal(row, primary.columns))
        return b" OR ".join(b"(" + part + b")" for part in dict.fromkeys(parts)) or b"FALSE"


def _kind_of(plan: InsertPlan) -> Kind | None:
    if plan.plain:
        return None
    tail = b"".join(piece for piece in plan.tail.pieces if isinstance(piece, bytes)).upper()
    if b"DUPLICATE" in tail.split():
        return Kind.UPDATE
    return Kind.SKIP if ignores(plan.head) else Kind.REPLACE


def _given(row: dict[str, bytes], columns: Sequence[str]) -> bool:
    return all(row.get(column, b"NULL").upper() != b"NULL" for column in columns)


def _equal(row: dict[str, bytes], columns: Sequence[str]) -> bytes:
    return b" AND ".join(
        name_of(column)
        + b" = "
        + (
            b"DEFAULT(" + name_of(column) + b")"
            if row[column].upper() == b"DEFAULT"
            else b"(" + row[column] + b")"
        )
        for column in columns
    )
