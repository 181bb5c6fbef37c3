"""INSERT of rows whose shards are known only once something is computed: their sharding columns, what a sequence may
fill, and subqueries are selected first. Every other expression stays the shard's own to compute, from the text.

Rows of reference tables: what would have another value on each shard is computed once.
"""

from __future__ import annotations

from dataclasses import replace

from core.errors import SluiceError
from router.plan.context import Statement, template
from router.plan.insert_head import Head, columns_of, sequence_of
from router.plan.insert_rows import Item, items_of, literal_of
from router.plan.insert_select import move_of
from router.plan.moves import Computed
from router.plan.plans import MovePlan, Planned, Template
from router.plan.purity import is_shareable
from router.sql.dialect import Dialect
from router.sql.lex import MARK, NAME, ROW, WORD, lex
from router.sql.parse import ParseError, exp, parse
from router.vschema import Table, TableType


def computed(statement: Statement, head: Head, sequence: Table | None) -> Planned | None:
    """The plan of an INSERT whose rows cannot be placed as they are written; None where this cannot be done either."""
    table = head.table
    if any(one.kind is ROW for one in statement.lexemes[head.at :]):
        # in names of ANSI_QUOTES only, a normalised text has a double quote
        relexed = lex(statement.text, Dialect.ANSI_QUOTES, whole_rows=False)
        statement = replace(statement, lexed=relexed, tree=None)
    read = _set_form(statement, head) if statement.lexemes[head.at].text == "SET" else _rows(statement, head)
    if read is None:
        return None
    head, rows, behind = read
    columns = columns_of(head)
    if not columns or any(len(row) != len(columns) for row in rows):
        return None
    key = table.primary.columns[0] if table.primary is not None else ""
    column, _ = sequence_of(table, sequence)
    copies = table.sharded and table.type is TableType.REFERENCE
    once = copies or bool(table.owned())  # read again after they are written
    tail = statement.lexemes[behind:]
    if copies and not is_shareable(tail):
        return None
    values: list[Template] = []
    places: list[int] = []
    made: list[tuple[Template | int, ...]] = []
    for row in rows:
        items: list[Template | int] = []
        for at, item in enumerate(row):
            needed = columns[at] in (key, column)
            plain = literal_of(item)
            text = Template(template(statement.text, item, item[0].start, item[-1].end))
            if needed and plain is not None:
                items.append(plain)
            elif needed and _is_default(item):
                if columns[at] != column:
                    return None
                items.append(Template((b"NULL",)))  # the sequence's
            elif needed or _selects(item) or (once and not is_shareable(item) and not _is_default(item)):
                if _reads_columns(statement.text, item):
                    return None
                items.append(len(values))
                values.append(text)
                places.append(at)
            else:
                items.append(text)
        made.append(tuple(items))
    if not values:
        return None
    try:
        move = move_of(statement, head, sequence, behind)
    except SluiceError:
        return None
    query: list[bytes | int] = [b"SELECT "]
    for number, one in enumerate(values):
        query += (b", " if number else b"", *one.pieces)
    move = replace(
        move,
        query=Template(tuple(query)),
        computed=Computed(tuple(values), tuple(places), tuple(made)),
        columns=tuple(columns),
    )
    refusal = (f"INSERT of computed values into {table.keyspace}.{table.name}", "Compute them first.")
    return Planned(MovePlan(move, (table.name,), refusal), "move", ("its values are computed first",))


def _rows(statement: Statement, head: Head) -> tuple[Head, list[list[Item]], int] | None:
    """The rows of VALUES, and the first lexeme behind them."""
    lexemes = statement.lexemes
    rows: list[list[Item]] = []
    at = head.at + 1
    while at < len(lexemes) and lexemes[at].text == "(" and lexemes[at].kind is MARK:
        end = at + 1
        while lexemes[end].depth or lexemes[end].text != ")":
            end += 1
        row = items_of(lexemes[at + 1 : end], 1)
        if not row or not all(row):
            return None
        rows.append(row)
        at = end + 1
        if at < len(lexemes) and lexemes[at].text == "," and lexemes[at].kind is MARK:
            at += 1
        else:
            return head, rows, at
    return None


def _set_form(statement: Statement, head: Head) -> tuple[Head, list[list[Item]], int] | None:
    """INSERT ... SET as a row of VALUES with a list of its columns."""
    lexemes = statement.lexemes
    behind = head.at + 1
    while behind < len(lexemes) and not (
        lexemes[behind].depth == 0
        and lexemes[behind].kind is WORD
        and lexemes[behind].text in ("ON", "AS", "RETURNING")
    ):
        behind += 1
    columns: list[str] = []
    row: list[Item] = []
    for item in items_of(lexemes[head.at + 1 : behind], 0):
        at = next((i for i, one in enumerate(item) if one.text in ("=", ":=") and one.kind is MARK), -1)
        if at < 1 or item[at - 1].kind not in (WORD, NAME) or at + 1 >= len(item):
            return None
        columns.append(item[at - 1].raw.lower())
        row.append(item[at + 1 :])
    return Head(head.table, columns, -1, head.at), [row], behind


def _is_default(item: Item) -> bool:
    return len(item) == 1 and item[0].kind is WORD and item[0].text == "DEFAULT"


def _selects(item: Item) -> bool:
    return any(one.kind is WORD and one.text in ("SELECT", "TABLE") for one in item)


def _reads_columns(text: str, item: Item) -> bool:
    """Whether an expression may name columns of its own row, outside of subqueries."""
    try:
        tree = parse(lex(f"SELECT {text[item[0].start : item[-1].end]}", Dialect.ANSI_QUOTES))
    except (ParseError, SluiceError):
        return True
    return any(
        one.find_ancestor(exp.Subquery, exp.Exists, exp.In) is None for one in tree.find_all(exp.Column)
    )
