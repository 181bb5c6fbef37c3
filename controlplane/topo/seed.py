"""Writes what `cluster.toml` says into the topology: keyspaces, shards, and a VSchema where there is none yet.

Idempotent, and careful with what lives: a VSchema that was applied live stays, and where etcd holds other shards
than the file nothing at all is written, since rows lie where the old shards put them.
"""

import json
from typing import Any

from controlplane.topo import layout
from controlplane.topo.errors import TopoError
from controlplane.topo.records import KeyspaceRecord, ShardRecord
from controlplane.topo.store import Store
from controlplane.topo.values import Value
from core.config import Config, Keyspace
from core.keyrange import KeyRange


async def seed(store: Store, config: Config) -> list[str]:
    """Gives the keys that it wrote, none if all was there. Raises TopoError when the file contradicts the
    topology, or its VSchema cannot be read."""
    vschemas = {keyspace.name: _vschema(config, keyspace) for keyspace in config.keyspaces}
    for keyspace in config.keyspaces:
        await _check(store, keyspace)
    written = []
    for keyspace in config.keyspaces:
        name = keyspace.name
        new: list[tuple[str, Value]] = [
            (layout.shard(name, shard), ShardRecord(name, shard).to_json()) for shard in keyspace.shards
        ]
        new.append((layout.vschema(name), vschemas[name]))
        # Last: who watches takes a keyspace for complete once it is there.
        new.append((layout.keyspace(name), KeyspaceRecord(name, len(keyspace.shards) > 1).to_json()))
        for key, value in new:
            if await store.create(key, value):
                written.append(key)
    return written


async def _check(store: Store, keyspace: Keyspace) -> None:
    prefix = layout.shards_of(keyspace.name)
    present, _ = await store.list(prefix)
    there = {key.removeprefix(prefix) for key in present}
    if not there:
        return
    whole = await store.get(layout.keyspace(keyspace.name))
    wanted = set(keyspace.shards)
    same = {KeyRange.parse(name) for name in there} == {KeyRange.parse(name) for name in wanted}
    if there == wanted or (whole is None and there < wanted):  # a seed that was broken off goes on
        return
    hint = "name them in the file as etcd has them" if same else "changing shards needs resharding"
    raise TopoError(
        f"[[keyspaces]] {keyspace.name}: the file has shards {_names(wanted)}, but etcd has {_names(there)}; "
        f"{hint}. Put the old shards back into the file, or start a new cluster under another [cluster] name"
    )


def _names(shards: set[str]) -> str:
    return ", ".join(sorted(shards))


def _vschema(config: Config, keyspace: Keyspace) -> Value:
    if not keyspace.vschema:
        return {"sharded": False, "tables": {}}
    path = config.resolve(keyspace.vschema)
    try:
        value: Any = json.loads(path.read_text(encoding="utf-8"))
    except (OSError, ValueError) as error:
        raise TopoError(f"[[keyspaces]] {keyspace.name} vschema: {path} cannot be read: {error}") from None
    if not isinstance(value, dict):
        raise TopoError(f"[[keyspaces]] {keyspace.name} vschema: {path} is not a JSON object")
    return value
