"""500 clients with transactions, big results and abrupt ends: Threads_connected never passes pool_size."""

import threading
import time

import pymysql
import pytest

from tests.kit.cluster import SHARDS, Cluster, wait_for
from tests.kit.storm import storm

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


@pytest.mark.timeout(240)
def test_the_cap_holds(cluster: Cluster) -> None:
    cluster.clear("counter")
    values = ", ".join(f"({key}, {key})" for key in range(1, KEYS + 1))
    with cluster.connect() as cnx, cnx.cursor() as cursor:
        cursor.execute(f"INSERT INTO counter (id, owner) VALUES {values}")
    workers = cluster.pids("router-worker")
    sampler = Sampler(cluster)
    sampler.start()
    try:
        seen = storm(cluster.connect_kwargs(), CLIENTS, 4, SECONDS, KEYS)
    finally:
        sampler.stopped.set()
        sampler.join()
    print(f"{seen}, {sampler.samples} samples, most {sampler.most}")
    assert seen.wrong == []
    assert seen.done > 2 * CLIENTS
    assert seen.cuts > 100
    assert cluster.pids("router-worker") == workers
    # refusals are those of a full queue, of locks and of waiting, never a lost connection
    assert set(seen.refused) <= {1205, 1213, 15002, 15003, 15004, 15007}, seen.refused
    assert sampler.samples > 500
    assert all(most <= cluster.pool_size for most in sampler.most.values()), sampler.most
    assert max(sampler.most.values()) >= cluster.pool_size - 2, "the load never filled the pool"

    def idle() -> bool:
        view = cluster.view()
        tablets = view["tablets"]
        keys = ("waiting", "held", "reserved", "transactions")
        freed = all(tablet["in_use"] <= 1 for tablet in tablets)  # the admin connection always is
        nothing = all(tablet[key] == 0 for tablet in tablets for key in keys)
        return freed and nothing and all(worker["clients"] == 0 for worker in view["workers"])

    wait_for(idle, 10, f"something leaks: {cluster.view()['tablets']}")
    for shard in SHARDS[:2]:
        # before what follows, which the server counts for a moment longer than it lives
        assert sampler.now(shard) <= cluster.pool_size
        ((open_,),) = cluster.query_direct(
            shard, "SELECT COUNT(*) FROM information_schema.innodb_trx WHERE trx_mysql_thread_id <> 0"
        )
        assert open_ == 0
    sampler.close()
    assert cluster.query("SELECT COUNT(*), SUM(id = owner) FROM counter") == [(KEYS, KEYS)]
    cluster.clear("counter")
