"""Tier 2: one SELECT on several shards, merged while it streams (`router.engine` merges, this file does the I/O).

Invariants: each shard's request has one end, waited for while it runs on a held connection; a client that reads
slowly stops the shards (credits are granted from its socket backwards); the first error ends the answer.
"""

import asyncio
from collections.abc import Sequence
from functools import partial
from typing import Final

from core.errors import CODES
from core.rpc import messages as m
from router.engine.merge import MergeRun
from router.engine.output import ClientFlavour
from router.execute.finish import Finisher
from router.execute.hints import number_of_hint
from router.execute.in_turn import run_in_turn
from router.execute.refuse import refuse
from router.execute.route import chooser_links
from router.execute.values import number_of, render
from router.execute.whole import reply_whole
from router.gateway import Link
from router.plan.plans import SelectPlan
from router.sessions import holding
from router.sessions.bound import bound_text
from router.sessions.query_attributes import along
from router.sessions.session import Session
from router.sessions.telling import end_of_rows
from router.sessions.transaction_tracker import noted
from router.sessions.warnings import note_warnings
from router.view import ClusterView
from wire.constants import SERVER_STATUS_IN_TRANS

_NEEDS_VARIABLES: Final = CODES["NEEDS_VARIABLES"].number
_I_LAST: Final = m.I_LAST
UNMERGED: Final = (
    "ordering, grouping or DISTINCT by columns of these types over several shards",
    "Convert them with CAST, or give the query the sharding column.",
)
"""The refusal of what could be finished on one server only, and not there either."""


class _Shard:
    """The receiver of one shard's answer."""

    __slots__ = ("_index", "_scatter")

    def __init__(self, scatter: "Scatter", index: int) -> None:
        self._scatter = scatter
        self._index = index

    def on_result(self, info: int, data: bytes, handle: int, status: int) -> None:
        self._scatter.on_result(self._index, info, data, handle, status)

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        self._scatter.on_fail(self._index, number, sqlstate, text, handle)


class Scatter:
    """One SELECT under way on several shards."""

    def __init__(self, session: Session, run: MergeRun, links: Sequence[Link]) -> None:
        self.session = session
        self.run = run
        self.links = links
        self.requests = [0] * len(links)
        self.open = [True] * len(links)
        self.done: asyncio.Future[None] = session.worker.loop.create_future()
        self.lost = ""
        self.sent_back = False
        """The shards' programs use what the session has: nothing has run."""
        self.in_transaction = session.tx is not None

    def start(self, flags: int, tables: tuple[str, ...] | None, sql: bytes) -> None:
        """Sends the statement to every shard."""
        session = self.session
        flags |= session.flags & (m.F_FOUND_ROWS | m.F_EXTENDED)
        if session.flags & m.F_SESSION_TRACK:
            flags |= m.F_SESSION_TRACK | m.F_TRACK_ROWS
        tx = session.tx
        for index, link in enumerate(self.links):
            handle = tx.handle_on(link) if tx is not None else holding.reserved_handle(session, link)
            self.requests[index] = link.execute(
                _Shard(self, index),
                flags | (m.F_STATUS if handle else 0),
                handle,
                session.user,
                session.settings_text,
                tables,
                sql,
                along(session),
            )

    def on_result(self, index: int, info: int, data: bytes, handle: int, status: int) -> None:
        if info & m.I_WARNINGS:
            note_warnings(self.session, data, further=True)
            return
        if info & m.I_TRACKED:
            noted(self.session, self.links[index], data)
            return
        last = bool(info & _I_LAST)
        if last:
            self.open[index] = False
            if not handle:
                holding.lose_reserved(self.session, self.links[index])
            tx = self.session.tx
            if tx is not None and self.in_transaction:
                tx.note(self.links[index], handle)
                if not status & SERVER_STATUS_IN_TRANS:
                    self.lost = "a shard rolled it back"
        for packets in self.run.feed(index, data, last):
            self.session.connection.write(bytes(packets))
        self._go_on()

    def on_fail(self, index: int, number: int, sqlstate: str, text: str, handle: int) -> None:
        self.open[index] = False
        if not handle:
            holding.lose_reserved(self.session, self.links[index])
        tx = self.session.tx
        if tx is not None and self.in_transaction:
            tx.note(self.links[index], handle)
            if not handle:
                self.lost = text
        if number == _NEEDS_VARIABLES and not self.run.header_sent:
            self.sent_back = True
            self.run.give_up()
        for packets in self.run.fail(number, sqlstate, text):
            self.session.connection.write(bytes(packets))
        self._go_on()

    def on_writable(self) -> None:
        """The client took what was written: the shards may go on."""
        for index, size in self.run.credits():
            if self.open[index]:
                self.links[index].credit(self.requests[index], size)

    def interrupt(self) -> None:
        """KILL QUERY: each shard still answers, with error 1317."""
        for index, link in enumerate(self.links):
            if self.open[index]:
                link.cancel(self.requests[index])

    def _go_on(self) -> None:
        if not self.session.connection.write_paused:
            self.on_writable()
        if self.run.finished and not self.in_transaction and not self.session.reserved:
            self.abandon()  # not of a held connection: that would be given back with the answer
        if not any(self.open) and not self.done.done():
            self.done.set_result(None)

    def abandon(self) -> None:
        """Nobody needs the rest."""
        for index, link in enumerate(self.links):
            if self.open[index]:
                self.open[index] = False
                link.abandon(self.requests[index])


