"""How large a cluster must be for so many clients and queries. Pure: numbers in, numbers out.

The pool follows from Little's law: queries/s times their time on MySQL are the connections that are busy on average,
and twice the square root of that (at least 2) on top keep the chance of a wait small while load comes at random. One
more is the tablet's own. Clients do not come into it: idle ones cost a MySQL nothing.
"""

import math
from dataclasses import asdict, dataclass
from typing import Any, Final

from cli import figures
from cli.local.binaries import Flavour
from cli.local.memory import max_connections as mysql_max_connections
from cli.local.memory import memory_need

LEAST_POOL: Final = 4
DEFAULT_QUEUE: Final = 1000


@dataclass(frozen=True, slots=True)
class Demand:
    """What is asked for, and the machine that routers run on."""

    clients: int
    queries_per_s: float
    query_s: float
    """Time of a query on MySQL, as the tablet sees it."""
    memory_bytes: int
    shards: int = 1
    cores: int = 1
    descriptors: int = 1 << 20
    """Hard limit of one process."""
    flavour: Flavour = "mysql"
    park_after_s: float = 2.0
    mysql_here: bool = True
    """The MySQLs and tablets run on the same machine."""


@dataclass(frozen=True, slots=True)
class Kernel:
    """What the kernel must allow on the router's machine."""

    descriptors: int
    """`ulimit -Hn`, LimitNOFILE."""
    file_max: int
    somaxconn: int
    tcp_mem_pages: int
    conntrack: int


@dataclass(frozen=True, slots=True)
class Sizing:
    workers: int
    workers_for_queries: int
    workers_for_descriptors: int
    pool_size: int
    busy_connections: float
    """On one MySQL, on average."""
    queue_size: int
    mysql_max_connections: int
    mysql_memory_bytes: int
    """The least that `up` accepts for this pool, of each MySQL."""
    memory_bytes: dict[str, int]
    """By part, on the router's machine."""
    needed_bytes: int
    largest_clients: int
    """How many the memory given would hold, all else the same; 0: not even the rest fits."""
    cores: float
    """That all of it is expected to use of the router's machine, MySQL itself left out."""
    kernel: Kernel
    problems: tuple[str, ...]

    @property
    def fits(self) -> bool:
        return not self.problems

    def to_json(self) -> dict[str, Any]:
        return {**asdict(self), "fits": self.fits}


def kernel_for(clients: int, workers: int, page_bytes: int = 4096) -> Kernel:
    """What `workers` that hold `clients` need."""
    each = math.ceil(clients * figures.UNEVEN / workers) + figures.WORKER_DESCRIPTORS
    wanted = clients * 11 // 10 + figures.WORKER_DESCRIPTORS * workers
    return Kernel(
        descriptors=each,
        file_max=wanted,
        somaxconn=figures.BACKLOG,
        tcp_mem_pages=clients * figures.TCP_BYTES // page_bytes,
        conntrack=wanted,
    )


