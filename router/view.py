"""What a worker knows of the cluster, whole and immutable: a new SNAPSHOT makes a new view.

Links to tablets are carried over from view to view while their shard stays. Plans are compiled against one view
and go with it.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

from core.errors import fail, not_supported
from core.keyrange import ShardMap
from core.limits import LimitTable
from router.gateway import Link
from router.plan_cache import PlanCache
from router.vschema import VSchema
from router.vschema import parse as parse_vschema

SYSTEM_SCHEMAS: Final = frozenset(("information_schema", "performance_schema", "mysql", "sys"))

OpenLink = Callable[[str, str, str], Link]
"""(keyspace, shard, endpoint) -> link."""


class KeyspaceView:
    """One keyspace: its shards and the links to their primaries."""

    __slots__ = ("by_shard", "links", "name", "shard_map", "sharded")

    def __init__(self, name: str, sharded: bool, shard_map: ShardMap, by_shard: dict[str, Link]) -> None:
        self.name = name
        self.sharded = sharded
        self.shard_map = shard_map
        self.by_shard = by_shard
        self.links = tuple(by_shard[shard] for shard in shard_map.names)


class ClusterView:
    """All keyspaces, the VSchema, limits, and the plan caches that hang on them."""

    __slots__ = ("_cache_bytes", "caches", "keyspaces", "limits", "server_version", "version", "vschema")

    def __init__(
        self,
        version: int,
        keyspaces: dict[str, KeyspaceView],
        vschema: VSchema,
        limits: LimitTable,
        server_version: str,
        cache_bytes: int,
    ) -> None:
        self.version = version
        self.keyspaces = keyspaces
        self.vschema = vschema
        self.limits = limits
        self.server_version = server_version
        self.caches: dict[str, PlanCache] = {}
        self._cache_bytes = cache_bytes

    def cache(self, scope: str) -> PlanCache:
        """The plan cache of one scope (default keyspace and target)."""
        cache = self.caches.get(scope)
        if cache is None:
            cache = self.caches[scope] = PlanCache(self._cache_bytes)
        return cache

    def keyspace(self, name: str) -> KeyspaceView:
        """Raises UNKNOWN_DATABASE."""
        found = self.keyspaces.get(name)
        if found is None:
            raise fail("UNKNOWN_DATABASE", database=name)
        return found

    def check_database(self, database: str) -> tuple[str, str]:
        """Keyspace and shard ("" for none) of a database name as clients write it: `ks`, `ks:-80`, `ks@primary`,
        `ks:-80@primary`, or one of MySQL's own schemas. Raises UNKNOWN_DATABASE."""
        name, _, tablet_type = database.partition("@")
        keyspace, colon, shard = name.partition(":")
        if not colon and "/" in keyspace:
            keyspace, _, shard = keyspace.partition("/")
        kind = tablet_type.lower()
        if kind in ("replica", "rdonly"):
            raise not_supported(
                f"the target @{kind}, this version has primaries only", f"Use {name}, or {name}@primary."
            )
        if kind not in ("", "primary", "master"):
            raise fail("UNKNOWN_DATABASE", database=database)
        if keyspace.lower() in SYSTEM_SCHEMAS and not shard:
            return keyspace.lower(), ""
        view = self.keyspaces.get(keyspace)
        if view is None or (shard and shard not in view.by_shard):
            raise fail("UNKNOWN_DATABASE", database=database)
        return keyspace, shard

    def any_link(self, keyspace: str = "") -> Link:
        """A link whose MySQL may answer what every MySQL answers alike. Raises TOPOLOGY when there is none."""
        view = self.keyspaces.get(keyspace)
        links = (
            view.links if view is not None else tuple(one for k in self.keyspaces.values() for one in k.links)
        )
        for link in links:
            if link.ready:
                return link
        if not links:
            raise fail("TOPOLOGY", reason="no keyspace has a tablet yet")
        return links[0]


def build(
    snapshot: Mapping[str, Any],
    previous: ClusterView | None,
    open_link: OpenLink,
    cache_bytes: int,
) -> ClusterView:
    """The view of a SNAPSHOT's dict. Links that are not needed any more are closed; those of tablets that moved go
    along with what waits in them."""
    old: dict[tuple[str, str], Link] = {}
    if previous is not None:
        for keyspace in previous.keyspaces.values():
            for link in keyspace.links:
                old[(link.keyspace, link.shard)] = link
    opened: list[Link] = []
    moved: list[tuple[Link, str]] = []
    try:
        view = _build(snapshot, old, open_link, opened, moved, cache_bytes)
    except Exception:
        for link in opened:
            link.close("the snapshot was not usable")
        raise
    for link in old.values():
        link.close("the shard is gone")
    for link, endpoint in moved:
        link.move(endpoint)
    return view


def _build(
    snapshot: Mapping[str, Any],
    old: dict[tuple[str, str], Link],
    open_link: OpenLink,
    opened: list[Link],
    moved: list[tuple[Link, str]],
    cache_bytes: int,
) -> ClusterView:
    """Takes out of `old` what goes on, and puts into `opened` what is new, into `moved` what has a new address."""
    keyspaces: dict[str, KeyspaceView] = {}
    vschemas = []
    for name, raw in snapshot["keyspaces"].items():
        by_shard = {}
        for shard, endpoint in raw["shards"].items():
            known = old.get((name, shard))
            if known is not None:
                by_shard[shard] = old.pop((name, shard))
                if known.endpoint != endpoint:
                    moved.append((known, endpoint))
            else:
                by_shard[shard] = open_link(name, shard, endpoint)
                opened.append(by_shard[shard])
        vschema = parse_vschema(name, raw["vschema"])
        vschemas.append(vschema)
        keyspaces[name] = KeyspaceView(name, vschema.sharded, ShardMap(list(by_shard)), by_shard)
    return ClusterView(
        version=snapshot["version"],
        keyspaces=keyspaces,
        vschema=VSchema(vschemas),
        limits=LimitTable.from_snapshot(snapshot["limits"]),
        server_version=snapshot["server_version"],
        cache_bytes=cache_bytes,
    )
