"""`clusterctl up`: starts what is missing and tells how to connect.

In the foreground this process is the supervisor itself; with --detach a background process is.
"""

import argparse
import asyncio
import os
import sys
import time

from cli import state as states
from cli.cluster import daemon, display, orphans, preflight
from cli.cluster.runner import Runner, digest, take_lock
from cli.errors import DONE, CommandError, UsageError
from cli.layout import Layout
from cli.target import Target, find
from core.rpc import messages

WAIT_RUNNING_S = 300.0


def run(args: argparse.Namespace) -> int:
    """Raises CommandError; nothing is left running then that this call started."""
    target = find(args.file)
    if is_running(target.layout):
        _already(target)
    else:
        try:
            servers = preflight.check_file(target)
            _clear(target.layout)
            preflight.check_machine(target)
            target.layout.create()
        except UsageError as error:
            raise target.wrong(str(error)) from None
        except OSError as error:
            raise target.wrong(f"[cluster] data_dir: {error.filename}: {error.strerror}") from None
        if not args.detach and not args.dashboard:
            return _foreground(target, servers)
        with display.make() as shown:
            daemon.start(args.file, target, shown.update)
        target = find(args.file)
        display.show_ready(target, foreground=False)
        if args.dashboard and not args.detach:
            return _dashboard_then_stop(target)
    return _dashboard(target) if args.dashboard else DONE


def is_running(layout: Layout) -> bool:
    """Whether a supervisor holds this data_dir."""
    if not layout.is_ours() or not layout.lock.exists():
        return False
    lock = take_lock(layout)
    if lock is None:
        return True
    os.close(lock)
    return False


def _clear(layout: Layout) -> None:
    """Stops what a killed supervisor left, since it holds our ports."""
    if not layout.is_ours() or not layout.run.is_dir():
        return
    lock = take_lock(layout)
    if lock is not None:
        try:
            orphans.stop(states.read(layout), layout, lambda text: print(text, flush=True))
        finally:
            os.close(lock)


def _foreground(target: Target, servers: preflight.Servers) -> int:
    lock = take_lock(target.layout)
    if lock is None:
        raise CommandError(f"another `clusterctl up` has just begun under {target.layout.data_dir}")
    os.umask(0o077)
    shown = display.make()
    runner = Runner(target, servers, shown.update)

    def serving() -> None:
        shown.__exit__(None, None, None)
        display.show_ready(target, foreground=True)

    with shown:
        asyncio.run(runner.run(serving))
    print("stopped; nothing of this cluster runs any more", flush=True)
    return DONE


def _already(target: Target) -> None:
    """Waits until what runs serves, and says so."""
    deadline_s = time.monotonic() + WAIT_RUNNING_S
    not_serving: list[str] = []
    with display.make() as shown:
        while True:
            state = states.read(target.layout)
            if state is not None and state.supervisor_runs():
                if state.phase == states.STARTING:
                    shown.update(state)
                not_serving = [p.name for p in state.processes if p.state != messages.SERVING]
                if state.phase == states.SERVING and not not_serving:
                    break
                if state.phase in (states.STOPPING, states.STOPPED, states.FAILED):
                    raise CommandError(
                        f"the cluster under {target.layout.data_dir} is stopping;"
                        f" run {target.command('up')} again when it has"
                    )
            elif not is_running(target.layout):
                error = state.error if state is not None else ""
                raise CommandError(
                    error or f"the supervisor ended meanwhile; run {target.command('up')} again"
                )
            if time.monotonic() > deadline_s:
                raise CommandError(
                    f"the cluster runs, but does not serve: {', '.join(not_serving) or 'it is starting'};"
                    f" see {target.command('status')}"
                )
            time.sleep(0.1)
    if target.config.path.exists() and state.digest != digest(target.config.path) and not target.is_demo:
        print(
            f"note: {target.config.path.name} has changed since this cluster was started;"
            f" {target.command('down')} and up apply it",
            file=sys.stderr,
        )
    display.show_ready(target, foreground=False, already=True)


def _dashboard(target: Target) -> int:
    from cli.commands import dashboard

    return dashboard.show(target)


def _dashboard_then_stop(target: Target) -> int:
    from cli.commands import down

    try:
        return _dashboard(target)
    finally:
        down.stop(target)
