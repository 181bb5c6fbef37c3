"""What reading a variable gives, without asking a server where the router knows.

Invariant: a value comes from here only if it is the session's own or cannot change behind the router's back; of all
others (`gtid_executed`, `timestamp`, `read_only` ...) `read` says UNKNOWN_HERE, and the statement goes to a server.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from router.variables.charsets import BASE_CHARSET, ServerCharsets, charset_of
from router.variables.coupled import canonical, roots
from router.variables.literals import Value, parsed
from router.variables.table import Class, known, rule_of
from router.variables.types import typed

if TYPE_CHECKING:
    from router.sessions.session import Session

UNKNOWN_HERE: Final = object()
"""Ask a server."""

_VOLATILE: Final = frozenset(
    [
        "timestamp",
        "rand_seed1",
        "rand_seed2",
        "insert_id",
        "last_gtid",
        "statement_id",
        "gtid_seq_no",
        "character_set_database",
        "collation_database",
        "system_versioning_asof",
        "external_user",
        "proxy_user",
    ]
)
_CONSTANT: Final = frozenset(
    [
        "character_set_system",
        "license",
        "lower_case_table_names",
        "lower_case_file_system",
        "system_time_zone",
        "version_compile_machine",
        "version_compile_os",
        "protocol_version",
        "performance_schema",
    ]
)
_DEFAULTS_KNOWN: Final = (frozenset(known()) | _CONSTANT) - _VOLATILE
CHARSETS: Final = frozenset(
    ("character_set_client", "character_set_results", "character_set_connection", "collation_connection")
)
VERSION_COMMENT: Final = "Sluice"


def server_version(session: "Session") -> str:
    """The version that clients see."""
    view = session.worker.view
    version = str(session.worker.server.get("version") or (view.server_version if view is not None else ""))
    return version if version.endswith("-Sluice") else f"{version}-Sluice"


def is_mariadb(session: "Session") -> bool:
    """Whether the servers behind are MariaDB."""
    server = session.worker.server
    return (
        str(server.get("flavour", "")).lower() == "mariadb"
        or "mariadb" in str(server.get("version", "")).lower()
    )


def default_text(session: "Session", name: str) -> str | None:
    """The default of a variable as SHOW VARIABLES prints it, if every server that is known has the same."""
    if name == "session_track_state_change":
        return "OFF"  # tablets have it on, for themselves
    own: Mapping[str, str] = session.worker.server.get("variables") or {}
    text = own.get(name)
    view = session.worker.view
    if text is None or view is None:
        return text
    for keyspace in view.keyspaces.values():
        for link in keyspace.links:
            others: Mapping[str, Any] | None = link.server.get("variables")
            if others and others.get(name) != text:
                return None
    return text


def is_switch(session: "Session", name: str) -> bool:
    """Whether a variable is ON or OFF, which the servers give as BIGINT(1)."""
    name = canonical(name, mariadb=is_mariadb(session))
    text = default_text(session, name)
    return text in ("ON", "OFF") and isinstance(typed(name, text, mariadb=is_mariadb(session)), int)


OF_THE_ROUTER: Final = frozenset(("max_connections", "port"))
"""What clients ask of the server that they are connected to."""


def read(session: "Session", scope: str, name: str) -> Value | object:
    """The value of @@name (`scope` "" or "session") or @@global.name; UNKNOWN_HERE where a server must say."""
    if name == "version_comment":
        return VERSION_COMMENT
    if name == "version":
        return server_version(session)
    if name in OF_THE_ROUTER:
        router = session.worker.boot.config.router
        return router.max_connections if name == "max_connections" else int(router.mysql.rpartition(":")[2])
    if scope not in ("", "session"):
        if name == "transaction_mode":
            return str(session.worker.boot.config.router.transaction_mode)
        return UNKNOWN_HERE
    name = canonical(name, mariadb=is_mariadb(session))
    if session.reserved and any(f"SET {name}" in reserved.pins for reserved in session.reserved.values()):
        return UNKNOWN_HERE
    found = _own(session, name)
    if found is not UNKNOWN_HERE:
        return found
    if name not in _DEFAULTS_KNOWN or any(root in (session.settings or ()) for root in roots(name)):
        return UNKNOWN_HERE
    text = default_text(session, name)
    return UNKNOWN_HERE if text is None else typed(name, text, mariadb=is_mariadb(session))


def _own(session: "Session", name: str) -> Value | object:
    """What the session itself has set, or the router keeps for it."""
    if name == "autocommit":
        return int(session.autocommit)
    if name in ("last_insert_id", "identity"):
        return session.last_insert_id
    if name == "pseudo_thread_id":
        return session.id
    if name == "transaction_mode":
        return session.worker.transaction_mode(session)
    if name == "in_transaction" and is_mariadb(session):
        return int(session.tx is not None)
    if name in ("warning_count", "error_count"):
        levels = [level for level, _, _ in session.warnings or ()]
        return len(levels) if name == "warning_count" else levels.count("Error")
    if name in CHARSETS:
        return _charset(session, name)
    if session.settings and name in session.settings:
        return parsed(session.settings[name].encode("utf-8", "surrogateescape"))
    if (
        session.variables
        and name in session.variables
        and rule_of(name).kind in (Class.ROUTER, Class.IGNORED)
    ):
        return parsed(session.variables[name].encode("utf-8", "surrogateescape"))
    if name == "completion_type":
        return "NO_CHAIN"
    return UNKNOWN_HERE


def _charset(session: "Session", name: str) -> Value:
    settings = session.settings or {}
    if name == "collation_connection":
        return setting_text(settings.get(name)) or ServerCharsets(session.worker.server).base_collation
    if name == "character_set_connection":
        collation = setting_text(settings.get("collation_connection"))
        return charset_of(collation) if collation else BASE_CHARSET
    if name == "character_set_client":
        own = session.variables.get("character_set_client") if session.variables else None
        return setting_text(own) or setting_text(settings.get(name)) or BASE_CHARSET
    value = settings.get(name)
    return None if value == "NULL" else setting_text(value) or BASE_CHARSET


def setting_text(value: str | None) -> str:
    """The text of a setting's string literal; empty for none."""
    found = parsed(value.encode("utf-8", "surrogateescape")) if value else None
    return found if isinstance(found, str) else ""


def client_charset(session: "Session") -> str:
    """The character set in which the session's statements reach the tablets."""
    return setting_text((session.settings or {}).get("character_set_client")) or BASE_CHARSET


def results_charset(session: "Session") -> str:
    """The character set in which the client wants text; utf8mb4 when it wants none converted."""
    return setting_text((session.settings or {}).get("character_set_results")) or BASE_CHARSET
