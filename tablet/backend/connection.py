"""One connection to MySQL on raw packets. Beside `login.py` the only file that touches mysql.connector.

The connector opens the socket, negotiates TLS and logs in; then its transport is adopted: `set_protocol` makes it
ours and the connector never sees a byte again. It is kept referenced, since its stream writer would close the
transport when collected. `tests/e2e/test_tablet_backend.py` is the contract with each connector version.

Invariants
- Capabilities: no DEPRECATE_EOF or MULTI_STATEMENTS; SESSION_TRACK, LOCAL_FILES, QUERY_ATTRIBUTES and MariaDB's
  extended metadata where offered. Who does not want these is sent answers without (`scanner`).
- No file of this host is ever sent: a server that asks for one gets what the router sends, or loses the connection.
- At most one command is under way; whoever sent it is `task` and gets every byte until it sets `task` to None.
- Bytes that no task waits for (a server that shuts down, or worse) close the connection.
- `settings`, `database` and `prepared` say what the server's session has; if that is not known, `dirty` is set and
  the connection is reset before anybody uses it.
"""

import asyncio
import logging
from collections.abc import Callable
from dataclasses import dataclass
from struct import Struct
from typing import Any, Final, Protocol

import mysql.connector

from core.config import Dsn
from tablet.backend.login import Login
from tablet.backend.prepared import Prepared
from wire.commands import build_query
from wire.constants import (
    CLIENT_QUERY_ATTRIBUTES,
    CLIENT_SESSION_TRACK,
    COM_QUERY,
    COM_QUIT,
    MAX_PAYLOAD,
)
from wire.errors import ServerProtocolError
from wire.packets import frame, packet_count
from wire.query_attributes import NO_ATTRIBUTES
from wire.repeated import RepeatedScanner
from wire.scan import ERR, QUERY, ResultScanner

CONNECT_TIMEOUT_S: Final = 10.0
"""MySQL's own connect_timeout: after that the server lets go of a login that does not go on."""

_LONG_S: Final = CONNECT_TIMEOUT_S - 1
"""A login that failed later than that was not refused: nobody has answered."""

BASE_STATE_SQL: Final = "SET NAMES utf8mb4, @@session.autocommit=1, @@session.session_track_state_change=ON"
"""What every connection has before anything else; the tracker reports what a procedure leaves behind."""

_LOGIN_COLLATION: Final = (
    "utf8mb4_general_ci"  # known to every server; the connector's own choice is not to MariaDB
)
_MAX_CALLER: Final = 100
"""Characters of the tablet's name; the server keeps 512 bytes for all connection attributes."""

_query_header = Struct("<IB").pack
_longer_query_header = Struct("<IBH").pack
_NONE: Final = int.from_bytes(NO_ATTRIBUTES, "little")
_QUIT: Final = frame(bytes((COM_QUIT,)))

Profile = tuple[str, str, bool]
"""Settings text, database, CLIENT_FOUND_ROWS: what a statement wants, and what a connection has."""


log = logging.getLogger("sluice.tablet")


def _nothing() -> None:
    return


class Task(Protocol):
    """Whoever waits for an answer."""

    def received(self, data: bytes) -> None: ...
    def lost(self) -> None:
        """The connection is gone; nothing follows."""


@dataclass(slots=True)
class ConnectFailed(Exception):
    """No connection: `number` is MySQL's or the connector's, `thread_id` is known once the server had greeted."""

    number: int
    reason: str
    thread_id: int | None
    lingers: bool = False
    """It may be in MySQL's hands, which has said nothing yet: nobody knows its thread."""


