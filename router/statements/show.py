"""SHOW: answered from the router's own knowledge, or passed to a server that knows.

what                                                 who answers
DATABASES, PROCESSLIST, WARNINGS, ERRORS, GRANTS,    the router
PINS, TABLETS, SHARDS, VSCHEMA
VARIABLES                                            a server with the session's settings; the router's rows replaced
STATUS LIKE 'Ssl%'                                   a server, but for the cipher and version of the client's own TLS
TABLES, COLUMNS, INDEX, CREATE TABLE, ...            a server of the keyspace (its first shard, or the target)
BINARY LOGS, REPLICA STATUS, ...                     the one shard that the session works on
PROFILES, PROFILE                                    a server: the connection that SET profiling has pinned
all others (STATUS, ENGINES, CHARACTER SET, ...)     any server of the keyspace
"""

from collections.abc import Callable
from typing import Final

from core.errors import fail, not_supported
from router.plan.plans import Kind
from router.sessions.session import Session
from router.sessions.where import any_link
from router.statements import show_cluster, show_session, show_status, show_variables
from router.statements.passing import link_for, one_shard, pass_read
from router.statements.words import MARK, NAME, WORD, Lexeme, Words
from router.view import SYSTEM_SCHEMAS

Show = Callable[[Session, Words, bytes], None]

_MODIFIERS: Final = ("FULL", "EXTENDED", "GLOBAL", "SESSION", "LOCAL", "STORAGE")
_LOCAL: Final[dict[str, Show]] = {
    "DATABASES": show_cluster.databases,
    "SCHEMAS": show_cluster.databases,
    "TABLETS": show_cluster.tablets,
    "VITESS_TABLETS": show_cluster.tablets,
    "SHARDS": show_cluster.shards,
    "VITESS_SHARDS": show_cluster.shards,
    "VSCHEMA": show_cluster.vschema,
    "PROCESSLIST": show_session.processlist,
    "PINS": show_session.pins,
    "WARNINGS": show_session.warnings,
    "ERRORS": show_session.warnings,
    "COUNT": show_session.count,
    "GRANTS": show_session.grants,
    "VARIABLES": show_variables.variables,
    "STATUS": show_status.status,
}
_OF_ONE_SERVER: Final = frozenset(
    ("BINARY", "BINLOG", "MASTER", "REPLICA", "REPLICAS", "SLAVE", "RELAYLOG", "ENGINE", "OPEN", "MUTEX")
)
_OF_ONE_CONNECTION: Final = frozenset(("PROFILE", "PROFILES"))
_OF_A_DATABASE: Final = frozenset(
    ("TABLES", "TABLE", "COLUMNS", "FIELDS", "INDEX", "INDEXES", "KEYS", "TRIGGERS", "EVENTS", "CREATE")
)


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Handles SHOW. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("SHOW")
    while words.takes_one(*_MODIFIERS):
        pass
    first = words.peek()
    if first is None:
        raise words.error()
    what = first.text
    local = _LOCAL.get(what)
    if local is not None:
        session.affected_rows = -1
        words.at += 1
        local(session, words, sql)
    elif what in _OF_ONE_CONNECTION:
        pass_read(session, any_link(session), sql)
    elif what in _OF_ONE_SERVER:
        pass_read(session, one_shard(session, f"SHOW {what}"), sql)
    elif what == "CREATE" and words.sees("CREATE", "USER"):
        raise not_supported(
            "SHOW CREATE USER", "Users are the cluster's: clusterctl users list, or SHOW GRANTS."
        )
    else:
        _pass(session, words, sql, what)


def _pass(session: Session, words: Words, sql: bytes, what: str) -> None:
    named = _database(words) if what in _OF_A_DATABASE else None
    if what in _OF_A_DATABASE and named is None and not session.keyspace and not _needs_no_database(words):
        raise fail("NO_DATABASE")
    database = named.raw or named.text if named is not None else ""
    link, extra = link_for(session, database)
    if named is not None and database.lower() not in SYSTEM_SCHEMAS and database != link.keyspace:
        sql = _renamed(words, named, link.keyspace)
    pass_read(session, link, sql, extra)


def _needs_no_database(words: Words) -> bool:
    return words.sees("CREATE", "DATABASE") or words.sees("CREATE", "SCHEMA")


def _database(words: Words) -> Lexeme | None:
    """The name of the database that a SHOW names: `... FROM t FROM db`, `... FROM db.t`, `SHOW TABLES FROM db`."""
    lexemes = words.lexemes
    tables_only = (
        words.sees("TABLES") or words.sees("TABLE") or words.sees("TRIGGERS") or words.sees("EVENTS")
    )
    if words.sees("CREATE"):
        at = words.at + 2
        while at < len(lexemes) and lexemes[at].text in ("IF", "NOT", "EXISTS") and lexemes[at].kind is WORD:
            at += 1
        if _needs_no_database(words):
            return lexemes[at] if at < len(lexemes) else None
        return lexemes[at] if at + 1 < len(lexemes) and lexemes[at + 1].text == "." else None
    sources = [
        at + 1
        for at, one in enumerate(lexemes[:-1])
        if at > words.at
        and one.kind is WORD
        and one.depth == 0
        and one.text in ("FROM", "IN")
        and not any(w.text in ("WHERE", "LIKE") and w.kind is WORD for w in lexemes[:at])
    ]
    if not sources:
        return None
    if tables_only:
        return lexemes[sources[0]]
    if len(sources) > 1:
        return lexemes[sources[1]]
    at = sources[0]
    dotted = at + 1 < len(lexemes) and lexemes[at + 1].text == "." and lexemes[at + 1].kind is MARK
    return lexemes[at] if dotted and lexemes[at].kind in (WORD, NAME) else None


def _renamed(words: Words, named: Lexeme, keyspace: str) -> bytes:
    """The statement with the server's own name of the database in place of `ks:-80`."""
    place = words.lexemes.index(named)
    before = words.source(0, place) if place else b""
    after = words.source(place + 1, len(words.lexemes)) if place + 1 < len(words.lexemes) else b""
    return before + b" `" + keyspace.encode() + b"` " + after


__all__ = ["run"]
