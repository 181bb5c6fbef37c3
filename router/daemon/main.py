"""The router's main process: keeps the workers running, tells them of the cluster, shows what they report.

It serves no client itself. Everything a worker knows comes from here as a SNAPSHOT; everything that is shown of
workers and tablets (`/metrics`, `/debug/cluster`, the dashboard) is gathered here once a second.
"""

import asyncio
import contextlib
import logging
import os
import signal
import time
from functools import partial
from typing import Any, Final

import uvloop

from controlplane.topo import layout
from controlplane.topo.store import Store
from core.config import Config, parse_address
from core.forkserver import ForkServer
from core.http import HttpServer, Response
from core.limits import LimitTable
from core.limits.table import Rules
from core.rpc import messages as m
from core.rpc.messages import Record
from core.rpc.serving import Serving
from core.rpc.zeromq import make_context
from router.daemon.asking import Asking
from router.daemon.drained import Drained
from router.daemon.http_key import HttpKey
from router.daemon.metrics import prometheus
from router.daemon.snapshot import Topology
from router.daemon.sql_api import SqlApi
from router.daemon.succession import Succession
from router.daemon.tablet_watch import TabletWatch
from router.workers.admission import CONNECTIONS_SLOT
from router.workers.boot import Boot, column

RESTART_BACKOFF_S: Final = (0.0, 0.1, 0.5, 1.0, 2.0)
HEALTHY_AFTER_S: Final = 10.0
WATCHED: Final = (
    layout.KEYSPACES,
    layout.SHARDS,
    layout.TABLETS,
    layout.VSCHEMA,
    layout.LIMITS,
    layout.SHARES,
    layout.ROUTERS,
    layout.USERS,
)
TABLETS_TO_COME_S: Final = 5.0
"""After its start the router waits so long for every shard to have a tablet, before it serves those that have one."""
STOP_WAIT_S: Final = 10.0

log = logging.getLogger("router.main")


class WorkerState:
    """A slot of the router and the process in it."""

    __slots__ = ("failures", "generation", "identity", "name", "pid", "report", "slot", "started_s")

    def __init__(self, slot: int, name: str, generation: int = 0) -> None:
        self.slot = slot
        self.generation = generation
        """Raised by each restart in order, not by a respawn."""
        self.name = name
        self.pid = 0
        self.identity = b""
        self.report: dict[str, Any] = {}
        self.failures = 0
        self.started_s = 0.0

    @property
    def state(self) -> str:
        if not self.pid:
            return m.DEAD
        return str(self.report.get("state", m.STARTING))


