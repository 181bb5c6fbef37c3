"""What a client with CLIENT_SESSION_TRACK is told of its session: the default database, and system variables.

The variables are those of session_track_system_variables by default. A change is told in the OK packet of the
statement that made it; nothing is told to other clients, and nothing is compared for them.
"""

from typing import TYPE_CHECKING, Final

from router.variables.reading import UNKNOWN_HERE, read
from wire.answers import SessionChanges
from wire.constants import CLIENT_SESSION_TRACK

if TYPE_CHECKING:
    from router.session import Session

TRACKED: Final = (
    "autocommit",
    "character_set_client",
    "character_set_connection",
    "character_set_results",
    "time_zone",
)
Tracked = tuple[tuple[str, str], ...]


def tracked(session: "Session") -> Tracked:
    """The tracked variables now; nothing for a client that does not track."""
    if not session.caps & CLIENT_SESSION_TRACK:
        return ()
    return tuple((name, _text(session, name)) for name in TRACKED)


def changes_since(session: "Session", before: Tracked) -> SessionChanges | None:
    """What has changed since `before`."""
    if not before:
        return None
    found = tuple(now for was, now in zip(before, tracked(session), strict=True) if was != now)
    return SessionChanges(system_variables=found) if found else None


def _text(session: "Session", name: str) -> str:
    value = read(session, "session", name)
    if name == "autocommit":
        return "ON" if value else "OFF"
    return "" if value is None or value is UNKNOWN_HERE else str(value)
