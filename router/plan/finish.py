"""Tier 3: what the router cannot merge, one MySQL finishes over the rows of all shards.

Each table that the statement names is fetched, as far as its own conditions tell which rows matter, and laid into a
temporary table of the same definition on one server; the statement then runs there as it came, with the temporary
tables' names in the places of the tables' (`finish_text`). So every function, type and collation is MySQL's own.
"""

from __future__ import annotations

from typing import Final

from core.errors import SluiceError
from router.plan.block import Block
from router.plan.colocation import values_of
from router.plan.context import Statement, chooser_of
from router.plan.equalities import Equalities, conjuncts, value_of
from router.plan.finish_columns import whole_tables
from router.plan.finish_copies import layout_of
from router.plan.finish_text import FinishText, quoted
from router.plan.names import Kind, Scope, Source, table_of, table_source, tables_in
from router.plan.plans import Bind, Choice, Chooser, Finish, FinishPart, Template
from router.plan.purity import is_locking, may_write, reserve_reason
from router.sql.lex import NAME, WORD
from router.sql.parse import exp, places
from router.vschema import Table, TableType

MAX_TABLES: Final = 16
_COMPARISONS: Final[dict[type[exp.Expr], bytes]] = {
    exp.EQ: b" = ",
    exp.NullSafeEQ: b" <=> ",
    exp.NEQ: b" <> ",
    exp.LT: b" < ",
    exp.LTE: b" <= ",
    exp.GT: b" > ",
    exp.GTE: b" >= ",
}
_MIRRORED: Final[dict[type[exp.Expr], type[exp.Expr]]] = {
    exp.LT: exp.GT,
    exp.LTE: exp.GTE,
    exp.GT: exp.LT,
    exp.GTE: exp.LTE,
}
Pieces = tuple[bytes | int, ...]


def finish_of(statement: Statement, tree: exp.Expr) -> Finish | None:
    """How one server finishes the statement; None where that would not be right, or cannot be told."""
    lexemes = statement.lexemes
    words = statement.words()
    if (
        is_locking(lexemes)
        or may_write(lexemes)
        or reserve_reason(lexemes)
        or statement.shard
        or not words.isdisjoint(("INTO", "SQL_CALC_FOUND_ROWS", "PROCEDURE"))
    ):
        return None
    nodes = tables_in(tree)
    try:
        tables = [table_of(node, statement.keyspace, statement.vschema) for node in nodes]
    except SluiceError:
        return None
    found = [table for table in tables if table is not None and _is_fetched(table)]
    if not nodes or len(found) != len(nodes) or len(nodes) > MAX_TABLES:
        return None
    keyspace = statement.keyspace
    if keyspace not in statement.vschema.keyspaces:
        keyspace = next((table.keyspace for table in found if table.sharded), found[0].keyspace)
    spots = places(statement.lexed, tree)
    layout = layout_of(statement, tree, spots)
    text = FinishText(statement, tree, layout, keyspace)
    parts: list[FinishPart] = []
    whole = whole_tables(tree, nodes, words)
    rows = [_rows_of(statement, node, table) for node, table in zip(nodes, found, strict=True)]
    firsts: dict[int, str] = {}
    for copy in layout.copies:
        for at, (node, table) in enumerate(zip(nodes, found, strict=True)):
            if layout.of(node) is not copy.owner:
                continue
            name = text.name_of(copy, node, table, len(parts))
            if name is None:
                return None
            chooser, where = rows[at]
            again = firsts.setdefault(at, name)
            again = "" if again == name else again
            parts.append(FinishPart(name, table.keyspace, table.name, chooser, where, whole[at], again))
    made = text.made(spots)
    if made is None or len(parts) > MAX_TABLES:
        return None
    names = frozenset(one.raw.lower() for one in lexemes if one.kind in (WORD, NAME))
    return Finish(keyspace, tuple(parts), made[0], names, made[1])


