"""Snapshots are whole or they are not made, and what is known stays known."""

from typing import Any

import pytest

from controlplane.topo import layout
from core.limits import SharedCounters
from router.daemon.snapshot import Topology

KEYSPACES = {"keyspaces/ks": {}}
SHARDS = {"shards/ks/-80": {}, "shards/ks/80-": {}}
VSCHEMA = {"vschema/ks": {"sharded": True}}


def tablets(*shards: str, port: int = 1) -> dict[str, Any]:
    return {
        f"tablets/a{shard}": {
            "keyspace": "ks",
            "shard": shard,
            "endpoint": f"tcp://h:{port}",
            "type": "PRIMARY",
        }
        for shard in shards
    }


class Watched:
    def __init__(self) -> None:
        self.published = 0
        self.topology = Topology("r1", SharedCounters(rows=16, workers=2), self._publish)

    def _publish(self) -> None:
        self.published += 1

    def all(self, **changes: Any) -> "Watched":
        content = {
            layout.KEYSPACES: KEYSPACES,
            layout.SHARDS: SHARDS,
            layout.VSCHEMA: VSCHEMA,
            layout.TABLETS: tablets("-80", "80-"),
            layout.USERS: {},
            **changes,
        }
        for prefix, found in content.items():
            self.topology.on_change(prefix, found)
        return self

    @property
    def keyspaces(self) -> dict[str, Any]:
        assert self.topology.snapshot is not None
        found: dict[str, Any] = self.topology.snapshot["keyspaces"]
        return found


def test_nothing_is_published_before_every_prefix_is_known() -> None:
    watched = Watched()
    for prefix, content in (
        (layout.KEYSPACES, KEYSPACES),
        (layout.SHARDS, SHARDS),
        (layout.VSCHEMA, VSCHEMA),
        (layout.USERS, {}),
    ):
        watched.topology.on_change(prefix, content)
        assert watched.published == 0
    watched.topology.on_change(layout.TABLETS, tablets("-80"))
    assert watched.published == 0, "a shard without a tablet"
    watched.topology.on_change(layout.TABLETS, tablets("-80", "80-"))
    assert watched.published == watched.topology.version == 1
    assert watched.keyspaces["ks"]["shards"] == {"-80": "tcp://h:1", "80-": "tcp://h:1"}


def test_a_tablet_that_is_away_keeps_its_endpoint() -> None:
    watched = Watched().all()
    watched.topology.on_change(layout.TABLETS, tablets("-80"))
    assert watched.published == 1
    watched.topology.on_change(layout.TABLETS, tablets("-80", "80-", port=2))
    assert watched.published == 2
    assert watched.keyspaces["ks"]["shards"]["80-"] == "tcp://h:2"


def test_a_known_tablet_is_left_only_for_one_that_serves() -> None:
    def other(**changes: Any) -> dict[str, Any]:
        return {**tablets("-80", port=2)["tablets/a-80"], **changes}

    watched = Watched().all()
    first = tablets("-80", "80-")
    on_change = watched.topology.on_change
    for found in (
        {**first, "tablets/b": other(state="STARTING")},  # the second waits until the first ends
        {"tablets/b": other(state="STARTING")},  # also where the first has lost its lease
        {
            "tablets/b": other(state="SERVING", since_ms=5),
            "tablets/c": {**first["tablets/a-80"], "since_ms": 6},
        },
        {
            "tablets/c": {**first["tablets/a-80"], "since_ms": 6},
            "tablets/b": other(state="SERVING", since_ms=5),
        },
    ):
        on_change(layout.TABLETS, found)
        assert watched.keyspaces["ks"]["shards"]["-80"] == "tcp://h:1"
    on_change(layout.TABLETS, {**first, "tablets/b": other(state="SERVING", since_ms=5)})
    assert watched.keyspaces["ks"]["shards"]["-80"] == "tcp://h:2", "the later one: the first is dead"


def test_an_etcd_that_has_lost_its_data_takes_nothing_away(caplog: pytest.LogCaptureFixture) -> None:
    watched = Watched().all()
    before = watched.topology.snapshot
    for prefix in (layout.SHARDS, layout.VSCHEMA, layout.TABLETS, layout.KEYSPACES, layout.USERS):
        watched.topology.on_change(prefix, {})
    assert watched.topology.snapshot is before
    assert caplog.text.count("etcd has lost its data") == 1
    for prefix, content in (
        (layout.SHARDS, SHARDS),
        (layout.VSCHEMA, VSCHEMA),
        (layout.KEYSPACES, KEYSPACES),
    ):
        watched.topology.on_change(prefix, content)
    assert watched.keyspaces["ks"]["shards"] == {"-80": "tcp://h:1", "80-": "tcp://h:1"}


def test_what_changes_nothing_is_not_published() -> None:
    watched = Watched().all()
    watched.all()
    watched.topology.on_change(layout.ROUTERS, {"routers/r1": {}})
    assert watched.published == 1


def test_a_limit_that_cannot_be_read_leaves_the_last_ones() -> None:
    watched = Watched().all()
    watched.topology.on_change(layout.LIMITS, {"limits/cluster": {"concurrency": 5}})
    assert watched.topology.snapshot is not None
    rows = watched.topology.snapshot["limits"]
    assert rows[0][:4] == ["cluster", "concurrency", 5, 5]
    watched.topology.on_change(layout.LIMITS, {"limits/cluster": {"concurrency": "many"}})
    assert watched.topology.snapshot["limits"] == rows


def test_a_keyspace_without_shards_is_left_out() -> None:
    watched = Watched().all(**{layout.KEYSPACES: {**KEYSPACES, "keyspaces/empty": {}}})
    assert set(watched.keyspaces) == {"ks"}


def test_after_its_time_a_missing_tablet_holds_up_nobody_else() -> None:
    watched = Watched().all(**{layout.TABLETS: tablets("-80")})
    assert watched.published == 0
    watched.topology.allow_partial()
    assert watched.published == 1
    assert watched.keyspaces["ks"]["shards"] == {"-80": "tcp://h:1", "80-": ""}
    watched.topology.on_change(layout.TABLETS, tablets("-80", "80-"))
    assert watched.keyspaces["ks"]["shards"]["80-"] == "tcp://h:1"


def test_users_travel_and_their_connections_are_limits() -> None:
    live = {"users/live": {"name": "live", "max_connections": 3}}
    watched = Watched().all(**{layout.USERS: live, layout.LIMITS: {"limits/user:live": {"connections": 9}}})
    snapshot = watched.topology.snapshot
    assert snapshot is not None
    assert snapshot["users"] == {"live": {"name": "live", "max_connections": 3}}
    assert [row[:4] for row in snapshot["limits"]] == [["user:live", "connections", 3, 3]]
