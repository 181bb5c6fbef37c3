"""Everything that one frame shows (`View`), and how it follows from what was asked (`Model`). No clock, no I/O:
times come in with what was seen.
"""

from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, replace
from typing import Final

from cli.dashboard.figures import Sample
from cli.dashboard.rates import Rates, Trackers, total

HISTORY: Final = 600
"""Points that are kept, one a sample."""


@dataclass(frozen=True, slots=True)
class Point:
    """One sample in the sparklines; None: not known then."""

    queries: float | None = None
    clients: float | None = None
    p99_s: float | None = None


@dataclass(frozen=True, slots=True)
class Process:
    """A process that `clusterctl up` keeps on this machine."""

    name: str
    role: str
    state: str
    said: str = ""
    """The last lines of its log, where it keeps dying."""


@dataclass(frozen=True, slots=True)
class Surroundings:
    """What the router does not know: the local processes, and the control plane's word in etcd."""

    processes: tuple[Process, ...] = ()
    leader: str | None = ""
    """Id of the control plane that leads; empty: none does; None: etcd was not asked or did not answer."""
    problems: tuple[str, ...] = ()
    """As the leader sees them."""


@dataclass(frozen=True, slots=True)
class View:
    address: str
    """Where the router is asked."""
    cluster: str
    """The cluster that is meant."""
    now_s: float
    sample: Sample | None = None
    """The last answer, however old."""
    workers: Mapping[str, Rates] | None = None
    tablets: Mapping[str, Rates] | None = None
    history: tuple[Point, ...] = ()
    around: Surroundings = Surroundings(leader=None)
    silent_since_s: float | None = None
    """Since when the router has not answered; None: it does."""
    silence: str = ""
    """Why not."""
    paused: bool = False
    keys: bool = False
    """Whether somebody can press any."""
    quits: str = "quit"
    """What q does, in words."""


class Model:
    """Follows one router."""

    def __init__(self, address: str, cluster: str, now_s: float) -> None:
        self.view = View(address, cluster, now_s)
        self._workers = Trackers()
        self._tablets = Trackers()
        self._history: deque[Point] = deque(maxlen=HISTORY)
        self._counted: dict[tuple[str, int], int] = {}

    def take(self, sample: Sample, around: Surroundings, now_s: float) -> None:
        """The router answered."""
        workers = self._workers.take((w.name, w.counters) for w in sample.workers)
        tablets = self._tablets.take((t.alias, t.counters) for t in sample.tablets)
        all_workers = total(workers.values()) if workers else None
        # A worker without anything to do reports seldom: that its count stands still says enough.
        counted = {(w.name, w.counters.pid): w.counters.queries for w in sample.workers}
        queries = (
            all_workers.queries if all_workers else 0.0 if counted and counted == self._counted else None
        )
        self._counted = counted
        self._history.append(
            Point(
                queries,
                sample.clients,
                all_workers.latency_s(99) if all_workers else None,
            )
        )
        self.view = replace(
            self.view,
            now_s=now_s,
            sample=sample,
            workers=workers,
            tablets=tablets,
            history=tuple(self._history),
            around=around,
            silent_since_s=None,
            silence="",
        )

    def miss(self, reason: str, around: Surroundings, now_s: float) -> None:
        """The router did not answer."""
        self._history.append(Point())
        since = self.view.silent_since_s
        self.view = replace(
            self.view,
            now_s=now_s,
            history=tuple(self._history),
            around=around,
            silent_since_s=now_s if since is None else since,
            silence=reason,
        )
