"""Stands in the place of a client's connection: a `Session` runs as ever, and what it tells its client is collected.

Invariants:
- One request at a time runs; those that come meanwhile for a session that is held wait in their order (bounded).
- Each request gets exactly one reply, whatever becomes of the session: killed, drained, refused, its user removed.
- It ends with its request unless the session holds something; then it is kept, until nothing was asked for too long.
- A request that was sent for a transaction runs in that transaction, or not at all (ROLLBACK, which may always run,
  aside): tokens name the transaction by its serial number, and it is looked at when the request's turn comes.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, cast

from core.errors import CODES, SluiceError, fail, not_supported
from router.clients.connection import BUSY, CLOSED, READY, Connection
from router.clients.sockets import SocketTransport
from router.http.answer import Answer
from router.http.session import Before
from router.http.straggler import may_commit, reads, rolls_back, transaction_over
from router.sessions.client_file import ClientFile
from router.sessions.session import Session
from router.sessions.transaction import Transaction
from wire.answers import err_packet

if TYPE_CHECKING:
    from router.workers.worker import Worker

MAX_WAITING: Final = 100
"""Requests for one session that is busy."""
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""Of one reply's JSON rows."""
KILL_AFTER_BYTES: Final = 16 * 1024 * 1024
"""What comes beyond that and is thrown away, before the statement is killed."""

MAX_ANSWERS_BYTES: Final = 256 * 1024 * 1024
"""Of all replies that a worker collects."""
NO_REASON: Final = "the connection ended"
_SMALL_BYTES: Final = 64 * 1024
_LOST: Final = CODES["TRANSACTION_LOST"].number

Reply = Callable[["HttpConnection", Answer, SluiceError | None], None]
"""Called at the end of a request with its answer, or with the error that stands in its place."""


class Answers:
    """How much a worker holds of answers that are being collected; small ones are not worth the counting."""

    def __init__(self) -> None:
        self._held: dict[int, int] = {}
        self.size_bytes = 0

    def holds(self, number: int, size_bytes: int) -> bool:
        """Connection `number` holds that much; False: it is too much, of all together."""
        if size_bytes > _SMALL_BYTES:
            self.size_bytes += size_bytes - self._held.get(number, 0)
            self._held[number] = size_bytes
        return size_bytes <= _SMALL_BYTES or self.size_bytes <= MAX_ANSWERS_BYTES

    def ends(self, number: int) -> None:
        self.size_bytes -= self._held.pop(number, 0)


class _Collector:
    """In the place of a transport."""

    idle = False
    """It is no socket: neither parked nor handed over."""

    def __init__(self, owner: "HttpConnection") -> None:
        self._owner = owner

    def write(self, data: bytes) -> None:
        self._owner.collect(data)

    def close(self) -> None:
        pass

    def abort(self) -> None:
        pass

    def pause_reading(self) -> None:
        pass

    def resume_reading(self) -> None:
        pass


