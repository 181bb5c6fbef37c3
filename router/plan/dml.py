"""UPDATE and DELETE over sharded tables: the original text on each shard that can have the rows.

Invariants: a row that may leave its shard, by a change of its sharding columns, is found first and then moved; so are
rows that are counted over all shards (LIMIT).
"""

from __future__ import annotations

from dataclasses import replace

from core.errors import not_supported
from router.plan.block import Block, CannotPlanError
from router.plan.blocks import Analysis
from router.plan.change import change_of
from router.plan.context import Statement, Tables, chooser_of, encoded, template
from router.plan.moves import Move
from router.plan.names import deleted_tables, table_of
from router.plan.plans import Choice, Chooser, DmlPlan, MovePlan, OwnedPart, Planned, Template
from router.plan.purity import is_shareable
from router.sql.lex import WORD, Lexeme
from router.sql.parse import exp
from router.vschema import Table, TableType


def plan(statement: Statement, tree: exp.Expr, tables: Tables, keyspace: str) -> Planned:
    """Raises SluiceError."""
    if not isinstance(tree, (exp.Update, exp.Delete)):
        raise not_supported(f"{type(tree).__name__.upper()} over sharded tables", "Write UPDATE or DELETE.")
    select = _as_select(tree)
    analysis = Analysis(keyspace, statement.vschema, spread=statement.spread)
    try:
        block = analysis.block(select)
    except CannotPlanError as error:
        chooser = Chooser(Choice.SCATTER, keyspace)
        return _refused(statement, tree, DmlPlan(chooser, tables.names, error.refusal))
    targets = _targets(statement, tree, block)
    for table in targets:
        _check_writable(table)
    changed = _changed_sharding(tree, targets) if isinstance(tree, exp.Update) else None
    if isinstance(tree, exp.Update) and changed is not None:
        return _relocating(statement, tree, tables, changed)
    owned = _owned(statement, tree, block, targets)
    if block.free:
        if tree.args.get("limit") or not is_shareable(_behind_name(statement)):
            raise not_supported(
                "writing to a reference table with LIMIT, or with functions that give each shard another value",
                "Compute the value first, and name the rows in WHERE.",
            )
        return Planned(
            DmlPlan(Chooser(Choice.SCATTER, keyspace), tables.names, copies=True),
            "write",
            ("reference tables",),
        )
    chooser = chooser_of(statement, block, keyspace)
    if chooser.choice is Choice.EQUAL and block.refusal is None:
        if not any(table.type is TableType.REFERENCE for table in targets):
            made = DmlPlan(chooser, tables.names, owned=owned)
            return Planned(made, "write", ("one value of the sharding column",))
        refusal = _across_refusal(tree, targets)
        assert refusal is not None
        move = _moved(statement, tree)
        if move is None:
            raise not_supported(*refusal)
        return Planned(MovePlan(move, tables.names, refusal), "move", (refusal[0],))
    refusal = block.refusal or _across_refusal(tree, targets)
    why = "several values of the sharding column" if chooser.choice is Choice.IN else "all shards"
    if refusal is not None:
        return _refused(statement, tree, DmlPlan(chooser, tables.names, refusal, owned=owned), why)
    lookup = None if statement.spread else block.lookup
    if lookup is not None:
        why = f"the shards that the lookup table of vindex {lookup.vindex} names"
    return Planned(DmlPlan(chooser, tables.names, owned=owned, lookup=lookup), "write", (why,))


def across(statement: Statement, tree: exp.Expr, tables: Tables, refusal: tuple[str, str]) -> Planned | None:
    """Over tables of several keyspaces; None where that cannot be done."""
    if not isinstance(tree, (exp.Update, exp.Delete)):
        return None
    move = _moved(statement, tree)
    return Planned(MovePlan(move, tables.names, refusal), "move", (refusal[0],)) if move is not None else None


