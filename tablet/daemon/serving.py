"""Records in and out: which peers there are, whether they live, and which record goes where.

A peer is one DEALER of a router worker (or another asker). It says HELLO first; anything else from a stranger is
answered with REFUSED, so that a worker which outlived an earlier tablet starts anew. WELCOME waits until the MySQL
behind was reached once, since it says which server that is. A peer that is silent for PEER_SILENT_S after the time by
which it said it would speak, cannot be reached, or is said to be gone, loses everything it holds here.

Invariant: what was asked before this process stood still (SIGSTOP, a frozen machine) is not done after it: whoever
asked has been told that the tablet is lost, and may have looked already what became of it.
"""

import asyncio
import logging
import os
from collections.abc import Callable
from typing import Any, Final

from core.clock import Clock
from core.errors import fail
from core.rpc.messages import (
    CANCEL,
    CREDIT,
    EXECUTE,
    FAIL,
    FILE,
    FORM,
    FREE,
    HELLO,
    PEER_GONE,
    PING,
    PONG,
    PREPARE,
    REFUSED,
    RUN,
    STATE,
    STATS,
    STATS_REPLY,
    VERSION,
    WELCOME,
    Record,
)
from core.rpc.serving import Serving
from tablet.statements.execution import Execution
from tablet.statements.form import Form
from tablet.statements.statement import Statement
from tablet.stats import rss_bytes

PEER_SILENT_S: Final = 4.0
ASLEEP_S: Final = 4.0
"""A tablet that did nothing for so long has been given up by every worker that waits for it: they ask each second, and
wait 3 s for the answer."""
PROMISE_S: Final = 1.0
"""By when a peer speaks again that has not said so."""
MAX_PROMISE_S: Final = 60.0

log = logging.getLogger("sluice.tablet")


Send = Callable[[bytes, tuple[Any, ...]], None]


class Peer:
    """One DEALER."""

    __slots__ = (
        "_send",
        "_send_patiently",
        "forms",
        "gone",
        "heard",
        "identity",
        "name",
        "promise_s",
        "silent_from_s",
        "statements",
        "welcomed",
    )

    def __init__(self, identity: bytes, name: str, send: Send, send_patiently: Send, now_s: float) -> None:
        self.identity = identity
        self.name = name
        self.statements: dict[int, Statement] = {}
        self.forms: dict[int, Form] = {}
        """What its FORMs said; the numbers are bounded."""
        self.heard = True
        self.promise_s = PROMISE_S
        """Within that it speaks again: a router without anything to do does so seldom."""
        self.silent_from_s = now_s + PROMISE_S
        self.gone = False
        self.welcomed = False
        self._send = send
        self._send_patiently = send_patiently

    def send(self, record: tuple[Any, ...]) -> None:
        if not self.gone:
            self._send(self.identity, record)

    def send_patiently(self, record: tuple[Any, ...]) -> None:
        if not self.gone:
            self._send_patiently(self.identity, record)


