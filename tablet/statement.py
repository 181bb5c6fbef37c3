"""The life of one statement, from EXECUTE to its last RESULT or FAIL.

Invariant: exactly one RESULT with I_LAST or one FAIL is sent, in `_reply` or `fail`, and both end in DONE.

    state     waits for                                     left by
    NEW       -                                             execution.start
    QUEUED    a connection                                  granted, refused (pool); stop
    JOINED    another statement's answer                    deliver, rerun (consolidator); stop
    SETUP     SET, USE, BEGIN, COM_STMT_PREPARE             _prepared; stop takes effect when they are done
    RUNNING   MySQL's answer, and CREDITs                   received; stop sends KILL QUERY
    ENDING    KILL's answer, COM_PING, ROLLBACK             _reply
    SHARED    CREDITs for an answer that is all here        credit
    DONE      -

This is the hot path: a plain query goes through `granted`, `_send`, `received` and nothing else.
"""

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from core.errors import CODES, SluiceError, fail
from core.rpc.messages import (
    F_BEGIN,
    F_DEPRECATE_EOF,
    F_MORE_RESULTS,
    F_NO_AUTOCOMMIT,
    F_PREPARED,
    F_RELEASE,
    F_RESERVE,
    F_SESSION_TRACK,
    F_STATUS,
    F_WRITE,
    FAIL,
    I_ERR,
    I_LAST,
    I_OK,
    I_SHARED,
    PREPARED,
    RESULT,
    WINDOW_BYTES,
)
from tablet.backend import Command, Connection, Profile, Sink
from tablet.consolidator import Flight
from tablet.held import Held
from tablet.killer import Kill
from tablet.setup import profile_steps, run_steps
from wire.answers import SessionChanges, err_packet
from wire.constants import (
    COM_PING,
    COM_QUERY,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_PREPARE,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
)
from wire.errors import ServerProtocolError
from wire.packets import frame, packet_count
from wire.scan import ERR, LOCAL_INFILE, OK, PREPARE, QUERY

if TYPE_CHECKING:
    from tablet.execution import Execution, Peer

NEW: Final = 0
QUEUED: Final = 1
JOINED: Final = 2
SETUP: Final = 3
RUNNING: Final = 4
ENDING: Final = 5
SHARED: Final = 6
DONE: Final = 7

CANCELLED: Final = "CANCELLED"
TIMED_OUT: Final = "TIMED_OUT"

WITH_HANDLE: Final = F_STATUS | F_BEGIN | F_RESERVE
_STATUS_MASK: Final = SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_IN_TRANS
_PLAIN_DML: Final = (b"select", b"insert", b"update", b"delete", b"replace", b"with", b"(select")
_SINK: Final = Sink()


