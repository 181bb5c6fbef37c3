"""The record of a parked session: how it is made of a session, and a session of it.

Invariants: everything that a session keeps over statements is in `Profile` (shared by equal sessions), `Parked` (its
own) or `More` (its own and rare); tests hold the three to `Session.__slots__`. A record holds plain values, and what
plain values say wholly (prepared statements), so that it can go to another process.
"""

import struct
import sys
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from core.errors import SluiceError
from core.limits.table import Rules
from core.rpc.messages import F_PATIENT
from router.clients.connection import READY, Connection
from router.sessions.prepared import PreparedStatement
from router.sessions.session import Session
from router.sessions.transaction_tracker import restored
from router.sql.dialect import Dialect
from wire.answers import err_packet

if TYPE_CHECKING:
    from router.clients.parking import Parking
    from router.workers.worker import Worker

_PACKED: Final = struct.Struct("<idQQQ20sI")
"""Descriptor, idle since, last insert id, rows, found rows, nonce, process number."""
_NO_ROWS: Final = (1 << 64) - 1
"""Affected rows -1, as MySQL itself writes it."""


class Profile:
    """What equal sessions share. Immutable; one object for equal ones."""

    __slots__ = (
        "__weakref__", "autocommit", "caps", "charset", "codec", "connect_attributes", "dialect",
        "flags", "keyspace", "multi_statements", "parking", "scope", "settings", "settings_text", "shard", "user",
        "variables",
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
        self.connect_attributes = values.connect_attributes
        self.settings: dict[str, str] | None = dict(values.settings) or None
        self.settings_text = values.settings_text
        self.variables: dict[str, str] | None = dict(values.variables) or None

    def values(self) -> "ProfileValues":
        """As plain values, for a successor."""
        return ProfileValues(
            self.user, self.caps, self.charset, self.keyspace, self.shard, self.scope, self.autocommit, self.flags,
            self.multi_statements, self.dialect.value, self.codec,
            tuple((self.settings or {}).items()), self.settings_text, tuple((self.variables or {}).items()),
            self.connect_attributes,
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
    settings: tuple[tuple[str, str], ...]
    settings_text: str
    variables: tuple[tuple[str, str], ...]
    connect_attributes: bytes


class More(NamedTuple):
    """What few sessions have."""

    warnings: list[tuple[str, int, str]] | None
    user_variables: dict[str, bytes] | None
    named: dict[str, bytes] | None
    next_statement: int
    statements: dict[int, PreparedStatement] | None

    def to_plain(self) -> tuple[Any, ...]:
        plain = [statement.to_plain() for statement in (self.statements or {}).values()]
        return (*self[:-1], plain)

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> "More":
        warnings, user_variables, named, next_statement, statements = plain
        made = [PreparedStatement.from_plain(one) for one in statements]
        return cls(warnings, user_variables, named, next_statement, {one.id: one for one in made} or None)


NOTHING_MORE: Final = More(None, None, None, 0, None)


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

    @property
    def since_s(self) -> float:
        """When its last statement began."""
        found: float = _PACKED.unpack(self.packed)[1]
        return found

    def ready(self, event: int) -> None:
        """From the set of sockets."""
        del event
        self.session.parking.on_ready(self)

    def received(self, data: bytes) -> None:
        """What its client has sent; empty: it is gone."""
        self.session.parking.on_data(self, data)

    def asked_first(self, data: bytes) -> None:
        """As `received`: the first statement of a newcomer in a storm of logins, whose answer may wait for others."""
        self.session.parking.on_data(self, data, F_PATIENT)

    def abort(self, reason: str) -> None:
        del reason
        self.close()

    def refuse(self, error: SluiceError) -> None:
        """Tells the client why it is disconnected, and disconnects it."""
        self.session.parking.close(self, err_packet(0, error.number, error.sqlstate, error.message))

    def drain(self, error: SluiceError) -> None:
        """Disconnects it with `error`: a parked session holds nothing."""
        self.refuse(error)

    def kill(self, query_only: bool) -> None:
        """KILL: there is no query."""
        if not query_only:
            self.close()

    def close(self) -> None:
        self.session.parking.close(self)

    def describe(self) -> tuple[Any, ...]:
        """A row of SHOW PROCESSLIST, as `Connection.describe`."""
        profile = self.session
        since_s = self.since_s
        seconds = max(0, int(profile.parking.worker.perf_counter() - since_s)) if since_s else 0
        return (self.id, profile.user, self.host, profile.scope or None, "Sleep", seconds, "", None)


def to_plain(record: Parked) -> tuple[Any, ...]:
    """A record without its profile and descriptor, as plain values."""
    return (record.id, record.host, record.packed, record.more and record.more.to_plain())


def from_plain(profile: Profile, plain: list[Any], fd: int) -> Parked:
    """A record of `to_plain`'s values, for its descriptor in this process."""
    number, host, packed, more = plain
    packed = _PACKED.pack(fd, *_PACKED.unpack(packed)[1:])
    return Parked(number, sys.intern(host), profile, None, packed, More.from_plain(more) if more else None)


def record_of(parking: "Parking", connection: Connection, session: Session, fd: int) -> Parked:
    """The record of an idle session that holds nothing, with `fd` as its descriptor."""
    more = more_of(session)
    return Parked(
        session.id,
        connection.host,
        parking.intern(values_of(session, connection)),
        connection.claims,
        _PACKED.pack(
            fd,
            session.started_s,
            session.last_insert_id,
            session.affected_rows & _NO_ROWS,
            session.found_rows,
            connection.nonce,
            session.pid,
        ),
        None if more == NOTHING_MORE else more,
    )


def fresh_record(
    number: int, host: str, profile: Profile, fd: int, nonce: bytes, since_s: float, pid: int
) -> Parked:
    """The record of a session that has just begun."""
    return Parked(number, host, profile, None, _PACKED.pack(fd, since_s, 0, _NO_ROWS, 0, nonce, pid), None)


def more_of(session: Session) -> More:
    return More(
        session.warnings,
        session.user_variables,
        session.named,
        session.next_statement,
        session.statements or None,
    )


def values_of(session: Session, connection: Connection) -> ProfileValues:
    return ProfileValues(
        session.user, connection.caps, connection.charset, session.keyspace, session.shard, session.scope,
        session.autocommit, session.flags, session.multi_statements, session.dialect.value, session.codec,
        tuple((session.settings or {}).items()), session.settings_text,
        tuple((session.variables or {}).items()), session.connect_attributes,
    )  # fmt: skip


def revive(worker: "Worker", record: Parked) -> Connection:
    """The connection as it was; the caller attaches the descriptor."""
    profile = record.session
    connection = Connection(worker, record.host)
    connection.id = record.id
    connection.state = READY
    connection.caps = profile.caps
    connection.charset = profile.charset
    connection.claims = record.claims
    _, since_s, insert_id, affected_rows, found_rows, nonce, pid = _PACKED.unpack(record.packed)
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
    session.connect_attributes, session.pid = profile.connect_attributes, pid
    session.settings = profile.settings
    session.settings_text = profile.settings_text
    session.variables = profile.variables
    session.last_insert_id = insert_id
    session.affected_rows = -1 if affected_rows == _NO_ROWS else affected_rows
    session.found_rows = found_rows
    session.started_s = since_s
    if record.more is not None:
        more = record.more
        session.warnings, session.user_variables, session.named = (
            more.warnings,
            more.user_variables,
            more.named,
        )
        session.next_statement, session.statements = more.next_statement, more.statements
    restored(session)
    connection.session = session
    return connection
