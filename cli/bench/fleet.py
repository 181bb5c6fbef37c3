"""The generator processes, as one: all connect, all run a slice at the same time, all end."""

import time
from collections.abc import Sequence
from dataclasses import replace
from multiprocessing import get_context
from multiprocessing.connection import Connection as Pipe
from types import TracebackType
from typing import Any, Final, Self

from cli.bench.generator import DRAIN_S, Job, Slice, main
from cli.errors import CommandError

OPEN_S: Final = 120.0
START_S: Final = 0.05
"""From the order to the begin of a slice, so that all begin together."""


def shares(clients: int, processes: int) -> list[int]:
    """Clients of each process, as even as can be.

    >>> shares(5, 2)
    [3, 2]
    """
    whole, odd = divmod(clients, processes)
    return [whole + (i < odd) for i in range(processes)]


class Fleet:
    """Use it as a context: on leaving, every process has ended."""

    def __init__(self, job: Job, processes: int) -> None:
        # Not forked: the parent may have threads by then.
        context = get_context("spawn")
        self._pipes: list[Pipe] = []
        self._processes: list[Any] = []
        self.versions: dict[str, str] = {}
        for number, clients in enumerate(shares(job.clients, processes)):
            ours, theirs = context.Pipe()
            mine = replace(job, clients=clients, seed=job.seed + number)
            process = context.Process(target=main, args=(theirs, mine), daemon=True)
            process.start()
            theirs.close()
            self._pipes.append(ours)
            self._processes.append(process)

    def __enter__(self) -> Self:
        try:
            for pipe in self._pipes:
                word, what = self._receive(pipe, OPEN_S)
                if word != "ready":
                    raise CommandError(f"the clients cannot connect: {what}")
                self.versions |= what
        except BaseException:
            self.close()
            raise
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.close()

    def run(self, place: str, clients: int, seconds: float) -> Sequence[Slice]:
        """One slice; a part a process that took part."""
        at_s = time.monotonic() + START_S
        taking = [
            (pipe, share)
            for pipe, share in zip(self._pipes, shares(clients, len(self._pipes)), strict=True)
            if share
        ]
        for pipe, share in taking:
            pipe.send((at_s, place, share, seconds))
        return [self._receive(pipe, seconds + DRAIN_S + 5) for pipe, _ in taking]

    def _receive(self, pipe: Pipe, timeout_s: float) -> Any:
        try:
            if pipe.poll(timeout_s):
                return pipe.recv()
        except (EOFError, OSError):
            raise CommandError("a process of the load generator died") from None
        raise CommandError(f"a process of the load generator said nothing for {timeout_s:.0f} s")

    def close(self) -> None:
        for pipe in self._pipes:
            try:
                pipe.send(None)
            except OSError:
                pass
            pipe.close()
        for process in self._processes:
            process.join(5)
            if process.is_alive():
                process.kill()
                process.join()
