"""Connections reserved for a session: why, since when, until when.

A session holds a connection beyond a transaction only for what lives in the connection and cannot be replayed: named
locks, LOCK TABLES and FLUSH TABLES ... WITH READ LOCK, backup locks, handlers, temporary tables, what BINLOG has begun,
and variables that no other connection can be given (`statements/pinned_set.py`). Each such thing is a
`Pin`; when the last pin of a connection is gone, so is the reservation. Everything else that a statement leaves behind
(user variables, FOUND_ROWS, LAST_INSERT_ID(value)) is told or read back right after it (`execute/reserve.py`) and pins
nothing.

Invariants
- While a connection is reserved, every statement of the session for that shard runs on it.
- What a statement makes is found by its lexemes, so that comments, quotes and case hide nothing. A lock whose name is
  not in the text is a pin all the same (`ANY_LOCK`); RELEASE_ALL_LOCKS() ends it.
- Whether a lock with a name is held, the server says (`execute/reserve.py` asks after each statement about locks).
"""

from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Final

from core.errors import SluiceError
from router.sql.dialect import Dialect
from router.sql.lex import BIND, MARK, NAME, VARIABLE, WORD, Lexeme, lex, within
from router.sql.literals import literal_value
from router.sql.normalise import normalise
from router.variables.literals import NULL, Value, parsed

TABLES: Final = "LOCK TABLES"
STATUS: Final = "FLUSH STATUS"
"""Who sets the counters of SHOW SESSION STATUS to 0 wants to read them later."""
READ_LOCK: Final = "FLUSH TABLES WITH READ LOCK"
INSTANCE: Final = "LOCK INSTANCE"
BACKUP_LOCK: Final = "BACKUP LOCK"
BACKUP_STAGE: Final = "BACKUP STAGE"
ANY_LOCK: Final = "a named lock"
BINLOG: Final = "BINLOG"
INSERT_ID: Final = "SET insert_id"
_TEMPORARY: Final = "temporary table"
_LOCKING: Final = frozenset(("LOCK", "UNLOCK", "FLUSH", "BACKUP"))
_NONE: Final[Mapping[str, bytes]] = {}
_LOCK_WORDS: Final = frozenset(("GET_LOCK", "RELEASE_LOCK", "RELEASE_ALL_LOCKS"))


@dataclass(slots=True)
class Pin:
    """One reason: what, by which statement, since when (`time.time()`)."""

    what: str
    statement: str
    since: float


@dataclass(slots=True)
class Reservation:
    """A connection that a tablet keeps for this session."""

    handle: int
    incarnation: int
    pins: dict[str, Pin] = field(default_factory=dict)
    locks: dict[str, str] = field(default_factory=dict)
    """Pins of named locks -> the lock's name."""
    handlers: dict[str, str] = field(default_factory=dict)
    """Pins of handlers -> the table's name."""

    def note(self, effect: "Effect", sql: bytes, now: float) -> None:
        """Takes account of a statement that has succeeded on this connection."""
        for what in effect.makes:
            if what not in self.pins:
                self.pins[what] = Pin(what, sql[:200].decode("utf-8", "replace"), now)
        for name in effect.locks:
            what = lock_pin(name)
            self.locks[what] = name
            if what not in self.pins:
                self.pins[what] = Pin(what, sql[:200].decode("utf-8", "replace"), now)
        self.handlers |= effect.handlers
        for table in effect.closes:
            for handler, of_table in list(self.handlers.items()):
                if table == of_table:
                    self.end(handler)
        for old, new in effect.renames:
            pin = self.pins.pop(old, None)
            if pin is not None:
                self.pins[new] = Pin(new, pin.statement, pin.since)
        for what in effect.ends:
            if what == ANY_LOCK:
                for lock in [lock for lock in self.pins if lock.startswith(ANY_LOCK)]:
                    self.end(lock)
            else:
                self.end(what)

    def end(self, what: str) -> None:
        """This is no reason any more."""
        self.pins.pop(what, None)
        self.locks.pop(what, None)
        self.handlers.pop(what, None)


