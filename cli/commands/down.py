"""`clusterctl down`: stops what runs under data_dir; with --purge deletes data_dir too. Idempotent.

Stopping is the supervisor's work; where it was killed, what it left is found, verified and stopped here.
"""

import argparse
import os
import shutil
import signal
import sys
import time
from pathlib import Path

from cli import state as states
from cli.cluster import orphans, specs
from cli.cluster.runner import take_lock
from cli.commands.up import is_running
from cli.errors import DONE, CommandError
from cli.local import socket_path
from cli.target import Target, find_started
from core.process import is_alive, send_signal

SUPERVISOR_S = 10.0 + sum(max(specs.GRACE_S[role] for role in roles) for roles in specs.LAYERS)


def run(args: argparse.Namespace) -> int:
    target = find_started(args.file)
    layout = target.layout
    if args.purge and layout.is_foreign():
        raise CommandError(
            f"{layout.data_dir} is not a data directory of Sluice (no file SLUICE in it); kept"
        )
    if not stop(target):
        print(f"nothing runs under {layout.data_dir}")
    if args.purge:
        purge(target)
    elif layout.is_ours():
        print(f"data is kept in {layout.data_dir}; {target.command('down --purge')} deletes it")
    return DONE


def stop(target: Target) -> bool:
    """Returns once nothing runs; False where nothing ran. Raises CommandError where something cannot be stopped."""
    layout = target.layout
    if not layout.is_ours():
        return False
    ran = _stop_supervisor(target)
    left = orphans.stop(states.read(layout), layout, lambda text: print(text, flush=True))
    if ran or left:
        print(f"cluster {target.config.cluster.name} is stopped", flush=True)
    return bool(ran or left)


def _stop_supervisor(target: Target) -> bool:
    layout = target.layout
    deadline_s = time.monotonic() + 5.0
    while is_running(layout):
        state = states.read(layout)
        if state is not None and state.supervisor is not None and state.supervisor_runs():
            break
        # It holds the lock, but has not written who it is yet.
        if time.monotonic() > deadline_s:
            raise CommandError(
                f"{layout.lock} is held by a process that {layout.state} does not name; end it by hand"
            )
        time.sleep(0.05)
    else:
        return False
    supervisor = state.supervisor
    print(f"stopping cluster {state.cluster} (supervisor pid {supervisor.pid})", flush=True)
    try:
        send_signal(supervisor, signal.SIGTERM)
        deadline_s = time.monotonic() + SUPERVISOR_S
        while is_alive(supervisor):
            if time.monotonic() > deadline_s:
                send_signal(supervisor, signal.SIGKILL)
            time.sleep(0.05)
    except PermissionError:
        raise CommandError(f"the supervisor (pid {supervisor.pid}) belongs to another user") from None
    return True


def purge(target: Target) -> None:
    """Deletes data_dir, which must bear the marker, and the sockets that did not fit into it."""
    layout = target.layout
    if not layout.is_ours():
        return
    lock = take_lock(layout)
    if lock is None:
        raise CommandError(f"a supervisor has just begun under {layout.data_dir}; nothing was deleted")
    try:
        for home in [layout.run, *(layout.data_dir / "mysql").glob("*")]:
            _remove_short_sockets(home)
        # The marker goes last, so that an interrupted purge can be repeated.
        for entry in layout.data_dir.iterdir():
            if entry == layout.marker:
                continue
            if entry.is_dir() and not entry.is_symlink():
                shutil.rmtree(entry)
            else:
                entry.unlink()
        layout.marker.unlink()
        layout.data_dir.rmdir()
    except OSError as error:
        raise CommandError(f"{error.filename} could not be deleted: {error.strerror}") from None
    finally:
        os.close(lock)
    print(f"deleted {layout.data_dir}", file=sys.stdout, flush=True)


def _remove_short_sockets(home: Path) -> None:
    directory = socket_path(home, "x" * 64).parent
    if directory != home:
        shutil.rmtree(directory, ignore_errors=True)
