"""`clusterctl bench overload`: what is left of the throughput when clients ask for many times what there is.

Statements that take a known time on MySQL, so that the pool and not the CPU is what is short. First as many clients as
the pool bears, each asking again when answered: the best. Then statements at `--times` that rate, whatever the answers
take, over `--clients` connections. Goodput counts right answers within `--deadline` of the moment they were due: what
clients wait is what queue_timeout_ms should be, else they are served when they have gone.
"""

import argparse
import json
import os
import select
import time
from collections import Counter, deque
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any, Final

from cli.bench import places
from cli.bench.bare_client import BareClient
from cli.bench.connection import Place
from cli.bench.protocol import ServerRefused
from cli.errors import DONE, FAILED, CommandError
from cli.target import Target
from wire.errors import WireError

LEAST_SHARE: Final = 0.8
SPARE: Final = 4
"""Connections of the pool that the tablet may need for itself."""
WARM_UP_S: Final = 0.5


@dataclass(slots=True)
class Outcome:
    """What became of the statements that were due in `seconds`."""

    seconds: float
    due: int = 0
    good: int = 0
    late: int = 0
    """Right, but after the deadline."""
    unsent: int = 0
    """No client was free: all waited for their answers."""
    wrong: int = 0
    lost: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    """By error number."""
    words: dict[int, str] = field(default_factory=dict)
    """What the first refusal of each number said."""
    good_s: list[float] = field(default_factory=list)
    refused_s: list[float] = field(default_factory=list)


def run(target: Target, args: argparse.Namespace) -> int:
    """Exit status 1 where goodput falls under LEAST_SHARE of the best, an answer was wrong, or a client was lost."""
    place = places.find(target, args.keyspace, args.shard, args.user, args.password).targeted
    runners = max(1, target.config.tablet.pool_size - SPARE)
    try:
        clients = [BareClient(place) for _ in range(max(args.clients, runners))]
    except (OSError, ServerRefused, WireError) as error:
        raise CommandError(f"the clients cannot log in: {error}") from None
    deadline_s = args.deadline or target.config.tablet.queue_timeout_ms / 1000
    load = _Load(clients, args.query_ms, deadline_s)
    load.closed(runners, WARM_UP_S)
    best = load.closed(runners, args.seconds)
    rate = best.good / best.seconds
    over = load.opened(rate * args.times, args.seconds)
    goodput = over.good / over.seconds
    found = {
        "best_per_s": round(rate, 1),
        "offered_per_s": round(rate * args.times, 1),
        "goodput_per_s": round(goodput, 1),
        "share": round(goodput / rate, 3) if rate else 0.0,
        "clients": len(clients),
        "query_ms": args.query_ms,
        "deadline_s": deadline_s,
        "good_ms": _percentiles(over.good_s),
        "refused_ms": _percentiles(over.refused_s),
        "overload": {k: v for k, v in asdict(over).items() if k not in ("good_s", "refused_s")},
    }
    _print(found, over, place)
    if args.json:
        Path(args.json).write_text(json.dumps(found, indent=1) + "\n", encoding="utf-8")
    bad = over.wrong + over.lost + best.wrong + best.lost
    return DONE if rate and goodput >= LEAST_SHARE * rate and not bad else FAILED


