"""PREPARE, EXECUTE and DEALLOCATE as text: statements kept by name in the router.

A server reads the text when it is prepared, and forgets it (`prepare_check.py`); it is planned when it runs, with the
values of its `?` as literals: nothing is held on any server.
"""

from typing import Final

from core.errors import fail
from router.execute.reserve import run_prepared
from router.plan.clauses import naming_items, split_items
from router.plan.plans import Kind
from router.plan.substitute import USER_VARIABLES, spots_of
from router.sessions.session import Session
from router.sessions.tracking import of_state
from router.sessions.where import any_link
from router.sql.normalise import normalise
from router.statements import evaluate, prepare_check
from router.statements.passing import one_shard
from router.statements.words import BIND, VARIABLE, WORD, Words
from router.variables.literals import parsed
from router.variables.reading import is_mariadb

MAX_NAMED: Final = 1000
"""Statements of text PREPARE that one session keeps."""
MAX_ALIAS: Final = 256
"""Bytes of a column's alias, MySQL's limit: a longer name stays that of the text with values."""
MAX_HISTORY: Final = 8
"""Different executions that decide on the types of a statement's parameters."""
_HISTORY: Final = "\0"  # before the name of a statement, which has no NUL: the values it was executed with
_ARITHMETIC: Final = frozenset(("+", "-", "*", "/", "%", "DIV", "MOD"))


def prepare(session: Session, kind: Kind, sql: bytes) -> None:
    """PREPARE name FROM 'text' | @variable (MariaDB: any expression). Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("PREPARE")
    name = words.name().lower()
    words.expect("FROM")
    session.start(_prepare(session, words, name))


async def _prepare(session: Session, words: Words, name: str) -> None:
    text = await _text(session, words)
    held = dict(session.named or {})
    held.pop(_HISTORY + name, None)
    held.pop(name, None)  # MySQL forgets the old statement also when the new one is no good
    session.named = held or None
    await prepare_check.check(session, text)
    if len(held) >= MAX_NAMED:
        raise fail("TOO_MANY_STATEMENTS", limit=MAX_NAMED)
    held[name] = text
    session.named = held
    session.ok(info=b"Statement prepared", changes=of_state(session))


def execute(session: Session, kind: Kind, sql: bytes) -> None:
    """EXECUTE name [USING @a, ...], EXECUTE IMMEDIATE 'text' [USING ...]. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("EXECUTE")
    if is_mariadb(session) and words.takes("IMMEDIATE"):
        session.start(_execute_immediate(session, words))
        return
    name = words.name()
    spans = _spans(session, words)
    text = (session.named or {}).get(name.lower())
    if text is None:
        raise fail("UNKNOWN_STATEMENT", id=name, command="EXECUTE")
    values = [evaluate.constant(session, words, *span, system=False) for span in spans]
    if None in values:
        session.start(_execute_computed(session, words, text, name, spans))
    else:
        _execute(session, text, [value for value in values if value is not None], name)


async def _execute_immediate(session: Session, words: Words) -> None:
    text = await _text(session, words)
    prepare_check.check_kind(session, text)
    await _execute_computed(session, words, text, "", _spans(session, words))


async def _execute_computed(
    session: Session, words: Words, text: bytes, name: str, spans: list[tuple[int, int]]
) -> None:
    values = [await _computed(session, words, *span) for span in spans]
    _execute(session, text, values, name)


def _execute(session: Session, text: bytes, values: list[bytes], name: str) -> None:
    if session.worker.server.get("flavour") == "mysql" and _is_typed_by_mysql(session, text, values):
        _run_typed(session, text, values, name)
    else:
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
    held.pop(_HISTORY + name.lower(), None)
    session.named = held or None
    session.ok(changes=of_state(session))


def bound(session: Session, text: bytes, values: list[bytes]) -> bytes:
    """The text with `values` in place of its `?`. Raises WRONG_ARGUMENTS."""
    normalised = normalise(text, session.dialect)
    if sum(token == b"?" for token in normalised.literals) != len(values):
        raise fail("WRONG_ARGUMENTS", what="EXECUTE")
    if not values:
        return text
    words = Words(text, session.dialect)
    named = _names_to_keep(words)
    left = iter(values)
    words.literals = tuple(b" " + next(left) + b" " if one == b"?" else one for one in words.literals)
    pieces: list[bytes] = []
    start = 0
    for end, name in named:
        pieces += (words.source(start, end), b" AS `" + name.replace(b"`", b"``") + b"` ")
        start = end
    if start < len(words.lexemes):
        pieces.append(words.source(start, len(words.lexemes)))
    return b"".join(pieces)