def _is_fetched(table: Table) -> bool:
    """Whether the rows of all shards are the table's rows, and may be read."""
    if table.type is TableType.SEQUENCE:
        return False
    return not table.sharded or table.primary is not None or table.type is TableType.REFERENCE


# ---- which rows of a table matter


def _rows_of(statement: Statement, node: exp.Table, table: Table) -> tuple[Chooser, Template | None]:
    """The shards of the rows that can matter, and the condition for them."""
    alias = node.alias_or_name
    conditions = _conditions(node)
    source = table_source(0, alias, table) if table.sharded else Source(0, alias, Kind.REFERENCE)
    alone = _is_alone(node)
    scope = Scope(sources=[source]) if alone else Scope(None, [source, Source(1, "", Kind.REFERENCE)])
    known = Equalities()
    pushed: list[Pieces] = []
    for condition in conditions:
        columns = list(condition.find_all(exp.Column))
        if any(column.table != alias for column in columns) and not (
            alone and all(not column.table for column in columns)
        ):
            continue
        text = _text(condition)
        if text is not None:
            known.learn(condition, scope)
            pushed.append(text)
    where: list[bytes | int] = []
    for text in pushed:
        where += (b" AND " if where else b"", *text)
    if not table.sharded:
        chooser = Chooser(Choice.UNSHARDED, table.keyspace)
    elif table.primary is None:
        chooser = Chooser(Choice.ANY, table.keyspace)
    else:
        block = Block(free=False, values=values_of(source, known), vindex=table.primary, anchor=source)
        chooser = chooser_of(statement, block, table.keyspace)
    return chooser, Template(tuple(where)) if where else None


def _conditions(node: exp.Table) -> list[exp.Expr]:
    """The conditions of WHERE that hold for every row of this table which reaches the block's result."""
    holder = node.parent
    select = holder.parent if isinstance(holder, (exp.From, exp.Join)) else None
    if not isinstance(select, exp.Select) or node.args.get("joins"):
        return []
    joins = select.args.get("joins") or []
    if any((join.side or "").upper() in ("RIGHT", "FULL") for join in joins):
        return []
    if isinstance(holder, exp.Join) and holder.side:
        return []
    where = select.args.get("where")
    return conjuncts(where.this) if where is not None else []


def _is_alone(node: exp.Table) -> bool:
    """Whether a column without a table is one of this table's: it is the whole FROM of the outermost block."""
    holder = node.parent
    select = holder.parent if isinstance(holder, exp.From) else None
    return (
        isinstance(select, exp.Select)
        and not select.args.get("joins")
        and not node.args.get("joins")
        and select.parent is None
    )


def _text(condition: exp.Expr) -> Pieces | None:
    """The text of a condition that compares a column with literals; None for any other."""
    kind = type(condition)
    if kind in _COMPARISONS:
        column, value = condition.this, condition.expression
        if not isinstance(column, exp.Column):
            column, value, kind = value, column, _MIRRORED.get(kind, kind)
        literal = _literal(value)
        if literal is None or not isinstance(column, exp.Column):
            return None
        return (quoted(column.name), _COMPARISONS[kind], *literal)
    if isinstance(condition, exp.In) and isinstance(condition.this, exp.Column) and condition.expressions:
        pieces: list[bytes | int] = [quoted(condition.this.name), b" IN ("]
        for at, one in enumerate(condition.expressions):
            literal = _literal(one)
            if literal is None:
                return None
            pieces += (b", " if at else b"", *literal)
        return (*pieces, b")")
    if isinstance(condition, exp.Between) and isinstance(condition.this, exp.Column):
        low, high = _literal(condition.args["low"]), _literal(condition.args["high"])
        if low is None or high is None:
            return None
        return (quoted(condition.this.name), b" BETWEEN ", *low, b" AND ", *high)
    return None


def _literal(node: exp.Expr) -> Pieces | None:
    known, bind = value_of(node)
    if not known or not isinstance(bind, Bind):
        return None
    return (b"-", bind.index) if bind.negative else (bind.index,)
