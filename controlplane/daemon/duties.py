"""What the leader writes in one round, decided from what it sees. Pure: gives writes, performs none."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from controlplane.daemon.health import health, routers_of
from controlplane.daemon.shares import shares
from controlplane.topo import layout

Content = Mapping[str, Mapping[str, Any]]


@dataclass(frozen=True, slots=True)
class View:
    """The watched prefixes, whole keys."""

    shards: Content
    tablets: Content
    routers: Content
    limits: Content
    shares: Content
    health: Mapping[str, Any] | None


@dataclass(frozen=True, slots=True)
class Write:
    """`value` None: delete."""

    key: str
    value: dict[str, Any] | None


def duties(leader: str, view: View) -> list[Write]:
    """Health where it changed; shares where they moved, those that shrink first; shares of dead routers gone."""
    writes = []
    seen = health(leader, view.shards, view.tablets, view.routers).to_json()
    if view.health != seen:
        writes.append(Write(layout.HEALTH, seen))
    alive, _ = routers_of(view.routers)
    limits = {key.removeprefix(layout.LIMITS): value for key, value in view.limits.items()}
    written = {layout.last(key): value for key, value in view.shares.items()}
    records = shares(limits, alive, written)
    for router, record in sorted(records.items()):
        value = record.to_json()
        if written.get(router) != value and (value["shares"] or router in written):
            writes.append(Write(layout.share(router), value))
    writes += [Write(key, None) for key in sorted(view.shares) if layout.last(key) not in records]
    return writes
