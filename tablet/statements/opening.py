"""What comes before a statement runs: the connection's profile, autocommit, BEGIN, COM_STMT_PREPARE.

Invariant: when a step fails the statement is not run; it is answered with that error, and the connection is reset
before anybody else gets it. A transaction goes on with it; its next statement sets anew whatever was to be set. A read
that may be shared does not wait for the answer of its SET (`behind.py`); nobody gets to see that it ran if that fails.

The router keeps autocommit, and opens transactions itself. Only while a procedure runs, or a program that reads it, it
must be MySQL's own: what
follows a COMMIT in its body is in a transaction again, or is not. Off, it stays so until no transaction is open.
"""

from core.rpc.messages import (
    F_BEGIN,
    F_CALL,
    F_CONSOLIDATE,
    F_NO_AUTOCOMMIT,
    F_PREPARED,
    FAIL,
    I_ERR,
    I_LAST,
    PREPARED,
)
from tablet.backend.connection import Command, Connection
from tablet.backend.prepared import OnServer
from tablet.pool.settings import in_doubt
from tablet.pool.setup import profile_steps, run_steps
from tablet.statements.behind import Behind
from tablet.statements.ending import Ending
from tablet.statements.held import LOST_WITH_MYSQL, Held
from tablet.statements.request import SETUP
from wire.answers import err_packet
from wire.constants import COM_QUERY, COM_STMT_CLOSE, COM_STMT_PREPARE
from wire.packets import frame
from wire.scan import PREPARE


