"""What INSERT and REPLACE have in common: what stands before the rows and behind them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.errors import not_supported
from router.plan.context import Statement
from router.plan.names import find_table
from router.sql.lex import MARK, NAME, WORD, Lexeme, syntax_error
from router.vschema import Table

_MODIFIERS: Final = frozenset(("LOW_PRIORITY", "DELAYED", "HIGH_PRIORITY", "IGNORE", "INTO"))


@dataclass(slots=True)
class Head:
    """What stands before the rows. `columns` in lower case, None when there is no list; `close`: where its closing
    parenthesis is; `at`: the first lexeme behind all this."""

    table: Table
    columns: list[str] | None
    close: int
    at: int


def read_head(statement: Statement) -> Head:
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


def columns_of(head: Head) -> list[str]:
    """The columns the values are for."""
    if head.columns is not None:
        return head.columns
    return [column.name.lower() for column in head.table.columns if not column.invisible]


def check_tail(tail: list[Lexeme], table: Table) -> None:
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
            if (
                table.primary is not None
                and names[-1] in table.primary.columns
                and not _keeps_its_shard(tail, at + 1, names[-1], table)
            ):
                raise not_supported(
                    f"changing the sharding column {table.name}.{names[-1]} in ON DUPLICATE KEY UPDATE",
                    "Leave it out of the assignments: the row stays on its shard.",
                )
            assigning = False
        elif lexeme.text == ",":
            assigning, names = True, []


def _keeps_its_shard(tail: list[Lexeme], at: int, column: str, table: Table) -> bool:
    """Whether what is assigned to the only sharding column is its own value, or that of the row that was to be
    inserted, for which this shard was chosen."""
    if table.primary is None or len(table.primary.columns) > 1:
        return False
    value: list[str] = []
    for one in tail[at:]:
        if not one.depth and one.kind is MARK and one.text == ",":
            break
        value.append((one.raw or one.text).lower())
    alias = table.name.lower()
    if (
        tail[0].text == "AS" and len(tail) > 2 and tail[2].text != "("
    ):  # else its columns may have other names
        alias = tail[1].raw.lower()
    return value in (
        [column],
        ["values", "(", column, ")"],
        ["value", "(", column, ")"],
        [alias, ".", column],
        [table.name.lower(), ".", column],
    )


def is_plain(lexemes: list[Lexeme], at: int, behind: int) -> bool:
    """Whether the statement leaves all rows that are there as they are, and fails where one is in its way."""
    words = {one.text for one in lexemes[:at] if one.kind is WORD}
    tail = {one.text for one in lexemes[behind:] if one.kind is WORD}
    return "REPLACE" not in words and "IGNORE" not in words and "DUPLICATE" not in tail


def sequence_of(table: Table, sequence: Table | None) -> tuple[str, tuple[str, str] | None]:
    if sequence is None or table.auto_increment is None:
        return "", None
    return table.auto_increment.column, (sequence.keyspace, sequence.name)
