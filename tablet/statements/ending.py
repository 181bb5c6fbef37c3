"""What follows MySQL's answer wherever it is not the plain one: errors, transactions, kills, lost connections.

Invariants: a connection goes back to the pool only when its state is known or marked as not; the status flags told
of a transaction are true after the statement, so after an ERR they are asked for; a killed statement's connection is
closed, unless it is a transaction's and the KILL has been answered.
"""

import re
from typing import Final

from core.errors import fail
from core.rpc.messages import (
    F_BRANCH_ENDS,
    F_CALL,
    F_INFILE,
    F_INSERT,
    F_INSERT_ID,
    F_RELEASE,
    F_RENEW,
    F_SESSION_TRACK,
    F_UPSERT,
    F_WARNINGS,
    F_WRITE,
    I_ENDS_OK,
    I_ERR,
    I_LAST,
    I_OK,
    ROWS_SHIFT,
)
from tablet.backend.connection import Command, Connection, Sink
from tablet.statements.branches import settle
from tablet.statements.held import LOST_WITH_MYSQL
from tablet.statements.programs import ASK, RESET
from tablet.statements.request import CANCELLED, DONE, ENDING, RUNNING
from tablet.statements.tracking import tracked
from tablet.statements.variables_set import VariablesSet
from wire.answers import SessionChanges, err_packet
from wire.constants import (
    COM_PING,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
)
from wire.scan import ERR, LOCAL_INFILE, OK, RESULTSET

LEAVES_ID: Final = F_INSERT | F_UPSERT | F_INSERT_ID
_STATUS_MASK: Final = SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_IN_TRANS
_PLAIN_DML: Final = (b"select", b"insert", b"update", b"delete", b"replace", b"with", b"(select")
_HEADER_BYTES: Final = 4
_SINK: Final = Sink()
_SHOW_WARNINGS: Final = b"\x03SHOW WARNINGS LIMIT 1024"
_SHOW_ALL_WARNINGS: Final = b"\x03SHOW WARNINGS"
_NO_LIMIT: Final = F_SESSION_TRACK | F_INSERT_ID
"""With LIMIT, MySQL calls the transaction unsafe, and tells so; and FOUND_ROWS() is what LIMIT left."""


_ALONE: Final = frozenset((1053, 1064, 1146, 1205, 1213, 1317, 1927, 3024, 4031))
"""Errors that nobody asks about: met while nothing was done yet, or undone; or the server is about to hang up."""


_STAYS: Final = re.compile(
    rb"\s*(?:SET\b.*\b(?:profiling|optimizer_trace)|BINLOG)\b", re.IGNORECASE | re.DOTALL
)
"""What COM_RESET_CONNECTION does not end on each server: MariaDB's profiles, MySQL's trace."""


