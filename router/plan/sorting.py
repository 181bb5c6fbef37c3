"""The keys of a merge: in which column of the shards' rows each stands, and what orders it.

Text is ordered by its collation, which only MySQL knows: a text key comes with two hidden columns, its WEIGHT_STRING
and the weight of a space where its collation pads. Where the VSchema tells that a column is no text, they are left out;
else the engine decides by the type that the shards say.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from router.plan.block import Block, CannotPlanError
from router.plan.clauses import Clauses, Item
from router.plan.context import Statement, template
from router.plan.plans import HIDDEN, OrderKey
from router.plan.purity import is_shareable
from router.plan.shape import aggregate_in
from router.sql.parse import bind_of, exp

Pieces = tuple[bytes | int, ...]

_TEXT_TYPES: Final = frozenset(
    ("", "TEXT", "VARCHAR", "CHAR", "JSON", "EXPRESSION", "NULL_TYPE", "RAW", "TUPLE")
)
_ENUM_TYPES: Final = frozenset(("ENUM", "SET"))
_NUMBERS: Final = (
    exp.Count, exp.Sum, exp.Avg, exp.Add, exp.Sub, exp.Mul, exp.Div, exp.Mod, exp.Neg, exp.Length, exp.Abs,
    exp.Extract, exp.Rand,
)  # fmt: skip


class Columns:
    """The columns of the shards' rows: the client's, and the hidden ones that keys need."""

    def __init__(
        self, statement: Statement, tree: exp.Select, clauses: Clauses, block: Block, has_star: bool
    ) -> None:
        self.statement = statement
        self.tree = tree
        self.clauses = clauses
        self.block = block
        self.has_star = has_star
        self.visible = -1 if has_star else len(tree.expressions)
        self.hidden: list[Pieces] = []
        self.names: list[tuple[int, str]] = []
        self.replaced: list[tuple[int, int, Pieces]] = []
        self._places: dict[Pieces, int] = {}
        self.grouped = False
        """The rows are groups: a hidden column has to have one value in each."""
        self.grouped_place: Callable[[Pieces, exp.Expr], int | None] = lambda pieces, expression: None
        """Where ORDER BY of a grouped query finds an expression that is not selected."""
        self._before_star = next(
            (at for at, one in enumerate(tree.expressions) if _is_star(one)), len(tree.expressions)
        )

    def hidden_name(self, at: int) -> bytes:
        """The alias of a hidden column: no name that an ORDER BY of the client could mean."""
        return b"`sluice_hidden_%d`" % at

    def pieces(self, item: Item) -> Pieces:
        """The text of an item without its alias."""
        statement = self.statement
        return template(statement.text, statement.lexemes, item.start, item.value_end)

    def add(self, pieces: Pieces) -> int:
        """The position of a hidden column with this text."""
        place = self._places.get(pieces)
        if place is None:
            place = self._places[pieces] = (HIDDEN if self.has_star else self.visible) + len(self.hidden)
            self.hidden.append(pieces)
        return place

    def position(self, item: int) -> int:
        """Where a select item's column is, -1 when a `*` before it hides that."""
        return item if item < self._before_star else -1

    def item_of(self, expression: exp.Expr) -> int:
        """The select item that an ORDER BY or GROUP BY expression names, -1 for none."""
        items = self.tree.expressions
        if isinstance(expression, exp.Literal) and bind_of(expression) < 0:
            at = int(expression.this) - 1
            if not 0 <= at < len(items) or self.position(at) < 0:
                raise CannotPlanError(
                    f"the column position {expression.this} over several shards", "Name the column."
                )
            return at
        if isinstance(expression, exp.Column) and not expression.table:
            name = expression.name.lower()
            for at, item in enumerate(items):
                if item.alias.lower() == name and self.position(at) >= 0:
                    return at
            for at, item in enumerate(items):
                if isinstance(item, exp.Column) and item.name.lower() == name and self.position(at) >= 0:
                    return at
            return -1
        for at, item in enumerate(items):
            if item.unalias() == expression and self.position(at) >= 0:
                return at
        return -1

    def key(self, at: int, item: Item, expression: exp.Expr, descending: bool = False) -> OrderKey:
        """The key of the column at `at`, whose text is the value of `item`."""
        return self.key_of(at, self.pieces(item), expression, descending)

    def key_of(self, at: int, pieces: Pieces, expression: exp.Expr, descending: bool = False) -> OrderKey:
        kind = self._type(expression)
        if kind in _ENUM_TYPES:
            return OrderKey(at, self.add((b"(", *pieces, b") + 0")), descending)
        if kind not in _TEXT_TYPES:
            return OrderKey(at, -1, descending)
        # MySQL's ONLY_FULL_GROUP_BY does not see that a function of a grouped expression has one value a group
        inside = self.grouped and not isinstance(expression, exp.Column) and aggregate_in(expression) is None
        before, behind = (b"MIN(", b")") if inside else (b"", b"")
        weight = self.add((before + b"WEIGHT_STRING(", *pieces, b")" + behind))
        empty = (*pieces, b", 0)")
        pad = self.add(
            (
                before + b"IF(LEFT(",
                *empty,
                b" = ' ', WEIGHT_STRING(CONCAT(LEFT(",
                *empty,
                b", ' ')), '')" + behind,
            )
        )
        return OrderKey(at, weight, descending, pad)

    def _type(self, expression: exp.Expr) -> str:
        """Vitess's name of an expression's type, empty when it is not known."""
        while isinstance(expression, exp.Paren):
            expression = expression.this
        if isinstance(expression, (exp.Min, exp.Max)):
            kind = self._type(expression.this)
            return "" if kind in _ENUM_TYPES else kind
        if isinstance(expression, _NUMBERS):
            return "DECIMAL"
        if isinstance(expression, exp.Column):
            place = self.block.scope.resolve(expression)
            if place is not None:
                for source in self.block.scope.sources:
                    if source.number == place[0] and source.table is not None:
                        column = source.table.column(place[1])
                        return column.type if column is not None else ""
        return ""

    def distinct_keys(self) -> tuple[OrderKey, ...]:
        if self.has_star:
            raise CannotPlanError("SELECT DISTINCT * over several shards", "Name the columns.")
        return tuple(
            self.key(at, item, one.unalias())
            for at, (item, one) in enumerate(zip(self.clauses.items, self.tree.expressions, strict=True))
        )