class HttpConnection(Connection):
    """See the module. In the worker's table of connections it is a connection as any other."""

    __slots__ = (
        "_answer",
        "_answers",
        "_before",
        "_on_end",
        "_reply",
        "_serial",
        "_stopped",
        "_thrown_bytes",
        "_thrown_why",
        "_timer",
        "_tx",
        "_waiting",
        "dropped",
        "ended",
        "lost_serial",
        "sid",
        "stands_in",
        "straggled",
        "user",
    )

    def __init__(
        self,
        worker: "Worker",
        user: str,
        host: str,
        caps: int,
        answers: Answers,
        on_end: Callable[["HttpConnection"], None],
    ) -> None:
        """`answers`: the worker's; `on_end` is called once, when nothing of the session is left."""
        super().__init__(worker, host)
        self._on_end = on_end
        self.user = user
        self.id = worker.take_id()
        self.caps = caps
        self.state = READY
        self.transport = cast("SocketTransport", _Collector(self))
        self.write = self.transport.write
        self.sid = ""
        """Names the session where it is held; empty before that."""
        self.ended = ""
        """Why it ended; empty: by itself, or not yet."""
        self.lost_serial = 0
        """Once it has ended: of the transaction that was rolled back with it; 0 if none was for certain."""
        self.stands_in = False
        """Its lost transaction stands for one that an earlier request ended."""
        self.straggled = False
        """The request was sent for a transaction that is over: its client keeps the token that says so."""
        self.dropped = ""
        """What its client is yet to be told is lost of the session."""
        self._answer = Answer()
        self._before: Before | None = None
        self._answers = answers
        self._thrown_why = ""
        self._thrown_bytes = 0
        self._stopped = False
        self._reply: Reply | None = None
        self._serial = 0
        self._tx: Transaction | None = None
        self._waiting: deque[tuple[bytes, Reply, int]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    def begin(self, session: Session) -> None:
        """The session that this object stands for; from now on others see it."""
        self.session = session
        self.worker.connections[self.id] = self

    # ---- requests

    @property
    def serial(self) -> int:
        """The number of the session's transaction; 0 outside one."""
        session = self.session
        tx = session.tx if session is not None else None
        if tx is not None and tx is not self._tx:
            self._tx = tx
            self._serial += 1
        return self._serial if tx is not None else 0

    def execute(self, sql: bytes, reply: Reply, named: int = 0) -> bool:
        """Runs a statement, at once or after those that came before it; `reply` is told its end, never from inside
        this call. `named`: the transaction that it was sent for, 0 for none. False: too many wait."""
        if self._reply is not None:
            if len(self._waiting) >= MAX_WAITING:
                return False
            self._waiting.append((sql, reply, named))
            return True
        self._stop_timer()
        session = self.session
        assert session is not None
        self._reply = reply
        self._answer = Answer()
        self._thrown_bytes, self._stopped = 0, False
        self._before = Before(session)
        self.state = BUSY
        self.worker.active += 1
        if named and named != self.serial and not rolls_back(sql, session.dialect):
            self.straggled = True
            error = transaction_over()
            session.error(error.number, error.sqlstate, error.message)
        else:
            self.straggled = False
            session.on_query(sql)
        return True

    def collect(self, data: bytes) -> None:
        """A piece of the answer."""
        answer = self._answer
        if self._reply is None:
            return  # last words to an idle session
        if self._thrown_bytes:
            self._thrown_bytes += len(data)
            if self._thrown_bytes > KILL_AFTER_BYTES:
                self._kill_too_large()
            return
        try:
            answer.feed(data)
        except (ValueError, IndexError):
            self.worker.log.exception("connection %d: an answer cannot be read", self.id)
            answer.error = (1105, "HY000", "the answer could not be read")
        if answer.held_bytes > MAX_ANSWER_BYTES:
            self._too_large(f"more than {MAX_ANSWER_BYTES} bytes as JSON")
        elif not self._answers.holds(self.id, answer.held_bytes):
            self._too_large(f"{MAX_ANSWERS_BYTES} bytes of replies are under way in this worker already")

    def _too_large(self, reason: str) -> None:
        self._answer.forget_rows()
        self._answers.ends(self.id)
        self._thrown_bytes, self._thrown_why = 1, reason

    def _kill_too_large(self) -> None:
        """Ends a statement that only reads, in autocommit: of others it would not be known what took effect."""
        session = self.session
        self._thrown_bytes = -(1 << 62)  # once
        if session is not None and session.tx is None and not session.reserved and reads(session.statement):
            self._stopped = True
            self.worker.loop.call_soon(self.kill, True)

    def done(self) -> None:
        super().done()
        if self.state == READY and self._reply is not None:
            self.worker.loop.call_soon(self._settle)  # whoever called goes on with the session first

    def _settle(self, _: Any = None) -> None:
        session = self.session
        if session is None or self._reply is None:
            return
        if session.task is not None:  # it has answered, and puts things in order
            session.task.add_done_callback(self._settle_soon)
            return
        error = self._before.check(session) if self._before is not None else None
        self._finish(error)
        if self.state == READY and self._waiting:
            self.execute(*self._waiting.popleft())

    def _settle_soon(self, _: Any) -> None:
        self.worker.loop.call_soon(self._settle)

    def _finish(self, error: SluiceError | None) -> None:
        reply, self._reply = self._reply, None
        answer = self._answer
        if reply is None:
            return
        if error is None and self._thrown_bytes:
            effect = "was stopped" if self._stopped else "has run"
            error = fail("HTTP_ANSWER_TOO_LARGE", reason=self._thrown_why, effect=effect)
        elif (
            error is None
            and answer.error is None
            and (not answer.done or (self.state == CLOSED and self.ended))
        ):
            # of a session that is gone nothing is said to have gone well: the client would go on without it; only
            # COMMIT RELEASE and the like close it without a word, as its client wished
            error = fail("HTTP_ANSWER_LOST", reason=self.ended or NO_REASON)
        elif error is None and self.stands_in and answer.error is not None and answer.error[0] == _LOST:
            error = transaction_over()
        elif error is None and answer.row_sets > 1:
            error = not_supported(
                "several row sets of one statement over HTTP",
                "The statement has run; over MySQL's protocol all of them can be had.",
            )
        self._answer = Answer()
        self._answers.ends(self.id)
        self._before = None
        reply(self, answer, error)

    # ---- held

    @property
    def awaited(self) -> bool:
        """Whether further requests for it are here already."""
        return bool(self._waiting)

    def keep(self, sid: str, limit_s: float) -> None:
        """It goes on without a request, for `limit_s` at most."""
        self.sid = sid
        self._stop_timer()
        if not self._waiting:
            self._timer = self.worker.loop.call_later(limit_s, self._expire, limit_s)

    def _stop_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _expire(self, limit_s: float) -> None:
        self._timer = None
        if self.state == READY and self._reply is None:
            self.ended = f"no request came for {limit_s:g} s"
            self.close()

    # ---- the end

    def receive_file(self, file: ClientFile) -> None:
        """No client without CLIENT_LOCAL_FILES is asked for one."""
        del file
        self.abort("a file was asked for")

    def refuse(self, error: SluiceError) -> None:
        """Tells who waits why the session ends, and ends it."""
        if self.state != CLOSED:
            self.ended = self.ended or error.message
            if self.state == BUSY:  # else what was asked last has its answer already
                self._answer = Answer()
                self._thrown_bytes = 0
                self._answer.feed(err_packet(1, error.number, error.sqlstate, error.message))
            self.close()

    def kill(self, query_only: bool) -> None:
        if not query_only:
            self.ended = self.ended or "it was killed"
        super().kill(query_only)

    def abort(self, reason: str) -> None:
        self.ended = self.ended or reason
        super().abort(reason)

    def _forget(self) -> None:
        if self.state == CLOSED:
            return
        self._stop_timer()
        serial = self.serial
        session = self.session
        tx = session.tx if session is not None else None
        if session is not None and tx is not None and not self.stands_in and not tx.committing:
            # COMMIT may be on its way, or what commits by itself
            self.lost_serial = 0 if self.state == BUSY and may_commit(session.statement) else serial
        super()._forget()
        self._on_end(self)
        self.worker.loop.call_soon(self._last_replies)

    def _last_replies(self) -> None:
        self._finish(None)
        while self._waiting:
            _, reply, named = self._waiting.popleft()  # none of them has run
            reason = self.ended or NO_REASON
            if named and named == self.lost_serial:
                error = fail("TRANSACTION_LOST", reason=reason)
            elif named:
                error = transaction_over()
            else:
                error = fail("HTTP_SESSION_LOST", what="what it held", reason=reason)
            reply(self, Answer(), error)
