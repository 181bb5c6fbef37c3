"""Processes of a supervisor that was killed: found by the state file, verified, stopped in order.

Invariant: nothing is signalled unless it has the pid, start time and boot that were recorded (or is a member of
a recorded process's group) *and* its command line names this data_dir.
"""

import signal
import time
from collections.abc import Callable

from cli.cluster import specs
from cli.layout import Layout
from cli.state import ClusterState, ProcessState
from core.process import Identity, command_line, group_members, identify, is_alive, send_signal


def find(state: ClusterState | None, layout: Layout) -> list[tuple[ProcessState, Identity]]:
    """What of `state` still runs, though its supervisor does not."""
    found: list[tuple[ProcessState, Identity]] = []
    for process in state.processes if state is not None else ():
        recorded = process.identity
        if recorded is None:
            continue
        # The group's number is the leader's pid, which the kernel does not give away while a member lives. If
        # another process has it as pid now, the group ended, and a group of that number is somebody else's.
        now = identify(recorded.pid)
        if now is not None and now != recorded:
            continue
        members = [m for m in group_members(recorded.pid) if m.boot_id == recorded.boot_id]
        if now is not None and now not in members:
            members.append(now)
        found += [
            (process, member)
            for member in members
            if member.start_ticks >= recorded.start_ticks and str(layout.data_dir) in command_line(member.pid)
        ]
    return found


def stop(state: ClusterState | None, layout: Layout, say: Callable[[str], None]) -> int:
    """Stops them, the last started first; returns how many there were. Blocks until they are gone."""
    count = 0
    for roles in reversed(specs.LAYERS):
        layer = [(p, member) for p, member in find(state, layout) if p.role in roles]
        for process, member in layer:
            say(f"stopping {process.name} (pid {member.pid}), left by an earlier run")
            send_signal(member, signal.SIGTERM)
        count += len(layer)
        grace_s = max((specs.GRACE_S[process.role] for process, _ in layer), default=0.0)
        deadline_s = time.monotonic() + grace_s
        while any(is_alive(member) for _, member in layer):
            if time.monotonic() > deadline_s:
                for _, member in layer:
                    send_signal(member, signal.SIGKILL)
                deadline_s = time.monotonic() + 5.0
            time.sleep(0.05)
    return count
