"""The admin lane: one connection of the cap kept for the tablet's own work, so that it never waits behind clients.

It asks once a second how MySQL is (and whether it is still the same incarnation), sends KILLs, and looks whether
closed connections are gone from the server. Jobs run one after the other. While the lane is down MySQL counts as
down: nobody opens connections, and the lane tries again until it is back.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from typing import Final

from core.clock import Clock
from core.config import Dsn
from tablet.backend import Command, ConnectFailed, Connection, open_connection
from wire.packets import iterate_payloads, read_lenenc_int
from wire.rows import split_text_row

PROBE_EVERY_S: Final = 1.0
PROBE_TIMEOUT_S: Final = 5.0
"""A MySQL that does not answer its status for that long counts as down."""
RETRY_S: Final = 0.25
AGAIN_S: Final = 0.05
"""After a loss: time for the server to let go of the old one, which is in the cap as well."""
MAX_RESULT_BYTES: Final = 16 * 1024 * 1024

_STATUS_SQL: Final = "SHOW GLOBAL STATUS WHERE Variable_name IN ('Threads_connected', 'Uptime')"
_SERVER_SQL: Final = "SELECT @@version, @@version_comment, @@max_connections, @@collation_connection"
_VARIABLES_SQL: Final = "SHOW SESSION VARIABLES"
_COLLATIONS_SQL: Final = {
    "mysql": "SELECT id, collation_name, character_set_name FROM information_schema.collations",
    "mariadb": "SELECT id, full_collation_name, character_set_name"
    " FROM information_schema.collation_character_set_applicability",
}

Rows = list[list[bytes | None]]


@dataclass(frozen=True, slots=True)
class ServerInfo:
    """The MySQL behind, as it said at the last login of the admin lane."""

    version: str
    comment: str
    max_connections: int
    collation: str
    """What `SET NAMES utf8mb4` gives."""
    variables: dict[str, str] = field(default_factory=dict)
    """Session variables of a connection in its base state: name in lower case -> text as SHOW VARIABLES has it."""
    collations: dict[str, tuple[str, str]] = field(default_factory=dict)
    """Collation id, as text -> (collation, character set)."""

    @property
    def flavour(self) -> str:
        return "mariadb" if "mariadb" in self.version.lower() else "mysql"


@dataclass(slots=True)
class Answer:
    """What became of a job: its packets, or MySQL's error, or `lost` when the lane broke down."""

    data: bytes
    error: tuple[int, str, str] | None
    lost: bool

    @property
    def rows(self) -> Rows:
        return [] if self.error else parse_rows(self.data)


@dataclass(slots=True)
class _Job:
    sql: bytes
    then: Callable[[Answer], None]
    deprecate_eof: bool = False


