"""UPDATE and DELETE whose rows no shard can tell alone (LIMIT, subqueries and joins over shards): found first, by a
SELECT of their keys, and then changed by these.

Invariant: what is assigned is computed by the shard that has the row from that row alone, or by the SELECT from rows as
they were before the statement. Where MySQL would compute it from an assignment before it, there is no such plan.
"""

from __future__ import annotations

from dataclasses import dataclass

from core.errors import SluiceError
from router.plan.context import Statement, template
from router.plan.finish_text import quoted
from router.plan.moves import ChangeMove
from router.plan.names import SYSTEM_SCHEMAS, table_of, tables_in
from router.plan.plans import Template
from router.plan.purity import is_shareable
from router.sql.lex import MARK, NAME, WORD, Lexeme
from router.sql.parse import exp
from router.vschema import Table, TableType

_MODIFIERS = frozenset(("LOW_PRIORITY", "QUICK", "IGNORE"))


@dataclass(slots=True)
class _Target:
    """The table that is changed. `alone`: it is the whole FROM, so that a column without a table is one of its."""

    alias: str
    table: Table
    alone: bool


def change_of(
    statement: Statement, tree: exp.Update | exp.Delete, select: exp.Select, rows: Template | None
) -> ChangeMove | None:
    """`select`: the statement's FROM and WHERE as a query; `rows`: their text. None where it would not be right, or
    cannot be told."""
    try:
        target = _target(statement, tree, select)
    except SluiceError:
        return None
    if target is None or rows is None:
        return None
    table = target.table
    copies = table.sharded and table.type is TableType.REFERENCE
    limited = bool(tree.args.get("limit") or tree.args.get("order"))
    if (
        table.unsupported_write_reason() is not None
        or table.type is TableType.SEQUENCE
        or table.source is not None
        or (table.sharded and table.primary is None and not copies)
        or (limited and not target.alone)
        or (copies and not is_shareable(statement.lexemes[_first(statement.lexemes) + 1 :]))
    ):
        return None
    self_read = any(_is_read_again(statement, node, table) for node in tables_in(tree))
    reference = quoted(table.keyspace) + b"." + quoted(table.name)
    words = b" ".join(word.encode() for word in _words(statement.lexemes))
    found: _Assigned | None
    if isinstance(tree, exp.Delete):
        found = _Assigned(Template((words + b" FROM " + reference,)))
    else:
        if target.alias != table.name:
            reference += b" AS " + quoted(target.alias)
        found = _assignments(statement, tree, target, words + b" " + reference + b" SET ", self_read)
    if found is None:
        return None
    return ChangeMove(
        keyspace=table.keyspace,
        table=table.name,
        alias=quoted(target.alias),
        query=Template((b"SELECT ", -1, *found.values, b" ", *rows.pieces)),
        head=found.head,
        tail=_order(statement) if isinstance(tree, exp.Update) else Template(()),
        fetched=found.fetched,
        moved=found.moved,
        foreseen=found.foreseen,
        changed=None
        if isinstance(tree, exp.Delete)
        else frozenset(one.this.name.lower() for one in tree.expressions),
        self_read=self_read,
        joined=not target.alone,
        copies=copies,
    )


def _target(statement: Statement, tree: exp.Update | exp.Delete, select: exp.Select) -> _Target | None:
    sources = _sources(select)
    tables = {one.alias_or_name: one for one in sources if isinstance(one, exp.Table)}
    if len(tables) != sum(isinstance(one, exp.Table) for one in sources):
        return None  # two of one name
    if isinstance(tree, exp.Delete):
        named = list(tree.args.get("tables") or [])
        if isinstance(tree.args.get("using"), list) and tree.args["using"]:
            named = [tree.this, *named]
        aliases = {one.name for one in named} if named else set(tables)
    else:
        aliases = {
            one.this.table
            for one in tree.expressions
            if isinstance(one, exp.EQ) and isinstance(one.this, exp.Column)
        }
        if "" in aliases and len(sources) == 1:
            aliases = aliases - {""} | set(tables)
    if len(aliases) != 1 or not aliases <= tables.keys():
        return None
    (alias,) = aliases
    table = table_of(tables[alias], statement.keyspace, statement.vschema)
    return None if table is None else _Target(alias, table, len(sources) == 1)


def _sources(select: exp.Select) -> list[exp.Expr]:
    """What stands in FROM."""
    found: list[exp.Expr] = []
    left: list[exp.Expr] = [
        select.args["from_"].this,
        *(join.this for join in select.args.get("joins") or []),
    ]
    while left:
        one = left.pop(0)
        found.append(one)
        left += [join.this for join in one.args.get("joins") or []]
    return found


def _first(lexemes: list[Lexeme]) -> int:
    """The last of the words that the statement begins with."""
    at = 0
    while at + 1 < len(lexemes) and lexemes[at + 1].kind is WORD and lexemes[at + 1].text in _MODIFIERS:
        at += 1
    return at


