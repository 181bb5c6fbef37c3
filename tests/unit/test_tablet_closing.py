"""Places of connections that are gone, or not quite; the admin lane's idea of MySQL's lives. No server, no time."""

from collections.abc import Callable
from typing import Any

import pytest

from core.config import Dsn
from tablet.backend.admin import AdminLane
from tablet.backend.connection import CONNECT_TIMEOUT_S
from tablet.backend.server import Answer, lost
from tablet.pool.closing import LINGER_S, Closer


class Loop:
    """A clock, and what is due by it."""

    def __init__(self) -> None:
        self.now = 100.0
        self._later: list[tuple[float, Callable[..., None], tuple[Any, ...]]] = []

    def now_s(self) -> float:
        return self.now

    def call_later(self, delay_s: float, what: Callable[..., None], *args: Any) -> None:
        self._later.append((self.now + delay_s, what, args))

    def pass_s(self, seconds: float) -> None:
        until_s = self.now + seconds
        while due := sorted((one for one in self._later if one[0] <= until_s), key=lambda one: one[0]):
            self._later.remove(due[0])
            self.now = max(self.now, due[0][0])
            due[0][1](*due[0][2])
        self.now = until_s


class Admin:
    """A process list, which KILL empties."""

    def __init__(self) -> None:
        self.up = True
        self.incarnation = 1
        self.threads: set[int] = set()
        self.killed: list[int] = []
        self.deaf = False

    def run(self, sql: str, then: Callable[[Answer], None]) -> None:
        if not self.up:
            then(lost())
            return
        if sql.startswith("KILL "):
            self.killed.append(int(sql[5:]))
            if not self.deaf:
                self.threads.discard(int(sql[5:]))
            then(Answer(b"", None, lost=False))
            return
        rows: Any = [[str(thread).encode()] for thread in sorted(self.threads)]
        then(type("Rows", (), {"lost": False, "error": None, "rows": rows})())  # type: ignore[arg-type]


@pytest.fixture
def loop() -> Loop:
    return Loop()


@pytest.fixture
def admin() -> Admin:
    return Admin()


@pytest.fixture
def closer(loop: Any, admin: Any) -> Closer:
    return Closer(loop, loop, admin)


def test_a_thread_that_does_not_hear_that_its_client_is_gone_is_killed(
    loop: Loop, admin: Admin, closer: Closer
) -> None:
    freed: list[int] = []
    admin.threads = {7, 8}
    closer.watch(7, 1, lambda: freed.append(7))
    loop.pass_s(LINGER_S - 0.1)
    assert (admin.killed, freed) == ([], [])
    loop.pass_s(0.3)
    assert (admin.killed, freed) == ([7], [7])
    assert closer.pending == 0


def test_a_thread_that_rolls_back_keeps_its_place(loop: Loop, admin: Admin, closer: Closer) -> None:
    freed: list[int] = []
    admin.threads, admin.deaf = {7}, True
    closer.watch(7, 1, lambda: freed.append(7))
    loop.pass_s(60)
    assert (admin.killed, freed, closer.pending) == ([7], [], 1)
    admin.incarnation = 2  # MySQL was started anew
    loop.pass_s(1)
    assert (admin.killed, freed, closer.pending) == ([7], [7], 0)


def test_a_login_without_an_answer_counts_until_mysql_had_time_to_drop_it(
    loop: Loop, admin: Admin, closer: Closer
) -> None:
    freed: list[str] = []
    admin.up = False
    closer.watch(None, 1, lambda: freed.append("refused"))
    closer.watch(None, 1, lambda: freed.append("lingers"), lingers=True)
    loop.pass_s(100)
    assert freed == ["refused"]
    admin.up = True
    loop.pass_s(CONNECT_TIMEOUT_S - 1)
    assert freed == ["refused"]
    loop.pass_s(2)
    assert freed == ["refused", "lingers"]
    admin.up = False
    closer.watch(None, 1, lambda: freed.append("old life"), lingers=True)
    admin.incarnation = 2
    loop.pass_s(1)
    assert freed[-1] == "old life"


def status(uptime_s: int) -> list[list[bytes | None]]:
    return [[b"Threads_connected", b"3"], [b"Uptime", str(uptime_s).encode()]]


def test_a_step_of_mysqls_clock_is_no_restart(loop: Loop) -> None:
    nothing: Any = lambda *_: None  # noqa: E731
    lane = AdminLane(loop, Dsn("u", "p", "h", 1, "db"), "db", nothing, nothing, nothing, nothing, nothing)
    assert lane._take_status(status(50), at_login=True)
    assert lane.incarnation == 1
    for uptime_s in (50, 20, 3600, 1):  # UNIX time went back and forth under a connection that lives
        assert lane._take_status(status(uptime_s))
    assert lane.incarnation == 1
    assert lane._take_status(status(2), at_login=True)
    assert lane.incarnation == 1
    for uptime_s in (0, 5000):  # started anew; another server, which has run for longer
        loop.now += 60
        assert lane._take_status(status(uptime_s), at_login=True)
    assert lane.incarnation == 3
