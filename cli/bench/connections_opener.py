"""A process that opens many connections and holds them: bare epoll, one small object a connection until it is verified.

Every connection logs in, asks `SELECT <its own number>` and must get that number: the statement reaches a MySQL
through a tablet, and no two are alike, so that none is answered for another. Then it is left alone, and watched:
whatever a held connection says, or its end, is counted.
"""

import contextlib
import os
import select
import signal
import socket
import time
from dataclasses import dataclass
from mmap import mmap
from typing import Final

from cli.bench.connection import Place
from cli.bench.protocol import AnswerReader, Login, ServerRefused, query
from wire.errors import WireError
from wire.packets import PacketReader, frame

# Cells of one process in the shared board, 8 bytes each.
OPENED: Final = 0
VERIFIED: Final = 1
WRONG: Final = 2
REFUSED: Final = 3
LOST: Final = 4
HELD: Final = 5
CELLS: Final = 8

# What the parent wants; the board's first cell.
RAMP: Final = 0
HOLD: Final = 1
DRAIN: Final = 2

MAX_OPENING: Final = 100
ADDRESSES_A_PROCESS: Final = 1


@dataclass(frozen=True, slots=True)
class Share:
    """One process' part."""

    number: int
    place: Place
    connections: int
    ramp_s: float
    first: int
    """Its connections' numbers begin here."""

    @property
    def source(self) -> str:
        """A loopback address of its own: each has the whole range of ports."""
        return f"127.1.{self.number // 250}.{self.number % 250 + 1}"


class Opening:
    """A connection on its way to being verified."""

    __slots__ = ("answer", "login", "number", "packets", "sock")

    def __init__(self, sock: socket.socket, number: int, place: Place) -> None:
        self.sock = sock
        self.number = number
        self.packets: PacketReader | None = PacketReader(consecutive=True)
        self.login: Login | None = Login(place.user, place.password, place.database)
        self.answer: AnswerReader | None = None

    def feed(self, data: bytes) -> bool | None:
        """True: verified; False: a wrong answer; None: not yet. Raises ServerRefused, WireError, OSError."""
        if self.answer is not None:
            found = self.answer.feed(data)
            if found is None:
                return None
            if found.error is not None:
                raise found.error
            return found.rows == (str(self.number).encode(),)
        login, packets = self.login, self.packets
        assert login is not None
        assert packets is not None
        packets.buffer(data)
        while (packet := packets.next()) is not None:
            reply = login.receive(packet[0])
            if reply is not None:
                self.sock.send(frame(reply, (packet[1] + 1) & 0xFF))
                packets.expected = (packet[1] + 2) & 0xFF
            if login.done:
                self.answer = AnswerReader(deprecate_eof=login.deprecate_eof)
                self.login = self.packets = None
                self.sock.send(query(b"SELECT %d" % self.number))
                break
        return None


class Opener:
    """See the module; `run` is the process."""

    def __init__(self, share: Share, board: mmap) -> None:
        self._share = share
        self._board = memoryview(board).cast("q")
        first = CELLS * (share.number + 1)
        self._cells = self._board[first : first + CELLS]
        self._epoll = select.epoll()
        self._opening: dict[int, Opening] = {}
        self._held: dict[int, socket.socket] = {}

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        share = self._share
        began_s = time.monotonic()
        started = 0
        parent = os.getppid()
        while self._board[0] != DRAIN and os.getppid() == parent:
            if started < share.connections:
                due = share.connections
                if share.ramp_s:
                    due = min(due, int(share.connections * (time.monotonic() - began_s) / share.ramp_s) + 1)
                while started < due and len(self._opening) < MAX_OPENING:
                    self._open(share.first + started)
                    started += 1
            busy = started < share.connections or self._opening
            for fd, event in self._epoll.poll(0.01 if busy else 0.5, 256):
                self._on_event(fd, event)
        for sock in [*self._held.values(), *(one.sock for one in self._opening.values())]:
            with contextlib.suppress(OSError):
                sock.send(b"\x01\0\0\0\x01")
            sock.close()
            self._cells[HELD] = max(0, self._cells[HELD] - 1)

    def _open(self, number: int) -> None:
        place = self._share.place
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM)
        try:
            if place.host.startswith("127."):
                sock.setsockopt(socket.SOL_IP, _BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self._share.source, 0))
            sock.setblocking(False)
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            with contextlib.suppress(BlockingIOError):
                sock.connect((place.host, place.port))
        except OSError:
            sock.close()
            self._cells[REFUSED] += 1
            return
        self._cells[OPENED] += 1
        self._opening[sock.fileno()] = Opening(sock, number, place)
        self._epoll.register(sock.fileno(), select.EPOLLIN | select.EPOLLRDHUP)

    def _on_event(self, fd: int, event: int) -> None:
        opening = self._opening.get(fd)
        if opening is None:
            self._lost(fd)
            return
        try:
            data = opening.sock.recv(16384)
            verdict = opening.feed(data) if data else None
        except BlockingIOError:
            return
        except (OSError, ServerRefused, WireError):
            data, verdict = b"", None
        if not data:
            self._end(fd, opening.sock)
            del self._opening[fd]
            self._cells[REFUSED] += 1
        elif verdict is not None:
            del self._opening[fd]
            self._held[fd] = opening.sock
            self._cells[HELD] += 1
            self._cells[VERIFIED if verdict else WRONG] += 1

    def _lost(self, fd: int) -> None:
        """A held connection spoke or ended, of its own."""
        sock = self._held.pop(fd, None)
        if sock is not None:
            self._end(fd, sock)
            self._cells[LOST] += 1
            self._cells[HELD] -= 1

    def _end(self, fd: int, sock: socket.socket) -> None:
        self._epoll.unregister(fd)
        sock.close()


_BIND_ADDRESS_NO_PORT: Final = 24
"""IP_BIND_ADDRESS_NO_PORT of Linux: the port is chosen at connect, so that pairs, not ports, must be unique."""
