"""The admin lane: one connection of the cap kept for the tablet's own work, so that it never waits behind clients.

It asks once a second how MySQL is (and whether it is still the same incarnation), sends KILLs, and looks whether
closed connections are gone from the server. Jobs run one after the other. While the lane is down MySQL counts as
down: nobody opens connections, and the lane tries again until it is back.

Invariants
- Up, the lane has the lock by which this tablet alone serves the database (`ownership.py`).
- A MySQL that says nothing is asked on the connection there is for GIVE_UP_S: another one would be one more than the
  cap, if it only stands still. Where the network is silent, the kernel ends it after PROBE_TIMEOUT_S.
- A connection that is gone was told to `on_left`, and counts until the server is rid of it.
- The incarnation changes only from one login to the next: the server of a living connection is the same, whatever
  happens to its clock.
"""

import asyncio
import logging
import os
import socket
from collections import deque
from collections.abc import Awaitable, Callable
from dataclasses import dataclass, replace
from typing import Final

from core.clock import Clock
from core.config import Dsn
from core.tasks import end
from tablet.backend.connection import Command, ConnectFailed, Connection, open_connection
from tablet.backend.ownership import (
    BUSY_RETRY_S,
    CONTESTED_S,
    IDLE_S,
    NOT_OURS,
    Rows,
    lock_sql,
    read_lock,
)
from tablet.backend.server import (
    COLLATIONS_SQL,
    SERVER_SQL,
    STATUS_SQL,
    VARIABLES_SQL,
    Answer,
    ServerInfo,
    lost,
    texts,
)

PROBE_EVERY_S: Final = 1.0
PROBE_TIMEOUT_S: Final = 5.0
"""A MySQL that does not answer its status for that long counts as down."""
GIVE_UP_S: Final = 30.0
"""After that long without an answer the lane's connection is closed, and another one tried."""
RETRY_S: Final = 0.25
UNSURE_S: Final = 3.0
"""Not heard of MySQL for longer, another tablet may have taken this one's place."""
AGAIN_S: Final = 0.05
"""After a loss: time for the server to let go of the old one, which is in the cap as well."""
MAX_RESULT_BYTES: Final = 16 * 1024 * 1024

log = logging.getLogger("sluice.tablet")


@dataclass(slots=True)
class _Job:
    sql: bytes
    then: Callable[[Answer], None]
    deprecate_eof: bool = False


