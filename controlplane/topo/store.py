"""The cluster's records in etcd: read, written, watched and held, from one event loop.

Invariants
- Importing this module loads no gRPC and starts no thread; the first `connect` does. Never fork after it.
- Every call has a timeout and raises TopoError or one of its kinds: TopoUnavailable when etcd did not answer (of a
  write it is then not known whether it took effect), TopoFenced when the writer leads no longer.
- Keys are relative to `/sluice/<cluster>/` (`layout`), values JSON objects.
- Use a store from the event loop that made its first call, and from no other thread.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from controlplane.topo import layout
from controlplane.topo.errors import TopoError, TopoFenced, TopoUnavailable
from controlplane.topo.hold import Registration
from controlplane.topo.values import Record, Value, decode, encode, increment
from controlplane.topo.watch import OnChange, Watch, WatchHub

if TYPE_CHECKING:
    from controlplane.topo.etcd import Etcd

__all__ = ["Fence", "Record", "Registration", "Store", "TopoError", "TopoFenced", "TopoUnavailable", "Watch"]

TIMEOUT_S: Final = 5.0

# etcd's enums: Compare.CompareResult and CompareTarget, RangeRequest.SortOrder and SortTarget
_EQUAL: Final = 0
_COMPARE_MOD: Final = 2
_DESCEND: Final = 2
_SORT_MOD: Final = 3


@dataclass(frozen=True, slots=True)
class Fence:
    """A write with it happens only if `key` was last written at `mod_revision`: the proof of being the leader."""

    key: str
    mod_revision: int


class Store:
    """One cluster's part of etcd. Make it by `connect`, end it by `close`."""

    def __init__(self, etcd: "Etcd", rpc: Any, cluster: str) -> None:
        self._etcd = etcd
        self._rpc = rpc
        self._base = layout.base(cluster)
        self._hub = WatchHub(etcd)
        self._watches: list[Watch] = []
        self._held: list[Registration] = []
        etcd.on_renew = self._hub.close

    @staticmethod
    def connect(endpoints: Sequence[str], cluster: str) -> "Store":
        """A store on `endpoints` (`host:port`). Does not connect yet: etcd may start later. TopoError only for
        endpoints or a cluster name that cannot be."""
        from controlplane.topo.etcd import Etcd, rpc  # loads gRPC

        return Store(Etcd(endpoints), rpc, cluster)

    @property
    def answers(self) -> bool:
        """False while etcd does not answer."""
        return self._etcd.answers

    async def get(self, key: str, *, timeout_s: float = TIMEOUT_S) -> Record | None:
        """The record of `key`; None if there is none."""
        response = await self._etcd.range(self._rpc.RangeRequest(key=self._full(key)), timeout_s)
        return _record(key, response.kvs[0]) if response.kvs else None

    async def put(
        self, key: str, value: Value, *, fence: Fence | None = None, timeout_s: float = TIMEOUT_S
    ) -> None:
        """Writes `value`, whatever was there. TopoFenced if `fence` does not hold."""
        put = self._rpc.PutRequest(key=self._full(key), value=encode(key, value))
        if fence is None:
            await self._etcd.put(put, timeout_s)
        elif not await self._txn([self._fence(fence)], self._rpc.RequestOp(request_put=put), timeout_s):
            raise TopoFenced(f"{key}: not written, since {fence.key} has changed hands")

    async def create(self, key: str, value: Value, *, timeout_s: float = TIMEOUT_S) -> bool:
        """Writes `value` if there is no `key`; says whether it did."""
        return await self.swap(key, value, 0, timeout_s=timeout_s)

    async def swap(self, key: str, value: Value, mod_revision: int, *, timeout_s: float = TIMEOUT_S) -> bool:
        """Writes `value` if `key` was last written at `mod_revision` (0: does not exist); says whether it did."""
        return await self.swap_leased(key, value, mod_revision, 0, timeout_s=timeout_s) is not None

    async def delete(self, key: str, *, fence: Fence | None = None, timeout_s: float = TIMEOUT_S) -> bool:
        """Removes `key`; False if there was none. TopoFenced if `fence` does not hold."""
        request = self._rpc.DeleteRangeRequest(key=self._full(key))
        if fence is None:
            return bool((await self._etcd.delete_range(request, timeout_s)).deleted)
        response = await self._txn(
            [self._fence(fence)], self._rpc.RequestOp(request_delete_range=request), timeout_s
        )
        if not response:
            raise TopoFenced(f"{key}: not deleted, since {fence.key} has changed hands")
        return bool(response.responses[0].response_delete_range.deleted)

    async def list(self, prefix: str, *, timeout_s: float = TIMEOUT_S) -> tuple[dict[str, Record], int]:
        """All records whose key begins with `prefix`, and the revision of etcd they are of."""
        records, revision, _ = await self.list_raw(prefix, timeout_s=timeout_s)
        return records, revision

    def watch(self, prefix: str, on_change: OnChange) -> Watch:
        """Calls `on_change(content)` in this loop with everything under `prefix`, {key: value}, once it is known
        and after each change. Survives whatever happens to etcd; while it is down the content stays. A key
        without its prefix (`leader`) may be watched too, if no other key begins with it."""
        watch = Watch(self, self._hub, prefix, on_change)
        self._watches.append(watch)
        return watch

    def hold(self, key: str, value: Value, ttl_s: float = 5.0, *, yields: bool = False) -> Registration:
        """Keeps `key` in etcd on a lease as long as this process lives: written as soon as etcd answers, written
        again whenever it or its lease was lost, gone at most about `ttl_s` after the process (etcd's least is 2).
        See `Registration` for updating and for what happens when another process holds the same key."""
        registration = Registration(self, key, value, ttl_s, yields)
        self._held.append(registration)
        return registration

    async def close(self) -> None:
        """Ends watches, releases what is held (best effort, 1 s each), closes the connection."""
        for watch in self._watches:
            watch.close()
        for registration in self._held:
            await registration.release()
        self._hub.close()
        self._etcd.close()

    # ---- for watch.py, hold.py and elect.py

    async def list_raw(self, prefix: str, *, timeout_s: float) -> tuple[dict[str, Record], int, int]:
        """Records, revision, and the id of the etcd cluster (another one: its revisions mean nothing here)."""
        key, range_end = self.bounds(prefix)
        response = await self._etcd.range(self._rpc.RangeRequest(key=key, range_end=range_end), timeout_s)
        records = {}
        for kv in response.kvs:
            name = self.relative(kv.key)
            records[name] = _record(name, kv)
        return records, int(response.header.revision), int(response.header.cluster_id)

    async def newest(self, prefix: str, *, timeout_s: float) -> tuple[int, int, int]:
        """How many keys, the newest mod revision among them (0 without any), the id of the etcd cluster."""
        key, range_end = self.bounds(prefix)
        request = self._rpc.RangeRequest(
            key=key, range_end=range_end, limit=1, keys_only=True, sort_order=_DESCEND, sort_target=_SORT_MOD
        )
        response = await self._etcd.range(request, timeout_s)
        newest = int(response.kvs[0].mod_revision) if response.kvs else 0
        return int(response.count), newest, int(response.header.cluster_id)

    async def grant(self, ttl_s: float, timeout_s: float) -> int:
        return await self._etcd.lease_grant(ttl_s, timeout_s)

    async def keepalive(self, lease: int, timeout_s: float) -> bool:
        return await self._etcd.lease_keepalive(lease, timeout_s)

    async def revoke(self, lease: int, timeout_s: float) -> None:
        await self._etcd.lease_revoke(lease, timeout_s)

    async def put_leased(self, key: str, value: Value, lease: int, timeout_s: float) -> None:
        """TopoError if the lease is gone."""
        await self._etcd.put(
            self._rpc.PutRequest(key=self._full(key), value=encode(key, value), lease=lease), timeout_s
        )

    async def swap_leased(
        self, key: str, value: Value, mod_revision: int, lease: int, *, timeout_s: float
    ) -> int | None:
        """The revision of the write; None if `key` was not last written at `mod_revision`."""
        put = self._rpc.PutRequest(key=self._full(key), value=encode(key, value), lease=lease)
        guard = self._fence(Fence(key, mod_revision))
        response = await self._txn([guard], self._rpc.RequestOp(request_put=put), timeout_s)
        return int(response.header.revision) if response else None

    async def holder(self, key: str, timeout_s: float) -> tuple[int, int] | None:
        """The lease that holds `key` (0: none does) and its mod revision; None if there is no such key."""
        request = self._rpc.RangeRequest(key=self._full(key), keys_only=True)
        response = await self._etcd.range(request, timeout_s)
        return (int(response.kvs[0].lease), int(response.kvs[0].mod_revision)) if response.kvs else None

    def bounds(self, prefix: str) -> tuple[bytes, bytes]:
        start = self._full(prefix)
        return start, increment(start)

    def relative(self, key: bytes) -> str:
        return key.decode("utf-8", "replace").removeprefix(self._base)

    def _full(self, key: str) -> bytes:
        return (self._base + key).encode()

    def _fence(self, fence: Fence) -> Any:
        return self._rpc.Compare(
            key=self._full(fence.key), target=_COMPARE_MOD, result=_EQUAL, mod_revision=fence.mod_revision
        )

    async def _txn(self, compare: Sequence[Any], operation: Any, timeout_s: float) -> Any:
        """The response, or None when a comparison failed."""
        request = self._rpc.TxnRequest(compare=compare, success=[operation])
        response = await self._etcd.txn(request, timeout_s)
        return response if response.succeeded else None


def _record(key: str, kv: Any) -> Record:
    return Record(decode(key, kv.value), int(kv.mod_revision))
