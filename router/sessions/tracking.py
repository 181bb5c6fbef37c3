"""What a client with CLIENT_SESSION_TRACK is told of its session, in the OK packet of the statement that changed it.

    variable                            what it tells, if the client wants it
    session_track_schema                the default database, at each USE
    session_track_system_variables      those of its list that a SET named, whatever they were before; `*`: any
    session_track_state_change          that variables, default database, text PREPARE or temporary tables changed

What stored programs change is not told, nor are transactions and GTIDs: the servers' trackers see the connections that
sessions share, not sessions. Nothing is told to other clients, and nothing is looked at for them.
"""

import re
from collections.abc import Iterable
from typing import TYPE_CHECKING, Final

from router.variables.reading import UNKNOWN_HERE, default_text, is_mariadb, read
from wire.answers import SessionChanges, ok_packet, parse_ok
from wire.constants import CLIENT_SESSION_TRACK, OK_HEADER

if TYPE_CHECKING:
    from router.sessions.session import Session

SCHEMA: Final = "session_track_schema"
SYSTEM_VARIABLES: Final = "session_track_system_variables"
STATE_CHANGE: Final = "session_track_state_change"

_CHARSETS: Final = ("character_set_client", "character_set_connection", "character_set_results")
_TEMPORARY: Final = re.compile(rb"\s*(?:create|drop)\s+(?:or\s+replace\s+)?temporary\s", re.I)


def of_set(session: "Session", assigned: Iterable[str]) -> SessionChanges | None:
    """A SET has given values to these system variables; "@" stands for user variables, "NAMES" for the charsets."""
    if not session.caps & CLIENT_SESSION_TRACK:
        return None
    watched = {name.strip().lower() for name in _text(session, SYSTEM_VARIABLES).split(",")}
    everything = "*" in watched
    names: dict[str, None] = {}
    for name in assigned:
        names.update(dict.fromkeys(_CHARSETS if name == "NAMES" else (name,)))
    found = [
        (name, _text(session, name))
        for name in names
        if name != "@"
        and (everything or name in watched)
        and read(session, "session", name) is not UNKNOWN_HERE
    ]
    changed = bool(names) and _is_on(session, STATE_CHANGE)
    if changed and not is_mariadb(session) and set(names) == {STATE_CHANGE}:
        changed = False  # MySQL does not tell of the tracker's own beginning
    return _told(SessionChanges(system_variables=tuple(found), state_changed=changed or None))


def of_use(session: "Session") -> SessionChanges | None:
    """The session has another default database."""
    if not session.caps & CLIENT_SESSION_TRACK:
        return None
    schema = session.scope if _is_on(session, SCHEMA) else None
    return _told(SessionChanges(schema=schema, state_changed=_is_on(session, STATE_CHANGE) or None))


def of_state(session: "Session") -> SessionChanges | None:
    """Something of the session changed that has no tracker of its own."""
    if not session.caps & CLIENT_SESSION_TRACK or not _is_on(session, STATE_CHANGE):
        return None
    return SessionChanges(state_changed=True)


def with_temporary_tables(session: "Session", sql: bytes, data: bytes) -> bytes:
    """`data`, a whole answer to `sql`; a client that wants to know is told that temporary tables came or went."""
    if not session.caps & CLIENT_SESSION_TRACK or data[4] != OK_HEADER or not _TEMPORARY.match(sql):
        return data
    changes = of_state(session)
    if changes is None:
        return data
    ok = parse_ok(data[4:])
    return ok_packet(
        data[3], ok.affected_rows, ok.last_insert_id, ok.status, ok.warnings, ok.info, changes, session.caps
    )


def _told(changes: SessionChanges) -> SessionChanges | None:
    return None if changes == SessionChanges() else changes


def _is_on(session: "Session", name: str) -> bool:
    return read(session, "session", name) in (1, "ON")


def _text(session: "Session", name: str) -> str:
    """The value as SHOW VARIABLES prints it."""
    value = read(session, "session", name)
    if value is None or value is UNKNOWN_HERE:
        return ""
    default = default_text(session, name)
    if value in (0, 1) and (default in ("ON", "OFF") or name == "autocommit"):
        return "ON" if value else "OFF"
    if isinstance(value, float) or (default is not None and default.partition(".")[2].isdigit()):
        return f"{value:.6f}"
    return str(value)
