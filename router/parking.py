"""Idle sessions, put by: a small record instead of a connection, and its descriptor in one epoll set.

A session that is idle and holds nothing (`parkable`) loses its transport, its protocol object and its `Session`; the
first byte of its client, or the hang-up, brings it back as it was (`_wake`). What equal sessions have in common is one
`Profile` of theirs all. The same record, with the descriptor, is what a successor process is given (router.handover).

Invariants:
- A connection id is in `worker.connections` as either a Connection or a Parked, never both and never neither.
- What a session keeps over statements is in `Profile`, `Parked` or `More`; tests hold them to `Session.__slots__`.
- Claims of limits go on while parked. Nothing is ever read from a parked descriptor: its bytes stay in the kernel.
- No parked session costs CPU; of awake ones only those are looked at that may have been idle for `park_after_s`.
"""

import contextlib
import select
import socket
import struct
import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, NamedTuple
from weakref import WeakValueDictionary

from core.errors import SluiceError, fail
from core.limits.table import Rules
from router.connection import BUSY, CLOSED, READY, Connection
from router.session import Session
from router.sql.dialect import Dialect
from router.wheel import Wheel
from wire.answers import err_packet

if TYPE_CHECKING:
    from router.worker import Worker

PARKS_A_TURN: Final = 100
WAKES_A_TURN: Final = 32
"""Bounds of what one turn of the loop does, so that neither starves running queries."""
LOOK_AGAIN_S: Final = 60.0
"""An idle session that cannot be parked is looked at less and less often, at least so often."""

_PACKED: Final = struct.Struct("<idQQQ20s")  # descriptor, idle since, last insert id, rows, found rows, nonce
_NO_ROWS: Final = (1 << 64) - 1
"""Affected rows -1, as MySQL itself writes it."""
_HUNG: Final = select.EPOLLRDHUP | select.EPOLLHUP | select.EPOLLERR
_WATCHED: Final = select.EPOLLIN | select.EPOLLRDHUP
_QUIT: Final = b"\x01\0\0\0\x01"


class Profile:
    """What equal sessions share. Immutable; one object for equal ones."""

    __slots__ = (
        "__weakref__", "account_roles", "autocommit", "caps", "charset", "codec", "dialect", "flags", "keyspace",
        "multi_statements", "parking", "scope", "settings", "settings_text", "shard", "user", "variables",
    )  # fmt: skip

    def __init__(self, parking: "Parking", values: "ProfileValues") -> None:
        self.parking = parking
        self.user = values.user
        self.caps = values.caps
        self.charset = values.charset
        self.keyspace = values.keyspace
        self.shard = values.shard
        self.scope = values.scope
        self.autocommit = values.autocommit
        self.flags = values.flags
        self.multi_statements = values.multi_statements
        self.dialect = Dialect(values.dialect)
        self.codec = values.codec
        self.account_roles = values.account_roles
        self.settings: dict[str, str] | None = dict(values.settings) or None
        self.settings_text = values.settings_text
        self.variables: dict[str, str] | None = dict(values.variables) or None

    def values(self) -> "ProfileValues":
        """As plain values, for a successor."""
        return ProfileValues(
            self.user, self.caps, self.charset, self.keyspace, self.shard, self.scope, self.autocommit, self.flags,
            self.multi_statements, self.dialect.value, self.codec, self.account_roles,
            tuple((self.settings or {}).items()), self.settings_text, tuple((self.variables or {}).items()),
        )  # fmt: skip


class ProfileValues(NamedTuple):
    """A profile as plain values: its identity among profiles, and how it travels."""

    user: str
    caps: int
    charset: int
    keyspace: str
    shard: str
    scope: str
    autocommit: bool
    flags: int
    multi_statements: bool
    dialect: str
    codec: str | None
    account_roles: tuple[str, ...]
    settings: tuple[tuple[str, str], ...]
    settings_text: str
    variables: tuple[tuple[str, str], ...]


class More(NamedTuple):
    """What few sessions have."""

    warnings: list[tuple[str, int, str]] | None
    user_variables: dict[str, bytes] | None
    named: dict[str, bytes] | None
    next_statement: int


_NOTHING_MORE: Final = More(None, None, None, 0)


