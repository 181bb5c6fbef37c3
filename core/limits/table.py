"""Which limits hold for a login and for a statement: compiled once from a snapshot, asked for every statement.

Invariants
- Immutable after construction but for its memo. Where nothing limits statements `limits_queries` is False, and that
  one attribute is all that the hot path pays.
- Rules come in one order everywhere (cluster, user, keyspace, shard), so that the same rule is named in the refusal.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from core.limits.counters import SlotTable
from core.limits.scopes import Limit, Scope, parse_scope

CONNECTIONS: Final = "connections"
CONCURRENCY: Final = "concurrency"
QUEUE: Final = "queue"

_MEMO: Final = 4096


@dataclass(frozen=True, slots=True, eq=False)
class Rule:
    """One limited number of one scope, as one router enforces it."""

    scope: Scope
    key: str
    """`connections` or `concurrency`."""
    share: int
    """What this router may use of `limit`; with one router all of it."""
    limit: int
    slot: int
    """Row of the counters."""
    queue: int = 0
    queue_ms: int = 0
    queue_slot: int = 0
    dry_run: bool = False


Rules = tuple[Rule, ...]


def even_share(limit: int, everyone: Iterable[str], me: str) -> int:
    """What `me` may use until the leader has said: equal parts, the odd ones to the first in order of name. The
    parts of all that know the same names sum up to `limit`.

    >>> [even_share(5, ["a", "b", "c"], me) for me in "abc"]
    [2, 2, 1]
    """
    names = sorted({*everyone, me})
    whole, odd = divmod(limit, len(names))
    return whole + (names.index(me) < odd)


def to_snapshot(
    limits: Mapping[str, Limit],
    shares: Mapping[str, Mapping[str, Sequence[int]]],
    routers: Iterable[str],
    me: str,
    slots: SlotTable,
) -> list[list[Any]]:
    """What a router's main process tells its workers.

    `limits`: by scope, of the records. `shares`: {scope: {key: [share, limit]}}, of this router's share record, where
    a share counts only while its limit is still the one that was divided. `routers`: the ids of the routers that
    live, for what has no share; `me`: this router's id.
    Raises LimitError for a scope that cannot be, or more limits than counters.
    """
    everyone = list(routers)
    rows: list[list[Any]] = []
    for text, limit in sorted(limits.items()):
        parse_scope(text)
        for key in (CONNECTIONS, CONCURRENCY):
            number = getattr(limit, key)
            if number is None:
                continue
            share, of = shares.get(text, {}).get(key, (0, -1))
            if of != number or len({*everyone, me}) == 1:
                share = even_share(number, everyone, me)
            queue = limit.queue if key == CONCURRENCY else 0
            rows.append([text, key, min(share, number), number, queue, limit.queue_ms, limit.dry_run])
    names = [f"{row[0]} {row[1]}" for row in rows] + [f"{row[0]} {QUEUE}" for row in rows if row[4]]
    slot_of = slots.assign(names)
    return [[*row, slot_of[f"{row[0]} {row[1]}"], slot_of.get(f"{row[0]} {QUEUE}", 0)] for row in rows]


class LimitTable:
    """All rules of a snapshot, found by user, keyspace and shard."""

    __slots__ = ("_by_key", "_memo", "limits_logins", "limits_queries", "rules")

    def __init__(self, rules: Iterable[Rule]) -> None:
        self.rules: Rules = tuple(rules)
        self._by_key = {(rule.key, rule.scope): rule for rule in self.rules}
        self._memo: dict[tuple[str, str, str | tuple[str, ...]], Rules] = {}
        self.limits_queries = any(rule.key == CONCURRENCY for rule in self.rules)
        """False: no statement needs to ask."""
        self.limits_logins = any(rule.key == CONNECTIONS for rule in self.rules)

    @classmethod
    def from_snapshot(cls, rows: Sequence[Sequence[Any]]) -> "LimitTable":
        """Of what `to_snapshot` gave."""
        return cls(
            Rule(
                scope=parse_scope(row[0]),
                key=row[1],
                share=row[2],
                limit=row[3],
                queue=row[4],
                queue_ms=row[5],
                dry_run=row[6],
                slot=row[7],
                queue_slot=row[8],
            )
            for row in rows
        )

    def for_login(self, user: str, keyspace: str = "", shard: str = "") -> Rules:
        """The rules that count a connection of `user` whose database is that keyspace, or that shard of it."""
        return self._find(CONNECTIONS, user, keyspace, (shard,)) if self.limits_logins else ()

    def for_query(self, user: str, keyspace: str, shards: str | tuple[str, ...]) -> Rules:
        """The rules that count a statement which runs on that shard, or those."""
        if not self.limits_queries:
            return ()
        asked = (user, keyspace, shards)
        found = self._memo.get(asked)
        if found is None:
            if len(self._memo) >= _MEMO:
                self._memo.clear()
            names = (shards,) if isinstance(shards, str) else shards
            found = self._memo[asked] = self._find(CONCURRENCY, user, keyspace, names)
        return found

    def find(self, key: str, scope: Scope) -> Rule | None:
        """The rule of one number of one scope."""
        return self._by_key.get((key, scope))

    def _find(self, key: str, user: str, keyspace: str, shards: tuple[str, ...]) -> Rules:
        scopes = [Scope("cluster"), Scope("user", user=user)]
        if keyspace:
            scopes.append(Scope("keyspace", keyspace=keyspace))
            scopes += [Scope("shard", keyspace=keyspace, shard=shard) for shard in shards if shard]
        found = (self._by_key.get((key, scope)) for scope in scopes)
        return tuple(rule for rule in found if rule is not None)