class Statement:
    """One request. Made by `Execution`, which fills it in."""

    __slots__ = (
        "_backlog",
        "_info",
        "_kill",
        "_out",
        "_over",
        "_paused_s",
        "_sent_bytes",
        "_status",
        "_token",
        "connection",
        "credit_bytes",
        "deadline_s",
        "execution",
        "expires_s",
        "extra",
        "flags",
        "flight",
        "held",
        "id",
        "is_prepare",
        "lane",
        "limit_s",
        "new_handle",
        "peer",
        "profile",
        "queued",
        "queued_s",
        "sql",
        "started_s",
        "state",
        "stopped",
        "tables",
        "user",
        "with_handle",
    )

    def __init__(
        self,
        execution: "Execution",
        peer: "Peer",
        id: int,
        flags: int,
        user: str,
        profile: Profile,
        tables: list[str] | None,
        sql: bytes,
        extra: dict[str, Any] | None,
    ) -> None:
        self.execution = execution
        self.peer = peer
        self.id = id
        self.flags = flags
        self.user = user
        self.profile = profile
        self.tables = tables
        self.sql = sql
        self.extra = extra
        self.state = NEW
        self.connection: Any = None
        self.held: Held | None = None
        self.flight: Flight | None = None
        self.with_handle = flags & WITH_HANDLE != 0
        self.new_handle = flags & (F_BEGIN | F_RESERVE) != 0
        self.is_prepare = False
        self.lane = 0
        self.queued = False
        self.queued_s = self.deadline_s = self.started_s = self.expires_s = self.limit_s = 0.0
        self.stopped: str | None = None
        self.credit_bytes = WINDOW_BYTES
        self._sent_bytes = 0
        self._paused_s = 0.0
        self._kill: Kill | None = None
        self._over: SluiceError | None = None
        self._token: Any = False  # False: none, since None is one
        self._backlog: deque[bytes] | None = None

    # -- getting a connection

    def granted(self, connection: Connection) -> None:
        """From the pool: this connection is ours now."""
        execution = self.execution
        self.connection = connection
        execution.begin_clock(self)
        flags = self.flags
        if flags & (F_BEGIN | F_RESERVE):
            reserved = bool(flags & F_RESERVE)
            held = execution.handles.add(self.peer, connection, reserved, self.started_s)
            held.statement = self
            self.held = held
        if connection.profile == self.profile and not flags & (F_BEGIN | F_PREPARED) and self.sql:
            if not self.is_prepare:
                self._send()
                return
        self.set_up()

    def refused(self, error: SluiceError) -> None:
        """From the pool: there will be none."""
        self.fail(error)

    def resume_handle(self) -> None:
        """From execution: the next statement of a handle, whose connection is ours already."""
        connection: Connection = self.connection
        if connection.is_lost:
            self.fail_held(fail("TRANSACTION_LOST", reason="its connection to MySQL was lost"))
        elif connection.profile == self.profile and not self.flags & (F_BEGIN | F_PREPARED) and self.sql:
            self._send()
        else:
            self.set_up()

    def answer(self, info: int, out: bytes) -> None:
        """The whole answer of a statement that ran on the admin lane."""
        if self.state != DONE:
            self._reply(info, out, SERVER_STATUS_AUTOCOMMIT)

    def set_up(self) -> None:
        """Brings the connection to the statement's profile, opens what it asks for, then runs it."""
        self.state = SETUP
        connection: Connection = self.connection
        steps = profile_steps(connection, self.profile, self.execution.base_collation)
        changes = len(steps)
        if self.flags & F_BEGIN and self.extra and self.extra.get("begin"):
            query = bytes((COM_QUERY,))
            begin = [part.strip() for part in self.extra["begin"].split(";") if part.strip()]
            if not self.sql and begin:
                self.sql = begin.pop().encode()
            steps += [query + part.encode() for part in begin]

        def ready(failed: Command | None) -> None:
            if failed is not None:
                self._setup_failed(failed)
                return
            if changes:
                connection.settings, connection.database, _ = self.profile
                connection.profile = self.profile
            self._profiled()

        if steps:
            run_steps(connection, steps, ready)
        else:
            ready(None)

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
            if connection.prepared.get(key) is None:
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
        extra = connection.prepared.add(key, command.scanner.statement_id)
        if extra is not None:  # COM_STMT_CLOSE has no answer
            connection.transport.write(frame(bytes((COM_STMT_CLOSE,)) + extra.to_bytes(4, "little")))

    def _answer_prepare(self, command: Command) -> None:
        if not command.ok:
            self._setup_failed(command)
            return
        self._remember(command)
        scanner = command.scanner
        self._finish()
        self.peer.send((PREPARED, self.id, scanner.parameter_count, scanner.column_count, command.data))
        self.execution.pool.release(self.connection)

    def _setup_failed(self, command: Command) -> None:
        connection: Connection = self.connection
        held = self.held
        if command.lost_connection:
            if held is None or self.new_handle:
                if held is not None:
                    self.execution.handles.remove(held)
                    self.held = None
                self.fail(self.execution.pool.unavailable(0, "the connection to MySQL was lost"))
            else:
                self.fail_held(fail("TRANSACTION_LOST", reason="its connection to MySQL was lost"))
            return
        assert command.error is not None
        if held is not None and not self.new_handle:
            self.connection.dirty = True
            held.statement = None
            connection.statement = None
        elif held is not None:
            self.execution.handles.remove(held)
            self.held = None
        number, sqlstate, text = command.error
        if self.is_prepare:
            self._finish()
            self.peer.send((FAIL, self.id, number, sqlstate, text, 0))
        else:
            self._reply(I_LAST | I_ERR, err_packet(1, number, sqlstate, text), held.status if held else 0)
        if held is None or self.new_handle:
            self.execution.pool.release(connection)

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

    # -- running

    def _send(self) -> None:
        connection: Connection = self.connection
        execution = self.execution
        flags = self.flags
        self.state = RUNNING
        flight = self.flight
        if flight is not None:
            flight.clock = execution.epochs.clock
        if flags & F_WRITE or self.held is not None:
            self._start_write()
        sql = self.sql
        if flags & F_PREPARED:
            number = connection.prepared.get((sql, self.profile[0], self.profile[1])) or 0
            params = (self.extra or {}).get("params", b"\0\1\0\0\0")
            payload = bytes((COM_STMT_EXECUTE,)) + number.to_bytes(4, "little") + params
            packets = packet_count(len(payload))
        elif sql:
            payload = b""
            packets = 1 if len(sql) < 0xFFFFFE else packet_count(len(sql) + 1)
        else:
            payload = bytes((COM_PING,))  # a reservation without a statement
            packets = 1
        connection.scanner.begin(
            QUERY,
            flags & F_DEPRECATE_EOF != 0,
            flags & F_SESSION_TRACK != 0,
            SERVER_MORE_RESULTS_EXISTS if flags & F_MORE_RESULTS else 0,
            SERVER_STATUS_AUTOCOMMIT if flags & F_NO_AUTOCOMMIT else 0,
            packets,
        )
        connection.task = self
        if payload:
            connection.transport.write(frame(payload))
        else:
            connection.query(sql)

    def _start_write(self) -> None:
        held = self.held
        epochs = self.execution.epochs
        if held is None:
            self._token = epochs.start(self.tables)
            return
        if self.flags & F_WRITE:
            held.add_written(self.tables)
        if held.written is None or held.written:
            self._token = epochs.start(held.written)

    def received(self, data: bytes) -> None:
        connection: Connection = self.connection
        scanner = connection.scanner
        try:
            done, out = scanner.feed(data)
        except ServerProtocolError as error:
            self.execution.stats.note_error(error.number, error.text)
            connection.abort()
            return
        if not done:
            if out:
                self._part(out)
            return
        connection.task = None
        kind = scanner.kind
        if (
            self.held is not None
            or self.stopped is not None
            or kind == ERR
            or kind == LOCAL_INFILE
            or scanner.session_changes
            or scanner.status_flags & _STATUS_MASK != SERVER_STATUS_AUTOCOMMIT
        ):
            self._end(out)
            return
        if self._token is not False:
            self.execution.epochs.finish(self._token)
            self._token = False
        if self._paused_s:
            self._resume()
        info = I_LAST | I_OK if kind == OK and scanner.result_count == 1 else I_LAST
        self._reply(info, out, scanner.status_flags)
        self.execution.pool.release(connection)

    def _part(self, out: bytes) -> None:
        if self.stopped is not None:
            return
        execution = self.execution
        flight = self.flight
        if flight is not None and not execution.consolidator.part(flight, out):
            execution.unshare(flight, "too_large")
        self._sent_bytes += len(out)
        execution.stats.bytes_out += len(out)
        if self.with_handle:
            held = self.held
            handle, status = (held.handle, held.status) if held is not None else (0, 0)
            self.peer.send((RESULT, self.id, 0, out, handle, status))
        else:
            self.peer.send((RESULT, self.id, 0, out))
        if self._sent_bytes > self.credit_bytes and not self._paused_s:
            self._paused_s = execution.now()
            self.connection.transport.pause_reading()
            if self.flight is not None:
                execution.unshare(self.flight, "slow_client")

    def credit(self, size_bytes: int) -> None:
        """The client took so many bytes."""
        self.credit_bytes += size_bytes
        if self.state == SHARED:
            self._drain_backlog()
        elif self._paused_s and self._sent_bytes <= self.credit_bytes:
            self._resume()

    def _resume(self) -> None:
        # a client that reads slowly is not a query that runs long
        self.expires_s += self.execution.now() - self._paused_s
        self._paused_s = 0.0
        self.connection.transport.resume_reading()

    # -- the end

    def _end(self, out: bytes) -> None:
        """All ends but the plain one."""
        connection: Connection = self.connection
        scanner = connection.scanner
        self.state = ENDING
        if self._paused_s:
            self._resume()
        if scanner.kind == LOCAL_INFILE:  # was not negotiated: this server cannot be trusted
            connection.abort()
            self.lost()
            return
        if self._token is not False:
            self.execution.epochs.finish(self._token)
            self._token = False
        if scanner.session_changes:
            self._note_changes(scanner.session_changes)
        error = scanner.kind == ERR
        self._info = I_LAST | (I_ERR if error else I_OK if scanner.kind == OK else 0)
        self._out = out
        self._status = scanner.status_flags
        if error and self.stopped is None:
            self.execution.stats.errors += 1
            self.execution.stats.note_error(scanner.error_number, scanner.error_text)
        if self.held is not None:
            self._end_held()
            return
        if error:
            connection.verify = True  # a procedure may have left a transaction open
        elif scanner.status_flags & _STATUS_MASK != SERVER_STATUS_AUTOCOMMIT:
            connection.dirty = True
        if self.stopped is None:
            self._reply(self._info, out, self._status)
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
            if changes.system_variables or changes.state_changed or changes.unknown_types:
                connection.dirty = True

    def _end_held(self) -> None:
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
        if self.state == ENDING and self.connection.task is None and self._kill is not None:
            if self.held is not None:
                self._end_held()

    def _pinged(self, command: Command) -> None:
        if command.lost_connection:
            self.lost()
            return
        if command.error is not None:  # the kill hit the ping
            self.connection.command(bytes((COM_PING,)), self._pinged)
            return
        self._status = command.scanner.status_flags
        self._settle_held()

    def _settle_held(self) -> None:
        held = self.held
        assert held is not None
        execution = self.execution
        status = held.status = self._status = self._status & ~SERVER_SESSION_STATE_CHANGED
        if not status & SERVER_STATUS_IN_TRANS:
            held.written = ()
        if not (self.flags & F_RELEASE or held.free_wanted):
            now_s = held.used_s = execution.now()
            if not status & SERVER_STATUS_IN_TRANS:
                held.since_s = now_s
            held.statement = None
            self.connection.statement = None
            self._answer_held()
            return
        if status & SERVER_STATUS_IN_TRANS and not (held.reserved or self.connection.dirty):
            self.connection.command(b"\x03ROLLBACK", self._rolled_back)
        else:
            self._give_back()

    def _rolled_back(self, command: Command) -> None:
        if not command.ok:
            self.connection.dirty = True
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
        self.execution.pool.release(connection)

    def _answer_held(self) -> None:
        if self.stopped is None:
            self._reply(self._info, self._out, self._status)
        else:
            self._reply_stopped()

    def _reply_stopped(self) -> None:
        """The answer of a statement that was told to stop; if it was done before, that is the answer."""
        unsent = not self._sent_bytes
        if unsent and not (self.flags & F_WRITE and not self._info & I_ERR):
            self.fail(self._stop_error())
        elif self._info & I_ERR or unsent:
            self._reply(self._info, self._out, self._status)
        else:
            self.fail(self._stop_error())  # parts were dropped: the answer is not whole

    def _reply(self, info: int, out: bytes, status: int) -> None:
        flight = self.flight
        execution = self.execution
        self.state = DONE
        peer = self.peer
        peer.statements.pop(self.id, None)
        stats = execution.stats
        stats.bytes_out += len(out)
        if self.started_s:
            stats.query_time.add(execution.now() - self.started_s)
        if self.with_handle:
            held = self.held
            peer.send((RESULT, self.id, info, out, held.handle if held is not None else 0, status))
        else:
            peer.send((RESULT, self.id, info, out))
        if flight is not None:
            execution.land(flight, out, info, status)

    def _finish(self) -> None:
        self.state = DONE
        self.peer.statements.pop(self.id, None)

    def fail(self, error: SluiceError) -> None:
        """The tablet's own refusal or loss."""
        if self.state == DONE:
            return
        execution = self.execution
        self._finish()
        execution.stats.errors += 1
        execution.stats.note_error(error.number, error.message)
        handle = self.held.handle if self.held is not None else 0
        self.peer.send((FAIL, self.id, error.number, error.sqlstate, error.message, handle))
        execution.joined.pop(self, None)
        if self.flight is not None:
            execution.fly_without(self)

    def fail_held(self, error: SluiceError) -> None:
        """The handle is gone, and this statement is told so."""
        if self.held is not None:
            self.execution.handles.remove(self.held)
            self.held = None
        self.fail(error)

    # -- stopping

    def stop(self, why: str) -> None:
        """CANCELLED or TIMED_OUT: dequeues, or kills on MySQL; the answer follows when MySQL has ended it."""
        if self.stopped is not None or self.state in (DONE, ENDING):
            return
        self.stopped = why
        execution = self.execution
        if why is TIMED_OUT:
            execution.stats.timeouts += 1
        if self.state in (QUEUED, JOINED, SHARED):
            execution.pool.queue.remove(self)
            self.fail(self._stop_error())
        elif self.state == RUNNING:
            if self.flight is not None:
                execution.unshare(self.flight, "stopped")
            execution.stats.killed += 1
            self._kill = Kill(execution.admin, self.connection, execution.now(), self._kill_answered)
            if self._paused_s:
                self._resume()

    def stop_transaction(self, error: SluiceError) -> None:
        """The whole transaction is over its limit: kills the statement; `error` answers it, the handle ends."""
        held = self.held
        if self._over is None and held is not None:
            self._over = error
            held.free_wanted = True
            self.stop(TIMED_OUT)

    def _stop_error(self) -> SluiceError:
        if self._over is not None:
            return self._over
        if self.stopped is TIMED_OUT:
            return fail("TIMED_OUT", limit_s=f"{self.limit_s:g}")
        return fail("KILLED")

    def overdue(self, now_s: float, hard_after_s: float) -> None:
        """From the sweeper: acts on limits that have passed."""
        kill = self._kill
        if kill is not None:
            if now_s - kill.since_s >= hard_after_s:
                self._give_up()
        elif self.state == RUNNING:
            if self._paused_s:
                if now_s - self._paused_s >= self.execution.stall_s:
                    self.stop(TIMED_OUT)
            elif now_s >= self.expires_s:
                self.stop(TIMED_OUT)
        elif self.state == SETUP and now_s >= self.expires_s + hard_after_s:
            self.stopped = self.stopped or TIMED_OUT
            self._give_up()

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
        unknown = self.flags & F_WRITE and self.state == RUNNING
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
            error = fail("TRANSACTION_LOST", reason="its connection to MySQL was lost")
        else:
            error = fail("CONNECTION_LOST", **where)
        self.fail_held(error)

    # -- the answer of another

    def deliver(self, chunks: list[bytes], info: int, status: int) -> None:
        """From the consolidator: the whole answer."""
        self.execution.joined.pop(self, None)
        self._info = info | I_SHARED
        self._status = status
        self._backlog = deque(chunks)
        self.state = SHARED
        self._drain_backlog()

    def _drain_backlog(self) -> None:
        backlog = self._backlog
        assert backlog is not None
        with_handle = self.with_handle
        while backlog and self._sent_bytes <= self.credit_bytes:
            chunk = backlog.popleft()
            if not backlog:
                self._reply(self._info, chunk, self._status)
                return
            self._sent_bytes += len(chunk)
            self.execution.stats.bytes_out += len(chunk)
            self.peer.send(
                (RESULT, self.id, I_SHARED, chunk, 0, 0)
                if with_handle
                else (RESULT, self.id, I_SHARED, chunk)
            )


def _prepare(sql: bytes) -> bytes:
    return bytes((COM_STMT_PREPARE,)) + sql


def _is_plain_dml(sql: bytes) -> bool:
    """Whether losing its connection certainly undid it, being in a transaction: it is no COMMIT and no DDL."""
    return sql[:32].lstrip().lower().startswith(_PLAIN_DML)


assert CODES["KILLED"].number == 1317
