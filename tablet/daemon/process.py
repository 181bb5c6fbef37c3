"""One tablet as a process: what is started in which order, its states, and how it ends.

state         means                                         goes to
STARTING      MySQL was not reached yet, or another tablet  SERVING; exit 1 if MySQL's limits are too low
              serves it
SERVING       -                                             NOT_SERVING when the admin lane is lost; DRAINING
NOT_SERVING   MySQL is down: requests fail at once          SERVING as soon as MySQL answers; DRAINING
DRAINING      SIGTERM came: running work may finish         the end, DRAIN_S later at most
any           another tablet has taken this one's place     exit 1, at once
"""

import asyncio
import logging
import os
import signal
from dataclasses import dataclass, replace
from typing import Final

from core.clock import MonotonicClock
from core.config import Config, Dsn
from core.rpc.messages import DRAINING, NOT_SERVING, SERVING, STARTING
from core.rpc.serving import Serving, flushed
from core.rpc.zeromq import make_context
from core.tasks import end
from tablet.backend.admin import AdminLane
from tablet.backend.ownership import NOT_OURS, claim_endpoint
from tablet.backend.server import ServerInfo
from tablet.daemon.leftover import Leftover
from tablet.daemon.registration import Registration, record
from tablet.daemon.serving import Service
from tablet.statements.execution import Execution

DRAIN_S: Final = 5.0
CLOSE_S: Final = 3.0
SWEEP_S: Final = 0.05
SLOW_SWEEP_S: Final = 1.0
"""So often come those that need no hurry, and all while nothing runs, waits or is held."""

ACCESS_DENIED: Final = frozenset({1044, 1045, 1049, 1698})
"""What no waiting cures: wrong account or no such database."""

log = logging.getLogger("sluice.tablet")


class StartError(Exception):
    """The tablet cannot serve this MySQL; the message names what to change."""


@dataclass(frozen=True, slots=True)
class Identity:
    """Which tablet this is."""

    keyspace: str
    shard: str
    alias: str
    endpoint: str


