"""Many clients at once, in processes of their own: verified reads, transactions, big results, abrupt ends.

What they ask of: table `counter` with rows (id, owner) where owner always equals id.
"""

import multiprocessing
import random
import socket
import struct
import threading
import time
from collections import Counter
from concurrent.futures import ProcessPoolExecutor
from dataclasses import dataclass, field
from typing import Any

import pymysql


@dataclass(frozen=True)
class Order:
    """What one process does."""

    kwargs: dict[str, Any]
    """For pymysql.connect."""
    first: int
    clients: int
    seconds: float
    keys: int
    pause_s: float


@dataclass
class Seen:
    """What came of it."""

    done: int = 0
    cuts: int = 0
    refused: Counter[int] = field(default_factory=Counter)
    wrong: list[str] = field(default_factory=list)

    def add(self, other: "Seen") -> None:
        self.done += other.done
        self.cuts += other.cuts
        self.refused.update(other.refused)
        self.wrong += other.wrong


def storm(kwargs: dict[str, Any], clients: int, processes: int, seconds: float, keys: int) -> Seen:
    """Runs `clients` over `processes` for `seconds` and gathers what they saw."""
    share = clients // processes
    orders = [Order(kwargs, n * share, share, seconds, keys, 0.15) for n in range(processes)]
    seen = Seen()
    with ProcessPoolExecutor(processes, multiprocessing.get_context("spawn")) as pool:
        for part in pool.map(run, orders):
            seen.add(part)
    return seen


def run(order: Order) -> Seen:
    """One process: a thread a client."""
    threading.stack_size(512 * 1024)
    parts = [Seen() for _ in range(order.clients)]
    until_s = time.monotonic() + order.seconds
    threads = [
        threading.Thread(target=_client, args=(order, order.first + n, until_s, part))
        for n, part in enumerate(parts)
    ]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    seen = Seen()
    for part in parts:
        seen.add(part)
    return seen


def _client(order: Order, number: int, until_s: float, seen: Seen) -> None:
    rnd = random.Random(number)
    cnx: Any = None
    time.sleep(rnd.random())  # not all logins at once
    while time.monotonic() < until_s:
        try:
            if cnx is None:
                cnx = pymysql.connect(
                    **order.kwargs, autocommit=True, ssl_disabled=True, connect_timeout=30, read_timeout=60
                )
            if _act(cnx, rnd, order.keys, seen):
                seen.cuts += 1
                cnx = None
            seen.done += 1
        except pymysql.err.Error as error:
            seen.refused[error.args[0] if error.args and isinstance(error.args[0], int) else 0] += 1
            if cnx is not None:
                cnx._force_close()
            cnx = None
        time.sleep(rnd.random() * 2 * order.pause_s)
    if cnx is not None:
        cnx.close()


def _act(cnx: Any, rnd: random.Random, keys: int, seen: Seen) -> bool:
    """One piece of work; True where the connection was cut on purpose."""
    key = rnd.randrange(1, keys + 1)
    choice = rnd.random()
    with cnx.cursor() as cursor:
        if choice < 0.6:
            cursor.execute("SELECT id, owner FROM counter WHERE id = %s", (key,))
            _check(seen, cursor.fetchall() == ((key, key),), f"read of {key}")
        elif choice < 0.82:
            cnx.begin()
            # A few over two shards: those wait for each other's places in the pool, up to the time limit.
            two = rnd.random() < 0.1
            for one in sorted({key, rnd.randrange(1, keys + 1) if two else key}):
                cursor.execute("UPDATE counter SET hits = hits + 1 WHERE id = %s", (one,))
                _check(seen, cursor.rowcount == 1, f"update of {one}")
            if rnd.random() < 0.2:
                return _cut(cnx)
            cnx.commit() if rnd.random() < 0.7 else cnx.rollback()
        elif choice < 0.88:
            cursor.execute("SELECT id, owner, REPEAT('x', 500) FROM counter")
            rows = cursor.fetchall()
            right = len(rows) == keys and all(row[0] == row[1] for row in rows)
            _check(seen, right, "read of everything")
        elif choice < 0.94:
            cursor.execute("SET @mine = %s", (key,))
            cursor.execute("SELECT @mine, owner FROM counter WHERE id = %s", (key,))
            _check(seen, cursor.fetchall() == ((key, key),), f"user variable {key}")
        else:
            cnx._execute_command(3, "SELECT id, owner, REPEAT('x', 2000) FROM counter")
            return _cut(cnx)
    return False


def _check(seen: Seen, right: bool, what: str) -> None:
    if not right:
        seen.wrong.append(what)


def _cut(cnx: Any) -> bool:
    cnx._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    cnx._force_close()
    return True
