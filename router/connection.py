"""One client's connection: bytes to commands, and answers back.

Invariants:
- Nothing of the session exists before the login is through; a failed login ends the connection.
- One command at a time: while one runs, what the client sends meanwhile is kept (bounded: then reading stops).
- After an error of the protocol the connection is closed: what follows cannot be followed.

    state    data of the client goes to
    LOGIN    the login's state machine
    READY    a command begins
    BUSY     kept until `done`
    CLOSED   nowhere
"""

import asyncio
import os
import ssl
import sys
from typing import TYPE_CHECKING, Any, Final

from core.errors import SluiceError, fail
from core.limits.table import Rules
from router import commands
from router.client_file import ClientFile
from router.renumber import Renumbered
from router.session import Session
from wire.answers import err_packet, ok_packet
from wire.compression import CompressedStream
from wire.constants import CLIENT_COMPRESS
from wire.errors import WireError
from wire.login import MAX_LOGIN_BYTES, Authenticated, Login, Refused, Send, UpgradeTls
from wire.packets import PacketReader
from wire.tls import TlsChannel

if TYPE_CHECKING:
    from router.worker import Worker

LOGIN: Final = 0
READY: Final = 1
BUSY: Final = 2
CLOSED: Final = 3

MAX_AHEAD_BYTES: Final = 1 << 20
"""What a client may send ahead of the answer before it is not read from any more."""

_COM_QUERY: Final = 3


def _to_nobody(data: bytes) -> None:
    """What is written to a client that has left: nothing."""


class TlsTransport:
    """A transport that encrypts: what `Connection` writes to once TLS is on."""

    __slots__ = ("_channel", "_inner")

    def __init__(self, inner: asyncio.Transport, channel: TlsChannel) -> None:
        self._inner = inner
        self._channel = channel

    def write(self, data: bytes) -> None:
        self._inner.write(self._channel.send(data))

    def close(self) -> None:
        self._inner.write(self._channel.close())
        self._inner.close()

    def abort(self) -> None:
        self._inner.abort()

    def pause_reading(self) -> None:
        self._inner.pause_reading()

    def resume_reading(self) -> None:
        self._inner.resume_reading()


