"""A statement while it runs: the hot path. A plain query goes through `granted`, `_send`, `received`, `_reply`.

Streaming: what MySQL sends is passed on as it comes; when the client is more than WINDOW_BYTES behind, MySQL is not
read any more until CREDITs come. Time limits do not count while the client is what takes the time.
"""

from typing import Final

from core.errors import SluiceError
from core.rpc.messages import (
    F_BEGIN,
    F_CALL,
    F_COUNTS,
    F_DEPRECATE_EOF,
    F_EXTENDED,
    F_MORE_RESULTS,
    F_NO_AUTOCOMMIT,
    F_PREPARED,
    F_RESERVE,
    F_SESSION_TRACK,
    F_WARNINGS,
    F_WRITE,
    I_LAST,
    I_OK,
    RESULT,
    ROWS_SHIFT,
    WINDOW_BYTES,
)
from tablet.backend.connection import Connection
from tablet.backend.killer import Kill
from tablet.statements.ending import LEAVES_ID
from tablet.statements.held import LOST_WITH_MYSQL
from tablet.statements.infile import Infile
from tablet.statements.request import (
    ATTRIBUTES,
    DONE,
    ENDING,
    JOINED,
    QUEUED,
    RUNNING,
    SETUP,
    SHARED,
    TIMED_OUT,
)
from wire.constants import (
    COM_PING,
    COM_QUERY,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
)
from wire.errors import ServerProtocolError
from wire.packets import frame, packet_count
from wire.scan import ERR, LOCAL_INFILE, OK, QUERY

_AFTER_STOP_BYTES: Final = 16 * WINDOW_BYTES
"""Bytes that a client may be behind when its statement is told to stop, and still get the end of it."""

_NO_PARAMS: Final = b"\0\1\0\0\0"
_BUILT: Final = F_PREPARED | ATTRIBUTES
_SETS_UP: Final = F_BEGIN | F_PREPARED | F_CALL
_SURELY_ONE: Final = 0xFFFFF0
"""A text so long is one packet, whatever stands before it."""
_UNUSUAL: Final = (ERR, LOCAL_INFILE)
_STATUS_MASK: Final = SERVER_STATUS_AUTOCOMMIT | SERVER_STATUS_IN_TRANS | SERVER_SESSION_STATE_CHANGED


