"""Statements that Sluice does not serve, each with what to do instead."""

from typing import Final

from core.errors import SluiceError, fail, not_supported
from core.rpc import messages as m
from router.execute.reserve import run_pinned
from router.plan.plans import Kind
from router.sessions.session import Session
from router.sessions.where import any_link
from router.sql.dialect import Dialect
from router.statements import diagnostics, locks, set_global
from router.statements.passing import one_shard
from router.statements.words import Words

_WORDS: Final[dict[str, str]] = {
    "CHANGE": "Replication is the operator's: run it on the server.",
    "START": "Replication is the operator's: run it on the server.",
    "STOP": "Replication is the operator's: run it on the server.",
    "PURGE": "It acts on one server: run it there.",
    "INSTALL": "Plugins are the operator's: run it on the server.",
    "UNINSTALL": "Plugins are the operator's: run it on the server.",
    "SHUTDOWN": "Use clusterctl down.",
    "RESTART": "It acts on one server: restart it there.",
    "CLONE": "It acts on one server: run it there.",
    "CACHE": "It acts on one server: run it there.",
    "IMPORT": "Tablespaces are the operator's: run it on the server.",
}
NOTHING: Final = b" \t\r\n\f\v\0;"
_PASSED: Final = frozenset(("HELP",))


def _binlog(session: Session, words: Words, sql: bytes) -> None:
    """BINLOG 'base64': events of a binary log, as mysqlbinlog prints them; the first one describes the others."""
    del words
    session.start(run_pinned(session, one_shard(session, "BINLOG"), sql, m.F_WRITE, None))


_KEPT: Final = {
    "BINLOG": _binlog,
    "HANDLER": locks.handler,
    "BACKUP": locks.backup,
    "SIGNAL": diagnostics.signal,
    "RESET": set_global.reset_persist,
    "RESIGNAL": diagnostics.signal,
}


def empty(session: Session, kind: Kind, sql: bytes) -> None:
    """A statement of comments alone does nothing, as on the servers; less than that is refused."""
    del kind
    if not sql.strip(NOTHING):
        raise fail("EMPTY_QUERY")
    session.affected_rows = 0
    session.ok()


def other(session: Session, kind: Kind, sql: bytes) -> None:
    """What no rule knows: HELP passes, all else is refused."""
    words = Words(sql, session.dialect, unwrap=False)
    first = words.peek()
    if first is None:
        empty(session, kind, sql)
        return
    if first.text in _PASSED:
        session.forward(any_link(session), 0, (), sql, None)
        return
    if first.text in _KEPT:
        _KEPT[first.text](session, words, sql)
        return
    raise _refusal(words)


def refusal_of(sql: bytes, dialect: Dialect) -> SluiceError | None:
    """Why a statement that no rule knows is refused; None for one that may be run, which a server decides."""
    words = Words(sql, dialect, unwrap=False)
    first = words.peek()
    known = first is None or first.text in _PASSED or first.text in _KEPT
    return None if known else _refusal(words)


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
