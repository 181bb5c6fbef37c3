"""One leader at a time: a key on a lease, and proof of the term for every write.

Invariants
- Who leads holds `key`, created by it in this term and never rewritten; `fence` carries the key's mod revision, and
  a write with it fails when the term is over, however late it arrives (`TopoFenced`). That, and no clock, keeps two
  leaders apart.
- The local word `leading` turns false once the lease was not renewed for its own length, even while etcd is down.
- `on_change(leading)` is called at every change, in the loop's thread.
"""

import asyncio
import logging
from collections.abc import Callable
from typing import Final

from controlplane.topo.errors import TopoError
from controlplane.topo.store import Fence, Store
from controlplane.topo.values import Value
from core.tasks import end

_log = logging.getLogger(__name__)

_CALL_S: Final = 1.0
_RETRY_S: Final = 0.3


class Election:
    """Campaigns from construction to `resign`."""

    def __init__(
        self, store: Store, key: str, value: Value, on_change: Callable[[bool], None], ttl_s: float = 3.0
    ) -> None:
        self._store = store
        self._key = key
        self._value = value
        self._on_change = on_change
        self._ttl_s = ttl_s
        self._lease = 0
        self._renewed_s = 0.0
        self.fence: Fence | None = None
        """The proof of this term; None: another leads, or nobody."""
        self._freed = asyncio.Event()
        self._watch = store.watch(key, self._on_key)
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"topo election {key}")

    @property
    def leading(self) -> bool:
        return self.fence is not None

    async def resign(self) -> None:
        """Ends the campaign; another may lead at once."""
        self._watch.close()
        await end(self._task)
        self._set(None)
        if self._lease:
            try:
                await self._store.revoke(self._lease, _CALL_S)
            except TopoError:
                pass  # the lease runs out

    def _on_key(self, content: dict[str, Value]) -> None:
        if self._key not in content:
            self._freed.set()

    async def _run(self) -> None:
        while True:
            self._freed.clear()
            pause_s = self._ttl_s / 3
            try:
                await self._step()
            except TopoError as error:
                _log.debug("%s: %s", self._key, error)
                pause_s = _RETRY_S
            if self._lease and asyncio.get_running_loop().time() - self._renewed_s >= self._ttl_s:
                self._set(None)
            try:
                await asyncio.wait_for(self._freed.wait(), pause_s)
            except TimeoutError:
                pass

    async def _step(self) -> None:
        asked_s = asyncio.get_running_loop().time()
        if self._lease and await self._store.keepalive(self._lease, _CALL_S):
            self._renewed_s = asked_s
        else:
            self._set(None)
            self._lease = 0
            self._lease = await self._store.grant(self._ttl_s, _CALL_S)
            self._renewed_s = asked_s
        holder = await self._store.holder(self._key, _CALL_S)
        if holder is None:
            self._set(None)
            won = await self._store.swap_leased(self._key, self._value, 0, self._lease, timeout_s=_CALL_S)
            self._set(won)
        else:
            # Ours also when the answer to an earlier attempt was lost.
            self._set(holder[1] if holder[0] == self._lease else None)

    def _set(self, mod_revision: int | None) -> None:
        fence = None if mod_revision is None else Fence(self._key, mod_revision)
        if fence == self.fence:
            return
        was, self.fence = self.fence, fence
        if was is not None:
            self._on_change(False)
        if fence is not None:
            self._on_change(True)