class Connection(asyncio.Protocol):
    """See the module. The login's parts go when it is done; an idle connection holds no buffer."""

    __slots__ = (
        "_channel",
        "_compression",
        "_login",
        "_reader",
        "_reading_paused",
        "_renumbered",
        "caps",
        "charset",
        "claims",
        "file",
        "host",
        "id",
        "nonce",
        "session",
        "state",
        "transport",
        "worker",
        "write",
        "write_paused",
    )

    transport: Any
    write: Any

    def __init__(self, worker: "Worker", host: str) -> None:
        self.worker = worker
        self.host = sys.intern(host)
        self.id = 0
        self.state = LOGIN
        self.caps = 0
        self.charset = 0
        self.nonce = b""
        self.session: Session | None = None
        self.claims: Rules | None = None
        """Limits that count this client; None before the login is through."""
        self.write_paused = False
        self._reading_paused = False
        self._renumbered = False
        self.file: ClientFile | None = None
        """What the client sends now instead of commands."""
        self._login: Login | None = None
        self._channel: TlsChannel | None = None
        self._compression: CompressedStream | None = None
        self._reader: PacketReader | None = None

    # ---- the transport's calls

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        worker = self.worker
        self.transport = transport
        self.write = self.transport.write
        if self.session is not None:  # woken: it was logged in before
            if not worker.parking.arrived(self):
                self.state = CLOSED
                self.session = None
                self.transport.abort()
            return
        self.id = worker.take_id()
        worker.connections[self.id] = self
        worker.stats.connections_total += 1
        self._reader = PacketReader(MAX_LOGIN_BYTES, consecutive=True, expected=1)
        self._login = Login(
            worker.login_settings, worker.accounts.find, self.host, connection_id=self.id, secure=False
        )
        self.write(self._login.start())

    def data_received(self, data: bytes) -> None:
        if self._channel is not None:
            try:
                plain = self._channel.receive(data)
            except ssl.SSLError as error:
                self._tls_failed(error)
                return
            self._after_tls(plain)
            return
        if self._compression is not None:
            self._receive(data)
            return
        if self.state == READY and self._reader is None:
            size = len(data) - 4
            if size > 0 and size < 0xFFFFFF and int.from_bytes(data[:4], "little") == size:
                self.state = BUSY
                self.worker.active += 1
                if data[4] == _COM_QUERY and not self.caps & commands.QUERY_ATTRIBUTES:
                    self.session.on_query(data[5:])  # type: ignore[union-attr]
                else:
                    commands.run(self, data[4:])
                return
        self._receive(data)

    def connection_lost(self, error: Exception | None) -> None:
        del error
        self._forget()

    def pause_writing(self) -> None:
        self.write_paused = True

    def resume_writing(self) -> None:
        self.write_paused = False
        if self.session is not None:
            self.session.on_writable()

    # ---- data

    def _receive(self, data: bytes) -> None:
        if self._compression is not None:
            try:
                data = self._compression.receive(data)
            except WireError as error:
                self._fatal(error.number, error.sqlstate, error.text)
                return
        if data:
            self._take(data)

    def _take(self, data: bytes) -> None:
        """Takes packets, whole or in part."""
        if self.state == CLOSED:
            return
        reader = self._reader
        if reader is None:
            reader = self._reader = PacketReader(self.worker.boot.config.router.max_allowed_packet)
        reader.buffer(data)
        if self.state == LOGIN:
            self._read_login()
        elif self.state == READY:
            self._next_command()
        elif self.file is not None:
            self._read_file(reader)
        elif reader.buffered_bytes > MAX_AHEAD_BYTES and not self._reading_paused:
            self._reading_paused = True
            self.transport.pause_reading()

    def _next_command(self) -> None:
        """Begins the next command that is whole, if one is."""
        while self.state == READY and self._reader is not None:
            try:
                packet = self._reader.next()
            except WireError as error:
                self._fatal(error.number, error.sqlstate, error.text)
                return
            if packet is None:
                if not self._reader.buffered_bytes:
                    self._reader = None
                return
            self.state = BUSY
            self.worker.active += 1
            if packet[1]:
                self._renumber(packet[1])
            commands.run(self, packet[0])

    def done(self) -> None:
        """The command is answered: the next one may come."""
        session = self.session
        if self.state != BUSY or (
            session is not None and session.several is not None and session.several.goes_on()
        ):
            return
        self.state = READY
        if session is not None:
            session.binary = False
            if session.rules:
                session.leave_limits()
            session.statement = b""
        if self._renumbered:
            self.write = self._plain_write
            self._renumbered = False
        self.worker.active -= 1
        if self._reader is not None:
            if self._reading_paused:
                self._reading_paused = False
                self.transport.resume_reading()
            self.worker.loop.call_soon(self._next_command)

    def _renumber(self, sequence: int) -> None:
        """The client's last packet had this sequence id: what is written until `done` goes on from there."""
        self.write = Renumbered(self._plain_write, sequence).write
        self._renumbered = True

    def receive_file(self, file: ClientFile) -> None:
        """Until `file_ended` the client sends `file`; its packets go on from the request's sequence id 1."""
        self.file = file
        reader = self._reader
        if reader is None:
            reader = self._reader = PacketReader(self.worker.boot.config.router.max_allowed_packet)
        reader.consecutive, reader.expected = True, 2
        self._read_file(reader)

    def file_ended(self, sequence: int) -> None:
        """The file's empty packet came; commands begin at sequence id 0 again."""
        self.file = None
        assert self._reader is not None
        self._reader.consecutive, self._reader.expected = False, 0
        self._renumber(sequence)

    def _read_file(self, reader: PacketReader) -> None:
        assert self.file is not None
        try:
            self.file.receive(reader)
        except WireError as error:
            self.abort(f"the file of LOAD DATA cannot be followed: {error.text}")

    @property
    def _plain_write(self) -> Any:
        return self.transport.write if self._compression is None else self._write_compressed

    def _write_compressed(self, data: bytes) -> None:
        assert self._compression is not None
        self.transport.write(self._compression.send(data))

    # ---- login

    def _read_login(self) -> None:
        while self.state == LOGIN and self._reader is not None and self._login is not None:
            try:
                packet = self._reader.next()
            except WireError as error:
                self._fatal(error.number, error.sqlstate, error.text)
                return
            if packet is None:
                return
            self._act(self._login.receive(*packet))

    def _act(self, actions: list[Any]) -> None:
        for action in actions:
            if isinstance(action, Send):
                self.write(action.data)
                if self._reader is not None:  # both sides count the same row of packets
                    self._reader.expected = (self._reader.expected + 1) & 0xFF
            elif isinstance(action, Refused):
                self.worker.stats.logins_refused += 1
                self.write(action.data)
                self.close()
                return
            elif isinstance(action, UpgradeTls):
                self._start_tls()
                return
            elif isinstance(action, Authenticated):
                self._logged_in(action)

    def _start_tls(self) -> None:
        context = self.worker.tls_context
        assert context is not None
        self._channel = TlsChannel(context)
        old = self._reader
        rest = old.take_rest() if old is not None else b""
        self._reader = PacketReader(MAX_LOGIN_BYTES, consecutive=True, expected=2)
        if rest:
            self.data_received(rest)

    def _after_tls(self, plain: bytes) -> None:
        channel = self._channel
        assert channel is not None
        outgoing = channel.take_outgoing()
        if outgoing:
            (self.transport._inner if isinstance(self.transport, TlsTransport) else self.transport).write(
                outgoing
            )
        if channel.handshaken and not isinstance(self.transport, TlsTransport):
            self.transport = TlsTransport(self.transport, channel)
            self.write = self.transport.write
            if self._login is not None:
                self._login.tls_started()
        if plain:
            self._receive(plain)
        if channel.closed and self.state != CLOSED:
            self.transport.abort()

    def _tls_failed(self, error: ssl.SSLError) -> None:
        self.worker.log.info("connection %d from %s: TLS failed: %s", self.id, self.host, error.reason)
        self.worker.stats.logins_refused += self.state == LOGIN
        self.transport.abort()

    def _logged_in(self, verdict: Authenticated) -> None:
        """The password is right; limits and the database decide whether the session begins."""
        worker = self.worker
        fresh = self.session is None
        self.caps = verdict.caps
        self.charset = verdict.charset
        session = Session(worker, self, verdict.user, verdict.caps)
        try:
            commands.start_session(session, verdict)
            if fresh:
                worker.admission.admit(self, verdict.user, session.keyspace, session.shard)
            else:
                worker.admission.move(self, verdict.user, session.keyspace, session.shard)
        except SluiceError as error:
            worker.stats.note_error(error.number, error.message)
            worker.stats.logins_refused += 1
            self.write(err_packet(verdict.sequence, error.number, error.sqlstate, error.message))
            self.close()
            return
        self.session = session
        if self._login is not None:
            self.nonce = self._login.nonce
        self._login = None
        reader = self._reader
        rest = reader.take_rest() if reader is not None else b""
        self._reader = None
        worker.logged_in(self)
        if fresh and self._channel is None:
            worker.parking.watch(self)
        was_busy = self.state == BUSY
        self.state = READY
        if was_busy:
            worker.active -= 1
        self.write(ok_packet(verdict.sequence, status=session.status, caps=self.caps))
        if fresh and self.caps & CLIENT_COMPRESS:
            self._compression = CompressedStream()
            self.write = self._write_compressed
            self._receive(rest)
        elif rest:
            self._take(rest)

    def change_user(self, payload: bytes) -> None:
        """COM_CHANGE_USER: the session ends, a login begins on the same connection."""
        assert self.session is not None
        self.session.close()
        self.worker.active -= 1
        self.state = LOGIN
        self._login = Login(
            self.worker.login_settings,
            self.worker.accounts.find,
            self.host,
            connection_id=self.id,
            secure=self._channel is not None,
        )
        rest = self._reader.take_rest() if self._reader is not None else b""
        self._reader = PacketReader(MAX_LOGIN_BYTES, consecutive=True, expected=1)
        self.worker.half_open[self] = self.worker.clock.now_s()
        self._act(self._login.change_user(payload, 0, self.caps, self.nonce))
        if rest:
            self._take(rest)

    def login_expired(self) -> None:
        """The login took longer than `login_timeout_s`: closed without a word, as MySQL does."""
        if self.state == LOGIN:
            self.worker.stats.logins_refused += 1
            self.transport.abort()
            self._forget()

    # ---- parking

    def is_plain_and_empty(self) -> bool:
        """Whether nothing is buffered, in either direction, and no TLS state would be lost."""
        return (
            self._reader is None
            and self._channel is None
            and self._compression is None
            and not self.write_paused
            and not self.transport.is_closing()
            and not self.transport.get_write_buffer_size()
        )

    def duplicate_descriptor(self) -> int:
        """A second descriptor of the client's socket, which keeps it open when the transport closes its own. Raises
        OSError."""
        return os.dup(self.transport.get_extra_info("socket").fileno())

    def let_go(self) -> None:
        """Ends this object and its transport, but not the session: that lives on elsewhere. Nothing is sent, and
        nothing shuts the socket down."""
        self.state = CLOSED
        self.session = None
        self.transport.abort()

    # ---- the end

    def _fatal(self, number: int, sqlstate: str, text: str) -> None:
        """An error of the protocol: said, then closed."""
        self.worker.stats.note_error(number, text)
        sequence = self._reader.expected if self._reader is not None and self.state == LOGIN else 1
        self.write(err_packet(sequence, number, sqlstate, text))
        self.close()

    def refuse(self, error: SluiceError) -> None:
        """Tells an idle client why it is disconnected, and disconnects it."""
        if self.state != CLOSED:
            self.write(err_packet(0, error.number, error.sqlstate, error.message))
            self.close()

    def drain(self) -> None:
        """Disconnects if nothing runs and no transaction is open."""
        session = self.session
        if self.state == READY and (session is None or session.tx is None):
            self.refuse(fail("DRAINING", what="this router worker is stopping"))

    def kill(self, query_only: bool) -> None:
        """KILL: ends the query, or the whole connection."""
        if self.session is not None:
            self.session.kill_query()
        if not query_only:
            self.close()

    def abort(self, reason: str) -> None:
        """The answer cannot be completed: the connection is cut, so that nobody takes it for whole."""
        self.worker.log.warning("connection %d: %s", self.id, reason)
        if self.transport is not None:
            self.transport.abort()
        self._forget()

    def close(self) -> None:
        """Closes after what was written has gone out."""
        if self.state != CLOSED:
            self.transport.close()
            self._forget()

    def _forget(self) -> None:
        if self.state == CLOSED:
            return
        if self.state == BUSY:
            self.worker.active -= 1
        self.state = CLOSED
        self.write = _to_nobody  # an answer that comes later has no reader
        self._reader = None
        self._login = None
        session, self.session = self.session, None
        if session is not None:
            session.close()
        self.worker.forget(self, session)

    def describe(self) -> tuple[Any, ...]:
        """A row of SHOW PROCESSLIST: id, user, host, database, command, seconds, state, info."""
        session = self.session
        if session is None:
            return (self.id, "unauthenticated user", self.host, None, "Connect", 0, "login", None)
        busy = self.state == BUSY
        seconds = int(self.worker.perf_counter() - session.started_s) if session.started_s else 0
        info = session.statement[:1024].decode("utf-8", "replace") if busy else None
        state = "executing" if busy else "in transaction" if session.tx else ""
        return (
            self.id,
            session.user,
            self.host,
            session.database_name() or None,
            "Query" if busy else "Sleep",
            max(seconds, 0),
            state,
            info,
        )
