"""Links with a scripted tablet behind, and sessions over them: what the router does is seen record by record.

`FakeTablet` keeps the books of handles as protocol.md says, and answers in the next turn of the loop, unless
`script` says otherwise for a statement.
"""

import asyncio
import logging
import re
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

from core.rpc import messages as m
from router.calls import Calls
from router.gateway import Link
from router.sessions.session import Session
from router.workers.stats import WorkerStats
from wire.answers import err_packet, ok_packet
from wire.constants import SERVER_STATUS_AUTOCOMMIT, SERVER_STATUS_IN_TRANS
from wire.packets import iterate_payloads
from wire.results import text_result

HANG = "hang"
"""A script's answer: none, until the test gives one."""


class FakeClock:
    def __init__(self) -> None:
        self.now = 100.0

    def now_s(self) -> float:
        return self.now


class FakeDealer:
    def __init__(self, tablet: "FakeTablet") -> None:
        self.tablet = tablet
        self.closed = False

    def send(self, record: tuple[Any, ...], size_bytes: int = 128) -> None:
        if not self.closed:
            self.tablet.receive(record)

    def close(self) -> None:
        self.closed = True


class FakeTablet:
    """One tablet, with `link` to it. `script(sql)` gives None for the usual answer, HANG, (number, text) for an ERR
    of MySQL, or (number, text, handle_lives) for a FAIL of the tablet."""

    def __init__(self, keyspace: str = "ks", shard: str = "-", clock: FakeClock | None = None) -> None:
        self.sent: list[tuple[Any, ...]] = []
        self.forms: dict[int, tuple[Any, ...]] = {}
        """What the incarnation under way was told."""
        self.script: Callable[[bytes], Any] = lambda sql: None
        self.auto = True
        self.keeps = False
        """A statement that fails does not give its connection back: the tablet could not begin it."""
        self.open: dict[int, bool] = {}
        """Handles that are held -> whether in a transaction."""
        self.freed: list[int] = []
        self.locks: set[bytes] = set()
        """Named locks that are held, whoever holds them."""
        self.hanging: dict[bytes, tuple[Any, ...]] = {}
        self.clock = clock or FakeClock()
        self.dealers: list[FakeDealer] = []
        self._next = 0
        self.servers = 0
        self.link = Link("w.0", keyspace, shard, "ipc://nowhere", self._dial, self.clock, self._on_server)

    def _dial(self, link: Link) -> Any:
        self.dealers.append(FakeDealer(self))
        return self.dealers[-1]

    def _on_server(self, link: Link) -> None:
        self.servers += 1

    def welcome(self) -> "FakeTablet":
        link = self.link
        self.forms.clear()
        link.on_up()
        link.on_record([m.WELCOME, m.VERSION, "a", link.keyspace, link.shard, "PRIMARY", 0, {}, m.SERVING])
        return self

    def lose(self) -> None:
        """The transport says that the tablet is gone; everything held is rolled back."""
        self.open.clear()
        self.dealers[-1].closed = True
        self.link.on_down("it closed the connection")

    @property
    def texts(self) -> list[bytes]:
        """What ran, BEGINs that came along included."""
        found: list[bytes] = []
        for record in self.sent:
            if record[0] == m.EXECUTE:
                if record[3] & m.F_BEGIN:
                    found += [text.encode() for text in record[9]["begin"].split(";") if text]
                found.append(record[8])
        return found

    def receive(self, record: tuple[Any, ...]) -> None:
        """A RUN is kept as the EXECUTE that it stands for."""
        if record[0] == m.FORM:
            self.forms[record[1]] = record[2:]
            return
        if record[0] == m.RUN:
            _, request, number, handle, sql, params = record
            flags, *about = self.forms[number]
            extra = None if params is None else {"params": params}
            record = (m.EXECUTE, request, 0, flags, handle, *about, sql, extra)
        self.sent.append(record)
        if record[0] == m.FREE:
            self.freed.append(record[1])
            self.open.pop(record[1], None)
        elif record[0] == m.CANCEL:
            for sql, one in list(self.hanging.items()):
                if one[1] == record[1]:
                    del self.hanging[sql]
                    self.answer(one, (1317, "Query execution was interrupted"))
        elif record[0] == m.EXECUTE and self.auto:
            says = self.script(record[8])
            if says == HANG:
                self.hanging[record[8]] = record
            else:
                asyncio.get_running_loop().call_soon(self.answer, record, says, self.dealers[-1])

    def _take_handle(self, record: tuple[Any, ...]) -> int:
        flags, handle = record[3], record[4]
        if not handle and flags & (m.F_BEGIN | m.F_RESERVE):
            self._next += 1
            handle = self._next
            self.open[handle] = bool(flags & m.F_BEGIN) and "START" in record[9]["begin"]
        return int(handle)

    def answer(self, record: tuple[Any, ...], says: Any = None, dealer: FakeDealer | None = None) -> None:
        """Ends a request."""
        if dealer is not None and dealer.closed:
            return
        _, request, _, flags, handle, _, _, _, sql, _ = record
        if handle and handle not in self.open:
            self.link.on_record([m.FAIL, request, 15009, "25000", "not known", 0])
            return
        handle = self._take_handle(record)
        if says is not None and len(says) == 3:
            number, text, lives = says
            if not lives:
                self.open.pop(handle, None)
            self.link.on_record([m.FAIL, request, number, "HY000", text, handle if lives else 0])
            return
        info, data = m.I_LAST | m.I_OK, b""
        word = sql.split()[0].upper() if sql else b""
        if says is not None:
            info = m.I_LAST | m.I_ERR
            if says[0] == 1213 and handle:
                self.open[handle] = False  # a deadlock rolls the whole transaction back
            data = err_packet(1, says[0], "HY000", says[1])
        elif handle and (word in (b"START", b"BEGIN") or flags & m.F_BRANCH):
            self.open[handle] = True
        elif handle and flags & m.F_BRANCH_ENDS:
            self.open[handle] = False
        elif handle and word == b"CALL":
            self.open[handle] = b"begins" in sql or (self.open[handle] and b"ends" not in sql)
        elif handle and word in (b"COMMIT", b"ROLLBACK") and b"SAVEPOINT" not in sql:
            self.open[handle] = False
        if info & m.I_OK:
            asked = re.findall(rb"IS_USED_LOCK\('(\w+)'\)", sql)
            if asked:
                held = [b"1" if name in self.locks else None for name in asked]
                info, data = m.I_LAST, text_result([name.decode() for name in asked], [held], 0)
            self.locks.update(re.findall(rb"\bget_lock\('(\w+)'", sql))
            self.locks.difference_update(re.findall(rb"\brelease_lock\('(\w+)'", sql))
        status = SERVER_STATUS_IN_TRANS if self.open.get(handle) else 0
        if b"autocommit_off" not in sql:
            status |= SERVER_STATUS_AUTOCOMMIT
        if flags & m.F_RELEASE and not (self.keeps and info & m.I_ERR):
            self.open.pop(handle, None)
            handle, status = 0, SERVER_STATUS_AUTOCOMMIT
        if not data:
            data = ok_packet(1, 1, 0, status)
        self.link.on_record([m.RESULT, request, info, data, handle, status])


