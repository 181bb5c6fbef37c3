"""The pool's choice of connections under many settings, simulated: no server, no clock but the test's own."""

from collections import deque
from collections.abc import Callable
from random import Random
from typing import Any

import pytest

from core.config import Dsn
from core.config import Tablet as TabletConfig
from tablet.pool.admission import AFFINITY_S, PLAIN
from tablet.pool.pool import Pool
from tablet.pool.refusals import Refusals
from tablet.stats import Stats

TURN_S = 0.0002


class Loop:
    """Runs what is due when the test says so."""

    def __init__(self) -> None:
        self.now = 0.0
        self._soon: deque[tuple[Callable[..., None], Any]] = deque()
        self._later: list[tuple[float, Callable[..., None]]] = []

    def now_s(self) -> float:
        return self.now

    def call_soon(self, what: Callable[..., None], *args: Any) -> None:
        self._soon.append((what, args))

    def call_later(self, delay_s: float, what: Callable[..., None], *args: Any) -> None:
        assert not args
        self._later.append((self.now + delay_s, what))

    def turn(self) -> None:
        self.now += TURN_S
        for entry in [entry for entry in self._later if entry[0] <= self.now]:
            self._later.remove(entry)
            entry[1]()
        for _ in range(len(self._soon)):
            what, args = self._soon.popleft()
            what(*args)


class Back:
    """A connection to MySQL as the pool sees it."""

    def __init__(self, profile: tuple[str, str, bool]) -> None:
        self.profile = profile
        self.found_rows = profile[2]
        self.dirty = self.verify = self.closing = self.is_lost = self.held = False
        self.task = self.user = self.statement = None
        self.used_s = 0.0
        self.retire_s = 1e9
        self.incarnation = 0
        self.quits = 0

    def quit(self) -> None:
        self.quits += 1


class Ask:
    """One statement: from `pool.take` to `ends`."""

    lane = PLAIN
    user = "app"
    queued = False
    queued_s = 0.0
    deadline_s = 1e9

    def __init__(self, settings: str) -> None:
        self.profile = (settings, "db", False)
        self.connection: Any = None
        self.ends_s = 0.0
        self.came_s = 0.0

    def granted(self, connection: Any) -> None:
        self.connection = connection


def pool_of(connections: int) -> tuple[Loop, Pool]:
    loop: Any = Loop()
    config = TabletConfig(pool_size=connections + 1)
    none: Any = None
    admin: Any = type("Admin", (), {"up": True, "incarnation": 0})()
    pool = Pool(
        loop,
        loop,
        config,
        Dsn("u", "p", "h", 1, "db"),
        "db",
        Refusals(config, "ks", "-"),
        admin,
        none,
        Stats(0.0),
    )
    pool.serving = True
    pool.used = connections
    for _ in range(connections):
        back: Any = Back(("", "db", False))
        pool.connections.add(back)
        pool.release(back)
    return loop, pool


def run(
    clients: int, profiles: int, connections: int, *, turns: int, takes: int = 3
) -> tuple[int, int, float]:
    """Clients that ask again when answered; statements take `takes` turns. Statements, changes, the longest wait."""
    loop, pool = pool_of(connections)
    rng = Random(1)
    thinking: list[tuple[float, str]] = [(0.0, f"n={client % profiles}") for client in range(clients)]
    asks: list[Ask] = []
    done = 0
    longest_s = 0.0
    for _ in range(turns):
        for due in [one for one in thinking if one[0] <= loop.now]:
            thinking.remove(due)
            ask = Ask(due[1])
            ask.came_s = loop.now
            asks.append(ask)
            connection = pool.take(ask)
            if connection is not None:
                ask.granted(connection)
        loop.turn()
        for ask in list(asks):
            if ask.connection is None:
                continue
            if not ask.ends_s:
                longest_s = max(longest_s, loop.now - ask.came_s)
                ask.connection.profile = ask.profile
                ask.ends_s = loop.now + takes * TURN_S
            elif ask.ends_s <= loop.now:
                asks.remove(ask)
                done += 1
                pool.release(ask.connection)
                thinking.append((loop.now + rng.randrange(4) * TURN_S, ask.profile[0]))
    stats = pool._stats
    assert len(pool.connections) == connections
    return done, stats.settings_changes + stats.settings_clean, longest_s


