"""SHOW VARIABLES: a server's answer with the session's settings, and the router's own values in it."""

from typing import Final

from router.sessions.session import Session
from router.statements.filtering import like_pattern, take_like
from router.statements.local import rows_result, text_columns
from router.statements.passing import named_values
from router.statements.words import Words
from router.variables.literals import Value
from router.variables.reading import OF_THE_ROUTER, UNKNOWN_HERE, read
from router.variables.table import Class, rule_of

_ALSO: Final = OF_THE_ROUTER | {
    "version",
    "version_comment",
    "in_transaction",
    "warning_count",
    "error_count",
}
_OURS: Final = ("transaction_mode",)


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
        rows += [[name, str(read(session, scope, name))] for name in _OURS if matches(name)]
    rows.sort(key=lambda row: str(row[0]))
    session.reply(rows_result(session, text_columns(session, "Variable_name", "Value"), rows))


def overlaid(session: Session, scope: str, name: str, shown: str) -> str:
    """What the row of `name` must say where the server says `shown`."""
    rule = rule_of(name)
    set_here = rule.kind is Class.IGNORED and name in (session.variables or {})
    if rule.kind is not Class.ROUTER and name not in _ALSO and not set_here:
        return shown
    if name in (session.settings or {}) and name != "character_set_results":
        return shown  # the server has it already
    value = read(session, scope, name)
    if value is UNKNOWN_HERE:
        return shown
    if value is None:
        return ""
    if shown in ("ON", "OFF") and isinstance(value, int):
        return "ON" if value else "OFF"
    return str(value)
