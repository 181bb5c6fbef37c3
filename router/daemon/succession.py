"""Replacing the workers of a router one after the other, without dropping their idle clients.

    successor is forked into the slot -> it knows the cluster -> the old worker stops accepting and hands its clients
    over -> the successor accepts -> the old one ends when its last busy client is done, or at the end of the grace;
    or it lingers for idle clients that cannot be handed over (TLS), at most until the next restart

Invariants: at every moment at least one process of a slot accepts, or its clients wait in the backlog that both share;
at most two processes are in one slot; whichever of the two dies, the other goes on.
"""

import asyncio
import logging
import time
from typing import TYPE_CHECKING, Any, Final

from core.rpc import messages as m
from router.workers.handover import socket_path

if TYPE_CHECKING:
    from router.daemon.main import RouterMain, WorkerState

GRACE_S: Final = 30.0
"""What statements and transactions under way may still take; then their clients get error 1053."""
START_S: Final = 30.0
POLL_S: Final = 0.05
LINGER_POLL_S: Final = 1.0

IDLE: Final = "idle"
RUNNING: Final = "running"
FAILED: Final = "failed"

log = logging.getLogger("router.main")


class Succession:
    """See the module. One restart of all workers at a time."""

    def __init__(self, main: "RouterMain") -> None:
        self._main = main
        self._task: asyncio.Task[None] | None = None
        self._handing: set[asyncio.Task[None]] = set()
        self.retiring: dict[int, WorkerState] = {}
        """By pid: workers that give over to the one in their slot."""
        self.state = IDLE
        self.runs = 0
        self.done = 0
        self.why = ""
        self.began_s = 0.0
        self.took_s = 0.0

    def begin(self) -> None:
        """Restarts all workers; nothing where that is under way."""
        if self._main.drained.order is not None:
            self.state, self.why = FAILED, "the router is drained: clusterctl drain --undo first"
            self.runs += 1
        elif self._task is None and not self._main.stopping:
            self.state, self.done, self.why = RUNNING, 0, ""
            self.runs += 1
            self.began_s = time.monotonic()
            self._task = self._main.loop.create_task(self._run())

    async def _run(self) -> None:
        try:
            for slot in list(self._main.workers):
                await self._replace(slot)
                self.done += 1
            while not all(old.report.get("lingers") for old in self.retiring.values()):  # noqa: ASYNC110
                await asyncio.sleep(POLL_S)
            self.state = IDLE
        except RuntimeError as error:
            log.error("restart of workers: %s", error)
            self.state, self.why = FAILED, str(error)
        finally:
            self.took_s = time.monotonic() - self.began_s
            self._task = None

    async def _replace(self, slot: int) -> None:
        main = self._main
        old = main.workers[slot]
        for before in [
            worker for worker in self.retiring.values() if worker.slot == slot and worker.identity
        ]:
            await main.ask(before.identity, "leave", {"grace_s": GRACE_S})
        if not await self._until(lambda: not self._is_retiring(slot), GRACE_S + START_S):
            raise RuntimeError(f"the last worker before {old.name} does not end")
        if not old.pid:  # it died: its restart is under way, and is as good
            return
        successor = main.successor_of(old)
        main.forks.spawn(slot, 2 * successor.generation + 1)
        ready = await self._until(
            lambda: successor.state == m.SERVING or main.workers[slot] is not old, START_S
        )
        if not ready or main.workers[slot] is not old:
            main.give_up(successor)
            raise RuntimeError(f"the successor of {old.name} did not begin to serve; the old one goes on")
        main.workers[slot] = successor
        main.successors.pop(slot)
        self.retiring[old.pid] = old
        log.info("worker %s: pid %d gives over to pid %d", old.name, old.pid, successor.pid)
        task = main.loop.create_task(self._hand_over(old, slot))
        self._handing.add(task)
        task.add_done_callback(self._handing.discard)
        await self._until(lambda: old.pid not in self.retiring or bool(old.report.get("swept")), GRACE_S)

    async def _hand_over(self, old: "WorkerState", slot: int) -> None:
        """Until the old worker has ended; asks again where the successor was lost on the way."""
        main = self._main
        path = socket_path(main.boot.control, slot)
        asked: WorkerState | None = None
        while old.pid in self.retiring:
            current = main.workers[slot]
            if current is not asked and current.state == m.SERVING and current.identity:
                asked = current
                await main.ask(old.identity, "hand over", {"path": path, "grace_s": GRACE_S})
            await asyncio.sleep(LINGER_POLL_S if old.report.get("lingers") else POLL_S)
        current = main.workers[slot]
        if current.identity:
            await main.ask(current.identity, "accept", {})

    def exited(self, pid: int) -> "WorkerState | None":
        """A process ended: the retiring worker it was, if it was one."""
        return self.retiring.pop(pid, None)

    def _is_retiring(self, slot: int) -> bool:
        return any(worker.slot == slot for worker in self.retiring.values())

    async def _until(self, condition: Any, timeout_s: float) -> bool:
        deadline_s = time.monotonic() + timeout_s
        while not condition():
            if time.monotonic() > deadline_s:
                return False
            await asyncio.sleep(POLL_S)
        return True

    def describe(self) -> dict[str, Any]:
        took_s = time.monotonic() - self.began_s if self.state == RUNNING else self.took_s
        return {
            "state": self.state,
            "runs": self.runs,
            "done": self.done,
            "of": len(self._main.workers),
            "why": self.why,
            "seconds": took_s,
            "retiring": [
                {
                    "name": worker.name,
                    "pid": worker.pid,
                    "clients": worker.report.get("clients", 0),
                    "lingers": worker.report.get("lingers", False),
                }
                for worker in self.retiring.values()
            ],
        }
