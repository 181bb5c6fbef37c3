"""The shards of a statement that gives a value of a column with a lookup vindex: asks the lookup table.

Invariant: a shard that has a row with one of the values, as this statement would see it, is among those named; where
that is not certain, nothing is (`of` gives None) and all shards are asked. So:
- The read locks, and never waits: while someone's transaction changes an entry, its row may be committed and the entry
  not, or the other way round. Then all shards are asked. (Transactions commit their entries in the right order, see
  `router.sessions.transaction`.)
- It runs outside of the session's transaction, which may have rows of its own on shards it holds, or see them as they
  were: those shards are always among the named ones. Where it holds the lookup table's shard, all are asked: it may
  have entries of its own there.
- The values are compared by the server, with the literals and settings of the statement, in a column of the owner's
  own type and collation (looked at again every FRESH_S).
- A statement that locks what is not there (gaps) asks all shards, unless the one row there can be was found.
- A SELECT in a transaction asks all shards, unless its reads are surely fresh: in REPEATABLE READ the first of them
  makes the snapshot of a shard, and one that made none would see what is committed there until it does.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from core.errors import SluiceError
from router.call import TabletError
from router.execute.isolation import each_read_is_fresh
from router.execute.owner import checked, link_of_keyspace_id, name_of
from router.execute.route import shard_of
from router.execute.values import value_of
from router.gateway import Link
from router.plan.plans import LookupRoute
from router.sessions.session import Session
from router.sql.dialect import Dialect
from router.statements.result import rows_of
from router.view import ClusterView
from router.vindexes import Lookup, Vindex
from router.vindexes.base import Value
from router.vindexes.unicode_loose import UnicodeLoose
from router.vschema import Table, VSchemaError

FRESH_S: Final = 5.0
"""How long what SHOW COLUMNS said is believed."""
MAX_ENTRIES: Final = 1000
"""More entries than that are not read: all shards are asked."""
_ENDED: Final = frozenset((1053, 1317, 1969, 3024))  # shutdown, KILL, time limits
_INTEGER: Final = re.compile(rb"(?:tiny|small|medium|big)?int\b")
_STRING: Final = re.compile(rb"(varchar|char|varbinary)\((\d+)\)\Z")


class LookupLinks:
    """Of one plan. `locks`: the statement locks the rows it finds, so a lock on nothing may matter."""

    def __init__(self, route: LookupRoute, keyspace: str, view: ClusterView, *, locks: bool) -> None:
        self._route = route
        self._view = view
        self._keyspace = view.keyspace(keyspace)
        self._locks = locks
        lookup = view.vschema.keyspaces[keyspace].vindexes[route.vindex]
        assert isinstance(lookup, Lookup)
        self._lookup = lookup
        owner, _, name = lookup.table.rpartition(".")
        try:
            self._table: Table | None = view.vschema.find_table(owner or keyspace, name)
        except VSchemaError:
            self._table = None
        self._kind = ""
        self._until_s = 0.0

    async def of(
        self, session: Session, literals: Sequence[bytes], *, writes: bool
    ) -> tuple[Link, ...] | None:
        """The links, in the order of shards; None for all of them. `writes`: an UPDATE or DELETE. Raises TabletError
        where the statement was ended meanwhile."""
        try:
            return await self._of(session, literals, writes)
        except TabletError as error:
            if error.number in _ENDED:
                raise
            return None
        except (SluiceError, ValueError):
            return None

    async def _of(self, session: Session, literals: Sequence[bytes], writes: bool) -> tuple[Link, ...] | None:
        table, route = self._table, self._route
        if table is None or (session.tx is not None and session.tx.lost):
            return None
        if not writes and _inside(session) and not each_read_is_fresh(session):
            return None
        binds = [bind for bind in route.values if bind is not None]
        values = [value_of(bind, literals) for bind in binds]
        texts = [(b"-" if bind.negative else b"") + literals[bind.index] for bind in binds]
        kind = await self._compared(session, table)
        if not kind or not all(_fits(kind, value) for value in values):
            return None
        found: dict[Link, None] = {}
        if texts:
            asked = self._asked(session, table, kind, values, texts)
            held = session.tx.held if session.tx is not None else ()
            if asked is None or any(link in held for link, _ in asked):
                return None
            for link, here in asked:
                keyspace_ids = await self._read(session, link, table, here)
                if keyspace_ids is None:
                    return None
                for one in keyspace_ids:
                    found[link_of_keyspace_id(self._view, self._keyspace.name, one)] = None
        if self._locks_gaps(session, writes) and not (
            self._lookup.unique and len(binds) == len(route.values) == 1 and found
        ):
            return None
        if session.tx is not None and not writes:
            found |= dict.fromkeys(link for link in session.tx.held if link in self._keyspace.links)
        return tuple(link for link in self._keyspace.links if link in found)

    def _locks_gaps(self, session: Session, writes: bool) -> bool:
        """Whether others must wait for the end of this transaction where it found nothing."""
        return _inside(session) and (writes or self._locks)

    def _asked(
        self, session: Session, table: Table, kind: str, values: Sequence[Value], texts: Sequence[bytes]
    ) -> list[tuple[Link, list[bytes]]] | None:
        """Which shard of the lookup table is asked for which literals; None where equal values may lie on others."""
        keyspace = self._view.keyspace(table.keyspace)
        if not table.sharded or len(keyspace.links) == 1:
            return [(keyspace.links[0], list(texts))]
        primary = table.primary
        if primary is None or primary.columns != (self._lookup.columns[0].lower(),):
            return None
        if session.dialect is not Dialect.DEFAULT:  # a backslash may be part of the value
            return None
        vindex = primary.vindex
        if not isinstance(vindex, Vindex) or not _keeps_together(vindex, kind, values):
            return None
        found: dict[Link, list[bytes]] = {}
        for value, text in zip(values, texts, strict=True):
            link = shard_of(keyspace, vindex, value)
            if link is None:
                return None
            found.setdefault(link, []).append(text)
        return list(found.items())

    async def _read(
        self, session: Session, link: Link, table: Table, texts: Sequence[bytes]
    ) -> list[bytes] | None:
        """The keyspace ids of the values; None where there are too many. Raises TabletError, also for an entry that
        someone is changing."""
        lookup = self._lookup
        mariadb = session.worker.server.get("flavour") == "mariadb"
        lock = b"LOCK IN SHARE MODE NOWAIT" if mariadb else b"FOR SHARE NOWAIT"
        text = b"SELECT HEX(%b) FROM %b WHERE %b IN (%b) LIMIT %d %b" % (
            name_of(lookup.target),
            name_of(table.name),
            name_of(lookup.columns[0]),
            b", ".join(texts),
            MAX_ENTRIES + 1,
            lock,
        )
        answer = checked(
            await session.worker.calls.execute(link, text, user=session.user, settings=session.settings_text)
        )
        cells = [row[0] for row in rows_of(answer).rows]
        if len(cells) > MAX_ENTRIES:
            return None
        return [lookup.keyspace_id_of_target(cell or b"") for cell in cells]

    # ---- how values are compared

    async def _compared(self, session: Session, table: Table) -> str:
        """ "integer", or the collation of strings, in the owner's column and in the lookup table's alike; empty where
        the two may not find the same values equal."""
        now_s = session.worker.loop.time()
        if now_s >= self._until_s:
            route = self._route
            owner = await _column(session, self._keyspace.links[0], route.table, route.column)
            link = self._view.keyspace(table.keyspace).links[0]
            entry = await _column(session, link, table.name, self._lookup.columns[0])
            self._kind = _kind_of(owner, entry)
            self._until_s = now_s + FRESH_S
        return self._kind


async def _column(session: Session, link: Link, table: str, column: str) -> tuple[bytes, bytes]:
    """Type and collation. Raises SluiceError."""
    answer = await session.worker.calls.execute(
        link, b"SHOW FULL COLUMNS FROM " + name_of(table), user=session.user
    )
    for row in rows_of(checked(answer)).rows:
        if (row[0] or b"").decode("utf-8", "replace").lower() == column.lower():
            return (row[1] or b"").lower(), row[2] or b""
    return b"", b""


def _kind_of(owner: tuple[bytes, bytes], entry: tuple[bytes, bytes]) -> str:
    if _INTEGER.match(owner[0]) and _INTEGER.match(entry[0]):
        return "integer"
    one, other = _STRING.match(owner[0]), _STRING.match(entry[0])
    if one is None or other is None or one[1] != other[1] or owner[1] != entry[1]:
        return ""
    if int(other[2]) < int(one[2]):
        return ""  # entries may have been cut off
    return owner[1].decode() or "binary"


def _fits(kind: str, value: Value) -> bool:
    """Whether a literal is compared as the column's own type."""
    return isinstance(value, int) if kind == "integer" else isinstance(value, (str, bytes))


def _keeps_together(vindex: Vindex, kind: str, values: Sequence[Value]) -> bool:
    """Whether all entries that the server finds equal to one of the values lie on that value's shard."""
    if kind in ("integer", "binary") or kind == "utf8mb4_0900_bin":
        return all(not isinstance(value, str) or value.isascii() for value in values)
    return (
        isinstance(vindex, UnicodeLoose)
        and kind == "utf8mb4_0900_ai_ci"
        and all(isinstance(value, str) and value.isascii() and value.isprintable() for value in values)
    )


def _inside(session: Session) -> bool:
    """Whether other statements may follow in the transaction of this one."""
    return session.tx is not None or not session.autocommit
