"""A key that lives as long as its process: a lease, kept alive, and everything made again after a loss.

Invariants
- The key carries this registration's lease, so it goes when the process does.
- The newest holder wins: a start overwrites what a dead predecessor left. A holder that later finds its key under
  another lease stands back and says so in the log, and takes the key again when it is free: two living processes
  of one name never write in turns.
- One that `yields` stands back from the first, until `insist`: then it is known from elsewhere that the key is its own,
  and it takes it from whoever has it. At most one process of a name may insist.
- `update` never waits and never fails: the last value is written once etcd takes it.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from controlplane.topo.errors import TopoError
from controlplane.topo.values import Value
from core.tasks import end

if TYPE_CHECKING:
    from controlplane.topo.store import Store

_log = logging.getLogger(__name__)

_CALL_S: Final = 2.0
_RETRY_S: Final = 0.3


class Registration:
    """What `Store.hold` gives."""

    def __init__(self, store: "Store", key: str, value: Value, ttl_s: float, yields: bool = False) -> None:
        self.key = key
        self._store = store
        self._value = value
        self._ttl_s = ttl_s
        self._lease = 0
        self._written: Value | None = None
        self._begun = yields  # or written once: what another lease holds afterwards is a rival's
        self._yields = yields
        self._insists = False
        self._foreign = False
        self._wake = asyncio.Event()
        self._registered = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"topo hold {key}")

    @property
    def registered(self) -> bool:
        """True while, as far as is known, the key is in etcd with our lease."""
        return self._registered.is_set()

    async def wait_registered(self) -> None:
        """Returns once the key is in etcd with our lease."""
        await self._registered.wait()

    def insist(self) -> None:
        """From now on the key is this registration's, whoever has it."""
        self._insists = True
        self._wake.set()

    def update(self, value: Value) -> None:
        """Writes `value` soon; of several updates meanwhile the last. The same as before costs nothing."""
        if value != self._value:
            self._value = value
            self._wake.set()

    async def release(self) -> None:
        """Ends the keeping and removes the key (if etcd does not answer within 1 s, the lease's end does)."""
        if self._task.done():
            return
        await end(self._task)
        self._registered.clear()
        if self._lease:
            try:
                await self._store.revoke(self._lease, 1.0)
            except TopoError:
                pass

    async def _run(self) -> None:
        while True:
            self._wake.clear()
            pause_s = self._ttl_s / 3
            try:
                await self._step()
            except TopoError as error:
                _log.debug("%s: %s", self.key, error)
                pause_s = _RETRY_S
            try:
                await asyncio.wait_for(self._wake.wait(), pause_s)
            except TimeoutError:
                pass

    async def _step(self) -> None:
        """Once around: keep the lease alive or take a new one, see that the key is ours, write what is new."""
        if self._lease and not await self._store.keepalive(self._lease, _CALL_S):
            _log.info("%s: its lease is gone; taking a new one", self.key)
            self._lost()
            self._lease = 0
        if not self._lease:
            self._lease = await self._store.grant(self._ttl_s, _CALL_S)
        holder = await self._store.holder(self.key, _CALL_S)
        if holder is None or holder[0] != self._lease:
            self._lost()
            if holder is not None and self._begun and not self._insists:
                if not self._foreign:
                    level = logging.INFO if self._yields else logging.ERROR
                    _log.log(level, "%s is held by another process of the same name; standing back", self.key)
                self._foreign = True
                return
            self._foreign = False
        value = self._value
        if self._written != value:
            await self._store.put_leased(self.key, value, self._lease, _CALL_S)
            self._written = value
            self._begun = True
        self._registered.set()

    def _lost(self) -> None:
        self._written = None
        self._registered.clear()
