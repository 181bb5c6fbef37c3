"""A limit as people write it: `user:app` with `concurrency=10 queue=50 queue_ms=200`.

Reading what people type is strict: an unknown key is an error that lists the known ones. Reading records is not:
a key that a newer version wrote is skipped, so that an old process goes on enforcing what it knows.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, fields, replace
from typing import Any, Final

KINDS: Final = ("cluster", "keyspace", "shard", "user")


class LimitError(ValueError):
    """A scope or a limit that cannot be; the message says what to write instead."""


@dataclass(frozen=True, slots=True)
class Scope:
    """Whom a limit holds for. `keyspace`, `shard`, `user` are empty where the kind has none."""

    kind: str
    keyspace: str = ""
    shard: str = ""
    user: str = ""

    def __str__(self) -> str:
        if self.kind == "cluster":
            return "cluster"
        if self.kind == "user":
            return f"user:{self.user}"
        if self.kind == "keyspace":
            return f"keyspace:{self.keyspace}"
        return f"shard:{self.keyspace}/{self.shard}"


def parse_scope(text: str) -> Scope:
    """`cluster`, `keyspace:commerce`, `shard:commerce/-80` or `user:app`. Raises LimitError."""
    kind, colon, name = text.partition(":")
    if text == "cluster":
        return Scope("cluster")
    if kind not in KINDS or not colon or not name or any(ord(c) < 33 for c in text):
        raise LimitError(
            f"'{text}' is no scope; write cluster, keyspace:NAME, shard:KEYSPACE/SHARD (for example "
            "shard:commerce/-80) or user:NAME"
        )
    if kind == "user":
        return Scope("user", user=name)
    keyspace, slash, shard = name.partition("/")
    if kind == "keyspace":
        if slash:
            raise LimitError(f"'{text}': a keyspace's name has no slash; for a shard write shard:{name}")
        return Scope("keyspace", keyspace=name)
    if not keyspace or not shard or "/" in shard:
        raise LimitError(f"'{text}': write shard:KEYSPACE/SHARD, for example shard:commerce/-80")
    return Scope("shard", keyspace=keyspace, shard=shard)


@dataclass(frozen=True, slots=True)
class Limit:
    """What one scope may use, over the whole cluster. None: not limited; 0: nothing passes."""

    connections: int | None = None
    """Client connections: of the user; or whose database is this keyspace, or this shard of it."""
    concurrency: int | None = None
    """Statements that run at the same time."""
    queue: int = 0
    """Statements over `concurrency` that may wait in one router; 0: they are refused at once."""
    queue_ms: int = 1000
    """Longest wait, in milliseconds."""
    dry_run: bool = False
    """Count and report what would be refused, refuse nothing."""

    @classmethod
    def from_json(cls, value: Mapping[str, Any]) -> "Limit":
        """Of a record; keys of newer versions are skipped. Raises LimitError for a value of a wrong type."""
        known = {key: value[key] for key in KEYS if value.get(key) is not None}
        for key, item in known.items():
            if isinstance(item, bool) is not (key == "dry_run") or not isinstance(item, int) or item < 0:
                raise LimitError(f"{key} = {item!r} is not a limit")
        return cls(**known)

    def to_json(self) -> dict[str, Any]:
        """Only what differs from the defaults."""
        plain = Limit()
        return {key: getattr(self, key) for key in KEYS if getattr(self, key) != getattr(plain, key)}

    def __str__(self) -> str:
        parts = ((key, value) for key, value in self.to_json().items())
        return " ".join(f"{key}={str(value).lower()}" for key, value in parts)


KEYS: Final = tuple(field.name for field in fields(Limit))

_BOOLS: Final = {"true": True, "1": True, "on": True, "yes": True}
_BOOLS_OFF: Final = {"false": False, "0": False, "off": False, "no": False}
_NONE: Final = frozenset({"none", "unlimited"})
_MAX: Final = 2**31 - 1


def parse_assignments(assignments: Sequence[str], base: Limit | None = None) -> Limit:
    """`base` (default: nothing limited) with `KEY=VALUE` applied. Raises LimitError.

    >>> str(parse_assignments(["concurrency=10", "dry_run=true"]))
    'concurrency=10 dry_run=true'
    """
    if not assignments:
        raise LimitError(f"nothing to set; write KEY=VALUE with a key of {', '.join(KEYS)}")
    seen: dict[str, int | bool | None] = {}
    for text in assignments:
        key, equals, value = text.partition("=")
        if not equals:
            raise LimitError(f"'{text}' is not KEY=VALUE, for example concurrency=10")
        if key not in KEYS:
            raise LimitError(f"unknown key '{key}'; known: {', '.join(KEYS)}")
        if key in seen:
            raise LimitError(f"'{key}' is given twice")
        seen[key] = _value(key, value)
    limit = replace(base or Limit(), **seen)  # type: ignore[arg-type]
    if limit.connections is None and limit.concurrency is None:
        raise LimitError(
            "nothing is limited: set connections or concurrency (or remove it: limits unset SCOPE)"
        )
    if limit.queue and limit.concurrency is None:
        raise LimitError("queue has an effect only together with concurrency")
    if limit.queue and not limit.queue_ms:
        raise LimitError("queue needs queue_ms above 0: how long a statement may wait, in milliseconds")
    return limit


def _value(key: str, text: str) -> int | bool | None:
    if key == "dry_run":
        found = {**_BOOLS, **_BOOLS_OFF}.get(text.lower())
        if found is None:
            raise LimitError(f"dry_run is true or false, not '{text}'")
        return found
    if key in ("connections", "concurrency") and text.lower() in _NONE:
        return None
    if not (text.isascii() and text.isdigit()) or int(text) > _MAX:
        raise LimitError(f"{key} is a whole number from 0, not '{text}'")
    return int(text)
