"""What the leader sees of the cluster, as one record. Pure."""

from collections.abc import Mapping
from typing import Any

from controlplane.topo import layout
from controlplane.topo.errors import TopoError
from controlplane.topo.records import HealthRecord, RouterRecord, TabletRecord
from core.rpc.messages import DEAD, SERVING

Content = Mapping[str, Mapping[str, Any]]


def routers_of(content: Content) -> tuple[list[RouterRecord], list[str]]:
    """The routers that live, and what is wrong with the records that cannot be read."""
    routers, problems = [], []
    for key, value in sorted(content.items()):
        try:
            routers.append(RouterRecord.from_json(key, value))
        except TopoError as error:
            problems.append(str(error))
    return routers, problems


def health(leader: str, shards: Content, tablets: Content, routers: Content) -> HealthRecord:
    """`shards`, `tablets`, `routers`: by key, as watched."""
    problems: list[str] = []
    states: dict[str, str] = {key.removeprefix(layout.SHARDS): DEAD for key in sorted(shards)}
    owners: dict[str, str] = {}
    for key, value in sorted(tablets.items()):
        try:
            tablet = TabletRecord.from_json(key, value)
        except TopoError as error:
            problems.append(str(error))
            continue
        name = f"{tablet.keyspace}/{tablet.shard}"
        if name not in states:
            problems.append(f"tablet {tablet.alias} serves {name}, which is no shard of the topology")
        elif tablet.type == "PRIMARY":
            if name in owners:
                problems.append(f"shard {name} has two primaries: {owners[name]} and {tablet.alias}")
            owners[name] = tablet.alias
            states[name] = tablet.state
    problems += [
        f"shard {name}: no tablet is registered" if state == DEAD else f"shard {name}: its primary is {state}"
        for name, state in states.items()
        if state != SERVING
    ]
    alive, broken = routers_of(routers)
    problems += broken
    if not alive:
        problems.append("no router is registered")
    return HealthRecord(leader, dict(states), {r.id: r.state for r in alive}, tuple(problems))
