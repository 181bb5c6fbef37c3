"""Putting a block together from its sources: which rows lie on the same shard.

Invariant: parts that are not known to be colocated must all lie on one shard, else the block carries a refusal.
"""

from __future__ import annotations

from dataclasses import dataclass
from itertools import product

from router.plan.block import MAX_VALUES, ONE_SHARD, Block, Key, keys_of, same_vindex
from router.plan.equalities import Equalities, Values, column_pairs, restrictions
from router.plan.names import Kind, Source, listed
from router.sql.parse import exp


@dataclass(slots=True)
class Outer:
    """An outer join: `optional` sources are filled with NULL where no row of `kept` matches."""

    optional: list[Source]
    kept: list[Source]
    conditions: list[exp.Expr]
    strict: bool = False


def anchor_block(block: Block, sources: list[Source]) -> None:
    sharded = [source for source in sources if source.kind is Kind.SHARDED]
    if not sharded:
        return
    block.free = False
    anchor = block.anchor = sharded[0]
    block.vindex = anchor.vindex
    block.values = values_of(anchor, block.known)
    others: list[Source] = []
    for source in sharded[1:]:
        if colocated(source, anchor, block.known):
            values = values_of(source, block.known)
            if values is not None and (block.values is None or len(values) < len(block.values)):
                block.values = values
        else:
            others.append(source)
    # last: from here on the values only grow, and what needs all shards must stay so
    for source in others:
        part = Block(False, values_of(source, block.known), source.vindex, anchor=source)
        combine(
            block,
            part,
            f"a join of {anchor.alias} and {source.alias} that is not by their sharding columns",
            "Join them by their sharding columns, or give both the same value of it.",
        )


def attach(block: Block, join: Outer) -> None:
    known = block.known.copy()
    optional = {source.number for source in join.optional}
    for condition in join.conditions:
        for one, other in column_pairs(condition, block.scope):
            if (one[0] in optional) != (other[0] in optional):
                known.union(one, other)
        for place, values in restrictions(condition, block.scope).items():
            if place[0] in optional and known.values(place) is None:
                known.restrict(place, values)
    kept = [source for source in join.kept if source.kind is Kind.SHARDED]
    for source in join.optional:
        if source.kind is not Kind.SHARDED:
            continue
        if any(colocated(source, one, known) for one in kept):
            continue
        part = Block(False, values_of(source, known), source.vindex, anchor=source)
        preserved = listed(one.alias for one in join.kept)
        combine(
            block,
            part,
            f"an outer join of {preserved} and {source.alias} that is not by their sharding columns",
            "Join them by their sharding columns, or give both the same value of it.",
        )


def combine(block: Block, part: Block, construct: str, instead: str = ONE_SHARD) -> None:
    """Adds a part that must lie on the same one shard as the rest."""
    if part.free:
        return
    refusal = part.refusal or (construct, instead)
    if block.free:
        block.free = False
        block.vindex, block.values = part.vindex, part.values
        block.plain = False
    elif not same_vindex(block.vindex, part.vindex) or block.values is None or part.values is None:
        block.values = None
    else:
        block.values = tuple(dict.fromkeys(block.values + part.values))
    if block.refusal is None and not (block.single and (part.refusal is None)):
        block.refusal = refusal
    block.plain = block.plain and block.single


def colocated(one: Source, other: Source, known: Equalities) -> bool:
    return same_vindex(one.vindex, other.vindex) and any(
        known.same(a, b) for a in keys_of(one) for b in keys_of(other)
    )


def values_of(source: Source, known: Equalities) -> tuple[Key, ...] | None:
    """The keys a source's rows can have, None when any."""
    if source.vindex is None or source.vindex.lookup:
        return None
    best: tuple[Key, ...] | None = None
    for key in keys_of(source):
        columns: list[Values] = []
        count = 1
        for place in key:
            values = known.values(place)
            if values is None:
                break
            columns.append(values)
            count *= len(values)
        else:
            if count <= MAX_VALUES and (best is None or count < len(best)):
                best = tuple(product(*columns))
    return best
