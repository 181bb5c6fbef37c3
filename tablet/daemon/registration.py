"""The tablet's part of etcd: its record `tablets/<alias>`, on a lease, as long as this process lives; the records of
others that serve its shard; the threads of MySQL that are its own.

Invariant: before `own` a record that another process holds is left alone; afterwards this one's stands, since MySQL
says that it alone serves (`backend/ownership.py`).
"""

import asyncio
import logging
import os
import socket
import time
from collections.abc import Sequence
from typing import Any, Final

from core.rpc.messages import STARTING
from tablet.daemon.threads import ThreadList

TTL_S: Final = 5.0
_ASK_S: Final = 1.0
_ASK_EVERY_S: Final = 0.5

log = logging.getLogger("sluice.tablet")


def record(
    alias: str, keyspace: str, shard: str, endpoint: str, state: str, server_version: str
) -> dict[str, Any]:
    """The value of `tablets/<alias>`."""
    return {
        "alias": alias,
        "keyspace": keyspace,
        "shard": shard,
        "type": "PRIMARY",
        "endpoint": endpoint,
        "state": state,
        "pid": os.getpid(),
        "host": socket.gethostname(),
        "server_version": server_version,
    }


class Registration:
    """Keeps the record up to date. With etcd down the tablet serves on; the record follows when it is back."""

    def __init__(self, endpoints: Sequence[str], cluster: str, alias: str, value: dict[str, Any]) -> None:
        """TopoError only for names that cannot be."""
        from controlplane.topo import layout  # loads gRPC only where there is an etcd
        from controlplane.topo.store import Store

        self._value = value
        self._tablets = layout.TABLETS
        self._store = Store.connect(list(endpoints), cluster)
        self._hold = self._store.hold(layout.tablet(alias), value, TTL_S, yields=True)
        self.threads = ThreadList(self._store, layout.threads(value["keyspace"], value["shard"]), alias)

    def update(self, **changes: Any) -> None:
        """Writes the changed fields soon."""
        self._value = {**self._value, **changes}
        self._hold.update(self._value)

    def own(self) -> None:
        """This tablet alone serves its MySQL: its record replaces what another process of its name has there."""
        self._value = {**self._value, "since_ms": int(time.time() * 1000)}
        self._hold.insist()
        self._hold.update(self._value)

    async def others_gone(self) -> None:
        """Returns when no other tablet that serves this shard is registered, or etcd does not tell."""
        said = ""
        while True:
            rival = await self.rival()
            if not rival:
                return
            if rival != said:
                said = rival
                log.warning("%s serves this shard; waiting until it ends", rival)
            await asyncio.sleep(_ASK_EVERY_S)

    async def rival(self) -> str:
        """Who else is registered as serving this shard; empty: nobody, or etcd does not tell."""
        from controlplane.topo.errors import TopoError

        try:
            records, _ = await self._store.list(self._tablets, timeout_s=_ASK_S)
        except TopoError:
            return ""
        return rival_of(self._value, [found.value for found in records.values()])

    async def close(self) -> None:
        """Removes the record (best effort)."""
        await self.threads.close()
        await self._store.close()


def rival_of(own: dict[str, Any], records: Sequence[dict[str, Any]]) -> str:
    """Who of `records` serves the shard of `own`; empty: nobody. One at our own address is a predecessor that is dead,
    since the address is ours now."""
    for other in records:
        same_shard = all(other.get(key) == own[key] for key in ("keyspace", "shard", "type"))
        same_place = all(other.get(key) == own[key] for key in ("endpoint", "host"))
        if same_shard and not same_place and other.get("state") != STARTING:
            return f"tablet {other.get('alias')} (pid {other.get('pid')} on {other.get('host')})"
    return ""
