"""`clusterctl drain`: new clients are told, idle ones at the end of the grace, transactions may finish."""

import subprocess
import sys
import threading
import urllib.error
import urllib.request
from pathlib import Path
from typing import Any

import pymysql
import pytest

from tests.kit.cluster import Cluster, wait_for

pytestmark = pytest.mark.e2e

ROOT = Path(__file__).resolve().parents[2]
GRACE_S, LIMIT_S = 1.5, 6.0


def clusterctl(cluster: Cluster, *args: str) -> subprocess.CompletedProcess[str]:
    return subprocess.run(
        [sys.executable, "-m", "cli.main", *args, "-f", str(cluster.home / "cluster.toml")],
        cwd=ROOT,
        capture_output=True,
        text=True,
        check=False,
        timeout=60,
    )


def ask(cnx: "pymysql.Connection[Any]", sql: str) -> Any:
    with cnx.cursor() as cursor:
        cursor.execute(sql)
        return cursor.fetchall()


def told(work: Any) -> int:
    with pytest.raises(pymysql.err.MySQLError) as caught:
        work()
    return int(caught.value.args[0])


def test_drain(cluster: Cluster) -> None:
    cluster.clear("customer")
    cluster.query("INSERT INTO customer (customer_id, name, country) VALUES (1, 'a', 'x')")
    idle = [cluster.connect(ssl_disabled=True) for _ in range(20)]
    changing = cluster.connect(autocommit=False)
    ask(changing, "UPDATE customer SET balance = 5 WHERE customer_id = 1")
    endless = cluster.connect(autocommit=False)
    ask(endless, "UPDATE customer SET balance = balance WHERE customer_id = -1")
    ended: list[subprocess.CompletedProcess[str]] = []
    arguments = ("drain", "--grace", str(GRACE_S), "--limit", str(LIMIT_S))
    thread = threading.Thread(target=lambda: ended.append(clusterctl(cluster, *arguments)))
    try:
        thread.start()
        wait_for(lambda: cluster.view()["router"]["state"] == "DRAINING", 10, "the router does not drain")
        wait_for(
            lambda: all(w["state"] == "DRAINING" for w in cluster.view()["workers"]), 5, "a worker does not"
        )
        assert told(cluster.connect) == 1053
        assert ask(idle[0], "SELECT 1") == ((1,),)
        with pytest.raises(urllib.error.HTTPError) as unhealthy:
            urllib.request.urlopen(f"http://127.0.0.1:{cluster.http}/healthz", timeout=5)
        assert unhealthy.value.code == 503
        wait_for(lambda: cluster.view()["router"]["clients"] == 2, GRACE_S + 5, "idle ones do not leave")
        for cnx in idle:
            assert told(lambda cnx=cnx: ask(cnx, "SELECT 1")) in (1053, 2006, 2013)
        ask(changing, "UPDATE customer SET name = 'b' WHERE customer_id = 1")
        changing.commit()
        wait_for(
            lambda: cluster.view()["router"]["clients"] == 1, 5, "the transaction's end is not the client's"
        )
        thread.join(LIMIT_S + 20)
        assert told(lambda: ask(endless, "SELECT 1")) in (1053, 2006, 2013)
        assert ended[0].returncode == 0, ended[0].stderr
        assert "nobody is connected" in ended[0].stdout
        assert "drained" in clusterctl(cluster, "restart", "routers").stderr
        assert told(cluster.connect) == 1053
        worker = cluster.kill("router-worker")
        wait_for(lambda: cluster.view()["workers"][0]["pid"] not in (0, worker), 10, "no new worker")
        wait_for(
            lambda: cluster.view()["workers"][0]["state"] == "DRAINING", 10, "the new one lets clients in"
        )
        router = cluster.kill("router")
        wait_for(lambda: cluster.restarted("router", 0, router), 30, "the router does not come back")
        wait_for(
            lambda: all(w["state"] == "DRAINING" for w in cluster.view()["workers"]), 10, "it has forgotten"
        )
        assert told(cluster.connect) == 1053
    finally:
        undone = clusterctl(cluster, "drain", "--undo")
        thread.join(60)
    assert undone.returncode == 0, undone.stderr
    wait_for(cluster.healthy, 10, "the router does not come back")
    assert cluster.query("SELECT name, balance FROM customer WHERE customer_id = 1")[0][0] == "b"
    missing = clusterctl(cluster, "drain", "--id", "router-9")
    assert (missing.returncode, missing.stderr.partition(";")[0]) == (
        1,
        "clusterctl: no router router-9 runs here",
    )
