"""CREATE, ALTER and DROP DATABASE: which keyspace they mean, and what is refused before anything is looked at.

CREATE and DROP are the session's (`router/statements/databases.py`), ALTER goes to the keyspace's servers.

Invariant: no statement makes or drops a database on a server, or alters one that is not a keyspace.
"""

from __future__ import annotations

import re
from dataclasses import dataclass, replace
from typing import Final

from core.errors import SluiceError, fail, not_supported
from router.plan.context import Statement
from router.plan.names import SYSTEM_SCHEMAS
from router.plan.plans import DdlPlan, Kind, Planned, SessionPlan
from router.sql.dialect import Dialect
from router.sql.lex import NAME, WORD, Lexeme, lex, syntax_error

OPTIONS: Final = frozenset(
    ("DEFAULT", "CHARACTER", "CHARSET", "CHAR", "COLLATE", "ENCRYPTION", "READ", "COMMENT")
)
"""Words that may stand where ALTER DATABASE leaves its name out."""
_COMMENT_MARKS: Final = re.compile(r"/\*M?!\d*|\*/")
_STRING: Final = re.compile(r"'(?:[^'\\]|\\.|'')*'", re.DOTALL)
_QUOTED_NAMES: Final = Dialect.ANSI_QUOTES


@dataclass(frozen=True, slots=True)
class DatabaseStatement:
    """`name` is empty where ALTER means the session's; `exists`: IF EXISTS or IF NOT EXISTS stands there."""

    verb: str
    word: str  # DATABASE or SCHEMA, as written
    name: str
    exists: bool
    replaces: bool
    at: int
    """The lexeme behind the name."""


def database_statement(lexemes: list[Lexeme]) -> DatabaseStatement | None:
    """What a statement says of a database; None for all other statements."""
    words = [one.text if one.kind is WORD else "" for one in lexemes[:7]]
    if not words or words[0] not in ("CREATE", "ALTER", "DROP"):
        return None
    at = 1
    replaces = words[1:3] == ["OR", "REPLACE"]
    if replaces:
        at = 3
    if len(words) <= at or words[at] not in ("DATABASE", "SCHEMA"):
        return None
    word = words[at]
    at += 1
    exists = False
    for known in (["IF", "NOT", "EXISTS"], ["IF", "EXISTS"]):
        if words[at : at + len(known)] == known:
            at += len(known)
            exists = True
            break
    name = ""
    if len(lexemes) > at and lexemes[at].kind in (WORD, NAME):
        name = lexemes[at].raw
    if words[0] == "ALTER" and len(words) > at and words[at] in OPTIONS:
        name = ""
    return DatabaseStatement(words[0], word, name, exists, replaces, at + bool(name))


def with_comments(text: str) -> DatabaseStatement | None:
    """What a statement says of a database where its executable comments are executed."""
    try:
        plain = _STRING.sub("?", _COMMENT_MARKS.sub("\n", text))
        return database_statement(lex(plain, _QUOTED_NAMES).lexemes)
    except SluiceError:
        return None


def plan(statement: Statement) -> Planned | None:
    """None where the statement is about something else. Raises 1235, NO_DATABASE, UNKNOWN_DATABASE, SYNTAX."""
    said = database_statement(statement.lexemes)
    if statement.lexed.conditional:
        executed = with_comments(statement.text)
        if said is None and executed is None:
            return None
        if (
            said is None
            or executed is None
            or replace(said, exists=executed.exists, at=executed.at) != executed
        ):
            raise not_supported(
                "executable comments around the words of CREATE, ALTER or DROP DATABASE",
                "Write what is inside as plain SQL.",
            )
    if said is None:
        return None
    if not said.name and said.verb != "ALTER":
        raise syntax_error(statement.text, len(statement.text))
    name = said.name or statement.keyspace
    if not name:
        raise fail("NO_DATABASE")
    system = name.lower() in SYSTEM_SCHEMAS
    known = name in statement.vschema.keyspaces
    if said.replaces:
        raise not_supported(
            f"CREATE OR REPLACE {said.word}", f"Use DROP {said.word} IF EXISTS and CREATE {said.word}."
        )
    if said.verb == "CREATE" and not known:
        raise not_supported(
            f"CREATE {said.word} of a new keyspace",
            f"Keyspaces are declared in cluster.toml: add `{name}` under [[keyspaces]], and clusterctl up.",
        )
    if said.verb == "DROP" and system and not known:
        raise not_supported(f"DROP {said.word} {name}", "It is MySQL's own.")
    if said.verb == "DROP" and statement.sharded(name):
        raise not_supported(
            f"DROP {said.word} of a sharded keyspace",
            "Drop its tables; keyspaces are declared in cluster.toml.",
        )
    if said.verb != "ALTER":
        return Planned(SessionPlan(Kind.DATABASE), "session")
    if not known:
        raise fail("UNKNOWN_DATABASE", database=name)
    return Planned(DdlPlan(name, None, renews=True), "write", ("DDL goes to every shard",))
