"""How a worker goes: it drains, or hands its clients over to its successor.

    drain      idle clients get 1053, busy ones when they are done -> the worker ends
    hand over  idle clients go to the successor, busy ones when they are idle -> the worker ends; or it lingers, for
               those who are idle and cannot go (TLS): they are served until they leave, or the worker is drained

Invariants: from the first word on no new client is taken; a busy client has until the end of the grace; a worker that
cannot reach its successor stays, and is asked again.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from core.errors import SluiceError, fail
from router.workers.handover import Sender

if TYPE_CHECKING:
    from router.workers.worker import Worker

LOOK_S: Final = 0.5
"""How often a worker that lingers looks whether it may end."""


class Departure:
    """See the module."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._sender: Sender | None = None
        self.lingers = False
        """Whether all clients that are left are idle ones that cannot be handed over."""

    @property
    def swept(self) -> bool:
        """Whether all clients that could be handed over at once have been."""
        return self.lingers or (self._sender is not None and self._sender.swept)

    def drain(self, grace_s: float) -> None:
        """Takes no new clients; idle ones get error 1053, busy ones finish within `grace_s`."""
        if not self._worker.draining or self.lingers:
            self.lingers = False
            self._worker.begin_draining()
            self._worker.spawn(self._drain(grace_s))

    def hand_over(self, path: str, grace_s: float) -> None:
        """Takes no new clients; idle ones go to the successor that listens on `path`, busy ones when they are idle,
        within `grace_s`; then this worker ends. Called again when the successor was lost on the way."""
        if self._sender is None:
            self._worker.begin_draining()
            self._worker.spawn(self._send_clients(path, grace_s))

    async def _send_clients(self, path: str, grace_s: float) -> None:
        try:
            self._sender = Sender(self._worker, path)
            await self._sender.run(grace_s)
        except OSError as error:
            self._worker.log.warning("the successor cannot be reached: %s", error)
            if self._sender is not None:
                self._sender.close()
            self._sender = None
            return
        await asyncio.sleep(0.05)
        self._sender.close()
        self._sender = None
        if not self.lingers:  # else somebody waits already
            await self._linger()

    async def _linger(self) -> None:
        worker = self._worker
        self.lingers = bool(worker.connections)
        if self.lingers:
            worker.parent.report()
            while worker.connections and self.lingers:  # noqa: ASYNC110
                await asyncio.sleep(LOOK_S)
            if not self.lingers:
                return
        worker.stop()

    async def _drain(self, grace_s: float) -> None:
        worker = self._worker
        deadline = worker.clock.now_s() + grace_s
        while worker.connections and worker.clock.now_s() < deadline:
            for connection in list(worker.connections.values()):
                connection.drain(_stopping())
            await asyncio.sleep(0.05)
        for connection in list(worker.connections.values()):
            connection.refuse(_stopping())
        await asyncio.sleep(0.05)
        self._worker.stop()


def _stopping() -> SluiceError:
    return fail("DRAINING", what="this router worker is stopping")