def _refused(statement: Statement, tree: exp.Update | exp.Delete, made: DmlPlan, *why: str) -> Planned:
    """What several shards cannot do each for itself: they can where the rows are found first."""
    assert made.refusal is not None
    move = _moved(statement, tree)
    return Planned(replace(made, move=move), "refused" if move is None else "move", (*why, made.refusal[0]))


def _moved(statement: Statement, tree: exp.Update | exp.Delete) -> Move | None:
    rows = rows_of_write(statement, isinstance(tree, exp.Update), lock=b"")
    return change_of(statement, tree, _as_select(tree), rows)


def _behind_name(statement: Statement) -> list[Lexeme]:
    """The statement without what stands before SET or WHERE: a table's name before a parenthesis is no function."""
    lexemes = statement.lexemes
    at = next(
        (i for i, one in enumerate(lexemes) if one.kind is WORD and one.text in ("SET", "WHERE")),
        len(lexemes),
    )
    return lexemes[at:]


def _as_select(tree: exp.Update | exp.Delete) -> exp.Select:
    """The rows the statement works on, as a query for the analysis (it shares the statement's nodes)."""
    tree = tree.copy()
    select = exp.Select(expressions=[exp.Star()])
    using = tree.args.get("using")
    if isinstance(using, list) and using:
        # DELETE FROM targets USING tables
        first, *others = using
        tree.set("joins", [exp.Join(this=one) for one in others])
    else:
        first = tree.this
    joins = first.args.pop("joins", None) or []
    select.set("from_", exp.From(this=first))
    select.set("joins", [*joins, *(tree.args.get("joins") or [])])
    if tree.args.get("with_") is not None:
        select.set("with_", tree.args["with_"])
    if tree.args.get("where") is not None:
        select.set("where", tree.args["where"])
    if isinstance(tree, exp.Update):
        # subqueries of SET matter as those of a select list do
        select.set("expressions", [one.expression for one in tree.expressions if isinstance(one, exp.EQ)])
    return select


def _targets(statement: Statement, tree: exp.Update | exp.Delete, block: Block) -> list[Table]:
    """The tables that are written; all of the FROM when that is not told."""
    by_alias = {source.alias: source.table for source in block.scope.sources if source.table is not None}
    named = deleted_tables(tree) if isinstance(tree, exp.Delete) else []
    if named:
        found = []
        for node in named:
            table = by_alias.get(node.name) or table_of(node, statement.keyspace, statement.vschema)
            if table is not None:
                found.append(table)
        return found
    if isinstance(tree, exp.Update):
        owners = {one.this.table for one in tree.expressions if isinstance(one.this, exp.Column)}
        if owners and "" not in owners and owners <= by_alias.keys():
            return [by_alias[owner] for owner in owners]
    return list(by_alias.values())


def _changed(tree: exp.Update | exp.Delete) -> frozenset[str] | None:
    """The columns that an UPDATE assigns to, of whichever table; None where rows go, or where it cannot be told."""
    if isinstance(tree, exp.Delete):
        return None
    columns = [one.this for one in tree.expressions if isinstance(one, exp.EQ)]
    if len(columns) != len(tree.expressions) or not all(isinstance(one, exp.Column) for one in columns):
        return None
    return frozenset(one.name.lower() for one in columns)


def _owned(
    statement: Statement, tree: exp.Update | exp.Delete, block: Block, targets: list[Table]
) -> tuple[OwnedPart, ...]:
    """The written tables whose lookup tables must follow."""
    changed = _changed(tree)
    aliases = {source.table.name: source.alias for source in block.scope.sources if source.table is not None}
    found: list[OwnedPart] = []
    for table in {one.name: one for one in targets}.values():
        if not table.owned(changed):
            continue
        alias = aliases.get(table.name, "")
        same = [one for one in block.scope.sources if one.table is table]
        rows = rows_of_write(statement, isinstance(tree, exp.Update))
        if rows is None or len(same) != 1:
            raise not_supported(
                f"this form of writing to {table.keyspace}.{table.name}, which owns a lookup vindex",
                "Write UPDATE table SET ... WHERE ... or DELETE FROM table WHERE ...",
            )
        quoted = b"`" + encoded(alias.replace("`", "``")) + b"`"
        found.append(OwnedPart(table.name, quoted, changed, rows))
    return tuple(found)