def _is_typed_by_mysql(session: Session, text: bytes, values: list[bytes]) -> bool:
    """Whether the type of a result follows from `?` being a parameter: MySQL reckons with DECIMAL(65,30) where a
    parameter that is no integer stands beside an operator, whatever digits its value has."""
    if not values:
        return False
    words = Words(text, session.dialect)
    items = split_items(words.lexemes) if words.sees("SELECT") else None
    if not items:
        return False
    binds = [one.kind is BIND and words.literals[one.bind] == b"?" for one in words.lexemes]
    return any(
        one.text in _ARITHMETIC
        and (any(binds[at - 1 : at]) or any(binds[at + 1 : at + 2]))
        and (one.depth > 0 or one.start < items[-1].end)  # what WHERE compares has no type that is seen
        for at, one in enumerate(words.lexemes)
    )


def _is_integer(value: bytes) -> bool:
    """Whether MySQL takes a literal for a BIGINT, so that its type is that of the parameter."""
    digits = value.lstrip(b"-")
    return value == b"NULL" or (digits.isdigit() and len(digits) < 19)


def _run_typed(session: Session, text: bytes, values: list[bytes], name: str) -> None:
    kept = _HISTORY + name.lower()
    history = (session.named or {}).get(kept, b"") if name else b""
    before = [one.split(b"\0") for one in history.split(b"\0\0")] if history else []
    if not before and all(map(_is_integer, values)):
        session.run_text(bound(session, text, values))
        return
    now = b"\0".join(values)
    if name and values not in before and len(before) < MAX_HISTORY and b"\0" not in b"".join(values):
        session.named = {**(session.named or {}), kept: b"\0\0".join((history, now)) if history else now}
    words = Words(text, session.dialect)
    if any(what[0] not in USER_VARIABLES for _, _, what in spots_of(words.lexemes)):
        session.run_text(
            bound(session, text, values)
        )  # what else of the session it reads, a server does not know
        return
    if any(one.kind is WORD and one.text in ("FROM", "TABLE", "INTO") for one in words.lexemes):
        link = one_shard(
            session,
            "EXECUTE of a statement that reckons with a parameter which is no integer,",
            "Write CAST(? AS DECIMAL(20,4)), or the values themselves.",
        )
    else:
        link = any_link(session)
    session.start(run_prepared(session, link, text, values, before))


def _names_to_keep(words: Words) -> list[tuple[int, bytes]]:
    """The items that name a result's columns, hold a `?` and no alias: the lexeme behind each, and the text that
    MySQL names its column by."""
    found: list[tuple[int, bytes]] = []
    for item in naming_items(words.lexemes) or ():
        binds = [one.bind for one in item.lexemes if one.kind is BIND]
        if item.alias or not any(words.literals[bind] == b"?" for bind in binds):
            continue
        first = next(at for at, one in enumerate(words.lexemes) if one.start == item.start)
        end = first + len(item.lexemes)
        name = words.source(first, end)
        if len(name) <= MAX_ALIAS:
            found.append((end, name))
    return found


async def _text(session: Session, words: Words) -> bytes:
    """The statement's text: a string, or a user variable that holds one; on MariaDB the value of any expression."""
    at = words.at
    found = words.peek()
    if is_mariadb(session) and found is not None:
        while words.peek() is not None and not words.sees("USING"):
            words.at += 1
        end = words.at
        if end == at:
            raise words.error()
    else:
        end = words.at = at + 1
        literal = words.literals[found.bind][:1] if found is not None and found.kind is BIND else b"'"
        if found is None or found.kind not in (BIND, VARIABLE) or literal.isdigit():
            words.at = at
            raise words.error()
    value = parsed(await _computed(session, words, at, end))
    if isinstance(value, bytes):
        return value
    return ("NULL" if value is None else str(value)).encode("utf-8", "surrogateescape")


async def _computed(session: Session, words: Words, start: int, end: int) -> bytes:
    literal = evaluate.constant(session, words, start, end, system=False)
    if literal is None:
        literal = await evaluate.computed(session, words, start, end, system=False)
    return literal


def _spans(session: Session, words: Words) -> list[tuple[int, int]]:
    """Where the expressions behind USING stand: user variables, on MariaDB any. Raises SYNTAX."""
    found: list[tuple[int, int]] = []
    if words.takes("USING"):
        while True:
            first = words.peek()
            variable = first is not None and first.kind is VARIABLE and not first.text.startswith("@@")
            if not variable and not is_mariadb(session):
                raise words.error()
            found.append(words.skip_expression())
            if not words.takes_mark(","):
                break
    words.end()
    return found
