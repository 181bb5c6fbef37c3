"""What breaks off between a statement's answer and the end of what the tablet asks after it: the place comes back, each
is answered once, and nobody else's statement meets what was left open."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from core.clock import FakeClock
from core.config import Dsn
from core.config import Tablet as TabletConfig
from core.rpc import messages as m
from tablet.backend.connection import Connection
from tablet.backend.server import Answer
from tablet.statements.execution import Execution
from wire.answers import err_packet, ok_payload
from wire.constants import CLIENT_SESSION_TRACK, COM_PING, COM_RESET_CONNECTION
from wire.packets import frame

BOUND = b"\0\1\0\0\0\0\1\3\0\1\0\0\0"
"""One parameter, 1."""


class Transport:
    def __init__(self) -> None:
        self.out: list[bytes] = []
        self.closed = False

    def write(self, data: bytes) -> None:
        self.out.append(bytes(data))

    def is_closing(self) -> bool:
        return self.closed

    def abort(self) -> None:
        self.closed = True

    def set_protocol(self, protocol: Any) -> None:
        del protocol

    pause_reading = resume_reading = lambda self: None


class Admin:
    up, incarnation, info, threads_connected = True, 1, None, 0

    def __init__(self) -> None:
        self.jobs: list[tuple[str, Any]] = []

    def run(self, sql: str, then: Any, deprecate_eof: bool = False) -> None:
        del deprecate_eof
        self.jobs.append((sql, then))


class Peer:
    name = "worker"

    def __init__(self) -> None:
        self.statements: dict[int, Any] = {}
        self.forms: dict[int, Any] = {}
        self.sent: list[Any] = []

    def send(self, record: Any) -> None:
        self.sent.append(record)

    send_patiently = send


class Tablet:
    """An execution with one connection."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.admin: Any = Admin()
        self.peer: Any = Peer()
        self.execution = Execution(
            asyncio.get_running_loop(),
            self.clock,
            TabletConfig(pool_size=4),
            Dsn("u", "p", "h", 1, "db"),
            "ks",
            "-",
            self.admin,
        )
        self.execution.base_collation = "utf8mb4_general_ci"
        self.execution.programs.learn([])
        programs: Any = self.execution.programs
        programs._run = self.admin.run
        self.pool: Any = self.execution.pool
        self.pool.serving = True
        self.pool.capacity = 1
        self.transport = Transport()
        login: Any = SimpleNamespace(
            _socket=SimpleNamespace(_writer=SimpleNamespace(transport=self.transport)),
            _handshake={"server_threadid": 11},
            _client_flags=CLIENT_SESSION_TRACK,
            found_rows=False,
            extended=False,
        )
        self.connection = Connection(login, "db", self.pool._lost)
        self.connection.retire_s = 1e9
        self.connection.incarnation = 1
        self.pool.used = 1
        self.pool._opened(self.connection)

    def ask(
        self, number: int, flags: int, sql: bytes, *, handle: int = 0, settings: str = "", **extra: Any
    ) -> None:
        tables = None if handle else ["t"]
        self.execution.execute(
            self.peer, (m.EXECUTE, number, 0, flags, handle, "u", settings, tables, sql, extra or None)
        )

    def says(self, *, status: int = 2, warnings: int = 0, insert_id: int = 0) -> None:
        self.connection.data_received(frame(ok_payload(1, insert_id, status, warnings, b""), 1))

    def refuses(self, number: int) -> None:
        self.connection.data_received(err_packet(1, number, "HY000", "no"))

    def breaks_off(self) -> None:
        self.transport.closed = True
        self.connection.connection_lost(None)

    def told(self, number: int) -> list[Any]:
        return [record for record in self.peer.sent if record[1] == number]

    @property
    def last_command(self) -> int:
        return self.transport.out[-1][4]


async def test_a_begin_whose_next_step_failed_leaves_nobody_in_its_transaction() -> None:
    tablet = Tablet()
    flags = m.F_BEGIN | m.F_PREPARED | m.F_WRITE
    tablet.ask(1, flags, b"INSERT INTO t VALUES (?)", begin="START TRANSACTION", params=BOUND)
    tablet.says(status=3)
    tablet.refuses(1461)  # of COM_STMT_PREPARE
    assert tablet.told(1)[-1][2] & m.I_ERR
    assert tablet.last_command == COM_RESET_CONNECTION
    assert not tablet.pool.idle
    tablet.says()


@pytest.mark.parametrize("waits", [False, True])
@pytest.mark.parametrize("asked", ["warnings", "id", "both"])
async def test_a_connection_lost_after_the_answer_gives_its_place_back(asked: str, waits: bool) -> None:
    tablet = Tablet()
    flags = m.F_WRITE | m.F_WARNINGS | (m.F_INSERT if asked != "warnings" else 0)
    tablet.ask(1, flags, b"INSERT INTO t VALUES (7)")
    if waits:
        tablet.ask(2, m.F_WRITE, b"UPDATE t SET a = 1")
    tablet.says(warnings=asked != "id", insert_id=7 if asked != "warnings" else 0)
    tablet.breaks_off()
    assert len(tablet.told(1)) == 1
    assert not tablet.told(1)[0][2] & m.I_ERR  # it was done before
    assert not tablet.pool.connections
    assert tablet.pool.closer.pending == 1
    assert not tablet.told(2)
    assert tablet.pool.queue.waiting == waits


@pytest.mark.parametrize("setting", ["", "sql_mode='ANSI'"])
async def test_what_was_asked_before_the_tablet_stood_still_is_not_begun_after_it(setting: str) -> None:
    tablet = Tablet()
    stood_still: list[int] = []

    def awake() -> None:
        if tablet.clock.now_s() > 1005.0 and not stood_still:
            stood_still.append(1)
            tablet.execution.peer_gone(tablet.peer)

    tablet.connection.before_data = awake
    if setting:  # under way: its SET
        tablet.ask(1, m.F_WRITE, b"UPDATE t SET a = 1", settings=setting)
    else:  # queued
        tablet.ask(2, 0, b"SELECT 1")
        tablet.ask(1, m.F_WRITE, b"UPDATE t SET a = 1")
    tablet.clock.advance(6.0)
    tablet.says()
    assert not any(b"UPDATE" in sent for sent in tablet.transport.out)


@pytest.mark.parametrize("pinged_first", [False, True])
async def test_a_kill_beside_the_look_at_programs_ends_a_statement_once(pinged_first: bool) -> None:
    tablet = Tablet()
    tablet.ask(1, m.F_RESERVE, b"")
    tablet.says()
    handle = tablet.told(1)[-1][4]
    tablet.ask(
        2, m.F_WRITE | m.F_STATUS, b"CREATE TRIGGER x BEFORE INSERT ON t FOR EACH ROW SET @a=1", handle=handle
    )
    tablet.execution.cancel(tablet.peer, 2)
    tablet.refuses(1317)
    kill, look = tablet.admin.jobs[-2:]
    assert kill[0].startswith("KILL")
    kill[1](Answer(b"", None, lost=False))
    sent = len(tablet.transport.out)
    look[1](Answer(frame(ok_payload(0, 0, 2, 0, b""), 1), None, lost=False))
    assert len(tablet.transport.out) == sent + 1
    assert tablet.last_command == COM_PING
    if pinged_first:
        tablet.says()
        assert len(tablet.told(2)) == 1
        assert len(tablet.transport.out) == sent + 1
