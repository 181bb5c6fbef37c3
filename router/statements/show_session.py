"""SHOW PROCESSLIST, PINS, WARNINGS, ERRORS, COUNT(*) and GRANTS: what the router knows of its sessions.

Warnings and errors are those that `router.sessions.warnings` keeps of the session's last statement.
"""

from collections.abc import Sequence
from time import time
from typing import Any, Final

from core.errors import fail
from core.users import privileges
from router.execute.reserve import still_there
from router.sessions.session import Session
from router.statements.local import number_columns, rows_result, text_columns
from router.statements.passing import view_of
from router.statements.words import VARIABLE, Words
from router.variables.literals import Value
from router.variables.reading import is_mariadb
from wire.columns import number_column
from wire.constants import BINARY_FLAG, NOT_NULL_FLAG, TYPE_DOUBLE

_INFO_CHARS: Final = 100
_PROGRESS: Final = number_column("Progress", TYPE_DOUBLE, NOT_NULL_FLAG | BINARY_FLAG, 7, 3)
"""MariaDB's ninth column; what a statement has done of its work is not asked for."""


def processlist(session: Session, words: Words, sql: bytes) -> None:
    """SHOW [FULL] PROCESSLIST: the user's own sessions in all workers of this router, an administrator's: all."""
    del sql
    words.end()
    full = any(one.text == "FULL" for one in words.lexemes)
    session.start(_processlist(session, full))


async def sessions_of(session: Session) -> list[Sequence[Any]]:
    """All sessions of this router, as `Connection.describe` has them."""
    found: dict[str, Any] = await session.worker.ask("processlist", {})
    rows = [row for answer in found.get("answers", []) for row in answer.get("rows", [])]
    return rows or [connection.describe() for connection in session.worker.connections.values()]


async def _processlist(session: Session, full: bool) -> None:
    rows = await sessions_of(session)
    columns = [
        *number_columns(session, "Id"),
        *text_columns(session, "User", "Host", "db", "Command"),
        *number_columns(session, "Time"),
        *text_columns(session, "State", "Info"),
    ]
    progress = ["0.000"] if is_mariadb(session) else []
    if progress:
        columns.append(_PROGRESS)
    kept: list[list[Value]] = []
    everyone = session.worker.rights.is_admin(session)
    for row in sorted(rows, key=lambda row: row[0]):
        if everyone or row[1] == session.user:
            shown = [*row, *progress]
            if shown[7] is not None and not full:
                shown[7] = shown[7][:_INFO_CHARS]
            kept.append(shown)
    session.reply(rows_result(session, columns, kept))


def pins(session: Session, words: Words, sql: bytes) -> None:
    """SHOW PINS: which shards hold a connection for this session: why, for how long, by which statement. One that its
    tablet took back is told as an error, as by any statement for it."""
    del sql
    words.end()
    if session.reserved:
        session.start(_pins(session))
    else:
        _tell_pins(session)


async def _pins(session: Session) -> None:
    for link, reserved in list((session.reserved or {}).items()):
        if session.tx is None or link not in session.tx.held:
            await still_there(session, link, reserved)
    _tell_pins(session)


def _tell_pins(session: Session) -> None:
    now = time()
    rows: list[list[Value]] = []
    if session.tx is not None:
        what = "transaction" if session.tx.branch is None else "XA transaction"
        rows += [[f"{link.keyspace}/{link.shard}", what, None, ""] for link in session.tx.held]
    for link, reserved in (session.reserved or {}).items():
        rows += [
            [f"{link.keyspace}/{link.shard}", pin.what, int(now - pin.since), pin.statement]
            for pin in reserved.pins.values()
        ]
    columns = [
        *text_columns(session, "Shard", "Reason"),
        *number_columns(session, "Seconds"),
        *text_columns(session, "Statement"),
    ]
    session.reply(rows_result(session, columns, rows))


def warnings(session: Session, words: Words, sql: bytes) -> None:
    """SHOW WARNINGS | ERRORS [LIMIT [offset,] count]."""
    del sql
    errors = words.lexemes[words.at - 1].text == "ERRORS"
    found = [one for one in session.warnings or () if not errors or one[0] == "Error"]
    if words.takes("LIMIT"):
        first = words.number()
        found = found[first : first + words.number()] if words.takes_mark(",") else found[:first]
    words.end()
    columns = [
        *text_columns(session, "Level"),
        *number_columns(session, "Code"),
        *text_columns(session, "Message"),
    ]
    session.reply(rows_result(session, columns, [list(one) for one in found]))


def count(session: Session, words: Words, sql: bytes) -> None:
    """SHOW COUNT(*) WARNINGS | ERRORS."""
    del sql
    for mark in "(*)":
        if not words.takes_mark(mark):
            raise words.error()
    what = words.takes_one("WARNINGS", "ERRORS")
    if not what:
        raise words.error()
    words.end()
    levels = [level for level, _, _ in session.warnings or ()]
    number = len(levels) if what == "WARNINGS" else levels.count("Error")
    name = "@@session.warning_count" if what == "WARNINGS" else "@@session.error_count"
    session.found_rows = 1
    session.reply(rows_result(session, number_columns(session, name), [[number]]))


def grants(session: Session, words: Words, sql: bytes) -> None:
    """SHOW GRANTS [FOR user]: the user's roles as the privileges of MySQL's that come nearest; of another user for
    administrators."""
    del sql
    user = session.user
    if words.takes("FOR") and not words.takes("CURRENT_USER"):
        user = words.name_or_text()
        following = words.peek()
        if following is not None and following.kind is VARIABLE:
            words.at += 1
        elif words.takes_mark("@"):
            words.name_or_text()
    elif words.takes_mark("("):
        words.takes_mark(")")
    rights = session.worker.rights
    if user != session.user and not rights.is_admin(session):
        raise fail("DB_ACCESS_DENIED", user=session.user, host=session.connection.host, database="mysql")
    found = rights.accounts.grants(user)
    if found is None:
        raise fail("NO_SUCH_GRANT", user=user)
    to = f"TO `{user}`@`%`"
    rows: list[list[Value]] = [[f"GRANT {privileges(found.everywhere)} ON *.* {to}"]]
    for name in sorted(view_of(session).keyspaces):
        own = found.keyspaces.get(name.lower(), 0)
        if own & ~found.everywhere:
            rows.append([f"GRANT {privileges(found.of(name))} ON `{name}`.* {to}"])
    session.reply(rows_result(session, text_columns(session, f"Grants for {user}@%"), rows))