class Connection(asyncio.Protocol):
    """A logged-in connection. Made by `open_connection`."""

    __slots__ = (
        "_login",
        "_on_lost",
        "autocommit",
        "before_data",
        "born_s",
        "closing",
        "database",
        "dirty",
        "found_rows",
        "held",
        "incarnation",
        "insert_id",
        "is_lost",
        "on_writable",
        "prepared",
        "profile",
        "query_attributes",
        "query_bytes",
        "retire_s",
        "scanner",
        "settings",
        "statement",
        "task",
        "thread_id",
        "token",
        "transport",
        "used_s",
        "user",
        "verify",
        "write_paused",
    )

    def __init__(self, login: Login, database: str, on_lost: "Callable[[Connection], None]") -> None:
        self._login: Login | None = login
        self._on_lost = on_lost
        adopted: Any = login
        self.transport: Any = adopted._socket._writer.transport
        self.thread_id: int = adopted._handshake["server_threadid"]
        tracks = bool(login._client_flags & CLIENT_SESSION_TRACK)
        self.scanner = RepeatedScanner(session_track=tracks, extended=login.extended)
        self.task: Task | None = None
        self.query_attributes = bool(login._client_flags & CLIENT_QUERY_ATTRIBUTES)
        """COM_QUERY has a block of attributes, and types of COM_STMT_EXECUTE have names."""
        self.query_bytes = 1 + len(NO_ATTRIBUTES) if self.query_attributes else 1
        """What stands before the text of a COM_QUERY."""
        self.found_rows: bool = login.found_rows
        self.settings = ""
        self.database = database
        self.profile: Profile = ("", database, self.found_rows)
        self.prepared = Prepared()
        self.dirty = False
        """The session's state is not known: reset it before the next use."""
        self.verify = False
        """Whether a transaction is open is not known: ask before the next use."""
        self.insert_id = 0
        """LAST_INSERT_ID() of MySQL's session; -1: not known."""
        self.autocommit = True
        """MySQL's own. Off only for a session whose procedures run, and reset before anybody else gets it."""
        self.held = False
        """Counts as held by a session (transaction or reservation)."""
        self.user: str | None = None
        """Whose statement has it; None while idle."""
        self.statement: Any = None
        """The statement that has it now."""
        self.token: list[Any] = []
        """Write epochs to finish once the server is done with this connection."""
        self.is_lost = False
        self.closing = False
        self.write_paused = False
        self.before_data: Callable[[], None] = _nothing
        """Called before anything that comes is looked at."""
        self.on_writable: Callable[[], None] | None = None
        """Called when MySQL has taken what was written."""
        self.incarnation = 0
        self.born_s = self.used_s = self.retire_s = 0.0
        self.transport.set_protocol(self)

    # -- asyncio.Protocol

    def data_received(self, data: bytes) -> None:
        self.before_data()
        task = self.task
        if task is not None:
            try:
                task.received(data)
            except Exception:  # a bug: whoever waits is told, and the connection's state is unknown
                log.exception("an answer of MySQL was not handled")
                self.task = task
                self.abort()
        else:
            self.abort()  # ERR 4031 or 1053 of a server that goes, or bytes that cannot be explained

    def connection_lost(self, exc: Exception | None) -> None:
        self.is_lost = self.closing = True  # so that nobody lends it who does not ask whether it is lost
        self._login = None
        task = self.task
        self.task = None
        try:
            if task is not None:
                task.lost()
        finally:
            self._on_lost(self)

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self.on_writable is not None:
            self.on_writable()

    # -- commands

    def query(self, sql: bytes) -> None:
        """Sends COM_QUERY without attributes; `task` and the scanner are set by the caller."""
        size = len(sql) + self.query_bytes
        if size >= MAX_PAYLOAD:
            self.transport.write(frame(build_query(sql, self.query_attributes)))
        elif self.query_attributes:
            self.transport.write(_longer_query_header(size, COM_QUERY, _NONE) + sql)
        else:
            self.transport.write(_query_header(size, COM_QUERY) + sql)

    def command(
        self,
        payload: bytes,
        then: "Callable[[Command], None]",
        kind: int = QUERY,
        keep_bytes: int = 1 << 20,
        deprecate_eof: bool = False,
    ) -> None:
        """Sends one command of the tablet's own; `then` gets it when it is over, well or not. An answer beyond
        `keep_bytes` costs the connection. `payload`: of a COM_QUERY without the block of attributes."""
        if self.query_attributes and payload[0] == COM_QUERY:
            payload = build_query(payload[1:], True)
        Command(self, payload, then, kind, keep_bytes, deprecate_eof)

    def quit(self) -> None:
        """Says COM_QUIT; the server closes, then `on_lost` follows."""
        self.closing = True
        if not self.transport.is_closing():
            self.transport.write(_QUIT)

    def abort(self) -> None:
        """Closes at once; `on_lost` follows in the next turn of the loop. The server may run on for a while."""
        self.closing = True
        self.transport.abort()

    @property
    def in_use(self) -> bool:
        return self.user is not None


class Sink:
    """The task of a connection that is being closed in mid-answer: nobody wants the rest."""

    __slots__ = ()

    def received(self, data: bytes) -> None:
        return

    def lost(self) -> None:
        return


