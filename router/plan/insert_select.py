"""INSERT ... SELECT: on the shard where each row is read if it is written there, else read first and written then."""

from __future__ import annotations

from core.errors import SluiceError, not_supported
from router.plan.block import Block, CannotPlanError, Key, same_vindex
from router.plan.blocks import Analysis
from router.plan.context import Statement, chooser_of, encoded, tables_of, template
from router.plan.equalities import value_of
from router.plan.insert_head import Head, check_tail, columns_of, is_plain, sequence_of
from router.plan.locality import key_in_order
from router.plan.moves import InsertMove
from router.plan.plans import (
    Bind,
    Choice,
    Chooser,
    DmlPlan,
    InsertPlan,
    MovePlan,
    Planned,
    Template,
)
from router.sql.lex import MARK, NAME, ROW, WORD, Lexed, Lexeme
from router.sql.parse import ParseError, exp, parse
from router.vschema import Table, TableType

_INSTEAD = "SELECT the rows first, then INSERT them with VALUES."


def stays(statement: Statement, table: Table) -> bool:
    """Whether all that an INSERT into an unsharded table reads is in that table's keyspace, or cannot be told."""
    at = next(
        i for i, one in enumerate(statement.lexemes) if one.kind is WORD and one.text in ("SELECT", "TABLE")
    )
    query = _query(statement, at)
    return query is None or not (set(tables_of(statement, query).keyspaces) - {table.keyspace})


def moved(statement: Statement, head: Head, sequence: Table | None, why: str = "") -> Planned:
    """Rows are read first. `why` nothing less does. Raises NOT_SUPPORTED."""
    move = move_of(statement, head, sequence)
    query = _query(statement, head.at)
    read = tables_of(statement, query).names if query is not None else ()
    why = why or "rows come from other shards than they go to"
    names = tuple(dict.fromkeys((head.table.name, *read)))
    return Planned(MovePlan(move, names, (_where(head.table), _INSTEAD)), "move", (why,))


def move_of(statement: Statement, head: Head, sequence: Table | None, behind_rows: int = 0) -> InsertMove:
    """How rows that were read are written. `behind_rows`: the first lexeme behind them, where they are no query but
    VALUES or SET. Raises NOT_SUPPORTED."""
    table, text, lexemes = head.table, statement.text, statement.lexemes
    primary = table.primary
    if (
        table.sharded
        and table.type is not TableType.REFERENCE
        and (primary is None or len(primary.columns) > 1)
    ):
        raise not_supported(
            f"{_where(table)}, whose sharding key is {'pinned' if primary is None else 'of several columns'}",
            f"Use a target shard, USE `{table.keyspace}:SHARD` (SHOW SHARDS).",
        )
    behind = behind_rows or _end_of_query(lexemes, head.at)
    if not behind_rows and any(one.kind is ROW for one in lexemes[head.at : behind]):
        raise not_supported(f"{_where(table)} from rows of VALUES", _INSTEAD)
    if behind_rows:
        check_tail(lexemes[behind:], table)
    else:
        _check_tail(lexemes[behind:], table)
    columns = columns_of(head)
    column, source = sequence_of(table, sequence)
    key = primary.columns[0] if primary is not None else ""
    appended = bool(column) and column not in columns
    if key and key not in columns and not (appended and key == column):
        raise not_supported(
            f"{_where(table)} without its sharding column {key}", f"Name {key} and its value."
        )
    added = [_quoted(column)] if appended else []
    if head.close >= 0:
        pieces = [*template(text, lexemes, 0, head.close), b", ".join([b"", *added] if columns else added)]
        pieces += template(text, lexemes, head.close, lexemes[head.at - 1].end)
    else:
        listed = b", ".join([*map(_quoted, columns), *added])
        pieces = [*template(text, lexemes, 0, lexemes[head.at - 1].end), b" (" + listed + b")"]
    end = lexemes[behind].start if behind < len(lexemes) else len(text)
    tail = template(text, lexemes, end, len(text))
    generated = -1
    if column:
        generated = len(columns) if appended else columns.index(column)
    place = -1
    if key:
        place = len(columns) if key not in columns else columns.index(key)
    insert = InsertPlan(
        keyspace=table.keyspace,
        table=table.name,
        tables=(table.name,),
        head=Template((*pieces, b" VALUES ")),
        rows=(),
        tail=Template((b" ", *tail) if tail else ()),
        vindex=primary.name if primary is not None else "",
        sequence=source,
        sequence_fills_vindex=bool(key) and key == column,
        owned=bool(table.owned()),
        plain=is_plain(lexemes, head.at, behind),
    )
    query = Template(template(text, lexemes, lexemes[head.at].start, end))
    copies = table.sharded and table.type is TableType.REFERENCE
    return InsertMove(query, insert, tuple(columns), place, generated, copies)


