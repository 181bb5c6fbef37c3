"""A block of a query (a SELECT, or a set operation) as routing sees it.

Invariant: `values` of a block name every shard on which a row that matters can lie (None: all shards).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from router.plan.equalities import Equalities
from router.plan.names import Place, Scope, Source
from router.plan.plans import Bind, LookupRoute
from router.vschema import ColumnVindex

Key = tuple[Bind | None, ...]
Refusal = tuple[str, str]

MAX_VALUES: Final = 10_000
ONE_SHARD: Final = "Give every part the same value of the sharding column, so that one shard has all rows."


class CannotPlanError(Exception):
    """A construct that routing does not understand: the statement passes only where there is one shard."""

    def __init__(self, construct: str, instead: str = ONE_SHARD) -> None:
        super().__init__(construct)
        self.refusal: Refusal = (construct, instead)


@dataclass(slots=True)
class Block:
    """`free`: it needs no particular shard. `values`: keys whose shards it needs. `refusal`: why it cannot run on
    several. `plain`: the rows of the shards it needs, put together, are its rows. `row_by_row`: that holds whatever
    shards it runs on. `anchor`: the sharded source whose key all others share. `exports`: output columns (lower case)
    that are columns of its sources."""

    free: bool = True
    values: tuple[Key, ...] | None = ()
    vindex: ColumnVindex | None = None
    refusal: Refusal | None = None
    plain: bool = True
    row_by_row: bool = True
    anchor: Source | None = None
    known: Equalities = field(default_factory=Equalities)
    scope: Scope = field(default_factory=Scope)
    exports: dict[str, Place] = field(default_factory=dict)
    names: tuple[str, ...] | None = None  # of the output columns, lower case, where all are known
    lookup: LookupRoute | None = (
        None  # who knows the shards, where `values` do not tell and nothing is refused
    )

    @property
    def single(self) -> bool:
        return self.values is not None and len(self.values) <= 1


def same_vindex(one: ColumnVindex | None, other: ColumnVindex | None) -> bool:
    """Whether two vindexes map equal values to equal shards."""
    if one is None or other is None:
        return False
    a, b = one.vindex, other.vindex
    if a is b or one.name == other.name:
        return True
    if type(a) is not type(b) or one.lookup:
        return False
    slots = [slot for slot in getattr(type(a), "__slots__", ("?",)) if slot != "name"]
    return all(hasattr(a, slot) and getattr(a, slot) == getattr(b, slot) for slot in slots)


def keys_of(source: Source) -> Iterator[tuple[Place, ...]]:
    """The columns that are a source's sharding key, each way they are known."""
    for key in source.keys:
        yield source.places(key)
    if source.hidden_key:
        yield source.hidden_key


def exported_keys(inner: Block, exports: dict[str, Place]) -> Iterator[tuple[str, ...]]:
    """The output columns under which a derived table shows its sharding key."""
    assert inner.anchor is not None
    for key in keys_of(inner.anchor):
        choices = [
            [name for name, place in exports.items() if inner.known.find(place) == inner.known.find(part)]
            for part in key
        ]
        yield from product(*choices)