class Ending(VariablesSet):
    """The part of a statement's life after the answer."""

    __slots__ = ()

    def _begin_file(self) -> None:
        raise NotImplementedError

    def _note_id(self) -> None:
        raise NotImplementedError

    def _ask_id(self) -> None:
        raise NotImplementedError

    def _part(self, out: bytes) -> None:
        raise NotImplementedError

    def _end(self, out: bytes) -> None:
        """All ends but the plain one."""
        connection: Connection = self.connection
        scanner = connection.scanner
        if scanner.kind == LOCAL_INFILE and self.flags & F_INFILE and self.stopped is None:
            self._begin_file()
            return
        self.state = ENDING
        error = scanner.kind == ERR
        if error and self._sent_bytes:
            head = b"\xff%b#" % scanner.error_number.to_bytes(2, "little")
            at = max(out.rfind(head) - _HEADER_BYTES, 0)
            if at:  # the last part begins anywhere in a row: who reads the ERR finds it by itself
                self._part(out[:at])
                out = out[at:]
        if self._paused_s:
            self._resume()
        if (
            scanner.kind == LOCAL_INFILE
        ):  # nobody sends one: this server cannot be trusted, or it is told to stop
            connection.abort()
            self.lost()
            return
        if self._token is not False:
            self.execution.epochs.finish(self._token)
            self._token = False
        if scanner.session_changes:
            self._note_changes(scanner.session_changes)
        if self.flags & F_SESSION_TRACK:
            self._tracked = tracked(scanner.session_changes)
        self._note_doubt(scanner.kind, scanner.status_flags)
        self._info = I_LAST | scanner.row_count << ROWS_SHIFT
        if error:
            self._info |= I_ERR
        elif scanner.kind == OK:
            self._info |= I_OK if scanner.result_count == 1 else I_ENDS_OK
        self._out = out
        self._status = scanner.status_flags
        self._note_id()
        self._note_set()
        if error and self.stopped is None:
            self.execution.stats.errors += 1
            self.execution.stats.note_error(scanner.error_number, scanner.error_text)
        if self.held is None:
            if error:
                connection.verify = True  # a procedure may have left a transaction open
            elif scanner.status_flags & _STATUS_MASK != SERVER_STATUS_AUTOCOMMIT:
                connection.dirty = True
        if self._makes_programs:  # who has been told of it finds it known
            self.execution.programs.look(self._looked)
        else:
            self._ask_warnings()

    def _looked(self) -> None:
        self._makes_programs = False
        self._ask_warnings()

    def _ask_warnings(self) -> None:
        connection: Connection = self.connection
        wanted = connection.scanner.warnings
        if self._info & I_ERR:  # an ERR packet does not tell of what was before it
            wanted = connection.scanner.error_number not in _ALONE
        if wanted and self.flags & F_WARNINGS and self.stopped is None and not connection.is_lost:
            connection.command(_SHOW_ALL_WARNINGS if self.flags & _NO_LIMIT else _SHOW_WARNINGS, self._warned)
        else:
            self._settle()

    def _warned(self, command: Command) -> None:
        """What SHOW WARNINGS said; a connection that was lost meanwhile does not undo the answer."""
        if command.lost_connection and self.held is not None:
            self.lost()
            return
        if command.ok:
            self._send_warnings(command.data)
        self._settle()

    def _settle(self) -> None:
        lost = self.connection.is_lost
        if self.flags & F_SESSION_TRACK and self.stopped is None and not lost and self._asks_trackers():
            return
        self._tracked_all()

    def _tracked_all(self) -> None:
        if self.flags & LEAVES_ID and self._asks and not self.connection.is_lost:
            self._ask_id()
            return
        if self._may_have_set and self._asks_values():
            return
        if self.held is not None:
            self._end_held()
            return
        connection: Connection = self.connection
        if self.stopped is None:
            self._tell_tracked()
            self._reply(self._info, self._out, self._status)
            self.execution.pool.release(connection)
        else:
            self._reply_stopped()
            self.execution.pool.discard(connection)  # a KILL that is late could hit the next statement

    def _note_changes(self, all_changes: tuple[SessionChanges, ...]) -> None:
        connection: Connection = self.connection
        for changes in all_changes:
            if changes.schema is not None:
                connection.database = changes.schema
                connection.profile = (connection.settings, changes.schema, connection.found_rows)
                if self.held is None:
                    connection.dirty = True
            if changes.leaves_something:
                connection.dirty = True

    def _note_doubt(self, kind: int, status: int) -> None:
        """What stored programs may have left in the session without a word of it."""
        connection: Connection = self.connection
        programs = self.execution.programs
        self._makes_programs = self.flags & F_WRITE and self.tables is None and programs.note(self.sql)
        if self.flags & F_WRITE and self.tables is None and self.flags & F_RENEW:
            self.execution.pool.renew()
        doubt = programs.doubt(self.sql, self.flags, kind, self.tables)
        if kind == RESULTSET and status & SERVER_SESSION_STATE_CHANGED:
            doubt = RESET  # MariaDB's way to tell
        if doubt == RESET or (doubt == ASK and self.held is not None and kind == RESULTSET):
            connection.dirty = True  # in a transaction: when it is given back
        elif doubt == ASK:
            connection.verify = True

    def _end_held(self) -> None:
        if self.connection.is_lost:
            self.lost()
            return
        if self._kill is not None and not self._kill.answered:
            return  # `_kill_answered` comes back
        if self._kill is not None and self._kill.lost:
            self._give_up()
            return
        if self._info & I_ERR or self._kill is not None:
            # Does the transaction still stand (1213 ends it)? It also takes a kill that is still pending.
            self.connection.command(bytes((COM_PING,)), self._pinged)
        else:
            self._settle_held()

    def _kill_answered(self) -> None:
        if self._paused_s and self.state == RUNNING:
            self._resume()  # not before: what MySQL sends from here on lay in the sockets, or is its ERR
        waits = self.state == ENDING and self.connection.task is None and not self._makes_programs
        if waits and self.held is not None:
            self._end_held()

    def _pinged(self, command: Command) -> None:
        if command.lost_connection:
            self.lost()
            return
        if command.error is not None:  # the kill hit the ping
            self.connection.command(bytes((COM_PING,)), self._pinged)
            return
        if command.told_changes:
            self.connection.dirty = True
        if self.flags & F_SESSION_TRACK:
            self._tracked = tracked((self._tracked, *command.scanner.session_changes))
        self._status = command.scanner.status_flags
        self._settle_held()

    def _settle_held(self) -> None:
        held = self.held
        assert held is not None
        execution = self.execution
        status = self._status & ~SERVER_SESSION_STATE_CHANGED
        status = settle(held, self.flags, self._info, self._out, status)
        held.status = self._status = status
        held.calling = False
        if self.flags & F_CALL:
            self.connection.autocommit = bool(status & SERVER_STATUS_AUTOCOMMIT)
            self.connection.dirty = True
        if not status & SERVER_STATUS_IN_TRANS:
            held.written = ()
            if self._info & I_ERR:
                self.connection.dirty = (
                    True  # SET TRANSACTION before a BEGIN that failed would be the next one's
                )
        if held.reserved and _STAYS.match(self.sql) is not None:
            self.connection.retire_s = 0.0
        if not (self.flags & F_RELEASE or held.free_wanted):
            now_s = held.used_s = execution.now()
            if not status & SERVER_STATUS_IN_TRANS:
                held.since_s = now_s
            held.statement = None
            self.connection.statement = None
            self._answer_held()
            return
        if (self.flags & F_BRANCH_ENDS or not status & SERVER_STATUS_IN_TRANS) and not self._info & I_ERR:
            self._over = None  # a COMMIT that was quicker than the KILL: it stands; so does XA PREPARE
        if status & SERVER_STATUS_IN_TRANS and not held.branch:
            self.connection.command(b"\x03ROLLBACK", self._rolled_back)
        else:
            self._give_back()

    def _rolled_back(self, command: Command) -> None:
        if command.told_changes:
            self.connection.dirty = True
        if not command.ok:  # an XA branch that a procedure has left: never reset (`branches.py`)
            self.connection.closing = True
        else:
            self._status = command.scanner.status_flags & ~SERVER_SESSION_STATE_CHANGED
        self._give_back()

    def _give_back(self) -> None:
        held = self.held
        assert held is not None
        connection: Connection = self.connection
        self.execution.handles.remove(held)
        self.held = None
        if held.reserved:
            connection.dirty = True
        self._answer_held()
        if held.branch:
            self.execution.pool.discard(connection)
        else:
            self.execution.pool.release(connection)

    def _answer_held(self) -> None:
        if self._over is not None:  # whatever the statement did went with its transaction
            self.fail(self._over)
        elif self.stopped is None:
            self._tell_tracked()
            self._reply(self._info, self._out, self._status)
        else:
            self._reply_stopped()

    def _reply_stopped(self) -> None:
        """The answer of a statement that was told to stop; if it was done before, or MySQL takes a KILL for its end
        (SELECT SLEEP(9) says 1), that is the answer. A time limit is an error, but where something was written."""
        unsent = not self._sent_bytes
        done = not self._info & I_ERR and (self.flags & F_WRITE or self.stopped is CANCELLED)
        if self._dropped or (unsent and not done):
            error = self._stop_error()
            if unsent and self.flags & F_CALL and self.held is not None:
                # what the procedure has begun, or ended, is the session's: its status goes along
                packet = err_packet(1, error.number, error.sqlstate, error.message)
                self._reply(I_LAST | I_ERR, packet, self._status)
            else:
                self.fail(error)
        else:
            self._reply(self._info, self._out, self._status)

    def _give_up(self) -> None:
        """MySQL does not let go of it: the connection goes, and with it the transaction."""
        connection: Connection = self.connection
        if self.state == DONE:
            return
        if connection.task is not None:
            connection.task = _SINK
        if self._token is not False:
            connection.token.append(self._token)
            self._token = False
        unknown = self.flags & F_WRITE and self.state in (RUNNING, ENDING)
        error = fail("CONNECTION_LOST", **self.execution.where) if unknown else self._stop_error()
        self.fail_held(error)
        self.execution.pool.discard(connection)

    def lost(self) -> None:
        """The connection is gone while the statement ran."""
        connection: Connection = self.connection
        if self._token is not False:
            connection.token.append(self._token)
            self._token = False
        if self.state == DONE:
            return
        where = self.execution.where
        if self.stopped is not None and not self.flags & F_WRITE:
            error = self._stop_error()
        elif self.held is not None and self.held.in_transaction and _is_plain_dml(self.sql):
            error = self.held.gone(LOST_WITH_MYSQL)
        else:
            error = fail("CONNECTION_LOST", **where)
        self.fail_held(error)


def _is_plain_dml(sql: bytes) -> bool:
    """Whether losing its connection certainly undid it, being in a transaction: it is no COMMIT and no DDL."""
    return sql[:32].lstrip().lower().startswith(_PLAIN_DML)