class _Load:
    """The clients, and what they ask."""

    def __init__(self, clients: Sequence[BareClient], query_ms: float, deadline_s: float) -> None:
        self._deadline_s = deadline_s
        self._sql = f"SELECT {{n}} FROM (SELECT SLEEP({query_ms / 1000:g})) AS pause"
        self._free = deque(clients)
        self._by_fd = {client.sock.fileno(): client for client in clients}
        self._epoll = select.epoll()
        self._asked = 0
        for fd in self._by_fd:
            self._epoll.register(fd, select.EPOLLIN)

    def closed(self, runners: int, seconds: float) -> Outcome:
        """`runners` clients, each asking again once answered."""
        outcome = Outcome(seconds)
        end_s = time.monotonic() + seconds
        busy = 0
        while (now_s := time.monotonic()) < end_s or busy:
            while now_s < end_s and busy < runners and self._free:
                self._ask(now_s)
                busy += 1
            busy -= self._answers(outcome, 0.1, end_s)
        return outcome

    def opened(self, per_second: float, seconds: float) -> Outcome:
        """A statement every 1/`per_second`, by whichever client is free."""
        outcome = Outcome(seconds)
        began_s = time.monotonic()
        end_s = began_s + seconds
        busy = 0
        while (now_s := time.monotonic()) < end_s:
            while began_s + outcome.due / per_second <= now_s:
                due_s = began_s + outcome.due / per_second
                outcome.due += 1
                if self._free:
                    self._ask(due_s)
                    busy += 1
                else:
                    outcome.unsent += 1
            wait_s = began_s + outcome.due / per_second - time.monotonic()
            busy -= self._answers(outcome, max(0.0, min(wait_s, 0.05)), end_s)
        last_s = end_s + self._deadline_s + 15
        while busy and time.monotonic() < last_s:
            busy -= self._answers(outcome, 0.1, end_s + self._deadline_s)
        outcome.lost += busy
        return outcome

    def _ask(self, due_s: float) -> None:
        client = self._free.popleft()
        self._asked += 1
        client.due_s, client.number = due_s, self._asked
        client.ask(self._sql.replace("{n}", str(self._asked)))

    def _answers(self, outcome: Outcome, wait_s: float, until_s: float) -> int:
        """Takes the answers that came; how many clients are free again, or gone. What comes after `until_s` is not
        good any more."""
        ended = 0
        for fd, _ in self._epoll.poll(wait_s):
            client = self._by_fd[fd]
            try:
                answer = client.read()
            except (OSError, WireError):
                outcome.lost += 1
                self._epoll.unregister(fd)
                client.sock.close()
                ended += 1
                continue
            if answer is None:
                continue
            ended += 1
            self._free.append(client)
            now_s = time.monotonic()
            took_s = now_s - client.due_s
            if answer.error is not None:
                outcome.refused[answer.error.number] += 1
                outcome.words.setdefault(answer.error.number, answer.error.text)
                outcome.refused_s.append(took_s)
            elif answer.rows != (str(client.number).encode(),):
                outcome.wrong += 1
            elif took_s <= self._deadline_s and now_s <= until_s:
                outcome.good += 1
                outcome.good_s.append(took_s)
            else:
                outcome.late += 1
        return ended


def _percentiles(values: list[float]) -> tuple[float, float] | None:
    """p50 and p99 in ms."""
    if not values:
        return None
    values.sort()
    return round(values[len(values) // 2] * 1000, 1), round(values[len(values) * 99 // 100] * 1000, 1)


def _print(found: dict[str, Any], over: Outcome, place: Place) -> None:
    print(f"{place.database}: statements of {found['query_ms']:g} ms, {found['clients']} clients, "
          f"answers within {found['deadline_s']:g} s, {os.cpu_count()} cores")  # fmt: skip
    print(f"best               {found['best_per_s']:>9,.1f} a second")
    print(f"asked for          {found['offered_per_s']:>9,.1f} a second")
    print(f"goodput            {found['goodput_per_s']:>9,.1f} a second, {found['share']:.0%} of the best; "
          f"p50/p99 ms {found['good_ms']}")  # fmt: skip
    refused = sum(over.refused.values())
    print(f"refused            {refused:>9,} of {over.due:,}, p50/p99 ms {found['refused_ms']}; late {over.late}, "
          f"not sent since all clients waited {over.unsent:,}, wrong {over.wrong}, lost {over.lost}")  # fmt: skip
    for number, text in over.words.items():
        print(f"  {number} ({over.refused[number]:,} times): {text}")
