"""The warnings of a session's last statement: what SHOW WARNINGS, SHOW ERRORS and @@warning_count say.

A tablet sends what its server's SHOW WARNINGS says right after a statement that had any (F_WARNINGS), so that
nothing is pinned for their sake; the router keeps them until the next statement. Those of several shards follow
one another. The error that ended a statement is the last of them.
"""

from typing import TYPE_CHECKING, Final

from core.errors import SluiceError
from router.engine.reader import ResultReader
from router.sessions.conditions import Condition, condition
from router.variables.charsets import result_codec
from router.variables.reading import results_charset
from wire.answers import parse_err
from wire.rows import split_text_row

if TYPE_CHECKING:
    from router.sessions.session import Session

MAX_KEPT: Final = 1024
"""Warnings kept a session, as MySQL's max_error_count."""


def note_warnings(session: "Session", packets: bytes, *, further: bool = False) -> None:
    """Keeps the answer of a server's SHOW WARNINGS (text rows, classic EOF flavour): those of the statement before
    are over, whatever `forgets_warnings` says. `further`: of one statement on several shards, to be added."""
    reader = ResultReader()
    reader.feed(packets, True)
    codec = result_codec(results_charset(session))
    kept = list(session.warnings or ()) if further else []
    while len(kept) < MAX_KEPT and (payload := reader.next_row()) is not None:
        level, code, message = split_text_row(payload, 3)
        kept.append(((level or b"").decode(), int(code or 0), (message or b"").decode(codec, "replace")))
    session.warnings = kept or None


def add_warning(session: "Session", what: SluiceError) -> None:
    """Adds a warning of the router's own."""
    session.warnings = [*(session.warnings or ()), ("Warning", what.number, what.message)][:MAX_KEPT]


def forgets_warnings(session: "Session") -> bool:
    """Whether a statement without tables clears the list of the one before: not on MariaDB."""
    return bool(session.worker.server.get("flavour") != "mariadb")


def note_error(session: "Session", payload: bytes) -> None:
    """The statement ended with this ERR packet's payload; what its tablet told of it, the error with it, stays."""
    error = parse_err(payload)
    told = condition(session, error.number, error.sqlstate, error.text)
    if told not in (session.warnings or ()):
        session.warnings = [told]
    elif isinstance(told, Condition):
        session.warnings = [told if one == told else one for one in session.warnings or ()]
