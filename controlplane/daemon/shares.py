"""Divides a cluster-wide limit among the routers that live, by demand. Pure.

Invariants
- The shares of a limit never sum up to more than the limit, also not while they move: a router whose share shrinks
  may use the old one until it has heard, so the others grow only by what was free before, and by the rest in the
  next round (`ROUND_S` later).
- Where the limit allows, every router has at least 1, so that its demand can show.
- Shares move only when somebody's is used up; else they stay, and nothing is written.

A router's demand is what it uses and what waits there. One at or above its share could use more, how much nobody
knows; the others keep their demand and a tenth of the limit to grow into, and the rest goes in equal parts to those.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from controlplane.topo.records import RouterRecord, ShareRecord
from core.limits import Limit, LimitError, even_share

ROUND_S: Final = 1.0

KEYS: Final = ("connections", "concurrency")


def target(limit: int, demand: Mapping[str, int], share: Mapping[str, int]) -> dict[str, int]:
    """What each router should have, given its demand and its share now. Sums up to `limit`."""
    routers = sorted(demand)
    hungry = [router for router in routers if demand[router] >= share[router]]
    if not hungry and sum(share.values()) == limit:
        return dict(share)
    if not hungry or len(hungry) == len(routers) or limit < len(routers):
        return {router: even_share(limit, routers, router) for router in routers}
    headroom = max(1, limit // (10 * len(routers)))
    parts = {r: max(1, min(share[r], demand[r] + headroom)) for r in routers if r not in hungry}
    rest = limit - sum(parts.values())
    if rest < len(hungry):
        return {router: even_share(limit, routers, router) for router in routers}
    return {**parts, **{router: even_share(rest, hungry, router) for router in hungry}}


def next_round(limit: int, demand: Mapping[str, int], share: Mapping[str, int]) -> dict[str, int]:
    """The next shares on the way to `target`."""
    goal = target(limit, demand, share)
    free = max(0, limit - sum(share.values()))
    new = {}
    for router, now in share.items():
        more = min(max(0, goal[router] - now), free)
        free -= more
        new[router] = min(now, goal[router]) + more
    return new


def shares(
    limits: Mapping[str, Mapping[str, Any]],
    routers: Iterable[RouterRecord],
    written: Mapping[str, Mapping[str, Any]],
) -> dict[str, ShareRecord]:
    """By router, the share records of the next round. None for a router that is alone: it has all.

    `limits`: {scope: record's value}; `written`: {router id: value of its share record now}. A broken record limits
    nothing here; the routers say so.
    """
    alive = {router.id: router for router in routers}
    if len(alive) < 2:
        return {}
    records: dict[str, dict[str, dict[str, list[int]]]] = {router: {} for router in alive}
    for scope, value in sorted(limits.items()):
        try:
            limit = Limit.from_json(value)
        except LimitError:
            continue
        for key in KEYS:
            number: int | None = getattr(limit, key)
            if number is None:
                continue
            now = {r: _share_now(written.get(r), scope, key, number, alive, r) for r in alive}
            demand = {r: record.demand_of(scope, key) for r, record in alive.items()}
            for router, share in next_round(number, demand, now).items():
                records[router].setdefault(scope, {})[key] = [share, number]
    return {router: ShareRecord(record) for router, record in records.items()}


def _share_now(
    record: Mapping[str, Any] | None, scope: str, key: str, limit: int, routers: Iterable[str], me: str
) -> int:
    """What the router goes by at present: as in `core.limits.to_snapshot`."""
    try:
        share, of = record["shares"][scope][key] if record else (0, -1)
    except (KeyError, TypeError, ValueError):
        share, of = 0, -1
    return min(int(share), limit) if of == limit else even_share(limit, routers, me)
