"""Writes on several shards: one statement, one transaction, all or nothing as far as mode `multi` can.

Shards are written one after the other in key range order: two statements that touch the same shards take their
locks in the same order. Outside a transaction the statement gets one of its own; inside, a savepoint a shard lets a
failure undo the statement and not the transaction.
"""

import re
from asyncio import CancelledError
from collections.abc import Callable, Sequence
from time import time

from core.errors import SluiceError, fail, not_supported
from core.rpc import messages as m
from router.call import Answer, TabletError
from router.engine.affected import combine_oks
from router.execute.refuse import refuse
from router.execute.route import chooser_links
from router.execute.whole import reply_distinct
from router.gateway import Link
from router.plan.plans import DdlPlan, DmlPlan
from router.sessions import holding
from router.sessions.bound import bound_text
from router.sessions.commit import commit
from router.sessions.insert_ids import note_generated, note_told, with_insert_id
from router.sessions.parts import Runner
from router.sessions.query_attributes import along
from router.sessions.reservation import effect_of
from router.sessions.session import Session
from router.sessions.warnings import add_warning, note_error, note_warnings
from router.view import ClusterView
from wire.answers import Ok, parse_ok

SAVEPOINT = b"sluice_statement"
_FILLS = re.compile(rb".{0,200}?\bcreate\b.*\bselect\b", re.I | re.S)
"""A CREATE TABLE that may insert rows; of other statements some too."""


async def write_on(
    session: Session,
    work: Sequence[tuple[Link, bytes]],
    tables: tuple[str, ...] | None,
    *,
    insert_id: int = 0,
    copies: bool = False,
    insert: int = 0,
    info: Callable[[Sequence[Ok]], bytes] | None = None,
) -> None:
    """Runs each text on its link as one statement of the session, and answers. Raises SluiceError.

    `copies`: all do the same to the same rows, which count once. `insert`: F_INSERT, F_UPSERT or F_INSERT_ID;
    `insert_id`: the first that the router generated. `info`: the whole statement's, where a sum of fields is not."""
    calls = session.worker.calls
    if session.worker.admission.limits_queries:
        shards = tuple(link.shard for link, _ in work)
        await session.worker.admission.enter(session, work[0][0].keyspace, shards)
    several = len(work) > 1
    own = several and session.tx is None and session.autocommit
    if own and session.reserved:
        raise not_supported(
            "a write on several shards in a session that holds a reserved connection",
            "SHOW PINS says what holds it; end that first.",
        )
    if own:
        holding.open_transaction(session)
        session.implicit = True
    done: list[Link] = []
    answers: list[Answer] = []
    before = session.last_insert_id
    try:
        for link, text in work:
            if several and not own:
                await set_savepoint(session, link)
                done.append(link)
            answer = await calls.in_session(session, link, text, flags=m.F_WRITE | insert, tables=tables)
            if answer.failed:
                await undo(session, own, done)
                session.implicit = False
                session.reply(answer.data)
                return
            answers.append(answer)
            session.last_insert_id = before  # for the next shard to begin with
        if own:
            await commit(session)
    except Exception:
        await undo(session, own, done)
        raise
    except CancelledError:
        abandon(session, done)
        raise
    finally:
        if own and session.tx is not None:
            holding.transaction_over(session)
        session.implicit = False
    if copies:
        del answers[1:]
    oks = [ok_of(answer) for answer in answers]
    total = combine_oks(oks, status=session.status)
    insert_id = note_generated(session, answers, oks, insert_id, insert, before)
    text = total.info if info is None else info(oks)
    session.ok(total.affected_rows, insert_id or total.last_insert_id, total.warnings, text)


async def set_savepoint(session: Session, link: Link) -> None:
    tx = session.tx
    calls = session.worker.calls
    if tx is None:
        tx = holding.open_transaction(session)
    tx.check()
    if not tx.handle_on(link):
        holding.check_joining(session, tx, link)
        await calls.join(session, tx, link)
    await calls.in_session(session, link, b"SAVEPOINT " + SAVEPOINT)


async def undo(session: Session, own: bool, done: Sequence[Link]) -> None:
    """After a failure: rolls the statement back on every shard, or its own transaction altogether."""
    tx = session.tx
    if tx is None or tx.lost:
        return
    if own:
        holding.transaction_over(session)
        return
    for link in done:
        try:
            answer = await session.worker.calls.in_session(
                session, link, b"ROLLBACK TO SAVEPOINT " + SAVEPOINT
            )
        except SluiceError as error:
            tx.lose(error.message)
            return
        except CancelledError:
            abandon(session, done)
            raise
        if answer.failed and session.tx is tx:
            tx.lose(f"a statement could not be undone on {link.keyspace}/{link.shard}")
            return


