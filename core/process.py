"""Which process is which: identities that survive the reuse of a pid, and signals that cannot hit a stranger.

Invariants:
- A process is named by pid, start time and boot, so a number read from an old file never means another process.
- A signal is sent through a pidfd that was opened *before* the identity was checked: what is signalled is what
  was checked.
"""

import os
import signal
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

_PROC: Final = Path("/proc")
_BOOT_ID: Final = _PROC / "sys/kernel/random/boot_id"


@dataclass(frozen=True, slots=True)
class Identity:
    """One process, now or in the past."""

    pid: int
    start_ticks: int
    """Field 22 of /proc/PID/stat (proc(5)): clock ticks from boot to the process's start."""
    boot_id: str

    def to_dict(self) -> dict[str, Any]:
        return {"pid": self.pid, "start_ticks": self.start_ticks, "boot_id": self.boot_id}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "Identity":
        """Raises KeyError, TypeError or ValueError where `raw` is not what `to_dict` made."""
        return cls(int(raw["pid"]), int(raw["start_ticks"]), str(raw["boot_id"]))


def identify(pid: int) -> Identity | None:
    """The identity of the live process `pid`; None where there is none (a zombie has ended)."""
    stat = _stat(pid)
    if stat is None:
        return None
    state, start_ticks = stat
    return None if state in "ZX" else Identity(pid, start_ticks, _boot_id())


def is_alive(identity: Identity) -> bool:
    """Whether exactly this process still runs."""
    return identify(identity.pid) == identity


def command_line(pid: int) -> str:
    """The arguments of process `pid` with spaces between; empty where it cannot be read."""
    try:
        return (
            (_PROC / str(pid) / "cmdline")
            .read_bytes()
            .replace(b"\0", b" ")
            .decode("utf-8", "replace")
            .strip()
        )
    except OSError:
        return ""


def send_signal(identity: Identity, number: signal.Signals) -> bool:
    """Sends a signal to exactly this process; False where it no longer runs. PermissionError passes through."""
    try:
        pidfd = os.pidfd_open(identity.pid)
    except ProcessLookupError:
        return False
    try:
        if not is_alive(identity):
            return False
        signal.pidfd_send_signal(pidfd, number)
    except ProcessLookupError:
        return False
    finally:
        os.close(pidfd)
    return True


def _stat(pid: int) -> tuple[str, int] | None:
    try:
        text = (_PROC / str(pid) / "stat").read_text(encoding="utf-8", errors="replace")
    except OSError:
        return None
    # The command's name stands in parentheses and may itself hold spaces and parentheses.
    after = text[text.rindex(")") + 2 :].split()
    return after[0], int(after[19])


def _boot_id() -> str:
    try:
        return _BOOT_ID.read_text(encoding="ascii").strip()
    except OSError:
        return ""


def group_members(pgid: int) -> list[Identity]:
    """The live processes of a process group."""
    found = []
    for entry in _PROC.iterdir():
        if not entry.name.isdigit():
            continue
        try:
            if os.getpgid(int(entry.name)) != pgid:
                continue
        except (ProcessLookupError, PermissionError):
            continue
        identity = identify(int(entry.name))
        if identity is not None:
            found.append(identity)
    return found
