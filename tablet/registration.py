"""The tablet's record in etcd: `tablets/<alias>`, on a lease, as long as this process lives."""

import os
import socket
from collections.abc import Sequence
from typing import Any, Final

TTL_S: Final = 5.0


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
        self._store = Store.connect(list(endpoints), cluster)
        self._hold = self._store.hold(layout.tablet(alias), value, TTL_S)

    def update(self, **changes: Any) -> None:
        """Writes the changed fields soon."""
        self._value = {**self._value, **changes}
        self._hold.update(self._value)

    async def close(self) -> None:
        """Removes the record (best effort)."""
        await self._store.close()
