"""How what a session does, and a session itself, comes to its end.

Invariant: a client that goes away leaves nothing behind: its running request is cancelled, its handles are freed.
"""

from typing import TYPE_CHECKING

from core.errors import fail
from core.rpc import messages as m
from router.sessions import holding
from router.sql.dialect import Dialect
from router.variables.reading import is_mariadb

if TYPE_CHECKING:
    from router.sessions.session import Session


def kill_query(session: "Session") -> None:
    """KILL QUERY: ends what runs; the client gets error 1317."""
    if session.request and session.link is not None:
        session.link.cancel(session.request)
    elif session.source is not None:
        session.source.interrupt()
    elif session.tx is not None and session.tx.committing:
        pass  # the answer is on its way, and it must be the true one
    elif session.task is not None and not session.worker.calls.interrupt(session.task):
        if session.connection.file is not None:  # no answer may come before the end of what the client sends
            session.connection.abort("killed while its client was sending a file")
            return
        # it waits for a turn, not for a tablet
        session.task.cancel()
        session.task = None
        error = fail("KILLED")
        session.error(error.number, error.sqlstate, error.message)


def reset(session: "Session") -> None:
    """COM_RESET_CONNECTION: everything but user, default database and id is as after the login."""
    close(session)
    session.autocommit = True
    session.replace_settings({})
    session.tracker = None
    session.flags &= ~(m.F_SESSION_TRACK | m.F_TRACK_ROWS)
    session.variables = None
    session.user_variables = None
    session.next_transaction = None
    session.warnings = None
    session.dialect = Dialect.DEFAULT
    session.last_insert_id = 0
    session.found_rows = 0
    session.worker.restore_charset(session)
    if not is_mariadb(session):
        # MariaDB goes back to the login's character set, MySQL to the global one
        kept = {
            k: v
            for k, v in (session.settings or {}).items()
            if not k.startswith(("character_", "collation_"))
        }
        session.replace_settings(kept)
        session.codec = None


def close(session: "Session") -> None:
    """The client is gone (or starts over): ends what runs and gives back what is held."""
    if session.request and session.link is not None:
        session.link.abandon(session.request)
        if session.tx is not None and session.link in session.tx.held:
            # the abandoned answer still names the handle, and is answered with FREE when it comes
            session.tx.held.pop(session.link)
        session.request = 0
    if session.task is not None:
        session.task.cancel()
        session.task = None
    if session.tx is not None:
        holding.transaction_over(session)
    if session.reserved:
        for link, reserved in session.reserved.items():
            if reserved.incarnation == link.incarnation:
                link.free(reserved.handle)
        session.reserved = None
    session.statements = None
    session.named = None
    if session.rules:
        session.leave_limits()
