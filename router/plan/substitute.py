"""Statements that read session state: the router puts the values in, or answers alone.

Invariant: column names stay as MySQL would show them: a select item that changes gets the text it had as its name.
"""

from __future__ import annotations

from collections.abc import Collection
from itertools import pairwise, takewhile
from typing import Final

from router.plan import connect_attributes
from router.plan.clauses import Item, naming_items, split_select
from router.plan.context import Statement, encoded
from router.plan.names import SYSTEM_SCHEMAS
from router.plan.plans import Bind, LocalColumn, Planned, SubstitutePlan, Template
from router.sql.hints import hinted
from router.sql.lex import BIND, MARK, NAME, NUMBER, ROW, VARIABLE, WORD, Lexeme
from router.variables.table import Class, rule_of

FUNCTIONS: Final = {
    "LAST_INSERT_ID": "last_insert_id",
    "FOUND_ROWS": "found_rows",
    "ROW_COUNT": "row_count",
    "CONNECTION_ID": "connection_id",
    "DATABASE": "database",
    "SCHEMA": "database",
    "USER": "user",
    "SESSION_USER": "user",
    "SYSTEM_USER": "user",
    "CURRENT_USER": "current_user",
    "VERSION": "version",
}
"""Functions of session state, by the name a spot has for them."""
USER_VARIABLES: Final = frozenset(("user_variable", "user_variable_in_list"))
Spot = tuple[str, str]
_HINTABLE_TOO: Final = frozenset(("sql_mode", "sql_select_limit", "xa_detach_on_prepare"))
"""No mere settings, but hints may set them, and no pooled connection keeps another session's."""
_BEGIN_LISTS: Final = frozenset(("BY", "SELECT", "FROM", "SET", "VALUES", "VALUE", "LIMIT", "USING", "INTO"))
_BEFORE_NAME: Final = frozenset((".", "AS", "INTO", "INSERT", "REPLACE", "IGNORE", "TABLE"))
"""Behind these, `user` is a table's or a column's name: INSERT INTO user () VALUES ()."""


def plan(statement: Statement, first: int = 0) -> Planned | None:
    """None when the statement reads no session state. `first`: the lexeme where what reads it begins."""
    hints = hinted(encoded(statement.text)) if "/*+" in statement.text else {}
    every = spots_of(statement.lexemes[first:])
    # what a hint sets is read from the server that runs the statement
    spots = [one for one in every if one[2][0] != "variable" or not _is_hinted(one[2][1], hints)]
    unhinted = len(spots) == len(every)
    tables = connect_attributes.edits(statement)
    if not spots and not tables:
        return None
    for start, end, spot in tables:
        if spot is not None:
            spots.append((start, end, spot))
    names = _names_to_keep(statement.lexemes[first:], spots)
    pieces: list[bytes | int] = []
    values: list[Spot] = []
    at = 0
    text = statement.text

    def put(spot: Spot) -> None:
        values.append(spot)
        pieces.append(-len(values))

    def copy(end: int) -> None:
        nonlocal at
        if end > at:
            pieces.append(encoded(text[at:end]))
        at = end

    edits: list[tuple[int, int, Spot | int | Item | None]] = [(s, e, spot) for s, e, spot in spots]
    edits += [(start, end, None) for start, end, spot in tables if spot is None]
    edits += [(one.start, one.end, one.bind) for one in statement.lexemes if one.kind is BIND]
    edits += [edit for one in statement.lexemes if one.kind is ROW for edit in _binds_of(one)]
    edits += [(item.end, item.end, item) for item in names]
    for start, end, what in sorted(edits, key=lambda edit: edit[:2]):
        copy(start)
        if isinstance(what, int):
            pieces.append(what)
        elif isinstance(what, Item):
            pieces.append(b" AS `")
            name_at = what.start
            for lexeme in what.lexemes:
                if lexeme.kind is BIND:
                    pieces.append(encoded(text[name_at : lexeme.start].replace("`", "``")))
                    put(("name_part", str(lexeme.bind)))
                    name_at = lexeme.end
            pieces.append(encoded(text[name_at : what.end].replace("`", "``") + "`"))
        elif what is not None:
            put(what)
        at = end
    copy(len(text))
    if _names_system_schema(statement):
        # the servers' own tables know the database, not the target: `WHERE table_schema = DATABASE()`
        values = [("function", "schema") if spot == ("function", "database") else spot for spot in values]
    local, limit = _local(statement) if unhinted else (None, None)
    made = SubstitutePlan(Template(tuple(pieces)), tuple(values), local, limit)
    return Planned(made, "session", ("it reads session state",))


def _is_hinted(variable: str, hints: Collection[str]) -> bool:
    """Whether hints set it, and its server has the session's value where they do not (MariaDB: comments): what else a
    connection has is somebody's who had it before."""
    name = variable.rpartition(".")[2].lower()
    return name in hints and (rule_of(name).kind is Class.SETTING or name in _HINTABLE_TOO)


