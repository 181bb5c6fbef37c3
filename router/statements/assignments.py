"""SET taken apart: which variables get which expressions. Pure; nothing is evaluated here.

Source: MySQL's reference manual, "SET Syntax for Variable Assignment", "SET NAMES", "SET TRANSACTION".
"""

from dataclasses import dataclass
from typing import Final

from core.errors import not_supported
from router.statements.words import (
    BIND,
    MARK,
    NAME,
    VARIABLE,
    WORD,
    Words,
    user_variable_name,
    variable_name,
)

_GLOBAL_TRANSACTION: Final = "Set it in the configuration of the servers, or use SET SESSION TRANSACTION."
_SCOPES: Final = ("GLOBAL", "PERSIST", "PERSIST_ONLY", "SESSION", "LOCAL")


@dataclass(frozen=True, slots=True)
class UserVariable:
    """`SET @name = expression`; the expression is lexemes `start` to before `end`."""

    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SystemVariable:
    """`scope`: "session", or a server's ("global", "persist", "persist_only"); "" for `@@name` (for transaction
    characteristics: the next transaction only)."""

    scope: str
    name: str
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class Names:
    """`SET NAMES charset COLLATE collation`; empty charset: DEFAULT."""

    charset: str
    collation: str


@dataclass(frozen=True, slots=True)
class CharacterSet:
    """`SET CHARACTER SET charset`; empty: DEFAULT."""

    charset: str


@dataclass(frozen=True, slots=True)
class TransactionCharacteristics:
    """`scope`: "session", or "" for the next transaction. `isolation` as the variable spells it (`READ-COMMITTED`)."""

    scope: str
    isolation: str
    read_only: bool | None


Assignment = UserVariable | SystemVariable | Names | CharacterSet | TransactionCharacteristics


def parse(words: Words) -> list[Assignment]:
    """The assignments of a SET in order. Raises SluiceError: syntax, and what is refused whatever the values are."""
    words.expect("SET")
    _refuse_other_sets(words)
    found: list[Assignment] = []
    while True:
        found.append(_assignment(words))
        if not words.takes_mark(","):
            break
    words.end()
    return found


def _refuse_other_sets(words: Words) -> None:
    second = words.peek(1)
    assigns = second is not None and second.text in ("=", ":=", ".")
    if assigns and not words.sees("PASSWORD"):
        return
    if words.sees("PASSWORD"):
        raise not_supported("SET PASSWORD", "Passwords are the cluster's: clusterctl users password USER.")
    if words.sees("ROLE") or words.sees("DEFAULT", "ROLE"):
        raise not_supported("SET ROLE", "Roles are the cluster's, and always active: clusterctl users list.")
    if words.sees("RESOURCE", "GROUP"):
        raise not_supported("SET RESOURCE GROUP", "Use admission limits: clusterctl limits set.")
    if words.sees("STATEMENT"):
        raise not_supported("SET STATEMENT ... FOR", "Set the variable for the session, then reset it.")


def _assignment(words: Words) -> Assignment:
    first = words.peek()
    if first is None:
        raise words.error()
    if first.kind is VARIABLE:
        words.at += 1
        if first.text.startswith("@@"):
            scope, name = variable_name(first.text)
            return _system(words, scope, name)
        _equals(words)
        return UserVariable(user_variable_name(first.text), *words.skip_expression())
    scope = ""
    named_scope = ""
    following = words.peek(1)
    if (
        first.kind is WORD
        and first.text in _SCOPES
        and following is not None
        and following.kind in (WORD, NAME)
    ):
        named_scope = words.takes_one(*_SCOPES).lower()
        scope = "session" if named_scope == "local" else named_scope
    if words.takes("TRANSACTION"):
        if scope not in ("", "session"):
            raise not_supported(f"SET {named_scope.upper()} TRANSACTION", _GLOBAL_TRANSACTION)
        return _characteristics(words, scope)
    if not scope:
        if words.takes("NAMES"):
            return _names(words)
        if (
            words.takes("CHARACTER", "SET")
            or words.takes("CHAR", "SET")
            or (words.sees("CHARSET") and not _is_assignment(words) and words.takes("CHARSET"))
        ):
            return CharacterSet(_charset(words))
    name = words.name().lower()
    while words.takes_mark("."):
        name += "." + words.name().lower()
    return _system(words, scope or "session", name)


def _is_assignment(words: Words) -> bool:
    following = words.peek(1)
    return following is not None and following.text in ("=", ":=")


def _equals(words: Words) -> None:
    if not words.takes_mark("=", ":="):
        raise words.error()


def _system(words: Words, scope: str, name: str) -> SystemVariable:
    _equals(words)
    return SystemVariable(scope, name, *words.skip_expression())


def _names(words: Words) -> Names:
    charset = _charset(words)
    collation = ""
    if words.takes("COLLATE"):
        collation = words.name_or_text()
        if not charset:
            raise words.error()
        if collation.upper() == "DEFAULT":
            collation = ""
    return Names(charset, collation)


def _charset(words: Words) -> str:
    words.takes_mark("=")
    following = words.peek()
    if following is not None and following.kind is WORD and following.text == "DEFAULT":
        words.at += 1
        return ""
    return words.name_or_text()


def _characteristics(words: Words, scope: str) -> TransactionCharacteristics:
    isolation = ""
    read_only: bool | None = None
    while True:
        if words.takes("ISOLATION", "LEVEL") and not isolation:
            isolation = _level(words)
        elif words.takes("READ", "ONLY") and read_only is None:
            read_only = True
        elif words.takes("READ", "WRITE") and read_only is None:
            read_only = False
        else:
            raise words.error()
        following = words.peek(1)
        more = following is not None and following.kind is WORD and following.text in ("ISOLATION", "READ")
        if not (more and words.takes_mark(",")):
            return TransactionCharacteristics(scope, isolation, read_only)


def _level(words: Words) -> str:
    for level in (("READ", "UNCOMMITTED"), ("READ", "COMMITTED"), ("REPEATABLE", "READ"), ("SERIALIZABLE",)):
        if words.takes(*level):
            return "-".join(level)
    raise words.error()


def constant_literal(words: Words, start: int, end: int, *, bare_words: bool) -> bytes | None:
    """The expression as one literal's text, if it is a literal or (`bare_words`) a word, which for a system variable
    is a string; None when it must be evaluated. `DEFAULT` gives b"DEFAULT"."""
    lexemes = words.lexemes[start:end]
    negative = len(lexemes) == 2 and lexemes[0].kind is MARK and lexemes[0].text in ("-", "+")
    if negative:
        sign, lexemes = lexemes[0].text, lexemes[1:]
    if len(lexemes) != 1:
        return None
    only = lexemes[0]
    if only.kind is BIND:
        literal = words.literals[only.bind]
        if not negative:
            return literal
        return (
            (b"-" if sign == "-" else b"") + literal if literal[:1].isdigit() or literal[:1] == b"." else None
        )
    if negative:
        return None
    if only.kind is WORD:
        if only.text in ("NULL", "DEFAULT"):
            return only.text.encode()
        if only.text in ("TRUE", "FALSE"):
            return b"1" if only.text == "TRUE" else b"0"
    if bare_words and only.kind in (WORD, NAME):
        return b"'" + (only.raw or only.text).encode("utf-8", "surrogateescape").replace(b"'", b"''") + b"'"
    return None