def size(demand: Demand) -> Sizing:
    """ValueError for what cannot be asked for."""
    if min(demand.clients, demand.shards, demand.cores, demand.memory_bytes) < 1:
        raise ValueError("clients, shards, cores and memory are 1 or more")
    # The negation also refuses NaN, which is neither below nor above anything.
    if not (0 <= demand.queries_per_s < math.inf and 0 < demand.query_s < math.inf):
        raise ValueError("queries/s are a number, 0 or more; the time of a query is a number above 0")
    room = demand.descriptors - figures.WORKER_DESCRIPTORS
    if room < 1:
        raise ValueError(
            f"a process may have {demand.descriptors} descriptors, a worker needs"
            f" {figures.WORKER_DESCRIPTORS} beside its clients: ulimit -Hn 1048576"
        )
    for_queries = math.ceil(demand.queries_per_s * figures.ROUTER_QUERY_S / figures.CORE_USE) or 1
    for_descriptors = -(-(demand.clients * 11 // 10) // room) or 1
    workers = max(demand.cores, for_queries, for_descriptors)
    pool, busy = pool_for(demand.queries_per_s / demand.shards, demand.query_s)
    need = memory_need(pool, demand.flavour, 1)
    parts = _memory(demand, workers, need.smallest_memory_bytes)
    needed = sum(parts.values())
    usable = int(demand.memory_bytes * figures.MEMORY_USE)
    per_client = figures.KERNEL_BYTES + figures.PARKED_BYTES
    rest = needed - demand.clients * per_client
    each_shard_s = demand.queries_per_s / demand.shards * figures.TABLET_QUERY_S
    cores = demand.queries_per_s * figures.ROUTER_QUERY_S
    cores += each_shard_s * demand.shards if demand.mysql_here else 0.0
    largest = max(0, (usable - rest) // per_client)
    return Sizing(
        workers=workers,
        workers_for_queries=for_queries,
        workers_for_descriptors=for_descriptors,
        pool_size=pool,
        busy_connections=busy,
        queue_size=max(DEFAULT_QUEUE, math.ceil(demand.queries_per_s / demand.shards)),
        mysql_max_connections=mysql_max_connections(pool),
        mysql_memory_bytes=need.smallest_memory_bytes,
        memory_bytes=parts,
        needed_bytes=needed,
        largest_clients=largest,
        cores=cores,
        kernel=kernel_for(demand.clients, workers),
        problems=tuple(_problems(demand, needed, usable, largest, cores, each_shard_s)),
    )


def pool_for(queries_per_s: float, query_s: float) -> tuple[int, float]:
    """pool_size of one MySQL, and how many of its connections are busy on average.

    >>> pool_for(500, 0.001)
    (4, 0.5)
    """
    busy = queries_per_s * query_s
    return max(LEAST_POOL, math.ceil(busy + max(2.0, 2 * math.sqrt(busy))) + 1), busy


def _memory(demand: Demand, workers: int, mysql_bytes: int) -> dict[str, int]:
    awake = min(demand.clients, math.ceil(demand.queries_per_s * demand.park_after_s))
    parts = {
        "router workers": workers * figures.WORKER_BYTES + figures.ROUTER_BYTES,
        "clients, parked": demand.clients * figures.PARKED_BYTES,
        "clients, awake": awake * (figures.AWAKE_BYTES - figures.PARKED_BYTES),
        "kernel, sockets": demand.clients * figures.KERNEL_BYTES,
    }
    if demand.mysql_here:
        parts["tablets"] = demand.shards * figures.TABLET_BYTES
        parts["MySQLs"] = demand.shards * mysql_bytes
        parts["control plane, etcd"] = figures.CONTROL_BYTES
    return parts


def _problems(
    demand: Demand, needed: int, usable: int, largest: int, cores: float, each_shard_s: float
) -> list[str]:
    found = []
    if needed > usable:
        hold = f"it holds {largest:,} clients" if largest else "not even without clients does it fit"
        found.append(
            f"{needed / 2**30:.1f} GiB are needed, {usable / 2**30:.1f} GiB of {demand.memory_bytes / 2**30:.1f} GiB"
            f" may be planned with: {hold}; add memory or a second router"
        )
    if each_shard_s > figures.CORE_USE:
        shards = math.ceil(demand.queries_per_s * figures.TABLET_QUERY_S / figures.CORE_USE)
        found.append(
            f"one tablet would use {each_shard_s:.1f} cores, and has one: {shards} shards are needed for"
            f" {demand.queries_per_s:,.0f} queries/s"
        )
    if cores > demand.cores * figures.CORE_USE:
        found.append(
            f"routers{' and tablets' if demand.mysql_here else ''} would use {cores:.1f} cores, of {demand.cores}"
            f" at most {demand.cores * figures.CORE_USE:.1f} may be planned with: add cores or machines"
        )
    return found