class Command:
    """A command of the tablet's own (SET, COM_PING, KILL) and its whole answer."""

    __slots__ = ("_connection", "_keep_bytes", "_parts", "_size", "_then", "error", "lost_connection")

    def __init__(
        self,
        connection: Connection,
        payload: bytes,
        then: "Callable[[Command], None]",
        kind: int,
        keep_bytes: int,
        deprecate_eof: bool,
    ) -> None:
        self._connection = connection
        self._then = then
        self._parts: list[bytes] = []
        self._size = 0
        self._keep_bytes = keep_bytes
        self.lost_connection = False
        self.error: tuple[int, str, str] | None = None
        connection.task = self
        connection.scanner.begin(kind, deprecate_eof, first_sequence=packet_count(len(payload)))
        connection.transport.write(frame(payload))

    @property
    def ok(self) -> bool:
        return self.error is None and not self.lost_connection

    @property
    def told_changes(self) -> bool:
        """Whether MySQL told what a statement before has left in the session: it tells that once, in an OK."""
        return any(told.leaves_something for told in self._connection.scanner.session_changes)

    @property
    def data(self) -> bytes:
        """The answer's packets."""
        return b"".join(self._parts)

    @property
    def scanner(self) -> ResultScanner:
        return self._connection.scanner

    def received(self, data: bytes) -> None:
        try:
            done, out = self._connection.scanner.feed(data)
        except ServerProtocolError:
            self._connection.abort()
            return
        self._size += len(out)
        if self._size <= self._keep_bytes:
            self._parts.append(out)
        else:
            self._connection.abort()
            return
        if done:
            scanner = self._connection.scanner
            if scanner.kind == ERR:
                self.error = (scanner.error_number, scanner.sqlstate, scanner.error_text)
            self._connection.task = None
            self._then(self)

    def lost(self) -> None:
        self.lost_connection = True
        self._then(self)


async def open_connection(
    dsn: Dsn, database: str, found_rows: bool, on_lost: Callable[[Connection], None]
) -> Connection:
    """Logs in and sets the base state. Raises ConnectFailed; then no socket of ours is left open.

    `on_lost(connection)` is called once, whenever the connection is gone, closed by us or not.
    """
    login = Login(
        user=dsn.user,
        password=dsn.password,
        database=database or None,
        charset="utf8mb4",
        collation=_LOGIN_COLLATION,
        connection_timeout=int(CONNECT_TIMEOUT_S),
        ssl_disabled=bool(dsn.socket) or dsn.tls == "disabled",
        conn_attrs={"program_name": "sluice", "sluice_tablet": dsn.caller[:_MAX_CALLER]},
        **({"unix_socket": dsn.socket} if dsn.socket else {"host": dsn.host, "port": dsn.port}),
    )
    login.found_rows = found_rows
    login.tls_required = dsn.tls == "required" and not dsn.socket
    loop = asyncio.get_running_loop()
    began_s = loop.time()
    try:
        await asyncio.wait_for(login.connect(), CONNECT_TIMEOUT_S)
    except mysql.connector.Error as error:
        lingers = loop.time() - began_s >= _LONG_S
        raise ConnectFailed(error.errno or 0, str(error.msg), _thread_id(login), lingers) from None
    except (OSError, TimeoutError, EOFError, IndexError, TypeError, AttributeError, ValueError) as error:
        # The connector reads past the end of what a server says that breaks off in its greeting.
        lingers = loop.time() - began_s >= _LONG_S
        raise ConnectFailed(2003, str(error) or type(error).__name__, _thread_id(login), lingers) from None
    connection = Connection(login, database, on_lost)
    ready: asyncio.Future[Command] = loop.create_future()
    connection.command(
        b"\x03" + BASE_STATE_SQL.encode(), lambda c: None if ready.done() else ready.set_result(c)
    )
    try:
        command = await asyncio.wait_for(ready, CONNECT_TIMEOUT_S)
    except TimeoutError:
        connection.abort()
        raise ConnectFailed(2003, "timed out while setting the base state", connection.thread_id) from None
    if command.error is not None:
        connection.abort()
        raise ConnectFailed(command.error[0], command.error[2], connection.thread_id)
    if command.lost_connection:
        raise ConnectFailed(2013, "lost while setting the base state", connection.thread_id)
    return connection


def _thread_id(login: Login) -> int | None:
    greeting = getattr(login, "_handshake", None)
    return int(greeting["server_threadid"]) if greeting else None
