"""How several shards' rows become one result, and the text each shard gets for it.

The text is the client's own with stretches replaced and hidden columns added behind the select list; nothing is printed
from the tree. Invariant: the merge gives what one MySQL with all rows would give, or the statement is refused.
"""

from __future__ import annotations

from router.plan.aggregates import plan_groups
from router.plan.block import Block, CannotPlanError
from router.plan.clauses import Clauses, split_select
from router.plan.context import Statement, template, whole
from router.plan.locality import groups_by_key, has_key, windows_by_key
from router.plan.plans import Bind, Merge, Template
from router.plan.shape import has_aggregates
from router.plan.sorting import Columns, order_keys
from router.sql.parse import bind_of, exp

ONE_SHARD = "Give a value of the sharding column, so that one shard has all rows."


def merge_of(statement: Statement, tree: exp.Expr, block: Block) -> tuple[Template | None, Merge]:
    """The shards' text (None: the original) and the merge. Raises CannotPlanError."""
    if not isinstance(tree, exp.Select):
        if block.plain:
            return None, Merge(visible=-1)
        raise CannotPlanError(f"{type(tree).__name__.upper()} over several shards", ONE_SHARD)
    if any(lexeme.text == "SQL_CALC_FOUND_ROWS" for lexeme in statement.lexemes):
        raise CannotPlanError(
            "SQL_CALC_FOUND_ROWS over several shards", "Ask for COUNT(*) in a second statement."
        )
    clauses = split_select(statement.lexemes)
    if clauses is None or len(clauses.items) != len(tree.expressions):
        if block.plain and not tree.args.get("order"):
            return None, Merge(visible=-1)
        raise CannotPlanError("a parenthesised SELECT over several shards", "Leave the parentheses out.")
    if not windows_by_key(block, tree):
        raise CannotPlanError(
            "window functions over several shards", "PARTITION BY the sharding column, or give a value of it."
        )
    aggregated = has_aggregates(tree)
    if aggregated and groups_by_key(block, tree):
        aggregated = False
    text = ShardText(statement, clauses, tree)
    columns = Columns(statement, tree, clauses, block, text.has_star)
    columns.grouped = tree.args.get("group") is not None
    limit, offset = limits(tree)
    if aggregated:
        group, aggregates = plan_groups(tree, columns, block)
        order = order_keys(columns, grouped=True)
        streamed = bool(group) and {key.column for key in order[: len(group)]} == {
            key.column for key in group
        }
        text.without_limit(keep_order=streamed)
        merge = Merge(
            visible=columns.visible,
            hidden=len(columns.hidden),
            order=order,
            group=group,
            aggregates=tuple(aggregates),
            grouped=True,
            limit=limit,
            offset=offset,
            names=tuple(columns.names),
        )
        return text.build(columns), merge
    distinct = bool(tree.args.get("distinct")) and not has_key(
        block, [item.unalias() for item in tree.expressions]
    )
    distinct_keys = columns.distinct_keys() if distinct else ()
    order = order_keys(columns, distinct=bool(tree.args.get("distinct")))
    text.with_limit(limit, offset)
    merge = Merge(
        visible=columns.visible,
        hidden=len(columns.hidden),
        order=order,
        distinct=distinct,
        distinct_weights=distinct_keys,
        limit=limit,
        offset=offset,
    )
    if not columns.hidden and not columns.replaced and offset is None:
        return None, merge
    return text.build(columns), merge


def limits(tree: exp.Select) -> tuple[Bind | None, Bind | None]:
    """LIMIT and OFFSET as binds."""
    found: list[Bind | None] = []
    for part in ("limit", "offset"):
        node = tree.args.get(part)
        if node is None:
            found.append(None)
            continue
        index = bind_of(node.expression)
        if index < 0:
            raise CannotPlanError("LIMIT that is not a number", "Write a number.")
        found.append(Bind(index))
    return found[0], found[1]


class ShardText:
    """The statement as a list of edits, applied at the end."""

    def __init__(self, statement: Statement, clauses: Clauses, tree: exp.Select) -> None:
        self._statement = statement
        self._clauses = clauses
        self._edits: list[tuple[int, int, tuple[bytes | int, ...]]] = []
        self.has_star = any(
            isinstance(one, exp.Star) or (isinstance(one, exp.Column) and isinstance(one.this, exp.Star))
            for one in tree.expressions
        )

    def without_limit(self, keep_order: bool) -> None:
        for clause in ("limit",) if keep_order else ("order", "limit"):
            place = self._clauses.places.get(clause)
            if place is not None:
                self._edits.append((*place, ()))

    def with_limit(self, limit: Bind | None, offset: Bind | None) -> None:
        """Each shard gives as many rows as the result can need of it."""
        place = self._clauses.places.get("limit")
        if place is not None and limit is not None and offset is not None:
            self._edits.append((*place, (b"LIMIT ", -1)))

    def build(self, columns: Columns) -> Template:
        statement = self._statement
        edits = [*self._edits, *columns.replaced]
        if columns.hidden:
            end = self._clauses.items[-1].end
            pieces: list[bytes | int] = []
            for at, hidden in enumerate(columns.hidden):
                pieces += (b", ", *hidden, b" AS " + columns.hidden_name(at))
            edits.append((end, end, tuple(pieces)))
        if not edits:
            return whole(statement)
        removed = {(start, end) for start, end, new in edits if not new}
        made: list[bytes | int] = []
        at = 0
        for start, end, new in sorted(edits, key=lambda edit: edit[:2]):
            if start < at or any(a <= start and end <= b and (a, b) != (start, end) for a, b in removed):
                continue  # inside a clause that is removed
            made += template(statement.text, statement.lexemes, at, start)
            made += new
            at = end
        made += template(statement.text, statement.lexemes, at, len(statement.text))
        return Template(tuple(made))