def _quoted(column: str) -> bytes:
    return b"`" + encoded(column).replace(b"`", b"``") + b"`"


def _where(table: Table) -> str:
    return f"INSERT ... SELECT into {table.keyspace}.{table.name}"


def _check_tail(tail: list[Lexeme], table: Table) -> None:
    """ON DUPLICATE KEY UPDATE may name the table's own columns only: the rows that were read are gone by then."""
    check_tail(tail, table)
    for at, lexeme in enumerate(tail):
        if lexeme.kind is WORD and lexeme.text in ("RETURNING", "SELECT"):
            raise not_supported(f"{_where(table)} with {lexeme.text} behind it", "Read the value by itself.")
        following = tail[at + 1] if at + 1 < len(tail) else None
        if lexeme.kind not in (WORD, NAME) or following is None or following.kind is not MARK:
            continue
        if following.text == "." and lexeme.raw not in (table.name, table.keyspace):
            raise not_supported(
                f"{_where(table)} whose ON DUPLICATE KEY UPDATE reads {lexeme.raw}",
                "Write VALUES(column) for what would have been inserted.",
            )


def _end_of_query(lexemes: list[Lexeme], at: int) -> int:
    for end in range(at, len(lexemes)):
        lexeme = lexemes[end]
        following = lexemes[end + 1].text if end + 1 < len(lexemes) else ""
        if lexeme.depth or lexeme.kind is not WORD:
            continue
        if (lexeme.text == "ON" and following == "DUPLICATE") or lexeme.text == "RETURNING":
            return end
    return len(lexemes)


def _query(statement: Statement, at: int) -> exp.Expr | None:
    lexemes = statement.lexemes
    try:
        return parse(Lexed(statement.text, lexemes[at : _end_of_query(lexemes, at)], ""))
    except ParseError:
        return None


def plan(statement: Statement, head: Head, sequence: Table | None) -> Planned:
    """Into a sharded table, or one with a sequence."""
    table = head.table
    columns = columns_of(head)
    where = _where(table)
    query = _query(statement, head.at)
    if query is None:
        raise not_supported(f"{where} from a query it cannot read", _INSTEAD)
    tables = tables_of(statement, query)
    check_tail(statement.lexemes[_end_of_query(statement.lexemes, head.at) :], table)
    primary = table.primary
    if table.owned():
        return moved(statement, head, sequence, "lookup tables follow each row")
    if table.auto_increment is not None and table.auto_increment.column not in columns:
        return moved(statement, head, sequence, "each row needs an id of its sequence")
    if set(tables.keyspaces) - {table.keyspace} or tables.system:
        return moved(statement, head, sequence)
    if not table.sharded:
        return Planned(DmlPlan(Chooser(Choice.UNSHARDED, table.keyspace), None), "route")
    if primary is None or statement.spread:
        return moved(statement, head, sequence)
    names = (table.name, *tables.names)
    refusal = (f"{where} whose rows go to other shards than they come from", _INSTEAD)
    try:
        move: InsertMove | None = move_of(statement, head, sequence)
    except SluiceError as error:
        move, refusal = None, (refusal[0], error.message)
    tier = "refused" if move is None else "move"
    analysis = Analysis(table.keyspace, statement.vschema)
    try:
        block = analysis.block(query)
    except CannotPlanError as error:
        made = DmlPlan(Chooser(Choice.SCATTER, table.keyspace), names, error.refusal, move=move)
        return Planned(made, tier, (error.refusal[0],))
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
                both_made = DmlPlan(chooser_of(statement, both, table.keyspace), names, refusal, move=move)
                return Planned(both_made, "write", ("only if all values lie on one shard", refusal[0]))
            ordered = block.anchor is not None and same_vindex(block.anchor.vindex, primary)
            if ordered and key_in_order(block, items) and (block.plain or block.single):
                return Planned(DmlPlan(chooser, names), "write", ("rows stay on their shards",))
    scattered = DmlPlan(Chooser(Choice.SCATTER, table.keyspace), names, refusal, move=move)
    return Planned(scattered, tier, (refusal[0],))


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
