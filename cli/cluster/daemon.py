"""The supervisor in the background: `python -m cli.cluster.daemon [FILE]`, started and watched by `up --detach`.

What it has to say goes into run/state.json and, as text, into logs/supervisor.log.
"""

import asyncio
import os
import subprocess
import sys
import time
from collections.abc import Callable

from cli import state as states
from cli.cluster import orphans, preflight
from cli.cluster.runner import Interrupted, Runner, take_lock
from cli.errors import DONE, FAILED, CommandError
from cli.layout import Layout
from cli.local import log_tail
from cli.state import ClusterState
from cli.target import Target, find
from core.supervise import rotate

_POLL_S = 0.1
LOCK_S = 0.5

TAKEN = 75
"""Exit status of a supervisor that found another one: EX_TEMPFAIL of sysexits.h."""


class Taken(CommandError):
    """Another supervisor was faster; nothing was started."""


def start(file: str | None, target: Target, on_change: Callable[[ClusterState], None]) -> ClusterState:
    """Starts the supervisor of `target` in a session of its own; returns once every process serves.

    Raises CommandError with the supervisor's own words when the start failed; Interrupted after Ctrl-C. Both
    leave nothing running.
    """
    layout = target.layout
    log = layout.log("supervisor")
    rotate(log)
    argv = [sys.executable, "-P", "-m", "cli.cluster.daemon", *([file] if file is not None else [])]
    with open(log, "ab", buffering=0) as out:
        process = subprocess.Popen(
            argv, stdin=subprocess.DEVNULL, stdout=out, stderr=out, start_new_session=True
        )
    try:
        return _watch(process, layout, on_change)
    except KeyboardInterrupt:
        process.terminate()
        try:
            process.wait()
        except KeyboardInterrupt:
            process.terminate()
            process.wait()
        raise Interrupted("stopped before everything served; what was started is stopped") from None


def _watch(
    process: "subprocess.Popen[bytes]", layout: Layout, on_change: Callable[[ClusterState], None]
) -> ClusterState:
    while True:
        ended = process.poll() is not None
        state = states.read(layout)
        if state is not None and state.supervisor is not None and state.supervisor.pid == process.pid:
            on_change(state)
            if state.phase == states.SERVING and not ended:
                return state
            if ended:
                error = CommandError(state.error or "the supervisor was stopped while it started")
                error.status = state.error_status
                raise error
        elif ended and process.returncode == TAKEN:
            raise Taken(f"another supervisor runs under {layout.data_dir}")
        elif ended:
            raise CommandError(f"the supervisor ended at once:\n{log_tail(layout.log('supervisor'))}")
        time.sleep(_POLL_S)


def main(argv: list[str]) -> int:
    """The daemon itself."""
    os.umask(0o077)
    try:
        target = find(argv[0] if argv else None)
        lock = take_lock(target.layout, LOCK_S)
        if lock is None:
            return TAKEN
        servers = preflight.check_file(target)
        orphans.stop(states.read(target.layout), target.layout, lambda text: print(text, flush=True))
        preflight.check_machine(target)
        runner = Runner(target, servers, lambda state: None)
        asyncio.run(runner.run(lambda: print("every process serves", flush=True)))
    except CommandError as error:
        print(error, file=sys.stderr, flush=True)
        return FAILED
    return DONE


if __name__ == "__main__":
    sys.exit(main(sys.argv[1:]))
