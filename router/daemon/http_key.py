"""The key that signs sessions of the HTTP API: one for all routers of a cluster, kept in etcd, made by the first.

Invariants: what etcd has is what counts; where it has none (the first start, data that was lost) the key in use is
written, else a new one. To change it: delete `secrets/http` while no router runs, or put another.
"""

import asyncio
import contextlib
import logging
import os
from collections.abc import Mapping
from typing import Any, Final

from controlplane.topo import layout
from controlplane.topo.errors import TopoError
from controlplane.topo.store import Store
from router.daemon.snapshot import Topology

KEY_BYTES: Final = 32
AGAIN_S: Final = 1.0

log = logging.getLogger("router.main")


class HttpKey:
    """Watches the key and tells the topology."""

    def __init__(self, store: Store, topology: Topology) -> None:
        self._store = store
        self._topology = topology
        self._known = ""
        self._writing: asyncio.Task[None] | None = None

    def on_change(self, content: Mapping[str, Mapping[str, Any]]) -> None:
        """What lies under SECRETS now."""
        found = content.get(layout.HTTP_KEY, {}).get("key", "")
        if not found:
            if self._writing is None:
                self._writing = asyncio.get_running_loop().create_task(self._write())
            return
        if not is_key(found):
            log.error(
                "%s in etcd holds no key of %d bytes or more in hex: not used", layout.HTTP_KEY, KEY_BYTES
            )
            return
        self._known = found
        self._topology.on_change(layout.SECRETS, content)

    async def _write(self) -> None:
        key = self._known or os.urandom(KEY_BYTES).hex()
        try:
            while True:
                with contextlib.suppress(TopoError):
                    await self._store.create(layout.HTTP_KEY, {"key": key})
                    return
                await asyncio.sleep(AGAIN_S)
        finally:
            self._writing = None

    def close(self) -> None:
        if self._writing is not None:
            self._writing.cancel()


def is_key(text: Any) -> bool:
    """Whether it is a key in hex."""
    try:
        return len(bytes.fromhex(text)) >= KEY_BYTES
    except (TypeError, ValueError):
        return False