class Statement(Infile):
    """One statement. Made by `Execution`."""

    __slots__ = ()

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
            held.calling = flags & F_CALL != 0
            self.held = held
        plain = (
            not flags & F_BEGIN and self.sql and not self.is_prepare and connection.profile == self.profile
        )
        if plain and (not flags & F_PREPARED or self._is_prepared(connection)):
            self._send()
        else:
            self.set_up()

    def _is_prepared(self, connection: Connection) -> bool:
        settings, database, _ = self.profile
        self._known = known = connection.prepared.get((self.sql, settings, database))
        return known is not None

    def refused(self, error: SluiceError) -> None:
        """From the pool: there will be none."""
        self.fail(error)

    def resume_handle(self) -> None:
        """From execution: the next statement of a handle, whose connection is ours already."""
        connection: Connection = self.connection
        if connection.is_lost:
            assert self.held is not None
            self.fail_held(self.held.gone(LOST_WITH_MYSQL))
        elif self.is_prepare or not self.sql:
            self.set_up()
        elif (
            connection.profile == self.profile
            and not self.flags & _SETS_UP
            and connection.autocommit
            and not (self.flags & F_NO_AUTOCOMMIT and self._shows_autocommit())
        ):
            self._send()
        else:
            self.set_up()

    def _send(self) -> None:
        flags = self.flags
        if flags & LEAVES_ID and self._starts_elsewhere():
            return
        if flags & F_COUNTS and self._sets_counts():
            return
        connection: Connection = self.connection
        execution = self.execution
        self.state = RUNNING
        flight = self.flight
        if flight is not None:
            execution.consolidator.sent(flight)
        if flags & F_WRITE or self.held is not None:
            self._start_write()
        sql = self.sql
        if flags & _BUILT:
            payload = self._payload(connection)
            packets = packet_count(len(payload))
        elif sql:
            payload = b""
            packets = 1 if len(sql) < _SURELY_ONE else packet_count(len(sql) + connection.query_bytes)
        else:
            payload = bytes((COM_PING,))  # a reservation without a statement
            packets = 1
        connection.scanner.begin(
            QUERY,
            flags & F_DEPRECATE_EOF != 0,
            False,  # what trackers say goes beside the answer
            SERVER_MORE_RESULTS_EXISTS if flags & F_MORE_RESULTS else 0,
            SERVER_STATUS_AUTOCOMMIT if flags & (F_NO_AUTOCOMMIT | F_CALL) == F_NO_AUTOCOMMIT else 0,
            packets,
            1,
            flags & F_EXTENDED != 0,
        )
        connection.task = self
        if payload:
            connection.transport.write(frame(payload))
        else:
            connection.query(sql)

    def _payload(self, connection: Connection) -> bytes:
        """The command where it is more than a text."""
        if not self.flags & F_PREPARED:
            attributes = self.attributes if connection.query_attributes else b""
            return bytes((COM_QUERY,)) + attributes + self.sql if self.sql else bytes((COM_PING,))
        known = self._known
        assert known is not None
        if self.flags & ATTRIBUTES:
            return known.execute_with(self.params or _NO_PARAMS, self.attributes)
        return known.execute(self.params or _NO_PARAMS)

    def _start_write(self) -> None:
        held = self.held
        if self.tables is None and self.flags & F_WRITE:
            self.execution.programs.note(self.sql)
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
            or kind in _UNUSUAL
            or scanner.session_changes
            or self.flags & F_SESSION_TRACK
            or (scanner.warnings and self.flags & F_WARNINGS)
            or scanner.status_flags & _STATUS_MASK != SERVER_STATUS_AUTOCOMMIT
            or self.execution.programs.watching
            or (self.flags & F_WRITE and self.tables is None)
            or scanner.last_insert_id
            or self.flags & LEAVES_ID
        ):
            self._end(out)
            return
        if self._token is not False:
            self.execution.epochs.finish(self._token)
            self._token = False
        if self._paused_s:
            self._resume()
        only_ok = kind == OK and scanner.result_count == 1
        info = I_LAST | (I_OK if only_ok else scanner.row_count << ROWS_SHIFT)
        self._reply(info, out, scanner.status_flags)
        self.execution.pool.release(connection)

    def _part(self, out: bytes) -> None:
        if self.stopped is not None and not self._follows(len(out)):
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
        killed = self._kill is not None and self._kill.answered
        if self._sent_bytes > self.credit_bytes and not self._paused_s and not killed:
            self._paused_s = execution.now()
            self.connection.transport.pause_reading()
            if self.flight is not None:
                execution.unshare(self.flight, "slow_client")

    def _follows(self, size_bytes: int) -> bool:
        """Whether a part of an answer that is told to stop is sent on: where the client has the beginning, so that
        MySQL's own ERR ends it, as on MySQL. What comes before that ERR is what lay in the sockets; where it is too
        much parts are dropped, and the answer is not whole."""
        begun = self._sent_bytes or self.flags & F_WRITE
        if not begun or self._sent_bytes + size_bytes > self.credit_bytes + _AFTER_STOP_BYTES:
            self._dropped = True
        return not self._dropped

    def credit(self, size_bytes: int) -> None:
        """The client took so many bytes."""
        self.credit_bytes += size_bytes
        if self.state == SHARED:
            self._drain_backlog()
        elif self._paused_s and self._sent_bytes <= self.credit_bytes:
            self._resume()

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
        elif self._file is not None:
            execution.stats.killed += 1
            self._stop_file()
        elif self.state == RUNNING:
            if self.flight is not None:
                execution.unshare(self.flight, "stopped")
            execution.stats.killed += 1
            self._kill = Kill(execution.admin, self.connection, execution.now(), self._kill_answered)

    def stop_transaction(self, error: SluiceError) -> None:
        """The whole transaction is over its limit: kills the statement; `error` answers it, the handle ends."""
        held = self.held
        if self._over is None and held is not None:
            self._over = error
            held.free_wanted = True
            self.stop(TIMED_OUT)

    def overdue(self, now_s: float, hard_after_s: float) -> None:
        """From the sweeper: acts on limits that have passed."""
        kill = self._kill
        if kill is not None:
            if now_s - kill.since_s >= hard_after_s:
                self._give_up()
        elif self._file is not None:
            if now_s - self._file.heard_s >= self.execution.stall_s:
                self.stop(TIMED_OUT)
        elif self.state == RUNNING:
            if self._paused_s:
                if now_s - self._paused_s >= self.execution.stall_s:
                    self.stop(TIMED_OUT)
            elif now_s >= self.expires_s:
                self.stop(TIMED_OUT)
        elif self.state == SETUP and now_s >= self.expires_s + hard_after_s:
            self.stopped = self.stopped or TIMED_OUT
            self._give_up()
