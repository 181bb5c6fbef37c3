"""CREATE, ALTER and DROP DATABASE: keyspaces are declared in cluster.toml, so statements only find them there or not.

statement                       a keyspace                               no keyspace
CREATE [IF NOT EXISTS]          its servers say that it exists           refused (1235)
CREATE OR REPLACE, DROP         refused: it would take its tables (1235) DROP: the session says so (1008, or a note)
ALTER                           its servers change it                    1049

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

_OPTIONS: Final = frozenset(
    ("DEFAULT", "CHARACTER", "CHARSET", "CHAR", "COLLATE", "ENCRYPTION", "READ", "COMMENT")
)
"""Words that may stand where ALTER DATABASE leaves its name out."""
_COMMENT_MARKS: Final = re.compile(r"/\*M?!\d*|\*/")
_QUOTED_NAMES: Final = Dialect.ANSI_QUOTES


@dataclass(frozen=True, slots=True)
class DatabaseStatement:
    """`name` is empty where ALTER means the session's; `exists`: IF EXISTS or IF NOT EXISTS stands there."""

    verb: str
    word: str  # DATABASE or SCHEMA, as written
    name: str
    exists: bool
    replaces: bool


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
    if words[0] == "ALTER" and len(words) > at and words[at] in _OPTIONS:
        name = ""
    return DatabaseStatement(words[0], word, name, exists, replaces)


def with_comments(text: str) -> DatabaseStatement | None:
    """What a statement says of a database where its executable comments are executed."""
    try:
        return database_statement(lex(_COMMENT_MARKS.sub(" ", text), _QUOTED_NAMES).lexemes)
    except SluiceError:
        return None


def plan(statement: Statement) -> Planned | None:
    """None where the statement is about something else. Raises 1235, NO_DATABASE, UNKNOWN_DATABASE, SYNTAX."""
    said = database_statement(statement.lexemes)
    if statement.lexed.conditional:
        executed = with_comments(statement.text)
        if said is None and executed is None:
            return None
        if said is None or executed is None or replace(said, exists=executed.exists) != executed:
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
    known = name in statement.vschema.keyspaces
    if said.verb == "DROP" and not known and name.lower() not in SYSTEM_SCHEMAS:
        return Planned(SessionPlan(Kind.DROP_DATABASE), "session")
    if said.verb == "DROP" or said.replaces:
        raise drop_refusal(said, name, known)
    if not known and said.verb == "CREATE":
        raise not_supported(
            f"{said.verb} {said.word} of a new keyspace",
            f"Keyspaces are declared in cluster.toml: add `{name}` under [[keyspaces]], and clusterctl up.",
        )
    if not known:
        raise fail("UNKNOWN_DATABASE", database=name)
    return Planned(DdlPlan(name, ()), "write", ("DDL goes to every shard",))


def drop_refusal(said: DatabaseStatement, name: str, known: bool) -> SluiceError:
    """Why a database that there is stays."""
    verb = "CREATE OR REPLACE" if said.replaces else said.verb
    if not known:
        return not_supported(f"{verb} {said.word} {name}", "Keyspaces are declared in cluster.toml.")
    return not_supported(
        f"{verb} {said.word} of a keyspace",
        f"Drop its tables; to drop the keyspace, take `{name}` out of cluster.toml and drop it on its servers.",
    )
