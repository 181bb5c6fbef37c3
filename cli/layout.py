"""Where everything local lies under data_dir, and how a data_dir is recognised as one of ours.

Invariant: nothing is ever deleted or signalled on the word of a directory that lacks the marker.
"""

import os
from dataclasses import dataclass
from pathlib import Path
from typing import Final

MARKER_TEXT: Final = (
    "This directory belongs to a Sluice cluster (clusterctl); `clusterctl down --purge` deletes it.\n"
)


@dataclass(frozen=True, slots=True)
class Layout:
    """Paths under one data_dir (absolute)."""

    data_dir: Path

    @property
    def marker(self) -> Path:
        return self.data_dir / "SLUICE"

    @property
    def run(self) -> Path:
        """State, lock, sockets, the cluster file that the processes read."""
        return self.data_dir / "run"

    @property
    def logs(self) -> Path:
        return self.data_dir / "logs"

    @property
    def etcd(self) -> Path:
        return self.data_dir / "etcd"

    @property
    def lock(self) -> Path:
        return self.run / "lock"

    @property
    def state(self) -> Path:
        return self.run / "state.json"

    @property
    def ports(self) -> Path:
        return self.run / "ports.json"

    @property
    def effective(self) -> Path:
        """`cluster.toml` with every path absolute and the local etcd's address filled in."""
        return self.run / "cluster.toml"

    @property
    def demo_file(self) -> Path:
        """The demo's cluster.toml, copied here so that all processes read one file."""
        return self.data_dir / "cluster.toml"

    @property
    def demo_rows(self) -> Path:
        """Exists once the demo's sample rows are loaded."""
        return self.run / "demo-rows-loaded"

    def mysql(self, keyspace: str, shard: str) -> Path:
        return self.data_dir / "mysql" / f"{keyspace}.{shard}"

    def log(self, name: str) -> Path:
        return self.logs / f"{name}.log"

    def is_ours(self) -> bool:
        return self.marker.is_file()

    def is_foreign(self) -> bool:
        """Whether it holds something, but not our marker."""
        try:
            return not self.is_ours() and any(self.data_dir.iterdir())
        except (FileNotFoundError, NotADirectoryError):
            return False

    def create(self) -> None:
        """Makes the directories (only the owner may look inside) and the marker. OSError passes through."""
        self.data_dir.mkdir(mode=0o700, parents=True, exist_ok=True)
        if not self.marker.exists():
            self.marker.write_text(MARKER_TEXT, encoding="utf-8")
        for directory in (self.run, self.logs):
            directory.mkdir(mode=0o700, exist_ok=True)


def layout_of(data_dir: Path) -> Layout:
    return Layout(Path(os.path.abspath(data_dir)))


def write_whole(path: Path, text: str) -> None:
    """Writes `path` (mode 0600) so that a reader sees the old or the new text, never a part."""
    fresh = path.with_name(f"{path.name}.{os.getpid()}.new")
    descriptor = os.open(fresh, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
    with os.fdopen(descriptor, "w", encoding="utf-8") as file:
        file.write(text)
    fresh.replace(path)
