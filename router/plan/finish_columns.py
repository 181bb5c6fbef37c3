"""Of which tables a statement takes all columns, and of which only those that it names.

Invariant: a table is narrow only where no `*`, NATURAL JOIN or TABLE statement can mean a column that is not named.
"""

from __future__ import annotations

from router.sql.parse import exp

_ALL: frozenset[str] = frozenset(("NATURAL", "TABLE"))


def whole_tables(tree: exp.Expr, nodes: list[exp.Table], words: set[str]) -> list[bool]:
    """For each table of the statement, whether all its columns are needed. `words`: the statement's, in capitals."""
    if not words.isdisjoint(_ALL):
        return [True] * len(nodes)
    around = [node.find_ancestor(exp.Select) for node in nodes]
    whole = [select is None for select in around]
    for star in tree.find_all(exp.Star):
        holder = star.parent
        if isinstance(holder, exp.Count):
            continue
        select = star.find_ancestor(exp.Select)
        if select is None:
            return [True] * len(nodes)
        if _only_exists(select):
            continue
        qualifier = holder.table.lower() if isinstance(holder, exp.Column) else ""
        for at, node in enumerate(nodes):
            if around[at] is select and qualifier in ("", node.alias_or_name.lower()):
                whole[at] = True
    return whole


def _only_exists(select: exp.Select) -> bool:
    """EXISTS (SELECT * FROM ... WHERE ...): nobody looks at the columns."""
    asked = {"expressions", "from_", "joins", "where", "kind"}
    return isinstance(select.parent, exp.Exists) and all(
        not value or name in asked for name, value in select.args.items()
    )
