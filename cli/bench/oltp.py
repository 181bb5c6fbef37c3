"""`clusterctl bench oltp`: the same load on one MySQL and through the router, in turn, in one run.

With --profiles N both loads go through the router: clients that SET nothing, and clients with N different settings.
"""

import argparse
import json
import os
import sys
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

from cli.bench import places as where
from cli.bench import results, sysbench, table, workload
from cli.bench.fleet import Fleet
from cli.bench.generator import PROFILES, Job
from cli.bench.places import Places
from cli.bench.results import Measured, Phase
from cli.bench.room import room_for
from cli.errors import DONE, FAILED, CommandError
from cli.target import Target

SINGLE_SHARE = 3
"""The phase of one client takes that part of --seconds."""
WARM_UP_S = 1.0

RunSlice = Callable[[str, int, float], Measured]


def run(target: Target, args: argparse.Namespace) -> int:
    """Prints a table; exit status 1 where an answer was wrong, or none came."""
    places = where.find(target, args.keyspace, args.shard, args.user, args.password)
    if args.sysbench:
        sysbench.find()
    with room_for(target, places, args.clients) as note:
        if note:
            _say(note)
        found, phases = _with_sysbench(places, args) if args.sysbench else _own(places, args)
    for line in (found["what"], "", *results.table(phases, transactions=args.mode != "point")):
        print(line)
    found["phases"] = [phase.to_json() for phase in phases]
    if args.json:
        _write_json(args.json, found)
    return FAILED if any(phase.failed for phase in phases) else DONE


def _own(places: Places, args: argparse.Namespace) -> tuple[dict[str, Any], list[Phase]]:
    _say(f"making {workload.TABLE} with {args.rows:,} rows on {places.keyspace}/{places.shard}")
    version = table.create(places.direct, args.rows)
    try:
        places = _reachable(places)
        compared = (places.direct, places.router)
        if args.profiles:
            compared = (places.router, replace(places.router, name=PROFILES))
        job = Job(
            compared,
            args.clients,
            args.rows,
            args.mode,
            args.statement == "prepared",
            args.seed,
            args.profiles,
        )
        with Fleet(job, min(args.processes, args.clients)) as fleet:

            def run_slice(place: str, clients: int, seconds: float) -> Measured:
                return results.measure(fleet.run(place, clients, seconds))

            if args.profiles:
                phases = [_phase(run_slice, args.clients, args.seconds, args.slices, ("router", PROFILES))]
                pins = table.pins(places.router)
            else:
                phases = _phases(run_slice, args)
    finally:
        if not args.keep:
            table.drop(places.direct)
    what = f"{args.mode}, {args.statement}: {args.rows:,} rows"
    if args.profiles:
        what += f", without SETs and with {args.profiles} different settings, {pins} connections reserved,"
    return _described(places, args, version, what), phases


def _with_sysbench(places: Places, args: argparse.Namespace) -> tuple[dict[str, Any], list[Phase]]:
    by_name = {"direct": places.direct, "router": places.router}
    options: dict[str, Any] = {"rows": args.rows, "statement": args.statement}
    _say(f"sysbench makes {sysbench.TABLE} with {args.rows:,} rows on {places.keyspace}/{places.shard}")
    version = table.version(places.direct)
    sysbench.run(places.direct, "cleanup", threads=1, seconds=60, **options)
    sysbench.run(places.direct, "prepare", threads=1, seconds=60, **options)
    try:

        def run_slice(place: str, clients: int, seconds: float) -> Measured:
            return sysbench.parse(
                sysbench.run(by_name[place], "run", threads=clients, seconds=seconds, **options)
            )

        phases = _phases(run_slice, args)
    finally:
        if not args.keep:
            sysbench.run(places.direct, "cleanup", threads=1, seconds=60, **options)
    what = f"sysbench oltp_point_select, {args.statement}: {args.rows:,} rows"
    return _described(places, args, version, what), phases


def _reachable(places: Places) -> Places:
    """With the router's place as it finds the table: through its keyspace, else (a VSchema that does not know the
    table) with the shard named."""
    why = table.answers(places.router)
    if not why:
        return places
    if table.answers(places.targeted):
        raise CommandError(f"the router does not find the table: {why}")
    _say(f"the router runs it on the shard by name, {places.targeted.database}, since: {why}")
    return replace(places, router=places.targeted)


def _phases(run_slice: RunSlice, args: argparse.Namespace) -> list[Phase]:
    """Many clients, then one."""
    for place in ("direct", "router"):
        _say(f"warm-up, {place}")
        run_slice(place, args.clients, min(WARM_UP_S, args.seconds / 4))
    phases = [_phase(run_slice, args.clients, args.seconds, args.slices)]
    if args.clients > 1 and not args.no_single:
        phases.append(_phase(run_slice, 1, args.seconds / SINGLE_SHARE, args.slices))
    return phases


def _phase(
    run_slice: RunSlice,
    clients: int,
    seconds: float,
    slices: int,
    names: tuple[str, str] = ("direct", "router"),
) -> Phase:
    direct: list[Measured] = []
    router: list[Measured] = []
    for number in range(1, slices + 1):
        for place, into in zip(names, (direct, router), strict=True):
            _say(f"{clients} client{'s' * (clients > 1)}, {place}, slice {number} of {slices}")
            into.append(run_slice(place, clients, seconds / slices))
    return Phase(clients, tuple(direct), tuple(router), names)


def _described(places: Places, args: argparse.Namespace, version: str, what: str) -> dict[str, Any]:
    each = args.seconds / args.slices
    compared = ("router", PROFILES) if args.profiles else ("direct", "router")
    return {
        "what": f"{what} on {places.keyspace}/{places.shard} ({version}), {' and '.join(compared)} in turn,"
        f" {args.slices} slices of {each:g} s each, {os.cpu_count()} cores",
        "keyspace": places.keyspace,
        "shard": places.shard,
        "server": version,
        "load": "sysbench" if args.sysbench else "own",
        "mode": args.mode,
        "statement": args.statement,
        "rows": args.rows,
        "profiles": args.profiles,
        "seconds": args.seconds,
        "slices": args.slices,
        "cores": os.cpu_count(),
    }


def _write_json(path: str, found: dict[str, Any]) -> None:
    text = json.dumps(found, indent=1) + "\n"
    if path == "-":
        sys.stdout.write(text)
        return
    try:
        Path(path).write_text(text, encoding="utf-8")
    except OSError as error:
        raise CommandError(f"--json {path}: {error.strerror}") from None


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)
