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
from router.engine.copying import LOAD_SETTINGS, CannotCopyError, copied_columns, fetch_text, inserts
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


async def relocate(
    session: Session,
    atomic: Atomic,
    table: Table,
    shape: Shape,
    old: Link,
    new: Link,
    keys: Sequence[tuple[bytes, ...]],
    refusal: tuple[str, str],
) -> None:
    """Brings the rows with these primary keys from `old` to `new`. Raises Failed, SluiceError, CannotCopyError."""
    name = b"CONVERT(x'" + table.name.encode().hex().encode() + b"' USING utf8mb4)"
    calls = session.worker.calls
    bound = rows_of(checked(await calls.execute(old, _BOUND % (name, name, name), user=session.user))).rows[0]
    for count, what in zip(bound, ("has foreign keys", "has triggers on INSERT or DELETE"), strict=True):
        if count != b"0":
            raise not_supported(f"{refusal[0]} to another shard, of a table that {what},", refusal[1])
    described = checked(
        await calls.execute(old, b"SHOW COLUMNS FROM " + name_of(table.name), user=session.user)
    )
    columns = copied_columns(rows_of(described).rows)
    for column in columns:
        if not column.fetch:
            raise CannotCopyError(f"the column {column.name}, for its type")
    where = by_key(shape, keys)
    await atomic.touch(old)
    await atomic.touch(new)
    assert session.tx is not None
    session.tx.commits_before(new, old)
    text = fetch_text(table.name, columns, where, len(keys)) + b" FOR UPDATE"
    found = rows_of(checked(await Within(session, old).execute(text, 0, LOAD_SETTINGS))).rows
    await atomic.write(old, b"DELETE FROM %b WHERE %b" % (name_of(table.name), where), (table.name,))
    for insert in inserts(table.name, columns, found):
        answer = await Within(session, new).execute(insert, m.F_WRITE, LOAD_SETTINGS)
        if answer.failed:
            raise Failed(answer)
