"""The supervisor of one cluster: starts everything in order, keeps it running, stops it in reverse order.

Invariants:
- One supervisor a data_dir: it holds the lock for its whole life.
- A start that fails, or is interrupted, stops everything it started and keeps all data.
- Whatever happens is in run/state.json before anybody is told of it.
"""

import asyncio
import fcntl
import hashlib
import os
import signal
import sys
import time
from collections.abc import Callable, Coroutine
from pathlib import Path
from typing import Any, Final, TypeVar

from cli import state as states
from cli.cluster import ports, probes, shard, specs
from cli.cluster.children import Children
from cli.cluster.preflight import Servers
from cli.cluster.specs import Shard
from cli.errors import CommandError, UsageError
from cli.layout import Layout, write_whole
from cli.state import ClusterState, Step
from cli.target import Target, copy_demo, write_effective
from controlplane.topo import layout as keys
from core.config import Config, parse_address
from core.process import identify

_T = TypeVar("_T")

SEED_S: Final = 30.0
_LOG_LINES: Final = 12


class Interrupted(CommandError):
    """Somebody asked to stop before everything served."""


def is_locked(layout: Layout) -> bool:
    """Whether a supervisor (or a clean-up after one) holds the data_dir's lock. Asking keeps nobody from it."""
    try:
        descriptor = os.open(layout.lock, os.O_RDONLY)
    except FileNotFoundError:
        return False
    except OSError as error:
        raise UsageError(f"[cluster] data_dir: {layout.lock} cannot be read: {error.strerror}") from None
    try:
        # Shared: two that ask at once do not take each other for a supervisor.
        fcntl.flock(descriptor, fcntl.LOCK_SH | fcntl.LOCK_NB)
    except BlockingIOError:
        return True
    finally:
        os.close(descriptor)
    return False


def take_lock(layout: Layout, patience_s: float = 0.0) -> int | None:
    """The descriptor that holds the data_dir's lock until it is closed; None where another process has it.

    `patience_s`: somebody may just be asking `is_locked`, which takes microseconds. Raises UsageError where this user
    cannot write there.
    """
    try:
        descriptor = os.open(layout.lock, os.O_RDWR | os.O_CREAT, 0o600)
    except OSError as error:
        raise UsageError(f"[cluster] data_dir: {layout.lock} cannot be written: {error.strerror}") from None
    deadline_s = time.monotonic() + patience_s
    while True:
        try:
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            if time.monotonic() >= deadline_s:
                os.close(descriptor)
                return None
            time.sleep(0.01)
        else:
            return descriptor


def digest(path: Path) -> str:
    """SHA-256 of a cluster file, to tell whether it changed since."""
    return hashlib.sha256(path.read_bytes()).hexdigest()


