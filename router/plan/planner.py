"""From a normalised statement to a plan. Pure: the same text, keyspace and VSchema give the same plan.

The order of the rules is the order of this file's `_plan`: what belongs to the session, what reads session state, what
goes to one shard as it is, then one rule for each verb. Every statement gets a plan or an error; what is not supported
over several shards still passes where there is one.
"""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from core.errors import SluiceError, not_supported
from router.plan import ddl, dml, insert, insert_ids, select, substitute
from router.plan.context import (
    Statement,
    Tables,
    names_other_keyspace,
    refused,
    tables_of,
)
from router.plan.finish import finish_of
from router.plan.names import SYSTEM_SCHEMAS, tables_in
from router.plan.plans import (
    Choice,
    Chooser,
    DmlPlan,
    FinishPlan,
    Kind,
    MovePlan,
    PlanError,
    Planned,
    SelectPlan,
    SessionPlan,
)
from router.plan.purity import is_locking, is_shareable, may_write, reserve_reason
from router.plan.views import views_of
from router.sql.classify import Verb, classify
from router.sql.dialect import Dialect
from router.sql.lex import WORD, lex
from router.vschema import TableType, VSchema

__all__ = ["plan"]

_UNKNOWN_TABLE: Final = 1146
# In a statement that sqlglot cannot read, these words mean that it may write.
_WRITING: Final = frozenset(
    "INSERT REPLACE UPDATE DELETE INTO CALL CREATE DROP ALTER NEXTVAL SETVAL".split()  # noqa: SIM905
)


def plan(
    statement_text: str,
    keyspace: str | None,
    vschema: VSchema,
    *,
    shard: str = "",
    dialect: Dialect = Dialect.DEFAULT,
    substitute: bool = True,
    spread: bool = False,
) -> Planned:
    """The plan of a normalised statement (`Normalised.key`, decoded as UTF-8 with surrogateescape).

    `keyspace`: the session's default, None or "" for none; `shard`: its target (`USE ks:-80`), to which everything goes
    as it is. `substitute` False: session state is read on the server (a reserved connection, or the second round of a
    SubstitutePlan). `spread` True: values do not route, all shards are asked.
    Never raises for what a client sent: errors are PlanError plans.
    """
    try:
        return _plan(statement_text, keyspace or "", vschema, shard, dialect, substitute, spread)
    except SluiceError as error:
        return refused(error.number, error.sqlstate, error.message)
    except RecursionError:
        deep = not_supported("a statement nested this deeply", "Write it with fewer levels.")
        return refused(deep.number, deep.sqlstate, deep.message)


def _plan(
    text: str,
    keyspace: str,
    vschema: VSchema,
    shard: str,
    dialect: Dialect,
    substituting: bool,
    spread: bool,
) -> Planned:
    lexed = lex(text, dialect)
    verb = classify(lexed.lexemes)
    if not lexed.lexemes:
        # of an executable comment the session takes the marks off, and runs what is inside
        return Planned(SessionPlan(Kind.OTHER if lexed.conditional else Kind.EMPTY), "session")
    if not isinstance(verb, Verb):
        return Planned(SessionPlan(verb), "session")
    statement = Statement(lexed, keyspace, shard, vschema, spread=spread)
    if verb is Verb.ACCOUNT:
        raise not_supported(
            "statements about users and rights",
            "Users and roles are the cluster's: clusterctl users add, grant, remove.",
        )
    reserve = reserve_reason(lexed.lexemes)
    copied = ddl.copied(lexed.lexemes) if verb is Verb.DDL else 0
    if reserve and copied > 0:
        raise not_supported(
            f"{reserve} in CREATE TABLE ... SELECT", "Create the table first, then INSERT ... SELECT."
        )
    if substituting and not reserve and copied >= 0:
        found = substitute.plan(statement, copied)
        if found is not None:
            return found
    if verb is Verb.DDL:
        return ddl.plan(statement)
    if verb is Verb.ADMIN and not statement.lexed.conditional:
        return ddl.admin(statement)
    made = _one_keyspace(statement, verb) or _across_shards(statement, verb)
    if reserve and isinstance(made.plan, MovePlan):
        raise not_supported(f"{reserve} in a write over several shards", "SELECT its value by itself first.")
    if reserve and isinstance(made.plan, DmlPlan) and made.plan.move is not None:
        tier = "refused" if made.tier == "move" else made.tier
        made = Planned(replace(made.plan, move=None), tier, made.why)
    insert_flags = insert_ids.insert_flags(lexed.lexemes) if verb is Verb.INSERT else 0
    if (reserve and made.tier != "refused") or insert_flags:
        return replace(made, reserve=reserve if made.tier != "refused" else "", insert=insert_flags)
    return made


