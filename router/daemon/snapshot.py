"""What etcd holds, turned into the SNAPSHOT that workers get: pure bookkeeping, driven by watches.

A snapshot is complete, or it waits for the rest: until `allow_partial`, for a tablet of each shard. After that a
shard without one is published with an empty endpoint: its statements wait, those of others do not. A tablet that is
gone from etcd (its lease ended) keeps its last known endpoint: with etcd down or the tablet restarting, what is known
keeps serving. It is left only for a tablet that has begun to serve, the latest of them: one that is STARTING may be
waiting for the other to end. An etcd that has lost its data takes nothing away. A keyspace without a VSchema counts as
sharded if it has several shards, with no table known.
"""

import logging
from collections.abc import Callable, Mapping
from typing import Any, Final

from controlplane.topo import layout
from controlplane.topo.users import with_users
from core.config import User
from core.limits import Limit, LimitError, SharedCounters, SlotTable, to_snapshot
from core.rpc.messages import STARTING
from router.clients.storm import ARRIVALS_SLOT

log = logging.getLogger("router.snapshot")

Content = Mapping[str, Mapping[str, Any]]

_LASTING: Final = (layout.KEYSPACES, layout.SHARDS, layout.VSCHEMA)
"""Once they hold records, they always do: an etcd without them has lost its data."""


class Topology:
    """Collects the watched prefixes; calls `publish` when the snapshot changed."""

    def __init__(
        self,
        router: str,
        counters: SharedCounters,
        publish: Callable[[], None],
        users: tuple[User, ...] = (),
    ) -> None:
        """`users`: those of cluster.toml, whose max_connections are limits too."""
        self._router = router
        self._users = users
        self._slots = SlotTable(counters, reserved=ARRIVALS_SLOT + 1)
        self._publish = publish
        self._content: dict[str, Content] = {}
        self._limit_rows: list[list[Any]] = []
        self._endpoints: dict[tuple[str, str], dict[str, Any]] = {}
        self.partial = False
        """Shards that no tablet ever registered for are published with an empty endpoint."""
        self._held: set[str] = set()
        """Which of _LASTING had records."""
        self._wiped = False
        self.version = 0
        self.snapshot: dict[str, Any] | None = None
        self.tablets: dict[str, dict[str, Any]] = {}
        """By alias: what each tablet registered, also of those that are away."""

    def on_change(self, prefix: str, content: Content) -> None:
        """The watch of `prefix` says what lies under it now."""
        self._content[prefix] = {key.removeprefix(prefix): value for key, value in content.items()}
        self._note(prefix)

    def allow_partial(self) -> None:
        """Time to come was given: shards without a tablet are published too, and others need not wait for them."""
        self.partial = True
        self._publish_if_new()

    def routers(self) -> Content:
        """The routers of the cluster that are alive, by id."""
        return self._content.get(layout.ROUTERS, {})

    def _note(self, prefix: str) -> None:
        if prefix == layout.TABLETS:
            served: dict[tuple[str, str], int] = {}
            for alias, tablet in self._content[prefix].items():
                self.tablets[alias] = dict(tablet)
                if tablet.get("type", "PRIMARY") != "PRIMARY":
                    continue
                place = (tablet["keyspace"], tablet["shard"])
                if tablet.get("state") == STARTING:
                    self._endpoints.setdefault(place, dict(tablet))
                elif place not in served or tablet.get("since_ms", 0) > served[place]:
                    served[place] = tablet.get("since_ms", 0)
                    self._endpoints[place] = dict(tablet)
        self._publish_if_new()

    def _publish_if_new(self) -> None:
        built = self._build()
        if built is None:
            return
        if self.snapshot is not None and {**self.snapshot, "version": 0} == {**built, "version": 0}:
            return
        self.version += 1
        built["version"] = self.version
        self.snapshot = built
        self._publish()

    def _build(self) -> dict[str, Any] | None:
        # without the users' records, a user that was removed live could still get in
        needed = (layout.KEYSPACES, layout.SHARDS, layout.TABLETS, layout.VSCHEMA, layout.USERS)
        if any(prefix not in self._content for prefix in needed):
            return None
        held = {prefix for prefix in _LASTING if self._content[prefix]}
        if not self._held <= held:
            if not self._wiped:
                log.error("etcd has lost its data: what was known stays in force until it is seeded again")
            self._wiped = True
            return None
        self._held = held
        self._wiped = False
        keyspaces: dict[str, Any] = {}
        for name in self._content[layout.KEYSPACES]:
            shards: dict[str, str] = {}
            for key in self._content[layout.SHARDS]:
                keyspace, _, shard = key.partition("/")
                if keyspace == name:
                    tablet = self._endpoints.get((name, shard))
                    if tablet is None and not self.partial:
                        return None
                    shards[shard] = tablet["endpoint"] if tablet is not None else ""
            vschema = self._content[layout.VSCHEMA].get(name, {"sharded": len(shards) > 1})
            if not shards:
                continue
            keyspaces[name] = {"shards": shards, "vschema": dict(vschema)}
        versions = [t.get("server_version", "") for t in self._endpoints.values()]
        return {
            "version": 0,
            "keyspaces": keyspaces,
            "limits": self._limits(),
            "http_key": self._content.get(layout.SECRETS, {}).get("http", {}).get("key", ""),
            "users": {name: dict(value) for name, value in self._content[layout.USERS].items()},
            "server_version": next((v for v in versions if v), "8.0.0"),
        }

    def _limits(self) -> list[list[Any]]:
        """The limits' rows; the last ones stay where a record cannot be read."""
        try:
            values = with_users(
                self._content.get(layout.LIMITS, {}), self._users, self._content.get(layout.USERS, {})
            )
            limits = {scope: Limit.from_json(value) for scope, value in values.items()}
            shares = self._content.get(layout.SHARES, {}).get(self._router, {}).get("shares", {})
            routers = self._content.get(layout.ROUTERS, {})
            self._limit_rows = to_snapshot(limits, shares, routers, self._router, self._slots)
        except LimitError as error:
            log.error("limits are not usable, the last ones stay: %s", error)
        return self._limit_rows
