"""What sqlglot reads of the columns of a JSON_TABLE: their names and types.

Paths are strings there, and what happens to a value that is missing or wrong is left out: neither changes what the
columns are. Source: MySQL's and MariaDB's manuals on JSON_TABLE.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.sql.lex import BIND, MARK, WORD, Lexeme

BIND_BASE: Final = 1_000_000_000
_LEFT_OUT: Final = frozenset(("DEFAULT", "NULL", "ERROR", "ON", "EMPTY", "EXISTS"))
_BEFORE_PATH: Final = frozenset(("PATH", "NESTED"))


def json_columns(lexemes: Sequence[Lexeme]) -> dict[int, str]:
    """By index of the lexeme, what stands for it; all others stand for themselves."""
    found: dict[int, str] = {}
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind is WORD and lexeme.text == "JSON_TABLE":
            found |= _of(lexemes, at + 1)
    return found


def _of(lexemes: Sequence[Lexeme], opens: int) -> dict[int, str]:
    """Of the JSON_TABLE whose parenthesis is at `opens`; what stands before its first comma is an expression."""
    found: dict[int, str] = {}
    depth, behind, before = 0, False, ""
    for at in range(opens, len(lexemes)):
        lexeme = lexemes[at]
        text = lexeme.text if lexeme.kind in (MARK, WORD) else ""
        depth += (text == "(") - (text == ")")
        if depth <= 0:
            break
        if behind:
            if lexeme.kind is BIND and (before in _BEFORE_PATH or (before == "," and depth == 1)):
                found[at] = f"'{BIND_BASE + lexeme.bind}'"
            elif (lexeme.kind is BIND and before == "DEFAULT") or text in _LEFT_OUT:
                found[at] = ""
        behind = behind or (depth == 1 and text == ",")
        before = text
    return found
