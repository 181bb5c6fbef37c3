"""The rows of a SELECT for the router itself, which a statement of the session's goes on with.

Planned as a client's SELECT, run inside the session's transaction, every row held. Text comes in each column's own
character set; sql_select_limit does not count, as it does not for INSERT ... SELECT. Invariants: at most
`max_memory_rows` rows and MAX_BYTES; what the session has set is as before when this ends.
"""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Final

from core.errors import ErrorCode, SluiceError, fail, not_supported
from core.rpc import messages as m
from router.call import Answer, TabletError
from router.engine.digits import hides_digits
from router.engine.output import ClientFlavour
from router.engine.reader import ResultReader
from router.execute.finish import MAX_BYTES, Finisher
from router.execute.moving import shows_quotients
from router.execute.owner import checked
from router.execute.route import chooser_links, chooser_one
from router.execute.several import UNMERGED, MergedText
from router.execute.view import ViewRunner
from router.gateway import Link
from router.plan.plans import Choice, FinishPlan, PlanError, SelectPlan
from router.sessions.session import Session
from router.sql.normalise import normalise
from router.view import ClusterView
from wire.columns import Column
from wire.rows import split_text_row

SHARE: Final = b" LOCK IN SHARE MODE"
UPDATE: Final = b" FOR UPDATE"
_STRICT: Final = frozenset((1260, 1292, 1301, 1365, 1411, 1441, 3020))
"""Warnings of a SELECT that are errors of a strict session where its rows are written."""


@dataclass(slots=True)
class Selected:
    """Rows in the order of the SELECT. `rows` gives each once, and forgets it. `hidden_digits`: as for
    `assigning.renders`."""

    columns: list[Column]
    _readers: list[ResultReader]
    hidden_digits: bool = False

    def rows(self) -> Iterator[list[bytes | None]]:
        width = len(self.columns)
        while self._readers:
            reader = self._readers.pop(0)
            while (payload := reader.next_row()) is not None:
                yield split_text_row(payload, width)


@contextmanager
def _reading(session: Session) -> Iterator[None]:
    """The session's settings, as they are for rows that the router reads."""
    settings, text = session.settings, session.settings_text
    changed = {name: value for name, value in (settings or {}).items() if name != "sql_select_limit"}
    changed["character_set_results"] = "NULL"
    session.replace_settings(changed)
    try:
        yield
    finally:
        session.settings, session.settings_text = settings, text


async def select(
    session: Session, view: ClusterView, text: bytes, lock: bytes, *, lenient: bool = False
) -> Selected:
    """The rows of `text`, read with `lock` (SHARE, UPDATE). `lenient`: warnings are no errors (IGNORE). Raises
    SluiceError."""
    session.warnings = None
    with _reading(session):
        keys: list[bytes] = []
        answers = await _answers(session, view, text, lock, keys)
    if not lenient:
        _check_warnings(session)
    readers = []
    rows = size = 0
    limit = session.worker.boot.config.router.max_memory_rows
    for answer in answers:
        checked(answer)
        reader = ResultReader()
        reader.feed(answer.data, True)
        readers.append(reader)
        rows += answer.info >> m.ROWS_SHIFT
        size += len(answer.data)
    if rows > limit or size > MAX_BYTES:
        raise fail("RESULT_TOO_LARGE", limit=limit if rows > limit else f"{MAX_BYTES} bytes of")
    quotients = not shows_quotients(session)
    hidden = any(hides_digits(key, session.dialect, quotients=quotients) for key in keys)
    return Selected(readers[0].columns, readers, hidden)


