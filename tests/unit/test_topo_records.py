"""Records to and from JSON, key layout, and that importing the topology starts nothing."""

import subprocess
import sys

import pytest

from controlplane.topo import layout
from controlplane.topo.errors import TopoError
from controlplane.topo.records import HealthRecord, KeyspaceRecord, RouterRecord, ShardRecord, TabletRecord
from controlplane.topo.values import decode, encode, increment


def test_round_trip() -> None:
    for record in (
        KeyspaceRecord("commerce", True),
        ShardRecord("commerce", "-80", "a-1"),
        TabletRecord("a-1", "commerce", "-80", "ipc:///a", pid=7),
        RouterRecord("r", demand={"user:app": {"concurrency": 12}}),
        HealthRecord("c", {"commerce/-80": "SERVING"}, {}, ("one", "two")),
    ):
        assert type(record).from_json("key", decode("key", encode("key", record.to_json()))) == record


def test_fields_of_newer_versions_are_skipped() -> None:
    assert ShardRecord.from_json("k", {"keyspace": "a", "shard": "-", "colour": 1}) == ShardRecord("a", "-")


@pytest.mark.parametrize(
    ("value", "message"),
    [
        ({"keyspace": "a"}, r"shards/a/-: the record has no 'shard'"),
        ({"keyspace": "a", "shard": 5}, r"shards/a/-: 'shard' is 5, not of type str"),
    ],
)
def test_broken_record(value: dict[str, object], message: str) -> None:
    with pytest.raises(TopoError, match=message):
        ShardRecord.from_json("shards/a/-", value)


def test_a_bool_is_no_number() -> None:
    with pytest.raises(TopoError, match="pid"):
        RouterRecord.from_json("routers/r", {"id": "r", "pid": True})


def test_demand() -> None:
    router = RouterRecord("r", demand={"user:app": {"concurrency": 12, "connections": -1}, "cluster": 3})
    assert router.demand_of("user:app", "concurrency") == 12
    assert router.demand_of("user:app", "connections") == 0
    assert router.demand_of("cluster", "concurrency") == 0


def test_keys() -> None:
    assert layout.base("demo") == "/sluice/demo/"
    assert layout.shard("commerce", "-80") == "shards/commerce/-80"
    assert layout.limit("shard:commerce/-80") == "limits/shard:commerce/-80"
    assert layout.last("routers/r1") == "r1"
    for bad in ("", "a/b", "a b", "a\n"):
        with pytest.raises(TopoError):
            layout.keyspace(bad)


def test_values_that_are_no_objects(caplog: pytest.LogCaptureFixture) -> None:
    assert decode("k", b"[1]") == decode("k", b"\xff") == {}
    assert "not a JSON object" in caplog.text
    with pytest.raises(TopoError, match="not JSON"):
        encode("k", {"a": object()})
    with pytest.raises(TopoError, match="not JSON"):
        encode("k", {"a": float("nan")})


def test_range_end() -> None:
    assert increment(b"a/") == b"a0"
    assert increment(b"a\xff") == b"b"
    assert increment(b"") == b"\0"


def test_importing_loads_no_grpc_and_starts_no_thread() -> None:
    code = (
        "import sys, threading\n"
        "import controlplane.topo.store, controlplane.topo.seed, controlplane.topo.elect\n"
        "assert threading.active_count() == 1\n"
        "assert not {'grpc', 'etcd3', 'google.protobuf'} & set(sys.modules)\n"
    )
    subprocess.run([sys.executable, "-c", code], check=True, timeout=60)
