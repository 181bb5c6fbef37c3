"""Statements that Sluice does not serve, each with what to do instead."""

from typing import Final

from core.errors import SluiceError, fail, not_supported
from router.plan.plans import Kind
from router.sessions.session import Session
from router.sql.dialect import Dialect
from router.statements import locks
from router.statements.words import Words, is_executed, unwrapped
from router.variables.reading import server_version

_KINDS: Final[dict[Kind, tuple[str, str]]] = {
    Kind.XA: ("XA statements", "Use transactions; SET transaction_mode = 'multi' spans shards."),
}
_WORDS: Final[dict[str, str]] = {
    "CHANGE": "Replication is the operator's: run it on the server.",
    "START": "Replication is the operator's: run it on the server.",
    "STOP": "Replication is the operator's: run it on the server.",
    "RESET": "It acts on one server: run it there.",
    "PURGE": "It acts on one server: run it there.",
    "BINLOG": "It acts on one server: run it there.",
    "INSTALL": "Plugins are the operator's: run it on the server.",
    "UNINSTALL": "Plugins are the operator's: run it on the server.",
    "SHUTDOWN": "Use clusterctl down.",
    "RESTART": "It acts on one server: restart it there.",
    "CLONE": "It acts on one server: run it there.",
    "CACHE": "It acts on one server: run it there.",
    "IMPORT": "Tablespaces are the operator's: run it on the server.",
    "GET": "Diagnostics areas stay on one connection; use SHOW WARNINGS.",
    "SIGNAL": "Without user variables it is served.",
    "RESIGNAL": "Without user variables it is served.",
}
_NOTHING: Final = b" \t\r\n\f\v\0;"
_PASSED: Final = frozenset(("HELP",))
_SIGNALS: Final = frozenset(("SIGNAL", "RESIGNAL"))
"""A server says what they mean; the session's user variables are not on it."""
_KEPT: Final = {"HANDLER": locks.handler, "BACKUP": locks.backup}


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Raises 1235 naming the statement."""
    del session, sql
    construct, instead = _KINDS[kind]
    raise not_supported(construct, instead)


def empty(session: Session, kind: Kind, sql: bytes) -> None:
    """A statement of comments alone does nothing, as on the servers; less than that is refused."""
    del kind
    if not sql.strip(_NOTHING):
        raise fail("EMPTY_QUERY")
    session.affected_rows = 0
    session.ok()


def other(session: Session, kind: Kind, sql: bytes) -> None:
    """What no rule knows: text in an executable comment is run, HELP passes, all else is refused."""
    del kind
    if is_executed(sql, server_version(session)):
        session.run_text(unwrapped(sql))
        return
    words = Words(sql, session.dialect, unwrap=False)
    first = words.peek()
    if first is None:
        if sql.count(b"*/") > 1 and b"!" in sql:
            raise not_supported(
                "several executable comments as a statement", "Write it without the comments."
            )
        empty(session, Kind.EMPTY, sql)
        return
    if _passes(first.text, sql):
        session.forward(session.any_link(), 0, (), sql, None)
        return
    if first.text in _KEPT:
        _KEPT[first.text](session, words, sql)
        return
    raise _refusal(words)


def refusal_of(sql: bytes, dialect: Dialect) -> SluiceError | None:
    """Why a statement that no rule knows is refused; None for one that may be run, which a server decides."""
    words = Words(sql, dialect, unwrap=False)
    first = words.peek()
    known = first is None or _passes(first.text, sql) or first.text in _KEPT
    return None if known else _refusal(words)


def _passes(first: str, sql: bytes) -> bool:
    return first in _PASSED or (first in _SIGNALS and b"@" not in sql)


def _refusal(words: Words) -> SluiceError:
    first = words.peek()
    assert first is not None
    instead = _WORDS.get(first.text)
    if instead is None:
        error = words.error()
        assert isinstance(error, SluiceError)
        return error
    second = words.peek(1)
    return not_supported(first.text if second is None else f"{first.text} {second.text}", instead)
