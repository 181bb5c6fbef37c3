"""`clusterctl bench memory`: what an idle client costs the router's workers.

Each client is a connection of its own that has logged in and had one statement answered, with a value that only it
asked for. Measured is what the workers' memory (/proc/PID/smaps_rollup) grows by from the state of a router that is
warm but empty. The kernel's buffers are not in it, nor is what the clients' own process needs.
"""

import argparse
import asyncio
import json
import resource
import time
from dataclasses import dataclass
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from pathlib import Path
from typing import Any, Final

import uvloop

from cli.bench import places as where
from cli.bench.connection import Connection, Place, connect
from cli.bench.table import FAILURES
from cli.commands.status import router_view
from cli.errors import DONE, FAILED, CommandError
from cli.target import Target
from core.process import identify

OPENING: Final = 64
WARM_CLIENTS: Final = 10
"""Enough that all code has run once, and few: what they free is used again by those that are measured."""
SETTLE_S: Final = 2.0
FEW_FILES: Final = 100
"""Descriptors of a holding process that are not clients."""
PORTS: Final = 20_000
"""Connections from one source address, of some 28,000 that Linux has ports for."""


@dataclass(frozen=True, slots=True)
class Memory:
    """Bytes, of all workers."""

    rss: int
    pss: int
    """Pages that several processes share are counted in parts."""
    private: int


def run(target: Target, args: argparse.Namespace) -> int:
    """Prints the growth; exit status 1 where a client was lost or answered wrongly."""
    place = where.router_place(target, args.keyspace, args.user, args.password)
    workers = worker_pids(target)
    most = target.config.router.max_connections
    if args.clients > most:
        raise CommandError(
            f"--clients {args.clients} is above [router] max_connections {most}: raise it, or ask for fewer"
        )
    _hold(place, min(WARM_CLIENTS, args.clients), settle_s=SETTLE_S, workers=workers)
    empty = measure(workers)
    held_before = clients_so_far(target)
    taken = _hold(place, args.clients, settle_s=args.settle, workers=workers)
    if worker_pids(target) != workers:
        raise CommandError("a worker was started anew meanwhile: the figures mean nothing")
    found = {
        "clients": args.clients,
        "workers": len(workers),
        "wrong": taken["wrong"],
        "clients_before": held_before,
        "seconds_to_connect": taken["connect_s"],
        "empty": _json(empty),
        "logged_in": _json(taken["logged_in"]),
        "answered": _json(taken["answered"]),
        "bytes_per_client": growth(empty, taken["answered"], args.clients),
        "bytes_per_client_before_a_query": growth(empty, taken["logged_in"], args.clients),
    }
    each = found["bytes_per_client"]
    before = found["bytes_per_client_before_a_query"]
    print(
        f"{args.clients:,} idle clients on {len(workers)} workers, connected in {taken['connect_s']:.1f} s,"
        f" {taken['wrong']} wrong answers"
    )
    print("bytes a client             RSS      PSS  private")
    print(f"logged in           {before['rss']:>10,} {before['pss']:>8,} {before['private']:>8,}")
    print(f"after one query     {each['rss']:>10,} {each['pss']:>8,} {each['private']:>8,}")
    if held_before > args.clients // 20 + WARM_CLIENTS:
        print(
            f"note: this router had {held_before:,} clients before; memory that they freed is used again, so the"
            " figures are too low. Measure on a router that was just started."
        )
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    return FAILED if taken["wrong"] else DONE


def worker_pids(target: Target) -> tuple[int, ...]:
    """The router's workers, which must be on this machine. Raises CommandError."""
    view = router_view(target.config.router.http)
    if view is None:
        raise CommandError(
            f"the router at {target.config.router.http} does not answer: {target.command('up')}"
        )
    pids = tuple(sorted(int(w["pid"]) for w in view.get("workers", []) if w.get("pid")))
    if not pids or any(identify(pid) is None for pid in pids):
        raise CommandError("the router's workers are not on this machine: run it there")
    return pids


def clients_so_far(target: Target) -> int:
    """Connections that the workers have accepted since they started."""
    view = router_view(target.config.router.http) or {}
    return sum(int(w.get("connections_total", 0)) for w in view.get("workers", []))