class Connection:
    """What a session needs of its connection; `answers` are the payloads that the client was sent."""

    id = 7
    caps = 0
    host = "10.0.0.1"
    charset = 45
    state = 2

    def __init__(self) -> None:
        self.answers: list[bytes] = []
        self.aborted = ""
        self.file = None
        self.ended = 0
        self.write_paused = False
        self.claims: Any = None
        self.session: Session | None = None

    def write(self, data: bytes) -> None:
        self.answers += iterate_payloads(data)

    def done(self) -> None:
        self.ended += 1

    def abort(self, reason: str) -> None:
        self.aborted = reason

    def close(self) -> None: ...


def make_worker(loop: asyncio.AbstractEventLoop, mode: str = "multi") -> Any:
    worker = SimpleNamespace(
        loop=loop,
        calls=Calls(loop),
        stats=WorkerStats(),
        admission=SimpleNamespace(limits_queries=False, gate=SimpleNamespace(leave=lambda rules: None)),
        log=logging.getLogger("test"),
        transactions=0,
        view=None,
        server={},
        transaction_mode=lambda session: mode,
        intern=lambda text: text,
        restore_charset=lambda session: None,
        boot=SimpleNamespace(config=SimpleNamespace(router=SimpleNamespace(max_memory_rows=1000))),
    )

    async def run_as_binary(*arguments: Any) -> None:
        raise AssertionError("not here")

    worker.run_as_binary = run_as_binary
    return worker


def make_session(loop: asyncio.AbstractEventLoop, mode: str = "multi") -> tuple[Session, Connection]:
    connection = Connection()
    session = Session(make_worker(loop, mode), connection, "app", 0)  # type: ignore[arg-type]
    connection.session = session
    return session, connection


async def turns(count: int = 30) -> None:
    """Lets everything happen that needs no time."""
    for _ in range(count):
        await asyncio.sleep(0)
