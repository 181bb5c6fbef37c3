"""Rows that go to another shard since their sharding columns changed.

The old shard has made of them what they are to be: they are copied as they lie, bit by bit, deleted there and inserted
where they belong, in one transaction. Invariant: the new shard commits first, so that a crash between two COMMITs
leaves a row twice rather than nowhere; where rows go both ways between shards, no order can do that for all of them.
Refused: tables with foreign keys, whose other rows stay behind, and with triggers that would take this for an INSERT
and a DELETE.
"""

from __future__ import annotations

from collections.abc import Sequence

from core.errors import not_supported
from core.rpc import messages as m
from router.engine.copying import LOAD_SETTINGS, CannotCopyError, Copied, copied_columns, fetch_text, inserts
from router.execute.atomic import Atomic, Failed
from router.execute.finish import Within
from router.execute.owner import Shape, by_key, checked, name_of
from router.gateway import Link
from router.sessions.session import Session
from router.statements.result import rows_of
from router.vschema import Table

_BOUND = b"""
SELECT
 (SELECT COUNT(*) FROM information_schema.REFERENTIAL_CONSTRAINTS
  WHERE CONSTRAINT_SCHEMA = DATABASE() AND TABLE_NAME = %b
  OR UNIQUE_CONSTRAINT_SCHEMA = DATABASE() AND REFERENCED_TABLE_NAME = %b),
 (SELECT COUNT(*) FROM information_schema.TRIGGERS
  WHERE EVENT_OBJECT_SCHEMA = DATABASE() AND EVENT_OBJECT_TABLE = %b AND EVENT_MANIPULATION <> 'UPDATE')
"""


class Relocation:
    """Of one table's rows, in one statement: what a shard says of the table is asked once."""

    def __init__(
        self, session: Session, atomic: Atomic, table: Table, shape: Shape, refusal: tuple[str, str]
    ) -> None:
        """`refusal`: what the client is told where it cannot be done."""
        self._session = session
        self._atomic = atomic
        self._table = table
        self._shape = shape
        self._refusal = refusal
        self._columns: dict[Link, Sequence[Copied]] = {}

    async def bring(self, old: Link, new: Link, keys: Sequence[tuple[bytes, ...]]) -> None:
        """Brings the rows with these primary keys from `old` to `new`. Raises Failed, SluiceError, CannotCopyError."""
        if old not in self._columns:
            self._columns[old] = await self._ask(old)
        session, atomic, columns, name = self._session, self._atomic, self._columns[old], self._table.name
        where = by_key(self._shape, keys)
        await atomic.touch(old)
        await atomic.touch(new)
        assert session.tx is not None
        session.tx.commits_before(new, old)
        text = fetch_text(name, columns, where, len(keys)) + b" FOR UPDATE"
        found = rows_of(checked(await Within(session, old).execute(text, 0, LOAD_SETTINGS))).rows
        await atomic.write(old, b"DELETE FROM %b WHERE %b" % (name_of(name), where), (name,))
        for insert in inserts(name, columns, found):
            answer = await Within(session, new).execute(insert, m.F_WRITE, LOAD_SETTINGS)
            if answer.failed:
                raise Failed(answer)

    async def _ask(self, link: Link) -> Sequence[Copied]:
        """The table's columns. Raises SluiceError, CannotCopyError."""
        calls, user, table = self._session.worker.calls, self._session.user, self._table.name
        name = b"CONVERT(x'" + table.encode().hex().encode() + b"' USING utf8mb4)"
        bound = rows_of(checked(await calls.execute(link, _BOUND % (name, name, name), user=user))).rows[0]
        for count, what in zip(bound, ("has foreign keys", "has triggers on INSERT or DELETE"), strict=True):
            if count != b"0":
                raise not_supported(
                    f"{self._refusal[0]} to another shard, of a table that {what},", self._refusal[1]
                )
        described = checked(await calls.execute(link, b"SHOW COLUMNS FROM " + name_of(table), user=user))
        columns = copied_columns(rows_of(described).rows)
        for column in columns:
            if not column.fetch:
                raise CannotCopyError(f"the column {column.name}, for its type")
        return columns