class AdminLane:
    """`on_up(info)` after each login, `on_down(number, reason)` whenever there is none (again), `on_rival(thread)` when
    another tablet has taken this one's place, `on_left(thread, incarnation)` for each connection that is gone.

    `may_log_in()` is waited for before each login, but for those right after MySQL was last heard."""

    def __init__(
        self,
        clock: Clock,
        dsn: Dsn,
        database: str,
        on_up: Callable[[ServerInfo], None],
        on_down: Callable[[int, str], None],
        on_rival: Callable[[int], None],
        on_left: Callable[[int, int], None],
        may_log_in: Callable[[], Awaitable[None]],
    ) -> None:
        self._on_rival = on_rival
        self._on_left = on_left
        self._may_log_in = may_log_in
        self._owned = False
        """Had the lock once."""
        self._contested_s = 0.0
        """Since when somebody else has the lock."""
        self._own_threads: deque[int] = deque(maxlen=16)
        self._heard_s = 0.0
        """When MySQL answered last."""
        self._frozen = False
        """A job's answer is overdue: those who wait have been told that the lane is lost."""
        self._clock_ahead_s = 0.0
        """MySQL's clock (UNIX time) minus ours."""
        self._clock = clock
        self._dsn = dsn
        self._database = database
        self._on_up = on_up
        self._on_down = on_down
        self._jobs: deque[_Job] = deque()
        self._job: _Job | None = None
        self._connection: Connection | None = None
        self._busy_since_s: float | None = None
        self._task: asyncio.Task[None] | None = None
        self._gone = asyncio.Event()
        self._stopped = False
        self._boot_s: float | None = None
        self.incarnation = 0
        """Grows when MySQL was restarted: thread ids of before mean nothing."""
        self.threads_connected = 0
        self.up = False
        self.info: ServerInfo | None = None

    def start(self) -> None:
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def stop(self) -> None:
        """Closes the lane's connection with COM_QUIT and waits for it (1 s at most)."""
        self._stopped = True
        await end(self._task)
        connection = self._connection
        if connection is not None:
            connection.quit()
            try:
                await asyncio.wait_for(self._gone.wait(), 1.0)
            except TimeoutError:
                connection.abort()

    def run(self, sql: str | bytes, then: Callable[[Answer], None], deprecate_eof: bool = False) -> None:
        """Runs `sql` when the jobs before it are done; `then` is always called, with `lost` if the lane is down.

        `deprecate_eof` asks for the packets in that flavour; `Answer.rows` reads the other one.
        """
        job = _Job(sql.encode() if isinstance(sql, str) else sql, then, deprecate_eof)
        if not self.up:
            asyncio.get_running_loop().call_soon(then, lost())
            return
        self._jobs.append(job)
        self._next()

    @property
    def thread_id(self) -> int:
        """The lane's own thread; 0 while it has none."""
        return self._connection.thread_id if self._connection is not None else 0

    @property
    def started_s(self) -> float:
        """When MySQL was started, by its own clock (UNIX time)."""
        return (self._boot_s or 0.0) + self._clock_ahead_s

    @property
    def waiting(self) -> int:
        return len(self._jobs)

    # -- inside

    def _next(self) -> None:
        connection = self._connection
        if connection is None or connection.task is not None or not self._jobs:
            return
        job = self._jobs.popleft()
        self._busy_since_s = self._clock.now_s()

        def done(command: Command) -> None:
            self._busy_since_s = None
            if self._frozen:
                if not command.lost_connection:
                    self._thawed()
                return
            if command.lost_connection:
                job.then(lost())
                return
            self._heard_s = self._clock.now_s()
            job.then(Answer(command.data, command.error, lost=False))
            self._next()

        self._job = job
        connection.command(
            b"\x03" + job.sql, done, keep_bytes=MAX_RESULT_BYTES, deprecate_eof=job.deprecate_eof
        )

    async def _run(self) -> None:
        while not self._stopped:
            if not self._owned or self._clock.now_s() - self._heard_s > UNSURE_S:
                await self._may_log_in()
            try:
                connection = await open_connection(self._dsn, self._database, False, self._lost_connection)
            except ConnectFailed as error:
                self._on_down(error.number, error.reason)
                await asyncio.sleep(RETRY_S)
                continue
            self._connection = connection
            self._own_threads.append(connection.thread_id)
            _lose_when_unheard(connection, PROBE_TIMEOUT_S)
            self._gone.clear()
            pause_s = AGAIN_S
            if not await self._own():
                contested_s = self._clock.now_s() - self._contested_s if self._contested_s else 0.0
                pause_s = RETRY_S if self._owned or contested_s < BUSY_RETRY_S else BUSY_RETRY_S
            elif await self._greet():
                while not self._gone.is_set():
                    try:
                        await asyncio.wait_for(self._gone.wait(), PROBE_EVERY_S)
                    except TimeoutError:
                        self._probe()
            self.up = False
            if not self._gone.is_set():
                await self._end(connection)
            await asyncio.sleep(pause_s)

    async def _own(self) -> bool:
        """Whether this tablet alone serves the database. The very first question, so that one which must wait is gone
        again at once."""
        answered: asyncio.Future[Answer] = asyncio.get_running_loop().create_future()
        self._jobs.clear()
        self._jobs.append(
            _Job(
                lock_sql(self._database, 1 if self._owned else 0).encode(),
                lambda a: None if answered.done() else answered.set_result(a),
            )
        )
        self._next()
        try:
            answer = await asyncio.wait_for(answered, PROBE_TIMEOUT_S)
        except TimeoutError:
            answer = lost()
        if answer.lost or self._gone.is_set():
            self._on_down(2013, "MySQL did not answer the tablet's first question")
            return False
        if answer.error is not None:
            if not self._owned:
                log.warning(
                    "MySQL cannot keep a second tablet out: %s (%d)", answer.error[2], answer.error[0]
                )
            self._owned = True
            return True
        ours, holder = read_lock(answer.rows)
        now_s = self._clock.now_s()
        if ours:
            self._owned = True
            self._contested_s = 0.0
            return True
        if self._connection is not None:
            self._connection.quit()
        self._contested_s = self._contested_s or now_s
        if not self._owned:
            self._on_down(NOT_OURS, f"another tablet serves '{self._database}' (thread {holder} of MySQL)")
        elif holder and (holder not in self._own_threads or now_s - self._contested_s > CONTESTED_S):
            self._stopped = True
            self._on_rival(holder)
        return False

    async def _end(self, connection: Connection) -> None:
        """Returns when the connection is gone."""
        if connection.closing:
            try:
                await asyncio.wait_for(self._gone.wait(), 1.0)
            except TimeoutError:
                pass
        if not self._gone.is_set():
            connection.abort()
            await self._gone.wait()

    async def _greet(self) -> bool:
        """Learns who the server is; True if the lane is up now."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bool] = loop.create_future()

        def status(answer: Answer) -> None:
            ok = not answer.lost and not answer.error and self._take_status(answer.rows, at_login=True)
            if not answered.done():
                answered.set_result(ok)

        def server(answer: Answer) -> None:
            if not answer.lost and answer.error is None and answer.rows:
                text = [(value or b"").decode("utf-8", "replace") for value in answer.rows[0]]
                self.info = ServerInfo(text[0], text[1], int(text[2]), text[3])
                self._clock_ahead_s = int(text[4]) - self._clock.now_s()

        def variables(answer: Answer) -> None:
            if self.info is not None and answer.rows:
                self.info = replace(
                    self.info, variables={row[0].lower(): row[1] for row in texts(answer.rows)}
                )

        def collations(answer: Answer) -> None:
            if self.info is not None and answer.rows:
                found = {row[0]: (row[1], row[2]) for row in texts(answer.rows) if row[0]}
                self.info = replace(self.info, collations=found)

        def server_then_collations(answer: Answer) -> None:
            server(answer)
            if self.info is not None:
                self._jobs.appendleft(_Job(COLLATIONS_SQL[self.info.flavour].encode(), collations))

        self._jobs.clear()
        self._jobs.append(_Job(SERVER_SQL.encode(), server_then_collations))
        self._jobs.append(_Job(VARIABLES_SQL.encode(), variables))
        self._jobs.append(_Job(STATUS_SQL.encode(), status))
        # last: the variables' base state is told to clients
        self._jobs.append(_Job(f"SET SESSION wait_timeout = {IDLE_S}".encode(), _ignore))
        self._next()
        try:
            ok = await asyncio.wait_for(answered, PROBE_TIMEOUT_S)
        except TimeoutError:
            ok = False
        if not ok or self.info is None or self._gone.is_set():
            self._on_down(2013, "MySQL did not answer the tablet's first questions")
            return False
        self.up = True
        self._on_up(self.info)
        return True

    def _take_status(self, rows: Rows, at_login: bool = False) -> bool:
        status = {bytes(row[0] or b"").decode().lower(): int(row[1] or 0) for row in rows}
        if "uptime" not in status or "threads_connected" not in status:
            return False
        boot_s = self._clock.now_s() - status["uptime"]
        if at_login and (self._boot_s is None or abs(boot_s - self._boot_s) > 2.5):
            self.incarnation += 1
        self._boot_s = boot_s
        self.threads_connected = status["threads_connected"]
        return True

    def _probe(self) -> None:
        if self._busy_since_s is not None:
            silent_s = self._clock.now_s() - self._busy_since_s
            if silent_s > PROBE_TIMEOUT_S and not self._frozen:
                self._freeze()
            elif silent_s > GIVE_UP_S and self._connection is not None:
                self._connection.abort()
            return
        self.run(STATUS_SQL, lambda answer: None if answer.lost else _ignore(self._take_status(answer.rows)))

    def _freeze(self) -> None:
        """MySQL stands still, or the network is silent: nobody waits any longer, but for its next word."""
        self._frozen = True
        self.up = False
        jobs, self._jobs = self._jobs, deque()
        if self._job is not None:
            jobs.appendleft(self._job)
        self._on_down(2013, f"MySQL did not answer for {PROBE_TIMEOUT_S:g} s")
        for job in jobs:
            job.then(lost())

    def _thawed(self) -> None:
        self._frozen = False
        self.up = True
        assert self.info is not None
        self._on_up(self.info)

    def _lost_connection(self, connection: Connection) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        self._busy_since_s = None
        self._frozen = False
        self._gone.set()
        if self._owned and not self._stopped:
            self._on_left(connection.thread_id, self.incarnation)
        jobs, self._jobs = self._jobs, deque()
        self.up = False  # somebody may just have killed it: whether MySQL is down, the next login shows
        for job in jobs:
            job.then(lost())


def _ignore(_: object) -> None:
    return None


def _lose_when_unheard(connection: Connection, limit_s: float) -> None:
    """The kernel ends it when MySQL's host has not acknowledged for `limit_s` what was sent: the network is silent or
    the host is gone, while a MySQL that only stands still has a kernel that does. TCP only."""
    own = connection.transport.get_extra_info("socket")
    if own is None or own.family == socket.AF_UNIX:
        return
    with socket.socket(fileno=os.dup(own.fileno())) as same:
        same.setsockopt(socket.IPPROTO_TCP, socket.TCP_USER_TIMEOUT, int(limit_s * 1000))
