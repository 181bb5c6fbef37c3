"""Two ways to read several shards as one stream of rows: as they come, or in order; and DISTINCT on the way out.

`advance` does what is possible now and returns; it never waits. Rows in order need the next row of *every* shard
that has not ended, so a shard that is ahead keeps its rows in its reader and gets no credit.
"""

from __future__ import annotations

import heapq
from collections.abc import Callable, Sequence
from typing import Any, Protocol

from core.errors import fail
from router.engine.keys import Key, KeyOf, Values
from router.engine.output import Output
from router.engine.reader import ResultReader
from wire.rows import split_text_row

Sink = Callable[[Key | None, list[bytes | None], bytes], None]
"""Takes a row: its order key (None where rows are not ordered), its values, its payload."""


class Stream(Protocol):
    """Reads all shards into a sink."""

    def advance(self, shard: int) -> None:
        """Reads on after something of `shard` came. Raises what the sink and the readers raise."""

    def waits_for(self, shard: int) -> bool:
        """Nothing can be read before more of `shard` comes."""


def visible_part(payload: bytes, values: Values, visible: int) -> bytes:
    """The row without its hidden columns, which stand at its end."""
    end = len(payload)
    for value in values[visible:]:
        if value is None:
            end -= 1
        else:
            size = len(value)
            end -= size + (1 if size < 251 else 3 if size < 0x10000 else 4 if size < 0x1000000 else 9)
    return payload[:end]


class PacketStream:
    """All columns of all rows, in any order: packets are only numbered anew, never looked into."""

    __slots__ = ("_output", "_readers")

    def __init__(self, readers: Sequence[ResultReader], output: Output) -> None:
        self._readers = readers
        self._output = output

    def advance(self, shard: int) -> None:
        output = self._output
        if output.full:
            return
        reader = self._readers[shard]
        if output.passes_packets:
            packets, sequence, rows = reader.take_packets(output.sequence, output.wanted_rows)
            if packets:
                output.packets(packets, sequence, rows)
            return
        while not output.full and (payload := reader.next_row()) is not None:
            output.row(payload)

    def waits_for(self, shard: int) -> bool:
        return not self._readers[shard].at_end


class RowStream:
    """Rows in any order, split into values."""

    __slots__ = ("_count", "_output", "_readers", "_sink")

    def __init__(self, readers: Sequence[ResultReader], output: Output, count: int, sink: Sink) -> None:
        self._readers = readers
        self._output = output
        self._count = count
        self._sink = sink

    def advance(self, shard: int) -> None:
        reader = self._readers[shard]
        output, count, sink = self._output, self._count, self._sink
        while not output.full and (payload := reader.next_row()) is not None:
            sink(None, split_text_row(payload, count), payload)

    def waits_for(self, shard: int) -> bool:
        return not self._readers[shard].at_end


class OrderedStream:
    """Rows in the order of `key_of`, by which every shard's rows are sorted; equal ones in the order of shards."""

    __slots__ = ("_count", "_heap", "_key_of", "_missing", "_output", "_readers", "_sink")

    def __init__(
        self, readers: Sequence[ResultReader], output: Output, count: int, key_of: KeyOf, sink: Sink
    ) -> None:
        self._readers = readers
        self._output = output
        self._count = count
        self._key_of = key_of
        self._sink = sink
        # (key, shard, values, payload): shards differ, so nothing behind them is ever compared
        self._heap: list[tuple[Key, int, list[bytes | None], bytes]] = []
        self._missing = set(range(len(readers)))

    def advance(self, shard: int) -> None:
        heap, missing, output = self._heap, self._missing, self._output
        if shard in missing and (head := self._next(shard)) is not None:
            heapq.heappush(heap, head)
        while heap and not missing and not output.full:
            key, first, values, payload = heap[0]
            self._sink(key, values, payload)
            following = self._next(first)
            if following is None:
                heapq.heappop(heap)
            else:
                heapq.heapreplace(heap, following)

    def waits_for(self, shard: int) -> bool:
        return shard in self._missing

    def _next(self, shard: int) -> tuple[Key, int, list[bytes | None], bytes] | None:
        reader = self._readers[shard]
        payload = reader.next_row()
        if payload is None:
            if reader.at_end:
                self._missing.discard(shard)
            else:
                self._missing.add(shard)
            return None
        self._missing.discard(shard)
        values = split_text_row(payload, self._count)
        return self._key_of(values), shard, values, payload


def writing(output: Output, visible: int, hidden: bool) -> Sink:
    """The sink that sends rows to the client without their hidden columns."""

    def write(key: Key | None, values: list[bytes | None], payload: bytes) -> None:
        output.row(visible_part(payload, values, visible) if hidden else payload)

    return write


def distinct(sink: Sink, key_of: KeyOf, max_rows: int, forget: bool) -> Sink:
    """The sink that passes on the first of equal rows.

    `forget`: rows come ordered by columns of theirs, so that a new order key means that no equal row can follow.
    Raises SluiceError RESULT_TOO_LARGE when it would have to remember more than `max_rows` rows.
    """
    seen: set[Any] = set()
    current: Key | None = None

    def pass_first(key: Key | None, values: list[bytes | None], payload: bytes) -> None:
        nonlocal current
        if forget and key != current:
            seen.clear()
            current = key
        row_key = key_of(values)
        if row_key in seen:
            return
        if len(seen) >= max_rows:
            raise fail("RESULT_TOO_LARGE", limit=max_rows)
        seen.add(row_key)
        sink(key, values, payload)

    return pass_first
