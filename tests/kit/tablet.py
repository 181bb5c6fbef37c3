"""A tablet as a real process, and an asker that speaks to it as a router worker does."""

import asyncio
import contextlib
import itertools
import os
import signal
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from core.rpc import messages as m
from core.rpc.dealer import Dealer
from core.rpc.zeromq import make_context
from tests.kit.servers import RunningMysql
from wire.answers import parse_err
from wire.packets import iterate_payloads, read_lenenc_int
from wire.rows import split_text_row


def dsn(server: RunningMysql, database: str) -> str:
    """Of Sluice's own account, over the unix socket."""
    account = server.account
    return f"mysql://{account.user}:{account.password}@localhost/{database}?socket={server.socket}"


@dataclass(slots=True)
class Reply:
    """A whole answer: RESULTs put together, or a FAIL."""

    data: bytes = b""
    info: int = 0
    handle: int = 0
    status: int = 0
    chunks: int = 0
    failed: tuple[int, str, str] | None = None
    done: "asyncio.Future[Reply] | None" = None
    hold_credit: bool = False
    received: int = 0

    @property
    def error(self) -> tuple[int, str]:
        """Number and text, of MySQL's ERR or the tablet's FAIL; (0, "") for neither."""
        if self.failed is not None:
            return self.failed[0], self.failed[2]
        if self.info & m.I_ERR:
            *_, last = iterate_payloads(self.data)
            error = parse_err(last)
            return error.number, error.text
        return 0, ""

    @property
    def rows(self) -> list[list[str | None]]:
        """Text rows of one result set in the EOF flavour."""
        assert not self.error[0], self.error
        payloads = list(iterate_payloads(self.data))
        if payloads[0][0] == 0:
            return []
        columns = read_lenenc_int(payloads[0], 0)[0]
        rows = [split_text_row(payload, columns) for payload in payloads[columns + 2 : -1]]
        return [[None if cell is None else cell.decode() for cell in row] for row in rows]

    @property
    def value(self) -> str | None:
        return self.rows[0][0]


class Asker:
    """One DEALER. `credit` is granted as data comes, unless a statement was sent with `hold_credit`."""

    def __init__(self, endpoint: str, name: str) -> None:
        loop = asyncio.get_running_loop()
        self._context = make_context()
        self._ids = itertools.count(1)
        self.replies: dict[int, Reply] = {}
        self.files: asyncio.Queue[tuple[int, bytes]] = asyncio.Queue()
        """Files that MySQL asked for: the statement's id, the file's name."""
        self.taken_bytes = 0
        self.welcome: asyncio.Future[list[Any]] = loop.create_future()
        self.states: list[str] = []
        self.name = name
        self.down = asyncio.Event()
        self.clock_offset_s = 0.0
        self.dealer = Dealer(
            loop,
            self._context,
            endpoint,
            name.encode(),
            self._on_record,
            lambda: self.dealer.send((m.HELLO, m.VERSION, name)),
            lambda _: self.down.set(),
        )
        self._pings = loop.create_task(self._ping())

    async def _ping(self) -> None:
        while True:
            await asyncio.sleep(1)
            if self.welcome.done():  # before HELLO it would be refused
                self.dealer.send((m.PING, int(time.monotonic() * 1000)))

    def silence(self) -> None:
        """No more PINGs."""
        self._pings.cancel()

    def _on_record(self, record: list[Any]) -> None:
        kind = record[0]
        if kind in (m.WELCOME, m.REFUSED):
            if not self.welcome.done():
                self.welcome.set_result(record)
        elif kind == m.STATE:
            self.states.append(record[1])
        elif kind == m.RESULT:
            self._on_result(record)
        elif kind == m.FAIL:
            reply = self.replies.pop(record[1])
            reply.failed = (record[2], record[3], record[4])
            reply.handle = record[5]
            self._finish(reply)
        elif kind == m.PREPARED:
            reply = self.replies.pop(record[1])
            reply.info, reply.status, reply.data = record[2], record[3], record[4]
            self._finish(reply)
        elif kind == m.TAKEN:
            self.taken_bytes += record[2]
        elif kind == m.STATS_REPLY:
            reply = self.replies.pop(record[1])
            assert reply.done is not None
            reply.done.set_result(record[2])

    def _on_result(self, record: list[Any]) -> None:
        if record[2] & m.I_INFILE:
            self.files.put_nowait((record[1], record[3]))
            return
        reply = self.replies[record[1]]
        reply.info |= record[2] & 0xFFFF
        reply.received += len(record[3])
        reply.chunks += 1
        reply.data += record[3]
        if len(record) > 4:
            reply.handle, reply.status = record[4], record[5]
        if record[2] & m.I_LAST:
            del self.replies[record[1]]
            self._finish(reply)
        elif not reply.hold_credit:
            self.dealer.send((m.CREDIT, record[1], len(record[3])))

    def _finish(self, reply: Reply) -> None:
        if reply.done is not None and not reply.done.done():
            reply.done.set_result(reply)

    def start(
        self,
        sql: str | bytes,
        flags: int = 0,
        handle: int = 0,
        *,
        user: str = "app",
        settings: str = "",
        tables: list[str] | None = None,
        deadline_s: float = 0.0,
        extra: dict[str, Any] | None = None,
        hold_credit: bool = False,
    ) -> tuple[int, "asyncio.Future[Reply]"]:
        """Sends EXECUTE; returns its id and what will be its reply."""
        id_ = next(self._ids)
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.replies[id_] = Reply(done=done, hold_credit=hold_credit)
        deadline_ms = int((time.monotonic() + deadline_s) * 1000) if deadline_s else 0
        text = sql.encode() if isinstance(sql, str) else sql
        self.dealer.send((m.EXECUTE, id_, deadline_ms, flags, handle, user, settings, tables, text, extra))
        return id_, done

    async def run(self, sql: str | bytes, flags: int = 0, handle: int = 0, **options: Any) -> Reply:
        """The reply of one statement."""
        return await asyncio.wait_for(self.start(sql, flags, handle, **options)[1], 60)

    async def prepare(self, sql: str, settings: str = "", database: str = "", handle: int = 0) -> Reply:
        id_ = next(self._ids)
        done: asyncio.Future[Reply] = asyncio.get_running_loop().create_future()
        self.replies[id_] = Reply(done=done)
        self.dealer.send((m.PREPARE, id_, 0, "app", settings, sql.encode(), database, handle))
        return await asyncio.wait_for(done, 30)

    async def stats(self) -> dict[str, Any]:
        id_ = next(self._ids)
        done: asyncio.Future[Any] = asyncio.get_running_loop().create_future()
        self.replies[id_] = Reply(done=done)
        self.dealer.send((m.STATS, id_))
        result: dict[str, Any] = await asyncio.wait_for(done, 10)
        return result

    def cancel(self, id_: int) -> None:
        self.dealer.send((m.CANCEL, id_))

    def credit(self, id_: int, size_bytes: int) -> None:
        self.dealer.send((m.CREDIT, id_, size_bytes))

    def send_file(self, id_: int, data: bytes) -> None:
        self.dealer.send((m.FILE, id_, data))

    def free(self, handle: int) -> None:
        self.dealer.send((m.FREE, handle))

    async def close(self) -> None:
        self._pings.cancel()
        self.dealer.close()
        self._context.term()


