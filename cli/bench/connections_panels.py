"""What a run of the connections bench looked like: its samples and latencies as panels of a picture. Pure."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from itertools import pairwise
from typing import Any

from cli.bench.connections_picture import Curve, Panel, Phase, Picture, draw

Latency = tuple[float, float, bool]
"""When a live query was due, how long it took, both in s; whether its answer was right."""


@dataclass(slots=True)
class Sample:
    """One second of the run."""

    at_s: float
    held: int
    threads_connected: int = 0
    parked: int = 0
    queries: int = 0
    """Statements that the router's workers have answered so far."""
    restarting: bool = False
    memory_mb: dict[str, float] = field(default_factory=dict)


def phases(samples: Sequence[Sample], ramp_s: float) -> list[Phase]:
    """Ramp, hold, and the restart of the router's workers where one was under way in the hold."""
    end_s = max([ramp_s, *(sample.at_s for sample in samples)])
    restarts = [sample.at_s for sample in samples if sample.restarting and sample.at_s > ramp_s]
    found = [Phase(0.0, ramp_s, "ramp")]
    if restarts:
        begin_s, over_s = restarts[0], min(end_s, restarts[-1] + 1)
        found += [Phase(ramp_s, begin_s, "hold"), Phase(begin_s, over_s, "restart of all workers")]
        ramp_s = over_s
    return [*found, Phase(ramp_s, end_s, "hold")]


def percentiles(latencies: Sequence[Latency], spans: Sequence[Phase]) -> tuple[float | None, float | None]:
    """p50 and p99 in ms of the queries that were due in one of the spans."""
    values = sorted(
        took for due, took, _ in latencies if any(span.begin_s <= due < span.end_s for span in spans)
    )
    if not values:
        return None, None
    at = [values[min(len(values) - 1, len(values) * share // 100)] for share in (50, 99)]
    return round(at[0] * 1000, 2), round(at[1] * 1000, 2)


def picture(
    found: Mapping[str, Any], samples: Sequence[Sample], latencies: Sequence[Latency], cap: int
) -> Picture:
    """`cap`: the MySQL connections that the tablets may open in all."""
    panels = [
        Panel(
            "client connections",
            [
                Curve("held and verified", [(s.at_s, s.held) for s in samples], "#2563a8", filled=True),
                Curve("parked", _known(samples, [s.parked for s in samples]), "#8e6cc0"),
            ],
            height=260,
        ),
        Panel(
            "connections to MySQL (Threads_connected, all servers)",
            [Curve("", _known(samples, [s.threads_connected for s in samples]), "#b7791f", filled=True)],
            line=(cap, f"cap {cap}"),
            most=cap * 1.1,
        ),
    ]
    curves = [Curve("all", _rates(samples), "#7b8794", filled=True)]
    by_second: dict[int, list[float]] = {}
    for due_s, took_s, _ in latencies:
        by_second.setdefault(int(due_s), []).append(took_s * 1000)
    seconds = sorted(by_second.items())[:-1]  # the last one is not whole
    if seconds:
        curves.append(Curve("live", [(s + 0.5, float(len(v))) for s, v in seconds], "#2f855a"))
    panels.append(Panel("queries a second", curves))
    if seconds:
        panels.append(
            Panel(
                "latency of the live queries, ms",
                [
                    Curve("p99", [(s + 0.5, sorted(v)[len(v) * 99 // 100]) for s, v in seconds], "#b03a3a"),
                    Curve("p50", [(s + 0.5, sorted(v)[len(v) // 2]) for s, v in seconds], "#2f855a"),
                ],
                log=True,
                height=130,
            )
        )
    title = f"{found['held']:,} MySQL connections, {found['threads_connected_max']} to the servers behind"
    subtitle = (
        f"each logged in and verified by a SELECT of its own in {found['ramp_s']:.0f} s; "
        f"{found['wrong']} wrong answers, {found['refused']} refused, {found['lost']} disconnects; "
        f"clients, router and servers on {found['cores']} cores"
    )
    return draw(title, subtitle, panels, phases(samples, found["ramp_s"]))


def _known(samples: Sequence[Sample], values: Sequence[int]) -> list[tuple[float, float]]:
    """Without the seconds in which the router was not asked, or did not answer."""
    return [(s.at_s, value) for s, value in zip(samples, values, strict=True) if s.threads_connected]


def _rates(samples: Sequence[Sample]) -> list[tuple[float, float]]:
    seen = [sample for sample in samples if sample.threads_connected]
    return [
        (b.at_s, max(0.0, (b.queries - a.queries) / (b.at_s - a.at_s)))  # less after a restart: counted anew
        for a, b in pairwise(seen)
        if b.at_s > a.at_s
    ]