class RouterMain:
    def __init__(self, config: Config, boot: Boot, forks: ForkServer, worker_count: int) -> None:
        self.config = config
        self.boot = boot
        self.forks = forks
        self.loop = asyncio.get_running_loop()
        self.workers = {slot: WorkerState(slot, f"{boot.router}.{slot}") for slot in range(worker_count)}
        self.successors: dict[int, WorkerState] = {}
        """Forked, but not serving yet: the old worker is still in `workers`."""
        self.succession = Succession(self)
        self.started = time.time()
        self.stopping = False
        self.stopped = asyncio.Event()
        self.context = make_context()
        self.serving = Serving(self.loop, self.context, boot.control, self._on_record, self._on_unreachable)
        self.asking = Asking(self.serving)
        self.ask = self.asking.ask
        self.topology = Topology(boot.router, boot.counters, self._publish, config.users)
        self.tablets = TabletWatch(self.loop, self.context, boot.router)
        self.sql = SqlApi(self)
        self.http = HttpServer(
            {
                "/metrics": lambda _: Response.text(prometheus(self.describe())),
                "/healthz": lambda _: self._healthz(),
                "/debug/cluster": lambda _: Response.json(self.describe()),
            },
            self.sql,
        )
        self.drained = Drained(config, boot.router)
        """What the workers were told, for those to come."""
        self._early: dict[int, bytes] = {}
        """By pid: workers that spoke before the fork server had told of them (it may be slower than its child)."""
        self.store: Store | None = None

    # ---- life

    async def run(self) -> int:
        host, port = parse_address(self.config.router.http, "[router] http")
        try:
            await self.http.start(host, port)
        except OSError as error:
            log.error("[router] http %s cannot be opened: %s", self.config.router.http, error.strerror)
            self.forks.stop()
            return 1
        self.loop.add_signal_handler(signal.SIGTERM, self.stop)
        self.loop.add_signal_handler(signal.SIGINT, self.stop)
        self.loop.add_signal_handler(signal.SIGUSR2, self.succession.begin)
        self.loop.add_reader(self.forks.control.fileno(), self._on_fork_events)
        store = self.store = Store.connect(self.config.etcd.endpoints, self.config.cluster.name)
        for prefix in WATCHED:
            store.watch(prefix, partial(self.topology.on_change, prefix))
        key = HttpKey(store, self.topology)
        store.watch(layout.SECRETS, key.on_change)
        registration = store.hold(layout.router(self.boot.router), self._registration())
        self.loop.call_later(TABLETS_TO_COME_S, self.topology.allow_partial)
        for slot in self.workers:
            self.forks.spawn(slot)
        ticker = self.loop.create_task(self._tick(registration))
        await self.stopped.wait()
        ticker.cancel()
        key.close()
        await self.http.close()
        await store.close()
        self.tablets.close()
        self.serving.close()
        return 0

    def stop(self) -> None:
        """Drains the workers, then ends."""
        if self.stopping:
            return
        self.stopping = True
        for worker in self.processes():
            if worker.pid:
                with contextlib.suppress(ProcessLookupError):
                    os.kill(worker.pid, signal.SIGTERM)
        self.loop.create_task(self._wait_for_workers())

    async def _wait_for_workers(self) -> None:
        deadline = self.loop.time() + STOP_WAIT_S
        while any(w.pid for w in self.processes()) and self.loop.time() < deadline:  # noqa: ASYNC110
            await asyncio.sleep(0.05)
        self.loop.remove_reader(self.forks.control.fileno())
        self.forks.stop()
        self.stopped.set()

    async def _tick(self, registration: Any) -> None:
        while True:
            await asyncio.sleep(1.0)
            registration.update(self._registration())
            self.tablets.tick()

    def _registration(self) -> dict[str, Any]:
        return {
            "id": self.boot.router,
            "number": self.boot.number,
            "mysql": self.config.router.mysql,
            "http": self.config.router.http,
            "pid": os.getpid(),
            "host": os.uname().nodename,
            "state": self.state,
            "demand": self._demand(),
        }

    def _demand(self) -> dict[str, dict[str, int]]:
        """What this router uses, and would use, of each limit: the leader divides limits among routers by it."""
        demand: dict[str, dict[str, int]] = {}
        for rule in self._rules():
            wanted = self.boot.counters.total(rule.slot)
            if rule.queue_slot:
                wanted += self.boot.counters.total(rule.queue_slot)
            demand.setdefault(str(rule.scope), {})[rule.key] = wanted
        return demand

    def _rules(self) -> Rules:
        snapshot = self.topology.snapshot
        return LimitTable.from_snapshot(snapshot["limits"]).rules if snapshot is not None else ()

    @property
    def state(self) -> str:
        if self.stopping or self.drained.order is not None:
            return m.DRAINING
        ready = [w for w in self.workers.values() if w.state == m.SERVING]
        return m.SERVING if len(ready) == len(self.workers) else m.STARTING if not ready else m.SERVING

    # ---- workers

    def _on_fork_events(self) -> None:
        for kind, slot, pid, status in self.forks.events():
            if kind == "started":
                successor = self.successors.get(slot)
                worker = successor if successor is not None and not successor.pid else self.workers[slot]
                worker.pid = pid
                worker.started_s = self.loop.time()
                worker.report = {}
                if pid in self._early:
                    self._attach(worker, self._early.pop(pid))
            elif kind == "exited":
                self._early.pop(pid, None)
                self._on_exit(slot, pid, status)
            elif kind == "gone":
                self.loop.remove_reader(self.forks.control.fileno())
                if not self.stopping:
                    log.error("the fork server ended; this router cannot start workers any more and stops")
                for worker in self.processes():
                    worker.pid = 0
                self.stopped.set()

    def processes(self) -> list[WorkerState]:
        """All worker processes: those in charge, those to come and those that go."""
        return [*self.workers.values(), *self.successors.values(), *self.succession.retiring.values()]

    def successor_of(self, old: WorkerState) -> WorkerState:
        """A place for the next process in the slot; the caller has it forked."""
        found = self.successors[old.slot] = WorkerState(old.slot, old.name, old.generation + 1)
        return found

    def give_up(self, successor: WorkerState) -> None:
        """It did not come to serve: ends it."""
        if successor.pid:
            with contextlib.suppress(ProcessLookupError):
                os.kill(successor.pid, signal.SIGKILL)
        else:
            self.successors.pop(successor.slot, None)

    def _on_exit(self, slot: int, pid: int, status: int) -> None:
        retired = self.succession.exited(pid)
        if retired is not None:
            self._gone(retired)
            if status:
                log.warning(
                    "worker %s (pid %d) ended with status %d while it gave over", retired.name, pid, status
                )
            return
        successor = self.successors.get(slot)
        if successor is not None and successor.pid == pid:
            del self.successors[slot]
            self._gone(successor)
            return
        self._on_worker_exit(self.workers[slot], pid, status)

    def _gone(self, worker: WorkerState) -> None:
        worker.pid = 0
        self.boot.counters.clear_worker(column(worker.slot, worker.generation))
        if worker.identity:
            self.tablets.peer_gone(worker.identity.decode())
            self.asking.gone(worker.identity)
            worker.identity = b""

    def _on_worker_exit(self, worker: WorkerState, pid: int, status: int) -> None:
        self._gone(worker)
        if self.stopping:
            return
        lived_s = self.loop.time() - worker.started_s
        worker.failures = 0 if lived_s > HEALTHY_AFTER_S else worker.failures + 1
        pause = RESTART_BACKOFF_S[min(worker.failures, len(RESTART_BACKOFF_S) - 1)]
        log.warning(
            "worker %s (pid %d) ended with status %d; restart in %.1f s", worker.name, pid, status, pause
        )
        self.loop.call_later(pause, self._respawn, worker.slot)

    def _respawn(self, slot: int) -> None:
        """In place of one that died. Where its predecessor is still giving over, it inherits from that one."""
        if self.stopping:
            return
        generation = self.workers[slot].generation
        inherits = any(worker.slot == slot for worker in self.succession.retiring.values())
        self.forks.spawn(slot, 2 * generation + inherits)

    def _on_record(self, identity: bytes, record: Record) -> None:
        kind = record[0]
        if kind == m.ATTACH:
            worker = next((w for w in self.processes() if w.pid == record[2]), None)
            if worker is not None:
                self._attach(worker, identity)
            else:
                self._early[record[2]] = identity
        elif kind == m.REPORT:
            worker = next((w for w in self.processes() if w.identity == identity), None)
            if worker is not None:
                worker.report = record[2]
        elif kind == m.ANSWER:
            self.asking.answered(record[1], record[2])
        elif kind == m.ASK:
            if record[2] == "drain":
                self.drained.begin(record[3])
            elif record[2] == "undrain":
                self.drained.end()
            self.loop.create_task(self._relay(identity, record[1], record[2], record[3]))

    def _attach(self, worker: WorkerState, identity: bytes) -> None:
        worker.identity = identity
        if self.drained.order is not None:
            self.loop.create_task(self.ask(identity, "drain", self.drained.order))
        if self.topology.snapshot is not None:
            self.serving.send(identity, (m.SNAPSHOT, self.topology.version, self.topology.snapshot))

    def _on_unreachable(self, identity: bytes) -> None:
        log.info("worker %s is not reachable", identity.decode("utf-8", "replace"))

    async def _relay(self, asker: bytes, request: int, what: str, values: dict[str, Any]) -> None:
        """A worker's question to all workers: their answers as one."""
        answers = await asyncio.gather(
            *(self.ask(w.identity, what, values) for w in self.processes() if w.identity)
        )
        self.serving.send(asker, (m.ANSWER, request, {"answers": answers}))

    # ---- the cluster

    def _publish(self) -> None:
        """The topology changed: every worker hears of it."""
        snapshot = self.topology.snapshot
        if snapshot is None:
            return
        for worker in self.processes():
            if worker.identity:
                self.serving.send(worker.identity, (m.SNAPSHOT, self.topology.version, snapshot))
        self.tablets.follow(self.topology.tablets)

    def describe(self) -> dict[str, Any]:
        """Everything this router knows: itself, its workers, the tablets, the limits."""
        return {
            "cluster": self.config.cluster.name,
            "router": {
                "id": self.boot.router,
                "pid": os.getpid(),
                "mysql": self.config.router.mysql,
                "http": self.config.router.http,
                "state": self.state,
                "uptime_s": time.time() - self.started,
                "topology_version": self.topology.version,
                "etcd": self.store.answers if self.store is not None else False,
                "max_connections": self.config.router.max_connections,
                "clients": self.boot.counters.total(CONNECTIONS_SLOT),
                "http_requests": self.sql.requests,
            },
            "workers": [
                {"name": w.name, "state": w.state, **w.report, "pid": w.pid} for w in self.workers.values()
            ],
            "restart": self.succession.describe(),
            "tablets": self.tablets.describe(),
            "limits": [
                {
                    "scope": str(rule.scope),
                    "key": rule.key,
                    "limit": rule.limit,
                    "share": rule.share,
                    "used": self.boot.counters.total(rule.slot),
                    "waiting": self.boot.counters.total(rule.queue_slot) if rule.queue_slot else 0,
                    "dry_run": rule.dry_run,
                }
                for rule in self._rules()
            ],
        }

    def _healthz(self) -> Response:
        ready = self.topology.snapshot is not None and self._all_know()
        if ready and self.state == m.SERVING:
            return Response.text("ok\n", 200)
        return Response.text(f"{self.state if ready or self.stopping else m.STARTING}\n", 503)

    def _all_know(self) -> bool:
        return all(w.report.get("view", 0) > 0 for w in self.workers.values() if w.pid)


def run(config: Config, boot: Boot, forks: ForkServer, worker_count: int) -> int:
    """Runs the main process until it is told to stop; the exit status."""

    async def main() -> int:
        return await RouterMain(config, boot, forks, worker_count).run()

    return uvloop.run(main())
