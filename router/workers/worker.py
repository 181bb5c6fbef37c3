"""A router worker: one process, one event loop, its share of the clients.

Forked by the fork server; makes its loop and its ZeroMQ context itself. It hears of the cluster from its router's
main process (SNAPSHOT) and reports to it (REPORT); it never talks to etcd.
"""

import asyncio
import logging
import os
import signal
import socket
from collections.abc import Coroutine
from time import perf_counter
from typing import Any, AnyStr, Final

import uvloop

from core.clock import MonotonicClock
from core.errors import SluiceError, fail
from core.rpc.dealer import Dealer
from core.rpc.zeromq import make_context
from router.clients.arrival import Arrival
from router.clients.connection import READY, Connection
from router.clients.inactivity import Inactivity
from router.clients.known_logins import KnownLogins
from router.clients.parked import Parked
from router.clients.parking import Parking
from router.clients.sockets import Sockets
from router.clients.storm import Storm
from router.execute.multi import run_several
from router.execute.program_variables import SessionCalls
from router.execute.sequence import Sequences
from router.execute.several import run_as_binary
from router.gateway import Link
from router.sessions.accounts import Accounts
from router.sessions.rights import Rights
from router.sessions.session import Session
from router.statements import initial_charset_settings
from router.statements.adopted import adopt
from router.variables.verified import Verified
from router.view import ClusterView, build
from router.workers.admission import Admission
from router.workers.beat import Beat
from router.workers.boot import Boot, column
from router.workers.departure import Departure
from router.workers.draining import Draining
from router.workers.handover import Receiver, socket_path
from router.workers.listener import Listener
from router.workers.parent import Parent
from router.workers.planning import Planning
from router.workers.stats import WorkerStats
from wire.greetings import Greetings

DRAIN_GRACE_S: Final = 5.0
MAX_INTERNED: Final = 10_000