class Service:
    """The tablet's face: hand `on_record` and `on_unreachable` to a `Serving`, then `attach` it."""

    def __init__(
        self, clock: Clock, execution: Execution, alias: str, keyspace: str, shard: str, state: str
    ) -> None:
        self._clock = clock
        self._execution = execution
        self._alias = alias
        self._keyspace = keyspace
        self._shard = shard
        self._serving: Serving | None = None
        self._peers: dict[bytes, Peer] = {}
        self._server_known = False
        self._awake_s = clock.now_s()
        """When this process last did something."""
        self.state = state

    def attach(self, serving: Serving) -> None:
        self._serving = serving
        serving.before_work = self._execution.pool.before_data = self.awake

    def awake(self) -> None:
        """Called before records are read, before anything that MySQL says, and at least once a second: nothing that was
        asked before the process stood still is begun after it."""
        now_s = self._clock.now_s()
        asleep_s, self._awake_s = now_s - self._awake_s, now_s
        if asleep_s >= ASLEEP_S:
            for peer in list(self._peers.values()):
                self._forget(peer, f"this tablet stood still for {asleep_s:.1f} s")

    def set_state(self, state: str) -> None:
        """Tells every peer."""
        if state == self.state:
            return
        self.state = state
        for peer in self._peers.values():
            if peer.welcomed:
                peer.send((STATE, state))

    @property
    def peers(self) -> int:
        return len(self._peers)

    # -- records

    def on_record(self, identity: bytes, record: Record) -> None:
        """From the transport. A record that cannot be understood never takes the others of its frame with it."""
        peer = self._peers.get(identity)
        try:
            kind = record[0]
            if peer is None:
                self._on_stranger(identity, kind, record)
                return
            peer.heard = True
            if kind == RUN:
                self._execution.run(peer, record)
            elif kind == EXECUTE:
                self._execution.execute(peer, record)
            elif kind == CREDIT:
                self._execution.credit(peer, record[1], record[2])
            elif kind == PING:
                self._on_ping(peer, record)
            else:
                self._on_other(peer, kind, record)
        except Exception:
            log.exception("record %r of %s", record[:2], identity)
            self._answer_broken(peer, record)

    def _on_other(self, peer: Peer, kind: int, record: Record) -> None:
        execution = self._execution
        if kind == CANCEL:
            execution.cancel(peer, record[1])
        elif kind == FORM:
            execution.form(peer, record)
        elif kind == FILE:
            execution.file_data(peer, record[1], record[2])
        elif kind == FREE:
            execution.free_handle(peer, record[1])
        elif kind == PREPARE:
            execution.prepare(peer, record)
        elif kind == STATS:
            peer.send((STATS_REPLY, record[1], self.stats()))
        elif kind == PEER_GONE:
            for other in list(self._peers.values()):
                if other.name == record[1]:
                    self._forget(other, "its parent says so")
        elif kind == HELLO:
            self._forget(peer, "it said HELLO anew")
            self._on_stranger(peer.identity, kind, record)
        else:
            log.warning("record of unknown kind %s from %s", kind, peer.name)

    def _on_stranger(self, identity: bytes, kind: int, record: Record) -> None:
        assert self._serving is not None
        if kind != HELLO:
            self._serving.send(identity, (REFUSED, "say HELLO first"))
            return
        if record[1] != VERSION:
            reason = f"this tablet speaks version {VERSION} of the protocol, not {record[1]}"
            self._serving.send(identity, (REFUSED, reason))
            return
        peer = Peer(
            identity, record[2], self._serving.send, self._serving.send_patiently, self._clock.now_s()
        )
        self._peers[identity] = peer
        log.info("peer %s is here", peer.name)
        if self._server_known:
            self._welcome(peer)

    def server_known(self) -> None:
        """The tablet knows its MySQL now, and serves: welcomes those who said HELLO too early to be told of it.

        The admin lane's own `info` comes in parts, before the pool serves."""
        self._server_known = True
        for peer in self._peers.values():
            if not peer.welcomed:
                self._welcome(peer)

    def _welcome(self, peer: Peer) -> None:
        info = self._execution.admin.info
        assert info is not None
        peer.welcomed = True
        server = {
            "version": info.version,
            "flavour": info.flavour,
            "comment": info.comment,
            "collation": info.collation,
            "max_connections": info.max_connections,
            "database": self._execution.pool.database,
            "variables": info.variables,
            "collations": info.collations,
        }
        who = (self._alias, self._keyspace, self._shard, "PRIMARY")
        peer.send((WELCOME, VERSION, *who, self._clock_ms(), server, self.state))

    def _on_ping(self, peer: Peer, record: Record) -> None:
        pool = self._execution.pool
        peer.promise_s = min(record[2] / 1000, MAX_PROMISE_S) if len(record) > 2 else PROMISE_S
        peer.send((PONG, record[1], self._clock_ms(), self.state, pool.in_use, pool.queue.waiting))

    def _answer_broken(self, peer: Peer | None, record: Record) -> None:
        if peer is None or len(record) < 2 or record[0] not in (RUN, EXECUTE, PREPARE, STATS):
            return
        error = fail("UNKNOWN_ERROR", message="the tablet could not handle this request; see its log")
        statement = peer.statements.get(record[1])
        if statement is not None:
            statement.fail(error)
        else:
            peer.send((FAIL, record[1], error.number, error.sqlstate, error.message, 0))

    def _clock_ms(self) -> int:
        return int(self._clock.now_s() * 1000)

    # -- peers that go

    def on_unreachable(self, identity: bytes) -> None:
        """From the transport: something could not be delivered."""
        peer = self._peers.get(identity)
        if peer is not None:
            asyncio.get_running_loop().call_soon(self._forget, peer, "it cannot be reached")

    def sweep(self) -> None:
        """Forgets peers that are silent. Call it about once a second."""
        self.awake()
        now_s = self._clock.now_s()
        for peer in list(self._peers.values()):
            if peer.heard:
                peer.heard = False
                peer.silent_from_s = now_s + peer.promise_s
            elif now_s - peer.silent_from_s >= PEER_SILENT_S:
                self._forget(peer, f"silent for {PEER_SILENT_S + peer.promise_s:g} s")

    def _forget(self, peer: Peer, reason: str) -> None:
        if peer.gone:
            return
        peer.gone = True
        if self._peers.get(peer.identity) is peer:
            del self._peers[peer.identity]
        log.info("peer %s is gone: %s", peer.name, reason)
        self._execution.peer_gone(peer)

    def stats(self) -> dict[str, Any]:
        """What STATS answers."""
        execution = self._execution
        return {
            **execution.stats_dict(),
            "alias": self._alias,
            "keyspace": self._keyspace,
            "shard": self._shard,
            "state": self.state,
            "pid": os.getpid(),
            "peers": len(self._peers),
            "uptime_s": execution.now() - execution.stats.started_s,
            "rss_bytes": rss_bytes(),
        }
