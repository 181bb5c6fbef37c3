"""LIKE and WHERE of the SHOWs that the router answers itself.

LIKE is matched here. WHERE is an expression of SQL: the rows go to a server as a derived table, and it decides.
"""

import re
from collections.abc import Sequence

from router.sessions.session import Session
from router.sessions.where import any_link
from router.statements.evaluate import substituted
from router.statements.local import rows_result, text_columns
from router.statements.passing import pass_read
from router.statements.words import BIND, Words
from router.variables.literals import Value, value_literal


def like_pattern(text: str) -> re.Pattern[str]:
    """A LIKE pattern (`%`, `_`, backslash escapes) as an expression without regard to case."""
    pieces: list[str] = []
    at = 0
    while at < len(text):
        char = text[at]
        if char == "\\" and at + 1 < len(text):
            at += 1
            pieces.append(re.escape(text[at]))
        elif char == "%":
            pieces.append(".*")
        elif char == "_":
            pieces.append(".")
        else:
            pieces.append(re.escape(char))
        at += 1
    return re.compile("".join(pieces), re.IGNORECASE | re.DOTALL)


def take_like(words: Words) -> str | None:
    """The pattern of `LIKE '...'` if that is next. Raises SYNTAX."""
    if not words.takes("LIKE"):
        return None
    found = words.peek()
    value = words.value(found) if found is not None and found.kind is BIND else None
    if not isinstance(value, str):
        raise words.error()
    words.at += 1
    return value


def reply_table(
    session: Session, words: Words, names: Sequence[str], rows: Sequence[Sequence[Value]]
) -> None:
    """Answers with `rows` as far as LIKE (on the first column) or WHERE of the statement let them through."""
    like = take_like(words)
    if words.takes("WHERE") and like is None:
        start = words.at
        if start == len(words.lexemes):
            raise words.error()
        where = substituted(session, words, start, len(words.lexemes))
        pass_read(session, any_link(session), derived(names, rows) + b" WHERE " + where)
        return
    words.end()
    kept: Sequence[Sequence[Value]] = rows
    title = names[0]
    if like is not None:
        matches = like_pattern(like).fullmatch
        kept = [row for row in rows if matches(str(row[0]))]
        title = f"{names[0]} ({like})" if names[0] == "Database" else names[0]
    columns = text_columns(session, title, *names[1:])
    session.found_rows = len(kept)
    session.reply(
        rows_result(session, columns, [[None if v is None else str(v) for v in row] for row in kept])
    )


def derived(names: Sequence[str], rows: Sequence[Sequence[Value]]) -> bytes:
    """`SELECT * FROM (...) AS answer` with these rows."""
    quoted = [b"`" + name.encode() + b"`" for name in names]
    if not rows:
        empty = b",".join(b"NULL AS " + name for name in quoted)
        return b"SELECT * FROM (SELECT " + empty + b" LIMIT 0) AS answer"
    selects = []
    for at, row in enumerate(rows):
        cells = [value_literal(value) for value in row]
        if at == 0:
            cells = [cell + b" AS " + name for cell, name in zip(cells, quoted, strict=True)]
        selects.append(b"SELECT " + b",".join(cells))
    return b"SELECT * FROM (" + b" UNION ALL ".join(selects) + b") AS answer"
