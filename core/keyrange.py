"""Key ranges: which shard holds a keyspace id.

A keyspace id is a byte string; a shard owns the half-open range [start, end) of them, compared as bytes. A
shard is named by its range as Vitess writes it: two hexadecimal bounds around a dash, an empty bound meaning
"to the end" (`-80`, `40-80`, `c0-`). The one shard of an unsharded keyspace is called `-` or `0`.

Invariants
- Bounds are kept without trailing zero bytes: `8000-` is `80-`, as in Vitess.
- A `ShardMap` covers every keyspace id exactly once; lists of names that do not are refused at construction.
- Everything here is pure.
"""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from itertools import pairwise

UNSHARDED_NAMES = frozenset(("-", "0"))


class KeyRangeError(ValueError):
    """A shard name that is no key range, or a list of them that does not partition the keyspace ids."""


@dataclass(frozen=True, slots=True, order=True)
class KeyRange:
    """The keyspace ids from `start` (included) to `end` (excluded); an empty `end` has no upper bound."""

    start: bytes
    end: bytes

    @classmethod
    def parse(cls, name: str) -> KeyRange:
        """The range a shard name stands for. Raises KeyRangeError when it is none.

        >>> KeyRange.parse("40-80")
        KeyRange(start=b'@', end=b'\\x80')
        """
        if name in UNSHARDED_NAMES:
            return FULL_RANGE
        low, dash, high = name.partition("-")
        if not dash:
            raise KeyRangeError(
                f'shard name "{name}" is not a key range: expected START-END such as "-80" or "40-80"'
            )
        start = _bound(name, low)
        end = _bound(name, high)
        if high and end <= start:
            raise KeyRangeError(f'shard name "{name}" is an empty key range: its start is not below its end')
        return cls(start, end)

    def __str__(self) -> str:
        return f"{self.start.hex()}-{self.end.hex()}"

    def contains(self, keyspace_id: bytes) -> bool:
        return self.start <= keyspace_id and (not self.end or keyspace_id < self.end)

    def overlaps(self, other: KeyRange) -> bool:
        return (not self.end or other.start < self.end) and (not other.end or self.start < other.end)


FULL_RANGE = KeyRange(b"", b"")


def prefix_range(prefix: bytes) -> KeyRange:
    """All keyspace ids that begin with `prefix` (an empty prefix: all)."""
    start = prefix.rstrip(b"\0")
    head = prefix.rstrip(b"\xff")
    if not head:
        return KeyRange(start, b"")
    return KeyRange(start, head[:-1] + bytes((head[-1] + 1,)))


def partition_error(names: Iterable[str]) -> str | None:
    """Why these shard names do not cover every keyspace id exactly once; None when they do.

    >>> partition_error(["-40", "80-"])
    'no shard holds key range 40-80'
    """
    ranges: list[tuple[KeyRange, str]] = []
    for name in names:
        try:
            ranges.append((KeyRange.parse(name), name))
        except KeyRangeError as error:
            return str(error)
    if not ranges:
        return "no shards are named"
    ranges.sort()
    first, _ = ranges[0]
    if first.start:
        return f"no shard holds key range {KeyRange(b'', first.start)}"
    for (low, low_name), (high, high_name) in pairwise(ranges):
        if low.overlaps(high):
            both = KeyRange(high.start, min((end for end in (low.end, high.end) if end), default=b""))
            return f'shards "{low_name}" and "{high_name}" overlap: both hold key range {both}'
        if low.end < high.start:
            return f"no shard holds key range {KeyRange(low.end, high.start)}"
    last, _ = ranges[-1]
    if last.end:
        return f"no shard holds key range {KeyRange(last.end, b'')}"
    return None


class ShardMap:
    """The shards of one keyspace in key range order. `shard_for` is on the way of every routed query."""

    __slots__ = ("_by_first_byte", "_ranges", "_starts", "names")

    names: tuple[str, ...]

    def __init__(self, names: Sequence[str]) -> None:
        """Raises KeyRangeError unless the names partition the keyspace ids (see `partition_error`)."""
        error = partition_error(names)
        if error is not None:
            raise KeyRangeError(error)
        ordered = sorted((KeyRange.parse(name), name) for name in names)
        self.names = tuple(name for _, name in ordered)
        self._ranges = tuple(key_range for key_range, _ in ordered)
        self._starts = [key_range.start for key_range in self._ranges]
        # A first byte decides alone unless a longer bound cuts through the ids that begin with it.
        cut = {start[0] for start in self._starts if len(start) > 1}
        self._by_first_byte: tuple[str | None, ...] = tuple(
            None if byte in cut else self._search(bytes((byte,))) for byte in range(256)
        )

    def _search(self, keyspace_id: bytes) -> str:
        return self.names[bisect_right(self._starts, keyspace_id) - 1]

    def shard_for(self, keyspace_id: bytes) -> str:
        """The name of the shard that holds this keyspace id."""
        if keyspace_id:
            name = self._by_first_byte[keyspace_id[0]]
            if name is not None:
                return name
        return self._search(keyspace_id)

    def range_of(self, name: str) -> KeyRange:
        """The key range of one of `names`; KeyError for another name."""
        try:
            return self._ranges[self.names.index(name)]
        except ValueError:
            raise KeyError(name) from None

    def shards_in(self, key_range: KeyRange) -> tuple[str, ...]:
        """The names of the shards that hold a part of `key_range`, in order."""
        return tuple(
            name for name, own in zip(self.names, self._ranges, strict=True) if own.overlaps(key_range)
        )

    def __len__(self) -> int:
        return len(self.names)

    def __repr__(self) -> str:
        return f"ShardMap({list(self.names)!r})"


def _bound(name: str, text: str) -> bytes:
    value: bytes | None
    try:
        value = bytes.fromhex(text)
    except ValueError:
        value = None
    if value is None or value.hex() != text:  # fromhex is lenient: it allows blanks and capitals
        raise KeyRangeError(
            f'shard name "{name}": "{text}" is not a bound; write bytes as pairs of lower-case hexadecimal digits'
        )
    return value.rstrip(b"\0")
