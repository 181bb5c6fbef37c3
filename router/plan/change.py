"""UPDATE and DELETE whose rows no shard can tell alone (LIMIT, subqueries and joins over shards): found first, by a
SELECT of their keys, and then changed by these.

Invariant: what is assigned is computed by the shard that has the row from that row alone, or by the SELECT from rows as
they were before the statement. Where MySQL would compute it from an assignment before it, there is no such plan.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from core.errors import SluiceError
from router.plan.context import Statement, template
from router.plan.finish_text import quoted
from router.plan.moves import ChangeMove, SeveralChanges
from router.plan.names import SYSTEM_SCHEMAS, deleted_tables, table_of, tables_in
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

    def owns(self, column: exp.Expr) -> bool:
        """Whether what an UPDATE assigns to is a column of it."""
        return isinstance(column, exp.Column) and column.table in (
            "" if self.alone else self.alias,
            self.alias,
        )


def change_of(
    statement: Statement, tree: exp.Update | exp.Delete, select: exp.Select, rows: Template | None
) -> ChangeMove | SeveralChanges | None:
    """`select`: the statement's FROM and WHERE as a query; `rows`: their text. None where it would not be right, or
    cannot be told."""
    try:
        targets = _targets(statement, tree, select)
    except SluiceError:
        return None
    if targets is None or rows is None:
        return None
    moves: list[ChangeMove] = []
    for target in targets:
        move = _change(statement, tree, target, targets, rows)
        if move is None:
            return None
        moves.append(move)
    return moves[0] if len(moves) == 1 else SeveralChanges(tuple(moves))


def _change(
    statement: Statement,
    tree: exp.Update | exp.Delete,
    target: _Target,
    targets: Sequence[_Target],
    rows: Template,
) -> ChangeMove | None:
    """What happens to one of the `targets`."""
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
        or sum(one.table == table for one in targets) > 1
    ):
        return None
    self_read = any(_is_read_again(statement, node, table) for node in tables_in(tree))
    reference = quoted(table.keyspace) + b"." + quoted(table.name)
    words = b" ".join(word.encode() for word in _words(statement.lexemes))
    found: _Assigned | None
    changed: frozenset[str] | None = None
    if isinstance(tree, exp.Delete):
        found = _Assigned(Template((words + b" FROM " + reference,)))
    else:
        if target.alias != table.name:
            reference += b" AS " + quoted(target.alias)
        found = _assignments(statement, tree, target, words + b" " + reference + b" SET ", self_read)
        changed = frozenset(one.this.name.lower() for one in tree.expressions if target.owns(one.this))
    if found is None:
        return None
    return ChangeMove(
        keyspace=table.keyspace,
        table=table.name,
        alias=quoted(target.alias),
        items=Template(found.values),
        rows=rows,
        head=found.head,
        tail=_order(statement) if isinstance(tree, exp.Update) else Template(()),
        fetched=found.fetched,
        moved=found.moved,
        foreseen=found.foreseen,
        changed=changed,
        self_read=self_read,
        joined=not target.alone,
        copies=copies,
    )


def _targets(statement: Statement, tree: exp.Update | exp.Delete, select: exp.Select) -> list[_Target] | None:
    """The tables that are changed, in the order of FROM."""
    sources = _sources(select)
    tables = {one.alias_or_name: one for one in sources if isinstance(one, exp.Table)}
    if len(tables) != sum(isinstance(one, exp.Table) for one in sources):
        return None  # two of one name
    if isinstance(tree, exp.Delete):
        named = deleted_tables(tree)
        aliases = {one.name for one in named} if named else set(tables)
        if not named and len(tables) > 1:
            return None
    else:
        aliases = {
            one.this.table
            for one in tree.expressions
            if isinstance(one, exp.EQ) and isinstance(one.this, exp.Column)
        }
        if "" in aliases and len(sources) == 1:
            aliases = aliases - {""} | set(tables)
    if not aliases or not aliases <= tables.keys():
        return None
    found: list[_Target] = []
    for alias, node in tables.items():
        if alias in aliases:
            table = table_of(node, statement.keyspace, statement.vschema)
            if table is None:
                return None
            found.append(_Target(alias, table, len(sources) == 1))
    return found


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
    before: set[tuple[str, str]] = set()  # aliases and columns that are assigned to
    for item, assignment in zip(items, tree.expressions, strict=True):
        value = assignment.expression if isinstance(assignment, exp.EQ) else None
        if value is None or not isinstance(assignment.this, exp.Column):
            return None
        column = assignment.this.name.lower()
        columns = [one for one in value.find_all(exp.Column) if one.name.upper() != "DEFAULT" or one.table]
        again = any(
            name == one.name.lower() and one.table in ("", alias) for one in columns for alias, name in before
        )
        place = (target.alias if target.owns(assignment.this) else assignment.this.table, column)
        twice = place in before
        before.add(place)
        if not target.owns(assignment.this):
            if again:
                return None
            continue
        if column in fetched or (twice and column in sharding):
            return None
        text = template(statement.text, item, item[0].start, item[-1].end)
        default = len(item) == 1 and item[0].kind is WORD and item[0].text == "DEFAULT"
        nested = value.find(exp.Query) is not None
        own = not nested and all(
            one.table == target.alias or (target.alone and not one.table) for one in columns
        )
        # MariaDB computes all from the old row where the table is read again
        if again and not (own and target.alone and not self_read):
            return None
        if column in sharding:
            if again or default:
                return None
            own = False  # it tells where the row goes
        head += (b", " if len(head) > 1 else b"", quoted(assignment.this.name) + b" = ")
        if own:
            head += text
            foreseen.pop(column, None)
            if not twice and not again and not default and is_shareable(item):
                foreseen[column] = text
        else:
            head.append(-1 - len(fetched))
            fetched[column] = text
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
