"""SHOW VARIABLES: a server's answer with the session's settings, and the router's own values in it."""

from router.sessions.session import Session
from router.statements.filtering import like_pattern, take_like
from router.statements.local import rows_result, text_columns
from router.statements.passing import named_values
from router.statements.session_variables import overlaid
from router.statements.words import Words
from router.variables.literals import Value
from router.variables.reading import read
from router.variables.table import OURS


def variables(session: Session, words: Words, sql: bytes) -> None:
    """SHOW [GLOBAL | SESSION] VARIABLES [LIKE | WHERE]."""
    scope = "global" if any(one.text == "GLOBAL" for one in words.lexemes[:3]) else "session"
    pattern = take_like(words)
    filtered = words.peek() is not None
    session.start(_show(session, sql, scope, pattern, filtered))


async def _show(session: Session, sql: bytes, scope: str, pattern: str | None, filtered: bool) -> None:
    rows: list[list[Value]] = []
    for name, shown in await named_values(session, sql):
        rows.append([name, overlaid(session, scope, name.lower(), shown)])
    if not filtered:
        matches = like_pattern(pattern if pattern is not None else "%").fullmatch
        rows += [[name, str(read(session, scope, name))] for name in OURS if matches(name)]
    rows.sort(key=lambda row: str(row[0]))
    session.found_rows = len(rows)
    session.reply(rows_result(session, text_columns(session, "Variable_name", "Value"), rows))