def measure(pids: tuple[int, ...]) -> Memory:
    """Raises CommandError where a process is gone, or is not ours to look at."""
    texts = []
    for pid in pids:
        try:
            texts.append(Path(f"/proc/{pid}/smaps_rollup").read_text(encoding="ascii"))
        except OSError as error:
            raise CommandError(f"the memory of worker {pid} cannot be read: {error.strerror}") from None
    return read_rollups(texts)


def read_rollups(texts: list[str]) -> Memory:
    """The sum of what smaps_rollup says of several processes (proc(5); it counts in KiB)."""
    sums = {"Rss": 0, "Pss": 0, "Private_Clean": 0, "Private_Dirty": 0}
    for text in texts:
        for line in text.splitlines():
            name, _, rest = line.partition(":")
            if name in sums and rest.endswith("kB"):
                sums[name] += int(rest.split()[0]) * 1024
    return Memory(sums["Rss"], sums["Pss"], sums["Private_Clean"] + sums["Private_Dirty"])


def growth(before: Memory, after: Memory, clients: int) -> dict[str, int]:
    """Bytes a client."""
    return {key: round((getattr(after, key) - getattr(before, key)) / clients) for key in Memory.__slots__}


def _json(memory: Memory) -> dict[str, int]:
    return {key: getattr(memory, key) for key in Memory.__slots__}


def _hold(place: Place, clients: int, *, settle_s: float, workers: tuple[int, ...]) -> dict[str, Any]:
    """Opens `clients`, measures, lets each ask once, measures, closes."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    del soft
    each = min(PORTS, hard - FEW_FILES)
    context = get_context("spawn")
    pipes: list[Pipe] = []
    processes = []
    began_s = time.monotonic()
    try:
        for number, first in enumerate(range(0, clients, each)):
            ours, theirs = context.Pipe()
            share = range(first, min(clients, first + each))
            process = context.Process(target=_holder, args=(theirs, place, share, number), daemon=True)
            process.start()
            theirs.close()
            pipes.append(ours)
            processes.append(process)
        _all(pipes)
        taken: dict[str, Any] = {"connect_s": time.monotonic() - began_s}
        time.sleep(settle_s)
        taken["logged_in"] = measure(workers)
        taken["wrong"] = sum(_all(pipes, "ask"))
        time.sleep(settle_s)
        taken["answered"] = measure(workers)
        _all(pipes, "close")
    finally:
        for pipe in pipes:
            pipe.close()
        for process in processes:
            process.join(10)
            if process.is_alive():
                process.kill()
                process.join()
    time.sleep(settle_s)
    return taken


def _all(pipes: list[Pipe], order: str | None = None) -> list[int]:
    """Every process's number: wrong answers. Raises CommandError with the first one's trouble."""
    answers = []
    for pipe in pipes:
        if order is not None:
            pipe.send(order)
    for pipe in pipes:
        try:
            word, what = pipe.recv()
        except EOFError:
            raise CommandError("a process that holds clients died") from None
        if word != "done":
            raise CommandError(f"the clients cannot connect: {what}")
        answers.append(int(what))
    return answers


def _holder(pipe: Pipe, place: Place, share: range, number: int) -> None:
    """A process that holds the clients of `share`."""
    hard = resource.getrlimit(resource.RLIMIT_NOFILE)[1]
    resource.setrlimit(resource.RLIMIT_NOFILE, (hard, hard))
    try:
        uvloop.run(_hold_here(pipe, place, share, number))
    except FAILURES as error:
        pipe.send(("failed", str(error) or type(error).__name__))
    except (KeyboardInterrupt, EOFError, BrokenPipeError):
        pass


async def _hold_here(pipe: Pipe, place: Place, share: range, number: int) -> None:
    source = f"127.0.0.{number + 1}" if place.host.startswith("127.") else None
    gate = asyncio.Semaphore(OPENING)

    async def one() -> Connection:
        async with gate:
            return await connect(place, source=source)

    held = await asyncio.gather(*(one() for _ in share))
    pipe.send(("done", 0))
    loop = asyncio.get_running_loop()
    while (order := await loop.run_in_executor(None, pipe.recv)) == "ask":

        async def ask(connection: Connection, value: int) -> bool:
            async with gate:
                return (await connection.query(f"SELECT {value}")).rows == (b"%d" % value,)

        right = await asyncio.gather(*map(ask, held, share))
        pipe.send(("done", len(right) - sum(right)))
    assert order == "close"
    for connection in held:
        connection.close()
    await asyncio.sleep(0.1)
    pipe.send(("done", 0))