def rows_of_write(statement: Statement, updates: bool, lock: bytes = b" FOR UPDATE") -> Template | None:
    """`FROM tables WHERE ...` of an UPDATE or DELETE, with its ORDER BY and LIMIT; None for forms it cannot cut."""
    lexemes, text = statement.lexemes, statement.text
    first = 1
    while first < len(lexemes) and lexemes[first].text in ("LOW_PRIORITY", "QUICK", "IGNORE"):
        first += 1
    places = {
        one.text: at
        for at, one in reversed(list(enumerate(lexemes)))
        if one.kind is WORD
        and not one.depth
        and one.text in ("SET", "WHERE", "FROM", "USING", "ORDER", "LIMIT")
    }
    words = {one.text for one in lexemes if one.kind is WORD and not one.depth}
    if lexemes[0].text not in ("UPDATE", "DELETE") or "RETURNING" in words or first >= len(lexemes):
        return None
    tail = min((places[one] for one in ("WHERE", "ORDER", "LIMIT") if one in places), default=len(lexemes))
    if updates:
        start, end = first, places.get("SET", 0)
        # SET's own expressions may hold no WHERE of this depth
        if end <= start or tail < end:
            return None
    else:
        behind = places.get("USING", places.get("FROM", 0))
        start, end = behind + 1, tail
        # USING of a join's condition stands behind FROM tables: then it is followed by a parenthesis
        if "USING" in places and lexemes[places["USING"] + 1].text == "(":
            start = places.get("FROM", 0) + 1
        if not behind or end <= start:
            return None
    pieces: list[bytes | int] = [b"FROM "]
    pieces += template(text, lexemes, lexemes[start].start, lexemes[end - 1].end)
    if tail < len(lexemes):
        pieces.append(b" ")
        pieces += template(text, lexemes, lexemes[tail].start, lexemes[-1].end)
    return Template((*pieces, lock))


def _check_writable(table: Table) -> None:
    reason = table.unsupported_write_reason()
    if reason is not None:
        raise not_supported(*reason)
    if table.type is TableType.REFERENCE and table.source is not None:
        source = ".".join(table.source)
        raise not_supported(
            f"writing to the copy {table.keyspace}.{table.name}", f"Write to its source {source}."
        )


def _changed_sharding(tree: exp.Update, targets: list[Table]) -> str | None:
    """The sharding column that is assigned to, if one is. Raises NOT_SUPPORTED for what is no assignment."""
    for assignment in tree.expressions:
        column = assignment.this if isinstance(assignment, exp.EQ) else None
        if not isinstance(column, exp.Column):
            raise not_supported("this form of SET in UPDATE", "Write SET column = value, ...")
        for table in targets:
            if table.primary is not None and column.name.lower() in table.primary.columns:
                return f"{table.name}.{column.name}"
    return None


def _relocating(statement: Statement, tree: exp.Update, tables: Tables, column: str) -> Planned:
    """Rows may belong to other shards then. Raises NOT_SUPPORTED."""
    refusal = (f"changing the sharding column {column}", "DELETE the row and INSERT it again.")
    move = _moved(statement, tree)
    if move is None:
        raise not_supported(f"{refusal[0]} in this form of UPDATE", refusal[1])
    return Planned(MovePlan(move, tables.names, refusal), "move", ("its rows may go to other shards",))


def _across_refusal(tree: exp.Update | exp.Delete, targets: list[Table]) -> tuple[str, str] | None:
    verb = type(tree).__name__.upper()
    if tree.args.get("limit"):
        return (
            f"{verb} ... LIMIT over several shards",
            "Give a value of the sharding column, or leave LIMIT out.",
        )
    if any(table.type is TableType.REFERENCE for table in targets):
        return (
            f"{verb} of a reference table joined with a sharded table",
            "Write to the reference table in a statement of its own.",
        )
    return None
