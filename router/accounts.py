"""Who may log in: the users of cluster.toml by name, their password hashes, their default keyspace."""

from collections.abc import Iterable

from core.config import ConfigError, User
from wire.passwords import Account, Decoys, account_from_hash, account_from_password


class Accounts:
    """Accounts by user name; immutable but for the hashes that `Account` itself caches."""

    def __init__(self, users: Iterable[User], decoy_secret: bytes) -> None:
        """Raises ConfigError for a password_hash that is none."""
        self._accounts: dict[str, Account] = {}
        self._default_keyspaces: dict[str, str] = {}
        for user in users:
            if user.password_hash is not None:
                try:
                    account = account_from_hash(user.password_hash)
                except ValueError as error:
                    raise ConfigError(f"[[users]] {user.name} password_hash: {error}") from None
            else:
                account = account_from_password(user.password or "")
            self._accounts[user.name] = account
            self._default_keyspaces[user.name] = user.default_keyspace
        self.decoys = Decoys(decoy_secret, tuple(self._accounts.values()))

    def find(self, user: str) -> Account | None:
        return self._accounts.get(user)

    def default_keyspace(self, user: str) -> str:
        return self._default_keyspaces.get(user, "")
