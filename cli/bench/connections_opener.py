"""A process that opens many connections and holds them: bare epoll, and a byte a connection for where it is.

What goes as it went before (greeting, OK, answer) is compared and not parsed; whatever differs goes through `Opening`,
which parses.

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
from array import array
from dataclasses import dataclass
from mmap import mmap
from typing import Final

from cli.bench.connection import Place
from cli.bench.connections_replies import Replies
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

# Where a connection is, by descriptor.
_CLOSED: Final = 0
_GREETED: Final = 1  # its greeting is to come
_LOGIN: Final = 2  # the login's end is to come
_ASKED: Final = 3  # the answer is to come
_PARSED: Final = 4  # an `Opening` has it
_HELD: Final = 5

# What the parent wants; the board's first cell.
RAMP: Final = 0
HOLD: Final = 1
DRAIN: Final = 2

MAX_OPENING: Final = 3_000
"""Logins that all processes have under way: enough to keep the router busy, too few to make each wait long, or to fill
a tablet's queue of 4,000."""
PAUSE_S: Final = 0.02
"""While there is little to do, so that sixty processes do not wake for each packet: that would cost the router's cores
more than the packets."""
A_BATCH: Final = 16
"""So many events are not little."""
FIRST_READ_BYTES: Final = 480
NICE: Final = 5
"""Clients would be on other machines: they step back behind the cluster under test."""
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
    opening: int = 32
    """Logins that it has under way at most."""

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
    """A connection on its way to being verified, by the parser."""

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

    def logging_in(self, greeting: bytes) -> None:
        """`greeting` was answered already."""
        self._login = self._new_login()
        self._login.receive(greeting[4:])

    def asked(self, deprecate_eof: bool) -> None:
        """The statement was sent already."""
        self._answer = deprecate_eof

    def _new_login(self) -> Login:
        return Login(self._place.user, self._place.password, self._place.database)

    def feed(self, data: bytes) -> bool | None:
        """True: verified; False: a wrong answer; None: not yet. Raises ServerRefused, WireError, OSError."""
        if self._answer is not None:
            return self._on_answer(data)
        if self._login is None:
            self._login = self._new_login()
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
                self._login = self._packets = None
                self._answer = login.deprecate_eof
                os.write(self.fd, query(b"SELECT %d" % self.number))
                return
        # a whole packet was answered: the next data is looked at anew; else this reader has a part of it
        self._packets = packets if packets.buffered_bytes else None

    def _on_answer(self, data: bytes) -> bool | None:
        reader = self._answer
        if isinstance(reader, bool):
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
        self._replies: Replies | None = None
        self._parsed: dict[int, Opening] = {}
        self._greetings: dict[int, bytes] = {}
        """What a connection in _LOGIN was greeted with, should the parser need it."""
        self._eof: dict[int, bool] = {}
        """Of a connection in _ASKED: whether there are no EOF packets."""
        self._at = bytearray(1024)
        """By descriptor."""
        self._numbers = array("I", bytes(4 * 1024))
        self._opening = 0

    def run(self) -> None:
        signal.signal(signal.SIGINT, signal.SIG_IGN)
        os.nice(NICE)
        gc.disable()  # there are no cycles here
        share = self._share
        began_s = time.monotonic()
        started = 0
        parent = os.getppid()
        little = False
        while self._board[0] != DRAIN and os.getppid() == parent:
            if started < share.connections:
                due = share.connections
                if share.ramp_s:
                    due = min(due, int(share.connections * (time.monotonic() - began_s) / share.ramp_s) + 1)
                while started < due and self._opening < share.opening:
                    self._open(share.first + started)
                    started += 1
            busy = started < share.connections or self._opening
            if busy and little:
                time.sleep(PAUSE_S)
            events = self._epoll.poll(PAUSE_S if busy else IDLE_POLL_S, 1024)
            for fd, _ in events:
                self._on_event(fd)
            little = len(events) < A_BATCH
        self._drain()

    def _drain(self) -> None:
        for fd, at in enumerate(self._at):
            if at:
                with contextlib.suppress(OSError):
                    os.write(fd, b"\x01\0\0\0\x01")
                os.close(fd)
                if at == _HELD:
                    self._cells[HELD] -= 1

    def _open(self, number: int) -> None:
        place = self._share.place
        sock = socket.SocketType(socket.AF_INET, socket.SOCK_STREAM | socket.SOCK_NONBLOCK)
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
        self._opening += 1
        if fd >= len(self._at):
            self._at.extend(bytes(fd + 1024 - len(self._at)))
            self._numbers.frombytes(bytes(4 * (len(self._at) - len(self._numbers))))
        self._at[fd] = _GREETED
        self._numbers[fd] = number
        self._epoll.register(fd, select.EPOLLIN | select.EPOLLRDHUP)

    def _on_event(self, fd: int) -> None:
        at = self._at[fd]
        if at == _HELD:
            self._close(fd, LOST)
            self._cells[HELD] -= 1
            return
        try:
            data = os.read(fd, FIRST_READ_BYTES)
            if not data:
                raise ConnectionError
            verdict = self._feed(fd, at, data)
        except BlockingIOError:
            return
        except (OSError, ServerRefused, WireError):
            self._opening -= 1
            self._close(fd, REFUSED)
            return
        if verdict is not None:
            self._opening -= 1
            self._at[fd] = _HELD
            self._cells[HELD] += 1
            self._cells[VERIFIED if verdict else WRONG] += 1

    def _feed(self, fd: int, at: int, data: bytes) -> bool | None:
        """As `Opening.feed`."""
        number = self._numbers[fd]
        if at == _GREETED:
            if self._replies is None:
                self._learn(data)
            reply = self._replies.reply(data) if self._replies is not None else None
            if reply is not None:
                os.write(fd, reply)
                self._greetings[fd] = data
                self._at[fd] = _LOGIN
                return None
        elif at == _LOGIN:
            eof = self._seen.welcomes.get(data)
            if eof is not None:
                os.write(fd, query(b"SELECT %d" % number))
                del self._greetings[fd]
                self._eof[fd] = eof
                self._at[fd] = _ASKED
                return None
        elif at == _ASKED and data == self._seen.answer(number):
            del self._eof[fd]
            return True
        return self._parse(fd, at, number, data)

    def _learn(self, greeting: bytes) -> None:
        with contextlib.suppress(ServerRefused, WireError, ValueError):
            self._replies = Replies(self._share.place, greeting)

    def _parse(self, fd: int, at: int, number: int, data: bytes) -> bool | None:
        opening = self._parsed.get(fd)
        if opening is None:
            opening = self._parsed[fd] = Opening(fd, number, self._share.place, self._seen)
            self._at[fd] = _PARSED
            if at == _LOGIN:
                opening.logging_in(self._greetings.pop(fd))
            elif at == _ASKED:
                opening.asked(self._eof.pop(fd))
        verdict = opening.feed(data)
        if verdict is not None:
            del self._parsed[fd]
        return verdict

    def _close(self, fd: int, why: int) -> None:
        """It was refused, or a held one spoke or ended of its own."""
        self._at[fd] = _CLOSED
        for kept in (self._parsed, self._greetings, self._eof):
            kept.pop(fd, None)
        os.close(fd)
        self._cells[why] += 1


_BIND_ADDRESS_NO_PORT: Final = 24
"""IP_BIND_ADDRESS_NO_PORT of Linux: the port is chosen at connect, so that pairs, not ports, must be unique."""
