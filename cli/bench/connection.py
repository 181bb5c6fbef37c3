"""One connection of the load generator: an asyncio protocol that logs in, then asks one question at a time.

Invariant: a connection that broke, or said what does not parse, fails what is asked of it from then on.
"""

import asyncio
from dataclasses import dataclass
from typing import cast

from cli.bench.protocol import Answer, AnswerReader, Login, ServerRefused, prepare, query
from wire.errors import WireError
from wire.packets import PacketReader, frame

LOGIN_TIMEOUT_S = 20.0


@dataclass(frozen=True, slots=True)
class Place:
    """Where to connect, over TCP."""

    name: str
    """`direct` or `router`."""
    host: str
    port: int
    user: str
    password: str
    database: str


class ConnectionLost(Exception):
    """The server closed it, or broke the protocol."""


class Connection(asyncio.Protocol):
    """Make it with `connect`."""

    __slots__ = (
        "_login",
        "_packets",
        "_reader",
        "_waiter",
        "deprecate_eof",
        "lost",
        "server_version",
        "transport",
    )

    def __init__(self, login: Login) -> None:
        self._login: Login | None = login
        self._packets: PacketReader | None = PacketReader(consecutive=True)
        self._reader: AnswerReader | None = None
        self._waiter: asyncio.Future[Answer | None] | None = None
        self.transport: asyncio.Transport
        self.deprecate_eof = False
        self.server_version = ""
        self.lost: Exception | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast("asyncio.Transport", transport)  # uvloop's is none by name

    def connection_lost(self, exc: Exception | None) -> None:
        if self.lost is None:
            self.lost = ConnectionLost(str(exc) if exc else "the server closed the connection")
        self.fail(self.lost)

    def data_received(self, data: bytes) -> None:
        try:
            if self._login is not None:
                self._log_in(self._login, data)
            elif self._reader is not None:
                answer = self._reader.feed(data)
                if answer is not None:
                    self._reader = None
                    self.answered(answer)
        except (WireError, ServerRefused, IndexError, ValueError) as error:
            self.break_off(error)

    def _log_in(self, login: Login, data: bytes) -> None:
        if self._packets is not None:
            self._packets.buffer(data)
        while self._packets is not None and (packet := self._packets.next()) is not None:
            answer = login.receive(packet[0])
            if answer is not None:
                self.transport.write(frame(answer, (packet[1] + 1) & 0xFF))
                self._packets.expected = (packet[1] + 2) & 0xFF
            if login.done:
                self.deprecate_eof = login.deprecate_eof
                self.server_version = login.server_version
                self._login = self._packets = None
                if self._waiter is not None:
                    self._waiter.set_result(None)

    def break_off(self, error: Exception) -> None:
        """What the server says cannot be trusted any more."""
        self.lost = error
        self.transport.abort()
        self.fail(error)

    def answered(self, answer: Answer) -> None:
        """Of what `send` asked."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(answer)

    def fail(self, error: Exception) -> None:
        """Nothing will be answered any more."""
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_exception(error)

    def send(self, framed: bytes, *, binary: bool = False, preparing: bool = False) -> None:
        """Asks; `answered` is called with what comes."""
        self._reader = AnswerReader(deprecate_eof=self.deprecate_eof, binary=binary, preparing=preparing)
        self.transport.write(framed)

    async def ask(self, framed: bytes, *, binary: bool = False, preparing: bool = False) -> Answer:
        """The answer, when there is no error in it. Raises ServerRefused, ConnectionLost, WireError."""
        if self.lost is not None:
            raise self.lost
        self._waiter = asyncio.get_running_loop().create_future()
        self.send(framed, binary=binary, preparing=preparing)
        try:
            answer = await self._waiter
        finally:
            self._waiter = None
        assert answer is not None
        if answer.error is not None:
            raise answer.error
        return answer

    async def query(self, sql: str) -> Answer:
        """As `ask`, a text."""
        return await self.ask(query(sql.encode()))

    async def prepare(self, sql: bytes) -> int:
        """The statement's id."""
        return (await self.ask(prepare(sql), preparing=True)).statement_id

    async def logged_in(self) -> None:
        """Returns when the login is through. Raises as `ask`."""
        if self._login is None:
            return
        if self.lost is not None:
            raise self.lost
        self._waiter = asyncio.get_running_loop().create_future()
        try:
            async with asyncio.timeout(LOGIN_TIMEOUT_S):
                await self._waiter
        finally:
            self._waiter = None

    def close(self) -> None:
        self.transport.close()


async def connect(
    place: Place,
    kind: type[Connection] = Connection,
    source: str | None = None,
) -> Connection:
    """A connection that is logged in, from the address `source`. Raises OSError, and as `Connection.ask`."""
    loop = asyncio.get_running_loop()
    _, made = await loop.create_connection(
        lambda: kind(Login(place.user, place.password, place.database)),
        place.host,
        place.port,
        local_addr=(source, 0) if source else None,
    )
    await made.logged_in()
    return made
