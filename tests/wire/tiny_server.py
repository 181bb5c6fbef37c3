"""The smallest MySQL server that `wire` makes: blocking sockets, a thread a connection, canned SQL answers.

It exists to hold `wire` against real client libraries; the product's listener is the router's.
"""

import contextlib
import socket
import ssl
import threading
from collections.abc import Callable
from functools import partial
from types import TracebackType
from typing import Self

from wire.answers import err_packet, ok_packet
from wire.columns import number_column, text_column
from wire.commands import parse_query
from wire.constants import (
    COM_CHANGE_USER,
    COM_INIT_DB,
    COM_PING,
    COM_QUERY,
    COM_QUIT,
    COM_RESET_CONNECTION,
    COM_STMT_CLOSE,
    COM_STMT_EXECUTE,
    COM_STMT_PREPARE,
    COM_STMT_RESET,
    TYPE_LONGLONG,
)
from wire.errors import WireError
from wire.login import Login
from wire.login_actions import Action, Authenticated, Refused, Send, UpgradeTls
from wire.packets import PacketReader
from wire.results import binary_result, prepare_result, text_result
from wire.rows import Value
from wire.statements import parse_execute
from wire.tls import TlsChannel


class TinyServer:
    """Listens on 127.0.0.1; `logins` keeps each verdict, `commands` each command's payload."""

    def __init__(self, make_login: Callable[[], Login], context: ssl.SSLContext | None = None) -> None:
        self._make_login = make_login
        self._context = context
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.port: int = self._listener.getsockname()[1]
        self.logins: list[Authenticated | Refused] = []
        self.tls: list[bool] = []
        self._threads = [threading.Thread(target=self._accept, daemon=True)]

    def __enter__(self) -> Self:
        self._threads[0].start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        with contextlib.suppress(OSError):
            self._listener.shutdown(socket.SHUT_RDWR)
        self._listener.close()
        for thread in self._threads:
            thread.join(10)

    def _accept(self) -> None:
        with contextlib.suppress(OSError):
            while True:
                peer, _ = self._listener.accept()
                thread = threading.Thread(target=self._serve, args=(peer,), daemon=True)
                self._threads.append(thread)
                thread.start()

    def _serve(self, peer: socket.socket) -> None:
        with peer, contextlib.suppress(OSError, EOFError):
            Connection(self, peer, self._make_login(), self._context).run()


class Connection:
    def __init__(
        self, server: TinyServer, peer: socket.socket, login: Login, context: ssl.SSLContext | None
    ) -> None:
        self.server = server
        self.peer = peer
        self.login = login
        self.context = context
        self.channel: TlsChannel | None = None
        self.reader = PacketReader(consecutive=True, expected=1)
        self.statements: dict[int, int] = {}

    def send(self, data: bytes) -> None:
        self.peer.sendall(self.channel.send(data) if self.channel else data)

    def receive(self) -> None:
        data = self.peer.recv(65536)
        if not data:
            raise EOFError
        self._take(data)

    def _take(self, data: bytes) -> None:
        if self.channel:
            data = self.channel.receive(data)
            self.peer.sendall(self.channel.take_outgoing())
        if data:
            self.reader.buffer(data)

    def next(self) -> tuple[bytes, int]:
        while (packet := self.reader.next()) is None:
            self.receive()
        return packet

    def run(self) -> None:
        self.send(self.login.start())
        verdict = self.authenticate(self.receive_login)
        while verdict is not None:
            self.send(ok_packet(verdict.sequence))
            self.reader.consecutive, self.reader.expected = False, 0
            verdict = self.command_phase(verdict)

    def receive_login(self) -> list[Action]:
        return self.login.receive(*self.next())

    def authenticate(self, step: Callable[[], list[Action]]) -> Authenticated | None:
        while True:
            for action in step():
                if isinstance(action, Send):
                    self.send(action.data)
                    self.reader.expected = (self.reader.expected + 1) & 0xFF
                elif isinstance(action, UpgradeTls):
                    assert self.context is not None
                    rest = self.reader.take_rest()
                    self.channel = TlsChannel(self.context)
                    self.login.tls_started()
                    if rest:
                        self._take(rest)
                elif isinstance(action, (Authenticated, Refused)):
                    self.server.logins.append(action)
                    self.server.tls.append(self.channel is not None)
                    if isinstance(action, Authenticated):
                        return action
                    self.send(action.data)
                    return None
            step = self.receive_login

    def command_phase(self, verdict: Authenticated) -> Authenticated | None:
        while True:
            payload, sequence = self.next()
            if payload[0] == COM_QUIT:
                return None
            if payload[0] == COM_CHANGE_USER:
                nonce = self.login.nonce
                self.login = self.server._make_login()
                self.login.secure = self.channel is not None
                self.reader.consecutive, self.reader.expected = True, (sequence + 1) & 0xFF
                return self.authenticate(
                    partial(self.login.change_user, payload, sequence, verdict.caps, nonce)
                )
            try:
                answer = self.answer(payload, verdict)
            except WireError as error:
                answer = err_packet(1, error.number, error.sqlstate, error.text)
            self.send(answer)

    def answer(self, payload: bytes, verdict: Authenticated) -> bytes:
        caps = verdict.caps
        command = payload[0]
        if command in (COM_PING, COM_INIT_DB, COM_RESET_CONNECTION, COM_STMT_RESET):
            return ok_packet(1)
        if command == COM_STMT_CLOSE:
            return b""
        if command == COM_QUERY:
            _, sql = parse_query(payload, caps)
            if sql.upper().startswith(b"SET"):
                return ok_packet(1)
            rows: list[list[Value]] = [[verdict.user, 2**63 - 1], [None, len(sql)]]
            return text_result(["who", number_column("n", TYPE_LONGLONG)], rows, caps)
        if command == COM_STMT_PREPARE:
            count = payload.count(b"?")
            number = len(self.statements) + 1
            self.statements[number] = count
            columns = [text_column(f"c{index}") for index in range(count)]
            return prepare_result(number, [text_column("?")] * count, columns, caps)
        assert command == COM_STMT_EXECUTE
        count = self.statements[int.from_bytes(payload[1:5], "little")]
        values = parse_execute(payload, count, caps=caps).values()
        return binary_result([text_column(f"c{index}") for index in range(count)], [values], caps)
