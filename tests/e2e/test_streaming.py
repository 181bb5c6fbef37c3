"""100,000 rows of 1 KB stream through: the router's worker and every tablet stay under 100 MB, whoever reads."""

import socket
import time
from collections.abc import Iterator
from typing import Any

import pymysql
import pytest
from pymysql.cursors import SSCursor

from cli.local import Flavour
from tests.kit.cluster import Cluster, wait_for
from tests.kit.servers import Templates

pytestmark = [pytest.mark.e2e, pytest.mark.slow]

ROWS = 100_000
LIMIT_BYTES = 100_000_000


@pytest.fixture(scope="module")
def wide(
    tmp_path_factory: pytest.TempPathFactory, templates: Templates, flavour: Flavour
) -> Iterator[Cluster]:
    """Table `wide` with 100,000 rows of 1 KB over both shards, written past the router; each row tells its id.

    A cluster of its own: commands of 48 MB that other tests send leave their mark on a process's size.
    """
    cluster = Cluster(tmp_path_factory.mktemp(f"wide-{flavour}"), flavour, templates)
    for shard in ("-80", "80-"):
        keys = [key for key in range(1, ROWS + 1) if cluster.shard_of(key) == shard]
        with pymysql.connect(**cluster.direct(f"commerce/{shard}")) as cnx, cnx.cursor() as cursor:
            for at in range(0, len(keys), 2000):
                values = ",".join(f"({key},RPAD('{key}:',1024,'x'))" for key in keys[at : at + 2000])
                cursor.execute(f"INSERT INTO wide (id, pad) VALUES {values}")
    try:
        yield cluster
    finally:
        cluster.close()


def processes(cluster: Cluster) -> list[int]:
    return cluster.pids("router-worker") + cluster.pids("tablet")


def sizes(cluster: Cluster) -> dict[int, int]:
    return {pid: cluster.rss_bytes(pid) for pid in processes(cluster)}


def in_use(cluster: Cluster) -> int:
    """Connections that work for clients: each tablet's admin connection is always in use."""
    return sum(max(0, int(tablet["in_use"]) - 1) for tablet in cluster.view()["tablets"])


def read_all(cluster: Cluster, sql: str, cnx: Any, pause_every: int = 0) -> tuple[int, int, int]:
    """Count and sum of ids of what came, and the largest memory of any process while it came."""
    count = total = peak = 0
    with cnx.cursor(SSCursor) as cursor:
        cursor.execute(sql)
        for key, pad in cursor:
            count += 1
            total += key
            assert pad.startswith(b"%d:" % key)
            assert len(pad) == 1024
            if count % 10_000 == 0:
                peak = max(peak, *sizes(cluster).values())
            if pause_every and count % pause_every == 0:
                time.sleep(0.2)
    return count, total, peak


@pytest.mark.parametrize("order", ["", " ORDER BY id"])
def test_all_rows_in_little_memory(wide: Cluster, order: str) -> None:
    with wide.connect() as cnx:
        count, total, peak = read_all(wide, f"SELECT id, pad FROM wide{order}", cnx)
    assert (count, total) == (ROWS, ROWS * (ROWS + 1) // 2)
    assert peak < LIMIT_BYTES


def test_one_shard_in_little_memory(wide: Cluster) -> None:
    with wide.connect("commerce:-80") as cnx:
        count, _, peak = read_all(wide, "SELECT id, pad FROM wide", cnx)
    assert count > ROWS // 3
    assert peak < LIMIT_BYTES


@pytest.mark.parametrize("database", ["commerce", "commerce:80-"])
def test_a_slow_reader(wide: Cluster, database: str) -> None:
    """Nobody gathers what the client does not take; others are served meanwhile."""
    with wide.connect(database) as cnx, wide.connect() as other:
        cursor = cnx.cursor(SSCursor)
        cursor.execute("SELECT id, pad FROM wide")
        for _ in range(5):
            assert cursor.fetchone() is not None
        time.sleep(2)
        assert max(sizes(wide).values()) < LIMIT_BYTES
        began_s = time.monotonic()
        with other.cursor() as quick:
            quick.execute("SELECT COUNT(*) FROM wide WHERE id = 7")
            assert quick.fetchall() == ((1,),)
        assert time.monotonic() - began_s < 1
        count = 5
        while (row := cursor.fetchone()) is not None:
            assert row[1].startswith(b"%d:" % row[0])
            count += 1
            if count % 20_000 == 0:
                time.sleep(0.3)
        assert max(sizes(wide).values()) < LIMIT_BYTES
        cursor.close()
    assert count == (ROWS if database == "commerce" else count)


def test_a_client_that_goes_away_frees_the_connection(wide: Cluster) -> None:
    wait_for(lambda: in_use(wide) == 0, 10, "connections are in use before the test")
    clients = []
    for _ in range(6):
        cnx = wide.connect()
        cursor = cnx.cursor(SSCursor)
        cursor.execute("SELECT id, pad FROM wide")
        assert cursor.fetchone() is not None
        clients.append((cnx, cursor))
    wait_for(lambda: in_use(wide) >= 6, 5, "no stream is under way")
    for cnx, cursor in clients:
        assert cursor._result is not None
        cursor._result.unbuffered_active = False  # or PyMySQL would go on reading
        sock: socket.socket = cnx._sock
        sock.shutdown(socket.SHUT_RDWR)
        cnx._force_close()
    wait_for(lambda: in_use(wide) == 0, 5, "connections stay in use after their clients left")
    for shard in ("commerce/-80", "commerce/80-"):
        assert wide.threads_connected(shard) <= wide.pool_size
    assert wide.query("SELECT COUNT(*) FROM wide") == [(ROWS,)]
