"""GROUP BY and aggregates over several shards: each shard groups its rows, the router puts equal groups together.

COUNT, SUM, MIN, MAX and AVG can be put together from parts; anything else needs each group on one shard.
"""

from __future__ import annotations

from router.plan.block import Block, CannotPlanError
from router.plan.clauses import Item
from router.plan.context import template
from router.plan.locality import has_key
from router.plan.plans import Aggregate, OrderKey
from router.plan.shape import aggregate_in
from router.plan.sorting import Columns, Pieces
from router.sql.lex import BIND
from router.sql.parse import bind_of, exp

BY_KEY = "GROUP BY the sharding column, or give a value of it, so that each group lies on one shard."
_OPS = {exp.Count: "count", exp.Sum: "sum", exp.Min: "min", exp.Max: "max", exp.Avg: "avg"}


def plan_groups(
    tree: exp.Select, columns: Columns, block: Block
) -> tuple[tuple[OrderKey, ...], list[Aggregate]]:
    """The keys of the groups, and what is combined (ORDER BY may add to it). Raises CannotPlanError."""
    group = tree.args.get("group")
    if group is not None and any(
        group.args.get(part) for part in ("rollup", "cube", "grouping_sets", "totals")
    ):
        raise CannotPlanError("GROUP BY ... WITH ROLLUP over several shards", BY_KEY)
    if tree.args.get("having") is not None:
        raise CannotPlanError("HAVING over several shards", BY_KEY)
    if tree.args.get("distinct"):
        raise CannotPlanError("SELECT DISTINCT with aggregates over several shards", BY_KEY)
    if columns.has_star:
        raise CannotPlanError("SELECT * with GROUP BY over several shards", "Name the columns.")
    if next(tree.find_all(exp.Window), None) is not None:
        raise CannotPlanError("window functions with GROUP BY over several shards", BY_KEY)
    columns.grouped = group is not None
    keys = _group_keys(tree, columns)
    planner = _Aggregates(columns, block)
    for at, (item, one) in enumerate(zip(columns.clauses.items, tree.expressions, strict=True)):
        planner.visible(at, item, one)
    columns.grouped_place = planner.place
    return keys, planner.found


def _group_keys(tree: exp.Select, columns: Columns) -> tuple[OrderKey, ...]:
    group = tree.args.get("group")
    if group is None:
        return ()
    items = columns.clauses.group
    if len(items) != len(group.expressions):
        raise CannotPlanError("this form of GROUP BY over several shards", BY_KEY)
    keys: list[OrderKey] = []
    for item, expression in zip(items, group.expressions, strict=True):
        if bind_of(expression) >= 0:
            raise CannotPlanError(
                "GROUP BY a constant over several shards", "Name a column, or its position."
            )
        if isinstance(expression, exp.Null):
            continue  # makes no groups
        at = _group_item(columns, expression)
        if at >= 0:
            keys.append(columns.key(at, columns.clauses.items[at], tree.expressions[at].unalias()))
        else:
            pieces = columns.pieces(item)
            keys.append(columns.key_of(columns.add(pieces), pieces, expression))
    return tuple(keys)


def _group_item(columns: Columns, expression: exp.Expr) -> int:
    """The select item that a GROUP BY expression is: a column of the tables goes before an alias of that name."""
    at = columns.item_of(expression)
    if at < 0 or not isinstance(expression, exp.Column):
        return at
    item = columns.tree.expressions[at]
    inner = item.unalias()
    if isinstance(inner, exp.Column) and inner.name.lower() == expression.name.lower():
        return at
    place = columns.block.scope.resolve(expression)
    declared = place is not None and any(
        source.number == place[0] and place[1] in source.declared for source in columns.block.scope.sources
    )
    return -1 if declared else at


class _Aggregates:
    def __init__(self, columns: Columns, block: Block) -> None:
        self._columns = columns
        self._block = block
        self.found: list[Aggregate] = []
        self._hidden: dict[Pieces, int] = {}

    def visible(self, at: int, item: Item, one: exp.Expr) -> None:
        """A select item: an aggregate by itself, or something without any."""
        expression = one.unalias()
        op = self._op(expression)
        if not op:
            if self._columns.tree.args.get("group") is None and expression.find(exp.Column) is not None:
                raise CannotPlanError(
                    "a column beside aggregates without GROUP BY, over several shards",
                    "Add GROUP BY, or an aggregate.",
                )
            return
        pieces = self._columns.pieces(item)
        if op == "avg":
            self._average(at, item)
        else:
            self._add(op, at, pieces, expression)

    def _average(self, at: int, item: Item) -> None:
        """The column carries SUM instead, under AVG's name; COUNT comes hidden."""
        columns = self._columns
        statement = columns.statement
        inside = template(statement.text, statement.lexemes, item.value[0].end, item.value_end)
        if item.value[0].text != "AVG":
            raise CannotPlanError("AVG in parentheses over several shards", "Leave the parentheses out.")
        columns.replaced.append((item.value[0].start, item.value[0].end, (b"SUM",)))
        if not item.alias:
            if any(lexeme.kind is BIND for lexeme in item.value):
                raise CannotPlanError(
                    "AVG of an expression with a literal and without an alias, over several shards",
                    "Give it an alias.",
                )
            columns.names.append((at, statement.text[item.start : item.value_end]))
        self.found.append(Aggregate("avg", at, columns.add((b"COUNT", *inside))))

    def _add(self, op: str, at: int, pieces: Pieces, expression: exp.Expr) -> None:
        key = OrderKey(at)
        if op in ("min", "max"):
            key = self._columns.key_of(at, pieces, expression)
        self.found.append(Aggregate(op, at, -1, key.weight, key.pad))

    def place(self, pieces: Pieces, expression: exp.Expr) -> int | None:
        """Where ORDER BY finds an expression that is not selected: a group column, or an aggregate of its own."""
        op = self._op(expression)
        if op in ("count", "sum", "min", "max"):
            known = self._hidden.get(pieces)
            if known is None:
                known = self._hidden[pieces] = self._columns.add(pieces)
                self._add(op, known, pieces, expression)
            return known
        if op:
            return None
        group = self._columns.tree.args.get("group")
        if group is not None and expression in group.expressions:
            return self._columns.add(pieces)
        return None

    def _op(self, expression: exp.Expr) -> str:
        """The operation of an aggregate; empty for an expression without aggregates. Raises CannotPlanError."""
        while isinstance(expression, exp.Paren):
            expression = expression.this
        op = next((op for kind, op in _OPS.items() if type(expression) is kind), "")
        if not op:
            if isinstance(expression, exp.AnyValue):
                return ""
            inner = aggregate_in(expression)
            if inner is None:
                return ""
            if inner is expression:
                name = inner.sql_name() if isinstance(inner, exp.AggFunc) else inner.name or inner.key
                raise CannotPlanError(f"{name.upper()} over several shards", BY_KEY)
            raise CannotPlanError(
                "an expression over aggregates, over several shards",
                "Select the aggregates by themselves and compute the rest in the application.",
            )
        arguments = expression.this
        if (
            isinstance(arguments, exp.Distinct)
            and op not in ("min", "max")
            and not has_key(self._block, list(arguments.expressions))
        ):
            raise CannotPlanError(f"{op.upper()}(DISTINCT ...) over several shards", BY_KEY)
        if expression.find(exp.Query) is not None:
            raise CannotPlanError("an aggregate over a subquery, over several shards", BY_KEY)
        return op