@dataclass(slots=True)
class Effect:
    """What a statement leaves in its connection, and what it takes away. `locks`: names of locks that it asks for."""

    makes: list[str] = field(default_factory=list)
    ends: list[str] = field(default_factory=list)
    renames: list[tuple[str, str]] = field(default_factory=list)
    locks: list[str] = field(default_factory=list)
    about_locks: bool = False
    closes: list[str] = field(default_factory=list)
    """Tables whose handlers MySQL closes."""
    handlers: dict[str, str] = field(default_factory=dict)
    """Pins of handlers that it opens -> the table."""


def set_pin(name: str) -> str:
    """The pin of a variable that was set on the connection alone."""
    return f"SET {name}"


def lock_pin(name: str) -> str:
    """The pin of the lock `name`."""
    return f"{ANY_LOCK} '{name}'"


def handler_pin(alias: str) -> str:
    """The pin of an open HANDLER."""
    return f"HANDLER {alias.lower()}"


def effect_of(
    sql: bytes, dialect: Dialect = Dialect.DEFAULT, variables: Mapping[str, bytes] = _NONE
) -> Effect:
    """What the statement does to its connection, if it succeeds; `variables`: the session's user variables. Raises
    SluiceError SYNTAX.

    >>> effect_of(b"CREATE /* x */ TEMPORARY TABLE `a b` (id INT)").makes
    ['temporary table a b']
    """
    normalised = normalise(sql, dialect)
    lexed = lex(normalised.key.decode("utf-8", "surrogateescape"), dialect)
    lexemes = lexed.lexemes
    if not lexemes and lexed.conditional:
        return effect_of(within(lexed.conditional).encode("utf-8", "surrogateescape"), dialect, variables)
    effect = Effect()
    _locks(lexemes, normalised.literals, dialect, variables, effect)
    words = [one.text if one.kind is WORD else "" for one in lexemes[:8]]
    if words[:1] and words[0] in _LOCKING:
        _table_locks(words, lexemes, effect)
    elif words[:1] == [BINLOG]:
        effect.makes.append(BINLOG)
    elif words[:1] == ["HANDLER"]:
        _handler(lexemes, effect)
    elif words[:1] == ["CREATE"]:
        at = 3 if words[1:3] == ["OR", "REPLACE"] else 1
        if words[at : at + 1] == ["TEMPORARY"]:
            effect.makes.extend(_tables(lexemes, at + 2)[:1])
    elif words[:1] == ["DROP"]:
        at = 2 if words[1:2] == ["TEMPORARY"] else 1
        if words[at : at + 1] and words[at] in ("TABLE", "TABLES", "SEQUENCE"):
            effect.ends.extend(_tables(lexemes, at + 1))
            effect.closes.extend(_listed(lexemes, at + 1))
    elif words[:2] == ["ALTER", "TABLE"]:
        _rename(lexemes, effect)
        effect.closes.extend(_listed(lexemes, 2)[:1])
    elif words[:1] == ["TRUNCATE"]:
        effect.closes.extend(_listed(lexemes, 2 if words[1:2] == ["TABLE"] else 1)[:1])
    elif words[:1] == ["RENAME"] and words[1:2] in (["TABLE"], ["TABLES"]):
        for at, one in enumerate(lexemes):
            if at == 1 or one.text == ",":
                effect.closes.extend(_listed(lexemes, at + 1)[:1])
    return effect


def _table_locks(words: list[str], lexemes: list[Lexeme], effect: Effect) -> None:
    """LOCK, UNLOCK, FLUSH and BACKUP."""
    first, second = words[0], words[1] if len(words) > 1 else ""
    if second == "INSTANCE":
        (effect.makes if first == "LOCK" else effect.ends).append(INSTANCE)
    elif first == "LOCK":
        effect.makes.append(TABLES)
    elif first == "UNLOCK":
        effect.ends += (TABLES, READ_LOCK)
    elif first == "BACKUP":
        if second == "STAGE":
            (effect.ends if words[2:3] == ["END"] else effect.makes).append(BACKUP_STAGE)
        else:
            (effect.makes if second == "LOCK" else effect.ends).append(BACKUP_LOCK)
    else:
        at = 2 if second in ("LOCAL", "NO_WRITE_TO_BINLOG") else 1
        if words[at:] == ["STATUS"]:
            effect.makes.append(STATUS)
            return
        names = list(_names(lexemes[at + 1 :])) if words[at + 1 : at + 2] not in (["WITH"], ["FOR"]) else []
        if any(one.text in ("WITH", "FOR") and one.kind is WORD for one in lexemes[at + 1 :]):
            effect.makes.append(TABLES if names else READ_LOCK)


