"""Who may log in, and with which rights: the users of cluster.toml, with those of etcd in their place or beside them.

Invariant: immutable but for the hashes that `Account` itself caches; `renewed` makes the next one, and keeps the caches
of those whose password stayed.
"""

import logging
from collections.abc import Iterable, Mapping
from typing import Any

from controlplane.topo.errors import TopoError
from controlplane.topo.records import UserRecord
from core.config import ConfigError, User
from core.users import EVERYTHING, Grants, RoleError, grants_of
from wire.passwords import Account, Decoys, account_from_hash, account_from_password, account_from_verifiers

log = logging.getLogger("router.accounts")


class _Entry:
    __slots__ = ("account", "default_keyspace", "grants")

    def __init__(self, account: Account, default_keyspace: str, grants: Grants) -> None:
        self.account = account
        self.default_keyspace = default_keyspace
        self.grants = grants


class Accounts:
    def __init__(self, users: Iterable[User], decoy_secret: bytes) -> None:
        """The users of the file. Raises ConfigError for a password_hash that is none."""
        self._secret = decoy_secret
        self._of_file = {user.name: _of_file(user) for user in users}
        self._take(dict(self._of_file))

    def _take(self, entries: dict[str, _Entry]) -> None:
        self._entries = entries
        self.decoys = Decoys(self._secret, tuple(entry.account for entry in entries.values()))
        self.floor = EVERYTHING
        """The rights that every user has."""
        for entry in entries.values():
            self.floor = self.floor.common(entry.grants)

    def renewed(self, live: Mapping[str, Mapping[str, Any]]) -> "Accounts":
        """The users of the file with etcd's records over them. A record that cannot be read locks its user out."""
        made = Accounts.__new__(Accounts)
        made._secret = self._secret
        made._of_file = self._of_file
        entries = dict(self._of_file)
        for name, value in live.items():
            entry = _of_record(name, value)
            if entry is None:
                entries.pop(name, None)
                continue
            old = self._entries.get(name)
            if old is not None:
                entry.account = entry.account.with_cached(old.account)
            entries[name] = entry
        made._take(entries)
        return made

    def find(self, user: str) -> Account | None:
        entry = self._entries.get(user)
        return entry.account if entry is not None else None

    def default_keyspace(self, user: str) -> str:
        entry = self._entries.get(user)
        return entry.default_keyspace if entry is not None else ""

    def grants(self, user: str) -> Grants | None:
        """None: there is no such user."""
        entry = self._entries.get(user)
        return entry.grants if entry is not None else None


def _of_file(user: User) -> _Entry:
    if user.password_hash is not None:
        try:
            account = account_from_hash(user.password_hash)
        except ValueError as error:
            raise ConfigError(f"[[users]] {user.name} password_hash: {error}") from None
    else:
        account = account_from_password(user.password or "")
    account.require_tls = user.require_tls
    return _Entry(account, user.default_keyspace, grants_of(user.roles))


def _of_record(name: str, value: Mapping[str, Any]) -> _Entry | None:
    """None: the user is removed, or nobody knows what it may."""
    try:
        record = UserRecord.from_json(f"users/{name}", value)
        if record.removed:
            return None
        if not (record.native or record.sha2 or record.empty_password):
            raise ValueError("neither native nor sha2 is given")
        account = account_from_verifiers(record.native, record.sha2)
        account.require_tls = record.require_tls
        return _Entry(account, record.default_keyspace, grants_of(record.roles))
    except (TopoError, RoleError, ValueError) as error:
        log.error("user %s is locked out, its record is not usable: %s", name, error)
        return None
