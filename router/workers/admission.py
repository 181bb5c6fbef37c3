"""Limits that the router holds: clients over all workers, and the live limits on connections and concurrency.

Counts are shared by all workers of this router (`core.limits.SharedCounters`), so that a limit of 10 is 10 and not
10 a worker. Without limits a statement pays one attribute test.

Invariants: a connection holds its claims from the login until it is forgotten; a statement from `enter` until `leave`.
"""

import asyncio
from typing import TYPE_CHECKING, Final, TypeAlias

from core.errors import SluiceError, fail
from core.limits import Gate
from core.limits.gate import TICK_S, Waiter
from core.limits.table import Rules

if TYPE_CHECKING:
    from router.clients.arrival import Arrival
    from router.clients.connection import Connection
    from router.clients.parked import Parked
    from router.sessions.session import Session
    from router.workers.worker import Worker

    Client: TypeAlias = Connection | Parked | Arrival

CONNECTIONS_SLOT: Final = 0
"""The row of the shared counters that counts clients against max_connections."""


class Admission:
    """What this worker has claimed of the shared counters."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self.gate = Gate(worker.boot.counters, worker.column, worker.clock)
        self.limits_queries = False
        """False: statements need not ask."""
        self._ticking = False

    # ---- connections

    def admit(self, client: "Client", user: str, keyspace: str, shard: str) -> None:
        """Counts a client in; what it counts against is kept in its `claims`. Raises TOO_MANY_CONNECTIONS,
        USER_LIMIT or LIMIT_CONNECTIONS; then it is not."""
        worker = self._worker
        counters, slot = worker.boot.counters, worker.column
        limit = worker.boot.config.router.max_connections
        if not counters.claim(CONNECTIONS_SLOT, slot, limit):
            raise fail("TOO_MANY_CONNECTIONS", used=limit, limit=limit)
        rules = self._login_rules(user, keyspace, shard)
        try:
            self.gate.login(rules)
        except SluiceError:
            counters.release(CONNECTIONS_SLOT, slot)
            raise
        client.claims = rules

    def adopt(self, client: "Client", user: str, keyspace: str, shard: str) -> None:
        """As `admit`, for a client that was admitted by the worker before this one: never refused."""
        self._worker.boot.counters.force(CONNECTIONS_SLOT, self._worker.column)
        client.claims = self._login_rules(user, keyspace, shard)
        self.gate.recount((), client.claims)

    def move(self, client: "Client", user: str, keyspace: str, shard: str) -> None:
        """The client changed its database or user. Raises as `admit`; then nothing has changed."""
        held = client.claims
        if held is not None:
            rules = self._login_rules(user, keyspace, shard)
            if rules != held:
                self.gate.move(held, rules)
                client.claims = rules

    def leave(self, client: "Client") -> None:
        """Counts a client out; nothing where it was never in."""
        rules, client.claims = client.claims, None
        if rules is not None:
            self._worker.boot.counters.release(CONNECTIONS_SLOT, self._worker.column)
            self.gate.leave(rules)

    def _login_rules(self, user: str, keyspace: str, shard: str) -> Rules:
        view = self._worker.view
        return view.limits.for_login(user, keyspace, shard) if view is not None else ()

    def limits_changed(self) -> None:
        """A new view: what is open counts against its limits too."""
        view = self._worker.view
        assert view is not None
        self.limits_queries = view.limits.limits_queries
        self.gate.renew(view.limits)
        for client in list(self._worker.connections.values()):
            held, session = client.claims, client.session
            if session is None or held is None:
                continue
            rules = self._login_rules(session.user, session.keyspace, session.shard)
            if rules != held:
                self.gate.recount(held, rules)
                client.claims = rules

    # ---- statements

    async def enter(self, session: "Session", keyspace: str, shards: tuple[str, ...]) -> None:
        """Claims for a statement, waiting where its limit lets it wait. Raises SluiceError. `Session.leave_limits`
        gives the claims back."""
        view = self._worker.view
        if view is None or session.rules:
            return
        rules = view.limits.for_query(session.user, keyspace, shards)
        if not rules:
            return
        turn: asyncio.Future[None] = self._worker.loop.create_future()

        # the rules may be others by the time of the turn (a new view): what was claimed is what the waiter says then
        def answer(refusal: SluiceError | None) -> None:
            if turn.done():
                if refusal is None and waiter is not None:
                    self.gate.leave(waiter.rules)
            elif refusal is not None:
                turn.set_exception(refusal)
            else:
                turn.set_result(None)

        waiter = self.gate.enter(rules, answer)
        if waiter is not None:
            await self._wait(waiter, turn)
            rules = waiter.rules
        session.rules = rules

    async def _wait(self, waiter: Waiter, turn: "asyncio.Future[None]") -> None:
        if not self._ticking:
            self._ticking = True
            self._worker.loop.call_later(TICK_S, self._tick)
        try:
            await turn
        except asyncio.CancelledError:
            if not self.gate.forget(waiter) and turn.done() and not turn.cancelled() and not turn.exception():
                self.gate.leave(waiter.rules)
            raise

    def _tick(self) -> None:
        self.gate.tick()
        if self.gate.waiting:
            self._worker.loop.call_later(TICK_S, self._tick)
        else:
            self._ticking = False