class Worker:
    """The state of this process that sessions share."""

    def __init__(self, boot: Boot, slot: int, tag: int, loop: asyncio.AbstractEventLoop) -> None:
        """`tag`: twice the generation, plus one for a worker that inherits another's clients."""
        self.boot = boot
        self.slot = slot
        self.loop = loop
        self.name = f"{boot.router}.{slot}"
        self.log = logging.getLogger("router.worker")
        self.clock = MonotonicClock()
        self.context = make_context()
        self.calls = SessionCalls(loop)
        self.stats = WorkerStats()
        self.view: ClusterView | None = None
        self.column = column(slot, tag >> 1)
        """This process' own column of the shared counters."""
        self.connections: dict[int, Connection | Parked | Arrival] = {}
        self.half_open: dict[int, float] = {}
        """Logins under way: connection id -> since when, the oldest first."""
        self.sockets = Sockets(loop)
        self.known_logins = KnownLogins(self)
        self.storm = Storm(boot.counters, self.column, self.clock)
        self.active = 0
        self.transactions = 0
        self.rights = Rights(boot.accounts)
        self._leaving: set[Connection] = set()
        """Clients in the middle of a statement whose user was removed."""
        self.login_settings = boot.login
        self.greetings = Greetings(boot.login)
        self.tls_context = boot.tls
        self.perf_counter = perf_counter
        self.admission = Admission(self)
        self.inactivity = Inactivity(self)
        self.parking = Parking(self, boot.config.router.park_after_s)
        self.draining = False
        """It ends: by order, or since a successor takes over. (`drain`: it stays, and only its clients leave.)"""
        self.drain = Draining(self)
        self.listener: Listener | None = None
        self.beat: Beat | None = None
        """None until it serves."""
        self.server: dict[str, Any] = {}
        """What the MySQL behind said of itself (WELCOME): version, flavour, variables, collations."""
        self._interned: dict[Any, Any] = {}
        self.next_id = 0
        self._foreign_ids: frozenset[int] = frozenset()
        self._inherits = bool(tag & 1)
        """It accepts no one before it knows which ids its predecessor has given out."""
        self._receiver: Receiver | None = None
        self.departure = Departure(self)
        self.sequences = Sequences(self)
        self.verified = Verified()
        self.run_as_binary = run_as_binary
        self.run_several = run_several
        self.adopt = adopt
        self.started_s = perf_counter()
        self._identity = f"{self.name}.{os.getpid()}"
        self._stopped = asyncio.Event()
        self._tasks: set[asyncio.Task[None]] = set()
        self.parent = Parent(self, self._identity)
        self.ask = self.parent.ask
        planning = Planning(self)
        self.plan_of, self.planned = planning.plan_of, planning.planned
        self.runner_of, self.run_spread = planning.runner_of, planning.run_spread

    # ---- sessions

    @property
    def accounts(self) -> Accounts:
        return self.rights.accounts

    def restore_charset(self, session: Session) -> None:
        """The settings that follow from the character set the client logged in with."""
        initial_charset_settings(session, session.connection.charset)

    def transaction_mode(self, session: Session) -> str:
        """`single` or `multi`."""
        own = session.variables.get("transaction_mode") if session.variables else None
        return own or self.boot.config.router.transaction_mode

    def intern(self, text: AnyStr) -> AnyStr:
        """One object for equal texts: sessions share them."""
        found: AnyStr | None = self._interned.get(text)
        if found is None:
            if len(self._interned) >= MAX_INTERNED:
                self._interned.clear()
            found = self._interned[text] = text
        return found

    # ---- connections

    def take_id(self) -> int:
        """A connection id that names its worker: slot in the upper half, a counter in the lower."""
        while True:
            self.next_id = (self.next_id + 1) & 0xFFFF
            number = self.boot.number << 24 | self.slot << 16 | self.next_id
            if number not in self.connections and number not in self._foreign_ids and self.next_id:
                return number

    def inherit_ids(self, next_id: int, ids: list[int]) -> None:
        """The predecessor's ids: its clients come with them. Until its end none of them is given out here."""
        self.next_id = next_id
        self._foreign_ids = frozenset(ids)
        self.accept()

    def predecessor_ended(self) -> None:
        """No id is another's any more."""
        self._foreign_ids = frozenset()
        self.accept()

    def accept(self) -> None:
        """There is no predecessor, or it accepts no more: this worker does."""
        self._inherits = False
        if self.listener is not None and self.view is not None and not self.draining:
            self.listener.open()

    def logged_in(self, number: int) -> None:
        """The login is through: it is half open no more."""
        self.half_open.pop(number, None)
        if self.listener is not None and not self.draining:
            self.listener.open()

    def forget(self, number: int) -> None:
        """The connection is gone."""
        client = self.connections.pop(number, None)
        if client is not None:
            self.admission.leave(client)
        self.inactivity.forget(number)
        if number in self.half_open:
            self.logged_in(number)

    def spawn(self, steps: Coroutine[Any, Any, None]) -> None:
        """Runs `steps` in the background; the task is kept alive until it ends."""
        task = self.loop.create_task(steps)
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    # ---- the cluster

    def on_snapshot(self, snapshot: dict[str, Any]) -> None:
        try:
            self.view = build(snapshot, self.view, self._open_link, self.boot.config.router.plan_cache_bytes)
        except Exception as error:
            self.log.error(
                "snapshot %s is not usable, the last one stays: %s", snapshot.get("version"), error
            )
            return
        self._users_changed(snapshot.get("users", {}))
        self.login_settings = self.boot.login_to(self.view.server_version, self.accounts.decoys)
        self.greetings = Greetings(self.login_settings)
        self.known_logins.forget()
        self.admission.limits_changed()
        if self.listener is not None and not self.draining and not self._inherits:
            self.listener.open()
        self.parent.report()

    def _users_changed(self, live: dict[str, Any]) -> None:
        """What etcd says of users. Sessions of users that are gone end: the idle now, the others after their
        statement; a transaction is rolled back."""
        if not self.rights.renew(live):
            return
        gone = [
            client
            for client in self.connections.values()
            if client.session is not None and self.accounts.grants(client.session.user) is None
        ]
        self.rights.trust_nobody(bool(gone))
        for client in gone:
            if isinstance(client, Connection) and client.state != READY:
                self._leaving.add(client)
            else:
                assert client.session is not None
                client.refuse(fail("ACCOUNT_REMOVED", user=client.session.user))

    def _end_leaving(self) -> None:
        for client in list(self._leaving):
            if client.session is None or self.accounts.grants(client.session.user) is not None:
                self._leaving.discard(client)
            elif client.state == READY:
                self._leaving.discard(client)
                client.refuse(fail("ACCOUNT_REMOVED", user=client.session.user))

    def _open_link(self, keyspace: str, shard: str, endpoint: str) -> Link:
        return Link(self._identity, keyspace, shard, endpoint, self._dial, self.clock, self._on_server)

    def _on_server(self, link: Link) -> None:
        self.stir()
        if not self.server or link.server.get("version") == self.server.get("version"):
            self.server = link.server
        self.verified.clear()
        self.known_logins.forget()

    def _dial(self, link: Link) -> Dealer:
        self.stir()
        identity = f"{self._identity}.{link.keyspace}.{link.shard}.{link.incarnation}"
        return Dealer(
            self.loop,
            self.context,
            link.endpoint or f"inproc://no-tablet-yet.{identity}",  # nobody ever binds that
            identity.encode(),
            link.on_record,
            link.on_up,
            link.on_down,
        )

    def begin_draining(self) -> None:
        """Takes no new clients from now on."""
        self.draining = True
        if self.listener is not None:
            self.listener.close()

    # ---- life

    async def run(self, sock: socket.socket) -> None:
        """Serves until it is told to stop."""
        self.listener = Listener(self, sock)
        if self._inherits:
            self._receiver = Receiver(self, socket_path(self.boot.control, self.slot))
        self.loop.add_signal_handler(signal.SIGTERM, self.departure.drain, DRAIN_GRACE_S)
        self.loop.add_signal_handler(signal.SIGINT, lambda: None)
        self.beat = Beat(self.loop, self._tick, self._is_quiet, self._on_slow)
        await self._stopped.wait()
        self.beat.stop()
        self.listener.close()
        if self._receiver is not None:
            self._receiver.close()
        for connection in list(self.connections.values()):
            connection.close()

    def _tick(self, next_s: float) -> None:
        if self.view is not None:
            for keyspace in self.view.keyspaces.values():
                for link in keyspace.links:
                    link.tick(next_s)
        self._end_leaving()
        self._expire_logins(self.clock.now_s() - self.boot.config.router.login_timeout_s)
        self.parent.report()

    def _is_quiet(self) -> bool:
        """Whether nothing can need a tick, or change what a report says, but for what calls `stir`."""
        return not (
            self.active
            or self.half_open
            or self.transactions
            or self.draining
            or self.drain.active
            or self.parking.looks_on
            or self._leaving
        )

    def _on_slow(self, slow: bool) -> None:
        self.sockets.on_turn = self.stir if slow else None

    def stop(self) -> None:
        """Ends `run`."""
        self._stopped.set()

    @property
    def received(self) -> int:
        """Clients that came from the predecessor."""
        return self._receiver.received if self._receiver is not None else 0

    def stir(self) -> None:
        """Something happens in this worker."""
        if self.beat is not None:
            self.beat.stir()

    def _expire_logins(self, since_s: float) -> None:
        """Ends the logins that began before; the oldest come first."""
        expired: list[int] = []
        for number, began_s in self.half_open.items():
            if began_s >= since_s:
                break
            expired.append(number)
        for number in expired:
            client = self.connections.get(number)
            if isinstance(client, (Arrival, Connection)):
                client.login_expired()


def run(boot: Boot, slot: int, tag: int, sock: socket.socket) -> None:
    """The whole life of a worker process."""
    logging.basicConfig(
        level=logging.INFO, format=f"%(asctime)s %(levelname)s {boot.router}.{slot} %(message)s", force=True
    )

    async def main() -> None:
        await Worker(boot, slot, tag, asyncio.get_running_loop()).run(sock)

    try:
        uvloop.run(main())
    except SluiceError as error:
        logging.getLogger("router.worker").error("%s", error.message)
        raise SystemExit(1) from error
