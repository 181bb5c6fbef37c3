"""A tablet that is stopped in order and started again under writes: no client hears of it."""

import os
import signal
import threading
import time
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster, wait_for

pytestmark = pytest.mark.e2e

KEYS = range(1, 9)
ROUNDS = 2


class Writer(threading.Thread):
    """Adds 1 to a row of its own, each in a transaction of one statement."""

    def __init__(self, cluster: Cluster, key: int, stop: threading.Event) -> None:
        super().__init__()
        self.cluster = cluster
        self.key = key
        self.stop = stop
        self.done = 0
        self.errors: list[Any] = []

    def run(self) -> None:
        try:
            with self.cluster.connect() as cnx, cnx.cursor() as cursor:
                while not self.stop.is_set():
                    cursor.execute(
                        f"UPDATE customer SET balance = balance + 1 WHERE customer_id = {self.key}"
                    )
                    self.done += cursor.rowcount
                    time.sleep(0.002)
        except pymysql.err.MySQLError as error:
            self.errors.append(error.args)


def test_writes_go_to_the_successor(cluster: Cluster) -> None:
    cluster.clear("customer")
    rows = ", ".join(f"({n}, 'w{n}', 'x')" for n in KEYS)
    cluster.query(f"INSERT INTO customer (customer_id, name, country) VALUES {rows}")
    stop = threading.Event()
    writers = [Writer(cluster, n, stop) for n in KEYS]
    for writer in writers:
        writer.start()
    try:
        for _ in range(ROUNDS):
            time.sleep(0.5)
            pid = cluster.pids("tablet")[0]
            os.kill(pid, signal.SIGTERM)
            wait_for(lambda pid=pid: cluster.restarted("tablet", 0, pid), 20, "the tablet does not come back")
            wait_for(cluster.healthy, 20, "the cluster does not serve")
        time.sleep(0.5)
    finally:
        stop.set()
        for writer in writers:
            writer.join(30)
    assert [writer.errors for writer in writers if writer.errors] == []
    balances = cluster.query("SELECT customer_id, balance FROM customer ORDER BY customer_id")
    assert balances == [(writer.key, writer.done) for writer in writers]
    assert all(writer.done > 10 for writer in writers)
