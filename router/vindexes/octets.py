"""Vindexes over the octets of a value: `binary`, `binary_md5`, `xxhash`, `null`, `cfc`.

A number counts as its text ("42"), NULL as no octets, both as in Vitess. So the text matters: under these, a column
of a case-insensitive collation has one keyspace id for each spelling.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from hashlib import md5
from typing import Final

from xxhash import xxh64_digest

from router.vindexes.base import Value, VindexError, bytes_of


def md5_digest(data: bytes) -> bytes:
    return md5(data, usedforsecurity=False).digest()


def xxhash_digest(data: bytes) -> bytes:
    """XXH64 with seed 0, in little-endian order as Vitess writes it."""
    digest: bytes = xxh64_digest(data)
    return digest[::-1]


class Binary:
    """The octets themselves. Source: Vitess binary.go."""

    __slots__ = ("name",)
    cost: Final = 0
    unique: Final = True
    functional: Final = True

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def keyspace_id(self, value: Value) -> bytes | None:
        return bytes_of(value)


class BinaryMD5:
    """MD5 of the octets. Source: Vitess binarymd5.go."""

    __slots__ = ("name",)
    cost: Final = 1
    unique: Final = True
    functional: Final = True

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def keyspace_id(self, value: Value) -> bytes | None:
        return md5_digest(bytes_of(value))


class XXHash:
    """XXH64 of the octets. Source: Vitess xxhash.go."""

    __slots__ = ("name",)
    cost: Final = 1
    unique: Final = True
    functional: Final = True

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def keyspace_id(self, value: Value) -> bytes | None:
        return xxhash_digest(bytes_of(value))


class Null:
    """Every value, NULL too, on the first shard. Source: Vitess null.go."""

    __slots__ = ("name",)
    cost: Final = 100
    unique: Final = True
    functional: Final = True

    def __init__(self, name: str) -> None:
        self.name: Final = name

    def keyspace_id(self, value: Value) -> bytes | None:
        return b"\0"


class ConcatenatedFixedWidth:
    """`cfc`: the value is cut at `offsets` and each piece hashed by itself, so that values with a common beginning
    lie together. Without a digest it is `binary`. Source: Vitess cfc.go (its routing of LIKE is not used)."""

    __slots__ = ("_digest", "_offsets", "name")
    cost: Final = 1
    unique: Final = True
    functional: Final = True

    def __init__(
        self, name: str, digest: Callable[[bytes], bytes] | None = None, offsets: Sequence[int] = ()
    ) -> None:
        self.name: Final = name
        self._digest: Final = digest
        self._offsets: Final = tuple(offsets)

    def keyspace_id(self, value: Value) -> bytes | None:
        data = bytes_of(value)
        digest = self._digest
        if digest is None:
            return data
        cuts = self._offsets
        if len(data) < cuts[-1]:
            raise VindexError(
                value, f"it has {len(data)} octets, vindex {self.name} needs {cuts[-1]} or more"
            )
        edges = (0, *cuts, len(data)) if len(data) > cuts[-1] else (0, *cuts)
        pieces = [data[edges[i] : edges[i + 1]] for i in range(len(edges) - 1)]
        return b"".join(digest(piece)[: len(piece)] for piece in pieces)  # never longer than the piece
