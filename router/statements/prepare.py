"""PREPARE, EXECUTE and DEALLOCATE as text: statements kept by name in the router.

A prepared text is planned when it runs, with the values of its `?` as literals: nothing is held on any server.
Divergence from MySQL: a mistake in the text is told by EXECUTE, not by PREPARE.
"""

from typing import Final

from core.errors import fail, not_supported
from router.plan.plans import Kind
from router.session import Session
from router.sql.normalise import normalise, split_statements
from router.statements import evaluate
from router.statements.words import VARIABLE, Words
from router.variables.literals import parsed

MAX_NAMED: Final = 1000
"""Statements of text PREPARE that one session keeps."""
_NOT_PREPARED: Final = frozenset(("PREPARE", "EXECUTE", "DEALLOCATE"))


def prepare(session: Session, kind: Kind, sql: bytes) -> None:
    """PREPARE name FROM 'text' | @variable. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("PREPARE")
    name = words.name().lower()
    words.expect("FROM")
    text = _text(session, words)
    words.end()
    held = dict(session.named or {})
    held.pop(name, None)  # MySQL forgets the old statement also when the new one is no good
    session.named = held or None
    _check(session, text)
    if len(held) >= MAX_NAMED:
        raise fail("TOO_MANY_STATEMENTS", limit=MAX_NAMED)
    held[name] = text
    session.named = held
    session.ok(info=b"Statement prepared")


def execute(session: Session, kind: Kind, sql: bytes) -> None:
    """EXECUTE name [USING @a, ...], EXECUTE IMMEDIATE 'text' [USING ...]. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("EXECUTE")
    if words.takes("IMMEDIATE"):
        text = _text(session, words)
        _check(session, text)
    else:
        name = words.name()
        found = (session.named or {}).get(name.lower())
        if found is None:
            raise fail("UNKNOWN_STATEMENT", id=name, command="EXECUTE")
        text = found
    values: list[bytes] = []
    if words.takes("USING"):
        while True:
            values.append(_value(session, words))
            if not words.takes_mark(","):
                break
    words.end()
    session.run_text(bound(session, text, values))


def deallocate(session: Session, kind: Kind, sql: bytes) -> None:
    """DEALLOCATE | DROP PREPARE name. Raises UNKNOWN_STATEMENT."""
    del kind
    words = Words(sql, session.dialect)
    words.takes_one("DEALLOCATE", "DROP")
    words.expect("PREPARE")
    name = words.name()
    words.end()
    held = dict(session.named or {})
    if held.pop(name.lower(), None) is None:
        raise fail("UNKNOWN_STATEMENT", id=name, command="DEALLOCATE PREPARE")
    session.named = held or None
    session.ok()


def bound(session: Session, text: bytes, values: list[bytes]) -> bytes:
    """The text with `values` in place of its `?`. Raises WRONG_ARGUMENTS."""
    normalised = normalise(text, session.dialect)
    if sum(token == b"?" for token in normalised.literals) != len(values):
        raise fail("WRONG_ARGUMENTS", what="EXECUTE")
    if not values:
        return text
    words = Words(text, session.dialect)
    left = iter(values)
    words.literals = tuple(b" " + next(left) + b" " if one == b"?" else one for one in words.literals)
    return words.source(0, len(words.lexemes))


def _text(session: Session, words: Words) -> bytes:
    """The statement's text: a string, or a user variable that holds one."""
    at = words.at
    words.at += 1
    literal = evaluate.constant(session, words, at, at + 1, system=False) if at < len(words.lexemes) else None
    value = parsed(literal) if literal is not None else None
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    words.at = at
    raise words.error()


def _value(session: Session, words: Words) -> bytes:
    found = words.peek()
    if found is None or found.kind is not VARIABLE:
        raise words.error()
    words.at += 1
    literal = evaluate.constant(session, words, words.at - 1, words.at, system=False)
    if literal is None:
        raise words.error()
    return literal


def _check(session: Session, text: bytes) -> None:
    if len(split_statements(text, session.dialect)) != 1:
        raise fail(
            "SYNTAX", message="You have an error in your SQL syntax: one statement is prepared at a time"
        )
    first = Words(text, session.dialect).peek()
    if first is not None and first.text in _NOT_PREPARED:
        raise not_supported(f"{first.text} inside a prepared statement", "Run it on its own.")