class Opening(Ending):
    """The part of a statement's life before it runs."""

    __slots__ = ()

    def _send(self) -> None:
        raise NotImplementedError

    def received(self, data: bytes) -> None:
        raise NotImplementedError

    def set_up(self) -> None:
        """Brings the connection to the statement's profile, opens what it asks for, then runs it."""
        self.state = SETUP
        connection: Connection = self.connection
        steps = profile_steps(connection, self.profile, self.execution.base_collation)
        changes = len(steps)
        if changes == 1 and self.flags & F_CONSOLIDATE and self._can_follow(steps[0]):
            connection.query(steps[0][1:])
            self._send()
            connection.task = Behind(self)
            return
        query = bytes((COM_QUERY,))
        autocommit = self._autocommit()
        if autocommit is not connection.autocommit:
            steps.append(query + b"SET autocommit=%d" % autocommit)
        if self.flags & F_BEGIN and self.begin:
            begin = [part.strip() for part in self.begin.split(";") if part.strip()]
            if not self.sql and begin:
                self.sql = begin.pop().encode()
            steps += [query + part.encode() for part in begin]

        def ready(failed: Command | None) -> None:
            if failed is not None:
                if changes:  # a transaction goes on with this connection
                    connection.settings = in_doubt(connection.settings, self.profile[0])
                    connection.profile = (connection.settings, connection.database, connection.found_rows)
                self._setup_failed(failed)
                return
            if changes:
                connection.settings, connection.database, _ = self.profile
                connection.profile = self.profile
            if autocommit is not connection.autocommit:
                connection.autocommit = autocommit
                connection.dirty = True
            self._profiled()

        if steps:
            run_steps(connection, steps, ready)
        else:
            ready(None)

    def _autocommit(self) -> bool:
        """What MySQL's own must be while this runs."""
        if self.flags & F_CALL:
            return not self.flags & F_NO_AUTOCOMMIT
        if self.flags & F_NO_AUTOCOMMIT and self._shows_autocommit():
            return False
        connection: Connection = self.connection
        if self.flags & F_NO_AUTOCOMMIT or (self.held is not None and self.held.in_transaction):
            return connection.autocommit
        return True

    def _shows_autocommit(self) -> bool:
        return self.execution.programs.needs.reads_autocommit(self.sql, self.flags, self.tables)

    def _can_follow(self, step: bytes) -> bool:
        """Whether this read, which nobody minds if it runs in vain, may be sent right behind `step`."""
        if step[0] != COM_QUERY or self.held is not None or self.is_prepare or not self.sql:
            return False
        if self.flags & F_PREPARED:
            self._known = self.connection.prepared.get((self.sql, self.profile[0], self.profile[1]))
            return self._known is not None
        return True

    def refuse_setting(self, answer: bytes) -> None:
        """From `Behind`: the SET failed, and the statement behind it is still on its way."""
        if self.stopped is not None:
            self.fail(self._stop_error())
        else:
            self._reply(I_LAST | I_ERR, answer, 0)
        self.execution.pool.discard(self.connection)

    def _profiled(self) -> None:
        connection: Connection = self.connection
        if self.stopped is not None:
            self._stopped_before_running()
            return
        if self.is_prepare:
            connection.command(_prepare(self.sql), self._answer_prepare, PREPARE, 1 << 24)
            return
        if self.flags & F_PREPARED:
            key = (self.sql, self.profile[0], self.profile[1])
            self._known = connection.prepared.get(key)
            if self._known is None:
                connection.command(_prepare(self.sql), self._prepared, PREPARE, 1 << 24)
                return
        self._send()

    def _prepared(self, command: Command) -> None:
        if not command.ok:
            self._setup_failed(command)
            return
        self._remember(command)
        if self.stopped is not None:
            self._stopped_before_running()
        else:
            self._send()

    def _remember(self, command: Command) -> None:
        connection: Connection = self.connection
        key = (self.sql, self.profile[0], self.profile[1])
        scanner = command.scanner
        self._known = OnServer(scanner.statement_id, scanner.parameter_count, connection.query_attributes)
        extra = connection.prepared.add(key, self._known)
        if extra is not None:  # COM_STMT_CLOSE has no answer
            connection.transport.write(frame(bytes((COM_STMT_CLOSE,)) + extra.to_bytes(4, "little")))

    def _answer_prepare(self, command: Command) -> None:
        if not command.ok:
            self._setup_failed(command)
            return
        self._remember(command)
        if self.stopped is not None:
            self._stopped_before_running()
            return
        scanner = command.scanner
        self._finish()
        self.peer.send((PREPARED, self.id, scanner.parameter_count, scanner.column_count, command.data))
        if self.held is None:
            self.execution.pool.release(self.connection)
        else:
            self._leave(self.held)

    def _leave(self, held: Held) -> None:
        """Of a handle's connection, before the statement ran: the next statement of the handle may come."""
        held.statement = None
        held.connection.statement = None
        held.used_s = self.execution.now()
        if held.free_wanted:
            self.execution.free(held)

    def _setup_failed(self, command: Command) -> None:
        connection: Connection = self.connection
        held = self.held
        if command.lost_connection:
            if held is None or self.new_handle:
                if held is not None:
                    self.execution.handles.remove(held)
                    self.held = None
                self.fail(self.execution.pool.unavailable("the connection to MySQL was lost"))
            else:
                self.fail_held(held.gone(LOST_WITH_MYSQL))
            return
        assert command.error is not None
        if held is not None and not self.new_handle:
            self.connection.dirty = True
            held.statement = None
            connection.statement = None
        elif held is not None:
            self.execution.handles.remove(held)
            self.held = None
            connection.dirty = True  # BEGIN may have run before the step that failed
        number, sqlstate, text = command.error
        if self.is_prepare:
            self._finish()
            self.peer.send((FAIL, self.id, number, sqlstate, text, held.handle if held else 0))
        else:
            self._reply(I_LAST | I_ERR, err_packet(1, number, sqlstate, text), held.status if held else 0)
        if held is None or self.new_handle:
            self.execution.pool.release(connection)
        elif held.free_wanted:
            self.execution.free(held)

    def _stopped_before_running(self) -> None:
        connection: Connection = self.connection
        held = self.held
        error = self._stop_error()
        if held is not None and not self.new_handle:
            held.statement = None
            connection.statement = None
            held.used_s = self.execution.now()
            self.fail(error)
            if held.free_wanted:
                self.execution.free(held)
            return
        if held is not None:
            self.execution.handles.remove(held)
            self.held = None
        connection.verify = True  # BEGIN may have run
        self.fail(error)
        self.execution.pool.release(connection)


def _prepare(sql: bytes) -> bytes:
    return bytes((COM_STMT_PREPARE,)) + sql
