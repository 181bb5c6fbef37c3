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
from cli.cluster.runner import Runner, digest, is_locked, take_lock
from cli.errors import DONE, CommandError, UsageError
from cli.layout import Layout
from cli.target import Target, find
from core.process import Identity
from core.rpc import messages

WAIT_RUNNING_S = 300.0


def run(args: argparse.Namespace) -> int:
    """Raises CommandError; nothing is left running then that this call started."""
    while True:
        target = find(args.file)
        if is_running(target.layout):
            if _already(target):
                return _dashboard(target) if args.dashboard else DONE
            continue  # it ended while we looked: ours is the next turn
        servers = _check(target)
        try:
            if not args.detach and not args.dashboard:
                return _foreground(target, servers)
            with display.make() as shown:
                daemon.start(args.file, target, shown.update)
        except daemon.Taken:
            continue  # somebody else's `up` was faster: it is waited for
        target = find(args.file)
        display.show_ready(target, foreground=False)
        if args.dashboard and not args.detach:
            return _dashboard_then_stop(target)
        return _dashboard(target) if args.dashboard else DONE


def _check(target: Target) -> preflight.Servers:
    """All that must be true before the start; makes the data_dir."""
    try:
        servers = preflight.check_file(target)
        _clear(target.layout)
        preflight.check_machine(target)
        target.layout.create()
    except UsageError as error:
        raise target.wrong(str(error)) from None
    except OSError as error:
        raise target.wrong(f"[cluster] data_dir: {error.filename}: {error.strerror}") from None
    return servers


def is_running(layout: Layout) -> bool:
    """Whether a supervisor holds this data_dir."""
    return layout.is_ours() and is_locked(layout)


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
    lock = take_lock(target.layout, daemon.LOCK_S)
    if lock is None:
        raise daemon.Taken(f"another supervisor runs under {target.layout.data_dir}")
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


def _already(target: Target) -> bool:
    """Waits until what runs serves, and says so; False where its supervisor ended before.

    Raises CommandError where it will not serve: it is stopping, its start failed, a process keeps dying.
    """
    deadline_s = time.monotonic() + WAIT_RUNNING_S
    not_serving: list[str] = []
    seen: Identity | None = None
    with display.make() as shown:
        while True:
            state = states.read(target.layout)
            if state is not None and state.supervisor_runs():
                seen = state.supervisor
                if state.phase == states.STARTING:
                    shown.update(state)
                not_serving = [p.name for p in state.processes if p.state != messages.SERVING]
                if state.phase == states.SERVING and not not_serving:
                    break
                if dying := next((p for p in state.processes if p.said), None):
                    raise CommandError(
                        f"{dying.name} keeps dying, so the cluster that runs does not serve; its log says:\n"
                        f"{dying.said}\n{target.command('status')} tells more; all of it is in {target.layout.logs}"
                    )
                if state.phase in (states.STOPPING, states.STOPPED, states.FAILED):
                    raise CommandError(
                        f"the cluster under {target.layout.data_dir} is stopping;"
                        f" run {target.command('up')} again when it has"
                    )
            elif not is_running(target.layout):
                if state is not None and state.error and seen is not None and state.supervisor == seen:
                    error = CommandError(state.error)
                    error.status = state.error_status
                    raise error
                return False
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
    return True


def _dashboard(target: Target, quits: str = "quit") -> int:
    from cli.commands import dashboard

    return dashboard.show(target, quits=quits)


def _dashboard_then_stop(target: Target) -> int:
    from cli.commands import down

    try:
        return _dashboard(target, "quit and stop the cluster")
    finally:
        down.stop(target)