def _handler(lexemes: list[Lexeme], effect: Effect) -> None:
    names = [one.raw for one in lexemes[1:] if one.kind in (WORD, NAME)]
    at = next((place for place, one in enumerate(lexemes) if place > 1 and one.text == "OPEN"), 0)
    if at:
        table = lexemes[at - 1].raw
        alias = names[-1] if lexemes[-1].text != "OPEN" else table
        effect.makes.append(handler_pin(alias))
        effect.handlers[handler_pin(alias)] = table
    elif lexemes[-1].text == "CLOSE":
        effect.ends.append(handler_pin(names[0]))


def _locks(
    lexemes: list[Lexeme],
    literals: Sequence[bytes],
    dialect: Dialect,
    variables: Mapping[str, bytes],
    effect: Effect,
) -> None:
    for at, one in enumerate(lexemes[:-2]):
        if one.kind is not WORD or one.text not in _LOCK_WORDS or lexemes[at + 1].text != "(":
            continue
        effect.about_locks = True
        if one.text == "RELEASE_ALL_LOCKS":
            effect.ends.append(ANY_LOCK)
        elif one.text == "GET_LOCK":
            name: Value = None
            if lexemes[at + 3 : at + 4] and lexemes[at + 3].text == ",":
                name = _value(lexemes[at + 2], literals, dialect, variables)
            if isinstance(name, str):
                effect.locks.append(name)
            else:
                effect.makes.append(ANY_LOCK)


def _value(
    argument: Lexeme, literals: Sequence[bytes], dialect: Dialect, variables: Mapping[str, bytes]
) -> Value:
    """A string in ASCII, or a user variable that is one; None for whatever else."""
    if argument.kind is BIND and literals[argument.bind].isascii():
        try:
            return literal_value(literals[argument.bind], dialect=dialect)
        except SluiceError:
            return None
    if argument.kind is VARIABLE:
        return parsed(variables.get(argument.text[1:].strip("`").lower(), NULL))
    return None


def _tables(lexemes: list[Lexeme], at: int) -> list[str]:
    """The pins of the tables that are listed from `at` on."""
    return [f"{_TEMPORARY} {name}" for name in _listed(lexemes, at)]


def _listed(lexemes: list[Lexeme], at: int) -> list[str]:
    """The tables that are listed from `at` on."""
    while at < len(lexemes) and lexemes[at].kind is WORD and lexemes[at].text in ("IF", "NOT", "EXISTS"):
        at += 1
    return list(_names(lexemes[at:]))


def _names(lexemes: list[Lexeme]) -> Iterator[str]:
    """`a`, `b`.`c`, ...: the last part of each."""
    at = 0
    while at < len(lexemes) and lexemes[at].kind in (WORD, NAME):
        if at + 2 < len(lexemes) and lexemes[at + 1].text == "." and lexemes[at + 1].kind is MARK:
            at += 2
        yield lexemes[at].raw
        at += 1
        if at == len(lexemes) or lexemes[at].text != ",":
            return
        at += 1


def _rename(lexemes: list[Lexeme], effect: Effect) -> None:
    """ALTER TABLE a RENAME [TO | AS | =] b."""
    old = _tables(lexemes, 2)
    for at, one in enumerate(lexemes[:-1]):
        if one.kind is WORD and one.text == "RENAME" and one.depth == 0:
            after = at + 1
            if lexemes[after].text in ("COLUMN", "INDEX", "KEY", "CONSTRAINT"):
                continue
            if lexemes[after].text in ("TO", "AS", "="):
                after += 1
            effect.renames += [(old[0], new) for new in _tables(lexemes, after)[:1] if old]
