"""Groups of several shards put together: one row in, one row out for each group, whatever shards it lives on.

`StreamedGroups` takes rows in the order of the group columns and holds one group; `HashedGroups` takes them in any
order, holds all groups (at most `max_rows`), and sorts them in the end. A group's columns that are neither keys nor
aggregates (functionally dependent ones, say) are those of its first row.
"""

from __future__ import annotations

import heapq
from collections.abc import Sequence
from typing import Any

from core.errors import fail, not_supported
from router.engine.aggregates import Combiner, Row
from router.engine.keys import Key, KeyOf
from router.engine.output import Output
from router.engine.streams import Sink
from wire.rows import text_row

_Group = tuple[Row, list[Any]]


class _Folding:
    __slots__ = ("_combiners", "_sink")

    def __init__(self, combiners: Sequence[Combiner], sink: Sink) -> None:
        self._combiners = combiners
        self._sink = sink

    def _start(self, values: Row) -> _Group:
        return values, [combiner.first(values) for combiner in self._combiners]

    def _fold(self, group: _Group, values: Row) -> None:
        states = group[1]
        for at, combiner in enumerate(self._combiners):
            states[at] = combiner.fold(states[at], values)

    def _whole(self, group: _Group) -> Row:
        row, states = group
        for combiner, state in zip(self._combiners, states, strict=True):
            combiner.store(state, row)
        return row


class StreamedGroups(_Folding):
    """Rows come sorted by the group columns; a group is passed on when the next begins."""

    __slots__ = ("_current", "_group")

    def __init__(self, combiners: Sequence[Combiner], sink: Sink) -> None:
        super().__init__(combiners, sink)
        self._group: _Group | None = None
        self._current: Key | None = None

    def add(self, key: Key | None, values: Row, payload: bytes) -> None:
        """A `Sink`. Raises SluiceError NOT_SUPPORTED if a row is out of order: a group would be torn in two."""
        if self._group is None or self._current is None:
            self._current, self._group = key, self._start(values)
        elif key == self._current:
            self._fold(self._group, values)
        elif key is None or key < self._current:
            raise not_supported(
                "this GROUP BY over several shards: MySQL sorts its keys in another way than the router",
                "Leave out ORDER BY, or group by LEFT(column, n) where the values are long.",
            )
        else:
            self.finish()
            self._current, self._group = key, self._start(values)

    def finish(self) -> None:
        """Passes on the last group."""
        if self._group is not None:
            row = self._whole(self._group)
            self._group = None
            self._sink(self._current, row, text_row(row))


class HashedGroups(_Folding):
    """Rows come in any order. Without group columns there is one group, if there is a row at all."""

    __slots__ = ("_groups", "_key_of", "_max_rows", "_order")

    def __init__(
        self,
        combiners: Sequence[Combiner],
        sink: Sink,
        key_of: KeyOf | None,
        order: KeyOf | None,
        max_rows: int,
    ) -> None:
        super().__init__(combiners, sink)
        self._groups: dict[Key, _Group] = {}
        self._key_of = key_of
        self._order = order
        self._max_rows = max_rows

    def add(self, key: Key | None, values: Row, payload: bytes) -> None:
        """A `Sink`. Raises SluiceError RESULT_TOO_LARGE."""
        group_key = () if self._key_of is None else self._key_of(values)
        group = self._groups.get(group_key)
        if group is not None:
            self._fold(group, values)
            return
        if len(self._groups) >= self._max_rows:
            raise fail("RESULT_TOO_LARGE", limit=self._max_rows)
        self._groups[group_key] = self._start(values)

    def finish(self, wanted_rows: int, output: Output) -> None:
        """Passes on all groups in order, at least the first `wanted_rows` unless `output` is full before."""
        rows = [self._whole(group) for group in self._groups.values()]
        self._groups.clear()
        order = self._order
        if order is None:
            for row in rows:
                if output.full:
                    return
                self._sink(None, row, text_row(row))
            return
        keyed = [(order(row), at) for at, row in enumerate(rows)]
        keyed = heapq.nsmallest(wanted_rows, keyed) if wanted_rows < len(keyed) // 4 else sorted(keyed)
        for key, at in keyed:
            if output.full:
                return
            self._sink(key, rows[at], text_row(rows[at]))
