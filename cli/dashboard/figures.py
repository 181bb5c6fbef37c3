"""What the router says at /debug/cluster, as values. Reading is lenient: a figure that is missing is 0, so that a
dashboard shows a router that is a version older or newer, and a worker that has not reported yet.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from core.rpc import messages

LABELS: Final = {
    messages.SERVING: "up",
    messages.STARTING: "starting",
    messages.DRAINING: "draining",
    messages.NOT_SERVING: "down",
    messages.DEAD: "dead",
}


@dataclass(frozen=True, slots=True)
class ErrorLine:
    """An error that somebody was answered with."""

    when_s: float
    """Time of day, as time.time() has it."""
    where: str
    number: int
    text: str


@dataclass(frozen=True, slots=True)
class Counters:
    """What of a process only grows; rates are differences of two of them."""

    pid: int
    uptime_s: float
    queries: int
    errors: int
    consolidated: int
    settings_hits: int
    settings_missed: int
    latency: tuple[int, ...]
    """Counts of core.stats.Histogram."""


@dataclass(frozen=True, slots=True)
class Worker:
    name: str
    state: str
    clients: int
    active: int
    waiting: int
    """Statements that wait for a tablet."""
    half_open: int
    transactions: int
    counters: Counters


@dataclass(frozen=True, slots=True)
class Tablet:
    alias: str
    shard: str
    """`commerce/-80`"""
    state: str
    pool_size: int
    in_use: int
    waiting: int
    transactions: int
    reserved: int
    threads_connected: int
    """MySQL's own count of all who are connected to it."""
    counters: Counters


@dataclass(frozen=True, slots=True)
class LimitUse:
    scope: str
    key: str
    used: int
    limit: int
    waiting: int
    dry_run: bool
    refused: int
    """Since the workers started; with `dry_run`: what would have been refused."""


@dataclass(frozen=True, slots=True)
class Sample:
    """One answer of the router."""

    cluster: str
    mysql: str
    http: str
    state: str
    uptime_s: float
    topology_version: int
    etcd: bool
    max_connections: int
    clients: int
    workers: tuple[Worker, ...]
    tablets: tuple[Tablet, ...]
    limits: tuple[LimitUse, ...]
    errors: tuple[ErrorLine, ...]
    """The last ones of all processes, newest first."""


def parse(raw: Mapping[str, Any]) -> Sample:
    """Raises ValueError where `raw` is not what a router says at all."""
    router = raw.get("router")
    if not isinstance(router, Mapping):
        raise ValueError("this is not a Sluice router's /debug/cluster")
    workers = _tables(raw, "workers")
    tablets = _tables(raw, "tablets")
    errors = [error for w in workers for error in _worker_errors(w)]
    errors += [error for t in tablets for error in _tablet_errors(t)]
    return Sample(
        cluster=str(raw.get("cluster", "")),
        mysql=str(router.get("mysql", "")),
        http=str(router.get("http", "")),
        state=str(router.get("state", "")),
        uptime_s=_number(router, "uptime_s"),
        topology_version=_int(router, "topology_version"),
        etcd=bool(router.get("etcd")),
        max_connections=_int(router, "max_connections"),
        clients=_int(router, "clients"),
        workers=tuple(_worker(w) for w in workers),
        tablets=tuple(sorted((_tablet(t) for t in tablets), key=lambda t: (t.shard, t.alias))),
        limits=tuple(_limit(item, workers) for item in _tables(raw, "limits")),
        errors=tuple(sorted(errors, key=lambda error: -error.when_s)),
    )


def _worker(raw: Mapping[str, Any]) -> Worker:
    links = raw.get("links")
    return Worker(
        name=str(raw.get("name", "")),
        state=str(raw.get("state", "")),
        clients=_int(raw, "clients"),
        active=_int(raw, "active"),
        waiting=sum(_int(link, "waiting") for link in links.values()) if isinstance(links, Mapping) else 0,
        half_open=_int(raw, "half_open"),
        transactions=_int(raw, "transactions"),
        counters=_counters(raw, _int(raw, "errors") + _int(raw, "mysql_errors"), "latency"),
    )


def _tablet(raw: Mapping[str, Any]) -> Tablet:
    return Tablet(
        alias=str(raw.get("alias", "")),
        shard=f"{raw.get('keyspace', '')}/{raw.get('shard', '')}",
        state=str(raw.get("state", "")),
        pool_size=_int(raw, "pool_size"),
        in_use=_int(raw, "in_use"),
        waiting=_int(raw, "waiting"),
        transactions=_int(raw, "transactions"),
        reserved=_int(raw, "reserved"),
        threads_connected=_int(raw, "mysql_threads_connected"),
        counters=_counters(raw, _int(raw, "errors"), "query_time"),
    )


def _counters(raw: Mapping[str, Any], errors: int, histogram: str) -> Counters:
    found = raw.get(histogram)
    counts = found.get("counts", ()) if isinstance(found, Mapping) else ()
    return Counters(
        pid=_int(raw, "pid"),
        uptime_s=_number(raw, "uptime_s"),
        queries=_int(raw, "queries"),
        errors=errors,
        consolidated=_int(raw, "consolidated"),
        settings_hits=_int(raw, "settings_hits"),
        # A clean connection has to be given the settings, one of others' has to be changed: a round trip each.
        settings_missed=_int(raw, "settings_clean") + _int(raw, "settings_changes"),
        latency=tuple(counts),
    )


def _limit(raw: Mapping[str, Any], workers: list[Mapping[str, Any]]) -> LimitUse:
    scope, key = str(raw.get("scope", "")), str(raw.get("key", ""))
    dry_run = bool(raw.get("dry_run"))
    counts = [w.get("would_refuse" if dry_run else "refused") for w in workers]
    return LimitUse(
        scope=scope,
        key=key,
        used=_int(raw, "used"),
        limit=_int(raw, "limit"),
        waiting=_int(raw, "waiting"),
        dry_run=dry_run,
        refused=sum(_int(c, f"{scope} {key}") for c in counts if isinstance(c, Mapping)),
    )


def _worker_errors(raw: Mapping[str, Any]) -> list[ErrorLine]:
    where = str(raw.get("name", ""))
    return [
        ErrorLine(float(item[0]), where, int(item[1]), str(item[2])) for item in raw.get("last_errors") or ()
    ]


def _tablet_errors(raw: Mapping[str, Any]) -> list[ErrorLine]:
    where = f"{raw.get('keyspace', '')}/{raw.get('shard', '')}"
    return [
        ErrorLine(_number(item, "when"), where, _int(item, "number"), str(item.get("text", "")))
        for item in _tables(raw, "last_errors")
    ]


def _tables(raw: Mapping[str, Any], key: str) -> list[Mapping[str, Any]]:
    return [item for item in raw.get(key) or () if isinstance(item, Mapping)]


def _int(raw: Mapping[str, Any], key: str) -> int:
    return int(_number(raw, key))


def _number(raw: Mapping[str, Any], key: str) -> float:
    value = raw.get(key)
    return value if isinstance(value, int | float) else 0
