"""Lookup vindexes: their rows live in a table of their own, which a write to the owner keeps in step.

`router.execute.lookup_links` asks them where rows are. Invariant: the rows written are those Vitess would write, so
that the tables can be used by both.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from router.vindexes.base import Value, VindexError
from router.vindexes.integers import Hash, unhash
from router.vindexes.unicode_loose import unicode_loose_md5

TYPES: Final[Mapping[str, tuple[int, bool]]] = MappingProxyType(
    {
        # type: (cost, unique), as in Vitess
        "lookup": (20, False),
        "lookup_unique": (10, True),
        "lookup_hash": (20, False),
        "lookup_hash_unique": (10, True),
        "lookup_unicodeloosemd5_hash": (20, False),
        "lookup_unicodeloosemd5_hash_unique": (10, True),
        "consistent_lookup": (20, False),
        "consistent_lookup_unique": (10, True),
        "lookup_cost": (20, False),
    }
)


class Lookup:
    """`table`, `columns` and `target`: where the mapping is kept (the parameters table, from, to); `write_only`: it
    is being filled and must not be read."""

    __slots__ = ("columns", "cost", "name", "params", "table", "target", "type", "unique", "write_only")
    functional: Final = False

    def __init__(self, kind: str, name: str, params: Mapping[str, str], cost: int, unique: bool) -> None:
        self.type: Final = kind
        self.name: Final = name
        self.params: Final = MappingProxyType(dict(params))
        self.cost: Final = cost
        self.unique: Final = unique
        self.table: Final = params.get("table", "")
        self.columns: Final = tuple(
            part.strip() for part in params.get("from", "").split(",") if part.strip()
        )
        self.target: Final = params.get("to", "")
        self.write_only: Final = params.get("write_only") == "true"

    def keyspace_id(self, value: Value) -> bytes | None:
        raise VindexError(value, f"vindex {self.name} is a lookup vindex, which its table maps")

    @property
    def _hashes(self) -> bool:
        return self.type.endswith(("_hash", "_hash_unique"))

    def source_literal(self, value: Value, literal: bytes) -> bytes:
        """What stands in a column of `from` for a column's value. Raises VindexError."""
        if not self.type.startswith("lookup_unicodeloosemd5_hash"):
            return literal
        digest = unicode_loose_md5(self.name).keyspace_id(value)
        assert digest is not None
        return b"%d" % int.from_bytes(digest[:8], "big")

    def target_literal(self, keyspace_id: bytes) -> bytes:
        """What stands in the column `to` for a keyspace id. Raises VindexError."""
        if not self._hashes:
            return b"x'" + keyspace_id.hex().encode() + b"'"
        try:
            return b"%d" % unhash(keyspace_id)
        except ValueError as error:
            raise VindexError(keyspace_id, str(error)) from None

    def keyspace_id_of_target(self, text: bytes) -> bytes:
        """The keyspace id of what HEX() says of the column `to`."""
        if not self._hashes:
            return bytes.fromhex(text.decode("ascii"))
        found = Hash(self.name).keyspace_id(int(text or b"0", 16))
        assert found is not None
        return found
