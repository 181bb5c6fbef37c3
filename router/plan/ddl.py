"""DDL and table maintenance: to every shard of the keyspace, as it came."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from core.errors import fail, not_supported
from router.plan import databases
from router.plan.context import Statement, names_other_keyspace
from router.plan.names import tables_in
from router.plan.plans import Choice, Chooser, DdlPlan, DmlPlan, Merge, Planned, SelectPlan
from router.sql.lex import MARK, NAME, WORD, Lexeme
from router.vschema import VSchema

_BEFORE_NAME = frozenset(
    ("TABLE", "TABLES", "VIEW", "ON", "INDEX", "TRUNCATE", "PROCEDURE", "FUNCTION", "TRIGGER", "EVENT")
)
_PROGRAMS = frozenset(("PROCEDURE", "FUNCTION", "TRIGGER", "EVENT"))
_BEFORE_OTHER_NAME: Final[dict[str, tuple[str, ...]]] = {
    "DROP": (",",),
    "RENAME": (",", "TO"),
    "ALTER": ("RENAME",),
    "CREATE": ("LIKE",),
}
_BETWEEN = frozenset(("IF", "NOT", "EXISTS", "TABLE", "TABLES", "LOCAL", "NO_WRITE_TO_BINLOG"))

_NO_TABLES = frozenset(("PARSER", "SYSTEM"))
"""Behind WITH: of an index, of a table."""


def plan(statement: Statement) -> Planned:
    """Raises SluiceError."""
    of_database = databases.plan(statement)
    if of_database is not None:
        return of_database
    lexemes = statement.lexemes
    words = [lexeme.text for lexeme in lexemes[:6] if lexeme.kind is WORD]
    what = " ".join([word for word in words if word not in ("OR", "REPLACE")][:2])
    keyspace = _keyspace(statement)
    if keyspace != statement.keyspace:
        _check_names(statement, what)
    if words[1:2] == ["TEMPORARY"] or words[1:4] == ["OR", "REPLACE", "TEMPORARY"]:
        sharded = statement.sharded(keyspace) and not statement.shard
        chooser = Chooser(Choice.SCATTER if sharded else Choice.UNSHARDED, keyspace)
        refusal = (
            "temporary tables on a keyspace of several shards",
            f"Use an unsharded keyspace, or a target shard, USE `{keyspace}:SHARD` (SHOW SHARDS).",
        )
        made = DmlPlan(chooser, None, refusal if sharded else None)
        return Planned(made, "refused" if sharded else "write", ("a temporary table",), "a temporary table")
    if statement.shard:
        return Planned(
            DmlPlan(Chooser(Choice.UNSHARDED, keyspace), None), "write", ("the session has a target shard",)
        )
    if _makes_view(lexemes):
        _check_view(statement, keyspace)
    if statement.sharded(keyspace):
        if words[:2] == ["CREATE", "TABLE"] and _selects(lexemes):
            raise not_supported(
                "CREATE TABLE ... SELECT on a sharded keyspace", "CREATE the table, then INSERT the rows."
            )
        if statement.lexed.conditional and lexemes[0].text not in ("CREATE", "DROP", "ALTER"):
            raise not_supported("executable comments here", "Write what is inside as plain SQL.")
        unknown = _unknown_table(statement, keyspace)
        if unknown:
            return Planned(
                DdlPlan(keyspace, None, unknown=unknown),
                "write",
                ("DDL goes to every shard", "not in the VSchema"),
            )
    return Planned(DdlPlan(keyspace, None), "write", ("DDL goes to every shard",))


def copied(lexemes: list[Lexeme]) -> int:
    """The lexeme at which the SELECT of CREATE TABLE ... SELECT begins; -1 for all other DDL, which keeps what it
    names (defaults, programs), and for temporary tables, made where the session's state is."""
    words = [one.text for one in lexemes[:4] if one.kind is WORD]
    if words[:2] != ["CREATE", "TABLE"] and words != ["CREATE", "OR", "REPLACE", "TABLE"]:
        return -1
    for at, one in enumerate(lexemes):
        if one.kind is WORD and (
            one.text == "SELECT" or (one.text == "WITH" and lexemes[at + 1].text not in _NO_TABLES)
        ):
            return at
    return -1


def _unknown_table(statement: Statement, keyspace: str) -> str:
    """`keyspace.table` of a CREATE TABLE whose table no statement could find afterwards; else empty."""
    if statement.lexemes[0].text != "CREATE":
        return ""
    words = iter(statement.lexemes)
    for one in words:
        if one.kind is not WORD or one.text not in ("CREATE", "OR", "REPLACE"):
            break
    if one.kind is not WORD or one.text != "TABLE":
        return ""
    names = [one for one in words if one.kind is not WORD or one.text not in ("IF", "NOT", "EXISTS")]
    name = names[2] if len(names) > 2 and names[1].text == "." else names[0] if names else None
    if name is None or name.kind not in (WORD, NAME):
        return ""
    known = statement.vschema.keyspaces[keyspace].find_table(name.raw) is not None
    return "" if known else f"{keyspace}.{name.raw}"


