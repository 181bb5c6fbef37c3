"""One client of a load generator on a bare socket: logs in, then asks without ever waiting.

Invariant: one question at a time; the answer is parsed whole before the next.
"""

import contextlib
import socket

from cli.bench.connection import Place
from cli.bench.protocol import Answer, AnswerReader, Login, query
from wire.packets import PacketReader, frame

LOGIN_S = 20.0


class BareClient:
    """See the module. `due_s` and `number` are the user's own."""

    __slots__ = ("_answer", "_deprecate_eof", "due_s", "number", "sock")

    def __init__(self, place: Place) -> None:
        """Logs in, which waits. Raises OSError, ServerRefused, WireError."""
        self.sock = socket.create_connection((place.host, place.port), LOGIN_S)
        self.sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
        login = Login(place.user, place.password, place.database)
        packets = PacketReader(consecutive=True)
        while not login.done:
            data = self.sock.recv(16384)
            if not data:
                raise ConnectionError("closed while logging in")
            packets.buffer(data)
            while (packet := packets.next()) is not None:
                reply = login.receive(packet[0])
                if reply is not None:
                    self.sock.sendall(frame(reply, (packet[1] + 1) & 0xFF))
                    packets.expected = (packet[1] + 2) & 0xFF
        self.sock.setblocking(False)
        self._deprecate_eof = login.deprecate_eof
        self._answer: AnswerReader | None = None
        self.due_s = 0.0
        self.number = 0

    def ask(self, sql: str) -> None:
        self._answer = AnswerReader(deprecate_eof=self._deprecate_eof)
        with contextlib.suppress(OSError):  # a lost connection is seen when it is read
            self.sock.send(query(sql.encode()))

    def read(self) -> Answer | None:
        """The answer, once it is whole. Raises OSError, WireError."""
        data = self.sock.recv(65536)
        if not data or self._answer is None:
            raise ConnectionError("closed, or something that was not asked for")
        answer = self._answer.feed(data)
        if answer is not None:
            self._answer = None
        return answer
