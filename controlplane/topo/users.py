"""Users of cluster.toml and of etcd as one: whose word counts, and the limits that follow from them. Pure.

A record of etcd takes the place of the file's user of that name, whole. A user's `max_connections` is a limit of the
scope `user:NAME`; where such a limit is set as well, the smaller number of connections holds.
"""

from collections.abc import Iterable, Mapping
from typing import Any

from core.config import User


def with_users(
    limits: Mapping[str, Mapping[str, Any]],
    users: Iterable[User],
    live: Mapping[str, Mapping[str, Any]],
) -> dict[str, dict[str, Any]]:
    """`limits` by scope, with the users' own; `live`: the users' records by name."""
    numbers: dict[str, Any] = {user.name: user.max_connections for user in users}
    numbers.update({name: value.get("max_connections", 0) for name, value in live.items()})
    merged = {scope: dict(value) for scope, value in limits.items()}
    for name, number in numbers.items():
        if not isinstance(number, int) or number <= 0:
            continue
        limit = merged.setdefault(f"user:{name}", {})
        known = limit.get("connections")
        limit["connections"] = min(number, known) if isinstance(known, int) else number
    return merged
