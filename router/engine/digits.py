"""Whether a query computes decimals with more digits than its text shows. The lexemes decide, no I/O.

AVG keeps nine digits and more where its text has four more than its argument, and INSERT ... SELECT stores them; so
does a quotient on MariaDB. (MySQL 9 rounds quotients to what they show; of older ones that is not certain.) What CAST,
CONVERT, FLOOR or CEILING is around is as shown. Conditions, groups and orders give no values.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.sql.dialect import Dialect
from router.sql.lex import MARK, WORD, Lexeme, lex

_ROUNDING: Final = frozenset(("CAST", "CONVERT", "FLOOR", "CEIL", "CEILING"))
_CONDITIONS: Final = frozenset(("WHERE", "HAVING"))
_SORTING: Final = frozenset(("GROUP", "ORDER"))
_NEXT: Final = frozenset(("SELECT", "UNION", "EXCEPT", "INTERSECT", "MINUS"))
_NOWHERE: Final = -1


def hides_digits(key: bytes, dialect: Dialect, *, quotients: bool) -> bool:
    """`key`: the normalised query. `quotients`: those count."""
    lexemes = lex(key.decode("utf-8", "surrogateescape"), dialect, whole_rows=False).lexemes
    rounded = clause = _NOWHERE  # the depths of a call that rounds, and of a clause that gives no values
    for at, one in enumerate(lexemes):
        if rounded != _NOWHERE:
            if one.depth > rounded or _is_mark(lexemes, at, "("):
                continue
            rounded = _NOWHERE
        if clause != _NOWHERE:
            if one.depth > clause or (one.depth == clause and one.text not in _NEXT):
                continue
            clause = _NOWHERE
        called = one.kind is WORD and _is_mark(lexemes, at + 1, "(")
        if called and one.text in _ROUNDING:
            rounded = one.depth
        elif (called and one.text == "AVG") or (quotients and _is_mark(lexemes, at, "/")):
            return True
        elif one.kind is WORD and _gives_no_values(lexemes, at):
            clause = one.depth
    return False


def _is_mark(lexemes: Sequence[Lexeme], at: int, text: str) -> bool:
    return at < len(lexemes) and lexemes[at].kind is MARK and lexemes[at].text == text


def _gives_no_values(lexemes: Sequence[Lexeme], at: int) -> bool:
    word = lexemes[at].text
    if word not in _SORTING:
        return word in _CONDITIONS
    by = at + 1 < len(lexemes) and lexemes[at + 1].text == "BY"
    return by and lexemes[at - 1].text != "FOR"  # an index hint
