"""500 clients with transactions, big results and abrupt ends: Threads_connected never passes pool_size."""

import random
import socket
import struct
import threading
import time
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import SHARDS, Cluster, wait_for

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

CLIENTS = 500
SECONDS = 20.0
KEYS = 2000


class Sampler(threading.Thread):
    """Asks every MySQL for Threads_connected, on one connection of its own each, as fast as it answers."""

    def __init__(self, cluster: Cluster) -> None:
        super().__init__()
        self._cnxs = {shard: pymysql.connect(**cluster.direct(shard)) for shard in SHARDS}
        self.most = dict.fromkeys(SHARDS, 0)
        self.samples = 0
        self.stopped = threading.Event()

    def now(self, shard: str) -> int:
        with self._cnxs[shard].cursor() as cursor:
            cursor.execute("SHOW GLOBAL STATUS LIKE 'Threads_connected'")
            row = cursor.fetchone()
            assert row is not None
            return int(row[1]) - 1  # without ours

    def run(self) -> None:
        while not self.stopped.is_set():
            for shard in SHARDS:
                self.most[shard] = max(self.most[shard], self.now(shard))
            self.samples += 1
            time.sleep(0.005)

    def close(self) -> None:
        for cnx in self._cnxs.values():
            cnx.close()


class Client(threading.Thread):
    """One of the 500. Wrong answers end up in `wrong`; refusals are counted."""

    def __init__(self, cluster: Cluster, number: int, until_s: float) -> None:
        super().__init__(daemon=True)
        self._cluster = cluster
        self._rnd = random.Random(number)
        self._until_s = until_s
        self.done = 0
        self.refused: dict[int, int] = {}
        self.wrong: list[str] = []

    def run(self) -> None:
        cnx: Any = None
        while time.monotonic() < self._until_s:
            try:
                if cnx is None:
                    cnx = self._cluster.connect(autocommit=True, read_timeout=60)
                if self._act(cnx):
                    cnx = None
                self.done += 1
            except pymysql.err.Error as error:
                number = int(error.args[0]) if error.args and isinstance(error.args[0], int) else 0
                self.refused[number] = self.refused.get(number, 0) + 1
                if cnx is not None:
                    cnx._force_close()
                cnx = None
            except AssertionError as error:
                self.wrong.append(str(error))
                return
        if cnx is not None:
            cnx.close()

    def _act(self, cnx: Any) -> bool:
        """One piece of work; True where the connection was cut on purpose."""
        rnd = self._rnd
        key = rnd.randrange(1, KEYS + 1)
        choice = rnd.random()
        with cnx.cursor() as cursor:
            if choice < 0.6:
                cursor.execute("SELECT id, owner FROM counter WHERE id = %s", (key,))
                assert cursor.fetchall() == ((key, key),)
            elif choice < 0.8:
                cnx.begin()
                for one in sorted({key, rnd.randrange(1, KEYS + 1)}):
                    cursor.execute("UPDATE counter SET hits = hits + 1 WHERE id = %s", (one,))
                    assert cursor.rowcount == 1
                if rnd.random() < 0.2:
                    return self._cut(cnx)
                cnx.commit() if rnd.random() < 0.7 else cnx.rollback()
            elif choice < 0.9:
                cursor.execute("SELECT id, owner, REPEAT('x', 500) FROM counter")
                rows = cursor.fetchall()
                assert len(rows) == KEYS
                assert all(row[0] == row[1] for row in rows)
            elif choice < 0.95:
                cursor.execute("SET @mine = %s", (key,))
                cursor.execute("SELECT @mine, owner FROM counter WHERE id = %s", (key,))
                assert cursor.fetchall() == ((key, key),)
            else:
                cnx._execute_command(3, "SELECT id, owner, REPEAT('x', 2000) FROM counter")
                return self._cut(cnx)
        return False

    @staticmethod
    def _cut(cnx: Any) -> bool:
        cnx._sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
        cnx._force_close()
        return True


@pytest.mark.timeout(240)
def test_the_cap_holds(cluster: Cluster) -> None:
    cluster.clear("counter")
    values = ", ".join(f"({key}, {key})" for key in range(1, KEYS + 1))
    with cluster.connect() as cnx, cnx.cursor() as cursor:
        cursor.execute(f"INSERT INTO counter (id, owner) VALUES {values}")
    sampler = Sampler(cluster)
    sampler.start()
    threading.stack_size(512 * 1024)
    until_s = time.monotonic() + SECONDS
    clients = [Client(cluster, number, until_s) for number in range(CLIENTS)]
    try:
        for client in clients:
            client.start()
        for client in clients:
            client.join(SECONDS + 90)
            assert not client.is_alive(), "a client hangs"
    finally:
        threading.stack_size(0)
        sampler.stopped.set()
        sampler.join()
    wrong = [text for client in clients for text in client.wrong]
    refused: dict[int, int] = {}
    for client in clients:
        for number, count in client.refused.items():
            refused[number] = refused.get(number, 0) + count
    done = sum(client.done for client in clients)
    print(f"{done} pieces of work, refused {refused}, {sampler.samples} samples, most {sampler.most}")
    assert wrong == []
    assert done > CLIENTS
    # refusals are those of a full queue, of locks and of waiting, never a lost connection
    assert set(refused) <= {1205, 1213, 15002, 15003, 15004, 15007, 3024}, refused
    assert sampler.samples > 50
    assert all(most <= cluster.pool_size for most in sampler.most.values()), sampler.most
    assert max(sampler.most.values()) >= cluster.pool_size - 2, "the load never filled the pool"

    def idle() -> bool:
        view = cluster.view()
        tablets = view["tablets"]
        keys = ("in_use", "waiting", "reserved", "transactions")
        return all(not tablet.get(key) for tablet in tablets for key in keys) and not any(
            worker.get("clients") for worker in view["workers"]
        )

    wait_for(idle, 10, f"something leaks: {cluster.view()['tablets']}")
    for shard in SHARDS[:2]:
        ((open_,),) = cluster.query_direct(
            shard, "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> 0"
        )
        assert open_ == 0
        assert sampler.now(shard) <= cluster.pool_size
    sampler.close()
    assert cluster.query("SELECT COUNT(*), SUM(id = owner) FROM counter") == [(KEYS, KEYS)]
    cluster.clear("counter")
