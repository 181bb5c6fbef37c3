"""CTEs that a finished statement names more than once: each mention gets a copy of the CTE, over tables of its own.

A temporary table can be opened once in a statement, and a server opens the tables of a CTE for each mention of it. The
copies read the same rows. Invariant: copies are made only where every evaluation gives the same rows, as the server's
single one would: no functions that differ from call to call, no LIMIT and no windows, whose ties each could break in
its own way.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

from router.plan.context import Statement
from router.plan.names import cte_of
from router.plan.purity import is_shareable
from router.sql.parse import exp

MAX_COPIES: Final = 32
Stretch = tuple[exp.CTE, int, int, int]


@dataclass(eq=False, slots=True)
class Copy:
    """A stretch of the statement's text as it stands once in the new one: the CTE `owner` under `name`, or what lies
    outside of the CTEs (`owner` None). `mentions`: what its references to CTEs are to be called."""

    owner: exp.CTE | None
    name: str = ""
    mentions: dict[int, str] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Layout:
    """`copies` in the order of the text; `stretches`: where the definition of each CTE stands: its name from
    and to, its end. Without `stretches` the one copy is the whole statement."""

    copies: tuple[Copy, ...]
    stretches: tuple[Stretch, ...] = ()

    def of(self, node: exp.Expr) -> exp.CTE | None:
        """The owner of the stretch that a node stands in."""
        for cte, _, _, _ in self.stretches:
            one: exp.Expr | None = node
            while one is not None:
                if one is cte:
                    return cte
                one = one.parent
        return None


_WHOLE = Layout((Copy(None),))


def layout_of(statement: Statement, tree: exp.Expr, spots: dict[int, int]) -> Layout:
    """The copies that the statement needs; the statement as it is where there are none, or they would not be right."""
    with_ = tree.args.get("with_")
    ctes: list[exp.CTE] = list(with_.expressions) if with_ is not None else []
    mentions = [(node, cte) for node in tree.find_all(exp.Table) if (cte := cte_of(node)) is not None]
    if len({id(cte) for _, cte in mentions}) == len(mentions) or any(cte not in ctes for _, cte in mentions):
        return _WHOLE
    stretches = _stretches(statement, ctes, spots)
    if stretches is None or not is_shareable(statement.lexemes):
        return _WHOLE
    layout = Layout((), stretches)
    inside = {id(cte): [m for m in mentions if layout.of(m[0]) is cte and m[1] is not cte] for cte in ctes}
    outside = [m for m in mentions if layout.of(m[0]) is None]
    made: dict[int, list[Copy]] = {id(cte): [] for cte in ctes}
    main = Copy(None)
    waiting = [(main, outside)]
    while waiting:
        copy, named = waiting.pop()
        # a mention whose text is a column's name must keep it
        for node, cte in sorted(named, key=lambda one: not names_a_column(one[0])):
            others = made[id(cte)]
            if len(others) >= MAX_COPIES or (others and names_a_column(node)):
                return _WHOLE
            one = Copy(cte, f"sluice_cte_{sum(map(len, made.values()))}" if others else cte.alias)
            others.append(one)
            copy.mentions[id(node)] = one.name
            waiting.append((one, inside[id(cte)]))
    for cte in ctes:
        copies = made[id(cte)] or [Copy(cte, cte.alias)]
        made[id(cte)] = copies
        if len(copies) > 1 and cte.this.find(exp.Limit, exp.Offset, exp.Window) is not None:
            return _WHOLE
        for copy in copies:
            copy.mentions |= {
                id(node): copy.name for node, of in mentions if of is cte and layout.of(node) is cte
            }
    return Layout((*(copy for cte in ctes for copy in made[id(cte)]), main), stretches)


def names_a_column(node: exp.Expr) -> bool:
    """Whether the node's text is part of a column's name in a query inside the statement: of an item of a select list
    without an alias, in a derived table, a CTE or a set operation."""
    one: exp.Expr = node
    while (holder := one.parent) is not None:
        if (
            isinstance(holder, exp.Select)
            and holder.parent is not None
            and one.arg_key == "expressions"
            and not isinstance(one, exp.Alias)
            and not _is_expression(holder)
        ):
            return True
        one = holder
    return False


def _is_expression(select: exp.Select) -> bool:
    """Whether a query is part of an expression, where nobody sees its columns' names."""
    holder = select.parent
    if isinstance(holder, exp.Subquery):
        return not isinstance(holder.parent, (exp.From, exp.Join, exp.Subquery, exp.SetOperation))
    return isinstance(holder, (exp.Exists, exp.In, exp.Any, exp.All))


def _stretches(
    statement: Statement, ctes: list[exp.CTE], spots: dict[int, int]
) -> tuple[Stretch, ...] | None:
    """Each definition from its name to the parenthesis that ends it; None where that cannot be told."""
    lexemes = statement.lexemes
    found: list[Stretch] = []
    for cte in ctes:
        alias = cte.args.get("alias")
        first = spots.get(id(alias.this)) if alias is not None else None
        if first is None:
            return None
        depth = lexemes[first].depth
        at = first + 1
        while at < len(lexemes) and not (lexemes[at].text == "AS" and lexemes[at].depth == depth):
            at += 1
        at += 1
        if at >= len(lexemes) or lexemes[at].text != "(":
            return None
        at += 1
        while at < len(lexemes) and lexemes[at].depth > depth:
            at += 1
        if at >= len(lexemes) or lexemes[at].text != ")":
            return None
        found.append((cte, lexemes[first].start, lexemes[first].end, lexemes[at].end))
    return tuple(found)
