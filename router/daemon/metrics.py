"""`/metrics` in Prometheus's text format, from the same figures that the dashboard shows. Pure."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

_WORKER_COUNTERS: Final = {
    "queries": "Statements answered.",
    "errors": "Errors that the router itself answered with.",
    "mysql_errors": "Errors of MySQL that were passed on.",
    "plan_misses": "Statements that had to be planned.",
    "connections_total": "Connections accepted.",
    "logins_refused": "Logins that failed or were refused.",
}
_WORKER_GAUGES: Final = {
    "clients": "Clients logged in.",
    "half_open": "Logins in flight.",
    "active": "Clients whose statement runs or waits.",
    "transactions": "Clients in a transaction.",
    "http_sessions": "Sessions over HTTP that are kept between requests, since they hold something.",
}
_TABLET_COUNTERS: Final = {
    "queries": "Statements executed.",
    "errors": "Statements refused or lost by the tablet.",
    "consolidated": "Reads answered from another's execution.",
    "settings_hits": "Statements that found a connection with their settings.",
    "settings_changes": "Statements that had to change a connection's settings.",
    "killed": "Statements killed.",
    "timeouts": "Statements that ran into the time limit.",
}
_TABLET_GAUGES: Final = {
    "pool_size": "Cap of connections to this MySQL.",
    "open": "Connections open, closing ones included.",
    "in_use": "Connections that execute or are held.",
    "waiting": "Statements waiting for a connection.",
    "reserved": "Connections reserved for a session.",
    "transactions": "Connections held by transactions.",
    "mysql_threads_connected": "MySQL's own Threads_connected.",
}


def prometheus(cluster: Mapping[str, Any]) -> str:
    """The text page of what `/debug/cluster` has as JSON."""
    lines: list[str] = []
    workers = [(_labels(worker=w["name"]), w) for w in cluster["workers"]]
    tablets = [
        (_labels(keyspace=t["keyspace"], shard=t["shard"], tablet=t.get("alias", "")), t)
        for t in cluster["tablets"]
    ]
    router = cluster["router"]
    _family(
        lines,
        "sluice_router_max_connections",
        "gauge",
        "Clients that may be connected.",
        [("", router)],
        "max_connections",
    )
    _family(
        lines,
        "sluice_router_clients",
        "gauge",
        "Clients connected, over all workers.",
        [("", router)],
        "clients",
    )
    _family(
        lines,
        "sluice_router_http_requests_total",
        "counter",
        "Requests of the SQL API over HTTP.",
        [("", router)],
        "http_requests",
    )
    _family(
        lines,
        "sluice_router_etcd_up",
        "gauge",
        "1 while etcd answers.",
        [("", {"etcd": int(router["etcd"])})],
        "etcd",
    )
    for name, text in _WORKER_COUNTERS.items():
        _family(lines, f"sluice_worker_{name.removesuffix('_total')}_total", "counter", text, workers, name)
    for name, text in _WORKER_GAUGES.items():
        _family(lines, f"sluice_worker_{name}", "gauge", text, workers, name)
    _histograms(
        lines, "sluice_worker_query_seconds", "Time of a statement as the router sees it.", workers, "latency"
    )
    up = [(labels, {"up": int(t.get("state") == "SERVING")}) for labels, t in tablets]
    _family(lines, "sluice_tablet_serving", "gauge", "1 while the tablet serves.", up, "up")
    for name, text in _TABLET_COUNTERS.items():
        _family(lines, f"sluice_tablet_{name}_total", "counter", text, tablets, name)
    for name, text in _TABLET_GAUGES.items():
        _family(lines, f"sluice_tablet_{name}", "gauge", text, tablets, name)
    _histograms(lines, "sluice_tablet_query_seconds", "Time of a statement on MySQL.", tablets, "query_time")
    _histograms(
        lines, "sluice_tablet_wait_seconds", "Time in the queue for a connection.", tablets, "queue_wait"
    )
    limits = [(_labels(scope=limit["scope"], key=limit["key"]), limit) for limit in cluster["limits"]]
    _family(lines, "sluice_limit", "gauge", "An admission limit.", limits, "limit")
    _family(lines, "sluice_limit_used", "gauge", "What of the limit is used.", limits, "used")
    return "\n".join(lines) + "\n"


def _labels(**values: str) -> str:
    inner = ",".join(f'{k}="{_escape(str(v))}"' for k, v in values.items())
    return "{" + inner + "}"


def _escape(text: str) -> str:
    return text.replace("\\", "\\\\").replace('"', '\\"').replace("\n", "\\n")


def _family(
    lines: list[str],
    name: str,
    kind: str,
    text: str,
    rows: Iterable[tuple[str, Mapping[str, Any]]],
    key: str,
) -> None:
    found = [(labels, row[key]) for labels, row in rows if isinstance(row.get(key), (int, float))]
    if found:
        lines += [f"# HELP {name} {text}", f"# TYPE {name} {kind}"]
        lines += [f"{name}{labels} {value}" for labels, value in found]


def _histograms(
    lines: list[str], name: str, text: str, rows: Iterable[tuple[str, Mapping[str, Any]]], key: str
) -> None:
    """As Prometheus summaries: quantiles, sum and count."""
    found = [(labels, row[key]) for labels, row in rows if isinstance(row.get(key), Mapping)]
    if not found:
        return
    lines += [f"# HELP {name} {text}", f"# TYPE {name} summary"]
    for labels, histogram in found:
        for quantile, field in (("0.5", "p50_s"), ("0.95", "p95_s"), ("0.99", "p99_s")):
            lines.append(f'{name}{labels[:-1]},quantile="{quantile}"}} {histogram[field]}')
        lines.append(f"{name}_sum{labels} {histogram['total_s']}")
        lines.append(f"{name}_count{labels} {histogram['count']}")
