"""Slices into figures, figures into words. Pure.

Invariants: every figure is a median over slices, never the best one; the ratio is taken between slices that ran one
after the other, so that what else the machine did weighs on both; what was wrong is never left out.
"""

from array import array
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from statistics import median
from typing import Any

from cli.bench.generator import Slice


@dataclass(frozen=True, slots=True)
class Measured:
    """One slice, of all generator processes."""

    seconds: float
    events: int
    queries: int
    wrong: int
    lost: int
    errors: Counter[str]
    generator_cores: float | None
    """CPU that the generator took, in cores; None where it is not known."""
    p50_s: float
    p95_s: float
    p99_s: float

    @property
    def queries_per_s(self) -> float:
        return self.queries / self.seconds

    @property
    def events_per_s(self) -> float:
        return self.events / self.seconds


def measure(parts: Sequence[Slice]) -> Measured:
    """The parts that several processes measured at the same time as one."""
    latencies = array("d")
    errors: Counter[str] = Counter()
    for part in parts:
        latencies.extend(part.latencies_s)
        errors.update(part.errors)
    ordered = sorted(latencies)
    seconds = parts[0].seconds
    return Measured(
        seconds=seconds,
        events=sum(p.events for p in parts),
        queries=sum(p.queries for p in parts),
        wrong=sum(p.wrong for p in parts),
        lost=sum(p.lost for p in parts),
        errors=errors,
        generator_cores=sum(p.cpu_s for p in parts) / seconds,
        p50_s=percentile(ordered, 50),
        p95_s=percentile(ordered, 95),
        p99_s=percentile(ordered, 99),
    )


def percentile(ordered: Sequence[float], percent: float) -> float:
    """Nearest rank; 0.0 of nothing.

    >>> percentile([1, 2, 3, 4], 50), percentile([1, 2, 3, 4], 99)
    (2, 4)
    """
    if not ordered:
        return 0.0
    rank = max(1, -(-int(len(ordered) * percent) // 100))
    return ordered[rank - 1]


@dataclass(frozen=True, slots=True)
class Phase:
    """All slices with one number of clients; `direct[i]` ran just before `router[i]`."""

    clients: int
    direct: tuple[Measured, ...]
    router: tuple[Measured, ...]
    names: tuple[str, str] = ("direct", "router")
    """What the two are, where they are something else."""

    @property
    def ratios(self) -> list[float]:
        """Queries a second through the router in parts of direct, pair by pair."""
        pairs = zip(self.direct, self.router, strict=True)
        return [r.queries_per_s / d.queries_per_s for d, r in pairs if d.queries]

    @property
    def added_p50_s(self) -> float:
        """What the router adds to the median, pair by pair, in the median; 0.0 where no pair has both."""
        pairs = zip(self.direct, self.router, strict=True)
        return median([r.p50_s - d.p50_s for d, r in pairs if d.events and r.events] or [0.0])

    @property
    def wrong(self) -> int:
        return sum(m.wrong for m in self.direct + self.router)

    @property
    def lost(self) -> int:
        return sum(m.lost for m in self.direct + self.router)

    @property
    def failed(self) -> bool:
        """Something was wrong, a slice had no answer, or a place ended no transaction (a short slice may end none)."""
        if self.wrong or self.lost or not all(m.queries for m in self.direct + self.router):
            return True
        return not all(any(m.events for m in slices) for slices in (self.direct, self.router))

    def to_json(self) -> dict[str, Any]:
        ratios = self.ratios
        return {
            "clients": self.clients,
            "ratio": median(ratios) if ratios else None,
            "ratios": ratios,
            "added_p50_s": self.added_p50_s,
            self.names[0]: summary(self.direct),
            self.names[1]: summary(self.router),
        }


def summary(slices: Sequence[Measured]) -> dict[str, Any]:
    """Medians of one place, and sums of what went wrong."""
    errors: Counter[str] = Counter()
    for one in slices:
        errors.update(one.errors)
    cores = [m.generator_cores for m in slices if m.generator_cores is not None]
    timed = [m for m in slices if m.events] or slices  # without an event there is no latency
    return {
        "queries_per_s": median(m.queries_per_s for m in slices),
        "events_per_s": median(m.events_per_s for m in slices),
        "p50_s": median(m.p50_s for m in timed),
        "p95_s": median(m.p95_s for m in timed),
        "p99_s": median(m.p99_s for m in timed),
        "queries": sum(m.queries for m in slices),
        "wrong": sum(m.wrong for m in slices),
        "lost": sum(m.lost for m in slices),
        "errors": dict(errors),
        "generator_cores": median(cores) if cores else None,
        "slices_queries_per_s": [m.queries_per_s for m in slices],
    }


def table(phases: Sequence[Phase], *, transactions: bool) -> list[str]:
    """What a person reads."""
    heads = ["", "queries/s", *(["tx/s"] if transactions else []), "p50", "p95", "p99", "wrong", "errors"]
    heads.append("generator")
    rows = [heads]
    for phase in phases:
        rows.append([f"{phase.clients} client{'s' * (phase.clients > 1)}"])
        for name, slices in zip(phase.names, (phase.direct, phase.router), strict=True):
            rows.append(_row(name, summary(slices), transactions=transactions))
        ratios = phase.ratios
        if ratios:
            words = (
                f"{median(ratios):.3f}   (median of {len(ratios)} pairs of slices, {min(ratios):.3f} to"
                f" {max(ratios):.3f}; not the ratio of the medians above)"
            )
            rows.append(["  ratio", words])
        rows.append(["  added p50", _ms(phase.added_p50_s)])
    widths = [max(len(row[i]) for row in rows if len(row) == len(heads)) for i in range(len(heads))]
    widths[0] = max(len(row[0]) for row in rows)
    lines = []
    for row in rows:
        if len(row) == len(heads):
            cells = [row[0].ljust(widths[0])] + [c.rjust(w) for c, w in zip(row[1:], widths[1:], strict=True)]
        else:
            cells = [row[0].ljust(widths[0]), *row[1:]]
        lines.append("  ".join(cells).rstrip())
    return lines + notes(phases)


def _row(name: str, found: dict[str, Any], *, transactions: bool) -> list[str]:
    cores = found["generator_cores"]
    return [
        f"  {name}",
        f"{found['queries_per_s']:,.0f}",
        *([f"{found['events_per_s']:,.0f}"] if transactions else []),
        _ms(found["p50_s"]),
        _ms(found["p95_s"]),
        _ms(found["p99_s"]),
        f"{found['wrong']:,}",
        f"{sum(found['errors'].values()):,}",
        "" if cores is None else f"{cores:.2f} cores",
    ]


def notes(phases: Sequence[Phase]) -> list[str]:
    """What a reader must know to believe the figures, or not to."""
    lines = []
    for phase in phases:
        for name, slices in zip(phase.names, (phase.direct, phase.router), strict=True):
            errors = Counter[str]()
            for one in slices:
                errors.update(one.errors)
            lines += [f"{phase.clients} clients, {name}: {n:,} x {text}" for text, n in errors.most_common(3)]
            busy = [m.generator_cores for m in slices if m.generator_cores is not None]
            if phase.clients > 1 and busy and median(busy) > 0.85:
                lines.append(
                    f"{phase.clients} clients, {name}: the generator itself was busy ({median(busy):.2f} cores):"
                    " its figure is a lower bound; --sysbench or --processes tell more"
                )
    return lines


def _ms(seconds: float) -> str:
    return f"{seconds * 1000:.3f}ms"
