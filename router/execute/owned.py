"""Writes to tables that own lookup vindexes: the statement, and what it changes in the lookup tables.

Invariant: the rows read before the statement, locked, and those after it are all that it can have changed; all of it
takes effect or nothing.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import not_supported
from router.call import Answer
from router.engine.affected import combine_oks
from router.execute.atomic import Atomic, Failed
from router.execute.attempts import until_done
from router.execute.insert import InsertRunner
from router.execute.lookup import LookupTable, LookupWriter
from router.execute.lookup_links import LookupLinks
from router.execute.owned_insert import OwnedInsert
from router.execute.owner import (
    Row,
    Shape,
    by_key,
    key_of,
    name_of,
    read_rows,
    shape_of,
)
from router.execute.patience import Patience
from router.execute.refuse import refuse
from router.execute.route import chooser_links, chooser_one
from router.execute.values import render
from router.gateway import Link
from router.plan.plans import Choice, DmlPlan, InsertPlan, OwnedPart
from router.sessions.bound import bound_text
from router.sessions.insert_ids import note_generated
from router.sessions.parts import Runner
from router.sessions.session import Session
from router.view import ClusterView
from router.vschema import Table
from wire.answers import Ok

_KEYS_AT_ONCE = 1000


@dataclass(slots=True)
class _Read:
    """A written table during the statement."""

    part: OwnedPart
    shape: Shape
    columns: tuple[str, ...]
    lookups: list[LookupTable]
    before: list[tuple[Link, Row]]


async def _admit(session: Session, links: Sequence[Link]) -> None:
    if session.worker.admission.limits_queries:
        await session.worker.admission.enter(session, links[0].keyspace, tuple(link.shard for link in links))


async def _rows_with(
    session: Session,
    read: _Read,
    table: Table,
    links: Sequence[Link],
    keys: Sequence[tuple[Link, tuple[bytes, ...]]],
) -> list[tuple[Link, Row]]:
    """The rows with these primary keys, as they are now."""
    found: list[tuple[Link, Row]] = []
    for link in links:
        here = [key for at, key in keys if at is link]
        for first in range(0, len(here), _KEYS_AT_ONCE):
            rest = b"FROM %b WHERE %b FOR UPDATE" % (
                name_of(table.name),
                by_key(read.shape, here[first : first + _KEYS_AT_ONCE]),
            )
            rows = await read_rows(session, link, read.shape, read.columns, b"", rest)
            found += [(link, row) for row in rows.values()]
    return found


class OwnedDmlRunner:
    """Runs a DmlPlan with `owned` parts."""

    def __init__(self, plan: DmlPlan, view: ClusterView, mover: Runner | None = None) -> None:
        """`mover`: what runs the plan's `move`, if it has one."""
        self._plan = plan
        self._view = view
        self._mover = mover
        self._one = chooser_one(plan.chooser, view)
        self._links = chooser_links(plan.chooser, view)
        self._lookup: LookupLinks | None = None
        if plan.lookup is not None:
            self._lookup = LookupLinks(plan.lookup, plan.chooser.keyspace, view, locks=True)

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        plan = self._plan
        link = self._one(literals)
        text = bound_text(sql, literals) if params is not None else sql
        if link is None and self._lookup is not None:
            session.start(self._run_looked_up(session, self._lookup, text, literals))
            return
        if link is not None:
            links: tuple[Link, ...] = (link,)
        elif plan.chooser.choice is Choice.EQUAL:
            session.worker.run_spread(session, sql, literals, params)
            return
        else:
            links = self._links(literals)
            if self._mover is not None:
                self._mover.run(session, sql, literals, params)
                return
            if plan.refusal is not None:
                refuse(session, plan, links[0], sql, literals, params)
                return
        session.start(self._run(session, links, text, literals))

    async def _run_looked_up(
        self, session: Session, lookup: LookupLinks, text: bytes, literals: Sequence[bytes]
    ) -> None:
        found = await lookup.of(session, literals, writes=True)
        every = self._links(literals)
        links = every if found is None else found or every[:1]
        await self._run(session, links, text, literals)

    async def _run(
        self, session: Session, links: tuple[Link, ...], text: bytes, literals: Sequence[bytes]
    ) -> None:
        await _admit(session, links)
        plan = self._plan
        keyspace = self._view.vschema.keyspaces[plan.chooser.keyspace]

        async def once(patience: Patience) -> list[Ok]:
            reads: list[_Read] = []
            async with Atomic(session, patience=patience) as atomic:
                for part in plan.owned:
                    table = keyspace.tables[part.table]
                    owned = table.owned(part.changed)
                    shape = await shape_of(session, links[0], table)
                    columns = shape.wanted(table, owned)
                    if part.changed is not None and not part.changed.isdisjoint(shape.primary):
                        raise not_supported(
                            f"changing the primary key of {table.keyspace}.{table.name} together with a column of a "
                            "lookup vindex",
                            "DELETE the row and INSERT it again.",
                        )
                    lookups = [LookupTable(self._view, table, one) for one in owned]
                    read = _Read(part, shape, columns, lookups, [])
                    for link in links:
                        rest = render(part.rows, literals)
                        rows = await read_rows(
                            session, link, shape, columns, part.alias, rest, atomic.patience, scans=True
                        )
                        read.before += [(link, row) for row in rows.values()]
                    reads.append(read)
                oks = [await atomic.write(link, text, plan.tables) for link in links]
                for read in reads:
                    table = keyspace.tables[read.part.table]
                    keys = [(link, key_of(read.shape, row)) for link, row in read.before]
                    after = await _rows_with(session, read, table, links, keys)
                    writer = LookupWriter(session, self._view, atomic, read.shape)
                    await writer.apply(read.lookups, read.before, after)
                await atomic.commit()
            return oks

        try:
            oks = await until_done(session, once)
        except Failed as failed:
            session.reply(failed.answer.data)
            return
        total = combine_oks(oks, status=session.status)
        session.ok(total.affected_rows, total.last_insert_id, total.warnings, total.info)


class OwnedInsertRunner:
    """Runs an InsertPlan whose table owns lookup vindexes."""

    def __init__(self, plan: InsertPlan, view: ClusterView, insert: int = 0) -> None:
        self._plan = plan
        self._view = view
        self._flags = insert

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        del sql, params
        session.start(self._run(session, literals))

    async def _run(self, session: Session, literals: Sequence[bytes]) -> None:
        plan = self._plan
        insert = InsertRunner(plan, self._view)
        work = await insert.work(session, literals)
        await _admit(session, [link for link, _ in work[0]])
        writer = OwnedInsert(plan, self._view)
        await writer.prepare(session)
        before = session.last_insert_id

        async def once(patience: Patience) -> tuple[list[Ok], list[Answer]]:
            async with Atomic(session, patience=patience) as atomic:
                oks = await writer.write(session, atomic, plan, work, self._flags)
                await atomic.commit()
            return oks, atomic.answers

        try:
            oks, answers = await until_done(session, once)
        except Failed as failed:
            session.reply(failed.answer.data)
            return
        total = combine_oks(oks, status=session.status)
        first = note_generated(session, answers, oks, work[2], self._flags, before)
        info = insert.info(oks)
        session.ok(total.affected_rows, first or total.last_insert_id, total.warnings, info)
