"""Parked sessions of a whole cluster: they wake as they were, can be killed, and end with their clients."""

import select
import socket
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster, wait_for

CLIENTS = 500


def parked(cluster: Cluster) -> int:
    return sum(int(worker.get("parked", 0)) for worker in cluster.view()["workers"])


def plain(cluster: Cluster, database: str = "commerce", **more: Any) -> "pymysql.Connection[Any]":
    """A client without TLS, whose sessions may be parked."""
    return cluster.connect(database, ssl_disabled=True, **more)


def ask(connection: "pymysql.Connection[Any]", sql: str) -> tuple[Any, ...]:
    with connection.cursor() as cursor:
        cursor.execute(sql)
        row = cursor.fetchone()
    assert row is not None
    return tuple(row)


def close_socket(connection: "pymysql.Connection[Any]") -> None:
    """Hangs up without a word."""
    connection._sock.shutdown(socket.SHUT_RDWR)  # type: ignore[attr-defined]
    connection._force_close()


@pytest.fixture
def idle(cluster: Cluster) -> int:
    wait_for(lambda: parked(cluster) == 0, 10, "earlier tests' sessions are gone")
    return 0


def test_parked_sessions_wake_as_they_were(cluster: Cluster, idle: int) -> None:
    del idle
    databases = ("commerce", "main", "commerce:-80", "information_schema")
    clients = []
    for number in range(CLIENTS):
        client = plain(cluster, databases[number % 4], autocommit=number % 3 != 0)
        with client.cursor() as cursor:
            cursor.execute(f"SET @mine = {number}, SESSION sort_buffer_size = {32768 + 1024 * (number % 5)}")
            if number % 7 == 0:
                cursor.execute("SET SESSION sql_mode = 'ANSI_QUOTES'")
        clients.append(client)
    try:
        wait_for(lambda: parked(cluster) == CLIENTS, 20, "all sessions are parked")
        sql = "SELECT @mine, DATABASE(), @@autocommit, @@sort_buffer_size, CONNECTION_ID(), @@sql_mode"
        for number, client in enumerate(clients):
            mine, database, autocommit, size, id_, mode = ask(client, sql)
            assert mine == number
            assert database == databases[number % 4]
            assert autocommit == (number % 3 != 0)
            assert size == 32768 + 1024 * (number % 5)
            assert id_ == client.thread_id()
            assert (mode == "ANSI_QUOTES") == (number % 7 == 0)
            client.rollback()
        wait_for(lambda: parked(cluster) == CLIENTS, 20, "all sessions are parked again")
        rows = cluster.query("SHOW PROCESSLIST")
        shown = {row[0]: row for row in rows}
        for client in clients:
            assert shown[client.thread_id()][4] == "Sleep"
    finally:
        for client in clients:
            client.close()
    wait_for(lambda: cluster.view()["router"]["clients"] == 0, 10, "all are counted out")


def test_a_parked_session_can_be_killed(cluster: Cluster, idle: int) -> None:
    del idle
    victims = [plain(cluster) for _ in range(8)]
    wait_for(lambda: parked(cluster) == len(victims), 10, "they are parked")
    killer = plain(cluster)
    with killer.cursor() as cursor:
        for victim in victims:
            cursor.execute(f"KILL QUERY {victim.thread_id()}")
            cursor.execute(f"KILL {victim.thread_id()}")
            with pytest.raises(pymysql.err.OperationalError):
                ask(victim, "SELECT 1")
    wait_for(lambda: cluster.view()["router"]["clients"] == 1, 10, "all are counted out")
    killer.close()


def test_hang_ups_of_parked_clients_are_noticed(cluster: Cluster, idle: int) -> None:
    del idle
    clients = [plain(cluster) for _ in range(20)]
    wait_for(lambda: parked(cluster) == len(clients), 10, "they are parked")
    for number, client in enumerate(clients):
        if number % 2:
            close_socket(client)
        else:
            client.close()
    wait_for(lambda: cluster.view()["router"]["clients"] == 0, 5, "all are counted out")
    wait_for(lambda: parked(cluster) == 0, 5, "none is parked any more")


def test_what_holds_something_is_not_parked(cluster: Cluster, idle: int) -> None:
    del idle
    in_transaction = plain(cluster, autocommit=False)
    ask(in_transaction, "SELECT COUNT(*) FROM customer")
    idle_one = plain(cluster)
    wait_for(lambda: parked(cluster) == 1, 10, "the plain one is parked")
    assert cluster.view()["workers"][0]["transactions"] + cluster.view()["workers"][1]["transactions"] == 1
    ask(in_transaction, "SELECT 1")
    in_transaction.rollback()
    wait_for(lambda: parked(cluster) == 2, 20, "without its transaction it is parked")
    in_transaction.close()
    idle_one.close()


def test_a_session_that_has_set_wait_timeout_is_closed_as_by_the_server(cluster: Cluster) -> None:
    """Parked, in a transaction, or busy for longer than that; one that takes its word back stays."""
    sql = ("SET wait_timeout = 1", "SET wait_timeout = 1", "SET SESSION wait_timeout = 600")
    mariadb = cluster.flavour == "mariadb"
    for kwargs in (cluster.connect_kwargs(database="main"), cluster.direct_tcp("main/-")):
        parks, transacts, stays = [pymysql.connect(**kwargs, autocommit=True) for _ in sql]
        for client, text in zip((parks, transacts, stays), sql, strict=True):
            with client.cursor() as cursor:
                cursor.execute(text)
                assert cursor._result is not None
                assert cursor._result.warning_count == 0
        stays.ping(reconnect=False)
        with transacts.cursor() as cursor:
            cursor.execute("BEGIN")
            cursor.execute("SELECT SLEEP(1.5)")
        for client in (parks, transacts):
            wait_for(lambda client=client: hung_up(client), 30, "the server hangs up")
            with pytest.raises(pymysql.err.MySQLError) as said:
                ask(client, "SELECT 1")
            assert said.value.args[0] in ((0, 2006, 2013) if mariadb else (0, 2006, 2013, 4031))
        assert ask(stays, "SELECT @@wait_timeout") == (600,)
        stays.close()


def hung_up(client: "pymysql.Connection[Any]") -> bool:
    """Whether the server has closed; what it said before that stays to be read."""
    readable, _, _ = select.select([client._sock], [], [], 0)  # type: ignore[attr-defined]
    return bool(readable)


def test_the_process_list_has_the_columns_of_the_server(cluster: Cluster) -> None:
    told = []
    for kwargs in (cluster.connect_kwargs(database="main"), cluster.direct_tcp("main/-")):
        with pymysql.connect(**kwargs) as cnx, cnx.cursor() as cursor:
            cursor.execute("SHOW PROCESSLIST")
            assert cursor.description is not None
            rows = cursor.fetchall()
            assert all(len(row) == len(cursor.description) for row in rows)
            told.append([column[0] for column in cursor.description])
    assert told[0] == told[1]