def _is_star(one: exp.Expr) -> bool:
    return isinstance(one, exp.Star) or (isinstance(one, exp.Column) and isinstance(one.this, exp.Star))


def order_keys(columns: Columns, grouped: bool = False, distinct: bool = False) -> tuple[OrderKey, ...]:
    """The keys of ORDER BY. Raises CannotPlanError."""
    order = columns.tree.args.get("order")
    if order is None:
        return ()
    items = columns.clauses.order
    if len(items) != len(order.expressions):
        raise CannotPlanError("this form of ORDER BY over several shards", "Name the columns.")
    keys: list[OrderKey] = []
    for item, ordered in zip(items, order.expressions, strict=True):
        expression = ordered.this
        if isinstance(expression, exp.Null):
            continue  # orders nothing
        if bind_of(expression) >= 0:
            raise CannotPlanError(
                "ORDER BY a constant over several shards", "Name a column, or its position."
            )
        descending = bool(ordered.args.get("desc"))
        at = columns.item_of(expression)
        if at >= 0:
            keys.append(
                columns.key(at, columns.clauses.items[at], columns.tree.expressions[at].unalias(), descending)
            )
            continue
        if distinct:
            raise CannotPlanError(
                "SELECT DISTINCT ... ORDER BY what is not selected, over several shards", "Select it too."
            )
        keys.append(_hidden_key(columns, item, expression, descending, grouped))
    return tuple(keys)


def _hidden_key(
    columns: Columns, item: Item, expression: exp.Expr, descending: bool, grouped: bool
) -> OrderKey:
    _check_aliases(columns, expression)
    value = item.lexemes
    if value[-1].text in ("ASC", "DESC"):
        value = value[:-1]
    statement = columns.statement
    pieces = template(statement.text, statement.lexemes, value[0].start, value[-1].end)
    if grouped:
        known = columns.grouped_place(pieces, expression)
        if known is None:
            raise CannotPlanError(
                "ORDER BY an expression over aggregates, over several shards",
                "Select it, and order by its alias.",
            )
        return columns.key_of(known, pieces, expression, descending)
    if expression.find(exp.Query) is not None:
        raise CannotPlanError("ORDER BY a subquery over several shards", "Select it, and order by its alias.")
    at = columns.add(pieces)
    if isinstance(expression, exp.Rand):
        # the hidden column would have another value than the sort
        number = at - HIDDEN if at >= HIDDEN else at - columns.visible
        columns.replaced.append((value[0].start, value[-1].end, (columns.hidden_name(number),)))
    elif not is_shareable(list(value)):
        raise CannotPlanError(
            "ORDER BY a function that gives each shard other values, over several shards",
            "Select its value first.",
        )
    return columns.key_of(at, pieces, expression, descending)


def _check_aliases(columns: Columns, expression: exp.Expr) -> None:
    """An alias has another meaning, or none, where a hidden column stands."""
    aliases = {
        item.alias.lower()
        for item in columns.tree.expressions
        if isinstance(item, exp.Alias)
        and not (isinstance(item.this, exp.Column) and item.this.name.lower() == item.alias.lower())
    }
    for column in expression.find_all(exp.Column):
        if not column.table and column.name.lower() in aliases:
            raise CannotPlanError(
                f"ORDER BY an expression of the alias {column.name} over several shards",
                "Select the expression, and order by its alias.",
            )


__all__ = ["Columns", "order_keys"]
