"""LAST_INSERT_ID(value) over several shards: every shard starts from the session's value, and tells what it has then.

All run inside one transaction (the session's, or one around this statement), so that each shard's connection stays the
same from the first word to the last. Where values differ by row, the last shard's counts: which row is the last is
open on one MySQL too.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.rpc import messages as m
from router.call import Answer
from router.engine.affected import combine_oks
from router.execute.atomic import Atomic, Failed
from router.execute.owner import checked
from router.execute.route import chooser_links
from router.execute.several import MergedText
from router.execute.write import ok_of
from router.gateway import Link
from router.plan.plans import DmlPlan, SelectPlan
from router.sessions.bound import bound_text
from router.sessions.session import Session
from router.statements.result import rows_of
from router.view import ClusterView

Several = Callable[[Session, bytes, Sequence[bytes], bytes | None], bool]


def last_insert_id_several(plan: SelectPlan | DmlPlan, view: ClusterView) -> Several | None:
    """What runs the plan on several shards and says whether it could; None where it may not."""
    if plan.refusal is not None or (isinstance(plan, DmlPlan) and plan.owned):
        return None
    links_of = chooser_links(plan.chooser, view)

    def run(session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> bool:
        links = links_of(literals)
        if len(links) < 2 or session.reserved:
            return False
        if isinstance(plan, SelectPlan):
            merged = MergedText(plan, session, links, sql, literals, params)
            session.start(_select(session, links, plan, merged))
        else:
            text = bound_text(sql, literals) if params is not None else sql
            session.start(_write(session, links, plan, text))
        return True

    return run


async def _around(
    session: Session, links: Sequence[Link], text: bytes, flags: int, tables: tuple[str, ...] | None
) -> list[Answer]:
    """The shards' answers. Raises SluiceError, Failed."""
    calls = session.worker.calls
    before = session.last_insert_id
    answers: list[Answer] = []
    after = before
    if session.worker.admission.limits_queries:
        await session.worker.admission.enter(session, links[0].keyspace, tuple(link.shard for link in links))
    async with Atomic(session) as atomic:
        for link in links:
            if flags & m.F_WRITE:
                await atomic.touch(link)
            checked(await calls.in_session(session, link, b"DO LAST_INSERT_ID(%d)" % before))
            answer = await calls.in_session(session, link, text, flags=flags, tables=tables)
            if answer.failed:
                raise Failed(answer)
            answers.append(answer)
            warnings = session.warnings
            told = checked(await calls.in_session(session, link, b"SELECT LAST_INSERT_ID()"))
            session.warnings = warnings
            value = int(rows_of(told).rows[0][0] or 0)
            after = value if value != before else after
        await atomic.commit()
    session.last_insert_id = after
    return answers


async def _select(session: Session, links: Sequence[Link], plan: SelectPlan, merged: MergedText) -> None:
    try:
        answers = await _around(session, links, merged.text, m.F_PARTIAL * plan.partial, plan.tables)
    except Failed as failed:
        session.reply(failed.answer.data)
        return
    run = merged.run()
    for index, answer in enumerate(answers):
        for packets in run.feed(index, answer.data, True):
            session.connection.write(bytes(packets))
    session.found_rows = run.rows_sent
    session.affected_rows = -1
    session.finish()


async def _write(session: Session, links: Sequence[Link], plan: DmlPlan, text: bytes) -> None:
    try:
        answers = await _around(session, links, text, m.F_WRITE, plan.tables)
    except Failed as failed:
        session.reply(failed.answer.data)
        return
    oks = [ok_of(answer) for answer in answers]
    total = combine_oks(oks[:1] if plan.copies else oks, status=session.status)
    session.ok(total.affected_rows, total.last_insert_id, total.warnings, total.info)