@pytest.mark.parametrize(
    ("clients", "profiles", "connections", "share"),
    [
        (32, 20, 15, 0.45),
        (64, 20, 15, 0.15),
        (128, 20, 15, 0.06),
        (256, 20, 15, 0.07),
        (32, 4, 15, 0.02),
        (15, 15, 15, 0.01),
        (200, 100, 15, 1.0),
        (6, 6, 15, 0.01),
    ],
)
def test_few_statements_need_another_set(clients: int, profiles: int, connections: int, share: float) -> None:
    done, changes, longest_s = run(clients, profiles, connections, turns=3000)
    assert done > 2500
    assert changes / done < share
    # what waits for the sake of settings does so for AFFINITY_S, and for those that may overtake it
    assert longest_s < AFFINITY_S + clients / connections * 8 * TURN_S + 2 * AFFINITY_S


def test_one_client_that_changes_its_settings_waits_for_nobody() -> None:
    loop, pool = pool_of(1)
    for number in range(10):
        ask = Ask(f"n={number}")
        connection = pool.take(ask)
        if connection is None:
            loop.turn()
            connection = ask.connection
        assert connection is not None
        connection.profile = ask.profile
        pool.release(connection)


def test_a_connection_that_runs_for_long_is_not_waited_for() -> None:
    loop, pool = pool_of(2)
    first, second, third = Ask("n=1"), Ask("n=2"), Ask("n=1")
    for ask in (first, second):
        connection = pool.take(ask)
        assert connection is not None
        connection.profile = ask.profile
        ask.granted(connection)
    pool.release(second.connection)  # the other one, of n=1, goes on running
    assert pool.take(third) is None
    loop.turn()
    assert third.connection is None
    for _ in range(int(AFFINITY_S / TURN_S) + 2):
        loop.turn()
    assert third.connection is second.connection


def _idle(pool: Pool) -> list[Any]:
    return [back for bucket in pool._idle.values() for back in bucket]


def test_connections_that_are_too_old_go_when_they_come_back_and_when_they_idle() -> None:
    _, pool = pool_of(3)
    lent = pool.take(Ask(""))
    assert lent is not None
    old: Any = _idle(pool)[0]
    old.retire_s = lent.retire_s = 5.0
    pool.shrink(4.9)
    assert not old.quits
    pool.shrink(5.0)
    assert old.quits == 1
    assert pool.idle == 1
    lent.retire_s = 0.0
    pool.release(lent)
    assert lent.quits == 1  # type: ignore[attr-defined]
    assert pool.idle == 1


def test_the_pool_shrinks_when_it_idles() -> None:
    _, pool = pool_of(3)
    idle_s = pool._config.idle_timeout_s
    used: Any = _idle(pool)[1]
    used.used_s = 10.0
    pool.shrink(idle_s + 9.0)
    assert _idle(pool) == [used]
    pool.shrink(idle_s + 10.0)
    assert not _idle(pool)


def test_after_a_failover_no_connection_of_before_is_lent() -> None:
    _, pool = pool_of(3)
    lent = pool.take(Ask(""))
    assert lent is not None
    fresh: Any = _idle(pool)[0]
    fresh.incarnation = 1
    admin: Any = pool._admin
    admin.incarnation = 1
    pool.failed_over(serving=True)
    assert _idle(pool) == [fresh]
    pool.release(lent)
    assert _idle(pool) == [fresh]
    assert lent.quits == 1  # type: ignore[attr-defined]
