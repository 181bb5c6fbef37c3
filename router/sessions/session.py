"""One client's session: what it has set, what it holds, and the way of its statements.

The hot path is `on_query` -> `Runner.run` -> `forward` -> (tablet) -> `on_result`: plain calls, no task, no future.
Everything rarer runs as one task a statement (`start`).

Invariants:
- One statement at a time: the connection gives the next command only after `done`.
- A session without a transaction and without reserved connections holds nothing on any tablet.
- What the client set is sent with every statement (`settings_text`); the tablet guarantees that it applies to this
  statement and to no other session.
"""

import asyncio
from collections.abc import Coroutine
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from core.errors import SluiceError, fail
from core.limits.table import Rules
from core.rpc import messages as m
from router.gateway import Link
from router.sessions import called, holding
from router.sessions.again import Sent, ended_by_error, goes_again
from router.sessions.conditions import condition
from router.sessions.flavour import flags_of
from router.sessions.insert_ids import note_end_of_call, note_ok, note_rows, note_told
from router.sessions.parts import Course, Source
from router.sessions.query_attributes import along
from router.sessions.reservation import Reservation
from router.sessions.telling import reply_tracked, stamped
from router.sessions.transaction import Transaction
from router.sessions.transaction_tracker import Tracker, noted
from router.sessions.transcoding import transcode_statement
from router.sessions.warnings import forgets_warnings, note_warnings
from router.sql.dialect import Dialect
from router.variables.reading import is_mariadb
from wire.answers import SessionChanges, err_packet, ok_packet
from wire.constants import (
    CLIENT_MULTI_STATEMENTS,
    MARIADB_STATUS_ANSI_QUOTES,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_IN_TRANS_READONLY,
    SERVER_STATUS_NO_BACKSLASH_ESCAPES,
)

if TYPE_CHECKING:
    from router.clients.connection import Connection
    from router.sessions.prepared import PreparedStatement
    from router.workers.worker import Worker

_I_LAST: Final = m.I_LAST
_I_OK: Final = m.I_OK
_I_ERR: Final = m.I_ERR


