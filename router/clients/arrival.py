"""A client from its accept to its login: the greeting, and for most the verdict, without a Connection.

    accept -> Arrival -> (a login known by sight) -> Parked        it wakes when it asks something
                      -> (anything else)          -> Connection    which goes on with what was read

Invariants: an Arrival is half open and in the table of connections until it is one of the other two, or gone; nothing
but the greeting was sent before the verdict; limits are claimed with the verdict.
"""

import os
from typing import TYPE_CHECKING, Any, Final

from core.errors import SluiceError
from core.limits.table import Rules
from router.clients.connection import Connection
from router.clients.known_logins import VERDICT_SEQUENCE
from router.clients.parked import fresh_record
from router.clients.sockets import read
from wire.answers import err_packet

if TYPE_CHECKING:
    from router.clients.known_logins import Known
    from router.clients.newcomers import Newcomers
    from router.workers.worker import Worker

_AGAIN: Final = (BlockingIOError, InterruptedError)


class Arrival:
    """To the worker's table of connections it is a connection that has not logged in."""

    __slots__ = ("claims", "fd", "host", "id", "nonce", "rounds", "session", "worker")

    def __init__(self, worker: "Worker", fd: int, host: str, rounds: "Newcomers | None") -> None:
        """`fd` is a client's, just accepted and non-blocking. The greeting is sent. `rounds`: where it is looked at,
        instead of in the set of sockets."""
        self.worker = worker
        self.fd = fd
        self.host = host
        self.claims: Rules | None = None
        self.session: None = None
        self.id = worker.take_id()
        self.nonce = worker.greetings.nonce()
        worker.connections[self.id] = self
        worker.half_open[self.id] = worker.clock.now_s()
        worker.stats.connections_total += 1
        self.rounds = rounds
        if rounds is None:
            worker.sockets.add(fd, self)
        else:
            worker.sockets.note(fd, self)
            rounds.join(fd, self)
        try:
            os.write(fd, worker.greetings.packet(self.id, self.nonce))  # an empty socket takes it whole
        except OSError:
            self.close()

    def ready(self, event: int) -> None:
        del event
        try:
            data = read(self.fd)
        except _AGAIN:
            return
        except OSError:
            data = b""
        self.received(data)

    def received(self, data: bytes) -> None:
        """What the client has sent first; empty: it is gone."""
        if not data:
            self.close()
            return
        known = self.worker.known_logins.proved(data, self.nonce)
        if known is None:
            self._go_on(data)
        else:
            self._logged_in(known)

    def _go_on(self, data: bytes) -> None:
        """As a Connection, which has what was read."""
        if self.rounds is not None:
            self.worker.sockets.register(self.fd)
        connection = Connection(self.worker, self.host)
        connection.take_over(self.id, self.fd, self.nonce)
        connection.data_received(data)

    def _logged_in(self, known: "Known") -> None:
        worker, profile = self.worker, known.profile
        since_s = worker.perf_counter()
        record = fresh_record(self.id, self.host, profile, self.fd, self.nonce, since_s, known.pid)
        try:
            worker.admission.admit(record, profile.user, profile.keyspace, profile.shard)
        except SluiceError as error:
            worker.stats.note_error(error.number, error.message)
            worker.stats.logins_refused += 1
            self.refuse(error, VERDICT_SEQUENCE)
            return
        worker.parking.keep(record, self.fd)
        if self.rounds is not None:
            self.rounds.join(self.fd, record)
        worker.logged_in(self.id)
        try:
            os.write(self.fd, known.answer)
        except OSError:
            record.close()

    # ---- what may happen to a connection

    def refuse(self, error: SluiceError, sequence: int = 0) -> None:
        """Tells the client why it is disconnected, and disconnects it."""
        try:
            os.write(self.fd, err_packet(sequence, error.number, error.sqlstate, error.message))
        except OSError:
            pass
        self.close()

    def drain(self, error: SluiceError) -> None:
        """A login may go on until the grace is over."""

    def kill(self, query_only: bool) -> None:
        if not query_only:
            self.close()

    def login_expired(self) -> None:
        """The login took longer than `login_timeout_s`: closed without a word, as MySQL does. What the client has sent
        may be waiting for us: then it goes on."""
        self.ready(0)
        if self.worker.sockets.owner(self.fd) is self:
            self.worker.stats.logins_refused += 1
            self.close()

    def abort(self, reason: str) -> None:
        del reason
        self.close()

    def close(self) -> None:
        worker = self.worker
        if worker.sockets.owner(self.fd) is self:
            worker.sockets.close(self.fd)
        if worker.connections.get(self.id) is self:
            worker.forget(self.id)

    def describe(self) -> tuple[Any, ...]:
        """A row of SHOW PROCESSLIST, as `Connection.describe`."""
        return (self.id, "unauthenticated user", self.host, None, "Connect", 0, "login", None)
