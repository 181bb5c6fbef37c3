"""INSERT and REPLACE: rows by shard, ids from sequences.

Read from the lexemes alone, so that thousands of rows plan in milliseconds. Invariant: every row goes to the shard that
the value of its sharding column maps to, and a row whose value is not known before it is written is refused.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.errors import SluiceError, fail, not_supported
from router.plan import insert_select
from router.plan.context import Statement, encoded, template
from router.plan.insert_rows import ColumnCountError, RowReader
from router.plan.names import find_table
from router.plan.plans import (
    Choice,
    Chooser,
    ColumnsRead,
    DmlPlan,
    InsertPlan,
    PlanError,
    Planned,
    Template,
)
from router.plan.purity import is_shareable
from router.sql.lex import MARK, NAME, ROW, WORD, Lexeme, syntax_error
from router.vschema import Table, TableType

_MODIFIERS: Final = frozenset(("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"))


@dataclass(slots=True)
class Head:
    """What stands before the rows. `columns` in lower case, None when there is no list; `close`: where its closing
    parenthesis is; `at`: the first lexeme behind all this."""

    table: Table
    columns: list[str] | None
    close: int
    at: int


def plan(statement: Statement) -> Planned:
    """Raises SluiceError."""
    lexemes = statement.lexemes
    head = _head(statement)
    table = head.table
    sequence = statement.vschema.sequence_of(table)
    if not table.sharded and sequence is None:
        chooser = Chooser(Choice.UNSHARDED, table.keyspace)
        tables = (table.name,) if not _selects(lexemes) else None
        if tables is None:
            return insert_select.unsharded(statement, table, chooser)
        return Planned(DmlPlan(chooser, tables), "route", ("the keyspace is not sharded",))
    reason = table.unsupported_write_reason()
    if reason is not None:
        raise not_supported(*reason)
    word = lexemes[head.at].text if head.at < len(lexemes) else ""
    if (
        head.columns is None
        and (not table.authoritative or _is_empty_row(lexemes[head.at + 1 : head.at + 3]))
        and word not in ("SET", "")
        and not (table.sharded and table.type is TableType.REFERENCE)
    ):
        return _without_columns(statement, head)
    if word in ("SELECT", "WITH", "(", "TABLE"):
        return insert_select.plan(statement, table, _columns(head), head.at)
    if table.sharded and table.type is TableType.REFERENCE:
        return _reference(statement, table, head.at)
    if table.sharded and (table.primary is None or len(table.primary.columns) > 1):
        raise not_supported(
            f"INSERT into {table.keyspace}.{table.name}, whose sharding key is "
            + ("pinned" if table.primary is None else "of several columns"),
            f"Use a target shard, USE `{table.keyspace}:SHARD` (SHOW SHARDS).",
        )
    if word == "SET":
        return _set_form(statement, head, sequence)
    if word in ("VALUES", "VALUE"):
        return _values_form(statement, head, sequence)
    raise syntax_error(
        statement.text, lexemes[head.at].start if head.at < len(lexemes) else len(statement.text)
    )


def written(statement: Statement) -> tuple[str, ...] | None:
    """The table an INSERT writes, where it goes as it is; None when more may be read or written."""
    if _selects(statement.lexemes):
        return None
    try:
        return (_head(statement).table.name,)
    except SluiceError:
        return None


def _head(statement: Statement) -> Head:
    lexemes = statement.lexemes
    at = 1
    while at < len(lexemes) and lexemes[at].kind is WORD and lexemes[at].text in _MODIFIERS:
        at += 1
    if at >= len(lexemes) or lexemes[at].kind not in (WORD, NAME):
        raise syntax_error(statement.text, lexemes[at].start if at < len(lexemes) else len(statement.text))
    keyspace, name = statement.keyspace, lexemes[at].raw
    at += 1
    if at + 1 < len(lexemes) and lexemes[at].text == "." and lexemes[at].kind is MARK:
        keyspace, name = name, lexemes[at + 1].raw
        at += 2
    table = find_table(keyspace, name, statement.vschema)
    if at + 1 < len(lexemes) and lexemes[at].text == "PARTITION" and lexemes[at].kind is WORD:
        at = _closing(lexemes, at + 1) + 1
    columns: list[str] | None = None
    close = -1
    following = lexemes[at + 1 : at + 2]
    if (
        at < len(lexemes)
        and lexemes[at].text == "("
        and not (following and following[0].text in ("SELECT", "WITH"))
    ):
        end = _closing(lexemes, at)
        columns, name = [], ""
        for lexeme in lexemes[at + 1 : end + 1]:
            if lexeme.kind in (WORD, NAME):
                name = lexeme.raw.lower()
            elif lexeme.text in (",", ")") and name:
                columns.append(name)
        close = lexemes[end].start
        at = end + 1
    return Head(table, columns, close, at)


def _closing(lexemes: list[Lexeme], at: int) -> int:
    """The parenthesis that closes the one at `at`."""
    depth = lexemes[at].depth
    for place in range(at + 1, len(lexemes)):
        if lexemes[place].text == ")" and lexemes[place].depth == depth and lexemes[place].kind is MARK:
            return place
    return len(lexemes) - 1


def _columns(head: Head) -> list[str]:
    """The columns the values are for."""
    if head.columns is not None:
        return head.columns
    return [column.name.lower() for column in head.table.columns if not column.invisible]


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


def _reference(statement: Statement, table: Table, at: int) -> Planned:
    if table.source is not None:
        raise not_supported(
            f"writing to the copy {table.keyspace}.{table.name}",
            f"Write to its source {'.'.join(table.source)}.",
        )
    if not is_shareable(statement.lexemes[at:]):
        raise not_supported(
            "writing to a reference table with functions that give each shard another value",
            "Compute the value first, and write it as a literal.",
        )
    if _selects(statement.lexemes):
        raise not_supported(
            "INSERT ... SELECT into a reference table", "Read the rows, and write them with VALUES."
        )
    return Planned(
        DmlPlan(Chooser(Choice.SCATTER, table.keyspace), (table.name,), copies=True),
        "write",
        ("a reference table",),
    )


def _check_tail(tail: list[Lexeme], table: Table) -> None:
    """ON DUPLICATE KEY UPDATE must leave the sharding column alone."""
    if not table.sharded:
        return
    names: list[str] = []
    assigning = False
    for at, lexeme in enumerate(tail):
        if lexeme.kind is WORD and lexeme.text == "RETURNING":
            raise not_supported("INSERT ... RETURNING into a sharded table", "Read the rows with a SELECT.")
        if lexeme.kind is WORD and lexeme.text == "SELECT":
            raise not_supported("a subquery in INSERT into a sharded table", "Read its value first.")
        if lexeme.depth:
            continue
        if lexeme.kind is WORD and lexeme.text == "UPDATE" and at and tail[at - 1].text == "KEY":
            assigning, names = True, []
        elif assigning and lexeme.kind in (WORD, NAME):
            names.append(lexeme.raw.lower())
        elif assigning and lexeme.text == "=" and names:
            if table.primary is not None and names[-1] in table.primary.columns:
                raise not_supported(
                    f"changing the sharding column {table.name}.{names[-1]} in ON DUPLICATE KEY UPDATE",
                    "Leave it out of the assignments: the row stays on its shard.",
                )
            assigning = False
        elif lexeme.text == ",":
            assigning, names = True, []


def _is_plain(lexemes: list[Lexeme], at: int, behind: int) -> bool:
    """Whether the statement leaves all rows that are there as they are, and fails where one is in its way."""
    words = {one.text for one in lexemes[:at] if one.kind is WORD}
    tail = {one.text for one in lexemes[behind:] if one.kind is WORD}
    return "REPLACE" not in words and "IGNORE" not in words and "DUPLICATE" not in tail


def _sequence_of(table: Table, sequence: Table | None) -> tuple[str, tuple[str, str] | None]:
    if sequence is None or table.auto_increment is None:
        return "", None
    return table.auto_increment.column, (sequence.keyspace, sequence.name)


def _values_form(statement: Statement, head: Head, sequence: Table | None) -> Planned:
    table, text, lexemes = head.table, statement.text, statement.lexemes
    column, source = _sequence_of(table, sequence)
    columns = list(_columns(head))
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
    values_end = lexemes[head.at].end
    if appended:
        name = b"`" + encoded(column).replace(b"`", b"``") + b"`"
        pieces = [*template(text, lexemes, 0, head.close), (b", " if columns else b"") + name]
        pieces += template(text, lexemes, head.close, values_end)
    else:
        pieces = [*template(text, lexemes, 0, values_end)]
    end = lexemes[behind].start if behind < len(lexemes) else len(text)
    tail = template(text, lexemes, end, len(text))
    _check_tail(lexemes[behind:], table)
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
        plain=_is_plain(lexemes, head.at, behind),
    )
    return Planned(made, "write", ("rows by the sharding column" if key else "ids from a sequence",))


def _set_form(statement: Statement, head: Head, sequence: Table | None) -> Planned:
    table, text, lexemes = head.table, statement.text, statement.lexemes
    column, source = _sequence_of(table, sequence)
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
    _check_tail(lexemes[behind:], table)
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
        plain=_is_plain(lexemes, head.at, behind),
    )
    return Planned(made, "write", ("one row by the sharding column" if key else "ids from a sequence",))


__all__ = ["ROW", "plan"]
