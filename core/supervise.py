"""Keeps one local process running: when to start it again, when to call it serving, how to stop it.

`core/restart.py` decides; `Child` here performs the actions on an event loop and never blocks it.

Invariants:
- A process is `SERVING` only after its probe said so, since its last start.
- When it has exited nothing of its process group is left: the rest is killed while the dead leader still holds
  the group's number, so no stranger can be hit.
- Nothing outlives the supervisor (see core/launch.py).
"""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

from core import launch
from core.clock import Clock, MonotonicClock
from core.process import Identity, identify
from core.restart import Action, Event, Phase, Policy

PROBE_STARTING_S: Final = 0.05
PROBE_SERVING_S: Final = 1.0
PROBE_TIMEOUT_S: Final = 3.0
LOG_KEEP: Final = 3


@dataclass(frozen=True, slots=True)
class ProcessSpec:
    """How to run one process, and what to tell about it."""

    name: str
    role: str
    argv: tuple[str, ...]
    log: Path
    """Receives stdout and stderr; appended to over restarts, rotated when the supervisor starts."""
    cwd: Path
    address: str = ""
    keyspace: str = ""
    shard: str = ""
    grace_s: float = 10.0
    """From SIGTERM to SIGKILL."""
    own_log: Path | None = None
    """Where the program writes its log itself, if it does."""
    env: Mapping[str, str] = field(default_factory=dict)
    """Added to the supervisor's own environment."""


class Child:
    """The shell: runs `spec`, keeps it running until `stop`, calls `on_change()` after each change of state.

    `probe()` tells whether it serves; it may raise (taken as no) and is cut off after PROBE_TIMEOUT_S.
    """

    def __init__(
        self,
        spec: ProcessSpec,
        probe: Callable[[], Awaitable[bool]],
        on_change: Callable[[], None],
        clock: Clock | None = None,
    ) -> None:
        self.spec = spec
        self.identity: Identity | None = None
        self.last_exit: int | None = None
        """Exit status of its last death, negative for a signal; None: has not died."""
        self.spawn_error = ""
        """Why the last start did not even give a process."""
        self._probe = probe
        self._on_change = on_change
        self._clock = clock or MonotonicClock()
        self.policy = Policy(self._clock)
        self._process: subprocess.Popen[bytes] | None = None
        self._pidfd = -1
        self._probing: asyncio.Task[None] | None = None
        self._timer: asyncio.TimerHandle | None = None
        self._changed = asyncio.Event()

    @property
    def state(self) -> str:
        return self.policy.state

    def start(self) -> None:
        """Starts it for the first time."""
        rotate(self.spec.log)
        self._feed(Event.START)

    def stop(self) -> None:
        """SIGTERM, and SIGKILL after the grace; called again: SIGKILL now."""
        self._feed(Event.STOP)

    async def wait_serving(self, timeout_s: float) -> bool:
        """True once it serves; False when it died meanwhile, was stopped, or did not within `timeout_s`."""
        try:
            async with asyncio.timeout(timeout_s):
                while self.policy.phase not in (Phase.SERVING, Phase.STOPPED):
                    if self.policy.deaths:
                        return False
                    await self._next_change()
        except TimeoutError:
            return False
        return self.policy.phase is Phase.SERVING

    async def wait_stopped(self) -> None:
        """Returns once the process and its group are gone and will not come back."""
        while self.policy.phase is not Phase.STOPPED:
            await self._next_change()

    async def _next_change(self) -> None:
        self._changed.clear()
        await self._changed.wait()

    def _feed(self, event: Event) -> None:
        before = self.policy.state, self.policy.phase
        action = self.policy.on(event)
        if action is Action.SPAWN:
            self._spawn()
        elif action is Action.WAIT:
            delay_s = max(0.0, self.policy.due_s - self._clock.now_s())
            self._timer = asyncio.get_running_loop().call_later(delay_s, self._feed, Event.DUE)
        elif action is Action.TERMINATE:
            self._signal(signal.SIGTERM)
            self._timer = asyncio.get_running_loop().call_later(
                self.spec.grace_s, self._signal, signal.SIGKILL
            )
        elif action is Action.KILL:
            self._signal(signal.SIGKILL)
        elif action is Action.FINISH:
            self._cancel_timer()
        if (self.policy.state, self.policy.phase) != before or action is Action.SPAWN:
            self._changed.set()
            self._on_change()

    def _spawn(self) -> None:
        self._cancel_timer()
        spec = self.spec
        argv = [sys.executable, "-I", "-S", launch.__file__, str(os.getpid()), *spec.argv]
        loop = asyncio.get_running_loop()
        try:
            with open(spec.log, "ab", buffering=0) as log:
                self._process = subprocess.Popen(
                    argv,
                    stdin=subprocess.DEVNULL,
                    stdout=log,
                    stderr=log,
                    cwd=spec.cwd,
                    env={**os.environ, **spec.env},
                    process_group=0,
                )
        except OSError as error:  # no memory, no descriptor, no directory: a death like others
            self.spawn_error, self.last_exit = str(error), None
            loop.call_soon(self._feed, Event.EXITED)
            return
        self.spawn_error = ""
        pid = self._process.pid
        self.identity = identify(pid)
        self._pidfd = os.pidfd_open(pid)
        loop.add_reader(self._pidfd, self._on_exit)
        self._probing = loop.create_task(self._keep_probing(), name=f"probe-{spec.name}")

    def _on_exit(self) -> None:
        process = self._process
        assert process is not None
        asyncio.get_running_loop().remove_reader(self._pidfd)
        os.close(self._pidfd)
        self._pidfd = -1
        # Not reaped yet: the zombie keeps pid and group number from being used again.
        try:
            os.killpg(process.pid, signal.SIGKILL)
        except (ProcessLookupError, PermissionError):
            pass
        self.last_exit = process.wait()
        self._process = None
        if self._probing is not None:
            self._probing.cancel()
            self._probing = None
        self._cancel_timer()
        self._feed(Event.EXITED)

    async def _keep_probing(self) -> None:
        while True:
            try:
                async with asyncio.timeout(PROBE_TIMEOUT_S):
                    serves = await self._probe()
            except Exception:  # whatever a probe trips over means: does not serve
                serves = False
            if self._probing is not asyncio.current_task():
                return  # it died meanwhile: this answer is about its predecessor
            self._feed(Event.READY if serves else Event.UNREADY)
            starting = self.policy.phase is Phase.STARTING
            await asyncio.sleep(PROBE_STARTING_S if starting else PROBE_SERVING_S)

    def _signal(self, number: signal.Signals) -> None:
        if self._pidfd >= 0:
            try:
                signal.pidfd_send_signal(self._pidfd, number)
            except ProcessLookupError:  # it has just ended; _on_exit follows
                pass

    def _cancel_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None


def rotate(log: Path, keep: int = LOG_KEEP) -> None:
    """NAME.log becomes NAME.log.1, and so on up to `keep`; an empty or missing log stays."""
    try:
        if log.stat().st_size == 0:
            return
    except FileNotFoundError:
        return
    for number in range(keep - 1, 0, -1):
        older = log.with_name(f"{log.name}.{number}")
        if older.exists():
            older.replace(log.with_name(f"{log.name}.{number + 1}"))
    log.replace(log.with_name(f"{log.name}.1"))