async def _answers(
    session: Session, view: ClusterView, text: bytes, lock: bytes, keys: list[bytes], spread: bool = False
) -> list[Answer]:
    """`keys` gets the normalised queries, before and after views are put in."""
    normalised = normalise(text, session.dialect)
    keys.append(normalised.key)
    literals = normalised.literals
    planned = session.worker.planned(session, normalised.key, substitute=False, spread=spread)
    plan = planned.plan
    if planned.reserve:
        raise not_supported(f"{planned.reserve} in a write over several shards", "SELECT it by itself first.")
    if isinstance(plan, PlanError) and plan.views is not None:
        error = SluiceError(ErrorCode("", plan.number, plan.sqlstate, False, "", ""), plan.text)
        viewed = await ViewRunner(plan, error, view).text(session, literals)
        return await _answers(session, view, viewed, lock, keys)
    if isinstance(plan, PlanError):
        raise SluiceError(ErrorCode("", plan.number, plan.sqlstate, False, "", ""), plan.text)
    if isinstance(plan, FinishPlan):
        return [await Finisher(plan.finish, plan.refusal, view).answer(session, literals, lock=lock)]
    if not isinstance(plan, SelectPlan):
        raise not_supported("a query of this form in a write over several shards", "SELECT the rows first.")
    clause = b"" if plan.locking or not plan.tables or _is_compound(normalised.key) else lock
    link = chooser_one(plan.chooser, view, session.shard)(literals)
    if link is not None:
        return [await session.worker.calls.in_session(session, link, text + clause)]
    if plan.chooser.choice is Choice.EQUAL:
        return await _answers(session, view, text, lock, keys, spread=True)
    if plan.finish is not None:
        finisher = Finisher(plan.finish, plan.refusal or ("", ""), view)
        return [await finisher.answer(session, literals, lock=lock)]
    if plan.refusal is not None:
        raise not_supported(*plan.refusal)
    merged = await _merged(session, plan, view, text, literals, clause)
    if merged is None:
        assert plan.late is not None
        return [await Finisher(plan.late, UNMERGED, view).answer(session, literals, lock=lock)]
    return [merged]


def _is_compound(key: bytes) -> bool:
    """Whether a clause at the end might be the last part's only, or none at all."""
    words = key.upper()
    return key[:1] == b"(" or any(word in words for word in (b"UNION", b"EXCEPT", b"INTERSECT"))


async def _merged(
    session: Session,
    plan: SelectPlan,
    view: ClusterView,
    text: bytes,
    literals: Sequence[bytes],
    clause: bytes,
) -> Answer | None:
    """None where the shards' types cannot be merged."""
    links: Sequence[Link] = chooser_links(plan.chooser, view)(literals)
    increment = (session.settings or {}).get("div_precision_increment", "4")
    client = ClientFlavour(
        status=session.status, div_precision_increment=int(increment) if increment.isdigit() else 4
    )
    merged = MergedText(plan, session, links, text, literals, None, client)
    run = merged.run()
    packets: list[bytes] = []
    size = 0
    for index, link in enumerate(links):
        flags = m.F_PARTIAL if plan.partial else 0
        answer = await session.worker.calls.in_session(session, link, merged.text + clause, flags=flags)
        size += len(checked(answer).data)
        if size > MAX_BYTES:
            raise fail("RESULT_TOO_LARGE", limit=f"{MAX_BYTES} bytes of")
        packets += map(bytes, run.feed(index, answer.data, True))
    if run.given_up:
        return None
    if run.error is not None:
        raise TabletError(run.error.number, run.error.sqlstate, run.error.text, 0)
    return Answer(m.I_LAST | run.rows_sent << m.ROWS_SHIFT, b"".join(packets), 0, 0)


def _check_warnings(session: Session) -> None:
    """A strict session's write fails where MySQL finds such faults as it reads. Raises TabletError."""
    mode = (session.settings or {}).get("sql_mode") or session.worker.server.get("variables", {}).get(
        "sql_mode", ""
    )
    if "STRICT" not in mode.upper() and "TRADITIONAL" not in mode.upper():
        return
    for level, number, text in session.warnings or ():
        if level == "Warning" and number in _STRICT:
            raise TabletError(number, "22012" if number == 1365 else "22007", text, 0)