class Runner:
    """Runs `target`. `on_change(state)` is called after each change, from the loop."""

    def __init__(self, target: Target, servers: Servers, on_change: Callable[[ClusterState], None]) -> None:
        self._target = copy_demo(target) if target.is_demo else target
        self._servers = servers
        self._tablet_probes: list[probes.TabletProbe] = []
        self._stop_asked = asyncio.Event()
        self._context: Any = None
        self._initialising = asyncio.Semaphore(2)
        config = self._config
        self.state = ClusterState(
            cluster=config.cluster.name,
            mysql=config.router.mysql,
            http=config.router.http,
            file=str(config.path),
            digest=digest(config.path),
            supervisor=identify(os.getpid()),
        )
        self._children = Children(self._layout, self.state, on_change)

    @property
    def _config(self) -> Config:
        return self._target.config

    @property
    def _layout(self) -> Layout:
        return self._target.layout

    async def run(self, on_serving: Callable[[], None]) -> None:
        """Starts, calls `on_serving()`, waits for SIGINT, SIGTERM or SIGHUP, stops. A second signal hurries.

        Raises CommandError (Interrupted where a signal came first) after a start that failed; everything is
        stopped then.
        """
        loop = asyncio.get_running_loop()
        for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
            loop.add_signal_handler(number, self._on_signal)
        starting = loop.create_task(self._start())
        waiting = loop.create_task(self._stop_asked.wait())
        try:
            await asyncio.wait({starting, waiting}, return_when=asyncio.FIRST_COMPLETED)
            if not starting.done():
                raise Interrupted(
                    "stopped before everything served; what was started is stopped, data is kept"
                )
            await _unwrapped(starting)
            self._children.set_phase(states.SERVING)
            on_serving()
            await waiting
            self._children.set_phase(states.STOPPING)
        except CommandError as error:
            self.state.error, self.state.error_status = str(error), error.status
            raise
        except Exception as error:
            # Ours, not the user's: the traceback goes to the log, the words to whoever waits for the start.
            self.state.error = f"the start failed: {type(error).__name__}: {error}"
            raise
        finally:
            starting.cancel()
            waiting.cancel()
            await asyncio.gather(starting, waiting, return_exceptions=True)
            await self._children.stop()
            for probe in self._tablet_probes:
                probe.close()
            if self._context is not None:
                self._context.destroy(linger=0)
            self._children.set_phase(states.FAILED if self.state.error else states.STOPPED)

    def _on_signal(self) -> None:
        if self._stop_asked.is_set():
            self._children.hurry()
        else:
            print("stopping; once more: at once", flush=True)
        self._stop_asked.set()

    # ---- start

    async def _start(self) -> None:
        config, layout = self._config, self._layout
        chosen = ports.assign(layout.ports, specs.port_names(config), specs.configured_ports(config))
        etcd = specs.etcd_server(layout, self._servers.etcd, chosen) if self._servers.etcd else None
        endpoints = (etcd.endpoint,) if etcd else config.etcd.endpoints
        write_effective(self._target, endpoints)
        all_shards = specs.shards(config)
        self._announce(all_shards, etcd.endpoint if etcd else "")
        dsn_files: dict[str, Path | None] = {}

        async def topology() -> None:
            if etcd is not None:
                host, port = "127.0.0.1", etcd.client_port
                await self._children.serve(specs.etcd_spec(layout, etcd), probes.etcd(host, port))
            await self._children.step("topology", self._seed())

        async def one_shard(item: Shard) -> None:
            dsn_files[item.alias] = await self._start_mysql(item, chosen)

        await _all(topology(), *(one_shard(item) for item in all_shards))
        endpoint = parse_address(endpoints[0], "[etcd] endpoints")
        registered = probes.registered(
            endpoint, config.cluster.name, keys.CONTROLPLANES, lambda: self._pid_of("controlplane")
        )
        await _all(
            self._children.serve(specs.controlplane_spec(layout), registered),
            *(self._start_tablet(item, dsn_files[item.alias]) for item in all_shards),
        )
        host, port = parse_address(config.router.http, "[router] http")
        reachable = "127.0.0.1" if host in ("0.0.0.0", "::") else host
        await self._children.serve(specs.router_spec(layout, config), probes.router(reachable, port))
        if self._target.is_demo and not layout.demo_rows.exists():
            await self._children.step("sample rows", self._load_demo_rows())

    def _announce(self, all_shards: list[Shard], etcd: str) -> None:
        """All steps in their order, so that progress has a total."""
        config = self._config
        steps = [Step("etcd", f"etcd at {etcd}")] if etcd else []
        for item in all_shards:
            what = "MySQL of" if item.dsn is None else "external MySQL of"
            steps.append(Step(item.mysqld, f"{what} {item.keyspace}/{item.name}"))
        steps.append(Step("topology", "topology and VSchemas in etcd"))
        steps.append(Step("controlplane", "control plane"))
        steps += [Step(item.alias, f"tablet of {item.keyspace}/{item.name}") for item in all_shards]
        steps.append(Step("router", f"router at {config.router.mysql}, HTTP at {config.router.http}"))
        if self._target.is_demo and not self._layout.demo_rows.exists():
            steps.append(Step("sample rows", "sample rows through the router"))
        self.state.steps = steps
        self._children.publish()

    async def _start_mysql(self, item: Shard, chosen: dict[str, int]) -> Path | None:
        if item.dsn is not None:
            prepared = self._children.thread(shard.prepare_external, self._config, self._layout, item)
            await self._children.step(item.mysqld, prepared)
            return None
        assert self._servers.mysqld is not None
        server = specs.mysql_server(self._config, self._layout, self._servers.mysqld, item, chosen)
        dsn_file: Path | None = None

        async def start() -> str:
            nonlocal dsn_file
            async with self._initialising:
                await self._children.thread(shard.initialise_local, server)
            probe = probes.mysqld(server, lambda: self._pid_of(item.mysqld))
            await self._children.started(specs.mysqld_spec(self._layout, server, item), probe)
            dsn_file, note = await self._children.thread(shard.prepare_local, self._config, server, item)
            at = f"127.0.0.1:{server.port}"
            return f"{at}; {note}" if note else at

        await self._children.step(item.mysqld, start())
        if (record := self._children.record(item.mysqld)) is not None:
            record.socket = str(server.socket)
        return dsn_file

    async def _start_tablet(self, item: Shard, dsn_file: Path | None) -> None:
        spec = specs.tablet_spec(self._layout, item, dsn_file)
        probe = probes.TabletProbe(spec.address, item.alias, self._zmq_context)
        self._tablet_probes.append(probe)
        await self._children.serve(spec, probe)

    def _pid_of(self, name: str) -> int:
        record = self._children.record(name)
        return record.pid if record is not None else 0

    def _zmq_context(self) -> Any:
        if self._context is None:
            from core.rpc.zeromq import make_context

            self._context = make_context()
        return self._context

    async def _seed(self) -> str:
        """In a process of its own: gRPC and its threads have no place in one that starts others."""
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-P", "-m", "cli.cluster.seed", str(self._layout.effective),
            stdin=asyncio.subprocess.DEVNULL, stdout=asyncio.subprocess.PIPE, stderr=asyncio.subprocess.STDOUT,
            process_group=0,
        )  # fmt: skip
        try:
            async with asyncio.timeout(SEED_S):
                said, _ = await process.communicate()
        except TimeoutError:
            raise CommandError(
                f"etcd took no records within {SEED_S:.0f} s; see {self._layout.log('etcd')}"
            ) from None
        finally:
            if process.returncode is None:
                process.kill()
                await process.wait()
        lines = said.decode("utf-8", "replace").strip().splitlines()
        if process.returncode:
            # The last line: above it may stand a traceback.
            raise CommandError(
                "\n".join([*lines[-1:], *lines[:-1]]) or "the topology could not be written to etcd"
            )
        return "; ".join(lines)

    async def _load_demo_rows(self) -> str:
        from cli.demo import rows

        note = await self._children.thread(rows.load, self._config)
        write_whole(self._layout.demo_rows, "")
        return note


async def _all(*works: Coroutine[Any, Any, None]) -> None:
    """All at once; the first that fails cancels the others."""
    async with asyncio.TaskGroup() as group:
        for work in works:
            group.create_task(work)


async def _unwrapped(task: "asyncio.Task[None]") -> None:
    """The first CommandError out of a task group's exceptions."""
    try:
        await task
    except BaseExceptionGroup as group:
        wanted: BaseException = group
        while isinstance(wanted, BaseExceptionGroup):
            known = wanted.subgroup(CommandError) or wanted
            wanted = known.exceptions[0]
        raise wanted from None
