"""Watches: the whole content under a prefix, now and after each change.

Invariants
- A watch lists at revision R and streams from R + 1. Whenever the stream ends, is cancelled or compacted, or does
  not agree with a check, it lists again: content is only ever that of one revision plus the events after it.
- The check, every CHECK_S, reads how many keys there are and the newest mod revision among them. Both equal those
  of the content exactly if nothing changed since: a put raises the newest revision, a deletion lowers the count.
  So a stream that fell silent is found out, at the price of one key a check. While both stay what they were for all
  keys of the cluster (a question for all watches of a store), no watch asks for its own.
- While etcd is down the last known content stays.
- `on_change` is never called with content it was called with before, and never twice at once.

All watches of a store share one stream.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from controlplane.topo.errors import TopoError, TopoUnavailable
from controlplane.topo.values import Record, Value, decode

if TYPE_CHECKING:
    from controlplane.topo.etcd import Etcd, Stream
    from controlplane.topo.store import Store

_log = logging.getLogger(__name__)

CHECK_S: Final = 2.0
MARK_S: Final = 0.5
_RETRY_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
_ETCD_PUT: Final = 0

Mark = tuple[int, int, int]
"""How many keys, the newest mod revision among them, the cluster's id."""
OnChange = Callable[[dict[str, Value]], None]


class WatchHub:
    """The stream that all watches of a store share; opened by the first, and again after it ends."""

    def __init__(self, etcd: "Etcd") -> None:
        self._etcd = etcd
        self._stream: Stream | None = None
        self._opening = asyncio.Lock()
        self._creating: deque[Watch | None] = deque()  # etcd answers creations in order
        self._by_id: dict[int, Watch] = {}
        self._asking: asyncio.Task[Mark] | None = None
        self._asked_s = 0.0

    async def mark(self, store: "Store") -> Mark:
        """Count and newest revision of all the cluster's keys, MARK_S ago at most. Raises TopoError."""
        now_s = asyncio.get_running_loop().time()
        asking = self._asking
        if asking is None or now_s - self._asked_s > MARK_S:
            self._asked_s = now_s
            asking = self._asking = asyncio.create_task(store.newest("", timeout_s=CHECK_S))
            asking.add_done_callback(
                lambda done: done.cancelled() or done.exception()
            )  # whoever asked may be gone
        return await asyncio.shield(asking)

    async def add(self, watch: "Watch", key: bytes, range_end: bytes, start_revision: int) -> None:
        """Raises TopoError when no stream can be opened; `watch.broken()` follows if it ends later."""
        async with self._opening:
            if self._stream is None:
                self._stream = await self._etcd.stream(self._on_response, self._on_end)
        self._creating.append(watch)
        self._stream.create(key, range_end, start_revision)

    def remove(self, watch: "Watch") -> None:
        """No event reaches `watch` afterwards."""
        for watch_id, other in list(self._by_id.items()):
            if other is watch:
                del self._by_id[watch_id]
                if self._stream is not None:
                    self._stream.cancel(watch_id)
        if watch in self._creating:
            self._creating = deque(None if other is watch else other for other in self._creating)

    def close(self) -> None:
        """Ends the stream; watches that still run list again and open another."""
        stream = self._stream
        if stream is not None:
            stream.close()
            self._on_end(stream)

    def _on_response(self, stream: "Stream", response: Any) -> None:
        if stream is not self._stream:
            return
        watch_id = response.watch_id
        if response.created:
            watch = self._creating.popleft()
            if watch is None:
                stream.cancel(watch_id)
                return
            self._by_id[watch_id] = watch
        known = self._by_id.get(watch_id)
        if known is None:
            return
        if response.canceled or response.compact_revision:
            self._by_id.pop(watch_id, None)
            known.broken()
        elif response.events:
            known.apply(response.events)

    def _on_end(self, stream: "Stream") -> None:
        if stream is not self._stream:
            return
        self._stream = None
        orphans = [*self._by_id.values(), *(watch for watch in self._creating if watch is not None)]
        self._by_id.clear()
        self._creating.clear()
        for watch in orphans:
            watch.broken()


