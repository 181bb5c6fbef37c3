"""The process that makes the load: N connections to one place, each asking again as soon as it was answered.

It is told what to do over a pipe and sends back a `Slice`. Every answer is checked; the common one, a row of known
length, with three comparisons of bytes and no parsing: it is equal, but for the value, to one that was parsed.
"""

import asyncio
import contextlib
import resource
import time
from array import array
from collections import Counter
from dataclasses import dataclass, field
from multiprocessing.connection import Connection as Pipe
from random import Random
from time import perf_counter
from typing import Any

import uvloop

from cli.bench import workload
from cli.bench.connection import Connection, ConnectionLost, Place, connect
from cli.bench.protocol import Answer, Login, ServerRefused, execute, query
from cli.bench.workload import ROLLBACK, Kind, Step
from wire.errors import WireError

OPENING = 32
"""Logins at the same time."""
DRAIN_S = 30.0
PROFILES = "profiles"
"""The name of the place whose clients have settings."""


@dataclass(frozen=True, slots=True)
class Job:
    """What a generator connects for."""

    places: tuple[Place, ...]
    clients: int
    rows: int
    mode: str
    prepared: bool
    seed: int
    profiles: int = 0
    """How many different settings the clients of the place `PROFILES` have."""


@dataclass(slots=True)
class Slice:
    """What happened in one place for `seconds`; what ended later is not counted."""

    place: str
    clients: int
    seconds: float
    events: int = 0
    queries: int = 0
    wrong: int = 0
    lost: int = 0
    """Connections that broke."""
    errors: Counter[str] = field(default_factory=Counter)
    cpu_s: float = 0.0
    """Of the generator itself."""
    latencies_s: "array[float]" = field(default_factory=lambda: array("d"))
    """One an event: a statement in mode `point`, else a transaction."""


class Template:
    """An answer that was parsed and found right, around its value."""

    __slots__ = ("end", "prefix", "size", "start", "suffix")

    def __init__(self) -> None:
        self.size = -1
        self.prefix = self.suffix = b""
        self.start = 0

    def learn(self, data: bytes, value: bytes) -> None:
        self.start = data.find(value)
        if self.start >= 0:
            self.prefix = data[: self.start]
            self.suffix = data[self.start + len(value) :]
            self.size = len(data)


class Client(Connection):
    """A connection under load. `begin` starts it, `ended` is set when it has stopped."""

    __slots__ = (
        "_at", "_began_s", "_event", "_first", "_job", "_one_chunk", "_random", "_slice", "_statements", "_step",
        "_template", "_until_s", "ended",
    )  # fmt: skip

    def __init__(self, login: Login) -> None:
        super().__init__(login)
        self.ended: asyncio.Future[None] | None = None
        self._statements: dict[Kind, int] = {}
        self._first: set[Kind] = set()
        self._step: Step | None = None
        self._event: list[Step] = []
        self._at = 0
        self._one_chunk = b""

    async def set_up(self, job: Job, template: Template, seed: int) -> None:
        """Prepares what is to be prepared."""
        self._job = job
        self._template = template
        self._random = Random(seed)
        if job.prepared:
            for kind in workload.kinds(job.mode):
                self._statements[kind] = await self.prepare(kind.sql)
                self._first.add(kind)

    def begin(self, into: Slice, until_s: float) -> None:
        """Asks until `until_s` (perf_counter)."""
        self.ended = asyncio.get_running_loop().create_future()
        self._slice = into
        self._until_s = until_s
        if self.lost is not None:
            self.fail(self.lost)
        else:
            self._next_event()

    def _next_event(self) -> None:
        job = self._job
        self._began_s = perf_counter()
        if job.mode == "point":
            self._ask(workload.point(int(self._random.random() * job.rows) + 1))
        else:
            self._event = workload.transaction(job.mode, job.rows, self._random)
            self._at = 0
            self._ask(self._event[0])

    def _ask(self, step: Step) -> None:
        self._step = step
        kind = step.kind
        statement = self._statements.get(kind)
        if statement is None:
            self.send(query(kind.text(step.parameters)))
        else:
            first = kind in self._first
            self._first.discard(kind)
            self.send(execute(statement, step.parameters, first=first), binary=True)

    def data_received(self, data: bytes) -> None:
        step = self._step
        if step is None:
            super().data_received(data)
            return
        template = self._template
        expected = step.exactly
        if (
            expected is not None
            and len(data) == template.size
            and data.startswith(expected, template.start)
            and data.startswith(template.prefix)
            and data.endswith(template.suffix)
            and not self._one_chunk
        ):
            self._right()
            return
        self._one_chunk = data if not self._one_chunk else b"several"
        super().data_received(data)

    def answered(self, answer: Answer) -> None:
        step = self._step
        if step is None:
            super().answered(answer)
            return
        chunk, self._one_chunk = self._one_chunk, b""
        if answer.error is not None:
            self._slice.errors[f"{answer.error.number}: {answer.error.text[:200]}"] += 1
            self._after_error(step)
            return
        if step.check is not None and not step.check(answer.rows):
            self._slice.wrong += 1
        elif step.exactly is not None:
            self._template.learn(chunk, step.exactly)
        self._right()

    def _right(self) -> None:
        into = self._slice
        now_s = perf_counter()
        if now_s < self._until_s:
            into.queries += 1
        if self._event:
            self._at += 1
            if self._at < len(self._event):
                self._ask(self._event[self._at])
                return
        if now_s >= self._until_s:
            self._stop()
            return
        if not self._event or self._event[0].kind is not ROLLBACK:
            into.events += 1
            into.latencies_s.append(now_s - self._began_s)
        self._next_event()

    def _after_error(self, step: Step) -> None:
        """A transaction is rolled back and forgotten; the next event begins in a clean session."""
        if self._event and step.kind is not ROLLBACK:
            self._event = [Step(ROLLBACK)]
            self._at = 0
            self._ask(self._event[0])
        elif perf_counter() >= self._until_s:
            self._stop()
        else:
            self._next_event()

    def _stop(self) -> None:
        self._step = None
        self._event = []
        if self.ended is not None and not self.ended.done():
            self.ended.set_result(None)

    def fail(self, error: Exception) -> None:
        super().fail(error)
        if self.ended is not None and not self.ended.done():
            self._slice.lost += 1
            self._slice.errors[str(error)[:200]] += 1
            self._stop()


