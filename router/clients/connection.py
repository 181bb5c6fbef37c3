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

import ssl
from struct import Struct
from typing import TYPE_CHECKING, Any, Final

from core.errors import SluiceError
from core.limits.table import Rules
from router.clients import commands
from router.clients.login import Entrance
from router.clients.renumber import Renumbered
from router.clients.sockets import SocketTransport, to_nobody
from router.clients.tls import TlsTransport
from router.sessions import ending
from router.sessions.client_file import ClientFile
from router.sessions.session import Session
from wire.answers import err_packet
from wire.compression import CompressedStream
from wire.constants import CLIENT_COMPRESS, CLIENT_ZSTD_COMPRESSION_ALGORITHM
from wire.errors import WireError
from wire.packets import PacketReader

if TYPE_CHECKING:
    from router.workers.worker import Worker

LOGIN: Final = 0
READY: Final = 1
BUSY: Final = 2
CLOSED: Final = 3

MAX_AHEAD_BYTES: Final = 1 << 20
"""What a client may send ahead of the answer before it is not read from any more."""

_COM_QUERY: Final = 3
_header: Final = Struct("<I").unpack_from


class Connection:
    """See the module. The login's parts go when it is done; an idle connection holds no buffer."""

    __slots__ = (
        "_compression",
        "_reader",
        "_reading_paused",
        "_renumbered",
        "caps",
        "charset",
        "claims",
        "entrance",
        "file",
        "host",
        "id",
        "nonce",
        "session",
        "state",
        "tls",
        "transport",
        "worker",
        "write",
        "write_paused",
    )

    transport: SocketTransport | TlsTransport
    write: Any

    def __init__(self, worker: "Worker", host: str) -> None:
        """Comes to life with `take_over`, or with the session it is given and `attach`."""
        self.worker = worker
        self.host = host
        self.id = 0
        self.state = LOGIN
        self.caps = 0
        self.charset = 0
        self.nonce = b""
        self.session: Session | None = None
        self.claims: Rules | None = None
        """Limits that count this client; None before the login is through."""
        self.entrance: Entrance | None = None
        """While a login is under way."""
        self.tls: TlsTransport | None = None
        self.write_paused = False
        self._reading_paused = False
        self._renumbered = False
        self.file: ClientFile | None = None
        """What the client sends now instead of commands."""
        self._compression: CompressedStream | None = None
        self._reader: PacketReader | None = None

    def take_over(self, number: int, fd: int, nonce: bytes) -> None:
        """Stands for a client that was greeted, in the place of its Arrival."""
        self.id = number
        self.entrance = Entrance(self, nonce)
        self.attach(fd)

    def attach(self, fd: int) -> None:
        """The client's descriptor, which is in the worker's set of sockets."""
        self.transport = SocketTransport(self.worker.sockets, fd, self)
        self.write = self.transport.write
        self.worker.connections[self.id] = self

    # ---- the transport's calls

    def data_received(self, data: bytes) -> None:
        if self.state == READY and self._reader is None and self.tls is None and self._compression is None:
            size = len(data) - 4
            if 0 < size < 0xFFFFFF and _header(data)[0] == size:
                self.state = BUSY
                self.worker.active += 1
                if data[4] == _COM_QUERY and not self.caps & commands.QUERY_ATTRIBUTES:
                    self.session.on_query(data[5:])  # type: ignore[union-attr]
                else:
                    commands.run(self, data[4:])
                return
        if self.tls is not None:
            self._receive_tls(self.tls, data)
        else:
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
                self.fatal(error)
                return
        if data:
            self.take(data)

    def _receive_tls(self, tls: TlsTransport, data: bytes) -> None:
        try:
            plain = tls.receive(data)
        except ssl.SSLError as error:
            self.worker.stats.logins_refused += self.state == LOGIN
            self.worker.log.info("connection %d from %s: TLS failed: %s", self.id, self.host, error.reason)
            self.transport.abort()
            self._forget()
            return
        if plain:
            self._receive(plain)
        if tls.ended and self.state != CLOSED:
            self.transport.abort()
            self._forget()

    def take(self, data: bytes) -> None:
        """Takes packets, whole or in part."""
        if self.state == CLOSED:
            return
        if self.entrance is not None:
            self.entrance.receive(data)
            return
        reader = self._reader
        if reader is None:
            reader = self._reader = PacketReader(self.worker.boot.config.router.max_allowed_packet)
        reader.buffer(data)
        if self.state == READY:
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
                self.fatal(error)
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
            session.statement = session.attributes = b""
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

    def start_tls(self) -> None:
        """Every byte that comes from now on is TLS; what is sent too."""
        assert isinstance(self.transport, SocketTransport)
        self.tls = TlsTransport(self, self.transport, self.worker.tls_context)

    def tls_started(self) -> None:
        """The handshake is done."""
        assert self.tls is not None
        self.transport = self.tls
        self.write = self.tls.write
        if self.entrance is not None:
            self.entrance.tls_started()

    def logged_in(self, session: Session, ok: bytes, rest: bytes, zstd_level: int = 0) -> None:
        """The login is through: `ok` is to be sent, `rest` came behind it. `zstd_level`: 0 for zlib."""
        worker = self.worker
        fresh = self.session is None
        self.session = session
        self.entrance = None
        self.state = READY
        worker.logged_in(self.id)
        if fresh and self.tls is None:
            worker.parking.watch(self)
        self.write(ok)
        if fresh and self.caps & (CLIENT_COMPRESS | CLIENT_ZSTD_COMPRESSION_ALGORITHM):
            self._compression = CompressedStream(zstd_level)
            self.write = self._write_compressed
            self._receive(rest)
        elif rest:
            self.take(rest)

    def change_user(self, payload: bytes) -> None:
        """COM_CHANGE_USER: the session ends, a login begins on the same connection."""
        assert self.session is not None
        ending.close(self.session)
        self.worker.active -= 1
        self.state = LOGIN
        rest = self._reader.take_rest() if self._reader is not None else b""
        self._reader = None
        self.worker.half_open[self.id] = self.worker.clock.now_s()
        self.entrance = Entrance(self, None)
        self.entrance.change_user(payload, rest)

    def login_expired(self) -> None:
        """The login took longer than `login_timeout_s`: closed without a word, as MySQL does."""
        if self.state == LOGIN:
            self.worker.stats.logins_refused += 1
            self.transport.abort()
            self._forget()

    # ---- parking

    def is_plain_and_empty(self) -> bool:
        """Whether nothing is buffered, in either direction, and no TLS state would be lost."""
        return self._reader is None and self._compression is None and self.transport.idle

    def let_go(self) -> int:
        """Ends this object, but not the session: that lives on elsewhere, with the descriptor that this returns."""
        assert isinstance(self.transport, SocketTransport)
        self.state = CLOSED
        self.session = None
        return self.transport.detach()

    # ---- the end

    def fatal(self, error: WireError, sequence: int = 1) -> None:
        """An error of the protocol: said, then closed."""
        self.worker.stats.note_error(error.number, error.text)
        self.write(err_packet(sequence, error.number, error.sqlstate, error.text))
        self.close()

    def refuse(self, error: SluiceError) -> None:
        """Tells a client why it is disconnected, and disconnects it. In the middle of an answer it is cut off."""
        if self.state == CLOSED:
            return
        session = self.session
        if self.state == BUSY and session is not None and session.sent_bytes:
            self.abort(error.message)
            return
        sequence = 1 if self.state == BUSY else 0
        self.write(err_packet(sequence, error.number, error.sqlstate, error.message))
        self.close()

    @property
    def idle(self) -> bool:
        """Whether nothing runs, and nothing is held on any tablet."""
        session = self.session
        return (
            self.state == READY
            and session is not None
            and session.tx is None
            and not session.reserved
            and session.task is None
            and not session.request
        )

    def drain(self, error: SluiceError) -> None:
        """Disconnects with `error` if nothing runs and no transaction is open."""
        session = self.session
        if self.state == READY and (session is None or session.tx is None):
            self.refuse(error)

    def kill(self, query_only: bool) -> None:
        """KILL: ends the query, or the whole connection."""
        if self.session is not None:
            ending.kill_query(self.session)
        if not query_only:
            self.close()

    def abort(self, reason: str) -> None:
        """The answer cannot be completed: the connection is cut, so that nobody takes it for whole."""
        self.worker.log.warning("connection %d: %s", self.id, reason)
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
        self.write = to_nobody  # an answer that comes later has no reader
        self._reader = None
        self.entrance = None
        session, self.session = self.session, None
        if session is not None:
            ending.close(session)
        self.worker.forget(self.id)

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
            session.scope or None,
            "Query" if busy else "Sleep",
            max(seconds, 0),
            state,
            info,
        )
