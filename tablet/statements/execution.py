"""From records to statements: who runs now, who waits, who shares; time limits; what a peer leaves behind.

Everything of one tablet meets here: the pool, the handles, the consolidator and the write epochs. The life of a
statement itself is in `statement.py`. Nothing here knows ZeroMQ: a peer is whoever takes records by `send`.
"""

import asyncio
import time
from collections.abc import Callable
from typing import Any, Final, Protocol

from core.clock import Clock
from core.config import Dsn
from core.config import Tablet as TabletConfig
from core.errors import CODES, SluiceError, fail
from core.rpc.messages import (
    F_ADMIN,
    F_BEGIN,
    F_CONSOLIDATE,
    F_DEPRECATE_EOF,
    F_OLAP,
    F_PREPARED,
    F_RESERVE,
    F_SESSION_TRACK,
    F_WRITE,
    I_ERR,
    I_LAST,
    MAX_FORMS,
    Record,
)
from tablet.backend.admin import AdminLane
from tablet.backend.killer import HARD_AFTER_S
from tablet.backend.server import Answer
from tablet.pool.admission import PLAIN
from tablet.pool.pool import Pool
from tablet.pool.refusals import Refusals
from tablet.pool.settings import parse
from tablet.statements.branches import check, give_up
from tablet.statements.form import Form, make_form
from tablet.statements.held import LOST_WITH_MYSQL, Expired, Handles, Held
from tablet.statements.programs import Programs
from tablet.statements.request import ATTRIBUTES, CANCELLED, QUEUED, TIMED_OUT, deadline_passed
from tablet.statements.sharing import Sharing
from tablet.statements.silence import Silence
from tablet.statements.statement import Statement
from tablet.stats import Stats

_NEVER_SHARED: Final = F_WRITE | F_BEGIN | F_RESERVE | F_SESSION_TRACK
_FOREVER_S: Final = 1e12


class Peer(Protocol):
    """Whoever asks: a router worker."""

    statements: dict[int, Statement]
    forms: dict[int, Form]

    def send(self, record: tuple[Any, ...]) -> None: ...

    def send_patiently(self, record: tuple[Any, ...]) -> None:
        """It may wait for others to the same asker."""
        ...


