"""Generated ids: blocks of a sequence table, fetched once a block and handed out by the worker.

A sequence is a table of one row in an unsharded keyspace, as Vitess has it: `id = 0`, `next_id`, `cache`. A block is
taken by one UPDATE outside any transaction, so ids are never given twice; those left in a worker that ends are lost.
"""

import asyncio
from typing import TYPE_CHECKING, Final

from core.errors import SluiceError, fail
from core.rpc import messages as m
from router.gateway import Link
from wire.answers import parse_ok
from wire.packets import iterate_payloads

if TYPE_CHECKING:
    from router.workers.worker import Worker

MIN_BLOCK: Final = 1
MAX_BLOCK: Final = 1_000_000


class _Block:
    __slots__ = ("cache", "end", "lock", "next")

    def __init__(self) -> None:
        self.next = 0
        self.end = 0
        self.cache = 0
        self.lock = asyncio.Lock()


class Sequences:
    """The blocks of one worker."""

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._blocks: dict[tuple[str, str], _Block] = {}

    async def take(self, keyspace: str, table: str, count: int) -> int:
        """The first of `count` consecutive ids. Raises SluiceError."""
        if count > MAX_BLOCK:
            raise fail(
                "SYNTAX", message=f"one statement takes at most {MAX_BLOCK} generated ids, not {count}"
            )
        block = self._blocks.setdefault((keyspace, table), _Block())
        async with block.lock:
            while block.end - block.next < count:
                await self._fetch(block, keyspace, table, count)
            first = block.next
            block.next += count
            return first

    async def _fetch(self, block: _Block, keyspace: str, table: str, count: int) -> None:
        view = self._worker.view
        if view is None:
            raise fail("TOPOLOGY", reason="this worker has not heard of the cluster yet")
        link = view.keyspace(keyspace).links[0]
        name = b"`" + table.replace("`", "``").encode() + b"`"
        if not block.cache:
            block.cache = await self._cache_of(link, name, keyspace, table)
        size = min(max(count, block.cache), MAX_BLOCK)
        take = b"UPDATE " + name + b" SET next_id = LAST_INSERT_ID(next_id + %d) WHERE id = 0" % size
        answer = await self._worker.calls.execute(link, take, flags=m.F_WRITE, tables=(table,))
        if answer.failed:
            raise _wrong(keyspace, table, answer.error().text)
        ok = parse_ok(next(iter(iterate_payloads(answer.data))))
        if not ok.affected_rows or not ok.last_insert_id:
            raise _wrong(keyspace, table, "it has no row with id = 0")
        block.end = ok.last_insert_id
        block.next = max(1, block.end - size)  # 0 would ask MySQL for an id of its own

    async def _cache_of(self, link: Link, name: bytes, keyspace: str, table: str) -> int:
        answer = await self._worker.calls.execute(link, b"SELECT cache FROM " + name + b" WHERE id = 0")
        if answer.failed:
            raise _wrong(keyspace, table, answer.error().text)
        row = list(iterate_payloads(answer.data))[3]
        if row[:1] == b"\xfe":
            raise _wrong(keyspace, table, "it has no row with id = 0")
        return min(max(int(row[1:]), MIN_BLOCK), MAX_BLOCK)


def _wrong(keyspace: str, table: str, reason: str) -> SluiceError:
    return fail("UNKNOWN_ERROR", message=f"sequence {keyspace}.{table} gives no ids: {reason}")
