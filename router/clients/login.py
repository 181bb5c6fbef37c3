"""The login on a connection, and the one anew of COM_CHANGE_USER: packets to `wire.login`, its actions performed.

Invariants:
- Nothing of the session exists before the login is through; a failed login ends the connection.
- Limits and the database decide after the proof: their refusal is told in the place of the OK packet.
"""

from typing import TYPE_CHECKING, Any

from core.errors import SluiceError
from router.clients import commands
from router.sessions.session import Session
from wire.answers import err_packet, ok_packet
from wire.errors import WireError
from wire.login import MAX_LOGIN_BYTES, Login
from wire.login_actions import Authenticated, Refused, Send, UpgradeTls
from wire.packets import PacketReader

if TYPE_CHECKING:
    from router.clients.connection import Connection


class Entrance:
    """What a connection has until its login is through: the client's bytes come here."""

    __slots__ = ("_connection", "_login", "_reader")

    def __init__(self, connection: "Connection", nonce: bytes | None) -> None:
        """`nonce`: of the greeting that was sent. None: for a client already in, see `change_user`."""
        worker = connection.worker
        self._connection = connection
        self._reader = PacketReader(MAX_LOGIN_BYTES, consecutive=True, expected=1)
        self._login = Login(
            worker.login_settings,
            worker.accounts.find,
            connection.host,
            connection_id=connection.id,
            secure=connection.tls is not None,
        )
        if nonce is not None:
            self._login.greeted(nonce)

    def change_user(self, payload: bytes, rest: bytes) -> None:
        """Begins anew with a COM_CHANGE_USER; `rest`: what the client has sent behind it."""
        connection = self._connection
        self._act(self._login.change_user(payload, 0, connection.caps, connection.nonce))
        if rest:
            connection.take(rest)

    def receive(self, data: bytes) -> None:
        """Bytes of the client, out of TLS and compression."""
        connection, reader = self._connection, self._reader
        reader.buffer(data)
        while connection.entrance is self:
            try:
                packet = reader.next()
            except WireError as error:
                connection.fatal(error, reader.expected)
                return
            if packet is None:
                return
            self._act(self._login.receive(*packet))

    def tls_started(self) -> None:
        self._login.tls_started()

    def _act(self, actions: list[Any]) -> None:
        connection = self._connection
        for action in actions:
            if isinstance(action, Send):
                connection.write(action.data)
                self._reader.expected = (
                    self._reader.expected + 1
                ) & 0xFF  # both sides count one row of packets
            elif isinstance(action, Refused):
                connection.worker.stats.logins_refused += 1
                connection.write(action.data)
                connection.close()
                return
            elif isinstance(action, UpgradeTls):
                rest = self._reader.take_rest()
                self._reader = PacketReader(MAX_LOGIN_BYTES, consecutive=True, expected=2)
                connection.start_tls()
                if rest:
                    connection.data_received(rest)
                return
            elif isinstance(action, Authenticated):
                self._begin(action)

    def _begin(self, verdict: Authenticated) -> None:
        """The password is right; limits and the database decide whether the session begins."""
        connection = self._connection
        worker = connection.worker
        fresh = connection.session is None
        connection.caps = verdict.caps
        connection.charset = verdict.charset
        session = Session(worker, connection, verdict.user, verdict.caps)
        try:
            commands.start_session(session, verdict)
            if fresh:
                worker.admission.admit(connection, verdict.user, session.keyspace, session.shard)
            else:
                worker.admission.move(connection, verdict.user, session.keyspace, session.shard)
        except SluiceError as error:
            worker.stats.note_error(error.number, error.message)
            worker.stats.logins_refused += 1
            connection.write(err_packet(verdict.sequence, error.number, error.sqlstate, error.message))
            connection.close()
            return
        connection.nonce = self._login.nonce
        ok = ok_packet(verdict.sequence, status=session.status, caps=connection.caps)
        connection.logged_in(session, ok, self._reader.take_rest(), verdict.zstd_level)