def abandon(session: Session, done: Sequence[Link]) -> None:
    """A statement ended half way and cannot wait for its undoing: the transaction is lost with it, until ROLLBACK."""
    if done and session.tx is not None:
        session.tx.lose("a statement that wrote on several shards was ended half way")


def ok_of(answer: Answer) -> Ok:
    return parse_ok(answer.last_payload())


class WriteSeveral:
    """Runs a DmlPlan whose chooser names more than one shard."""

    def __init__(
        self, plan: DmlPlan, view: ClusterView, mover: Runner | None = None, insert: int = 0
    ) -> None:
        """`mover`: what runs the plan's `move`, if it has one. `insert`: as for `write_on`."""
        self._insert = insert
        self._plan = plan
        self._mover = mover
        self._links = chooser_links(plan.chooser, view)

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
        """Runs it on `links`, which have all rows that it can change."""
        if self._mover is not None:
            self._mover.run(session, sql, literals, params)
            return
        if self._plan.refusal is not None:
            refuse(session, self._plan, links[0], sql, literals, params)
            return
        text = bound_text(sql, literals) if params is not None else sql
        work = [(link, text) for link in links]
        session.start(
            write_on(session, work, self._plan.tables, copies=self._plan.copies, insert=self._insert)
        )


async def _define(session: Session, link: Link, sql: bytes, plan: DdlPlan) -> Answer:
    """DDL on one shard, outside of any transaction: on the connection that is reserved there, if one is, since its
    names may be temporary tables, and its table locks count. Raises SluiceError."""
    handle = holding.reserved_handle(session, link)
    fills = _FILLS.match(sql) is not None
    answer = await session.worker.calls.execute(
        link,
        sql,
        flags=m.F_WRITE
        | m.F_STATUS
        | m.F_WARNINGS
        | session.flags & m.F_FOUND_ROWS
        | (m.F_RENEW if plan.renews else 0)
        | (m.F_INSERT_ID if fills else 0),
        handle=handle,
        user=session.user,
        settings=session.settings_text,
        tables=plan.tables,
        extra=along(session, with_insert_id(session) if fills else None),
    )
    if answer.told:
        note_told(session, answer.told.partition(b" ")[0])
    if handle and not answer.handle:
        holding.lose_reserved(session, link)
    elif handle and not answer.failed and session.reserved:
        session.reserved[link].note(effect_of(sql, session.dialect), sql, time())
        holding.release_unpinned(session, link)
    return answer


class DdlRunner:
    """DDL: the open transaction is committed first, then every shard gets the statement, in order.

    DDL cannot be rolled back: an error on a later shard names those that have it already."""

    __slots__ = ("_links", "_plan")

    def __init__(self, plan: DdlPlan, view: ClusterView, shard: str = "") -> None:
        self._plan = plan
        keyspace = view.keyspace(plan.keyspace)
        if shard and shard not in keyspace.by_shard:
            raise fail("UNKNOWN_DATABASE", database=f"{plan.keyspace}:{shard}")
        self._links = (keyspace.by_shard[shard],) if shard else keyspace.links

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        session.start(self._run(session, bound_text(sql, literals) if params is not None else sql))

    async def _run(self, session: Session, sql: bytes) -> None:
        plan = self._plan
        if session.tx is not None and plan.commits:
            await commit(session)
        oks: list[Ok] = []
        rows: list[bytes] = []
        for link in self._links:
            try:
                answer = await _define(session, link, sql, plan)
            except TabletError as failure:
                if oks:
                    failure.message += (
                        f" (on {link.keyspace}/{link.shard}; done already on {self._names(oks)})"
                    )
                raise
            if answer.warnings:
                note_warnings(session, answer.warnings, further=True)
            if answer.failed:
                note_error(session, answer.last_payload())
                error = answer.error()
                if oks:
                    text = (
                        f"{error.text} (on {link.keyspace}/{link.shard}; done already on {self._names(oks)})"
                    )
                    session.error(error.number, error.sqlstate, text)
                else:
                    session.reply(answer.data)
                return
            if answer.info & m.I_OK:
                oks.append(ok_of(answer))
            else:
                rows.append(answer.data)
        if rows:
            reply_distinct(session, rows)
            return
        total = combine_oks(oks, status=session.status)
        if plan.unknown:
            add_warning(session, fail("NOT_IN_VSCHEMA", table=plan.unknown))
        session.ok(total.affected_rows, total.last_insert_id, total.warnings + bool(plan.unknown), total.info)

    def _names(self, oks: Sequence[Ok]) -> str:
        return ", ".join(f"{link.keyspace}/{link.shard}" for link in self._links[: len(oks)])
