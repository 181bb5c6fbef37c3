"""The daemon: registers, campaigns, and while it leads does its duties once a round.

It is not on the way of any query. With etcd down it waits, and goes on where it was; while it is down itself, routers
go by the shares they have.
"""

import asyncio
import logging
import os
import signal
import socket
from typing import Any

from controlplane.daemon.duties import View, duties
from controlplane.daemon.shares import ROUND_S
from controlplane.topo import layout
from controlplane.topo.elect import Election
from controlplane.topo.errors import TopoError
from controlplane.topo.records import ControlPlaneRecord, LeaderRecord
from controlplane.topo.store import Store
from controlplane.topo.users import with_users
from controlplane.topo.watch import Watch
from core.config import Config
from core.rpc.messages import SERVING
from core.tasks import end

_log = logging.getLogger(__name__)

_WATCHED = (
    layout.SHARDS,
    layout.TABLETS,
    layout.ROUTERS,
    layout.LIMITS,
    layout.USERS,
    layout.SHARES,
    layout.HEALTH,
)


class ControlPlane:
    """One daemon; `run` returns after SIGTERM or SIGINT."""

    def __init__(self, config: Config, own_id: str) -> None:
        self.id = own_id
        self._users = config.users
        self._store = Store.connect(config.etcd.endpoints, config.cluster.name)
        self._content: dict[str, dict[str, dict[str, Any]]] = {prefix: {} for prefix in _WATCHED}
        self._watches: list[Watch] = []
        self._stopping = asyncio.Event()
        self._election: Election | None = None

    async def run(self) -> None:
        loop = asyncio.get_running_loop()
        for number in (signal.SIGTERM, signal.SIGINT):
            loop.add_signal_handler(number, self._stopping.set)
        host, pid = socket.gethostname(), os.getpid()
        own = ControlPlaneRecord(self.id, pid, host, SERVING)
        self._store.hold(layout.controlplane(self.id), own.to_json())
        for prefix in _WATCHED:
            self._watch(prefix)
        leader = LeaderRecord(self.id, pid, host).to_json()
        self._election = Election(self._store, layout.LEADER, leader, self._on_leading)
        rounds = loop.create_task(self._rounds(self._election))
        stopping = loop.create_task(self._stopping.wait())
        await asyncio.wait((rounds, stopping), return_when=asyncio.FIRST_COMPLETED)
        failed, _ = await end(rounds, stopping)
        await self._election.resign()
        await self._store.close()
        _log.info("stopped")
        if failed is not None:  # a fault of ours: end with it, and be started again
            raise failed

    def _watch(self, prefix: str) -> None:
        def on_change(content: dict[str, dict[str, Any]]) -> None:
            self._content[prefix] = content

        self._watches.append(self._store.watch(prefix, on_change))

    def _limits(self) -> dict[str, dict[str, Any]]:
        """The limits' records, and what follows from the users'."""
        limits = {k.removeprefix(layout.LIMITS): v for k, v in self._content[layout.LIMITS].items()}
        live = {k.removeprefix(layout.USERS): v for k, v in self._content[layout.USERS].items()}
        return {layout.LIMITS + k: v for k, v in with_users(limits, self._users, live).items()}

    def _on_leading(self, leading: bool) -> None:
        _log.info("%s %s", self.id, "leads" if leading else "leads no longer")

    async def _rounds(self, election: Election) -> None:
        for watch in self._watches:
            await watch.synced()
        while True:
            if election.leading:
                await self._round(election)
            await asyncio.sleep(ROUND_S)

    async def _round(self, election: Election) -> None:
        content = self._content
        view = View(
            shards=content[layout.SHARDS],
            tablets=content[layout.TABLETS],
            routers=content[layout.ROUTERS],
            limits=self._limits(),
            shares=content[layout.SHARES],
            health=content[layout.HEALTH].get(layout.HEALTH),
        )
        for write in duties(self.id, view):
            fence = election.fence
            if fence is None:
                return
            try:
                if write.value is None:
                    await self._store.delete(write.key, fence=fence, timeout_s=2.0)
                else:
                    await self._store.put(write.key, write.value, fence=fence, timeout_s=2.0)
            except TopoError as error:  # fenced or etcd down: the next round, or the next leader, does it
                _log.debug("%s", error)
                return
