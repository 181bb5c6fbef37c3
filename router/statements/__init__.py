"""Statements that the session itself handles: one file a behaviour, this table says which.

Each handler ends in exactly one of session.ok, reply, error, forward, run_text or start, or raises SluiceError.
"""

from collections.abc import Callable
from typing import Final

from router.plan.plans import Kind
from router.sessions.session import Session
from router.sessions.warnings import forgets_warnings
from router.sql.executable import read_by_server
from router.statements import (
    databases,
    diagnostics,
    explain,
    kill,
    load_data,
    locks,
    prepare,
    refused,
    routines,
    savepoints,
    set,
    show,
    transactions,
    use,
    xa,
)
from router.statements.assign import ignore_space
from router.statements.assign import login_charset as initial_charset_settings
from router.statements.local import is_local, is_of_sessions, local_result, value_of_spot
from router.statements.routines import call_prepared
from router.statements.show_session import sessions_of
from router.variables.charsets import python_codec
from router.variables.reading import server_version

Handler = Callable[[Session, Kind, bytes], None]

_HANDLERS: Final[dict[Kind, Handler]] = {
    Kind.BEGIN: transactions.begin,
    Kind.COMMIT: transactions.end,
    Kind.ROLLBACK: transactions.end,
    Kind.SAVEPOINT: savepoints.run,
    Kind.ROLLBACK_TO: savepoints.run,
    Kind.RELEASE_SAVEPOINT: savepoints.run,
    Kind.SET: set.run,
    Kind.USE: use.run,
    Kind.SHOW: show.run,
    Kind.KILL: kill.run,
    Kind.EXPLAIN: explain.run,
    Kind.LOCK_TABLES: locks.lock,
    Kind.UNLOCK_TABLES: locks.unlock,
    Kind.PREPARE: prepare.prepare,
    Kind.EXECUTE: prepare.execute,
    Kind.DEALLOCATE: prepare.deallocate,
    Kind.CALL: routines.call,
    Kind.LOAD_DATA: load_data.run,
    Kind.DO: routines.do,
    Kind.FLUSH: locks.flush,
    Kind.XA: xa.run,
    Kind.DIAGNOSTICS: diagnostics.get,
    Kind.DATABASE: databases.run,
    Kind.EMPTY: refused.empty,
    Kind.OTHER: refused.other,
}

_KEEPS_WARNINGS: Final = (Kind.SHOW, Kind.DIAGNOSTICS)


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Handles one statement of the session's own. Raises SluiceError."""
    if b"/*" in sql and (b"/*!" in sql or b"/*M!" in sql):
        read = read_by_server(sql, server_version(session), session.dialect)
        if kind in (Kind.OTHER, Kind.EMPTY):  # the statement may be one of the planner's
            _run_unwrapped(session, sql, read)
            return
        if kind is not Kind.BEGIN or _has_one_shard(
            session
        ):  # else no WITH CONSISTENT SNAPSHOT that is optional
            sql = read
    if kind not in _KEEPS_WARNINGS and forgets_warnings(session) and not _resignals(kind, sql):
        session.warnings = None
    _HANDLERS[kind](session, kind, sql)


def _resignals(kind: Kind, sql: bytes) -> bool:
    return kind is Kind.OTHER and sql[:8].upper() == b"RESIGNAL"


def _has_one_shard(session: Session) -> bool:
    view = session.worker.view
    keyspace = view.keyspaces.get(session.keyspace) if view is not None else None
    return bool(session.shard) or (keyspace is not None and len(keyspace.links) == 1)


def _run_unwrapped(session: Session, sql: bytes, read: bytes) -> None:
    if not read.strip(refused.NOTHING):
        refused.empty(session, Kind.EMPTY, sql)
    elif read == sql:  # the marks are in quotes
        refused.other(session, Kind.OTHER, sql)
    else:
        session.run_text(read)


__all__ = [
    "call_prepared",
    "ignore_space",
    "initial_charset_settings",
    "is_local",
    "is_of_sessions",
    "local_result",
    "python_codec",
    "run",
    "sessions_of",
    "value_of_spot",
]