def _words(lexemes: list[Lexeme]) -> list[str]:
    return [one.text for one in lexemes[: _first(lexemes) + 1]]


def _order(statement: Statement) -> Template:
    """The ORDER BY of the statement, without its LIMIT."""
    lexemes = statement.lexemes
    places = {
        one.text: at
        for at, one in enumerate(lexemes)
        if one.kind is WORD and not one.depth and one.text in ("ORDER", "LIMIT")
    }
    if "ORDER" not in places:
        return Template(())
    end = places.get("LIMIT", len(lexemes))
    pieces = template(statement.text, lexemes, lexemes[places["ORDER"]].start, lexemes[end - 1].end)
    return Template((b" ", *pieces))


@dataclass(slots=True)
class _Assigned:
    """`head`: the statement up to its WHERE. `values`: items of a select list, each with a comma before it, for the
    columns `fetched` and then `foreseen`."""

    head: Template
    values: tuple[bytes | int, ...] = ()
    fetched: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    foreseen: tuple[str, ...] = ()


def _assignments(
    statement: Statement, tree: exp.Update, target: _Target, begin: bytes, self_read: bool
) -> _Assigned | None:
    items = _items(statement.lexemes)
    if items is None or len(items) != len(tree.expressions):
        return None
    sharding = target.table.primary.columns if target.table.primary is not None else ()
    head: list[bytes | int] = [begin]
    fetched: dict[str, tuple[bytes | int, ...]] = {}
    foreseen: dict[str, tuple[bytes | int, ...]] = {}
    before: set[str] = set()
    for at, (item, assignment) in enumerate(zip(items, tree.expressions, strict=True)):
        value = assignment.expression if isinstance(assignment, exp.EQ) else None
        if value is None or not isinstance(assignment.this, exp.Column):
            return None
        column = assignment.this.name.lower()
        if column in fetched or (column in before and column in sharding):
            return None
        text = template(statement.text, item, item[0].start, item[-1].end)
        columns = [one for one in value.find_all(exp.Column) if one.name.upper() != "DEFAULT" or one.table]
        default = len(item) == 1 and item[0].kind is WORD and item[0].text == "DEFAULT"
        nested = value.find(exp.Query) is not None
        own = not nested and all(
            one.table == target.alias or (target.alone and not one.table) for one in columns
        )
        again = any(one.name.lower() in before and one.table in ("", target.alias) for one in columns)
        # MariaDB computes all from the old row where the table is read again
        if again and not (own and target.alone and not self_read):
            return None
        if column in sharding:
            if again or default:
                return None
            own = False  # it tells where the row goes
        head += (b", " if at else b"", quoted(assignment.this.name) + b" = ")
        if own:
            head += text
            foreseen.pop(column, None)
            if column not in before and not again and not default and is_shareable(item):
                foreseen[column] = text
        else:
            head.append(-1 - len(fetched))
            fetched[column] = text
        before.add(column)
    moved = tuple(column for column in fetched if column in sharding)
    if not moved:
        foreseen = {}
    values = [piece for text in (*fetched.values(), *foreseen.values()) for piece in (b", ", *text)]
    return _Assigned(Template(tuple(head)), tuple(values), tuple(fetched), moved, tuple(foreseen))


def _items(lexemes: list[Lexeme]) -> list[list[Lexeme]] | None:
    """The values of SET, one by one."""
    at = next(
        (i for i, one in enumerate(lexemes) if one.kind is WORD and not one.depth and one.text == "SET"), -1
    )
    if at < 0:
        return None
    items: list[list[Lexeme]] = [[]]
    for lexeme in lexemes[at + 1 :]:
        if lexeme.kind is WORD and not lexeme.depth and lexeme.text in ("WHERE", "ORDER", "LIMIT"):
            break
        if lexeme.text == "," and lexeme.kind is MARK and not lexeme.depth:
            items.append([])
        else:
            items[-1].append(lexeme)
    found = []
    for item in items:
        equals = next((i for i, one in enumerate(item) if one.text == "=" and one.kind is MARK), -1)
        if equals < 1 or equals + 1 >= len(item) or item[equals - 1].kind not in (WORD, NAME):
            return None
        found.append(item[equals + 1 :])
    return found


def _is_read_again(statement: Statement, node: exp.Table, table: Table) -> bool:
    """Whether a subquery, which is no derived table, reads the changed table."""
    if (node.db or statement.keyspace).lower() in SYSTEM_SCHEMAS:
        return False
    if table_of(node, statement.keyspace, statement.vschema) != table:
        return False
    nested = False
    one: exp.Expr | None = node
    while one is not None:
        if isinstance(one, exp.CTE) or (
            isinstance(one, exp.Subquery) and isinstance(one.parent, (exp.From, exp.Join))
        ):
            return False
        nested = nested or isinstance(one, exp.Query)
        one = one.parent
    return nested
