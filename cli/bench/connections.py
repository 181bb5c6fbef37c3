"""`clusterctl bench connections`: very many connections, opened, verified, held and closed, with live queries beside.

Phases: ramp (every process opens its share, a verified SELECT each), barrier, hold, drain. What is shown: connections
over time, MySQL's own Threads_connected, live queries' latency by phase, wrong answers, disconnects, memory by part.
"""

import argparse
import gc
import json
import math
import mmap
import multiprocessing
import os
import resource
import sys
import time
import urllib.request
from dataclasses import asdict
from pathlib import Path
from typing import Any, Final

from cli.bench import connections_live, places
from cli.bench.connection import Place
from cli.bench.connections_opener import (
    CELLS,
    DRAIN,
    HELD,
    HOLD,
    LOST,
    MAX_OPENING,
    RAMP,
    REFUSED,
    VERIFIED,
    WRONG,
    Opener,
    Share,
)
from cli.bench.connections_panels import Latency, Sample, percentiles, phases, picture
from cli.bench.connections_picture import svg
from cli.errors import DONE, FAILED, CommandError
from cli.target import Target
from core.config import parse_address

SPARE_DESCRIPTORS: Final = 100
LATE_S: Final = 120.0
"""So long after --ramp may the last connections come."""
DRAIN_S: Final = 120.0


class Board:
    """What the processes count, in memory that all share."""

    def __init__(self, processes: int) -> None:
        self.memory = mmap.mmap(-1, 8 * CELLS * (processes + 1))
        self._cells = memoryview(self.memory).cast("q")
        self._processes = processes

    def total(self, cell: int) -> int:
        return sum(self._cells[CELLS * (number + 1) + cell] for number in range(self._processes))

    def say(self, phase: int) -> None:
        self._cells[0] = phase


