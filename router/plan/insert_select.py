"""INSERT ... SELECT: where each row that is read is written on the shard it was read from."""

from __future__ import annotations

from core.errors import not_supported
from router.plan.block import Block, CannotPlanError, Key, same_vindex
from router.plan.blocks import Analysis
from router.plan.context import Statement, chooser_of, tables_of
from router.plan.equalities import value_of
from router.plan.locality import key_in_order
from router.plan.plans import Bind, Choice, Chooser, DmlPlan, Planned
from router.sql.lex import WORD, Lexed
from router.sql.parse import ParseError, exp, parse
from router.vschema import Table

_INSTEAD = "SELECT the rows first, then INSERT them with VALUES."


def unsharded(statement: Statement, table: Table, chooser: Chooser) -> Planned:
    """Into an unsharded table, from tables that must be in its keyspace."""
    at = next(
        i for i, one in enumerate(statement.lexemes) if one.kind is WORD and one.text in ("SELECT", "TABLE")
    )
    query = _query(statement, at)
    if query is not None:
        keyspaces = set(tables_of(statement, query).keyspaces) | {table.keyspace}
        if len(keyspaces) > 1:
            raise not_supported(
                f"INSERT ... SELECT between keyspaces ({' and '.join(sorted(keyspaces))})", _INSTEAD
            )
    return Planned(DmlPlan(chooser, None), "route", ("the keyspace is not sharded",))


def _query(statement: Statement, at: int) -> exp.Expr | None:
    lexemes = statement.lexemes[at:]
    for end, lexeme in enumerate(lexemes):
        following = lexemes[end + 1].text if end + 1 < len(lexemes) else ""
        if lexeme.depth == 0 and lexeme.text == "ON" and following == "DUPLICATE":
            lexemes = lexemes[:end]
            break
    try:
        return parse(Lexed(statement.text, list(lexemes), ""))
    except ParseError:
        return None


def plan(statement: Statement, table: Table, columns: list[str], at: int) -> Planned:
    """Into a sharded table, or one with a sequence. `columns`: those written; `at`: the query's first lexeme."""
    where = f"INSERT ... SELECT into {table.keyspace}.{table.name}"
    if table.owned():
        raise not_supported(f"{where}, which owns a lookup vindex,", _INSTEAD)
    if table.auto_increment is not None and table.auto_increment.column not in columns:
        raise not_supported(f"{where} that leaves {table.auto_increment.column} to its sequence", _INSTEAD)
    query = _query(statement, at)
    if query is None:
        raise not_supported(f"{where} from a query it cannot read", _INSTEAD)
    tables = tables_of(statement, query)
    keyspaces = set(tables.keyspaces) | {table.keyspace}
    if len(keyspaces) > 1 or tables.system:
        raise not_supported(
            f"INSERT ... SELECT between keyspaces ({' and '.join(sorted(keyspaces))})", _INSTEAD
        )
    if not table.sharded:
        return Planned(DmlPlan(Chooser(Choice.UNSHARDED, table.keyspace), None), "route")
    primary = table.primary
    if primary is None:
        raise not_supported(where, _INSTEAD)
    names = (table.name, *tables.names)
    analysis = Analysis(table.keyspace, statement.vschema)
    try:
        block = analysis.block(query)
    except CannotPlanError as error:
        refusal = error.refusal
        return Planned(
            DmlPlan(Chooser(Choice.SCATTER, table.keyspace), names, refusal), "refused", (refusal[0],)
        )
    refusal = (f"{where} whose rows go to other shards than they come from", _INSTEAD)
    if statement.spread:
        raise not_supported(
            f"{where} with a value that its vindex cannot map", "Give a value of the column's type."
        )
    chooser = chooser_of(statement, block, table.keyspace)
    if isinstance(query, exp.Select) and len(query.expressions) == len(columns) and block.refusal is None:
        items = [query.expressions[columns.index(c)].unalias() for c in primary.columns if c in columns]
        if len(items) == len(primary.columns):
            constant = _constant(items)
            if constant is not None and block.free:
                target = Block(False, (constant,), primary)
                return Planned(
                    DmlPlan(chooser_of(statement, target, table.keyspace), names), "write", ("one value",)
                )
            if constant is not None and block.values == (constant,) and same_vindex(block.vindex, primary):
                return Planned(DmlPlan(chooser, names), "write", ("one value of the sharding column",))
            if constant is not None and block.values is not None and same_vindex(block.vindex, primary):
                both = Block(False, tuple(dict.fromkeys((constant, *block.values))), primary)
                made = DmlPlan(chooser_of(statement, both, table.keyspace), names, refusal)
                return Planned(made, "write", ("only if all values lie on one shard", refusal[0]))
            ordered = block.anchor is not None and same_vindex(block.anchor.vindex, primary)
            if ordered and key_in_order(block, items) and (block.plain or block.single):
                return Planned(DmlPlan(chooser, names), "write", ("rows stay on their shards",))
    return Planned(DmlPlan(Chooser(Choice.SCATTER, table.keyspace), names, refusal), "refused", (refusal[0],))


def _constant(items: list[exp.Expr]) -> Key | None:
    binds: list[Bind | None] = []
    for item in items:
        if isinstance(item, exp.Anonymous) and item.name.upper() == "LAST_INSERT_ID" and item.expressions:
            item = item.expressions[0]  # gives its argument
        known, bind = value_of(item)
        if not known:
            return None
        binds.append(bind)
    return tuple(binds)
