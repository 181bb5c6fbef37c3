"""What a user of the cluster may do, by keyspace: roles as people write them, rights as the router checks them.

    role     lets a user
    read     SELECT, SHOW, EXPLAIN
    write    INSERT, UPDATE, DELETE, CALL, LOCK TABLES, temporary tables
    ddl      CREATE, ALTER, DROP, TRUNCATE, RENAME
    admin    all of these; other users' sessions (PROCESSLIST, KILL); what a server keeps for its administrator

A role is written `ROLE` (every keyspace) or `ROLE:KEYSPACE`. Roles do not hold one another, but for admin, which holds
all: UPDATE and DELETE read what they change, so they need read and write, as on MySQL.

Invariant: ROUTINE, the right to make stored programs, comes with ddl on every keyspace, or admin: a program runs with
the rights of the tablet's own account, so whoever writes one reaches every database of that MySQL.
"""

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Final

READ: Final = 1
WRITE: Final = 2
DDL: Final = 4
ADMIN: Final = 8
ROUTINE: Final = 16
ALL: Final = 31

ROLES: Final = {"read": READ, "write": WRITE, "ddl": DDL, "admin": ALL}
DEFAULT_ROLES: Final = ("admin",)
"""Of a user of `cluster.toml` for whom none are written: a file that says nothing of roles restricts nobody."""


class RoleError(ValueError):
    """A role that cannot be; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Role:
    name: str
    keyspace: str = ""
    """Empty: every keyspace."""

    def __str__(self) -> str:
        return f"{self.name}:{self.keyspace}" if self.keyspace else self.name


def parse_role(text: str) -> Role:
    """`read`, or `read:commerce`. Raises RoleError.

    >>> parse_role("write:commerce")
    Role(name='write', keyspace='commerce')
    """
    name, colon, keyspace = text.partition(":")
    if keyspace == "*":
        keyspace, colon = "", ""
    if name not in ROLES or (colon and not keyspace):
        known = ", ".join(ROLES)
        raise RoleError(f"'{text}' is no role; write one of {known}, or for one keyspace read:KEYSPACE")
    return Role(name, keyspace)


@dataclass(frozen=True, slots=True)
class Grants:
    """Rights as sets of bits. `everywhere`: in every keyspace, those to come included."""

    everywhere: int = 0
    keyspaces: dict[str, int] = field(default_factory=dict)

    def of(self, keyspace: str) -> int:
        """The rights in `keyspace`; "*" asks for those in every keyspace. A name that differs in case only counts as
        the same: some servers take it so, and it must not be a way around a right."""
        return self.everywhere | self.keyspaces.get(keyspace.lower(), 0)

    def sees(self, keyspace: str) -> bool:
        """Whether the user knows of the keyspace."""
        return bool(self.of(keyspace))

    @property
    def is_complete(self) -> bool:
        return self.everywhere == ALL

    def common(self, other: "Grants") -> "Grants":
        """What both hold in every keyspace."""
        return Grants(self.everywhere & other.everywhere)


NOTHING: Final = Grants()
EVERYTHING: Final = Grants(ALL)


def grants_of(roles: Iterable[str]) -> Grants:
    """Raises RoleError."""
    everywhere = 0
    keyspaces: dict[str, int] = {}
    for text in roles:
        role = parse_role(text)
        if role.keyspace:
            name = role.keyspace.lower()
            keyspaces[name] = keyspaces.get(name, 0) | ROLES[role.name]
        else:
            everywhere |= ROLES[role.name]
    if everywhere & DDL:
        everywhere |= ROUTINE
    return Grants(everywhere, keyspaces)


_SHOWN: Final = (
    (READ, "SELECT, SHOW VIEW"),
    (WRITE, "INSERT, UPDATE, DELETE, CREATE TEMPORARY TABLES, LOCK TABLES, EXECUTE"),
    (DDL, "CREATE, DROP, REFERENCES, INDEX, ALTER, CREATE VIEW"),
    (ROUTINE, "CREATE ROUTINE, ALTER ROUTINE, EVENT, TRIGGER"),
)


def privileges(rights: int) -> str:
    """The privileges of MySQL's that come nearest, as SHOW GRANTS words them."""
    if rights & ADMIN:
        return "ALL PRIVILEGES"
    return ", ".join(text for bit, text in _SHOWN if rights & bit) or "USAGE"
