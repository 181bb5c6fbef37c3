"""What writes that read first have in common."""

from __future__ import annotations

from typing import Final

from core.errors import SluiceError, not_supported
from router.engine.assigning import CharsetName
from router.engine.copying import CannotCopyError
from router.execute.owner import checked, name_of
from router.sessions.session import Session
from router.statements.result import rows_of
from router.variables.charsets import ServerCharsets, charset_of
from router.variables.reading import is_mariadb
from router.view import ClusterView

_STEADY: Final = frozenset(("UTC", "GMT", "ETC/UTC", "Z"))
_LOCKING: Final = ["SET TRANSACTION ISOLATION LEVEL SERIALIZABLE", "START TRANSACTION"]


def begin_of(session: Session, query: bytes) -> list[str] | None:
    """How a transaction of the statement's own begins: as MySQL locks all that a write reads, a SELECT's subqueries
    must lock as well. None: as ever."""
    settings = session.settings or {}
    level = settings.get("transaction_isolation") or settings.get("tx_isolation", "")
    nested = query.upper().count(b"SELECT") > 1
    return list(_LOCKING) if nested and "READ-" not in level.upper() else None


async def column_types(session: Session, view: ClusterView, keyspace: str, table: str) -> dict[str, bytes]:
    """The types of a table's columns by name in lower case, as a server says them. Raises SluiceError."""
    text = b"SHOW COLUMNS FROM " + name_of(table)
    answer = checked(await session.worker.calls.execute(view.any_link(keyspace), text, user=session.user))
    return {(row[0] or b"").decode("utf-8", "replace").lower(): row[1] or b"" for row in rows_of(answer).rows}


def charset_names(session: Session) -> CharsetName:
    """The character set of a collation id, as the servers number them."""
    known = ServerCharsets(session.worker.server)

    def name(number: int) -> str:
        return charset_of(known.by_id(number) or "")

    return name


def has_steady_zone(session: Session) -> bool:
    """Whether no local time of the session's time zone stands for two moments."""
    told = session.worker.server.get("variables") or {}
    zone = (session.settings or {}).get("time_zone", "").strip("'\"") or str(told.get("time_zone", ""))
    if zone.upper() == "SYSTEM":
        zone = str(told.get("system_time_zone", ""))
    return zone[:1] in ("+", "-") or zone.upper() in _STEADY


def shows_quotients(session: Session) -> bool:
    """Whether a quotient is what its text shows: MySQL 9 rounds it, MariaDB does not, older MySQL may not."""
    major = str(session.worker.server.get("version") or "").partition(".")[0]
    return not is_mariadb(session) and major.isdigit() and int(major) >= 9


def refused(refusal: tuple[str, str], error: CannotCopyError) -> SluiceError:
    """The refusal of a statement that met a value which might change on its way."""
    return not_supported(f"{refusal[0]}, where it would have to copy {error.args[0]}", refusal[1])
