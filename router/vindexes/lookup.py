"""Lookup vindexes: recognised, so that a VSchema with them loads, and not used yet.

Their rows live in a table of their own, which a write to the owner must keep in step. Until the router does that,
tables that own one refuse writes (`Table.unsupported_write_reason`), and reads are routed without them.
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Final

from router.vindexes.base import Value, VindexError

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
        raise VindexError(value, f"vindex {self.name} is a lookup vindex, which does not route yet")
