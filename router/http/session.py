"""What a session keeps between two requests, as plain values of JSON, and a session of such values.

Values that are those of a fresh session are left out. Warnings are kept as far as WARNINGS_BYTES goes; what else there
is must fit into STATE_BYTES, or the worker keeps the session itself.

Invariants: tests hold the values to `Session.__slots__`, as they do the records of parked sessions; statements are read
and sent as UTF-8 with backslash escapes, whatever a SET says (`check`): clients quote that way.
"""

from typing import Any, Final

from core.errors import SluiceError, not_supported
from router.http.token import encode
from router.sessions.session import Session
from router.sessions.transaction_tracker import restored
from router.sql.dialect import Dialect
from router.statements.set import Snapshot
from router.variables.reading import default_text

STATE_BYTES: Final = 64 * 1024
WARNINGS_BYTES: Final = 8 * 1024
_PLAIN: Final = (
    ("keyspace", "keyspace", ""),
    ("shard", "shard", ""),
    ("scope", "scope", ""),
    ("autocommit", "autocommit", True),
    ("next", "next_transaction", None),
    ("insert_id", "last_insert_id", 0),
    ("affected", "affected_rows", -1),
    ("found", "found_rows", 0),
    ("settings", "settings", None),
    ("variables", "variables", None),
    ("codec", "codec", None),
)
_LARGE: Final = (
    ("warnings", "warnings"),
    ("user_variables", "user variables"),
    ("named", "prepared statements"),
    ("settings", "settings (SET)"),
    ("variables", "settings that the router keeps (SET)"),
)
_BYTES: Final = (("user_variables", "user_variables"), ("named", "named"))
_UTF8: Final = frozenset(("utf8mb4", "utf8mb3", "utf8", "ascii"))


def state_of(session: Session) -> dict[str, Any]:
    """The values of a session that holds nothing on tablets."""
    values: dict[str, Any] = {}
    for name, slot, fresh in _PLAIN:
        value = getattr(session, slot)
        if value != fresh:
            values[name] = value
    for name, slot in _BYTES:
        held: dict[str, bytes] | None = getattr(session, slot)
        if held:
            values[name] = {key: value.decode("latin-1") for key, value in held.items()}
    if session.dialect is not Dialect.DEFAULT:
        values["dialect"] = session.dialect.value
    values["flags"] = session.flags
    if session.warnings:
        values["warnings"] = _some(session.warnings)
    return values


def _some(warnings: list[tuple[str, int, str]]) -> list[tuple[str, int, str]]:
    room = WARNINGS_BYTES
    for at, (_, _, text) in enumerate(warnings):
        room -= len(text) + 32
        if room < 0:
            return warnings[:at]
    return warnings


def shrink(values: dict[str, Any]) -> str:
    """Takes out of `values` what a token has no room for, the least that does; what that is, in words, empty if
    nothing. Database, autocommit and SQL dialect always stay, settings unless they alone are too large."""
    if len(encode(values)) <= STATE_BYTES:
        return ""
    dropped = []
    for name, text in _LARGE:
        if name in values and len(encode(values)) > STATE_BYTES:
            del values[name]
            dropped.append(text)
    return ", ".join(dropped)


def restore(session: Session, values: dict[str, Any]) -> None:
    """Gives a new session the values of `state_of`."""
    for name, slot, fresh in _PLAIN:
        setattr(session, slot, values.get(name, fresh))
    for name, slot in _BYTES:
        held: dict[str, str] | None = values.get(name)
        setattr(session, slot, held and {key: value.encode("latin-1") for key, value in held.items()})
    intern = session.worker.intern
    session.keyspace, session.shard, session.scope = (
        intern(session.keyspace),
        intern(session.shard),
        intern(session.scope),
    )
    session.dialect = Dialect(values.get("dialect", Dialect.DEFAULT.value))
    session.flags = values.get("flags", session.flags)
    warnings = values.get("warnings")
    session.warnings = [(level, number, text) for level, number, text in warnings] if warnings else None
    session.replace_settings(session.settings or {})
    restored(session)


def make_plain(session: Session) -> None:
    """A fresh session reads backslashes as its clients write them, whatever the servers' own sql_mode is."""
    if not session.dialect.backslash_escapes:
        modes = (default_text(session, "sql_mode") or "").split(",")
        kept = ",".join(mode for mode in modes if mode.upper() != "NO_BACKSLASH_ESCAPES")
        session.set_setting("sql_mode", f"'{kept}'")
        session.dialect = Dialect.ANSI_QUOTES if session.dialect.ansi_quotes else Dialect.DEFAULT


class Before:
    """A session as it was before a statement, to be put back where the statement must not have changed it so."""

    __slots__ = ("_autocommit", "_snapshot")

    def __init__(self, session: Session) -> None:
        self._snapshot = Snapshot.of(session)
        self._autocommit = session.autocommit

    def check(self, session: Session) -> SluiceError | None:
        """What is wrong with the session now; then it is as it was before."""
        error = _unfit(session)
        if error is not None:
            self._snapshot.restore(session)
            session.autocommit = self._autocommit
        return error


def _unfit(session: Session) -> SluiceError | None:
    if not session.dialect.backslash_escapes:
        return not_supported(
            "sql_mode NO_BACKSLASH_ESCAPES over HTTP",
            "Its clients escape with backslashes: leave the mode out.",
        )
    settings = session.settings
    names = ("character_set_client", "character_set_results")
    for name in names if settings is not None else ():
        charset = (settings or {}).get(name)
        if charset is not None and charset.strip("'").lower() not in _UTF8:
            return _charset(name)
    return _charset("character_set_client") if session.codec is not None else None


def _charset(name: str) -> SluiceError:
    return not_supported(f"{name} other than utf8mb4 over HTTP", "JSON is UTF-8: use CONVERT(... USING ...).")