def _binds_of(row: Lexeme) -> list[tuple[int, int, Spot | int | Item]]:
    """The binds of a whole row, which stand in its text."""
    places = [row.start + at for at, character in enumerate(row.text) if character == "?"]
    return [(place, place + 1, row.bind + number) for number, place in enumerate(places)]


def spots_of(lexemes: list[Lexeme]) -> list[tuple[int, int, Spot]]:
    """Where session state is read: start, end, what."""
    found: list[tuple[int, int, Spot]] = []
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind is VARIABLE:
            if lexeme.text.startswith("@@"):
                found.append((lexeme.start, lexeme.end, ("variable", _variable(lexeme.text))))
            elif len(lexeme.text) > 1 and not _is_account(lexemes, at):
                kind = "user_variable_in_list" if _is_listed(lexemes, at) else "user_variable"
                found.append((lexeme.start, lexeme.end, (kind, _user_variable(lexeme.text))))
        elif lexeme.kind is WORD and lexeme.text in FUNCTIONS:
            if at and lexemes[at - 1].text in _BEFORE_NAME and lexemes[at - 1].kind in (MARK, WORD):
                continue
            if [one.text for one in lexemes[at + 1 : at + 3]] == ["(", ")"]:
                found.append((lexeme.start, lexemes[at + 2].end, ("function", FUNCTIONS[lexeme.text])))
            elif lexeme.text == "CURRENT_USER" and (at + 1 >= len(lexemes) or lexemes[at + 1].text != "("):
                found.append((lexeme.start, lexeme.end, ("function", "current_user")))
    return found


def _is_listed(lexemes: list[Lexeme], at: int) -> bool:
    """Whether it may be an item of ORDER BY or GROUP BY, where a number would be a column's position."""
    if not at or lexemes[at - 1].text not in ("BY", ","):
        return False
    for before in reversed(lexemes[:at]):
        if before.depth < lexemes[at].depth:
            return False
        if before.depth == lexemes[at].depth and before.kind is WORD and before.text in _BEGIN_LISTS:
            return before.text == "BY"
    return False


def _names_system_schema(statement: Statement) -> bool:
    lexemes = statement.lexemes
    return statement.keyspace.lower() in SYSTEM_SCHEMAS or any(
        one.kind in (WORD, NAME) and one.raw.lower() in SYSTEM_SCHEMAS and after.text == "."
        for one, after in pairwise(lexemes)
    )


def _is_account(lexemes: list[Lexeme], at: int) -> bool:
    """'user'@'host' and user@host: not a variable."""
    before = lexemes[at - 1] if at else None
    return before is not None and before.end == lexemes[at].start and before.kind in (WORD, NAME, BIND)


def _variable(text: str) -> str:
    return text[2:].replace("`", "")


def _user_variable(text: str) -> str:
    name = text[1:]
    if name[:1] in ("'", '"', "`") and name[-1:] == name[:1]:
        name = name[1:-1].replace(name[:1] * 2, name[:1])
    return name


def _names_to_keep(lexemes: list[Lexeme], spots: list[tuple[int, int, Spot]]) -> list[Item]:
    """Items that the result's columns are named after, hold a spot and have no alias."""
    depth = lexemes[0].depth if lexemes else 0
    if depth:  # AS (SELECT ...)
        inside = takewhile(lambda one: one.depth >= depth, lexemes)
        lexemes = [one._replace(depth=one.depth - depth) for one in inside]
    items = naming_items(lexemes)
    return [
        item
        for item in items or []
        if not item.alias and any(item.start <= start < item.end for start, _, _ in spots)
    ]


def _local(statement: Statement) -> tuple[tuple[LocalColumn, ...] | None, Bind | None]:
    """The columns when the statement is a SELECT of session state only, and its LIMIT (clients ask for
    `@@version_comment limit 1`)."""
    lexemes = statement.lexemes
    clauses = split_select(lexemes) if lexemes[0].text == "SELECT" else None
    if clauses is None or not clauses.places.keys() <= {"items", "limit"}:
        return None, None
    limit = None
    if "limit" in clauses.places:
        if len(lexemes) < 2 or lexemes[-1].kind is not BIND or lexemes[-2].text != "LIMIT":
            return None, None
        limit = Bind(lexemes[-1].bind)
    columns: list[LocalColumn] = []
    for item in clauses.items:
        value = _local_value(item.value)
        if value is None or item.alias_bind >= 0 or (value[0] == "literal" and not item.alias):
            return None, None
        columns.append(LocalColumn(item.alias or statement.text[item.start : item.end], value))
    if lexemes[1].text in ("DISTINCT", "ALL", "DISTINCTROW"):
        return None, None
    return tuple(columns), limit


def _local_value(value: tuple[Lexeme, ...]) -> tuple[str, str | int] | None:
    if len(value) == 1 and value[0].kind is BIND:
        return "literal", value[0].bind
    if len(value) == 1 and value[0].kind is NUMBER:
        return None
    found = spots_of(list(value))
    if len(found) == 1 and found[0][0] == value[0].start and found[0][1] == value[-1].end:
        return found[0][2]
    return None
