"""A worker that an operator drains: it stays, and its clients leave.

    begin    new clients are told 1053; those that are there go on as ever for the grace, so that pools may move away
    grace    is over: idle ones are told 1053; transactions and statements may end, and then are told so
    limit    is over: whoever is left is told 1053, and what runs is ended
    end      `end`: as if nothing had been

Invariant: while it is `active` no new client is let in, also not after all others have left.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from core.errors import SluiceError, fail

if TYPE_CHECKING:
    from router.workers.worker import Worker

ROUND_S: Final = 0.1


def refusal() -> SluiceError:
    return fail("DRAINING", what="this router is being drained; connect to another one")


class Draining:
    """See the module."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._task: asyncio.Task[None] | None = None
        self.active = False

    def begin(self, grace_s: float, limit_s: float) -> None:
        """Begins, or begins anew with other times."""
        self.active = True
        if self._task is not None:
            self._task.cancel()
        self._task = self._worker.loop.create_task(self._run(grace_s, limit_s))
        self._worker.stir()

    def end(self) -> None:
        self.active = False
        if self._task is not None:
            self._task.cancel()
            self._task = None

    async def _run(self, grace_s: float, limit_s: float) -> None:
        worker = self._worker
        idle_until_s = worker.clock.now_s() + grace_s
        while worker.connections and worker.clock.now_s() < idle_until_s:  # noqa: ASYNC110
            await asyncio.sleep(ROUND_S)
        busy_until_s = worker.clock.now_s() + limit_s
        while worker.connections and worker.clock.now_s() < busy_until_s:
            for client in list(worker.connections.values()):
                client.drain(refusal())
            await asyncio.sleep(ROUND_S)
        for client in list(worker.connections.values()):
            client.refuse(refusal())