def _one_keyspace(statement: Statement, verb: Verb) -> Planned | None:
    """The statement where it goes as it is: a target shard, or an unsharded keyspace. None when it needs planning."""
    if statement.shard:
        return _as_it_is(statement, verb, statement.keyspace, "the session has a target shard")
    keyspace = statement.keyspace
    if not keyspace or statement.sharded(keyspace) or names_other_keyspace(statement):
        return None
    if keyspace.lower() in SYSTEM_SCHEMAS and keyspace not in statement.vschema.keyspaces:
        return None
    if keyspace in statement.vschema.keyspaces and verb is Verb.INSERT:
        return insert.plan(statement)
    return _as_it_is(statement, verb, keyspace, "the keyspace is not sharded")


def _as_it_is(statement: Statement, verb: Verb, keyspace: str, why: str) -> Planned:
    chooser = Chooser(Choice.UNSHARDED, keyspace)
    if verb is Verb.INSERT:
        # thousands of rows are not for sqlglot
        return Planned(DmlPlan(chooser, insert.written(statement)), "route", (why,))
    tree = statement.read()
    tables = _names(statement)
    if verb is Verb.SELECT:
        if tree is None and not _WRITING.isdisjoint(statement.words()):
            return Planned(DmlPlan(chooser, None), "route", (why,))
        lexemes = statement.lexemes
        locking = is_locking(lexemes)
        shared = (
            tables is not None and not locking and is_shareable(lexemes) and not statement.lexed.conditional
        )
        writes = not shared and may_write(lexemes)
        return Planned(SelectPlan(chooser, tables or (), shared, locking, writes=writes), "route", (why,))
    return Planned(DmlPlan(chooser, tables), "route", (why,))


def _names(statement: Statement) -> tuple[str, ...] | None:
    """The tables of a statement that need not be known to the VSchema; None when it cannot be read."""
    tree = statement.read()
    if tree is None:
        return None
    nodes = tables_in(tree)
    if any((node.db or statement.keyspace).lower() in SYSTEM_SCHEMAS for node in nodes):
        return None
    return tuple(dict.fromkeys(node.name for node in nodes))


def _reads_schemas(statement: Statement) -> bool:
    """Whether it names nothing but MySQL's own schemas besides tables of an unsharded keyspace, the default."""
    keyspace = statement.keyspace
    return (
        keyspace in statement.vschema.keyspaces
        and not statement.sharded(keyspace)
        and not names_other_keyspace(statement, system=False)
    )


