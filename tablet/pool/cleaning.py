"""Brings a connection whose session is in doubt back to a known state, before anybody else gets it.

    doubt                                             what is done
    `verify`: a transaction may be open, or MySQL     COM_PING, whose answer has the status flags and what the
    has not told yet what a program SET               session trackers have to tell
    `dirty`: variables, tables, locks may be there    COM_RESET_CONNECTION, default database, base state

COM_RESET_CONNECTION rolls back, drops temporary tables, locks, variables and prepared statements, on both servers.
If any step fails the connection is not fit for use.
"""

from collections.abc import Callable
from typing import Final

from tablet.backend.connection import BASE_STATE_SQL, Command, Connection
from tablet.pool.setup import run_steps
from wire.constants import COM_INIT_DB, COM_PING, COM_QUERY, COM_RESET_CONNECTION, SERVER_STATUS_IN_TRANS

Then = Callable[[Connection, bool], None]
"""The connection, and whether it is fit for use now."""

_PING: Final = bytes((COM_PING,))
_RESET: Final = bytes((COM_RESET_CONNECTION,))
_BASE: Final = bytes((COM_QUERY,)) + BASE_STATE_SQL.encode()


def clean(connection: Connection, database: str, then: Then) -> None:
    """Verifies, and resets where that must be; `database` is the default one."""
    if connection.dirty:
        _reset(connection, database, then)
        return

    def verified(command: Command) -> None:
        if not command.ok:
            then(connection, False)
            return
        connection.verify = False
        if command.scanner.status_flags & SERVER_STATUS_IN_TRANS or command.told_changes:
            _reset(connection, database, then)
        else:
            then(connection, True)

    connection.command(_PING, verified)


def _reset(connection: Connection, database: str, then: Then) -> None:
    steps = [_RESET, bytes((COM_INIT_DB,)) + database.encode(), _BASE]

    def done(failed: Command | None) -> None:
        if failed is not None:
            then(connection, False)
            return
        connection.prepared.clear()
        connection.insert_id = 0
        connection.autocommit = True
        connection.dirty = connection.verify = False
        connection.settings = ""
        connection.database = database
        connection.profile = ("", database, connection.found_rows)
        then(connection, True)

    run_steps(connection, steps, done)
