"""SET: session variables, user variables, character sets, transaction characteristics.

Invariants:
- All of a SET happens or nothing: the session is changed as it goes and put back if anything fails or is killed.
- A setting is in `session.settings` only after a server has taken it, and as the server keeps it.
- What can be decided here (constants, known defaults, values seen before) costs no round trip and no task.
"""

from dataclasses import dataclass

from router.plan.plans import Kind
from router.session import Session
from router.sql.dialect import Dialect
from router.statements import assign, evaluate
from router.statements.assign import Changes
from router.statements.assignments import Assignment, SystemVariable, UserVariable, parse
from router.statements.words import Words
from router.tracking import Tracked, changes_since, tracked


@dataclass(frozen=True, slots=True)
class Snapshot:
    """What a SET may change of a session."""

    settings: dict[str, str] | None
    settings_text: str
    variables: dict[str, str] | None
    user_variables: dict[str, bytes] | None
    next_transaction: list[str] | None
    last_insert_id: int
    dialect: Dialect
    codec: str | None

    @classmethod
    def of(cls, session: Session) -> "Snapshot":
        return cls(*(getattr(session, name) for name in cls.__slots__))

    def restore(self, session: Session) -> None:
        for name in self.__slots__:
            setattr(session, name, getattr(self, name))


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Handles one SET. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    assignments = parse(words)
    before = Snapshot.of(session)
    was = tracked(session)
    changes = Changes()
    try:
        waiting = _assign_constants(session, words, assignments, changes)
    except BaseException:
        before.restore(session)
        raise
    if waiting or changes.ask or (changes.autocommit and not session.autocommit and session.tx is not None):
        session.start(_finish(session, words, waiting, changes, before, was))
        return
    _done(session, changes, was)


def _assign_constants(
    session: Session, words: Words, assignments: list[Assignment], changes: Changes
) -> list[Assignment]:
    """Makes the assignments up to the first whose value a server must compute; gives that one and what follows."""
    for at, assignment in enumerate(assignments):
        if isinstance(assignment, (UserVariable, SystemVariable)):
            system = isinstance(assignment, SystemVariable)
            literal = evaluate.constant(session, words, assignment.start, assignment.end, system=system)
            if literal is None:
                return assignments[at:]
            assign.value(session, assignment, literal, changes)
        else:
            assign.other(session, assignment, changes)
    return []


async def _finish(
    session: Session,
    words: Words,
    waiting: list[Assignment],
    changes: Changes,
    before: Snapshot,
    was: Tracked,
) -> None:
    try:
        while waiting:
            first, rest = waiting[0], waiting[1:]
            assert isinstance(first, (UserVariable, SystemVariable))
            # what was set in this statement counts in the expressions that follow, once a server has taken it
            await assign.verify(session, changes)
            system = isinstance(first, SystemVariable)
            literal = await evaluate.computed(session, words, first.start, first.end, system=system)
            assign.value(session, first, literal, changes)
            waiting = _assign_constants(session, words, rest, changes)
        await assign.verify(session, changes)
        if changes.autocommit and not session.autocommit and session.tx is not None:
            await session.worker.calls.commit(session)
    except BaseException:
        before.restore(session)
        raise
    _done(session, changes, was)


def _done(session: Session, changes: Changes, was: Tracked) -> None:
    if changes.autocommit is not None:
        session.autocommit = changes.autocommit
    if changes.warnings:
        session.warnings = list(changes.warnings)
    session.ok(warnings=len(changes.warnings), changes=changes_since(session, was))


__all__ = ["Snapshot", "run"]
