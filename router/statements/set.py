"""SET: session variables, user variables, character sets, transaction characteristics.

Invariants:
- All of a SET happens or nothing: the session is changed as it goes and put back if anything fails or is killed.
- All its expressions see the session as it was before, as MySQL has it: `SET @a = 1, @b = @a` does not make @b 1.
- A setting is in `session.settings` only after a server has taken it, and as the server keeps it.
- What can be decided here (constants, known defaults, values seen before) costs no round trip and no task.
"""

from dataclasses import dataclass
from typing import Final

from router.plan.plans import Kind
from router.sessions.commit import commit
from router.sessions.session import Session
from router.sessions.tracking import of_set
from router.sessions.transaction_tracker import Tracker
from router.sql.dialect import Dialect
from router.statements import assign, evaluate, judge, pinned_set, set_global, set_statement
from router.statements.assignments import (
    Assignment,
    SystemVariable,
    TransactionCharacteristics,
    UserVariable,
    parse,
)
from router.statements.words import Words
from router.variables.reading import is_mariadb

_FOR_NEXT_TRANSACTION: Final = frozenset(
    ("transaction_isolation", "transaction_read_only", "tx_isolation", "tx_read_only")
)


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
    tracker: Tracker | None
    flags: int

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
    following = words.peek(2)
    if (
        words.sees("SET", "STATEMENT")
        and is_mariadb(session)
        and following is not None
        and following.text != "="
    ):
        set_statement.run(session, sql)
        return
    assignments = parse(words)
    if any(isinstance(one, SystemVariable) and one.scope in set_global.GLOBAL for one in assignments):
        set_global.run(session, words, assignments)
        return
    names = _named(session, assignments)
    values = [_constant(session, words, one) for one in assignments]
    if None in values:
        session.start(_compute(session, words, assignments, values, names))
        return
    before = Snapshot.of(session)
    changes = _assign(session, assignments, values, before)
    if changes.ask or changes.pins or _commits(session, changes):
        session.start(_finish(session, changes, before, names))
        return
    _done(session, changes, names)


def _named(session: Session, assignments: list[Assignment]) -> list[str]:
    """What of the session the SET is about, as `router.sessions.tracking` names it."""
    names = []
    isolation, read_only = (
        ("tx_isolation", "tx_read_only")
        if is_mariadb(session)
        else ("transaction_isolation", "transaction_read_only")
    )
    for one in assignments:
        if isinstance(one, UserVariable):
            names.append("@")
        elif isinstance(one, SystemVariable):
            if one.scope or one.name not in _FOR_NEXT_TRANSACTION:
                names.append(one.name)
        elif isinstance(one, TransactionCharacteristics):
            if one.scope and one.isolation:
                names.append(isolation)
            if one.scope and one.read_only is not None:
                names.append(read_only)
        else:
            names.append("NAMES")
    return names


def _constant(session: Session, words: Words, one: Assignment) -> bytes | None:
    """The value of an assignment, empty where it has none (SET NAMES ...); None if a server must compute it."""
    if not isinstance(one, (UserVariable, SystemVariable)):
        return b""
    return evaluate.constant(session, words, one.start, one.end, system=isinstance(one, SystemVariable))


def _assign(
    session: Session, assignments: list[Assignment], values: list[bytes | None], before: Snapshot
) -> judge.Changes:
    changes = judge.Changes()
    try:
        for one, literal in zip(assignments, values, strict=True):
            if isinstance(one, (UserVariable, SystemVariable)):
                assert literal is not None
                assign.value(session, one, literal, changes)
            else:
                assign.other(session, one, changes)
    except BaseException:
        before.restore(session)
        raise
    return changes


def _commits(session: Session, changes: judge.Changes) -> bool:
    return bool(changes.autocommit) and not session.autocommit and session.tx is not None


async def _compute(
    session: Session,
    words: Words,
    assignments: list[Assignment],
    values: list[bytes | None],
    names: list[str],
) -> None:
    for at, one in enumerate(assignments):
        if values[at] is None:
            assert isinstance(one, (UserVariable, SystemVariable))
            system = isinstance(one, SystemVariable)
            values[at] = await evaluate.computed(session, words, one.start, one.end, system=system)
    before = Snapshot.of(session)
    await _finish(session, _assign(session, assignments, values, before), before, names)


async def _finish(session: Session, changes: judge.Changes, before: Snapshot, names: list[str]) -> None:
    try:
        await judge.verify(session, changes)
        if changes.pins:
            await pinned_set.run(session, changes.pins)
            changes.warnings += session.warnings or ()
        if _commits(session, changes):
            await commit(session)
    except BaseException:
        before.restore(session)
        raise
    _done(session, changes, names)


def _done(session: Session, changes: judge.Changes, names: list[str]) -> None:
    if changes.autocommit is not None:
        session.autocommit = changes.autocommit
    if changes.warnings:
        session.warnings = list(changes.warnings)
    session.ok(warnings=len(changes.warnings), changes=of_set(session, names))


__all__ = ["Snapshot", "run"]
