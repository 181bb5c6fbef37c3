"""`clusterctl plan`: the settings and the machine for so many clients and queries. Starts and asks nothing."""

import argparse
import json
import os
import resource

from rich.console import Console
from rich.markup import escape
from rich.table import Table

from cli.cluster.room import Kernel, read_kernel
from cli.errors import DONE, FAILED, UsageError
from cli.sizing import Demand, Sizing, size
from core.config import ConfigError, parse_size

_FLAVOURS = ("mysql", "mariadb")


def run(args: argparse.Namespace) -> int:
    """Status 1 where it does not fit, after what was computed is shown. Raises UsageError."""
    try:
        demand = Demand(
            clients=args.clients,
            queries_per_s=args.qps,
            query_s=args.query_ms / 1000,
            memory_bytes=_memory(args.memory),
            shards=args.shards,
            cores=args.cores or os.cpu_count() or 1,
            descriptors=args.descriptors or resource.getrlimit(resource.RLIMIT_NOFILE)[1],
            flavour=args.flavour,
            mysql_here=not args.mysql_elsewhere,
        )
        found = size(demand)
    except (ConfigError, ValueError) as error:
        raise UsageError(str(error)) from None
    if args.json:
        print(json.dumps(found.to_json(), indent=1))
    else:
        show(Console(), demand, found)
    return DONE if found.fits else FAILED


def _memory(text: str | None) -> int:
    if text is None:
        return os.sysconf("SC_PHYS_PAGES") * os.sysconf("SC_PAGE_SIZE")
    return parse_size(text, "--memory")


def show(console: Console, demand: Demand, found: Sizing) -> None:
    """For people: what to write, what it takes, what the kernel must allow, what stands against it."""
    settings = _table("cluster.toml", "key", "value", "why")
    settings.add_row(escape("[router] max_connections"), str(demand.clients), "clients over all workers")
    settings.add_row(
        escape("[router] workers"),
        "0",
        f"0 makes {found.workers}: {found.workers_for_queries} for the queries,"
        f" {found.workers_for_descriptors} for {demand.descriptors:,} descriptors each, {demand.cores} cores",
    )
    settings.add_row(
        escape("[tablet] pool_size"),
        str(found.pool_size),
        f"{found.busy_connections:.1f} busy on average on each MySQL",
    )
    settings.add_row(escape("[tablet] queue_size"), str(found.queue_size), "a second of queries may wait")
    settings.add_row(
        escape("[mysql] memory"),
        f"{-(-found.mysql_memory_bytes // 2**20)}MiB",
        f"the least that bears the pool; its max_connections is {found.mysql_max_connections}",
    )
    memory = _table("Memory on the router's machine", "part", "MiB")
    for part, size_bytes in found.memory_bytes.items():
        memory.add_row(part, f"{size_bytes / 2**20:,.0f}")
    memory.add_row("together", f"{found.needed_bytes / 2**20:,.0f}", style="bold")
    memory.add_row("of", f"{demand.memory_bytes / 2**20:,.0f}")
    for table in (settings, memory):
        console.print(table)
    raised = commands(found, demand.clients, read_kernel())
    what = (
        "to be raised here, if this is the router's machine"
        if raised
        else "what this machine allows is enough"
    )
    console.print(f"Kernel: {what}", style="bold")
    for why, command in raised:
        console.print(f"  {command}", soft_wrap=True, markup=False, highlight=False)
        console.print(f"      {why}", style="dim", markup=False, highlight=False)
    for problem in found.problems:
        console.print(f"does not fit: {problem}", style="bold", highlight=False)
    if found.fits:
        console.print(
            f"It fits; with this memory up to {found.largest_clients:,} clients would, on {found.cores:.2f} cores"
            " for routers and tablets.",
            highlight=False,
        )


def commands(found: Sizing, clients: int, now: Kernel) -> list[tuple[str, str]]:
    """What the kernel must allow beyond what it allows `now`, each with the command that raises it."""
    need = found.kernel
    pages = need.tcp_mem_pages
    wanted = [
        (
            now.descriptors < need.descriptors,
            f"{need.descriptors:,} descriptors a process; {now.descriptors:,} now",
            f"ulimit -Hn {max(need.descriptors, 20_000)}",
        ),
        (
            now.file_max < need.file_max,
            f"{need.file_max:,} open files; {now.file_max:,} now",
            f"sysctl -w fs.file-max={2 * need.file_max}",
        ),
        (
            now.somaxconn < need.somaxconn,
            f"a backlog of {need.somaxconn:,}; {now.somaxconn:,} now",
            f"sysctl -w net.core.somaxconn={need.somaxconn}",
        ),
        (
            now.tcp_mem_pages < pages,
            f"{pages:,} pages for TCP; {now.tcp_mem_pages:,} now",
            f'sysctl -w net.ipv4.tcp_mem="{pages // 2} {pages * 3 // 4} {pages}"',
        ),
        (
            now.conntrack < need.conntrack,
            f"{need.conntrack:,} tracked connections, where a firewall tracks them; {now.conntrack:,} now",
            f"sysctl -w net.netfilter.nf_conntrack_max={2 * need.conntrack}",
        ),
        (
            now.ports < min(clients, 60_000),
            f"all ports, where clients are on this machine; {now.ports:,} now",
            'sysctl -w net.ipv4.ip_local_port_range="1024 65535"',
        ),
    ]
    return [(why, command) for low, why, command in wanted if low]


def _table(title: str, *columns: str) -> Table:
    table = Table(title=title, title_justify="left", title_style="bold")
    for column in columns:
        table.add_column(column, justify="right" if column in ("MiB", "value") else "left", overflow="fold")
    return table
