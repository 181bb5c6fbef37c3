"""The live queries of the connections bench: a fixed rate, whatever the answers take.

Latency counts from the moment at which a query was due, so that a stall shows in all queries that it held up.
"""

import os
import select
import signal
import time
from collections import deque
from mmap import mmap
from multiprocessing.connection import Connection as Pipe
from typing import Final

from cli.bench.bare_client import BareClient
from cli.bench.connection import Place
from cli.bench.connections_opener import DRAIN
from wire.errors import WireError

CLIENTS: Final = 16


def run(place: Place, per_second: float, sql: str, keys: int, board: mmap, result: Pipe) -> None:
    """The process. Sends (due since the start in s, latency in s, right?) of every query at the end. `sql` has {n},
    and its first column must be n."""
    signal.signal(signal.SIGINT, signal.SIG_IGN)
    want = memoryview(board).cast("q")
    epoll = select.epoll()
    clients: dict[int, BareClient] = {}
    free: deque[BareClient] = deque()
    for _ in range(CLIENTS):
        client = BareClient(place)
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
            sent += 1
            client.ask(sql.replace("{n}", str(client.number)))
        wait_s = began_s + sent / per_second - time.monotonic() if free else 1.0
        for fd, _ in epoll.poll(max(0.0, min(wait_s, 0.1))):
            client = clients[fd]
            try:
                answer = client.read()
                if answer is None:
                    continue
                right = answer.error is None and answer.rows == (str(client.number).encode(),)
            except (OSError, WireError):
                right = False
                epoll.unregister(fd)
                client.sock.close()
                del clients[fd]
            else:
                free.append(client)
            found.append((client.due_s - began_s, time.monotonic() - client.due_s, right))
    result.send(found)
