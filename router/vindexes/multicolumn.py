"""Vindexes over several columns: `multicol`, `region_experimental`, `region_json`."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Final

from core.keyrange import KeyRange, prefix_range
from router.vindexes.base import Value, Vindex, VindexError, bytes_of, integer_of
from router.vindexes.integers import Hash


class MultiCol:
    """Each column's own keyspace id, cut or padded to its number of bytes, one after the other; together at most 8.

    Source: Vitess multicol.go.
    """

    __slots__ = ("_columns", "column_count", "cost", "name")
    unique: Final = True
    functional: Final = True
    partial: Final = True

    def __init__(self, name: str, columns: Sequence[tuple[Vindex, int]]) -> None:
        """`columns`: vindex and bytes of each."""
        self.name: Final = name
        self._columns: Final = tuple(columns)
        self.column_count: Final = len(columns)
        self.cost: Final = sum(vindex.cost for vindex, _ in columns)

    def row_keyspace_id(self, values: Sequence[Value]) -> bytes | None:
        _expect(values, self.column_count, self.column_count)
        return self._concatenated(values)

    def prefix(self, values: Sequence[Value]) -> KeyRange | None:
        _expect(values, 1, self.column_count)
        found = self._concatenated(values)
        return None if found is None else prefix_range(found)

    def _concatenated(self, values: Sequence[Value]) -> bytes | None:
        keyspace_id = b""
        filled = 0
        for value, (vindex, size) in zip(values, self._columns, strict=False):
            part = vindex.keyspace_id(value)
            if part is None:
                return None
            # Padding comes before the next column, so a short last column leaves the keyspace id short.
            keyspace_id = keyspace_id.ljust(filled, b"\0") + part[:size]
            filled += size
        return keyspace_id


class RegionExperimental:
    """The region's number in 1 or 2 bytes, then `hash` of the second column. Source: Vitess region_experimental.go."""

    __slots__ = ("_size", "name")
    cost: Final = 1
    unique: Final = True
    functional: Final = True
    partial: Final = True
    column_count: Final = 2

    def __init__(self, name: str, region_bytes: int) -> None:
        self.name: Final = name
        self._size: Final = region_bytes

    def row_keyspace_id(self, values: Sequence[Value]) -> bytes | None:
        _expect(values, 2, 2)
        return _region_id(_unsigned(values[0]), self._size, values[1])

    def prefix(self, values: Sequence[Value]) -> KeyRange | None:
        _expect(values, 1, 2)
        if len(values) == 2:
            found = self.row_keyspace_id(values)
            return None if found is None else prefix_range(found)
        region = _unsigned(values[0])
        return None if region is None else prefix_range(_region(region, self._size))


class RegionJSON:
    """The number that a table gives for the second column (a country, say) in 1 or 2 bytes, then `hash` of the
    first. A region that is not in the table is in no shard. Source: Vitess region_json.go."""

    __slots__ = ("_regions", "_size", "name")
    cost: Final = 1
    unique: Final = True
    functional: Final = True
    partial: Final = False
    column_count: Final = 2

    def __init__(self, name: str, regions: Mapping[str, int], region_bytes: int) -> None:
        self.name: Final = name
        self._regions: Final = {region.encode(): number for region, number in regions.items()}
        self._size: Final = region_bytes

    def row_keyspace_id(self, values: Sequence[Value]) -> bytes | None:
        _expect(values, 2, 2)
        return _region_id(self._regions.get(bytes_of(values[1])), self._size, values[0])

    def prefix(self, values: Sequence[Value]) -> KeyRange | None:
        raise VindexError(values[0], f"vindex {self.name} needs the values of both its columns")


_hash = Hash("hash")


def _region(number: int, size: int) -> bytes:
    return (number & 0xFFFF).to_bytes(2, "big")[-size:]


def _region_id(region: int | None, size: int, hashed: Value) -> bytes | None:
    number = _unsigned(hashed)
    if region is None or number is None:
        return None
    keyspace_id = _hash.keyspace_id(number)
    return None if keyspace_id is None else _region(region, size) + keyspace_id


def _unsigned(value: Value) -> int | None:
    number = integer_of(value)
    return number if number is not None and 0 <= number < 2**64 else None


def _expect(values: Sequence[Value], low: int, high: int) -> None:
    if not low <= len(values) <= high:
        raise VindexError(None, f"{len(values)} values for a vindex of {high} columns")
