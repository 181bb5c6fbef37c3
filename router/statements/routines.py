"""DO and CALL: what a server computes or runs for its effects."""

from typing import Final

from core.errors import not_supported
from core.rpc import messages as m
from router.execute.reserve import run_reserved
from router.gateway import Link
from router.plan.plans import Kind
from router.plan.purity import is_shareable, reserve_reason
from router.sessions import called
from router.sessions.insert_ids import forward_insert
from router.sessions.session import Session
from router.sessions.where import any_link
from router.statements.evaluate import substituted
from router.statements.passing import link_for, one_shard, pass_read, view_of
from router.statements.words import VARIABLE, WORD, Words
from router.variables.reading import is_mariadb

_TABLE_WORDS: Final = frozenset(("FROM", "TABLE"))


def do(session: Session, kind: Kind, sql: bytes) -> None:
    """DO expressions: on the session's one shard if there is one, else on any server. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("DO")
    if words.peek() is None:
        raise words.error()
    reason = reserve_reason(words.lexemes)
    if reason:
        link = one_shard(session, f"DO with {reason}")
        run_reserved(session, link, sql, 0, (), reason)
        return
    if not is_mariadb(session):
        session.found_rows = 1
    text = b"DO " + substituted(session, words, words.at, len(words.lexemes))
    keyspace = view_of(session).keyspaces.get(session.keyspace)
    reads = any(one.kind is WORD and one.text in _TABLE_WORDS for one in words.lexemes)
    if keyspace is not None and (session.shard or len(keyspace.links) == 1):
        if not reads and is_shareable(words.lexemes):
            session.forward(any_link(session), m.F_CONSOLIDATE, (), text, None)
        else:
            session.forward(any_link(session), m.F_WRITE, None, text, None)
        return
    if reads:
        raise not_supported(f"a subquery in DO on the sharded keyspace {session.keyspace}", "Use SELECT.")
    link, extra = link_for(session, "")
    pass_read(session, link, text, extra)


def call(session: Session, kind: Kind, sql: bytes) -> None:
    """CALL of a stored procedure where the session works on one shard. Raises SluiceError."""
    del kind
    words, link = _called(session, sql)
    if _names_variables(words):
        # OUT arguments come back in the variables
        run_reserved(
            session, link, sql, m.F_WRITE | m.F_INSERT_ID | m.F_CALL, None, "user variables as arguments"
        )
        return
    text = substituted(session, words, 0, len(words.lexemes))
    called.begins(session)
    forward_insert(session, link, m.F_WRITE | m.F_CALL, None, text)


def call_prepared(session: Session, sql: bytes, params: bytes) -> bool:
    """A prepared CALL as it came, so that OUT parameters come back as MySQL sends them; False where session state is
    to stand in its text: then OUT parameters have no place. Raises SluiceError."""
    words, link = _called(session, sql)
    if _names_variables(words) or substituted(session, words, 0, len(words.lexemes)) != words.source(
        0, len(words.lexemes)
    ):
        return False
    called.begins(session)
    forward_insert(session, link, m.F_WRITE | m.F_CALL, None, sql, params)
    return True


def _names_variables(words: Words) -> bool:
    return any(one.kind is VARIABLE and not one.text.startswith("@@") for one in words.lexemes)


def _called(session: Session, sql: bytes) -> tuple[Words, Link]:
    """The words of a CALL and where its procedure is. Raises SluiceError."""
    words = Words(sql, session.dialect)
    words.expect("CALL")
    name = words.name()
    if words.takes_mark("."):
        database, name = name, words.name()
        if view_of(session).check_database(database)[0] != session.keyspace:
            raise not_supported(
                f"CALL of {database}.{name} from another keyspace", f"Run USE `{database}` first."
            )
    link = one_shard(session, "CALL")
    if session.tx is not None and any(held is not link for held in session.tx.held):
        raise not_supported(
            "CALL inside a transaction that works on other shards too, since a procedure may commit",
            "COMMIT or ROLLBACK first.",
        )
    return words, link