def run(target: Target, args: argparse.Namespace) -> int:
    """Prints figures; exit status 1 where an answer was wrong, or a connection was refused or lost."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    if args.per_worker + SPARE_DESCRIPTORS > hard:
        raise CommandError(
            f"--per-worker {args.per_worker} needs more than the {hard} descriptors a process may have: "
            f"take more workers (--workers {math.ceil(args.workers * args.per_worker / (hard - 200))}) with fewer each"
        )
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    place = places.find(target, args.keyspace, args.shard, args.user, args.password).router
    board = Board(args.workers)
    fork = multiprocessing.get_context("fork")
    result, theirs = fork.Pipe(duplex=False)
    processes = []
    if args.live_qps:
        live = (place, args.live_qps, args.live_sql, args.live_keys, board.memory, theirs)
        processes.append(fork.Process(target=connections_live.run, args=live, daemon=True))
    for number in range(args.workers):
        first, opening = 1 + number * args.per_worker, max(1, MAX_OPENING // args.workers)
        share = Share(number, place, args.per_worker, args.ramp, first, opening)
        processes.append(fork.Process(target=_open, args=(share, board.memory), daemon=True))
    sys.stdout.flush()
    gc.collect()
    gc.freeze()  # what the processes share with this one stays shared
    for process in processes:
        process.start()
    theirs.close()
    try:
        found = _follow(target, args, place, board)
        latencies: list[Latency] = []
        if args.live_qps and result.poll(20):
            try:
                latencies = result.recv()
            except EOFError:
                raise CommandError("the live queries could not log in, or broke off") from None
    finally:
        board.say(DRAIN)
        for process in processes:
            process.join(DRAIN_S)
            if process.is_alive():
                process.kill()
    found["drained_s"] = time.monotonic() - found.pop("drain_began_s")
    samples = found.pop("curve")
    _add_live(found, samples, latencies)
    _print(found)
    if args.json:
        Path(args.json).write_text(
            json.dumps({**found, "samples": [_flat(s) for s in samples]}, indent=1) + "\n"
        )
    if args.picture:
        from cli.bench.connections_png import png  # Pillow: only where it is needed

        cap = target.config.tablet.pool_size * sum(len(k.shards) for k in target.config.keyspaces)
        drawn = picture(found, samples, latencies, cap)
        path = Path(args.picture)
        path.with_suffix(".svg").write_text(svg(drawn), encoding="utf-8")
        path.with_suffix(".png").write_bytes(png(drawn))
    return FAILED if found["wrong"] or found["lost"] or found["refused"] or found["live_wrong"] else DONE


def _open(share: Share, board: mmap.mmap) -> None:
    Opener(share, board).run()


def _follow(target: Target, args: argparse.Namespace, place: Place, board: Board) -> dict[str, Any]:
    wanted = args.workers * args.per_worker
    began_s = time.monotonic()
    samples: list[Sample] = []
    phase, ramp_s, end_s = RAMP, 0.0, 0.0
    seen, moved_s = 0, 0.0
    while True:
        now_s = time.monotonic() - began_s
        held = board.total(HELD)
        settled = board.total(VERIFIED) + board.total(WRONG) + board.total(REFUSED)
        if not samples or now_s - samples[-1].at_s >= 1.0:
            samples.append(_sample(target, now_s, held, with_memory=False))
            _progress(phase, held, wanted, samples[-1], board)
        if settled != seen:
            seen, moved_s = settled, now_s
        # the hold begins when all are there; what is stuck is not waited for
        if phase == RAMP and (settled >= wanted or now_s - moved_s > LATE_S):
            phase, ramp_s, end_s = HOLD, now_s, now_s + args.hold
            board.say(HOLD)
        elif phase == HOLD and now_s >= end_s:
            break
        time.sleep(0.05)
    samples.append(_sample(target, time.monotonic() - began_s, board.total(HELD), with_memory=True))
    found = {
        "connections": wanted,
        "workers": args.workers,
        "held": board.total(HELD),
        "verified": board.total(VERIFIED),
        "wrong": board.total(WRONG),
        "refused": board.total(REFUSED),
        "lost": board.total(LOST),
        "ramp_s": ramp_s,
        "hold_s": args.hold,
        "live_qps": args.live_qps,
        "threads_connected_max": max(s.threads_connected for s in samples),
        "parked_max": max(s.parked for s in samples),
        "memory_mb": samples[-1].memory_mb,
        "curve": samples,
        "drain_began_s": time.monotonic(),
        "router": f"{place.host}:{place.port}",
        "cores": os.cpu_count(),
    }
    board.say(DRAIN)
    return found


def _progress(phase: int, held: int, wanted: int, sample: Sample, board: Board) -> None:
    share = held / wanted
    bar = "#" * int(30 * share) + "." * (30 - int(30 * share))
    bad = board.total(REFUSED) + board.total(LOST) + board.total(WRONG)
    text = (
        f"{'ramp' if phase == RAMP else 'hold'} [{bar}] {held:>9,} of {wanted:,}  {sample.at_s:5.0f} s  "
        f"MySQL {sample.threads_connected}  parked {sample.parked:,}  bad {bad}"
    )
    end = "\r" if sys.stderr.isatty() else "\n"
    print(text, end=end, file=sys.stderr, flush=True)


def _sample(target: Target, at_s: float, held: int, *, with_memory: bool) -> Sample:
    """`with_memory`: takes some ms of the kernel for each process, so not every second."""
    host, port = parse_address(target.config.router.http, "[router] http")
    try:
        with urllib.request.urlopen(f"http://{host}:{port}/debug/cluster", timeout=5) as answer:
            view = json.load(answer)
    except (OSError, ValueError):
        return Sample(at_s, held)
    sample = Sample(
        at_s,
        held,
        threads_connected=sum(int(tablet.get("mysql_threads_connected") or 0) for tablet in view["tablets"]),
        parked=sum(int(worker.get("parked") or 0) for worker in view["workers"]),
        queries=sum(int(worker.get("queries") or 0) for worker in view["workers"]),
        restarting=view.get("restart", {}).get("state") == "running",
    )
    if with_memory:
        memory = {
            "router workers": sum(_pss_mb(int(worker["pid"])) for worker in view["workers"]),
            "router main": _pss_mb(int(view["router"]["pid"])),
            "tablets": sum(int(tablet.get("rss_bytes") or 0) for tablet in view["tablets"]) / 1e6,
            "kernel TCP": _kernel_tcp_mb(),
        }
        sample.memory_mb = {name: round(value, 1) for name, value in memory.items()}
    return sample


def _pss_mb(pid: int) -> float:
    """Memory of a process, what it shares counted by its part."""
    try:
        text = Path(f"/proc/{pid}/smaps_rollup").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1000 for line in text.splitlines() if line.startswith("Pss:"))


def _kernel_tcp_mb() -> float:
    """Sockets' slabs where they can be read, else the buffers' pages alone."""
    try:
        text = Path("/proc/meminfo").read_text()
    except OSError:
        return 0.0
    return next(int(line.split()[1]) / 1000 for line in text.splitlines() if line.startswith("Slab:"))


def _add_live(found: dict[str, Any], samples: list[Sample], latencies: list[Latency]) -> None:
    spans = phases(samples, found["ramp_s"])
    for name in ("ramp", "hold", "restart"):
        found[f"live_{name}_p50_ms"], found[f"live_{name}_p99_ms"] = percentiles(
            latencies, [span for span in spans if span.name.startswith(name)]
        )
    found["live_queries"] = len(latencies)
    found["live_wrong"] = sum(1 for _, _, right in latencies if not right)


def _print(found: dict[str, Any]) -> None:
    print(f"{found['verified']:,} of {found['connections']:,} connections verified in {found['ramp_s']:.1f} s; "
          f"{found['held']:,} held for {found['hold_s']:.0f} s; drained in {found['drained_s']:.1f} s")  # fmt: skip
    print(f"wrong answers {found['wrong']}, refused {found['refused']}, disconnects {found['lost']}")
    print(
        f"MySQL connections at most {found['threads_connected_max']}; parked at most {found['parked_max']:,}"
    )
    if found["live_queries"]:
        print(f"live queries {found['live_queries']:,}, {found['live_wrong']} wrong or lost; p50/p99 ms: "
              f"ramp {found['live_ramp_p50_ms']}/{found['live_ramp_p99_ms']}, "
              f"hold {found['live_hold_p50_ms']}/{found['live_hold_p99_ms']}, "
              f"restart {found['live_restart_p50_ms']}/{found['live_restart_p99_ms']}")  # fmt: skip
    print("memory, MB: " + ", ".join(f"{name} {value:,.0f}" for name, value in found["memory_mb"].items()))
    if os.cpu_count():
        print(f"on {os.cpu_count()} cores, generator included; slab memory is that of the whole machine")


def _flat(sample: Sample) -> dict[str, Any]:
    return {**asdict(sample), "at_s": round(sample.at_s, 2)}