@dataclass
class TabletServer:
    """A running `python -m tablet`."""

    process: "subprocess.Popen[bytes]"
    endpoint: str
    log: Path
    askers: list[Asker] = field(default_factory=list)

    async def asker(self, name: str = "worker-1") -> Asker:
        """A new peer that has been welcomed."""
        asker = Asker(self.endpoint, name)
        self.askers.append(asker)
        record = await asyncio.wait_for(asker.welcome, 15)
        assert record[0] == m.WELCOME, record
        return asker

    async def serving(self, asker: Asker, timeout_s: float = 15.0) -> None:
        """Returns once the tablet says SERVING."""
        await until(lambda: self._state(asker) == m.SERVING, timeout_s)

    @staticmethod
    def _state(asker: Asker) -> str:
        return asker.states[-1] if asker.states else str(asker.welcome.result()[8])

    def rss_bytes(self) -> int:
        fields = Path(f"/proc/{self.process.pid}/statm").read_text().split()
        return int(fields[1]) * os.sysconf("SC_PAGESIZE")

    async def stop(self) -> int:
        """SIGTERM; the exit status."""
        for asker in self.askers:
            await asker.close()
        self.askers.clear()
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
        try:
            return await asyncio.to_thread(self.process.wait, 15)
        except subprocess.TimeoutExpired:
            self.process.kill()
            self.process.wait()
            raise


async def until(condition: Callable[[], Any], timeout_s: float = 30.0, what: str = "") -> None:
    """Polls `condition` until it is true; AssertionError after `timeout_s`."""
    deadline = time.monotonic() + timeout_s
    while not condition():
        assert time.monotonic() < deadline, what or "it did not become true in time"
        await asyncio.sleep(0.01)


def start_tablet(
    directory: Path, dsn: str, *, name: str = "tablet", etcd: str = "", cluster: str = "demo", **tablet: Any
) -> TabletServer:
    """Starts a tablet of keyspace `commerce`, shard `-`, with these [tablet] settings; `etcd`: an endpoint."""
    directory.mkdir(parents=True, exist_ok=True)
    lines = ["[cluster]", f'name = "{cluster}"', "[[keyspaces]]", 'name = "commerce"', "[tablet]"]
    for key, value in tablet.items():
        lines.append(f'{key} = "{value}"' if isinstance(value, str) else f"{key} = {value}")
    config = directory / "cluster.toml"
    config.write_text("\n".join(lines) + "\n")
    dsn_file = directory / "dsn"
    dsn_file.touch(mode=0o600)
    dsn_file.write_text(dsn + "\n")
    endpoint = f"ipc://{directory}/{name}.ipc"
    log = directory / f"{name}.log"
    with log.open("ab") as out:
        process = subprocess.Popen(
            [
                *(sys.executable, "-m", "tablet", "-f", str(config), "--keyspace", "commerce"),
                *("--shard", "-", "--listen", endpoint, "--dsn-file", str(dsn_file), "--alias", name),
                *(("--etcd", etcd) if etcd else ()),
            ],
            stdout=out,
            stderr=out,
        )
    return TabletServer(process, endpoint, log)


@contextlib.asynccontextmanager
async def running_tablet(directory: Path, dsn: str, **tablet: Any) -> AsyncIterator[TabletServer]:
    """A tablet for the length of a block; SIGTERM at its end."""
    server = start_tablet(directory, dsn, **tablet)
    try:
        yield server
    finally:
        await server.stop()
