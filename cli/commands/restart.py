"""`clusterctl restart routers`: every worker of the router gives its clients over to a new process, one by one.

Idle clients notice nothing; statements and transactions under way finish within a grace of 30 s. Idle clients that
cannot move (TLS, compression) stay with their old worker, which ends when the last of them has left.
"""

import argparse
import json
import signal
import time
import urllib.request
from typing import Any, Final

from cli import state as states
from cli.errors import DONE, CommandError
from cli.target import Target, find_started
from core.config import parse_address
from core.process import is_alive, send_signal

BEGIN_S: Final = 5.0
SILENT_S: Final = 60.0


def run(args: argparse.Namespace) -> int:
    """Raises CommandError where nothing runs, or the restart does not come to its end."""
    target = find_started(args.file)
    state = states.read(target.layout)
    router = next((p for p in state.processes if p.role == "router"), None) if state is not None else None
    if router is None or router.identity is None or not is_alive(router.identity):
        raise CommandError(f"no router runs here; {target.command('up')} starts it")
    runs = _progress(target)["runs"]
    send_signal(router.identity, signal.SIGUSR2)
    deadline_s = time.monotonic() + BEGIN_S
    while (progress := _progress(target))["runs"] == runs:
        if progress["state"] == "running":
            break
        if time.monotonic() > deadline_s:
            raise CommandError("the router did not begin; see its log")
        time.sleep(0.05)
    _follow(target)
    return DONE


def _follow(target: Target) -> None:
    told = (-1, 0)
    deadline_s = time.monotonic() + SILENT_S
    while (progress := _progress(target))["state"] == "running":
        busy = sum(worker["clients"] for worker in progress["retiring"])
        now = (progress["done"], busy)
        if now != told:
            told = now
            deadline_s = time.monotonic() + SILENT_S
            rest = f", {busy} client{'s' * (busy > 1)} still with old ones" if busy else ""
            print(f"{progress['done']} of {progress['of']} workers replaced{rest}", flush=True)
        if time.monotonic() > deadline_s:
            raise CommandError(
                f"the restart does not go on; see the router's log and {target.command('status')}"
            )
        time.sleep(0.1)
    if progress["state"] == "failed":
        raise CommandError(f"the restart ended early: {progress['why']}")
    print(f"all {progress['of']} workers replaced in {progress['seconds']:.1f} s", flush=True)
    staying = sum(worker["clients"] for worker in progress["retiring"])
    if staying:
        print(
            f"{staying} idle client{'s' * (staying > 1)} that cannot move (TLS, compression) stay{'s' * (staying == 1)}"
            " with old workers until they leave or the next restart",
            flush=True,
        )


def _progress(target: Target) -> dict[str, Any]:
    host, port = parse_address(target.config.router.http, "[router] http")
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/debug/cluster", timeout=5) as answer:
            found: dict[str, Any] = json.load(answer)["restart"]
    except (OSError, ValueError, KeyError) as error:
        raise CommandError(f"the router does not answer at {host}:{port}: {error}") from None
    return found