class Session:
    """See the module. Slots, since a million of these shall fit."""

    __slots__ = (
        "affected_rows",
        "attributes",
        "autocommit",
        "binary",
        "codec",
        "connect_attributes",
        "connection",
        "dialect",
        "flags",
        "found_rows",
        "id",
        "implicit",
        "keyspace",
        "last_insert_id",
        "link",
        "multi_statements",
        "named",
        "next_statement",
        "next_transaction",
        "owed_bytes",
        "pid",
        "request",
        "resend",
        "reserved",
        "rules",
        "scope",
        "sent_bytes",
        "settings",
        "settings_text",
        "several",
        "shard",
        "source",
        "started_s",
        "statement",
        "statements",
        "task",
        "tracker",
        "tx",
        "user",
        "user_variables",
        "variables",
        "warnings",
        "worker",
    )

    def __init__(self, worker: "Worker", connection: "Connection", user: str, caps: int) -> None:
        self.worker = worker
        self.connection = connection
        self.id = connection.id
        self.user = worker.intern(user)
        self.keyspace = ""
        self.shard = ""
        self.scope: str = ""
        """Keyspace and target as one key of the plan caches."""
        self.autocommit = True
        self.settings: dict[str, str] | None = None
        self.settings_text = ""
        self.variables: dict[str, str] | None = None
        """Variables that the router itself keeps (no tablet hears of them): name -> value."""
        self.user_variables: dict[str, bytes] | None = None
        """@name -> SQL literal."""
        self.next_transaction: list[str] | None = None
        """Characteristics for the next transaction only (SET TRANSACTION)."""
        self.tx: Transaction | None = None
        self.tracker: Tracker | None = None
        """Where the client is told of its transaction, or of GTIDs."""
        self.reserved: dict[Link, Reservation] | None = None
        self.statements: dict[int, PreparedStatement] | None = None
        self.named: dict[str, bytes] | None = None
        """Statements of text PREPARE: lower-case name -> text."""
        self.flags = flags_of(caps)
        self.multi_statements = bool(caps & CLIENT_MULTI_STATEMENTS)
        self.last_insert_id = 0
        self.affected_rows = -1
        self.found_rows = 0
        self.warnings: list[tuple[str, int, str]] | None = None
        self.connect_attributes, self.pid = b"", 0
        """What `wire.connect_attributes` keeps of the login."""
        self.next_statement = 0
        self.dialect = Dialect.DEFAULT
        """How sql_mode changes the lexical rules."""
        self.codec: str | None = None
        """Python's name of a client charset whose bytes cannot be read as ASCII; None for all others."""
        self.rules: Rules = ()
        """Limits that the running statement holds a claim of."""
        # the running statement
        self.binary = False
        """A prepared execution: rows must be binary."""
        self.implicit = False
        """The open transaction is the router's own, around one statement: the client is not told of it."""
        self.source: Source | None = None
        """Where a streaming answer comes from, when it is not the one link of `forward`."""
        self.task: asyncio.Task[None] | None = None
        self.link: Link | None = None
        self.request = 0
        self.started_s = 0.0
        self.owed_bytes = 0
        self.sent_bytes = 0
        self.statement = b""
        self.attributes = b""
        """Query attributes of the client's command."""
        self.several: Course | None = None
        """What this statement is a part of."""
        self.resend: Sent | None = None

    # ---- status

    @property
    def status(self) -> int:
        """MySQL's status flags of this session, for packets that the router makes."""
        status = SERVER_STATUS_AUTOCOMMIT if self.autocommit else 0
        if self.dialect is not Dialect.DEFAULT:
            status |= dialect_status(self)
        if self.tx is not None and not self.implicit:
            status |= SERVER_STATUS_IN_TRANS
            if self.tx.read_only:
                status |= SERVER_STATUS_IN_TRANS_READONLY
        return status

    @property
    def caps(self) -> int:
        return self.connection.caps

    # ---- the hot path

    def on_query(self, sql: bytes) -> None:
        """Runs one COM_QUERY. Errors in planning and routing become ERR packets here."""
        self.started_s = perf_counter()
        self.statement = sql
        try:
            if self.codec is not None:
                sql = transcode_statement(sql, self.codec, self.dialect)
            if self.multi_statements and b";" in sql and self.worker.run_several(self, sql):
                return
            runner, literals = self.worker.plan_of(self, sql)
            runner.run(self, sql, literals, None)
        except SluiceError as error:
            self.error(error.number, error.sqlstate, error.message)
        except Exception as error:
            self.failed(error)

    def run_one(self, sql: bytes) -> None:
        """Runs the next of several statements of one COM_QUERY."""
        self.started_s = perf_counter()
        self.statement = sql
        try:
            self.run_text(sql)
        except SluiceError as error:
            self.error(error.number, error.sqlstate, error.message)
        except Exception as error:
            self.failed(error)

    def failed(self, error: Exception) -> None:
        """A fault of the router's own ends the statement. Called from within an `except`."""
        self.worker.log.exception("session %d: %r failed", self.id, self.statement[:200])
        internal = fail("UNKNOWN_ERROR", message=f"Internal error: {error!r}")
        self.error(internal.number, internal.sqlstate, internal.message)

    def forward(
        self,
        link: Link,
        flags: int,
        tables: tuple[str, ...] | None,
        sql: bytes,
        extra: dict[str, Any] | None,
    ) -> None:
        """Sends a single-shard statement and passes its answer to the client; `on_result` goes on."""
        if self.binary and not flags & m.F_PREPARED:
            self.start(self.worker.run_as_binary(self, link, flags, tables, sql))
            return
        if self.worker.admission.limits_queries and not self.rules:
            self.start(self._forward_limited(link, flags, tables, sql, extra))
            return
        self.forward_admitted(link, flags, tables, sql, extra)

    def forward_admitted(
        self,
        link: Link,
        flags: int,
        tables: tuple[str, ...] | None,
        sql: bytes,
        extra: dict[str, Any] | None,
    ) -> None:
        """`forward` of a statement that its limits have let in."""
        self.link = link
        self.sent_bytes = 0
        if self.attributes:
            extra = along(self, extra)
        if self.warnings is not None and (tables != () or forgets_warnings(self)):
            self.warnings = None
        self.resend = (flags, tables, sql, extra, self.next_transaction)
        if self.autocommit and self.tx is None and self.reserved is None:
            settings = self.settings_text
            if self.next_transaction is not None:
                settings = holding.settings_now(self, flags, tables)
            self.request = link.execute(self, flags | self.flags, 0, self.user, settings, tables, sql, extra)
        else:
            holding.forward_held(self, link, flags, tables, sql, extra)

    def on_result(self, info: int, data: bytes, handle: int, status: int) -> None:
        """A piece of the answer of the statement that was forwarded."""
        connection = self.connection
        if not info & _I_LAST:
            if info & m.I_WARNINGS:
                note_warnings(self, data)
                return
            if info & m.I_TRACKED:
                noted(self, self.link, data)
                return
            if info & m.I_INSERT_ID:
                note_told(self, data)
                return
            if info & m.I_SETTINGS:
                self.worker.adopt(self, data)
                return
            connection.write(data)
            self.sent_bytes += len(data)
            if connection.write_paused:
                self.owed_bytes += len(data)
            elif self.link is not None:
                self.link.credit(self.request, len(data))
            return
        self.request = 0
        sent, self.resend = self.resend, None
        if self.tx is not None or self.reserved is not None:
            holding.note_held(self, info, data, handle, status)
        if info & _I_OK:
            note_ok(self, data, info)
        else:
            self.affected_rows = -1
            if not info & _I_ERR:
                note_rows(self, info)
                if info & m.I_ENDS_OK:
                    note_end_of_call(self, data)
        if self.tracker is not None:
            data = stamped(self, data, info)
        connection.write(data)
        stats = self.worker.stats
        stats.queries += 1
        if info & _I_ERR:
            stats.mysql_errors += 1
            ended_by_error(self, sent, data)
        stats.latency.add(perf_counter() - self.started_s)
        connection.done()

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        """The forwarded statement was refused or lost."""
        link, self.request = self.link, 0
        sent, self.resend = self.resend, None
        if sent is not None and link is not None:
            try:
                if goes_again(self, link, sent, number, text):
                    return
            except SluiceError as error:
                number, sqlstate, text = error.number, error.sqlstate, error.message
        if link is not None:
            holding.note_fail(self, link, number, text, handle)
        if self.sent_bytes:
            # the client is in the middle of rows: an ERR packet ends them, but its sequence id is not known here
            self.connection.abort(f"answer of {self.statement[:80]!r} broke off: {text}")
            return
        self.error(number, sqlstate, text)

    def run_text(self, sql: bytes) -> None:
        """Runs another text as the statement under way: what it became, or EXECUTE names. Raises SluiceError."""
        runner, literals = self.worker.plan_of(self, sql)
        runner.run(self, sql, literals, None)

    def run_substituted(self, sql: bytes) -> None:
        """Runs a text in which session state stands as literals already."""
        runner, literals = self.worker.plan_of(self, sql, substitute=False)
        runner.run(self, sql, literals, None)

    # ---- what is held

    async def _forward_limited(
        self,
        link: Link,
        flags: int,
        tables: tuple[str, ...] | None,
        sql: bytes,
        extra: dict[str, Any] | None,
    ) -> None:
        await self.worker.admission.enter(self, link.keyspace, (link.shard,))
        self.task = None
        self.forward_admitted(link, flags, tables, sql, extra)

    def leave_limits(self) -> None:
        """Gives back what the statement claimed of its limits."""
        rules, self.rules = self.rules, ()
        self.worker.admission.gate.leave(rules)

    # ---- answers of the router itself

    def ok(
        self,
        affected_rows: int = 0,
        last_insert_id: int = 0,
        warnings: int = 0,
        info: bytes = b"",
        changes: SessionChanges | None = None,
    ) -> None:
        """Answers OK and ends the statement; the caller keeps LAST_INSERT_ID(). `changes` are told to clients that
        track their session."""
        self.affected_rows = affected_rows
        self.reply(
            ok_packet(
                1, affected_rows, last_insert_id, self.status, warnings, info, changes, self.connection.caps
            )
        )

    def reply(self, packets: bytes, tracked: bool = True) -> None:
        """Sends a whole answer and ends the statement. `tracked` False: it does not end in OK, EOF or ERR."""
        if self.tracker is not None and tracked:
            reply_tracked(self, packets)
            return
        self.connection.write(packets)
        self.finish()

    def error(self, number: int, sqlstate: str, text: str) -> None:
        """Answers with an ERR packet and ends the statement."""
        self.affected_rows = -1
        self.warnings = [condition(self, number, sqlstate, text)]
        self.worker.stats.note_error(number, text)
        if self.tx is not None and self.tx.calling:
            called.dropped(self)
        if self.tracker is not None:
            self.tracker.ended(self, told=False)
        self.connection.write(err_packet(1, number, sqlstate, text))
        self.finish()

    def finish(self) -> None:
        """Counts the statement and lets the next command come."""
        stats = self.worker.stats
        stats.queries += 1
        stats.latency.add(perf_counter() - self.started_s)
        self.connection.done()

    # ---- statements that take several steps

    def start(self, steps: Coroutine[Any, Any, None]) -> None:
        """Runs `steps` as this statement's task; a SluiceError that it raises is answered to the client."""
        self.warnings = None
        self.task = self.worker.loop.create_task(self._run(steps))

    async def _run(self, steps: Coroutine[Any, Any, None]) -> None:
        try:
            await steps
        except SluiceError as error:
            self.task = None
            self.error(error.number, error.sqlstate, error.message)
        except asyncio.CancelledError:
            raise
        except Exception as error:
            self.task = None
            self.failed(error)
        else:
            if self.task is asyncio.current_task():  # not where it has started another
                self.task = None

    def on_writable(self) -> None:
        """The client took what was buffered: lets the tablet go on."""
        owed, self.owed_bytes = self.owed_bytes, 0
        if self.source is not None:
            self.source.on_writable()
        elif owed and self.request and self.link is not None:
            self.link.credit(self.request, owed)

    # ---- settings

    def set_setting(self, name: str, value: str | None) -> None:
        """Makes `name` = SQL text `value` part of what every statement runs with; None: MySQL's default again."""
        settings = dict(self.settings or {})
        if value is None:
            settings.pop(name, None)
        else:
            settings[name] = value
        self.replace_settings(settings)

    def replace_settings(self, settings: dict[str, str]) -> None:
        self.settings = settings or None
        self.settings_text = self.worker.intern(",".join(f"{k}={settings[k]}" for k in sorted(settings)))


def dialect_status(session: Session) -> int:
    """What a server says of sql_mode in its status flags: by the first, clients choose how to escape strings."""
    dialect = session.dialect
    status = 0 if dialect.backslash_escapes else SERVER_STATUS_NO_BACKSLASH_ESCAPES
    return status | MARIADB_STATUS_ANSI_QUOTES if dialect.ansi_quotes and is_mariadb(session) else status
