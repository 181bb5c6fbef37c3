"""The text that one server runs over temporary tables: the client's, with their names in the places of the tables'.

Invariant: a name is replaced only where the parser's place and the text agree, and every table gets a temporary one or
the statement is not finished so: a table without would show one shard's rows. Where a table's text is part of a
column's name, which others may read, it stays: its temporary table has the table's own name, and hides it.
"""

from __future__ import annotations

from typing import Final

from router.plan.clauses import Item, split_items
from router.plan.context import Statement, encoded, template
from router.plan.finish_copies import Copy, Layout, names_a_column
from router.plan.names import cte_of
from router.plan.plans import Template
from router.sql.parse import exp
from router.vschema import Table

MAX_NAME: Final = 200
"""Characters of a column's name that is kept by an alias, with room for its literals: MySQL's limit is 256."""
Pieces = tuple[bytes | int, ...]
_Edit = tuple[int, int, bytes]


def quoted(name: str) -> bytes:
    """An identifier in backticks."""
    return b"`" + encoded(name.replace("`", "``")) + b"`"


class FinishText:
    """Gives each table of each copy its temporary table's name, then the text."""

    def __init__(self, statement: Statement, tree: exp.Expr, layout: Layout, keyspace: str) -> None:
        self._statement = statement
        self._tree = tree
        self._layout = layout
        self._keyspace = keyspace
        self._tables: list[tuple[Copy, exp.Table, bytes]] = []
        self._kept: set[str] = set()
        """Tables whose names stay."""

    def name_of(self, copy: Copy, node: exp.Table, table: Table, number: int) -> str | None:
        """The temporary table's name; None where there is none that would do."""
        if names_a_column(node):
            if table.name in self._kept or table.keyspace != self._keyspace:
                return None
            self._kept.add(table.name)
            return table.name
        name = f"sluice_finish_{number}"
        alias = b"" if node.alias else b" AS " + quoted(table.name)
        self._tables.append((copy, node, quoted(name) + alias))
        return name

    def made(self, spots: dict[int, int]) -> tuple[Template, tuple[int, ...]] | None:
        """The text, and the literals that are part of columns' names: their pieces are negative. None where a place
        cannot be told."""
        lexemes = self._statement.lexemes
        edits: dict[int, list[_Edit]] = {id(copy): [] for copy in self._layout.copies}
        edited: list[exp.Table] = []
        for copy, node, new in self._tables:
            first, last = spots.get(id(node.args.get("db") or node.this)), spots.get(id(node.this))
            if first is None or last is None:
                return None
            edits[id(copy)].append((lexemes[first].start, lexemes[last].end, new))
            edited.append(node)
        for node in self._tree.find_all(exp.Table):
            cte = cte_of(node)
            for copy in self._layout.copies:
                name = copy.mentions.get(id(node))
                if cte is None or name is None or name == cte.alias:
                    continue
                place = spots.get(id(node.this))
                if place is None:
                    return None
                new = quoted(name) + (b"" if node.alias else b" AS " + quoted(cte.alias))
                edits[id(copy)].append((lexemes[place].start, lexemes[place].end, new))
                edited.append(node)
        for column in self._tree.find_all(exp.Column):
            database = column.args.get("db")
            if database is None or database.name == self._keyspace:
                continue
            first, last = spots.get(id(database)), spots.get(id(column.args.get("table")))
            if first is None or last is None or not keeps_its_name(column):
                return None
            owner = self._layout.of(column)
            for copy in self._layout.copies:
                if copy.owner is owner:
                    edits[id(copy)].append((lexemes[first].start, lexemes[last].start, b""))
        kept = self._kept_names(edited, [one for found in edits.values() for one in found])
        return self._assembled(edits, kept) if kept is not None else None

    def _kept_names(self, nodes: list[exp.Table], edits: list[_Edit]) -> list[Item] | None:
        """The items of the outermost select list whose text is edited though it is their column's name."""
        tree = self._tree
        if not isinstance(tree, exp.Select) or not any(_in_items(node, tree) for node in nodes):
            return []
        items = split_items(self._statement.lexemes)
        if items is None or len(items) != len(tree.expressions):
            return None
        kept = [
            item
            for item in items
            if not item.alias and any(item.start <= start < item.end for start, _, _ in edits)
        ]
        return kept if all(item.end - item.start <= MAX_NAME for item in kept) else None

    def _assembled(self, edits: dict[int, list[_Edit]], kept: list[Item]) -> tuple[Template, tuple[int, ...]]:
        binds: list[int] = []
        text = self._statement.text
        *copies, main = self._layout.copies
        stretches = self._layout.stretches
        pieces: list[bytes | int] = []
        if stretches:
            pieces += self._edited(0, stretches[0][1], [], [], binds)
            for number, copy in enumerate(copies):
                after, end = next((after, end) for cte, _, after, end in stretches if cte is copy.owner)
                pieces.append((b", " if number else b"") + quoted(copy.name))
                pieces += self._edited(after, end, edits[id(copy)], [], binds)
        pieces += self._edited(stretches[-1][3] if stretches else 0, len(text), edits[id(main)], kept, binds)
        return Template(tuple(pieces)), tuple(binds)

    def _edited(
        self, start: int, end: int, edits: list[_Edit], kept: list[Item], binds: list[int]
    ) -> list[bytes | int]:
        """A stretch of the text with its edits."""
        text, lexemes = self._statement.text, self._statement.lexemes
        pieces: list[bytes | int] = []
        at = start
        changes: list[tuple[int, int, bytes | Item]] = [*edits, *((one.end, one.end, one) for one in kept)]
        for first, last, new in sorted(changes, key=lambda change: (change[0], change[1])):
            pieces += template(text, lexemes, at, first)
            if isinstance(new, Item):
                pieces += self._alias(new, binds)
            else:
                pieces.append(new)
            at = last
        pieces += template(text, lexemes, at, end)
        return pieces

    def _alias(self, item: Item, binds: list[int]) -> Pieces:
        made: list[bytes | int] = [b" AS `"]
        for piece in template(self._statement.text, self._statement.lexemes, item.start, item.end):
            if isinstance(piece, int):
                binds.append(piece)
                made.append(-len(binds))
            else:
                made.append(piece.replace(b"`", b"``"))
        return (*made, b"` ")


def keeps_its_name(column: exp.Column) -> bool:
    """Whether the names of result columns stay when the column loses its keyspace."""
    if isinstance(column.parent, (exp.Select, exp.Alias)):
        return True
    one: exp.Expr | None = column
    while one is not None and not isinstance(one, (exp.Where, exp.Join, exp.Order, exp.Group, exp.Having)):
        if isinstance(one, exp.Alias):
            return True
        one = one.parent
    return one is not None


def _in_items(node: exp.Expr, select: exp.Select) -> bool:
    """Whether a node is part of an item without an alias of this select list."""
    one = node
    while one.parent is not None and one.parent is not select:
        if isinstance(one, exp.Alias) and one.parent is select:
            return False
        one = one.parent
    return one.parent is select and one.arg_key == "expressions" and not isinstance(one, exp.Alias)