class TabletProcess:
    """`await TabletProcess(...).run()` returns after SIGTERM; StartError where it cannot start."""

    def __init__(self, config: Config, dsn: Dsn, identity: Identity, etcd: tuple[str, ...]) -> None:
        dsn = replace(dsn, caller=identity.alias)
        self._config = config
        self._dsn = dsn
        self._identity = identity
        self._etcd = etcd
        self._stop = asyncio.Event()
        self._refused: StartError | None = None
        self._registration: Registration | None = None
        clock = MonotonicClock()
        database = dsn.database or identity.keyspace
        self._taking_over: asyncio.Task[None] | None = None
        self._admin = AdminLane(
            clock,
            dsn,
            database,
            self._up,
            self._down,
            on_rival=lambda thread: self._replaced(f"thread {thread} of MySQL"),
            on_left=lambda thread, incarnation: self._execution.pool.keep_place(thread, incarnation),
            may_log_in=self._may_log_in,
        )
        self._execution = Execution(
            asyncio.get_running_loop(),
            clock,
            config.tablet,
            dsn,
            identity.keyspace,
            identity.shard,
            self._admin,
        )
        self._leftover = Leftover(
            asyncio.get_running_loop(), self._admin, self._execution.pool, self._execution.epochs
        )
        self._service = Service(
            clock, self._execution, identity.alias, identity.keyspace, identity.shard, STARTING
        )

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stop.set)
        identity = self._identity
        try:
            locked = await claim_endpoint(identity.endpoint)
        except OSError as error:
            raise StartError(f"cannot listen on {identity.endpoint}: {error}") from None
        context = make_context()
        try:
            serving = Serving(
                loop, context, identity.endpoint, self._service.on_record, self._service.on_unreachable
            )
        except Exception as error:
            context.term()
            raise StartError(f"cannot listen on {identity.endpoint}: {error}") from None
        self._service.attach(serving)
        sweeper = loop.create_task(self._sweep())
        try:
            if self._etcd:
                value = record(
                    identity.alias, identity.keyspace, identity.shard, serving.endpoint, STARTING, ""
                )
                self._registration = Registration(
                    self._etcd, self._config.cluster.name, identity.alias, value
                )
                self._publish()
            self._admin.start()
            log.info("tablet %s listens on %s", identity.alias, serving.endpoint)
            await self._stop.wait()
            if self._refused is None:
                await self._drain(serving)
        finally:
            await end(sweeper, self._taking_over)
            await self._execution.pool.stop(CLOSE_S)
            await self._admin.stop()
            if self._registration is not None:
                await self._registration.close()
            serving.close()
            context.term()
            if locked >= 0:
                os.close(locked)
        if self._refused is not None:
            raise self._refused

    # -- states

    def _up(self, info: ServerInfo) -> None:
        pool_size = self._config.tablet.pool_size
        if info.max_connections < pool_size + 1:
            self._refused = StartError(
                f"[tablet] pool_size = {pool_size} needs max_connections of at least {pool_size + 1} on the MySQL "
                f"of {self._identity.keyspace}/{self._identity.shard}, which has {info.max_connections}: "
                f"raise max_connections there, or set pool_size to {info.max_connections - 1} or less"
            )
            self._stop.set()
            return
        log.info("MySQL %s is up, max_connections %d", info.version, info.max_connections)
        if self._service.state != STARTING:
            self._serve(info)
        elif self._taking_over is None or self._taking_over.done():
            self._taking_over = asyncio.get_running_loop().create_task(self._take_over(info))

    async def _take_over(self, info: ServerInfo) -> None:
        """The MySQL is ours: what an earlier tablet has left there is counted, and ended where it surely is one's."""
        named: list[int] = []
        if self._registration is not None:
            self._registration.own()
            named = await self._registration.threads.left(self._admin.started_s)
        self._leftover.find(named, lambda: self._serve(info))

    async def _may_log_in(self) -> None:
        registration = self._registration
        if registration is None:
            return
        if self._service.state == STARTING:
            await registration.others_gone()
        elif rival := await registration.rival():
            self._replaced(rival)
            await asyncio.Event().wait()

    def _replaced(self, rival: str) -> None:
        """Another tablet has our MySQL: whatever we have there is not ours any more."""
        self._refused = StartError(
            f"{rival} has taken over {self._identity.keyspace}/{self._identity.shard}; this tablet ends"
        )
        self._stop.set()

    def _serve(self, info: ServerInfo) -> None:
        execution = self._execution
        execution.base_collation = info.collation
        execution.programs.forget(mariadb=info.flavour == "mariadb", variables=info.variables)

        def looked() -> None:
            if execution.admin.up:  # else MySQL is gone again
                self._open(execution)

        execution.programs.look(looked)

    def _open(self, execution: Execution) -> None:
        execution.stats.down_reason = ""
        if not self._stop.is_set():
            self._service.set_state(SERVING)
            self._publish()
        execution.pool.failed_over(serving=True)
        self._service.server_known()

    def _down(self, number: int, reason: str) -> None:
        execution = self._execution
        text = reason if number == NOT_OURS else f"MySQL is not reachable: {reason} ({number})"
        if execution.stats.down_reason != text:
            log.warning("%s", text)
            execution.stats.note_error(number, text)
        execution.stats.down_reason = text
        if self._service.state == STARTING and number in ACCESS_DENIED:
            self._refused = StartError(
                f"the MySQL of {self._identity.keyspace}/{self._identity.shard} refuses the tablet: {reason} "
                f"({number}); check the user, password and database of its DSN"
            )
            self._stop.set()
            return
        execution.pool.failed_over(serving=False)
        if self._service.state == SERVING:
            self._service.set_state(NOT_SERVING)
            self._publish()

    def _publish(self) -> None:
        if self._registration is not None:
            info = self._admin.info
            self._registration.update(state=self._service.state, server_version=info.version if info else "")

    async def _drain(self, serving: Serving) -> None:
        log.info("draining")
        self._service.set_state(DRAINING)
        self._publish()
        self._execution.draining = True
        self._execution.pool.refuse_all(self._execution.pool.refusals.draining())
        loop = asyncio.get_running_loop()
        deadline_s = loop.time() + DRAIN_S
        while self._execution.busy and loop.time() < deadline_s:  # noqa: ASYNC110
            await asyncio.sleep(0.02)
        await flushed(serving)

    async def _sweep(self) -> None:
        execution = self._execution
        slow_s = execution.now()
        while True:
            if execution.at_rest:
                await self._rest(slow_s + SLOW_SWEEP_S - execution.now())
            else:
                await asyncio.sleep(SWEEP_S)
            try:
                execution.sweep()
                if execution.now() >= slow_s + SLOW_SWEEP_S:
                    slow_s = execution.now()
                    self._service.sweep()
                    execution.pool.shrink(slow_s)
                    self._note_threads()
            except Exception:
                log.exception("sweep")

    def _note_threads(self) -> None:
        if self._registration is not None and self._admin.up and self._service.state != STARTING:
            threads = {connection.thread_id for connection in self._execution.pool.connections}
            self._registration.threads.note(self._admin.started_s, threads | {self._admin.thread_id})

    async def _rest(self, most_s: float) -> None:
        """Until SWEEP_S after work has come, or `most_s` where none does."""
        woken = asyncio.Event()
        self._execution.on_work = woken.set
        try:
            await asyncio.wait_for(woken.wait(), max(most_s, SWEEP_S))
            await asyncio.sleep(SWEEP_S)
        except TimeoutError:
            pass
        finally:
            self._execution.on_work = None
