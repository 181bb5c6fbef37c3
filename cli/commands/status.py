"""`clusterctl status [--json]`: every process of the cluster on this machine, and its state.

Told are the supervisor's records, what the kernel says of each pid, and the router's own list of its workers.
Exit status 1 where something does not serve or nothing runs; with --json always 0: programs read the states.
Processes that ended keep their last pid, with state DEAD.
"""

import argparse
import asyncio
import json
import os
import sys
from typing import Any

from cli import state as states
from cli.cluster import probes
from cli.errors import DONE, CommandError
from cli.state import ClusterState
from cli.target import Target, find_started
from core.config import parse_address
from core.rpc import messages

_WELL = frozenset({messages.SERVING, messages.DRAINING})
KEYS = ("name", "role", "pid", "address", "keyspace", "shard", "state")


def run(args: argparse.Namespace) -> int:
    target = find_started(args.file)
    state = states.read(target.layout) if target.layout.is_ours() else None
    found = describe(target, state)
    if args.json:
        print(json.dumps(found, indent=1))
        return DONE
    in_order = state is not None and state.phase == states.STOPPED
    runs = any(process["state"] != messages.DEAD for process in found["processes"])
    if runs or not in_order:
        show(found)
    if not runs:
        how = ": it was stopped in order" if in_order else ""
        raise CommandError(
            f"nothing runs under {target.layout.data_dir}{how}; start it: {target.command('up')}"
        )
    if state is not None and not state.supervisor_runs():
        raise CommandError(
            "the supervisor is gone: nothing that dies is started again;"
            f" {target.command('down')} stops the rest"
        )
    if bad := [p["name"] for p in found["processes"] if p["state"] not in _WELL]:
        raise CommandError(f"{', '.join(bad)} {'does' if len(bad) == 1 else 'do'} not serve")
    return DONE


def describe(target: Target, state: ClusterState | None) -> dict[str, Any]:
    """INTERFACE's JSON. Processes have further keys where they apply: socket, restarts, clients, said."""
    router = target.config.router
    processes = []
    for process in state.processes if state is not None else ():
        found: dict[str, Any] = {
            "name": process.name,
            "role": process.role,
            "pid": process.pid,
            "address": process.address,
            "keyspace": process.keyspace,
            "shard": process.shard,
            # A crash loop is NOT_SERVING between two attempts, too.
            "state": process.state if process.is_running() or process.said else messages.DEAD,
            "restarts": process.restarts,
        }
        found |= {key: value for key in ("socket", "said") if (value := getattr(process, key))}
        processes.append(found)
    routers = [p for p in processes if p["role"] == "router" and p["state"] != messages.DEAD]
    cluster = router_view(router.http) if routers else None
    if cluster is not None:
        if cluster.get("router", {}).get("state") == messages.DRAINING:
            for one in routers:
                one["state"] = messages.DRAINING  # to its supervisor, it is as it should be
        processes += _workers(cluster, router.mysql)
    return {
        "cluster": target.config.cluster.name,
        "mysql": router.mysql,
        "http": router.http,
        "processes": processes,
    }


def _workers(cluster: dict[str, Any], mysql: str) -> list[dict[str, Any]]:
    """The router's workers, as it says itself."""
    return [
        {
            "name": str(worker["name"]),
            "role": "router-worker",
            "pid": int(worker["pid"]),
            "address": mysql,
            "keyspace": "",
            "shard": "",
            "state": str(worker["state"]),
            "clients": worker.get("clients", 0),
        }
        for worker in cluster.get("workers", [])
    ]


def router_view(address: str) -> dict[str, Any] | None:
    """What the router says at /debug/cluster; None where it does not."""
    host, port = parse_address(address, "[router] http")
    if host in ("0.0.0.0", "::"):
        host = "127.0.0.1"
    try:
        status, body = asyncio.run(probes.http(host, port, "/debug/cluster"))
        view = json.loads(body) if status == 200 else None
    except (OSError, ValueError, IndexError, TimeoutError):
        return None
    return view if isinstance(view, dict) else None


def show(found: dict[str, Any]) -> None:
    """A table for people; plain columns where stdout is no terminal."""
    print(f"cluster {found['cluster']}, MySQL protocol at {found['mysql']}, HTTP at {found['http']}")
    headings = ("name", "state", "pid", "keyspace", "shard", "restarts", "address")
    rows = [tuple(str(process.get(key, "")) for key in headings) for process in found["processes"]]
    if not rows:
        return
    if sys.stdout.isatty() and os.environ.get("TERM") != "dumb":
        _show_rich(headings, rows)
    else:
        widths = [max(len(row[i]) for row in (headings, *rows)) for i in range(len(headings))]
        for row in (headings, *rows):
            print("  ".join(cell.ljust(width) for cell, width in zip(row, widths, strict=True)).rstrip())
    for process in found["processes"]:
        if process.get("said"):
            print(f"{process['name']} keeps dying; its log says:\n{process['said']}")


_COLOURS = {
    messages.SERVING: "green",
    messages.STARTING: "yellow",
    messages.DRAINING: "yellow",
    messages.NOT_SERVING: "red",
    messages.DEAD: "red",
}


def _show_rich(headings: tuple[str, ...], rows: list[tuple[str, ...]]) -> None:
    from rich.console import Console
    from rich.table import Table
    from rich.text import Text

    table = Table(*headings, box=None, header_style="dim", pad_edge=False)
    for row in rows:
        table.add_row(
            *(Text(cell, style=_COLOURS.get(cell, "") if i == 1 else "") for i, cell in enumerate(row))
        )
    Console(highlight=False).print(table)
