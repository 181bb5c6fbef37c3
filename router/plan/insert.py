"""INSERT and REPLACE: rows by shard, ids from sequences.

Read from the lexemes alone, so that thousands of rows plan in milliseconds. Invariant: every row goes to the shard that
the value of its sharding column maps to, and a row whose value is not known before it is written is refused.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence

from core.errors import CODES, SluiceError, fail, not_supported
from router.plan import insert_select
from router.plan.context import Statement, encoded, template
from router.plan.insert_computed import computed
from router.plan.insert_head import Head, check_tail, columns_of, is_plain, read_head, sequence_of
from router.plan.insert_rows import ColumnCountError, RowReader
from router.plan.plans import (
    Choice,
    Chooser,
    ColumnsRead,
    DmlPlan,
    InsertPlan,
    InsertRow,
    PlanError,
    Planned,
    Template,
)
from router.plan.purity import is_shareable
from router.sql.lex import ROW, WORD, Lexeme, syntax_error
from router.vschema import Table, TableType

NOT_SUPPORTED = CODES["NOT_SUPPORTED"].number


def plan(statement: Statement) -> Planned:
    """Raises SluiceError."""
    lexemes = statement.lexemes
    head = read_head(statement)
    table = head.table
    sequence = statement.vschema.sequence_of(table)
    if not table.sharded and sequence is None:
        chooser = Chooser(Choice.UNSHARDED, table.keyspace)
        tables = (table.name,) if not _selects(lexemes) else None
        if tables is None and not insert_select.stays(statement, table):
            if head.columns is None:
                return _without_columns(statement, head)
            return insert_select.moved(statement, head, sequence)
        if tables is None:
            return Planned(DmlPlan(chooser, None), "route", ("the keyspace is not sharded",))
        return Planned(DmlPlan(chooser, tables), "route", ("the keyspace is not sharded",))
    reason = table.unsupported_write_reason()
    if reason is not None:
        raise not_supported(*reason)
    word = lexemes[head.at].text if head.at < len(lexemes) else ""
    selects = word in ("SELECT", "WITH", "(", "TABLE")
    if (
        head.columns is None
        and (not table.authoritative or _is_empty_row(lexemes[head.at + 1 : head.at + 3]))
        and word not in ("SET", "")
        and (selects or not (table.sharded and table.type is TableType.REFERENCE))
    ):
        return _without_columns(statement, head)
    if table.sharded and table.type is TableType.REFERENCE and table.source is not None:
        raise not_supported(
            f"writing to the copy {table.keyspace}.{table.name}",
            f"Write to its source {'.'.join(table.source)}.",
        )
    if selects:
        return insert_select.plan(statement, head, sequence)
    if table.sharded and table.type is TableType.REFERENCE:
        return _or_computed(statement, head, sequence, lambda: _reference(statement, table, head.at))
    if table.sharded and (table.primary is None or len(table.primary.columns) > 1):
        raise not_supported(
            f"INSERT into {table.keyspace}.{table.name}, whose sharding key is "
            + ("pinned" if table.primary is None else "of several columns"),
            f"Use a target shard, USE `{table.keyspace}:SHARD` (SHOW SHARDS).",
        )
    if word in ("SET", "VALUES", "VALUE"):
        form = _set_form if word == "SET" else _values_form
        return _or_computed(statement, head, sequence, lambda: form(statement, head, sequence))
    raise syntax_error(
        statement.text, lexemes[head.at].start if head.at < len(lexemes) else len(statement.text)
    )


def written(statement: Statement) -> tuple[str, ...] | None:
    """The table an INSERT writes, where it goes as it is; None when more may be read or written."""
    if _selects(statement.lexemes):
        return None
    try:
        return (read_head(statement).table.name,)
    except SluiceError:
        return None


def _is_empty_row(lexemes: list[Lexeme]) -> bool:
    """`VALUES ()`: all columns by their defaults."""
    return "".join(one.text for one in lexemes).replace(" ", "")[:2] == "()"


def _without_columns(statement: Statement, head: Head) -> Planned:
    """A server knows the columns: the statement is planned again with a list of them."""
    table, text, lexemes = head.table, statement.text, statement.lexemes
    error = not_supported(
        f"INSERT without a column list into {table.keyspace}.{table.name}, whose columns the VSchema does not list",
        "Name the columns, or list them in the VSchema with column_list_authoritative.",
    )
    at = lexemes[head.at].start
    pieces: list[bytes | int] = [*template(text, lexemes, 0, at), -1]
    for lexeme in lexemes[head.at :]:
        if lexeme.kind is ROW:  # binds stand in its text
            pieces += template(text, lexemes, at, lexeme.start)
            before, *behind = lexeme.text.split("?")
            pieces.append(encoded(before))
            for number, piece in enumerate(behind):
                pieces += (lexeme.bind + number, encoded(piece))
            at = lexeme.end
    pieces += template(text, lexemes, at, len(text))
    empty = _is_empty_row(lexemes[head.at + 1 : head.at + 3])
    read = ColumnsRead(table.keyspace, table.name, Template(tuple(pieces)), empty)
    made = PlanError(error.number, error.sqlstate, error.message, columns=read)
    return Planned(made, "write", ("its columns are asked for first",))


def _selects(lexemes: list[Lexeme]) -> bool:
    return any(lexeme.kind is WORD and lexeme.text in ("SELECT", "TABLE") for lexeme in lexemes)


def _or_computed(
    statement: Statement, head: Head, sequence: Table | None, plain: Callable[[], Planned]
) -> Planned:
    """`plain`, or where its rows cannot be placed as they are written, the plan that computes them. Raises
    SluiceError."""
    try:
        return plain()
    except SluiceError as error:
        if error.number != NOT_SUPPORTED:
            raise
        sets = statement.lexemes[head.at].text == "SET"
        if head.columns is None and not head.table.authoritative and not sets:
            return _without_columns(statement, head)
        made = computed(statement, head, sequence)
        if made is None:
            raise
        return made


def _reference(statement: Statement, table: Table, at: int) -> Planned:
    if not is_shareable(statement.lexemes[at:]):
        raise not_supported(
            "writing to a reference table with functions that give each shard another value",
            "Compute the value first, and write it as a literal.",
        )
    if _selects(statement.lexemes):
        raise not_supported(
            "a subquery in INSERT into a reference table", "Read its value first, or write INSERT ... SELECT."
        )
    return Planned(
        DmlPlan(Chooser(Choice.SCATTER, table.keyspace), (table.name,), copies=True),
        "write",
        ("a reference table",),
    )


def _values_form(statement: Statement, head: Head, sequence: Table | None) -> Planned:
    table, text, lexemes = head.table, statement.text, statement.lexemes
    column, source = sequence_of(table, sequence)
    columns = list(columns_of(head))
    key = table.primary.columns[0] if table.primary is not None else ""
    appended = bool(column) and column not in columns
    if key and key not in columns and not (appended and key == column):
        raise not_supported(
            f"INSERT into {table.keyspace}.{table.name} without its sharding column {key}",
            f"Name {key} and its value.",
        )
    if appended and head.columns is None:
        raise fail(
            "SYNTAX", message=f"Column count does not match: column {column} of {table.name} is invisible"
        )
    reader = RowReader(
        text,
        lexemes,
        count=len(columns),
        key=columns.index(key) if key in columns else -1,
        generated=columns.index(column) if column in columns else -1,
        appended=appended,
        sharded=table.sharded,
        names=(*columns, *((column,) if appended else ())) if table.owned() else (),
    )
    try:
        rows, behind = reader.read(head.at + 1)
    except ColumnCountError as error:
        if head.columns is None:
            raise fail("COLUMN_COUNT", row=error.number) from None
        # any server refuses it, and says what else is wrong with it first
        return Planned(DmlPlan(Chooser(Choice.ANY, table.keyspace), (table.name,)), "route", ("a wrong row",))
    _check_known(table, rows)
    values_end = lexemes[head.at].end
    if appended:
        name = b"`" + encoded(column).replace(b"`", b"``") + b"`"
        pieces = [*template(text, lexemes, 0, head.close), (b", " if columns else b"") + name]
        pieces += template(text, lexemes, head.close, values_end)
    else:
        pieces = [*template(text, lexemes, 0, values_end)]
    end = lexemes[behind].start if behind < len(lexemes) else len(text)
    tail = template(text, lexemes, end, len(text))
    check_tail(lexemes[behind:], table)
    made = InsertPlan(
        keyspace=table.keyspace,
        table=table.name,
        tables=(table.name,),
        head=Template((*pieces, b" ")),
        rows=rows,
        tail=Template((b" ", *tail) if tail else ()),
        vindex=table.primary.name if table.primary is not None else "",
        sequence=source,
        sequence_fills_vindex=bool(key) and key == column,
        owned=bool(table.owned()),
        plain=is_plain(lexemes, head.at, behind),
    )
    return Planned(made, "write", ("rows by the sharding column" if key else "ids from a sequence",))


def _check_known(table: Table, rows: Sequence[InsertRow]) -> None:
    """Rows of a table that owns lookup vindexes are found again by their values. Raises NOT_SUPPORTED."""
    if table.owned() and any(not value.pieces for row in rows for _, value in row.items):
        raise not_supported(
            f"INSERT into {table.keyspace}.{table.name}, which owns a lookup vindex, with a value not known before",
            "Compute the value first, and write it as a literal.",
        )


def _set_form(statement: Statement, head: Head, sequence: Table | None) -> Planned:
    table, text, lexemes = head.table, statement.text, statement.lexemes
    column, source = sequence_of(table, sequence)
    key = table.primary.columns[0] if table.primary is not None else ""
    first = head.at + 1
    behind = first
    while behind < len(lexemes) and not (
        lexemes[behind].depth == 0
        and lexemes[behind].kind is WORD
        and lexemes[behind].text in ("ON", "AS", "RETURNING")
    ):
        behind += 1
    owned = bool(table.owned())
    row, has_key = RowReader.assignments(text, lexemes[first:behind], key, column, table.sharded, owned)
    if key and not has_key and key != column:
        raise not_supported(
            f"INSERT into {table.keyspace}.{table.name} without its sharding column {key}",
            f"Name {key} and its value.",
        )
    _check_known(table, (row,))
    check_tail(lexemes[behind:], table)
    end = lexemes[behind].start if behind < len(lexemes) else len(text)
    tail = template(text, lexemes, end, len(text))
    made = InsertPlan(
        keyspace=table.keyspace,
        table=table.name,
        tables=(table.name,),
        head=Template((*template(text, lexemes, 0, lexemes[head.at].end), b" ")),
        rows=(row,),
        tail=Template((b" ", *tail) if tail else ()),
        vindex=table.primary.name if table.primary is not None else "",
        sequence=source,
        sequence_fills_vindex=bool(key) and key == column,
        owned=owned,
        plain=is_plain(lexemes, head.at, behind),
    )
    return Planned(made, "write", ("one row by the sharding column" if key else "ids from a sequence",))


__all__ = ["ROW", "plan"]