class Execution(Sharing):
    """What a tablet does with EXECUTE, PREPARE, CREDIT, CANCEL and FREE."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        config: TabletConfig,
        dsn: Dsn,
        keyspace: str,
        shard: str,
        admin: AdminLane,
    ) -> None:
        self.now: Callable[[], float] = clock.now_s
        self.where = {"keyspace": keyspace, "shard": shard}
        super().__init__(config, Stats(clock.now_s()))
        self.admin = admin
        database = dsn.database or keyspace
        self.pool = Pool(
            loop,
            clock,
            config,
            dsn,
            database,
            Refusals(config, keyspace, shard),
            admin,
            self.epochs,
            self.stats,
        )
        self.programs = Programs(admin.run)
        self.handles = Handles(config, first=time.time_ns() >> 12 << 10)
        self.base_collation = ""
        self.draining = False
        self.on_work: Callable[[], object] | None = None
        """Told when work comes, by whoever asks while the tablet is `at_rest`."""
        self._config = config
        self.query_timeout_s = config.query_timeout_s
        self._silence = Silence(config.query_timeout_s)
        self._queue_timeout_s = config.queue_timeout_ms / 1000
        self._database = database
        self._base_profile = ("", database, False)

    # -- records

    def execute(self, peer: Peer, record: Record) -> None:
        """EXECUTE; the answer follows by `peer.send`."""
        if self.on_work is not None:
            self.on_work()
        _, id_, deadline_ms, flags, handle, user, settings, tables, sql, extra = record
        asked: dict[str, Any] = extra or {}
        attributes = asked.get("attributes", b"")
        if attributes:
            flags |= ATTRIBUTES
        form = make_form(flags, user, settings, tables, asked.get("database") or self._database)
        limit_s = deadline_ms / 1000 if deadline_ms else _FOREVER_S
        params, begin, insert_id = asked.get("params"), asked.get("begin", ""), asked.get("insert_id", 0)
        counts = asked.get("counts")
        self._begin(peer, id_, form, handle, sql, params, begin, limit_s, attributes, insert_id, counts)

    def form(self, peer: Peer, record: Record) -> None:
        """FORM: RUNs that name its number follow."""
        _, number, flags, user, settings, tables = record
        if not 0 <= number < MAX_FORMS:
            raise ValueError(f"FORM {number}")
        peer.forms[number] = make_form(flags, user, settings, tables, self._database)

    def run(self, peer: Peer, record: Record) -> None:
        """RUN; the answer follows by `peer.send`."""
        _, id_, number, handle, sql, params = record
        self._begin(peer, id_, peer.forms[number], handle, sql, params, "", _FOREVER_S)

    def _begin(
        self,
        peer: Peer,
        id_: int,
        form: Form,
        handle: int,
        sql: bytes,
        params: bytes | None,
        begin: str,
        limit_s: float,
        attributes: bytes = b"",
        insert_id: int = 0,
        counts: Any = None,
    ) -> None:
        flags = form.flags
        statement = Statement(self, peer, id_, flags, form.user, form.profile, form.tables, sql, params)
        statement.lane = form.lane
        statement.begin = begin
        if attributes:
            statement.attributes = attributes
        statement.limit_s = limit_s
        statement.insert_id = insert_id
        statement.counts = counts
        peer.statements[id_] = statement
        self.stats.queries += 1
        if form.refused is not None:
            statement.fail(form.refused)
            return
        try:
            programs = self.programs
            if programs.judging and (refusal := programs.refusal(sql, flags, form.tables)):
                if handle:
                    self.handles.get(handle, peer)
                statement.send_back(refusal, handle)
                return
            if handle:
                self._on_handle(statement, handle)
            elif flags & F_ADMIN:
                self._on_admin(statement)
            else:
                self._start(statement)
        except SluiceError as error:
            statement.fail(error)

    def prepare(self, peer: Peer, record: Record) -> None:
        """PREPARE: PREPARED or FAIL follows."""
        if self.on_work is not None:
            self.on_work()
        _, id_, deadline_ms, user, settings, sql, database, handle = record
        profile = (settings, database or self._database, False)
        statement = Statement(self, peer, id_, 0, user, profile, None, sql, None)
        statement.lane = PLAIN
        statement.is_prepare = True
        peer.statements[id_] = statement
        statement.limit_s = deadline_ms / 1000 if deadline_ms else _FOREVER_S
        try:
            parse(settings)
            if handle:
                self._on_handle(statement, handle)
            else:
                self._start(statement)
        except SluiceError as error:
            statement.fail(error)

    def credit(self, peer: Peer, id_: int, size_bytes: int) -> None:
        statement = peer.statements.get(id_)
        if statement is not None:
            statement.credit(size_bytes)

    def cancel(self, peer: Peer, id_: int) -> None:
        statement = peer.statements.get(id_)
        if statement is not None:
            statement.stop(CANCELLED)

    def file_data(self, peer: Peer, id_: int, data: bytes) -> None:
        """FILE: a piece of the file that a LOAD DATA LOCAL waits for."""
        statement = peer.statements.get(id_)
        if statement is not None:
            statement.file_data(data)

    def free_handle(self, peer: Peer, handle: int) -> None:
        """FREE: rolls back and gives back; a statement that runs on it is cancelled first."""
        held = self.handles.find(handle, peer)
        if held is not None:
            self.free(held)

    def peer_gone(self, peer: Peer) -> None:
        """Nobody waits any more for anything this peer asked for."""
        for statement in list(peer.statements.values()):
            statement.stop(CANCELLED)
        for held in self.handles.of_peer(peer):
            self.free(held)

    # -- starting

    def _start(self, statement: Statement) -> None:
        if self.draining:
            raise self.pool.refusals.draining()
        flags = statement.flags
        check(flags)
        shared = flags & F_CONSOLIDATE and not flags & _NEVER_SHARED
        if shared and not self.programs.needs.varies(statement.sql) and self._joins(statement):
            return
        self._take(statement)

    def _take(self, statement: Statement) -> None:
        now_s = self.now()
        deadline_s = now_s + self._queue_timeout_s
        if statement.limit_s < deadline_s:
            deadline_s = statement.limit_s
            if deadline_s <= now_s:
                raise deadline_passed()
        statement.deadline_s = deadline_s
        statement.state = QUEUED
        connection = self.pool.take(statement)
        if connection is not None:
            statement.granted(connection)

    def begin_clock(self, statement: Statement) -> None:
        """The statement has a connection: from now on it may take so long."""
        now_s = statement.started_s = self.now()
        deadline_s = statement.limit_s
        if statement.flags & F_OLAP:
            statement.expires_s = deadline_s
            statement.limit_s = max(deadline_s - now_s, 0.0)
            return
        timeout_s = self._config.query_timeout_s
        if deadline_s - now_s < timeout_s:
            timeout_s = deadline_s - now_s
        statement.expires_s = now_s + timeout_s
        statement.limit_s = timeout_s

    def _on_handle(self, statement: Statement, handle: int) -> None:
        statement.with_handle = True
        statement.new_handle = False
        held = self.handles.get(handle, statement.peer)
        if held.statement is not None:
            raise fail("UNKNOWN_ERROR", message=f"handle {handle} runs a statement already")
        if statement.flags & F_RESERVE:
            held.reserved = True  # a transaction's connection that the session keeps beyond it
        statement.held = held
        held.statement = statement
        connection = held.connection
        connection.statement = statement
        statement.connection = connection
        if connection.found_rows != statement.profile[2]:  # was chosen once for all, when the handle was made
            statement.profile = (*statement.profile[:2], connection.found_rows)
        self.begin_clock(statement)
        try:
            statement.resume_handle()
        except SluiceError:
            held.statement = None
            connection.statement = None
            raise

    def _on_admin(self, statement: Statement) -> None:
        if statement.profile != self._base_profile or statement.flags & (F_PREPARED | F_BEGIN | F_RESERVE):
            raise fail(
                "NOT_SUPPORTED",
                construct="settings, handles or prepared statements on the tablet's own lane",
                instead="Send the statement without F_ADMIN.",
            )

        def answered(answer: Answer) -> None:
            if answer.lost:
                statement.fail(self.pool.unavailable())
                return
            info = I_LAST | (I_ERR if answer.error else 0)
            statement.answer(info, answer.data)

        self.admin.run(statement.sql, answered, bool(statement.flags & F_DEPRECATE_EOF))

    # -- handles

    def free(self, held: Held) -> None:
        """Rolls back what `held` has open and gives its connection back."""
        if held.statement is not None:
            held.free_wanted = True
            held.statement.stop(CANCELLED)
            return
        self.handles.remove(held)
        give_up(self.pool, held)

    def _expire(self, expired: Expired) -> None:
        held = expired.held
        limit = f"{expired.limit_s:g}"
        if held.branch:
            error = held.gone(f"it was open longer than {limit} s, [tablet] {expired.setting}")
        elif held.in_transaction or not held.reserved:
            error = fail("TRANSACTION_TIMEOUT", limit_s=limit, setting=expired.setting)
        else:
            error = held.gone(f"it was not used for {limit} s, [tablet] {expired.setting}")
        self.stats.note_error(error.number, error.message)
        statement = held.statement
        if statement is not None:
            statement.stop_transaction(error)
            return
        self.handles.remove(held, error)
        self.free(held)

    # -- time

    def sweep(self) -> None:
        """Acts on limits that have passed. Call it each 50 to 100 ms."""
        now_s = self.now()
        self.pool.sweep(now_s)
        self.programs.sweep(now_s)
        for connection in list(self.pool.connections):
            statement = connection.statement
            if statement is not None:
                statement.overdue(now_s, HARD_AFTER_S)
        for said in self._silence.sweep(self.pool.connections, now_s, self.admin.up):
            self.stats.note_error(CODES["CONNECTION_LOST"].number, said)
        if self.joined:
            for joiner in list(self.joined):
                if now_s >= joiner.limit_s:
                    joiner.stop(TIMED_OUT)
        if self.slow:
            self.sweep_slow(now_s)
        for expired in self.handles.expired(now_s):
            self._expire(expired)
        self._bury_lost()

    def _bury_lost(self) -> None:
        """Handles whose idle connection went away: the next statement is told."""
        for held in self.handles.all():
            if held.connection.is_lost and held.statement is None:
                self.handles.remove(held, held.gone(LOST_WITH_MYSQL))

    @property
    def at_rest(self) -> bool:
        """Whether nothing has a limit that may pass: `sweep` finds nothing to do until work comes."""
        pool = self.pool
        return not (
            pool.in_use > 1
            or pool.queue.waiting
            or self.joined
            or self.slow
            or self.handles.any
            or pool.closer.is_closing
        )

    @property
    def busy(self) -> int:
        """Connections that statements or handles have now."""
        return sum(connection.in_use for connection in self.pool.connections)

    def stats_dict(self) -> dict[str, Any]:
        """The flat part of STATS; names are those of dashboards and /metrics."""
        pool = self.pool
        return {
            **self.stats.counters(),
            "pool_size": self._config.pool_size,
            "open": pool.used + int(self.admin.up),
            "in_use": pool.in_use,
            "idle": pool.idle,
            "waiting": pool.queue.waiting + len(self.joined),
            "held": pool.held,
            "hold_limit": pool.hold_limit,
            "reserved": self.handles.reserved,
            "transactions": self.handles.transactions,
            "mysql_threads_connected": self.admin.threads_connected if self.admin.up else 0,
            "mysql_max_connections": self.admin.info.max_connections if self.admin.info else 0,
        }
