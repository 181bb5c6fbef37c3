"""Reads of tables that tell of sessions: `session_connect_attrs`, `session_account_connect_attrs` and
`session_variables` of `performance_schema` (of MariaDB's `information_schema`), and `processlist`. A query that
tells of the client's own, or of the router's sessions, stands where the table's name stood.

What a server says there is about the tablet's connections, with ids that no client knows. The places are spots like
those of session state (`substitute.py`), since what is put there belongs to the session.
"""

from __future__ import annotations

from typing import Final

from router.plan.context import Statement
from router.sql.lex import MARK, NAME, WORD, Lexeme

SPOT: Final = "connect_attributes"
VARIABLES: Final = {
    "performance_schema": "session_variables of the performance schema",
    "information_schema": "session_variables of the information schema",
}
"""Spots of MySQL's and MariaDB's table of a session's variables, by their schemas."""
SESSIONS: Final = {
    "performance_schema": "processlist of the performance schema",
    "information_schema": "processlist of the information schema",
}
"""Spots of the tables of sessions."""

_PERFORMANCE: Final = "performance_schema"
_TABLES: Final = {
    (_PERFORMANCE, "session_connect_attrs"): SPOT,
    (_PERFORMANCE, "session_account_connect_attrs"): SPOT,
    **{(schema, "session_variables"): spot for schema, spot in VARIABLES.items()},
    **{(schema, "processlist"): spot for schema, spot in SESSIONS.items()},
}
_NAMES: Final = frozenset(name for _, name in _TABLES)
_AFTER_TABLE: Final = frozenset(
    """
    WHERE JOIN LEFT RIGHT INNER CROSS NATURAL STRAIGHT_JOIN ON USING GROUP ORDER HAVING WINDOW LIMIT UNION EXCEPT
    INTERSECT MINUS FOR LOCK INTO PROCEDURE FETCH OFFSET
    """.split()  # noqa: SIM905
)
"""Words that may follow a table and are no alias of it."""

Edit = tuple[int, int, tuple[str, str] | None]
"""Start, end, and the spot that takes the place; None: nothing does."""


def edits(statement: Statement) -> list[Edit]:
    """What changes in a statement that names one of the tables."""
    lexemes = statement.lexemes
    found: list[Edit] = []
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind not in (WORD, NAME) or lexeme.raw.lower() not in _NAMES:
            continue
        qualified = at >= 2 and _is_dot(lexemes[at - 1])
        schema = lexemes[at - 2].raw.lower() if qualified else statement.keyspace.lower()
        spot = _TABLES.get((schema, lexeme.raw.lower()))
        if spot is None:
            continue
        start = lexemes[at - 2].start if qualified else lexeme.start
        if at + 1 < len(lexemes) and _is_dot(lexemes[at + 1]):
            if qualified:  # of a column: a derived table has no schema
                found.append((start, lexeme.start, None))
        elif qualified or _behind_from(lexemes, at):
            alias = "" if _has_alias(lexemes, at) else lexeme.raw
            found.append((start, lexeme.end, (spot, alias)))
    return found


def _behind_from(lexemes: list[Lexeme], at: int) -> bool:
    """Whether a name alone is a table's and not a column's."""
    return bool(at) and lexemes[at - 1].text in ("FROM", "JOIN", ",", "STRAIGHT_JOIN")


def _has_alias(lexemes: list[Lexeme], at: int) -> bool:
    if at + 1 >= len(lexemes):
        return False
    after = lexemes[at + 1]
    return after.kind is NAME or (after.kind is WORD and after.text not in _AFTER_TABLE)


def _is_dot(lexeme: Lexeme) -> bool:
    return lexeme.kind is MARK and lexeme.text == "."
