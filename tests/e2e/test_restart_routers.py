"""`clusterctl restart routers` under clients: idle ones notice nothing, busy ones finish, new ones are let in."""

import os
import subprocess
import sys
import threading
import time
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster, wait_for
from tests.kit.drivers import connect
from tests.kit.http_sql import HttpSql

IDLE = 300
BUSY = 20


def plain(cluster: Cluster, **more: Any) -> "pymysql.Connection[Any]":
    return cluster.connect(ssl_disabled=True, **more)


def ask(connection: "pymysql.Connection[Any]", sql: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    assert row is not None
    return tuple(row)


def restart(cluster: Cluster) -> str:
    done = subprocess.run(
        [sys.executable, "-m", "cli.main", "restart", "routers", "-f", str(cluster.home / "cluster.toml")],
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
        env={**os.environ, "NO_COLOR": "1"},
    )
    assert done.returncode == 0, done.stdout + done.stderr
    return done.stdout


class Busy(threading.Thread):
    """Asks without a pause, on one connection; a lost connection is an error like any other."""

    def __init__(self, cluster: Cluster, stop: threading.Event, new_ones: bool) -> None:
        super().__init__()
        self.cluster = cluster
        self.stop = stop
        self.new_ones = new_ones
        self.errors: list[str] = []
        self.answers = 0

    def run(self) -> None:
        try:
            connection = plain(self.cluster)
            while not self.stop.is_set():
                if self.new_ones:
                    connection.close()
                    connection = plain(self.cluster)
                assert ask(connection, f"SELECT {self.answers}, SLEEP(0.02)") == (self.answers, 0)
                self.answers += 1
                time.sleep(0.01)
            connection.close()
        except Exception as error:
            self.errors.append(repr(error))


def test_restart_under_idle_busy_and_new_clients(cluster: Cluster) -> None:
    before = cluster.pids("router-worker")
    idle = [plain(cluster, program_name=f"idle {number % 3}") for number in range(IDLE)]
    for number, client in enumerate(idle):
        with client.cursor() as cursor:
            cursor.execute(f"SET @mine = {number}, SESSION sort_buffer_size = {32768 + 1024 * (number % 3)}")
    in_transaction = plain(cluster, autocommit=False)
    ask(in_transaction, "SELECT COUNT(*) FROM customer")
    over_http, over_http_in_transaction = HttpSql(cluster), HttpSql(cluster)
    over_http.execute("SET @mine = 'token'")
    over_http_in_transaction.execute("BEGIN")
    over_http_in_transaction.execute("SELECT COUNT(*) FROM customer")
    stop = threading.Event()
    busy = [Busy(cluster, stop, new_ones=number % 5 == 0) for number in range(BUSY)]
    for thread in busy:
        thread.start()

    def end_transactions() -> None:
        ask(in_transaction, "SELECT 1")
        in_transaction.commit()
        over_http_in_transaction.execute("SELECT COUNT(*) FROM customer")
        over_http_in_transaction.execute("COMMIT")

    closer = threading.Timer(2.0, end_transactions)
    closer.start()
    try:
        said = restart(cluster)
        assert "all 2 workers replaced" in said
        after = cluster.pids("router-worker")
        assert not set(before) & set(after)
        time.sleep(0.5)
    finally:
        stop.set()
        for thread in busy:
            thread.join(20)
        closer.join()
    assert [thread.errors for thread in busy if thread.errors] == []
    assert all(thread.answers > 10 for thread in busy)
    sql = "SELECT @mine, @@sort_buffer_size, CONNECTION_ID()"
    for number, client in enumerate(idle):
        assert ask(client, sql) == (number, 32768 + 1024 * (number % 3), client.thread_id())
    said = "SELECT ATTR_VALUE FROM performance_schema.session_connect_attrs WHERE ATTR_NAME = "
    for number, client in enumerate(idle[:6]):
        assert ask(client, said + "'program_name'") == (f"idle {number % 3}",)
        assert ask(client, said + "'_pid'") == (str(os.getpid()),)
    in_transaction.ping(reconnect=False)
    assert "inTransaction" not in over_http_in_transaction.session["vitessSession"]
    assert over_http.execute("SELECT @mine") == [("token",)]
    for client_over_http in (over_http, over_http_in_transaction):
        client_over_http.close()
    in_transaction.close()
    for client in idle:
        client.close()
    wait_for(lambda: cluster.view()["router"]["clients"] == 0, 10, "all are counted out")


def test_prepared_statements_move_with_their_clients(cluster: Cluster) -> None:
    clients = [connect("connector", cluster.connect_kwargs(), tls=False) for _ in range(20)]
    cursors = [client.cursor(prepared=True) for client in clients]
    sql = "SELECT %s + 1, 'a', CONNECTION_ID()"
    for number, (client, cursor) in enumerate(zip(clients, cursors, strict=True)):
        cursor.execute(sql, (number,))
        assert cursor.fetchall() == [(number + 1, "a", client.connection_id)]
    assert "all 2 workers replaced" in restart(cluster)
    for number, (client, cursor) in enumerate(zip(clients, cursors, strict=True)):
        cursor.execute(sql, (number + 1,))  # the statement that was prepared before
        assert cursor.fetchall() == [(number + 2, "a", client.connection_id)]
        client.close()


def test_clients_that_cannot_move_stay_until_they_leave(cluster: Cluster) -> None:
    secure = [connect("pymysql", cluster.connect_kwargs(), tls=True) for _ in range(10)]
    for number, client in enumerate(secure):
        with client.cursor() as cursor:
            cursor.execute(f"SET @mine = {number}")
    before = cluster.pids("router-worker")
    said = restart(cluster)
    assert "all 2 workers replaced" in said
    assert "10 idle clients that cannot move" in said
    new = [plain(cluster) for _ in range(4)]
    for number, client in enumerate(secure):
        assert ask(client, "SELECT @mine, CONNECTION_ID()") == (number, client.thread_id())
        client.begin()
        assert ask(client, "SELECT COUNT(*) FROM customer") is not None
        client.commit()
    assert not {client.thread_id() for client in new} & {client.thread_id() for client in secure}
    assert cluster.view()["router"]["clients"] == 14
    for client in secure[:5]:
        client.close()
    restart(cluster)  # ends those that were left over by the first
    for client in secure[5:]:
        with pytest.raises(pymysql.err.OperationalError) as caught:
            ask(client, "SELECT 1")
        assert caught.value.args[0] in (1053, 2006, 2013)
    for client in new:
        assert ask(client, "SELECT 1") == (1,)
        client.close()
    wait_for(lambda: not cluster.view()["restart"]["retiring"], 10, "the old workers end")
    wait_for(lambda: cluster.view()["router"]["clients"] == 0, 10, "all are counted out")
    assert not set(before) & set(cluster.pids("router-worker"))


def test_a_moved_client_can_be_killed_and_counts_once(cluster: Cluster) -> None:
    clients = [plain(cluster) for _ in range(10)]
    restart(cluster)
    assert cluster.view()["router"]["clients"] == 10
    killer = plain(cluster)
    with killer.cursor() as cursor:
        for client in clients:
            cursor.execute(f"KILL {client.thread_id()}")
            with pytest.raises(pymysql.err.OperationalError):
                ask(client, "SELECT 1")
    wait_for(lambda: cluster.view()["router"]["clients"] == 1, 5, "the killed are counted out")
    killer.close()
