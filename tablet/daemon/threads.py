"""The threads of MySQL that are this tablet's, as they stand in etcd: who comes after it knows which are surely ours.

`threads/<keyspace>/<shard>` is written, a moment after they changed, by the tablet that has the lock of its MySQL
(`backend/ownership.py`), and stays when it dies. Thread numbers begin anew with each start of MySQL, so that time is
part of the record; what it was by the server's own clock may be told a little differently each time.
"""

import asyncio
import contextlib
from typing import Any, Final

from controlplane.topo.errors import TopoError

BOOT_TOLERANCE_S: Final = 10.0
_READ_S: Final = 1.0
_WRITE_S: Final = 2.0
_RETRY_S: Final = 1.0


class ThreadList:
    """`store` is a controlplane.topo Store."""

    def __init__(self, store: Any, key: str, alias: str) -> None:
        self._store = store
        self._key = key
        self._alias = alias
        self._value: dict[str, Any] = {}
        self._changed = asyncio.Event()
        self._task = asyncio.get_running_loop().create_task(self._run(), name=f"tablet {key}")

    async def left(self, boot_s: float) -> list[int]:
        """What an earlier tablet had on the MySQL that was started at `boot_s`; nothing where etcd does not tell."""
        try:
            record = await self._store.get(self._key, timeout_s=_READ_S)
        except TopoError:
            return []
        return of_this_life(record.value if record is not None else {}, boot_s)

    def note(self, boot_s: float, threads: set[int]) -> None:
        """These are ours now. Never waits."""
        value = {"tablet": self._alias, "mysql_started_s": round(boot_s), "threads": sorted(threads)}
        same = value["threads"] == self._value.get("threads")
        if not same or abs(boot_s - self._value["mysql_started_s"]) > BOOT_TOLERANCE_S:
            self._value = value
            self._changed.set()

    async def _run(self) -> None:
        while True:
            await self._changed.wait()
            self._changed.clear()
            try:
                await self._store.put(self._key, self._value, timeout_s=_WRITE_S)
            except TopoError:
                self._changed.set()
                await asyncio.sleep(_RETRY_S)

    async def close(self) -> None:
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def of_this_life(record: dict[str, Any], boot_s: float) -> list[int]:
    """The threads that `record` names, if it is of the MySQL that was started at `boot_s`."""
    started_s, threads = record.get("mysql_started_s"), record.get("threads")
    if not isinstance(started_s, int) or not isinstance(threads, list):
        return []
    if abs(started_s - boot_s) > BOOT_TOLERANCE_S:
        return []
    return [thread for thread in threads if isinstance(thread, int) and thread > 0]