class MergedText:
    """A merge for one statement: the `text` for each shard, and what puts the answers together."""

    __slots__ = ("_client", "_limit", "_links", "_offset", "_plan", "_session", "text")

    def __init__(
        self,
        plan: SelectPlan,
        session: Session,
        links: Sequence[Link],
        sql: bytes,
        literals: Sequence[bytes],
        params: bytes | None,
        client: ClientFlavour | None = None,
    ) -> None:
        """`client`: how rows are wanted, if not as the session's client wants them."""
        self.text = bound_text(sql, literals) if params is not None else sql
        self._plan = plan
        self._session = session
        self._links = links
        limit = offset = None
        if plan.merge is not None:
            limit = number_of(plan.merge.limit, literals)
            offset = number_of(plan.merge.offset, literals)
            if plan.sql is not None:
                self.text = render(plan.sql, literals, (b"%d" % ((limit or 0) + (offset or 0)),))
        if plan.merge is None or plan.merge.limit is None:
            # what sql_select_limit lets through is a limit of the whole answer, not of each shard's
            limit = self._number("sql_select_limit", 0) or None
        self._limit, self._offset = limit, offset
        self._client = client or ClientFlavour(
            deprecate_eof=bool(session.flags & m.F_DEPRECATE_EOF),
            extended=bool(session.flags & m.F_EXTENDED),
            binary=params is not None or session.binary,
            status=session.status,
            div_precision_increment=self._number("div_precision_increment", 4),
            ended=partial(end_of_rows, session),
        )

    def _number(self, setting: str, default: int) -> int:
        """A numeric setting, of a hint or of the session."""
        hint = number_of_hint(self._session, self.text, setting)
        return _number(self._session, setting, default) if hint is None else hint

    def run(self) -> MergeRun:
        worker = self._session.worker
        return MergeRun(
            self._plan.merge,
            len(self._links),
            self._client,
            worker.boot.config.router.max_memory_rows,
            limit=self._limit,
            offset=self._offset,
            enum_weights=worker.server.get("flavour") != "mariadb",
            may_give_up=self._plan.late is not None and not self._session.reserved,
        )


class SeveralShards:
    """Runs a SelectPlan whose chooser names more than one shard."""

    def __init__(self, plan: SelectPlan, view: ClusterView) -> None:
        self._plan = plan
        self._links = chooser_links(plan.chooser, view)
        self._flags = m.F_CONSOLIDATE if plan.consolidate else m.F_PARTIAL if plan.partial else 0
        self._finisher = None
        if plan.finish is not None and plan.refusal is not None:
            self._finisher = Finisher(plan.finish, plan.refusal, view)
        self._late = Finisher(plan.late, UNMERGED, view) if plan.late is not None else None

    def __call__(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        self.on(session, self._links(literals), sql, literals, params)

    def on(
        self,
        session: Session,
        links: Sequence[Link],
        sql: bytes,
        literals: Sequence[bytes],
        params: bytes | None,
    ) -> None:
        """Runs it on `links`, which have all rows that matter."""
        plan = self._plan
        if self._finisher is not None:
            self._finisher.run(session, sql, literals, params)
            return
        if plan.refusal is not None:
            refuse(session, plan, links[0], sql, literals, params)
            return
        merged = MergedText(plan, session, links, sql, literals, params)
        session.start(self._run(session, merged, links, literals))

    async def _run(
        self, session: Session, merged: MergedText, links: Sequence[Link], literals: Sequence[bytes]
    ) -> None:
        flags = self._flags
        if session.worker.admission.limits_queries:
            shards = tuple(link.shard for link in links)
            await session.worker.admission.enter(session, links[0].keyspace, shards)
        if session.tx is None and not session.autocommit:
            holding.open_transaction(session)
        tx = session.tx
        if tx is not None:
            flags &= ~m.F_CONSOLIDATE
            tx.check()
            for link in links:
                if not tx.handle_on(link):
                    holding.check_joining(session, tx, link)
                    await session.worker.calls.join(session, tx, link)
        run = merged.run()
        scatter = Scatter(session, run, links)
        session.source = scatter
        try:
            scatter.start(flags | m.F_WARNINGS, self._plan.tables, merged.text)
            await scatter.done
        finally:
            session.source = None
            scatter.abandon()
        if scatter.lost and tx is not None and session.tx is tx:
            if "rolled it back" in scatter.lost:
                holding.transaction_over(session)
            else:
                tx.lose(scatter.lost)
        if scatter.sent_back and session.tx is tx:
            run = merged.run()
            await run_in_turn(session, run, links, merged.text, flags & m.F_PARTIAL, self._plan.tables)
        if run.given_up and self._late is not None:
            session.warnings = None
            await self._late.finish(session, literals)
            return
        session.found_rows = run.rows_sent
        if run.error is not None:
            session.worker.stats.note_error(run.error.number, run.error.text)
            session.warnings = [("Error", run.error.number, run.error.text)]
        session.affected_rows = -1
        session.finish()


def _number(session: Session, setting: str, default: int) -> int:
    """A numeric setting of the session; `default` where it has none."""
    text = session.settings.get(setting, "") if session.settings else ""
    return int(text) if text.isdigit() else default


async def run_as_binary(
    session: Session, link: Link, flags: int, tables: tuple[str, ...] | None, sql: bytes
) -> None:
    """Runs a text statement for a prepared execution: rows of the answer become binary rows."""
    if session.worker.admission.limits_queries:
        await session.worker.admission.enter(session, link.keyspace, (link.shard,))
    answer = await session.worker.calls.in_session(session, link, sql, flags=flags, tables=tables)
    reply_whole(session, answer)