def _makes_view(lexemes: list[Lexeme]) -> bool:
    """CREATE VIEW and ALTER VIEW, with whatever options stand before the word."""
    if lexemes[0].text not in ("CREATE", "ALTER"):
        return False
    for lexeme in lexemes:
        if lexeme.kind is WORD and lexeme.text in ("VIEW", "SELECT", "AS", "TABLE", *_PROGRAMS):
            return lexeme.text == "VIEW"
    return False


def _check_view(statement: Statement, keyspace: str) -> None:
    """A view is known to the servers of its keyspace alone: none may read another's tables. (Over several shards its
    query stands where its name is read.) Raises 1235."""
    tree = statement.read()
    if tree is None:  # CREATE DEFINER = ... VIEW is one that sqlglot does not read: its names have to do
        others = names_other_keyspace(replace(statement, keyspace=keyspace))
    else:
        others = any(table.db and table.db != keyspace for table in tables_in(tree))
    if others:
        raise not_supported(
            "a view that reads tables of another keyspace",
            "Put the view's SELECT into the statements that would read it.",
        )


def _check_names(statement: Statement, what: str) -> None:
    """The statement runs with the named keyspace as its default: names without one would mean other tables than the
    client's. Stored programs are left alone: their bodies have the program's own schema as default. Raises 1235."""
    lexemes = statement.lexemes
    verb = lexemes[0].text
    if any(one.kind is WORD and one.text in _PROGRAMS for one in lexemes[:12]):
        return
    if verb == "CREATE" and _selects(lexemes):
        tree = statement.read()
        named = tree is not None and all(table.db for table in tables_in(tree))
    else:
        before = _BEFORE_OTHER_NAME.get(verb, ())
        named = all(
            _is_qualified(lexemes, at + 1) for at, one in enumerate(lexemes) if at and one.text in before
        )
    if not named:
        raise not_supported(
            f"{what} in another keyspace than the session's with names that lack their keyspace",
            "Write keyspace.table everywhere, or USE the keyspace first.",
        )


def _is_qualified(lexemes: list[Lexeme], at: int) -> bool:
    """Whether the table's name at `at` has its keyspace; also where none stands (RENAME COLUMN, LIKE 'x')."""
    while at < len(lexemes) and lexemes[at].kind is WORD and lexemes[at].text in ("TO", "AS"):
        at += 1
    if at >= len(lexemes) or lexemes[at].kind not in (WORD, NAME):
        return True
    if lexemes[at].kind is WORD and lexemes[at].text in ("COLUMN", "INDEX", "KEY"):
        return True
    return at + 1 < len(lexemes) and lexemes[at + 1].kind is MARK and lexemes[at + 1].text == "."


def admin(statement: Statement) -> Planned:
    """ANALYZE, CHECK, CHECKSUM, OPTIMIZE, REPAIR TABLE. All but CHECKSUM commit; what the shards say alike is said
    once, and CHECKSUM gives each shard's answer in turn."""
    keyspace = statement.keyspace if statement.shard else _keyspace(statement)
    if statement.lexemes[0].text != "CHECKSUM":
        return Planned(DdlPlan(keyspace, ()), "write", ("table maintenance goes to every shard",))
    if statement.shard:
        return Planned(SelectPlan(Chooser(Choice.UNSHARDED, keyspace), (), False), "route")
    merge = Merge(visible=-1) if statement.sharded(keyspace) else None
    choice = Choice.SCATTER if merge is not None else Choice.UNSHARDED
    made = SelectPlan(Chooser(choice, keyspace), (), False, merge=merge)
    return Planned(
        made, "merge" if merge is not None else "route", ("table maintenance goes to every shard",)
    )


def _selects(lexemes: list[Lexeme]) -> bool:
    return any(lexeme.kind is WORD and lexeme.text == "SELECT" for lexeme in lexemes)


def _keyspace(statement: Statement) -> str:
    """The keyspace that the first name of an object is in. Raises NO_DATABASE, UNKNOWN_DATABASE."""
    vschema: VSchema = statement.vschema
    lexemes = statement.lexemes
    for at, lexeme in enumerate(lexemes):
        if lexeme.kind is not WORD or lexeme.text not in _BEFORE_NAME:
            continue
        name = at + 1
        while name < len(lexemes) and lexemes[name].kind is WORD and lexemes[name].text in _BETWEEN:
            name += 1
        if name + 1 < len(lexemes) and lexemes[name + 1].kind is MARK and lexemes[name + 1].text == ".":
            keyspace = lexemes[name].raw
            if keyspace not in vschema.keyspaces:
                raise fail("UNKNOWN_DATABASE", database=keyspace)
            return keyspace
        if lexeme.text not in ("INDEX",):
            break
    if not statement.keyspace:
        raise fail("NO_DATABASE")
    if statement.keyspace not in vschema.keyspaces:
        raise fail("UNKNOWN_DATABASE", database=statement.keyspace)
    return statement.keyspace
