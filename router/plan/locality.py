"""Whether what a block does to rows can be done on each shard by itself.

Invariant: true only when the shards' results put together are the block's result.
"""

from __future__ import annotations

from router.plan.block import Block, keys_of
from router.plan.shape import grouping, has_aggregates, own
from router.sql.parse import exp


def is_plain(block: Block, select: exp.Select) -> bool:
    """Whether each shard's rows are rows of the result, and all of them."""
    if select.args.get("limit") or select.args.get("offset"):
        return False
    if select.args.get("distinct") and not has_key(block, [item.unalias() for item in select.expressions]):
        return False
    return groups_by_key(block, select) and windows_by_key(block, select)


def has_key(block: Block, expressions: list[exp.Expr]) -> bool:
    """Whether the expressions contain all columns of the sharding key, or their equals."""
    if block.anchor is None:
        return False
    places = {
        block.known.find(place)
        for one in expressions
        if isinstance(one, exp.Column) and (place := block.scope.resolve(one)) is not None
    }
    return any(all(block.known.find(place) in places for place in key) for key in keys_of(block.anchor))


def key_in_order(block: Block, expressions: list[exp.Expr]) -> bool:
    """Whether the expressions are the columns of the sharding key, in the vindex's order."""
    places = [block.scope.resolve(one) if isinstance(one, exp.Column) else None for one in expressions]
    return block.anchor is not None and any(
        len(key) == len(places)
        and all(
            place is not None and block.known.find(place) == block.known.find(part)
            for place, part in zip(places, key, strict=True)
        )
        for key in keys_of(block.anchor)
    )


def groups_by_key(block: Block, select: exp.Select) -> bool:
    """Whether every group of the block lies on one shard (also when there are no groups)."""
    group = select.args.get("group")
    if group is None:
        return not has_aggregates(select)
    if group.args.get("rollup"):
        return False
    return has_key(block, grouping(select))


def windows_by_key(block: Block, select: exp.Select) -> bool:
    """Whether every window's partitions lie on one shard each."""
    named = {window.name: window for window in select.args.get("windows") or []}
    for window in own(select, exp.Window):
        partition = window.args.get("partition_by") or []
        if not partition and window.alias in named:
            partition = named[window.alias].args.get("partition_by") or []
        if not has_key(block, partition):
            return False
    return True
