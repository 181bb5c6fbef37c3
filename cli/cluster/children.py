"""The processes of a running supervisor: each with its step of the start, its record in the state, its end.

Invariants: whatever changes is in run/state.json before anybody is told of it; `stop` returns only when every
process and every thread of work has ended.
"""

import asyncio
import signal
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any, Final, TypeVar

from cli import state as states
from cli.cluster import specs
from cli.cluster.probes import Probe
from cli.errors import CommandError
from cli.layout import Layout
from cli.local import abandon_initialising, log_cause
from cli.state import ClusterState, ProcessState
from core.supervise import Child, ProcessSpec

_T = TypeVar("_T")

_LOG_LINES: Final = 6
_THREADS_S: Final = 10.0
"""How long a stop waits for work in threads before it takes away the servers that this work waits for."""


class Children:
    """Starts and stops them; keeps `state` and its file up to date, and calls `on_change(state)`."""

    def __init__(
        self, layout: Layout, state: ClusterState, on_change: Callable[[ClusterState], None]
    ) -> None:
        self.state = state
        self._layout = layout
        self._on_change = on_change
        self._children: list[tuple[Child, ProcessState]] = []
        self._threads: set[asyncio.Future[Any]] = set()

    async def serve(self, spec: ProcessSpec, probe: Probe) -> None:
        """Starts a process as a step of its own; returns once it serves. Raises CommandError."""
        await self.step(spec.name, self.started(spec, probe))

    async def started(self, spec: ProcessSpec, probe: Probe) -> str:
        """Starts a process; gives its address once it serves. Raises CommandError with its last words."""
        process = ProcessState(spec.name, spec.role, spec.address, spec.keyspace, spec.shard)
        child = Child(spec, probe, lambda: self._on_child(child, process))
        self._children.append((child, process))
        self.state.processes = [p for _, p in self._children]
        child.start()
        timeout_s = specs.START_S[spec.role]
        if await child.wait_serving(timeout_s):
            return spec.address
        log = spec.own_log or spec.log
        died = child.policy.deaths > 0
        what = f"ended while starting ({how(child)})" if died else f"did not serve within {timeout_s:.0f} s"
        raise CommandError(f"{spec.name} {what}; its log {log} says:\n{log_cause(log, _LOG_LINES)}")

    async def step(self, name: str, work: Awaitable[str]) -> None:
        """Awaits `work` as the announced step `name`; its result is the step's note."""
        step = next(s for s in self.state.steps if s.name == name)
        began_s = time.monotonic()
        step.state = "running"
        self.publish()
        try:
            step.note = await work
        except CommandError as error:
            step.state, step.note = "failed", str(error).splitlines()[0]
            raise
        except OSError as error:
            step.state = "failed"
            where = f"{error.filename}: " if error.filename is not None else ""
            step.note = f"{step.text}: {where}{error.strerror or error}"
            raise CommandError(step.note) from None
        else:
            step.state = "done"
        finally:
            step.seconds = round(time.monotonic() - began_s, 1)
            self.publish()

    async def thread(self, work: Callable[..., _T], *args: Any) -> _T:
        """Runs blocking `work` in a thread; `stop` waits for it also where the waiter was cancelled."""
        future = asyncio.ensure_future(asyncio.to_thread(work, *args))
        self._threads.add(future)
        future.add_done_callback(self._threads.discard)
        return await asyncio.shield(future)

    def record(self, name: str) -> ProcessState | None:
        """What is known of the process `name`."""
        return next((p for _, p in self._children if p.name == name), None)

    async def stop(self) -> None:
        """Stops all, the last started first; work in threads is waited for."""
        abandon_initialising()
        if self._threads:
            await asyncio.wait(self._threads, timeout=_THREADS_S)
        for roles in reversed(specs.LAYERS):
            layer = [child for child, process in self._children if process.role in roles]
            for child in layer:
                child.stop()
            await asyncio.gather(*(child.wait_stopped() for child in layer))
        # What still waited for a server has lost its connection now.
        if self._threads:
            await asyncio.wait(self._threads)

    def hurry(self) -> None:
        """Asks all to end at once; those that are being stopped already are killed."""
        for child, _ in self._children:
            child.stop()

    def set_phase(self, phase: str) -> None:
        self.state.phase = phase
        self.publish()

    def publish(self) -> None:
        try:
            self.state.write(self._layout)
        except OSError as error:  # a full disk must not stop the supervision of what runs
            print(f"{self._layout.state} cannot be written: {error.strerror}", file=sys.stderr, flush=True)
        self._on_change(self.state)

    def _on_child(self, child: Child, process: ProcessState) -> None:
        process.state = child.state
        process.identity = child.identity
        process.restarts = child.policy.restarts
        process.deaths = child.policy.deaths
        looping = child.policy.looping
        process.said = log_cause(child.spec.own_log or child.spec.log) if looping else ""
        if self.state.phase == states.SERVING and child.policy.deaths:
            now = time.strftime("%Y-%m-%d %H:%M:%S")
            died = f"deaths in a row: {process.deaths}, last {how(child)}"
            print(f"{now} {process.name}: {process.state}; {died}", flush=True)
        self.publish()


def how(child: Child) -> str:
    """How it ended last, for a person."""
    status = child.last_exit
    if child.spawn_error:
        return child.spawn_error
    return signal.Signals(-status).name if status is not None and status < 0 else f"status {status}"
