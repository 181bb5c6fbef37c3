"""`run/state.json`: what the supervisor tells other commands, written whole after each change.

It is the only thing that `status`, `down` and `up --detach` know of a cluster, so it outlives the supervisor;
whether a process in it still runs is asked of the kernel (core.process), never believed.
"""

import json
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from cli.layout import Layout, write_whole
from core.process import Identity, is_alive
from core.rpc import messages

VERSION: Final = 1

# Phases of a supervisor's life.
STARTING: Final = "starting"
SERVING: Final = "serving"
STOPPING: Final = "stopping"
STOPPED: Final = "stopped"
FAILED: Final = "failed"


@dataclass(slots=True)
class Step:
    """One thing that `up` does, to be shown: `text` tells what, `note` how it ended."""

    name: str
    text: str
    state: str = "waiting"  # waiting, running, done, failed
    note: str = ""
    seconds: float = 0.0


@dataclass(slots=True)
class ProcessState:
    """One process as INTERFACE's `status --json` shows it, and what is needed to find it again."""

    name: str
    role: str
    address: str
    keyspace: str
    shard: str
    state: str = messages.DEAD
    identity: Identity | None = None
    restarts: int = 0
    deaths: int = 0
    socket: str = ""
    said: str = ""
    """The log's last lines, when it keeps dying."""

    @property
    def pid(self) -> int:
        """Its pid, or its last one; 0 where it was never started."""
        return self.identity.pid if self.identity is not None else 0

    def is_running(self) -> bool:
        return self.identity is not None and is_alive(self.identity)

    def to_dict(self) -> dict[str, Any]:
        raw = {f: getattr(self, f) for f in self.__slots__ if f != "identity"}
        return {**raw, "identity": self.identity.to_dict() if self.identity else None}

    @classmethod
    def from_dict(cls, raw: dict[str, Any]) -> "ProcessState":
        identity = Identity.from_dict(raw["identity"]) if raw["identity"] else None
        return cls(**{**raw, "identity": identity})


@dataclass(slots=True)
class ClusterState:
    """Everything in the file."""

    cluster: str
    mysql: str
    http: str
    file: str
    digest: str
    """SHA-256 of the cluster file when it was read."""
    phase: str = STARTING
    error: str = ""
    error_status: int = 1
    supervisor: Identity | None = None
    steps: list[Step] = field(default_factory=list)
    processes: list[ProcessState] = field(default_factory=list)

    def supervisor_runs(self) -> bool:
        return self.supervisor is not None and is_alive(self.supervisor)

    def write(self, layout: Layout) -> None:
        raw = {
            "version": VERSION,
            "cluster": self.cluster,
            "mysql": self.mysql,
            "http": self.http,
            "file": self.file,
            "digest": self.digest,
            "phase": self.phase,
            "error": self.error,
            "error_status": self.error_status,
            "supervisor": self.supervisor.to_dict() if self.supervisor else None,
            "steps": [asdict(step) for step in self.steps],
            "processes": [process.to_dict() for process in self.processes],
        }
        write_whole(layout.state, json.dumps(raw, indent=1) + "\n")


def read(layout: Layout) -> ClusterState | None:
    """The state under `layout`; None where there is none or it is not of this version."""
    try:
        raw = json.loads(layout.state.read_text(encoding="utf-8"))
        if raw.pop("version") != VERSION:
            return None
        raw["supervisor"] = Identity.from_dict(raw["supervisor"]) if raw["supervisor"] else None
        raw["steps"] = [Step(**step) for step in raw["steps"]]
        raw["processes"] = [ProcessState.from_dict(process) for process in raw["processes"]]
        return ClusterState(**raw)
    except (OSError, ValueError, KeyError, TypeError):
        return None
