"""A statement seen from outside: what was asked, and how it is answered, exactly once.

Invariant: exactly one RESULT with I_LAST or one FAIL is sent, in `_reply` or `fail`; both end in DONE. The life
in between is in `opening.py` (before it runs), `statement.py` (while it runs) and `ending.py` (after MySQL's answer).

    state     waits for                                     left by
    NEW       -                                             execution.start
    QUEUED    a connection                                  granted, refused (pool); stop
    JOINED    another statement's answer                    deliver, rerun (consolidator); stop
    SETUP     SET, USE, BEGIN, COM_STMT_PREPARE             _send; stop takes effect when they are done
    RUNNING   MySQL's answer, and CREDITs                   received; stop sends KILL QUERY
    ENDING    KILL's answer, COM_PING, ROLLBACK             _reply
    SHARED    CREDITs for an answer that is all here        credit
    DONE      -
"""

from collections import deque
from typing import TYPE_CHECKING, Any, Final

from core.errors import CODES, SluiceError, fail
from core.rpc.messages import (
    F_BEGIN,
    F_PATIENT,
    F_RESERVE,
    F_STATUS,
    F_WARNINGS,
    FAIL,
    I_SHARED,
    I_WARNINGS,
    RESULT,
    WINDOW_BYTES,
)
from tablet.backend.connection import Profile
from tablet.backend.killer import Kill
from tablet.backend.prepared import OnServer
from tablet.statements.consolidator import Flight
from tablet.statements.held import Held
from wire.answers import SessionChanges
from wire.constants import SERVER_STATUS_AUTOCOMMIT

if TYPE_CHECKING:
    from tablet.statements.execution import Execution, Peer
    from tablet.statements.infile import File

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

ATTRIBUTES: Final = 1 << 30
"""Among the flags, the tablet's own: `attributes` is set, since query attributes came along."""
WITH_HANDLE: Final = F_STATUS | F_BEGIN | F_RESERVE


def deadline_passed() -> SluiceError:
    """Its time was over before it had a connection."""
    return SluiceError(
        CODES["TIMED_OUT"], "Query execution was interrupted: its deadline passed while it waited"
    )


class Request:
    """One request and its answers. Filled in by `Execution`."""

    __slots__ = (
        "_asks",
        "_backlog",
        "_dropped",
        "_file",
        "_found",
        "_has_rows",
        "_info",
        "_kill",
        "_known",
        "_makes_programs",
        "_may_have_set",
        "_numbers",
        "_out",
        "_over",
        "_paused_s",
        "_sent_bytes",
        "_status",
        "_token",
        "_tracked",
        "attributes",
        "begin",
        "connection",
        "counts",
        "credit_bytes",
        "deadline_s",
        "execution",
        "expires_s",
        "flags",
        "flight",
        "held",
        "id",
        "insert_id",
        "is_prepare",
        "lane",
        "limit_s",
        "new_handle",
        "params",
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

    # set when they are needed
    lane: int
    queued_s: float
    deadline_s: float
    _known: OnServer | None
    _makes_programs: bool | int
    _may_have_set: tuple[str, ...]
    attributes: bytes
    _tracked: SessionChanges | None
    counts: tuple[int | None, int | None] | None
    insert_id: int
    _asks: bool
    _found: bytes
    _has_rows: bool
    _numbers: Any  # a frozenset; None: not known; False: not looked for
    _backlog: deque[bytes]

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
        params: bytes | None,
    ) -> None:
        """`params`: of a prepared execution."""
        self.execution = execution
        self.peer = peer
        self.id = id
        self.flags = flags
        self.user = user
        self.profile = profile
        self.tables = tables
        self.sql = sql
        self.params = params
        self.begin = ""
        self.state = NEW
        self.connection: Any = None
        self.held: Held | None = None
        self.flight: Flight | None = None
        self.with_handle = flags & WITH_HANDLE != 0
        self.new_handle = flags & (F_BEGIN | F_RESERVE) != 0
        self.is_prepare = False
        self.queued = False
        self.started_s = self.expires_s = self.limit_s = 0.0
        self.stopped: str | None = None
        self.credit_bytes = WINDOW_BYTES
        self._sent_bytes = 0
        self._dropped = False
        self._paused_s = 0.0
        self._kill: Kill | None = None
        self._over: SluiceError | None = None
        self._token: Any = False  # False: none, since None is one
        self._file: File | None = None

    def _finish(self) -> None:
        self.state = DONE
        self.peer.statements.pop(self.id, None)

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
        elif self.flags & F_PATIENT:
            peer.send_patiently((RESULT, self.id, info, out))
        else:
            peer.send((RESULT, self.id, info, out))
        if flight is not None:
            execution.land(flight, out, info, status)

    def _send_warnings(self, packets: bytes) -> None:
        self.peer.send((RESULT, self.id, I_WARNINGS, packets))
        if self.flight is not None:
            self.flight.warnings = packets

    def answer(self, info: int, out: bytes) -> None:
        """The whole answer of a statement that ran on the admin lane."""
        if self.state != DONE:
            self._reply(info, out, SERVER_STATUS_AUTOCOMMIT)

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
        execution.slow.pop(self, None)
        if self.flight is not None:
            execution.fly_without(self)

    def send_back(self, error: SluiceError, handle: int) -> None:
        """As `fail`, of a statement that has not begun and that the router will send again: no error of anyone's."""
        self._finish()
        self.peer.send((FAIL, self.id, error.number, error.sqlstate, error.message, handle))

    def fail_held(self, error: SluiceError) -> None:
        """The handle is gone, and this statement is told so."""
        if self.held is not None:
            self.execution.handles.remove(self.held)
            self.held = None
        self.fail(error)

    def _stop_error(self) -> SluiceError:
        if self._over is not None:
            return self._over
        if self.stopped is TIMED_OUT:
            if not self.started_s:
                return deadline_passed()
            own = self.limit_s == self.execution.query_timeout_s
            setting = "query_timeout_s" if own else "the caller's deadline"
            return fail("TIMED_OUT", limit_s=f"{self.limit_s:g}", setting=setting)
        return fail("KILLED")

    def deliver(self, chunks: list[bytes], info: int, status: int, warnings: bytes) -> None:
        """From the consolidator: the whole answer."""
        if warnings and self.flags & F_WARNINGS:
            self.peer.send((RESULT, self.id, I_WARNINGS, warnings))
        self.execution.joined.pop(self, None)
        self._info = info | I_SHARED
        self._status = status
        self._backlog = deque(chunks)
        self.state = SHARED
        self._drain_backlog()

    def _drain_backlog(self) -> None:
        backlog = self._backlog
        with_handle = self.with_handle
        while backlog and self._sent_bytes <= self.credit_bytes:
            chunk = backlog.popleft()
            if not backlog:
                self.execution.slow.pop(self, None)
                self._reply(self._info, chunk, self._status)
                return
            self._sent_bytes += len(chunk)
            self.execution.stats.bytes_out += len(chunk)
            self.peer.send(
                (RESULT, self.id, I_SHARED, chunk, 0, 0)
                if with_handle
                else (RESULT, self.id, I_SHARED, chunk)
            )
        self.execution.slow[self] = self.execution.now()

    def _resume(self) -> None:
        # a client that reads slowly is not a query that runs long
        self.expires_s += self.execution.now() - self._paused_s
        self._paused_s = 0.0
        self.connection.transport.resume_reading()
