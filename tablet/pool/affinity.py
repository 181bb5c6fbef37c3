"""Which connection for which settings: whom a waiter fits, and which connection loses the settings that it has.

A SET costs a round trip, and another one when the settings that it took away are wanted again. With 20 profiles on
15 connections and 32 clients that ask as fast as they are answered, `take` by `take`, four statements in five needed
one; with what follows one in five does:
- statements that come in one turn of the loop are looked at together, before any connection is changed;
- a waiter whose settings are on a connection that is running waits for it, AFFINITY_S at most (`admission.py`);
- a connection that comes back goes to who waits for its settings, before others that came a little earlier;
- the connection that is changed has settings which another idle one has too; else it is any, not the least recently
  used: where clients ask in turn, that one is wanted next.
"""

import asyncio
from collections.abc import Callable, Iterable
from random import Random
from typing import Any

from tablet.backend.connection import Connection, Profile
from tablet.pool.admission import AFFINITY_S, CHANGED, NOW, SOON

Idle = dict[Profile, list[Connection]]


def fit_of(idle: Idle, connections: Iterable[Connection]) -> Callable[[Any], int]:
    """Tells NOW, SOON or CHANGED of a profile. A connection that a session holds does not come back soon."""
    busy: set[Profile] | None = None

    def fit(profile: Any) -> int:
        nonlocal busy
        if idle.get(profile):
            return NOW
        if busy is None:
            busy = {c.statement.profile for c in connections if c.statement is not None and not c.held}
        return SOON if profile in busy else CHANGED

    return fit


def cheapest_to_change(idle: Idle, wanted: Profile, random: Random) -> list[Connection]:
    """The bucket of `idle`, not empty and of the right flavour, whose first connection is to be changed to `wanted`.
    Buckets that are empty are taken out. There must be one."""
    choice: list[list[Connection]] = []
    spare: list[Connection] | None = None
    gone: list[Profile] = []
    for profile, bucket in idle.items():
        if not bucket:
            gone.append(profile)
        elif profile[2] == wanted[2]:
            if profile[0] == wanted[0]:
                return bucket  # only the database differs
            choice.append(bucket)
            if len(bucket) > 1 and (spare is None or len(bucket) > len(spare)):
                spare = bucket
    for profile in gone:
        del idle[profile]
    return spare or choice[random.randrange(len(choice))]


def least_recent(idle: Idle, found_rows: bool) -> list[Connection] | None:
    """The bucket of that flavour whose first connection was used longest ago."""
    buckets = [bucket for profile, bucket in idle.items() if bucket and profile[2] == found_rows]
    return min(buckets, key=lambda bucket: bucket[0].used_s, default=None)


class Again:
    """Calls `then` once after this turn of the loop, or once within AFFINITY_S, however often it is asked to."""

    def __init__(self, loop: asyncio.AbstractEventLoop, then: Callable[[], None]) -> None:
        self._loop = loop
        self._then = then
        self._after_turn = self._soon = False

    def after_turn(self) -> None:
        if not self._after_turn:
            self._after_turn = True
            self._loop.call_soon(self._turned)

    def soon(self) -> None:
        if not self._soon:
            self._soon = True
            self._loop.call_later(AFFINITY_S, self._passed)

    def _turned(self) -> None:
        self._after_turn = False
        self._then()

    def _passed(self) -> None:
        self._soon = False
        self._then()
