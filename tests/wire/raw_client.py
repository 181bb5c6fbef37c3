"""A connection to a MySQL with exactly the capability flags a test wants: a unix socket's path, or host and port."""

import socket
from types import TracebackType
from typing import Self

from tests.wire.login_client import CAPS, login_payload, prove
from wire.constants import CLIENT_CONNECT_ATTRS, CLIENT_CONNECT_WITH_DB, CLIENT_QUERY_ATTRIBUTES
from wire.login_request import greeted_caps
from wire.packets import PacketReader, frame
from wire.scan import ResultScanner

BASE_CAPS = CAPS & ~(CLIENT_CONNECT_ATTRS | CLIENT_CONNECT_WITH_DB) | 1 << 13 | 1 << 16 | 1 << 17 | 1 << 18


class RawClient:
    def __init__(
        self,
        address: str | tuple[str, int],
        user: str,
        password: str,
        caps: int = 0,
        zstd_level: int | None = None,
    ) -> None:
        self.socket = socket.socket(socket.AF_UNIX if isinstance(address, str) else socket.AF_INET)
        self.socket.settimeout(10)
        self.socket.connect(address)
        try:
            self._log_in(user, password, caps, zstd_level)
        except BaseException:
            self.socket.close()
            raise

    def _log_in(self, user: str, password: str, caps: int, zstd_level: int | None) -> None:
        reader = PacketReader(consecutive=True)
        greeting, _ = self._next(reader)
        at = greeting.index(b"\0") + 1
        offered = int.from_bytes(greeting[at + 13 : at + 15] + greeting[at + 18 : at + 20], "little")
        offered |= greeted_caps(greeting)
        nonce = greeting[at + 4 : at + 12] + greeting[at + 31 : at + 43]
        plugin = greeting[at + 44 :].rstrip(b"\0").decode()
        self.caps = (BASE_CAPS | caps) & offered
        self.query_attributes = bool(self.caps & CLIENT_QUERY_ATTRIBUTES)
        answer = login_payload(user, prove(plugin, password.encode(), nonce), plugin, self.caps)
        if zstd_level is not None:
            answer += bytes((zstd_level,))
        while True:
            self.socket.sendall(frame(answer, reader.expected))
            reader.expected = (reader.expected + 1) & 0xFF
            payload, _ = self._next(reader)
            if payload == b"\x01\x03":
                payload, _ = self._next(reader)
            if payload[0] == 0:
                return
            if payload[0] == 0xFE:
                name, _, nonce = payload[1:].partition(b"\0")
                answer = prove(name.decode(), password.encode(), nonce[:20])
            elif payload == b"\x01\x04":
                answer = password.encode() + b"\0"
            else:
                raise AssertionError(payload)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        self.socket.close()

    def _next(self, reader: PacketReader) -> tuple[bytes, int]:
        while (packet := reader.next()) is None:
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            reader.buffer(data)
        return packet

    def ask(self, payload: bytes, scanner: ResultScanner) -> bytes:
        """Sends a command and returns the answer as the scanner, already begun, makes it."""
        self.socket.sendall(frame(payload))
        out = []
        done = False
        while not done:
            data = self.socket.recv(65536)
            assert data, "the server closed the connection"
            done, part = scanner.feed(data)
            out.append(part)
        return b"".join(out)

    def ask_raw(self, payload: bytes, size: int) -> bytes:
        """Sends a command and returns `size` bytes of the answer, which must have no more."""
        self.socket.sendall(frame(payload))
        out = bytearray()
        while len(out) < size:
            data = self.socket.recv(1 << 20)
            assert data, "the server closed the connection"
            out += data
        return bytes(out)
