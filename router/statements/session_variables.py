"""A session's variables as a server would list them: where it says a pooled connection's, the session's own.

Settings need nothing: the connection that answers has them.
"""

from collections.abc import Mapping
from typing import Final

from router.sessions.session import Session
from router.variables.literals import value_literal
from router.variables.reading import OF_THE_ROUTER, UNKNOWN_HERE, read
from router.variables.table import Class, known, rule_of

_ALSO: Final = OF_THE_ROUTER | {
    "version",
    "version_comment",
    "in_transaction",
    "warning_count",
    "error_count",
    "pseudo_thread_id",
}


def variables_table(session: Session, schema: str, alias: str) -> bytes:
    """A derived table of the session's variables, over the server's own. `alias`: its name, empty where the statement
    gives it one."""
    names = [name for name, rule in known().items() if rule.kind in (Class.ROUTER, Class.IGNORED)]
    told: Mapping[str, str] = session.worker.server.get("variables") or {}
    cases = []
    for name in (*names, *_ALSO):
        shown = told.get(name)
        if shown is not None and (ours := overlaid(session, "session", name, shown)) != shown:
            cases.append(b"WHEN '%b' THEN %b" % (name.encode(), value_literal(ours)))
    value = (
        b"CASE LOWER(VARIABLE_NAME) %b ELSE VARIABLE_VALUE END" % b" ".join(cases)
        if cases
        else b"VARIABLE_VALUE"
    )
    table = b"(SELECT VARIABLE_NAME, %b AS VARIABLE_VALUE FROM %b.session_variables)" % (
        value,
        schema.encode(),
    )
    return table + (b" AS `" + alias.encode() + b"`" if alias else b"")


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
