"""EXPLAIN, DESCRIBE, DESC, and MariaDB's ANALYZE statement.

Of a table: as SHOW COLUMNS. Of a statement: the server of a shard that the statement would go to explains it, the
first one where it would go to several (a note in SHOW WARNINGS says so). `clusterctl explain` tells how Sluice itself
runs a statement.
"""

from typing import Final

from core.errors import ErrorCode, SluiceError, not_supported
from router.execute.route import chooser_links, chooser_one
from router.execute.values import literals_name_part, render
from router.gateway import Link
from router.plan.plans import (
    DdlPlan,
    DmlPlan,
    FinishPlan,
    InsertPlan,
    Kind,
    MovePlan,
    PlanError,
    SelectPlan,
    SubstitutePlan,
)
from router.sessions.session import Session
from router.sessions.where import any_link
from router.sql.normalise import normalise
from router.statements.local import value_of_spot
from router.statements.passing import link_for, pass_read, view_of
from router.statements.words import Words

_STATEMENTS: Final = frozenset(
    ("SELECT", "INSERT", "REPLACE", "UPDATE", "DELETE", "WITH", "TABLE", "VALUES", "(")
)
_NOTE: Final = 1003  # ER_YES, the number of EXPLAIN's own notes


def explained(words: Words) -> bytes | None:
    """The statement that is explained; None where it is a table's columns that are asked for."""
    for at, lexeme in enumerate(words.lexemes[1:], 1):
        if lexeme.depth == 0 and lexeme.text in _STATEMENTS:
            following = words.lexemes[at - 1]
            if following.text != "=" and following.text != ".":
                return words.source(at, len(words.lexemes))
    return None


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Handles the statement. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    second = words.peek(1)
    if second is None:
        raise words.error()
    statement = explained(words)
    if statement is None:
        if any(one.text == "CONNECTION" for one in words.lexemes[1:4]):
            raise not_supported("EXPLAIN FOR CONNECTION", "Explain the statement's text.")
        _describe(session, words, sql)
        return
    if words.sees("ANALYZE") and not statement[:6].upper().startswith(
        (b"SELECT", b"WITH", b"TABLE", b"VALUES", b"(")
    ):
        raise not_supported("ANALYZE of a statement that writes", "Use EXPLAIN, which does not run it.")
    link, shards, text = _link_of(session, statement)
    session.warnings = None  # of the statement before
    if text and sql.endswith(statement):
        sql = sql[: -len(statement)] + text
    pass_read(session, link, sql)
    if shards > 1:
        where = f"{link.keyspace}/{link.shard}, one of {shards} shards that the statement goes to"
        note = f"This is the plan of {where}; clusterctl explain shows what Sluice makes of it"
        session.warnings = [("Note", _NOTE, note)]


def _describe(session: Session, words: Words, sql: bytes) -> None:
    words.at = 1
    first = words.name()
    database = ""
    if words.takes_mark("."):
        database = first
        words.name()
    link, extra = link_for(session, database)
    pass_read(session, link, sql, extra)


def _link_of(session: Session, statement: bytes) -> tuple[Link, int, bytes]:
    """A link that the statement would go to, how many there are, and the text with the session's state in it (empty
    where it reads none). Raises the error that running it would."""
    view = view_of(session)
    normalised = normalise(statement, session.dialect)
    plan = session.worker.planned(session, normalised.key).plan
    literals = normalised.literals
    text = b""
    if isinstance(plan, SubstitutePlan):
        if plan.local is not None:
            return any_link(session), 1, b""
        spots = [
            literals_name_part(literals, int(what))
            if kind == "name_part"
            else value_of_spot(session, (kind, what))
            for kind, what in plan.spots
        ]
        text = render(plan.template, literals, spots)
        normalised = normalise(text, session.dialect)
        plan = session.worker.planned(session, normalised.key, substitute=False).plan
        literals = normalised.literals
    if isinstance(plan, (SelectPlan, DmlPlan)):
        one = chooser_one(plan.chooser, view, session.shard)(literals)
        if one is not None:
            return one, 1, text
        links = chooser_links(plan.chooser, view)(literals)
        return (links[0], len(links), text) if links else (any_link(session), 1, text)
    if isinstance(plan, FinishPlan | MovePlan):
        raise not_supported(
            f"EXPLAIN of {plan.refusal[0]}", "clusterctl explain shows what each shard is asked for."
        )
    if isinstance(plan, PlanError):
        raise SluiceError(ErrorCode("", plan.number, plan.sqlstate, False, "", ""), plan.text)
    if isinstance(plan, (InsertPlan, DdlPlan)):
        return view.keyspace(plan.keyspace).links[0], 1, text
    return any_link(session), 1, text
