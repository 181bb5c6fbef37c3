"""Statements that read session state: the state becomes literals, and the statement an ordinary one."""

from collections.abc import Sequence
from typing import Any, Final

from router import statements
from router.execute.values import literals_name_part, render
from router.plan.plans import SubstitutePlan
from router.plan.substitute import USER_VARIABLES
from router.sessions.session import Session
from router.sessions.warnings import forgets_warnings

_FOUND_ROWS: Final = (
    "Warning",
    1287,
    "FOUND_ROWS() is deprecated and will be removed in a future release. Consider using COUNT(*) instead.",
)
"""What MySQL says each time."""


class SubstituteRunner:
    """Runs a SubstitutePlan: alone in the router where nothing else is asked, else as the statement it becomes."""

    __slots__ = ("_plan",)

    def __init__(self, plan: SubstitutePlan) -> None:
        self._plan = plan

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        del sql, params
        plan = self._plan
        if session.tracker is not None:
            session.tracker.reads(plan.spots)
        if plan.local is not None and statements.is_local(session, plan.local):
            warned = None
            if forgets_warnings(session):
                asked = [_FOUND_ROWS for column in plan.local if column.value == ("function", "found_rows")]
                warned = asked or None
            answer = statements.local_result(session, plan.local, literals, len(warned or ()))
            session.affected_rows, session.found_rows = -1, 1
            if forgets_warnings(session):
                session.warnings = warned
            session.reply(answer)
            return
        if any(map(statements.is_of_sessions, plan.spots)):
            session.start(self._with_sessions(session, literals))
        else:
            self._run(session, literals, ())

    async def _with_sessions(self, session: Session, literals: Sequence[bytes]) -> None:
        sessions = await statements.sessions_of(session)
        session.task = None  # it goes on as a statement of its own
        self._run(session, literals, sessions)

    def naming_variables(self, session: Session, literals: Sequence[bytes]) -> tuple[bytes, bytes] | None:
        """The text that `run` has run, and the one with user variables by their names; None where these do not
        differ, or it took more than the session's own state."""
        plan = self._plan
        kinds = {kind for kind, _ in plan.spots}
        if kinds.isdisjoint(USER_VARIABLES) or any(map(statements.is_of_sessions, plan.spots)):
            return None
        spots = self._values(session, literals, ())
        named = [
            b"@`" + what.encode().replace(b"`", b"``") + b"`" if kind in USER_VARIABLES else value
            for (kind, what), value in zip(plan.spots, spots, strict=True)
        ]
        return render(plan.template, literals, spots), render(plan.template, literals, named)

    def _run(self, session: Session, literals: Sequence[bytes], sessions: Sequence[Sequence[Any]]) -> None:
        spots = self._values(session, literals, sessions)
        session.run_substituted(render(self._plan.template, literals, spots))

    def _values(
        self, session: Session, literals: Sequence[bytes], sessions: Sequence[Sequence[Any]]
    ) -> list[bytes]:
        return [
            literals_name_part(literals, int(what))
            if kind == "name_part"
            else statements.value_of_spot(session, (kind, what), sessions)
            for kind, what in self._plan.spots
        ]
