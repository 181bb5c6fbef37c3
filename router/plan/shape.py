"""The shape of a SELECT's tree: its own expressions, what its GROUP BY stands for, the queries inside."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final

from router.sql.parse import exp

_AGGREGATES: Final = frozenset(("JSON_ARRAYAGG", "JSON_OBJECTAGG", "ST_COLLECT"))
"""Those that the parser may take for any function."""


def grouping(select: exp.Select) -> list[exp.Expr]:
    """The GROUP BY expressions, with positions and aliases replaced by what they stand for."""
    group = select.args.get("group")
    return [resolved_item(one, select) for one in (group.expressions if group is not None else [])]


def resolved_item(one: exp.Expr, select: exp.Select) -> exp.Expr:
    """What a GROUP BY expression stands for. A plain column stays: MySQL prefers columns of the tables to aliases, and
    which columns there are is not always known."""
    if isinstance(one, exp.Literal) and not one.is_string and len(one.this) < 5:
        at = int(one.this) - 1
        if 0 <= at < len(select.expressions):
            chosen: exp.Expr = select.expressions[at].unalias()
            return chosen
    if isinstance(one, exp.Column) and not one.table:
        for item in select.expressions:
            if isinstance(item, exp.Alias) and item.alias.lower() == one.name.lower():
                inner: exp.Expr = item.unalias()
                if not isinstance(inner, exp.Column):
                    return inner
    return one


def own(select: exp.Expr, kind: type[exp.Expr]) -> Iterator[exp.Expr]:
    """Nodes of `kind` that belong to this block, not to a subquery."""
    for root in own_expressions(select):
        waiting = [root]
        while waiting:
            one = waiting.pop()
            if isinstance(one, exp.Query):
                continue
            if isinstance(one, kind):
                yield one
            waiting += one.iter_expressions()


def has_aggregates(select: exp.Select) -> bool:
    """Whether the block aggregates, GROUP BY or not: an aggregate that is not a window function's."""
    return bool(select.args.get("group")) or any(
        is_aggregate(one) and not isinstance(one.parent, exp.Window) for one in own(select, exp.Func)
    )


def is_aggregate(one: exp.Expr) -> bool:
    """Whether a function makes one row of many. ANY_VALUE does not by itself."""
    if isinstance(one, exp.Anonymous):
        return one.name.upper() in _AGGREGATES
    return isinstance(one, (exp.AggFunc, exp.JSONArrayAgg)) and not isinstance(one, exp.AnyValue)


def aggregate_in(expression: exp.Expr) -> exp.Expr | None:
    """The first aggregate inside an expression."""
    return next((one for one in expression.find_all(exp.Func) if is_aggregate(one)), None)


def own_expressions(select: exp.Expr) -> Iterator[exp.Expr]:
    """The expressions of a block outside of its FROM."""
    yield from select.expressions
    for part in ("group", "having", "order", "limit", "offset", "where"):
        node = select.args.get(part)
        if isinstance(node, exp.Expr):
            yield node
    yield from select.args.get("windows") or []


def queries(root: exp.Expr) -> Iterator[exp.Expr]:
    """The outermost queries inside an expression."""
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (exp.Select, exp.SetOperation)):
            yield one
        else:
            waiting += one.iter_expressions()
