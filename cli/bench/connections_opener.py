"""A process that opens many connections and holds them: bare epoll, one small object a connection until it is
verified, one byte afterwards.

Every connection logs in, asks `SELECT <its own number>` and must get that number: the statement reaches a MySQL
through a tablet, and no two are alike, so that none is answered for another. Then it is left alone, and watched:
whatever a held connection says, or its end, is counted.
"""

import contextlib
import gc
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

MAX_OPENING: Final = 32
"""Logins that one process has under way: enough to keep the router busy, too few to make each wait long."""
BUSY_POLL_S: Final = 0.02
IDLE_POLL_S: Final = 1.0
CONNECTIONS_AN_ADDRESS: Final = 4_096


@dataclass(frozen=True, slots=True)
class Share:
    """One process' part."""

    number: int
    place: Place
    connections: int
    ramp_s: float
    first: int
    """Its connections' numbers begin here."""

    def source(self, number: int) -> str:
        """The loopback address that connection `number` comes from: no other process', and another one each
        CONNECTIONS_AN_ADDRESS. When half of an address' ports are taken, the kernel searches all of that half (it
        prefers even ones) for each more: milliseconds beyond 14,000."""
        block = (number - self.first) // CONNECTIONS_AN_ADDRESS
        return f"127.{block + 1}.{self.number // 250}.{self.number % 250 + 1}"


class Seen:
    """What verified connections were told, in this process: the same bytes again need no parser. Bytes that differ
    are parsed."""

    __slots__ = ("_answers", "welcomes")

    def __init__(self) -> None:
        self.welcomes: dict[bytes, bool] = {}
        """Ends of logins, and whether the server leaves out EOF packets since."""
        self._answers: dict[int, list[bytes]] = {}

    def learn(self, number: int, data: bytes) -> None:
        """`data` is the answer to `SELECT number`, parsed and found right."""
        digits = b"%d" % number
        self._answers[len(digits)] = data.split(digits)

    def answer(self, number: int) -> bytes | None:
        """The answer as it will probably be: that to a number of as many digits, with this one in its place."""
        digits = b"%d" % number
        parts = self._answers.get(len(digits))
        return None if parts is None else digits.join(parts)


class Opening:
    """A connection on its way to being verified."""

    __slots__ = ("_answer", "_login", "_packets", "_place", "_seen", "fd", "number")

    def __init__(self, fd: int, number: int, place: Place, seen: Seen) -> None:
        self.fd = fd
        self.number = number
        self._place = place
        self._seen = seen
        self._packets: PacketReader | None = None
        self._login: Login | None = None
        self._answer: AnswerReader | bool | None = None
        """Once the login is through: whether there are no EOF packets, then what reads the answer."""

    def feed(self, data: bytes) -> bool | None:
        """True: verified; False: a wrong answer; None: not yet. Raises ServerRefused, WireError, OSError."""
        if self._answer is not None:
            return self._on_answer(data)
        if self._login is None:
            self._login = Login(self._place.user, self._place.password, self._place.database)
        elif self._packets is None and data in self._seen.welcomes:
            self._ask(self._seen.welcomes[data])
            return None
        self._on_login(data)
        return None

    def _on_login(self, data: bytes) -> None:
        login, packets = self._login, self._packets
        assert login is not None
        if packets is None:
            packets = PacketReader(consecutive=True, expected=data[3] if len(data) > 3 else 0)
        packets.buffer(data)
        while (packet := packets.next()) is not None:
            reply = login.receive(packet[0])
            if reply is not None:
                os.write(self.fd, frame(reply, (packet[1] + 1) & 0xFF))
                packets.expected = (packet[1] + 2) & 0xFF
            if login.done:
                if self._packets is None and len(self._seen.welcomes) < 8:
                    self._seen.welcomes[data] = login.deprecate_eof
                self._ask(login.deprecate_eof)
                return
        # a whole packet was answered: the next data is looked at anew; else this reader has a part of it
        self._packets = packets if packets.buffered_bytes else None

    def _ask(self, deprecate_eof: bool) -> None:
        self._login = self._packets = None
        self._answer = deprecate_eof
        os.write(self.fd, query(b"SELECT %d" % self.number))

    def _on_answer(self, data: bytes) -> bool | None:
        reader = self._answer
        if isinstance(reader, bool):
            if data == self._seen.answer(self.number):
                return True
            reader = self._answer = AnswerReader(deprecate_eof=reader)
            learn = True
        else:
            learn = False
        assert reader is not None
        found = reader.feed(data)
        if found is None:
            return None
        if found.error is not None:
            raise found.error
        right = found.rows == (str(self.number).encode(),)
        if right and learn:
            self._seen.learn(self.number, data)
        return right


class Opener:
    """See the module; `run` is the process."""

    def __init__(self, share: Share, board: mmap) -> None:
        self._share = share
        self._board = memoryview(board).cast("q")
        first = CELLS * (share.number + 1)
        self._cells = self._board[first : first + CELLS]
        self._epoll = select.epoll()
        self._seen = Seen()
        self._opening: dict[int, Opening] = {}
        self._held = bytearray(1024)
        """By descriptor, whether it is a verified connection's."""

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        gc.disable()  # there are no cycles here
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
            for fd, _ in self._epoll.poll(BUSY_POLL_S if busy else IDLE_POLL_S, 256):
                self._on_event(fd)
        self._drain()

    def _drain(self) -> None:
        for fd in [*(fd for fd, held in enumerate(self._held) if held), *self._opening]:
            with contextlib.suppress(OSError):
                os.write(fd, b"\x01\0\0\0\x01")
            os.close(fd)
            self._cells[HELD] = max(0, self._cells[HELD] - 1)

    def _open(self, number: int) -> None:
        place = self._share.place
        sock = socket.socket(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
        try:
            if place.host.startswith("127."):
                sock.setsockopt(socket.SOL_IP, _BIND_ADDRESS_NO_PORT, 1)
                sock.bind((self._share.source(number), 0))
            with contextlib.suppress(BlockingIOError):
                sock.connect((place.host, place.port))
        except OSError:
            sock.close()
            self._cells[REFUSED] += 1
            return
        fd = sock.detach()
        self._cells[OPENED] += 1
        self._opening[fd] = Opening(fd, number, place, self._seen)
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP)

    def _on_event(self, fd: int) -> None:
        opening = self._opening.get(fd)
        if opening is None:
            self._lost(fd)
            return
        try:
            data = os.read(fd, 16384)
            verdict = opening.feed(data) if data else None
        except BlockingIOError:
            return
        except (OSError, ServerRefused, WireError):
            data, verdict = b"", None
        if not data:
            os.close(fd)
            del self._opening[fd]
            self._cells[REFUSED] += 1
        elif verdict is not None:
            del self._opening[fd]
            if fd >= len(self._held):
                self._held.extend(bytes(fd + 1024 - len(self._held)))
            self._held[fd] = 1
            self._cells[HELD] += 1
            self._cells[VERIFIED if verdict else WRONG] += 1

    def _lost(self, fd: int) -> None:
        """A held connection spoke or ended, of its own."""
        if self._held[fd]:
            self._held[fd] = 0
            os.close(fd)
            self._cells[LOST] += 1
            self._cells[HELD] -= 1


_BIND_ADDRESS_NO_PORT: Final = 24
"""IP_BIND_ADDRESS_NO_PORT of Linux: the port is chosen at connect, so that pairs, not ports, must be unique."""
