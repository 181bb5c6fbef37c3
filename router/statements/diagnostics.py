"""GET DIAGNOSTICS, SIGNAL and RESIGNAL outside of stored programs.

GET DIAGNOSTICS reads the session's own diagnostics area: the conditions that SHOW WARNINGS lists, ROW_COUNT(). It
changes neither, but for a condition number that there is not: error 1758 is added to the conditions, and the statement
succeeds, as on the servers. SIGNAL goes to any server, which says what it makes of it; what its answer does not tell
(the SQLSTATE of a warning, TABLE_NAME and the like) is read from the text.
"""

import re
from decimal import ROUND_HALF_UP, Decimal
from typing import Final

from core.errors import ErrorCode, SluiceError
from core.rpc import messages as m
from router.execute.whole import reply_whole
from router.plan.plans import Kind
from router.sessions.conditions import ITEMS, Condition, told
from router.sessions.preparing import ask
from router.sessions.session import Session
from router.sessions.warnings import MAX_KEPT
from router.sessions.where import any_link
from router.statements.evaluate import computed, constant, substituted
from router.statements.words import BIND, VARIABLE, WORD, Words, user_variable_name
from router.variables.literals import Value, parsed, value_literal
from router.variables.reading import is_mariadb
from wire.answers import ok_packet

_STATEMENT: Final = ("NUMBER", "ROW_COUNT")
_CONDITION: Final = (*ITEMS, "MYSQL_ERRNO", "RETURNED_SQLSTATE", "MESSAGE_TEXT")
_CONSTANTS: Final = {"NULL": 0, "FALSE": 0, "TRUE": 1}
_DIGITS: Final = re.compile(r"\s*0*([0-9]+)")
_MAX_DIGITS: Final = 20
_TOO_LARGE: Final = 10**_MAX_DIGITS
"""There are no conditions of such numbers."""
_INVALID: Final = ("Error", 1758, "Invalid condition number")
_NO_HANDLER: Final = ErrorCode("", 3004, "0Z002", False, "", "")

Conditions = list[tuple[str, int, str]] | None
Targets = list[tuple[str, str]]
"""User variable and item."""


