"""SELECT over sharded tables: one shard where the keys say so, else a merge, else the refusal."""

from __future__ import annotations

from dataclasses import replace

from router.plan.block import Block, CannotPlanError
from router.plan.blocks import Analysis
from router.plan.context import Statement, Tables, chooser_of
from router.plan.finish import finish_of
from router.plan.locality import groups_by_key
from router.plan.merge import merge_of
from router.plan.plans import Choice, Chooser, LookupRoute, Merge, Planned, SelectPlan, Template
from router.plan.purity import is_locking, is_shareable, may_write
from router.sql.lex import WORD
from router.sql.parse import exp


def plan(statement: Statement, tree: exp.Expr, tables: Tables, keyspace: str) -> Planned:
    """Raises SluiceError."""
    lexemes = statement.lexemes
    locking = is_locking(lexemes)
    shared = not locking and is_shareable(lexemes)
    names = tables.names
    writes = not shared and may_write(lexemes)

    def made(
        chooser: Chooser,
        tier: str,
        *why: str,
        refusal: tuple[str, str] | None = None,
        merged: tuple[Template | None, Merge] | None = None,
        lookup: LookupRoute | None = None,
    ) -> Planned:
        sql, merge = merged or (None, None)
        finish = finish_of(statement, tree) if refusal is not None else None
        if finish is not None and tier == "refused":
            tier = "finish"
        late = finish_of(statement, tree) if merge is not None and _weighs(merge) else None
        made = SelectPlan(chooser, names, shared, locking, sql, merge, refusal, writes, finish, late=late)
        if writes and merge is not None and not whole_groups:
            made = replace(made, partial=True)
        if lookup is not None and not statement.spread:
            made = replace(made, lookup=lookup)
            tier = "finish" if finish is not None else "route" if refusal is not None else tier
            why = (f"the shards that the lookup table of vindex {lookup.vindex} names", *why[1:])
        return Planned(made, tier, why)

    whole_groups = False
    analysis = Analysis(keyspace, statement.vschema, spread=statement.spread)
    try:
        block = analysis.block(tree)
    except CannotPlanError as error:
        return made(Chooser(Choice.SCATTER, keyspace), "refused", error.refusal[0], refusal=error.refusal)
    chooser = chooser_of(statement, block, keyspace)
    if chooser.choice in (Choice.ANY, Choice.EQUAL) and block.refusal is None:
        why = "every shard holds these tables" if block.free else "one value of the sharding column"
        return made(chooser, "route", why)
    several = "several values of the sharding column" if chooser.choice is Choice.IN else _why_all(block)
    if block.refusal is not None:
        tier = "route" if chooser.choice is Choice.IN else "refused"
        return made(
            chooser,
            tier,
            f"{several}: only if they lie on one shard",
            block.refusal[0],
            refusal=block.refusal,
        )
    into = any(lexeme.kind is WORD and lexeme.text == "INTO" for lexeme in lexemes)
    try:
        if into:
            raise CannotPlanError(
                "SELECT ... INTO over several shards", "Read the rows and write them yourself."
            )
        merged = merge_of(statement, tree, block)
        whole_groups = isinstance(tree, exp.Select) and _is_alone(tree, block)
    except CannotPlanError as error:
        return made(chooser, "refused", several, error.refusal[0], refusal=error.refusal, lookup=block.lookup)
    return made(chooser, "merge", several, merged=merged, lookup=block.lookup)


def _is_alone(tree: exp.Select, block: Block) -> bool:
    """Whether the block has no query in it and each of its groups lies on one shard."""
    grouped = tree.args.get("group") is not None and groups_by_key(block, tree)
    return grouped and not any(one is not tree for one in tree.find_all(exp.Query))


def _weighs(merge: Merge) -> bool:
    """Whether it compares what may be text, or of a type that cannot be compared outside of MySQL."""
    keys = (*merge.order, *merge.group, *merge.distinct_weights)
    return any(key.weight >= 0 for key in keys) or any(one.weight >= 0 for one in merge.aggregates)


def _why_all(block: Block) -> str:
    if block.vindex is None:
        return "all shards"
    if block.vindex.lookup:
        return f"all shards: vindex {block.vindex.name} is a lookup vindex, which does not route"
    columns = ", ".join(block.vindex.columns)
    return f"all shards: no value for the sharding column ({columns})"