class Generator:
    """The connections of one process."""

    def __init__(self, job: Job) -> None:
        self._job = job
        self._clients: dict[str, list[Client]] = {}

    async def open(self) -> dict[str, str]:
        """Connects to every place; the version that each announced, by place. Raises as `connect`."""
        job = self._job
        gate = asyncio.Semaphore(OPENING)
        for place in job.places:
            template = Template()

            async def one(number: int, place: Place = place, template: Template = template) -> Client:
                async with gate:
                    client = await connect(place, Client)
                    assert isinstance(client, Client)
                    if job.profiles and place.name == PROFILES:
                        await client.query(workload.profile(number % job.profiles))
                    await client.set_up(job, template, job.seed * 1_000_003 + number)
                    return client

            self._clients[place.name] = list(await asyncio.gather(*map(one, range(job.clients))))
        return {name: clients[0].server_version for name, clients in self._clients.items() if clients}

    async def run(self, place: str, clients: int, seconds: float) -> Slice:
        """One slice on the first `clients` connections."""
        chosen = self._clients[place][:clients]
        into = Slice(place, clients, seconds)
        before = _cpu_s()
        until_s = perf_counter() + seconds
        for client in chosen:
            client.begin(into, until_s)
        done, late = await asyncio.wait(
            [client.ended for client in chosen if client.ended is not None], timeout=seconds + DRAIN_S
        )
        del done
        into.cpu_s = _cpu_s() - before
        for client in chosen:
            if client.ended in late:
                client.break_off(ConnectionLost(f"no answer for {DRAIN_S:.0f} s after the end"))
        return into

    def close(self) -> None:
        for clients in self._clients.values():
            for client in clients:
                client.close()


def _cpu_s() -> float:
    used = resource.getrusage(resource.RUSAGE_SELF)
    return used.ru_utime + used.ru_stime


def main(pipe: Pipe, job: Job) -> None:
    """A generator's whole life: says ("ready", versions) or ("failed", why), then a Slice for each (place, clients,
    seconds), until None or the pipe's end."""
    # Ctrl-C is the parent's: it ends this process by closing the pipe.
    with contextlib.suppress(KeyboardInterrupt, EOFError, BrokenPipeError):
        uvloop.run(_serve(pipe, job))


async def _serve(pipe: Pipe, job: Job) -> None:
    generator = Generator(job)
    try:
        pipe.send(("ready", await generator.open()))
    except (OSError, ServerRefused, ConnectionLost, WireError, TimeoutError) as error:
        pipe.send(("failed", str(error) or type(error).__name__))
        return
    loop = asyncio.get_running_loop()
    while True:
        order: Any = await loop.run_in_executor(None, pipe.recv)
        if order is None:
            generator.close()
            await asyncio.sleep(0)
            return
        at_s, place, clients, seconds = order
        await asyncio.sleep(max(0.0, at_s - time.monotonic()))
        pipe.send(await generator.run(place, clients, seconds))
