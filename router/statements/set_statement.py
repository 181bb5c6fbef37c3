"""SET STATEMENT x = value, ... FOR statement (MariaDB): session variables for one statement.

Each variable is treated as by a SET of its own (`assign`), checks and refusals included, and is what it was again when
the statement has been answered; so the statement runs on one shard or many, as any other with these settings. What the
statement itself changes in the session stays.
"""

from typing import Final

from core.errors import fail, not_supported
from router.sessions.parts import Course
from router.sessions.session import Session
from router.statements import assign, evaluate, judge
from router.statements.assignments import SystemVariable
from router.statements.words import WORD, Words
from router.variables.table import Class, rule_of

_NEVER: Final = frozenset(
    """
    autocommit character_set_client character_set_connection character_set_filesystem collation_connection
    interactive_timeout profiling profiling_history_size query_cache_type skip_replication sql_log_off tx_isolation
    wait_timeout
    """.split()  # noqa: SIM905
)
"""MariaDB 10.11 says 1971; a test asks it again."""
_OF_THE_ROUTER: Final = frozenset(("character_set_results", "sql_mode", "sql_select_limit", "tx_read_only"))
"""Of the variables that the router acts by, those that are settings wholly."""


class _Restoring:
    """Puts the variables back when the statement has ended."""

    def __init__(
        self,
        session: Session,
        settings: dict[str, str],
        variables: dict[str, str],
    ) -> None:
        """`settings` and `variables`: what the session had before."""
        self._session = session
        self._settings = _differing(settings, session.settings or {})
        self._variables = _differing(variables, session.variables or {})
        self._outer: Course | None = session.several
        session.several = self

    def goes_on(self) -> bool:
        session = self._session
        session.several = self._outer
        if self._settings:
            session.replace_settings(_put_back(session.settings or {}, self._settings))
            judge.settle(session, "sql_mode")  # the statement may have changed it too
        if self._variables:
            session.variables = _put_back(session.variables or {}, self._variables) or None
        return self._outer is not None and self._outer.goes_on()


def _differing(before: dict[str, str], after: dict[str, str]) -> dict[str, str | None]:
    """What to put back of each name: its value before, None where it had none."""
    return {name: before.get(name) for name in {*before, *after} if before.get(name) != after.get(name)}


def _put_back(held: dict[str, str], old: dict[str, str | None]) -> dict[str, str]:
    found = {name: value for name, value in held.items() if name not in old}
    return {**{name: value for name, value in old.items() if value is not None}, **found}


def run(session: Session, sql: bytes) -> None:
    """Handles one SET STATEMENT. Raises SluiceError."""
    if session.binary:
        raise not_supported("a prepared SET STATEMENT", "Send it as text.")
    words = Words(sql, session.dialect)
    assignments, inner = parse(words)
    for one in assignments:
        _check(one.name)
    values = [evaluate.constant(session, words, one.start, one.end, system=True) for one in assignments]
    before = (dict(session.settings or {}), dict(session.variables or {}), session.dialect)
    if None in values:
        session.start(_compute(session, words, assignments, values, inner, before))
        return
    changes = _assign(session, assignments, values, before)
    if changes.ask:
        session.start(_verify(session, changes, inner, before))
    else:
        _go_on(session, inner, before)


def parse(words: Words) -> tuple[list[SystemVariable], bytes]:
    """The assignments, and the text of the statement. Raises SYNTAX."""
    words.expect("SET", "STATEMENT")
    lexemes = words.lexemes
    place = next(
        (at for at, one in enumerate(lexemes) if one.kind is WORD and one.text == "FOR" and one.depth == 0),
        len(lexemes),
    )
    found: list[SystemVariable] = []
    while True:
        name = words.name().lower()
        if not words.takes_mark("=", ":="):
            raise words.error()
        start = words.at
        while words.at < place and not (lexemes[words.at].text == "," and lexemes[words.at].depth == 0):
            words.at += 1
        if words.at == start:
            raise words.error()
        found.append(SystemVariable("session", name, start, words.at))
        if words.at == place or not words.takes_mark(","):
            break
    words.expect("FOR")
    inner = words.rest()
    if not inner:
        raise words.error()
    return found, inner


def _check(name: str) -> None:
    if name in _NEVER:
        raise fail("NOT_IN_SET_STATEMENT", name=name)
    if rule_of(name).kind is Class.ROUTER and name not in _OF_THE_ROUTER:
        raise not_supported(f"SET STATEMENT {name} = ... FOR", "Set it for the session, then reset it.")


_Before = tuple[dict[str, str], dict[str, str], object]


def _assign(
    session: Session, assignments: list[SystemVariable], values: list[bytes | None], before: _Before
) -> judge.Changes:
    changes = judge.Changes()
    try:
        for one, literal in zip(assignments, values, strict=True):
            assert literal is not None
            assign.value(session, one, literal, changes)
        if changes.pins:
            raise not_supported(
                f"SET STATEMENT {next(iter(changes.pins))} = ... FOR", "Set it by SET SESSION before."
            )
    except BaseException:
        _undo(session, before)
        raise
    return changes


def _undo(session: Session, before: _Before) -> None:
    settings, variables, _ = before
    session.replace_settings(settings)
    session.variables = variables or None
    judge.settle(session, "sql_mode")


async def _compute(
    session: Session,
    words: Words,
    assignments: list[SystemVariable],
    values: list[bytes | None],
    inner: bytes,
    before: _Before,
) -> None:
    for at, one in enumerate(assignments):
        if values[at] is None:
            values[at] = await evaluate.computed(session, words, one.start, one.end, system=True)
    await _verify(session, _assign(session, assignments, values, before), inner, before)


async def _verify(session: Session, changes: judge.Changes, inner: bytes, before: _Before) -> None:
    try:
        await judge.verify(session, changes)
    except BaseException:
        _undo(session, before)
        raise
    _go_on(session, inner, before)


def _go_on(session: Session, inner: bytes, before: _Before) -> None:
    settings, variables, dialect = before
    if session.dialect is not dialect:
        _undo(session, before)
        raise not_supported(
            "SET STATEMENT sql_mode = ... FOR where it changes what quotes and backslashes mean",
            "Set sql_mode for the session, then reset it.",
        )
    _Restoring(session, settings, variables)
    session.run_text(inner)
