"""What an INSERT's OK packet tells of LAST_INSERT_ID(), by how the statement is written.

The OK packet has the id that MySQL generated, but also one that the statement gave, or that of a row which ON DUPLICATE
KEY UPDATE changed; these leave LAST_INSERT_ID() as it was. A tablet can tell a generated id from a given one where all
values are literals (`tablet/statements/insert_ids.py`); of anything else MySQL is asked.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from core.rpc.messages import F_INSERT, F_INSERT_ID, F_UPSERT
from router.sql.lex import BIND, MARK, NAME, ROW, WORD, Lexeme

_WHOLE: Final = frozenset(("SELECT", "TABLE", "RETURNING", "WITH", "LAST_INSERT_ID"))
_CLOCKS: Final = frozenset(
    ("NOW", "CURRENT_TIMESTAMP", "LOCALTIME", "LOCALTIMESTAMP", "UTC_TIMESTAMP", "SYSDATE")
)
"""As numbers they have 14 digits: of ids so large a tablet asks always."""
_PLAIN_WORDS: Final = frozenset(("NULL", "DEFAULT")) | _CLOCKS


def insert_flags(lexemes: Sequence[Lexeme]) -> int:
    """F_INSERT, F_UPSERT or F_INSERT_ID for an INSERT or REPLACE."""
    if any(one.kind is WORD and one.text in _WHOLE for one in lexemes):
        return F_INSERT_ID
    at = next(
        (
            place
            for place, one in enumerate(lexemes)
            if one.kind is WORD and one.depth == 0 and one.text in ("VALUES", "VALUE", "SET") and place > 1
        ),
        len(lexemes),
    )
    assigns = at < len(lexemes) and lexemes[at].text == "SET"
    rows = 0
    before = "("
    for place in range(at + 1, len(lexemes)):
        one = lexemes[place]
        if one.depth == 0 and one.kind is WORD and one.text in ("ON", "AS"):
            return F_UPSERT if rows <= 1 else F_INSERT_ID
        if one.kind is ROW:
            rows += 1
        elif one.kind is MARK:
            rows += one.text == "(" and one.depth == 0
            if one.text not in ("(", ")", ",", "=", "." if assigns else "=") and not (
                one.text == "-" and before in ("(", ",", "=")
            ):
                return F_INSERT_ID
        elif one.kind is BIND:
            if before not in ("(", ",", "=", "-"):
                return F_INSERT_ID
        elif not (one.kind is WORD and one.text in _PLAIN_WORDS) and not (
            assigns
            and one.kind in (WORD, NAME)
            and lexemes[place + 1 : place + 2]
            and one.depth == 0
            and lexemes[place + 1].text in ("=", ".")
        ):
            return F_INSERT_ID
        before = one.text
    return F_INSERT