def get(session: Session, kind: Kind, sql: bytes) -> None:
    """GET [CURRENT | STACKED] DIAGNOSTICS. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("GET")
    stacked = words.takes_one("CURRENT", "STACKED") == "STACKED"
    words.expect("DIAGNOSTICS")
    try:
        at = -1
        if words.takes("CONDITION"):
            at = words.at
            one = words.peek()
            if one is None or not (one.kind in (BIND, VARIABLE) or one.text in _CONSTANTS):
                raise words.error()
            words.at += 1
        targets = _targets(words, _STATEMENT if at < 0 else _CONDITION)
    except SluiceError as mistake:
        _mistaken(session, sql, mistake)
        return
    if stacked and is_mariadb(session):
        _mistaken(session, sql, words.error())
    elif stacked:
        raise SluiceError(_NO_HANDLER, "GET STACKED DIAGNOSTICS when handler not active")
    elif at < 0:
        _tell(session, targets, _of_statement(session))
    elif words.lexemes[at].kind is WORD:
        _tell_condition(session, targets, _CONSTANTS[words.lexemes[at].text])
    else:
        literal = constant(session, words, at, at + 1, system=False)
        if literal is None:
            kept = session.warnings
            session.start(_of_computed(session, words, at, targets, kept))
        else:
            _tell_condition(session, targets, _number(parsed(literal)))


def _targets(words: Words, items: tuple[str, ...]) -> Targets:
    found: Targets = []
    while True:
        target = words.peek()
        if target is None or target.kind is not VARIABLE or target.text.startswith("@@"):
            raise words.error()
        words.at += 1
        if not words.takes_mark("="):
            raise words.error()
        item = words.takes_one(*items)
        if not item:
            raise words.error()
        found.append((user_variable_name(target.text), item))
        if not words.takes_mark(","):
            words.end()
            return found


def _mistaken(session: Session, sql: bytes, mistake: Exception) -> None:
    """What is wrong with it a server says best."""
    session.start(_asked(session, sql, mistake))


async def _asked(session: Session, sql: bytes, mistake: Exception) -> None:
    try:
        await ask(session, sql)
    except SluiceError as error:
        if error.number == 1295:  # of MySQL, which finds nothing else: a form that this file does not read
            raise mistake from None
        raise
    raise mistake


def _of_statement(session: Session) -> dict[str, int | str]:
    return {"NUMBER": len(session.warnings or ()), "ROW_COUNT": session.affected_rows}


async def _of_computed(session: Session, words: Words, at: int, targets: Targets, kept: Conditions) -> None:
    literal = await computed(session, words, at, at + 1, system=False)
    session.warnings = kept
    _tell_condition(session, targets, _number(parsed(literal)))


def _number(value: Value) -> int:
    """The whole number that a server makes of a value."""
    if isinstance(value, bytes):
        return int.from_bytes(value)
    if isinstance(value, str):
        digits = _DIGITS.match(value)
        return int(digits[1][:_MAX_DIGITS]) if digits is not None else 0
    number = min(Decimal(value or 0), Decimal(_TOO_LARGE))
    return int(number.to_integral_value(ROUND_HALF_UP))


def _tell_condition(session: Session, targets: Targets, number: int) -> None:
    conditions = session.warnings or []
    if 0 < number <= len(conditions):
        _tell(session, targets, told(session, conditions[number - 1]))
        return
    session.warnings = [*conditions, _INVALID][:MAX_KEPT]
    _done(session, warnings=1)


def _tell(session: Session, targets: Targets, found: dict[str, int | str]) -> None:
    variables = dict(session.user_variables or {})
    for name, item in targets:
        variables[name] = value_literal(found[item])
    session.user_variables = variables
    _done(session)


def _done(session: Session, warnings: int = 0) -> None:
    """OK, which leaves ROW_COUNT() as it was."""
    session.reply(ok_packet(1, 0, 0, session.status, warnings, b"", None, session.caps))


def signal(session: Session, words: Words, sql: bytes) -> None:
    """SIGNAL, RESIGNAL. Raises SluiceError."""
    del sql
    text = substituted(session, words, 0, len(words.lexemes))
    kept = session.warnings if words.sees("RESIGNAL") else None
    session.start(_signal(session, words, text, kept))


async def _signal(session: Session, words: Words, text: bytes, kept: Conditions) -> None:
    """`kept`: the session's conditions, where the statement adds to them."""
    state, items = _signalled(session, words)
    answer = await session.worker.calls.in_session(
        session, any_link(session), text, flags=session.flags & (m.F_DEPRECATE_EOF | m.F_FOUND_ROWS)
    )
    # of RESIGNAL a server tells also what was there: of an earlier session, whose connection it was
    conditions = [*(kept or ()), *(session.warnings or ())[-1:]][:MAX_KEPT]
    session.warnings = conditions or None
    if conditions and state and (not answer.failed or answer.error().sqlstate == state):
        session.warnings = [*conditions[:-1], Condition.of(conditions[-1], state, items)]
    reply_whole(session, answer)


def _signalled(session: Session, words: Words) -> tuple[str, dict[str, str]]:
    """The SQLSTATE of a SIGNAL and the items that it sets, as far as its server's answer does not tell them."""
    words.at = 1
    if not words.takes("SQLSTATE"):
        return "", {}
    words.takes("VALUE")
    state = _text(session, words)
    words.at += 1
    items = {"CLASS_ORIGIN": "", "SUBCLASS_ORIGIN": ""}
    if words.takes("SET"):
        while (item := words.peek()) is not None and item.kind is WORD:
            words.at += 1
            if not words.takes_mark("="):
                break
            if item.text in ITEMS:
                items[item.text] = _text(session, words)
            words.at += 1
            words.takes_mark(",")
    return state, items


def _text(session: Session, words: Words) -> str:
    """The value at hand as a text."""
    if words.peek() is None:
        return ""
    literal = constant(session, words, words.at, words.at + 1, system=False)
    value = parsed(literal) if literal is not None else None
    return (
        value.decode("utf-8", "replace") if isinstance(value, bytes) else "" if value is None else str(value)
    )