def _across_shards(statement: Statement, verb: Verb) -> Planned:
    """A statement whose tables decide on where it goes."""
    if statement.lexed.conditional:
        if verb is Verb.SELECT and _reads_schemas(statement):
            return _as_it_is(statement, verb, statement.keyspace, "the keyspace is not sharded")
        return _passes_one_shard(
            statement,
            verb,
            "executable comments (/*! ... */) on a sharded keyspace",
            "Write what is inside as plain SQL.",
        )
    if verb is Verb.INSERT:
        return insert.plan(statement)
    tree = statement.read()
    if tree is None:
        if verb is Verb.SELECT and _reads_schemas(statement):  # ODBC's SQLColumns
            return _as_it_is(statement, verb, statement.keyspace, "the keyspace is not sharded")
        return _passes_one_shard(
            statement,
            verb,
            f"a statement it cannot read ({statement.unreadable})",
            "Write it more simply.",
            unread=True,
        )
    try:
        tables = tables_of(statement, tree)
    except SluiceError as error:
        views = views_of(statement, tree) if verb is Verb.SELECT else None
        if error.number != _UNKNOWN_TABLE or views is None:
            raise
        return Planned(
            PlanError(error.number, error.sqlstate, error.message, views),
            "refused",
            ("views stand for their queries",),
        )
    if not tables.tables:
        return _anywhere(statement, tables)
    if verb is Verb.SELECT and len(tables.keyspaces) > 1 and not tables.system:
        finish = finish_of(statement, tree)
        if finish is not None:
            refusal = _of_several(tables)
            return Planned(FinishPlan(finish, tables.names, refusal), "finish", (refusal[0],))
    if len(tables.keyspaces) > 1 and not tables.system:
        across = dml.across(statement, tree, tables, _of_several(tables))
        if across is not None:
            return across
    keyspace = _common_keyspace(tables)
    if not statement.sharded(keyspace):
        return _as_it_is(statement, verb, keyspace, "the keyspace is not sharded")
    if tables.system:
        raise not_supported(
            f"keyspace {keyspace} together with MySQL's own schemas", "Read the two one after the other."
        )
    if verb is Verb.SELECT:
        return select.plan(statement, tree, tables, keyspace)
    return dml.plan(statement, tree, tables, keyspace)


def _common_keyspace(tables: Tables) -> str:
    if len(tables.keyspaces) > 1:
        raise not_supported(*_of_several(tables))
    return tables.keyspaces[0]


def _of_several(tables: Tables) -> tuple[str, str]:
    sequences = [f"{one.keyspace}.{one.name}" for one in tables.tables if one.type is TableType.SEQUENCE]
    if sequences:
        return (
            f"a sequence ({', '.join(sequences)}) together with tables of another keyspace",
            f"Read the sequence on its own: SELECT * FROM {sequences[0]}.",
        )
    return (
        f"tables of several keyspaces in one statement ({' and '.join(tables.keyspaces)})",
        "Read them one after the other, or make the smaller one a reference table in the other's keyspace.",
    )


def _anywhere(statement: Statement, tables: Tables) -> Planned:
    """A read of no table, or of MySQL's own: any shard answers alike."""
    vschema = statement.vschema
    keyspace = statement.keyspace
    if keyspace not in vschema.keyspaces and not (tables.system and keyspace):
        keyspace = next(iter(vschema.keyspaces), "")
    shared = not tables.system and is_shareable(statement.lexemes)
    writes = not shared and may_write(statement.lexemes)
    why = "only MySQL's own schemas" if tables.system else "no table"
    return Planned(SelectPlan(Chooser(Choice.ANY, keyspace), (), shared, writes=writes), "route", (why,))


def _passes_one_shard(
    statement: Statement, verb: Verb, construct: str, instead: str, unread: bool = False
) -> Planned:
    """What cannot be planned: right where the keyspace happens to have one shard, else refused."""
    keyspace = statement.keyspace
    if keyspace not in statement.vschema.keyspaces or names_other_keyspace(statement):
        raise not_supported(construct, instead)
    chooser = Chooser(Choice.SCATTER, keyspace)
    refusal = (construct, instead)
    reads = verb is Verb.SELECT and _WRITING.isdisjoint(
        lexeme.text for lexeme in statement.lexemes if lexeme.kind is WORD
    )
    if reads and not statement.lexed.conditional:
        return Planned(
            SelectPlan(chooser, (), False, is_locking(statement.lexemes), refusal=refusal, unread=unread),
            "refused",
            (construct,),
        )
    return Planned(DmlPlan(chooser, None, refusal, unread), "refused", (construct,))
