"""DO and CALL: what a server computes or runs for its effects."""

from typing import Final

from core.errors import not_supported
from core.rpc import messages as m
from router.plan.plans import Kind
from router.plan.purity import reserve_reason
from router.session import Session
from router.statements.evaluate import substituted
from router.statements.passing import link_for, one_shard, pass_read, view_of
from router.statements.words import VARIABLE, WORD, Words

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
        raise not_supported(
            f"{reason} through a shared connection", "This version reserves no connections yet."
        )
    text = b"DO " + substituted(session, words, words.at, len(words.lexemes))
    keyspace = view_of(session).keyspaces.get(session.keyspace)
    if keyspace is not None and (session.shard or len(keyspace.links) == 1):
        session.forward(session.any_link(), m.F_WRITE, None, text, None)
        return
    if any(one.kind is WORD and one.text in _TABLE_WORDS for one in words.lexemes):
        raise not_supported(f"a subquery in DO on the sharded keyspace {session.keyspace}", "Use SELECT.")
    link, extra = link_for(session, "")
    pass_read(session, link, text, extra)


def call(session: Session, kind: Kind, sql: bytes) -> None:
    """CALL of a stored procedure where the session works on one shard. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("CALL")
    name = words.name()
    if words.takes_mark("."):
        database, name = name, words.name()
        if view_of(session).check_database(database)[0] != session.keyspace:
            raise not_supported(
                f"CALL of {database}.{name} from another keyspace", f"Run USE `{database}` first."
            )
    if any(one.kind is VARIABLE and not one.text.startswith("@@") for one in words.lexemes):
        raise not_supported(
            "CALL with user variables as arguments", "Give values; read results from the procedure's SELECTs."
        )
    link = one_shard(session, "CALL", "Select one shard first: USE `keyspace:-80`.")
    session.forward(link, m.F_WRITE, None, substituted(session, words, 0, len(words.lexemes)), None)


def unlock(session: Session, kind: Kind, sql: bytes) -> None:
    """UNLOCK TABLES with nothing locked."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("UNLOCK")
    if not words.takes_one("TABLES", "TABLE"):
        raise not_supported("UNLOCK INSTANCE", "Backup locks are taken on the server itself.")
    words.end()
    session.ok()