class Parked:
    """The record of one parked session. To the worker's table of connections it is a connection."""

    __slots__ = ("claims", "host", "id", "more", "packed", "session")

    session: Profile
    """Named so, since its user, keyspace and shard are what others ask of a connection's session."""

    def __init__(
        self, number: int, host: str, profile: Profile, claims: Rules | None, packed: bytes, more: More | None
    ) -> None:
        self.id = number
        self.host = host
        self.session = profile
        self.claims = claims
        self.packed = packed
        self.more = more

    @property
    def fd(self) -> int:
        found: int = _PACKED.unpack(self.packed)[0]
        return found

    def refuse(self, error: SluiceError) -> None:
        """Tells the client why it is disconnected, and disconnects it."""
        self.session.parking.close(self, err_packet(0, error.number, error.sqlstate, error.message))

    def drain(self) -> None:
        """Disconnects it: a parked session holds nothing."""
        self.refuse(fail("DRAINING", what="this router worker is stopping"))

    def kill(self, query_only: bool) -> None:
        """KILL: there is no query."""
        if not query_only:
            self.close()

    def close(self) -> None:
        self.session.parking.close(self)

    def describe(self) -> tuple[Any, ...]:
        """A row of SHOW PROCESSLIST, as `Connection.describe`."""
        profile = self.session
        since_s = _PACKED.unpack(self.packed)[1]
        seconds = max(0, int(profile.parking.worker.perf_counter() - since_s)) if since_s else 0
        return (self.id, profile.user, self.host, profile.scope or None, "Sleep", seconds, "", None)


def to_plain(record: Parked) -> tuple[Any, ...]:
    """A record without its profile and descriptor, as plain values."""
    return (record.id, record.host, record.packed, record.more and tuple(record.more))


def from_plain(profile: Profile, plain: list[Any], fd: int) -> Parked:
    """A record of `to_plain`'s values, for its descriptor in this process."""
    number, host, packed, more = plain
    packed = _PACKED.pack(fd, *_PACKED.unpack(packed)[1:])
    return Parked(number, sys.intern(host), profile, None, packed, More(*more) if more else None)


def parkable(connection: Connection) -> bool:
    """Whether nothing but plain values would be lost with this connection's objects."""
    session = connection.session
    return (
        connection.state == READY
        and session is not None
        and connection.is_plain_and_empty()
        and session.tx is None
        and not session.reserved
        and not session.statements
        and session.next_transaction is None
        and session.task is None
        and not session.request
    )


@dataclass(slots=True)
class Counts:
    parked: int = 0
    """Sessions parked now."""
    parks: int = 0
    wakes: int = 0


class Parking:
    """A worker's parked sessions."""

    def __init__(self, worker: "Worker", family: int, after_s: float) -> None:
        """`after_s` 0: nothing is parked by itself."""
        self.worker = worker
        self.counts = Counts()
        self._family = family
        self._after_s = after_s
        self._profiles: WeakValueDictionary[ProfileValues, Profile] = WeakValueDictionary()
        self._records: list[Parked | None] = []
        """By descriptor."""
        self._waking: dict[int, Connection] = {}
        self._epoll = select.epoll()
        self._wheel: Wheel[Connection] = Wheel(max(after_s, 0.4) / 4, worker.perf_counter())
        self._ticking = False
        worker.loop.add_reader(self._epoll.fileno(), self._on_readable)

    # ---- awake sessions that may be idle

    def watch(self, connection: Connection) -> None:
        """This session is awake from now on: it is parked when it has been idle for `park_after_s`."""
        if self._after_s:
            self._wheel.add(connection, self.worker.perf_counter() + self._after_s)
            if not self._ticking:
                self._ticking = True
                self.worker.loop.call_later(self._wheel.step_s, self._tick)

    def _tick(self) -> None:
        self._look([*self._wheel.take_due(self.worker.perf_counter())])

    def _look(self, due: list[Connection]) -> None:
        now_s = self.worker.perf_counter()
        for connection in due[-PARKS_A_TURN:]:
            session = connection.session
            if connection.state == CLOSED or session is None:
                continue
            idle_s = now_s - session.started_s
            if connection.state == BUSY:
                self._wheel.add(connection, now_s + self._after_s)
            elif idle_s < self._after_s:
                self._wheel.add(connection, session.started_s + self._after_s)
            elif not self.park(connection):
                self._wheel.add(connection, now_s + min(max(idle_s, self._after_s), LOOK_AGAIN_S))
        del due[-PARKS_A_TURN:]
        if due:
            self.worker.loop.call_later(0.001, self._look, due)
        elif self._wheel:
            self.worker.loop.call_later(self._wheel.step_s, self._tick)
        else:
            self._ticking = False

    # ---- parking

    def park(self, connection: Connection) -> bool:
        """Puts the session by; False where it cannot be: it goes on as it was."""
        if not parkable(connection):
            return False
        session = connection.session
        assert session is not None
        try:
            fd = connection.duplicate_descriptor()
        except OSError:
            return False
        more = More(session.warnings, session.user_variables, session.named, session.next_statement)
        record = Parked(
            session.id,
            connection.host,
            self.intern(_values_of(session, connection)),
            connection.claims,
            _PACKED.pack(
                fd,
                session.started_s,
                session.last_insert_id,
                session.affected_rows & _NO_ROWS,
                session.found_rows,
                connection.nonce,
            ),
            None if more == _NOTHING_MORE else more,
        )
        connection.let_go()
        self.keep(record, fd)
        self.counts.parks += 1
        return True

    def intern(self, values: ProfileValues) -> Profile:
        """The one profile of these values."""
        profile = self._profiles.get(values)
        if profile is None:
            profile = self._profiles[values] = Profile(self, values)
        return profile

    def keep(self, record: Parked, fd: int) -> None:
        """From now on `record` stands for its connection, and `fd` is this object's."""
        records = self._records
        if fd >= len(records):
            records.extend([None] * (fd + 1 - len(records) + 256))
        records[fd] = record
        self.worker.connections[record.id] = record
        self.counts.parked += 1
        self._epoll.register(fd, _WATCHED)

    def take_out(self, record: Parked) -> int:
        """The descriptor, which is the caller's now; -1 where the session is being woken. The record still stands in
        the table of connections."""
        fd = record.fd
        if fd >= len(self._records) or self._records[fd] is not record:
            return -1
        self._records[fd] = None
        self._epoll.unregister(fd)
        self.counts.parked -= 1
        return fd

    def close(self, record: Parked, last_words: bytes = b"") -> None:
        """Disconnects it, after `last_words` as far as the kernel takes them at once."""
        fd = self.take_out(record)
        if fd >= 0:
            sock = socket.socket(self._family, socket.SOCK_STREAM, 0, fd)
            with sock:
                if last_words:
                    _send_now(sock, last_words)
        self._waking.pop(record.id, None)
        self._drop(record)

    def _drop(self, record: Parked) -> None:
        self.worker.connections.pop(record.id, None)
        self.worker.admission.leave(record)

    # ---- waking

    def _on_readable(self) -> None:
        for fd, event in self._epoll.poll(0, WAKES_A_TURN):
            record = self._records[fd]
            if record is None:
                continue
            self.take_out(record)
            sock = socket.socket(self._family, socket.SOCK_STREAM, 0, fd)
            if event & _HUNG and _said_goodbye(sock):
                sock.close()
                self._drop(record)
            else:
                self._wake(record, sock)

    def _wake(self, record: Parked, sock: socket.socket) -> None:
        connection = _revive(self.worker, record)
        self._waking[record.id] = connection
        self.counts.wakes += 1
        self.worker.spawn(self._connect(record, connection, sock))

    async def _connect(self, record: Parked, connection: Connection, sock: socket.socket) -> None:
        try:
            await self.worker.loop.connect_accepted_socket(lambda: connection, sock)
        except OSError:
            sock.close()
            if self._waking.pop(record.id, None) is not None:
                self._drop(record)

    def arrived(self, connection: Connection) -> bool:
        """The woken connection has its transport and stands for itself again; False: it was killed meanwhile."""
        if self._waking.pop(connection.id, None) is None:
            return False
        self.worker.connections[connection.id] = connection
        self.watch(connection)
        return True


