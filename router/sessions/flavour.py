"""What of a client's capabilities decides how its answers look: what is offered, and what tablets are asked for.

Invariant: a session's flags say it from login to end; every answer that may reach the client is asked for with them,
and what the router makes itself follows `Connection.caps`, which says the same.
"""

from __future__ import annotations

import re
from typing import Final

from core.rpc import messages as m
from wire.constants import (
    CACHING_SHA2_PASSWORD,
    CLIENT_DEPRECATE_EOF,
    CLIENT_FOUND_ROWS,
    MARIADB_CLIENT_EXTENDED_METADATA,
    MARIADB_CLIENT_STMT_BULK_OPERATIONS,
    NATIVE_PASSWORD,
)

_SINCE: Final = (
    ((10, 2, 7), MARIADB_CLIENT_STMT_BULK_OPERATIONS),
    ((10, 5, 2), MARIADB_CLIENT_EXTENDED_METADATA),
)
"""The first MariaDB that has it, and the capability."""
_REPLICATION_PREFIX: Final = "5.5.5-"
"""What MariaDB 10 puts before its version in a greeting."""


def greeted_version(server_version: str) -> str:
    """What a greeting says of a server of that version. MySQL's own Connector/J reads MariaDB 10 as 5.5.5 there, and so
    asks for no variables that only MySQL has."""
    mariadb_10 = server_version.startswith("10.") and "mariadb" in server_version.lower()
    return f"{_REPLICATION_PREFIX if mariadb_10 else ''}{server_version}-Sluice"


def greeted_plugin(server_version: str) -> str:
    """The authentication that a greeting asks for first, as that server's own does. A client is taken with the other,
    too; but Connector/J, which takes MariaDB 10 for a 5.5.5, cannot end a caching_sha2_password login with that."""
    return NATIVE_PASSWORD if "mariadb" in server_version.lower() else CACHING_SHA2_PASSWORD


def mariadb_offers(server_version: str) -> int:
    """MariaDB's own capabilities that a server of that version has and the router serves; 0 for a MySQL."""
    if "mariadb" not in server_version.lower():
        return 0
    found = re.findall(r"\d+", server_version.removeprefix(_REPLICATION_PREFIX))
    numbers = tuple(int(part) for part in found[:3])
    return sum(capability for since, capability in _SINCE if numbers >= since)


def flags_of(caps: int) -> int:
    """The flags of what a client with these capabilities asks of tablets."""
    return (
        m.F_WARNINGS
        | m.F_SETTINGS
        | (m.F_DEPRECATE_EOF if caps & CLIENT_DEPRECATE_EOF else 0)
        | (m.F_FOUND_ROWS if caps & CLIENT_FOUND_ROWS else 0)
        | (m.F_EXTENDED if caps & MARIADB_CLIENT_EXTENDED_METADATA else 0)
    )