class AdminLane:
    """`on_up(info)` after each login, `on_down(number, reason)` whenever there is none (again)."""

    def __init__(
        self,
        clock: Clock,
        dsn: Dsn,
        database: str,
        on_up: Callable[[ServerInfo], None],
        on_down: Callable[[int, str], None],
    ) -> None:
        self._clock = clock
        self._dsn = dsn
        self._database = database
        self._on_up = on_up
        self._on_down = on_down
        self._jobs: deque[_Job] = deque()
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
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)
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
            asyncio.get_running_loop().call_soon(then, _lost())
            return
        self._jobs.append(job)
        self._next()

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
            if command.lost_connection:
                job.then(_lost())
                return
            job.then(Answer(command.data, command.error, lost=False))
            self._next()

        connection.command(
            b"\x03" + job.sql, done, keep_bytes=MAX_RESULT_BYTES, deprecate_eof=job.deprecate_eof
        )

    async def _run(self) -> None:
        while not self._stopped:
            try:
                connection = await open_connection(self._dsn, self._database, False, self._lost_connection)
            except ConnectFailed as error:
                self._on_down(error.number, error.reason)
                await asyncio.sleep(RETRY_S)
                continue
            self._connection = connection
            self._gone.clear()
            if await self._greet():
                while not self._gone.is_set():
                    try:
                        await asyncio.wait_for(self._gone.wait(), PROBE_EVERY_S)
                    except TimeoutError:
                        self._probe()
            self.up = False
            if not self._gone.is_set():
                connection.abort()
                await self._gone.wait()
            await asyncio.sleep(AGAIN_S)

    async def _greet(self) -> bool:
        """Learns who the server is; True if the lane is up now."""
        loop = asyncio.get_running_loop()
        answered: asyncio.Future[bool] = loop.create_future()

        def status(answer: Answer) -> None:
            ok = not answer.lost and not answer.error and self._take_status(answer.rows)
            if not answered.done():
                answered.set_result(ok)

        def server(answer: Answer) -> None:
            if not answer.lost and answer.error is None and answer.rows:
                text = [(value or b"").decode("utf-8", "replace") for value in answer.rows[0]]
                self.info = ServerInfo(text[0], text[1], int(text[2]), text[3])

        def variables(answer: Answer) -> None:
            if self.info is not None and answer.rows:
                self.info = replace(
                    self.info, variables={row[0].lower(): row[1] for row in _texts(answer.rows)}
                )

        def collations(answer: Answer) -> None:
            if self.info is not None and answer.rows:
                found = {row[0]: (row[1], row[2]) for row in _texts(answer.rows) if row[0]}
                self.info = replace(self.info, collations=found)

        def server_then_collations(answer: Answer) -> None:
            server(answer)
            if self.info is not None:
                self._jobs.appendleft(_Job(_COLLATIONS_SQL[self.info.flavour].encode(), collations))

        self._jobs.clear()
        self._jobs.append(_Job(_SERVER_SQL.encode(), server_then_collations))
        self._jobs.append(_Job(_VARIABLES_SQL.encode(), variables))
        self._jobs.append(_Job(_STATUS_SQL.encode(), status))
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

    def _take_status(self, rows: Rows) -> bool:
        status = {bytes(row[0] or b"").decode().lower(): int(row[1] or 0) for row in rows}
        if "uptime" not in status or "threads_connected" not in status:
            return False
        boot_s = self._clock.now_s() - status["uptime"]
        if self._boot_s is None or boot_s > self._boot_s + 2.5:
            self.incarnation += 1
        self._boot_s = boot_s
        self.threads_connected = status["threads_connected"]
        return True

    def _probe(self) -> None:
        if self._busy_since_s is not None:
            if self._clock.now_s() - self._busy_since_s > PROBE_TIMEOUT_S and self._connection is not None:
                self._connection.abort()
                self._on_down(2013, f"MySQL did not answer for {PROBE_TIMEOUT_S:g} s")
            return
        self.run(_STATUS_SQL, lambda answer: None if answer.lost else _ignore(self._take_status(answer.rows)))

    def _lost_connection(self, connection: Connection) -> None:
        if connection is not self._connection:
            return
        self._connection = None
        self._busy_since_s = None
        self._gone.set()
        jobs, self._jobs = self._jobs, deque()
        self.up = False  # somebody may just have killed it: whether MySQL is down, the next login shows
        for job in jobs:
            job.then(_lost())


def _texts(rows: Rows) -> list[list[str]]:
    return [[(value or b"").decode("utf-8", "replace") for value in row] for row in rows]


def _ignore(_: object) -> None:
    return None


def _lost() -> Answer:
    return Answer(b"", None, lost=True)


def parse_rows(data: bytes) -> Rows:
    """The rows of one small text result set (EOF flavour); none of an OK packet."""
    payloads = list(iterate_payloads(data))
    if not payloads or payloads[0][0] in (0x00, 0xFF):
        return []
    columns = read_lenenc_int(payloads[0], 0)[0]
    return [split_text_row(payload, columns) for payload in payloads[columns + 2 : -1]]