class Watch:
    """What `Store.watch` gives: keeps calling `on_change` until `close`."""

    def __init__(self, store: "Store", hub: WatchHub, prefix: str, on_change: OnChange) -> None:
        self.prefix = prefix
        self.lists = 0
        """How often it listed; the first is one."""
        self._store = store
        self._hub = hub
        self._on_change = on_change
        self._content: dict[str, Record] = {}
        self._listed_at = 0
        self._cluster_id = 0
        self._delivered = False
        self._trouble = asyncio.Event()
        self._synced = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"topo watch {prefix}")

    async def synced(self) -> None:
        """Returns once `on_change` was called for the first time."""
        await self._synced.wait()

    def close(self) -> None:
        """`on_change` is not called afterwards."""
        self._task.cancel()
        self._hub.remove(self)

    def broken(self) -> None:
        """Of the hub: events may be missing from now on."""
        self._trouble.set()

    def apply(self, events: Any) -> None:
        """Of the hub: takes the events in; those that the list had already are skipped."""
        changed = False
        for event in events:
            kv = event.kv
            if kv.mod_revision <= self._listed_at:
                continue
            key = self._store.relative(kv.key)
            changed = True
            if event.type == _ETCD_PUT:
                self._content[key] = Record(decode(key, kv.value), kv.mod_revision)
            else:
                self._content.pop(key, None)
        if changed and not self._task.done():
            self._deliver()

    async def _run(self) -> None:
        failures = 0
        while True:
            self._trouble.clear()
            try:
                await self._list()
                key, range_end = self._store.bounds(self.prefix)
                await self._hub.add(self, key, range_end, self._listed_at + 1)
            except TopoError as error:
                if not isinstance(error, TopoUnavailable):  # that one was told already, by Etcd
                    _log.warning("watch %s: %s", self.prefix, error)
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1
                continue
            began_s = asyncio.get_running_loop().time()
            await self._until_trouble()
            self._hub.remove(self)
            if asyncio.get_running_loop().time() - began_s > 1.0:
                failures = 0
            else:  # a stream that breaks at once must not become a busy loop
                await asyncio.sleep(_RETRY_S[min(failures, len(_RETRY_S) - 1)])
                failures += 1

    async def _until_trouble(self) -> None:
        agreed: Mark | None = None
        """What the cluster was like just before this watch last agreed with it."""
        while True:
            try:
                await asyncio.wait_for(self._trouble.wait(), CHECK_S)
            except TimeoutError:
                pass
            else:
                return
            try:
                mark = await self._hub.mark(self._store)
                if mark == agreed:
                    continue
                if not await self._agrees():
                    return
                agreed = mark
            except TopoError:
                continue  # down: the stream ends too, or a later check tells what was missed

    async def _list(self) -> None:
        records, revision, cluster_id = await self._store.list_raw(self.prefix, timeout_s=CHECK_S)
        self.lists += 1
        changed = not self._delivered or {k: r.value for k, r in records.items()} != {
            k: r.value for k, r in self._content.items()
        }
        self._content, self._listed_at, self._cluster_id = records, revision, cluster_id
        if changed:
            self._deliver()

    async def _agrees(self) -> bool:
        count, newest, cluster_id = await self._store.newest(self.prefix, timeout_s=CHECK_S)
        known = max((record.mod_revision for record in self._content.values()), default=0)
        return (count, newest, cluster_id) == (len(self._content), known, self._cluster_id)

    def _deliver(self) -> None:
        self._delivered = True
        try:
            self._on_change({key: record.value for key, record in self._content.items()})
        except Exception:
            _log.exception("watch %s: its on_change failed", self.prefix)
        self._synced.set()
