"""Reads of views in a sharded keyspace: the view's own query stands where its name stood.

A view's rows on one shard are not the view's rows, so a shard's view is never read over several shards. The VSchema
does not name views: what it does not know may be one, and a server is asked when the statement runs.
"""

from __future__ import annotations

from core.errors import SluiceError
from router.plan.context import Statement, encoded, template
from router.plan.finish_text import keeps_its_name
from router.plan.names import SYSTEM_SCHEMAS, table_of, tables_in
from router.plan.plans import Template, ViewRead
from router.plan.purity import is_locking
from router.sql.parse import exp, places


def views_of(statement: Statement, tree: exp.Expr) -> ViewRead | None:
    """How the statement reads if all the tables in it that nobody knows are views; None where it cannot be told."""
    if is_locking(statement.lexemes):
        return None
    spots = places(statement.lexed, tree)
    names: list[tuple[str, str, str]] = []
    edits: list[tuple[int, int]] = []
    for node in tables_in(tree):
        try:
            table_of(node, statement.keyspace, statement.vschema)
            continue
        except SluiceError:
            keyspace = node.db or statement.keyspace
        if not statement.sharded(keyspace) or keyspace.lower() in SYSTEM_SCHEMAS:
            return None
        alias = node.args.get("alias")
        first = spots.get(id(node.args.get("db") or node.this))
        last = spots.get(id(alias.this if alias is not None else node.this))
        if first is None or last is None or (alias is not None and alias.columns):
            return None
        names.append((keyspace, node.name, node.alias_or_name))
        edits.append((statement.lexemes[first].start, statement.lexemes[last].end))
    views = {(keyspace, alias) for keyspace, _, alias in names}
    changes: list[tuple[int, int, int | None]] = [(*edit, number) for number, edit in enumerate(edits)]
    for column in tree.find_all(exp.Column):
        database = column.args.get("db")
        if database is None or (database.name, column.table) not in views:
            continue
        # a derived table has no keyspace
        first, last = spots.get(id(database)), spots.get(id(column.args["table"]))
        if first is None or last is None or not keeps_its_name(column):
            return None
        changes.append((statement.lexemes[first].start, statement.lexemes[last].start, None))
    pieces: list[bytes | int] = []
    at = 0
    for start, end, number in sorted(changes, key=lambda change: change[:2]):
        pieces += template(statement.text, statement.lexemes, at, start)
        if number is not None:
            pieces.append(-1 - number)
        at = end
    pieces += template(statement.text, statement.lexemes, at, len(statement.text))
    return ViewRead(tuple(names), Template(tuple(pieces))) if names else None


def derived_table(definition: bytes, alias: str, columns: bytes) -> bytes:
    """The text that stands for a view: its query, and the names of its columns where the query has others."""
    return b"(" + definition + b") AS `" + encoded(alias.replace("`", "``")) + b"`" + columns


__all__ = ["derived_table", "views_of"]
