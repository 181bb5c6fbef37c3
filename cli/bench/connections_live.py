"""The live queries of the connections bench: a fixed rate, whatever the answers take.

Latency counts from the moment at which a query was due, so that a stall shows in all queries that it held up.
"""

import contextlib
import os
import select
import signal
import socket
import time
from collections import deque
from mmap import mmap
from multiprocessing.connection import Connection as Pipe
from typing import Final

from cli.bench.connection import Place
from cli.bench.connections_opener import DRAIN
from cli.bench.protocol import AnswerReader, Login, ServerRefused, query
from wire.errors import WireError
from wire.packets import PacketReader, frame

CLIENTS: Final = 16


class _Client:
    def __init__(self, place: Place) -> None:
        self.sock = socket.create_connection((place.host, place.port), 20)
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
        self.deprecate_eof = login.deprecate_eof
        self.answer: AnswerReader | None = None
        self.due_s = 0.0
        self.number = 0


def run(place: Place, per_second: float, sql: str, keys: int, board: mmap, result: Pipe) -> None:
    """The process. Sends (due since the start in s, latency in s, right?) of every query at the end. `sql` has {n},
    and its first column must be n."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    want = memoryview(board).cast("q")
    epoll = select.epoll()
    clients: dict[int, _Client] = {}
    free: deque[_Client] = deque()
    for _ in range(CLIENTS):
        client = _Client(place)
        clients[client.sock.fileno()] = client
        epoll.register(client.sock.fileno(), select.EPOLLIN)
        free.append(client)
    found: list[tuple[float, float, bool]] = []
    began_s = time.monotonic()
    sent = 0
    parent = os.getppid()
    while want[0] != DRAIN and os.getppid() == parent and clients:
        now_s = time.monotonic()
        while free and began_s + sent / per_second <= now_s:
            client = free.popleft()
            client.due_s = began_s + sent / per_second
            client.number = sent % keys + 1
            client.answer = AnswerReader(deprecate_eof=client.deprecate_eof)
            sent += 1
            with contextlib.suppress(OSError):
                client.sock.send(query(sql.replace("{n}", str(client.number)).encode()))
        wait_s = began_s + sent / per_second - time.monotonic() if free else 1.0
        for fd, _ in epoll.poll(max(0.0, min(wait_s, 0.1))):
            client = clients[fd]
            try:
                data = client.sock.recv(65536)
                if not data:
                    raise ConnectionError
                answer = client.answer.feed(data) if client.answer is not None else None
                if answer is None:
                    continue
                right = answer.error is None and answer.rows == (str(client.number).encode(),)
            except (OSError, ServerRefused, WireError):
                right = False
                epoll.unregister(fd)
                client.sock.close()
                del clients[fd]
            else:
                free.append(client)
            client.answer = None
            found.append((client.due_s - began_s, time.monotonic() - client.due_s, right))
    result.send(found)
