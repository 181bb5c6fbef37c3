"""Statements that the session itself handles: one file a behaviour, this table says which.

Each handler ends in exactly one of session.ok, reply, error, forward, run_text or start, or raises SluiceError.
"""

from collections.abc import Callable
from typing import Final

from router.plan.plans import Kind
from router.sessions.session import Session
from router.sessions.warnings import forgets_warnings
from router.statements import (
    databases,
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
)
from router.statements.assign import ignore_space
from router.statements.assign import login_charset as initial_charset_settings
from router.statements.local import is_local, local_result, value_of_spot
from router.statements.routines import call_prepared
from router.variables.charsets import python_codec

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
    Kind.XA: refused.run,
    Kind.DATABASE: databases.run,
    Kind.EMPTY: refused.empty,
    Kind.OTHER: refused.other,
}


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Handles one statement of the session's own. Raises SluiceError."""
    if kind is not Kind.SHOW and forgets_warnings(session):
        session.warnings = None
    _HANDLERS[kind](session, kind, sql)


__all__ = [
    "call_prepared",
    "ignore_space",
    "initial_charset_settings",
    "is_local",
    "local_result",
    "python_codec",
    "run",
    "value_of_spot",
]