def _values_of(session: Session, connection: Connection) -> ProfileValues:
    return ProfileValues(
        session.user, connection.caps, connection.charset, session.keyspace, session.shard, session.scope,
        session.autocommit, session.flags, session.multi_statements, session.dialect.value, session.codec,
        session.account_roles, tuple((session.settings or {}).items()), session.settings_text,
        tuple((session.variables or {}).items()),
    )  # fmt: skip


def _revive(worker: "Worker", record: Parked) -> Connection:
    """The connection as it was, still without a transport."""
    profile = record.session
    connection = Connection(worker, record.host)
    connection.id = record.id
    connection.state = READY
    connection.caps = profile.caps
    connection.charset = profile.charset
    connection.claims = record.claims
    _, since_s, insert_id, affected_rows, found_rows, nonce = _PACKED.unpack(record.packed)
    connection.nonce = nonce
    session = Session(worker, connection, profile.user, profile.caps)
    session.keyspace = profile.keyspace
    session.shard = profile.shard
    session.scope = profile.scope
    session.autocommit = profile.autocommit
    session.flags = profile.flags
    session.multi_statements = profile.multi_statements
    session.dialect = profile.dialect
    session.codec = profile.codec
    session.account_roles = profile.account_roles
    session.settings = profile.settings
    session.settings_text = profile.settings_text
    session.variables = profile.variables
    session.last_insert_id = insert_id
    session.affected_rows = -1 if affected_rows == _NO_ROWS else affected_rows
    session.found_rows = found_rows
    session.started_s = since_s
    if record.more is not None:
        session.warnings, session.user_variables, session.named, session.next_statement = record.more
    connection.session = session
    return connection


def _said_goodbye(sock: socket.socket) -> bool:
    """Whether the client has left with nothing but COM_QUIT, if that: there is nobody to wake the session for."""
    try:
        return sock.recv(len(_QUIT) + 1, socket.MSG_PEEK | socket.MSG_DONTWAIT) in (b"", _QUIT)
    except BlockingIOError:
        return False
    except OSError:
        return True


def _send_now(sock: socket.socket, data: bytes) -> None:
    with contextlib.suppress(OSError):
        sock.send(data, socket.MSG_DONTWAIT | socket.MSG_NOSIGNAL)
