"""What a router would say at /debug/cluster, made up: for tests of the dashboard."""

from typing import Any

from core.stats import Histogram

CLOCK_S = 1_700_000_000.0


def latency(milliseconds: float, count: int) -> dict[str, Any]:
    histogram = Histogram()
    for _ in range(count):
        histogram.add(milliseconds / 1000)
    return histogram.snapshot()


def worker(name: str = "r1.0", at_s: float = 10.0, rate: int = 100, **more: Any) -> dict[str, Any]:
    """One that answered `rate` queries a second, of 1 ms each, since `at_s` seconds."""
    queries = int(rate * at_s)
    return {
        "name": name, "state": "SERVING", "pid": 100, "uptime_s": at_s, "clients": 20, "active": 3,
        "half_open": 1, "transactions": 2, "queries": queries, "errors": 0, "mysql_errors": 0,
        "latency": latency(1.0, queries), "last_errors": [], "refused": {}, "would_refuse": {}, "view": 7,
        "links": {"commerce/-80": {"ready": True, "reason": "", "in_flight": 3, "waiting": 0}},
    } | more  # fmt: skip


def tablet(
    keyspace: str = "commerce", shard: str = "-80", at_s: float = 10.0, rate: int = 50, **more: Any
) -> dict[str, Any]:
    queries = int(rate * at_s)
    return {
        "alias": f"tablet-{keyspace}-{shard}", "keyspace": keyspace, "shard": shard, "state": "SERVING",
        "pid": 200, "uptime_s": at_s, "pool_size": 16, "open": 9, "in_use": 4, "waiting": 0, "held": 2,
        "transactions": 2, "reserved": 1, "mysql_threads_connected": 9, "queries": queries, "errors": 0,
        "consolidated": int(10 * at_s), "settings_hits": int(9 * at_s), "settings_clean": 0,
        "settings_changes": int(at_s), "query_time": latency(0.5, queries), "last_errors": [],
    } | more  # fmt: skip


def limit(scope: str = "user:app", used: int = 3, of: int = 10, **more: Any) -> dict[str, Any]:
    return {
        "scope": scope, "key": "concurrency", "limit": of, "share": of, "used": used, "waiting": 0,
        "dry_run": False,
    } | more  # fmt: skip


def cluster(
    workers: list[dict[str, Any]] | None = None,
    tablets: list[dict[str, Any]] | None = None,
    limits: list[dict[str, Any]] | None = None,
    **router: Any,
) -> dict[str, Any]:
    return {
        "cluster": "demo",
        "router": {
            "id": "r1", "pid": 99, "mysql": "127.0.0.1:15306", "http": "127.0.0.1:15380", "state": "SERVING",
            "uptime_s": 3725.0, "topology_version": 7, "etcd": True, "max_connections": 10000, "clients": 40,
        } | router,
        "workers": workers if workers is not None else [worker(), worker("r1.1")],
        "tablets": tablets if tablets is not None else [tablet(), tablet(shard="80-"), tablet("main", "-")],
        "limits": limits if limits is not None else [limit()],
    }  # fmt: skip
