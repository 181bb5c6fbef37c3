"""`clusterctl bench` on a real cluster, for a second or so: that it measures right, not how much."""

import json
import re
import shutil
import subprocess
import sys
import urllib.request
from pathlib import Path
from typing import Any

import pytest

from tests.kit.cluster import Cluster, wait_for

pytestmark = pytest.mark.e2e


def bench(cluster: Cluster, *argv: str) -> "subprocess.CompletedProcess[str]":
    return subprocess.run(
        [sys.executable, "-m", "cli.main", "bench", *argv, "-f", str(cluster.home / "cluster.toml")],
        cwd=cluster.home,
        capture_output=True,
        text=True,
        timeout=90,
    )


def oltp(cluster: Cluster, tmp_path: Path, *argv: str) -> tuple[dict[str, Any], str]:
    """The figures and what was said; checks that nothing of the bench stays."""
    shard = "commerce/-80" if "commerce" in argv else "main/-"
    before = cluster.query_direct(shard, "SELECT @@GLOBAL.max_connections")
    out = tmp_path / "figures.json"
    small = ("--clients", "12", "--seconds", "0.8", "--slices", "2", "--rows", "1500")
    ran = bench(cluster, "oltp", *small, "--json", str(out), *argv)
    assert ran.returncode == 0, ran.stderr + ran.stdout
    assert cluster.query_direct(shard, "SELECT @@GLOBAL.max_connections") == before
    tables = cluster.query_direct(shard, "SHOW TABLES")
    assert not [name for (name,) in tables if name in ("sluice_bench", "sbtest1")]
    found: dict[str, Any] = json.loads(out.read_text())
    for phase in found["phases"]:
        for place in (phase["direct"], phase["router"]):
            assert place["queries"] > 0
            assert place["wrong"] == place["lost"] == 0
            assert place["errors"] == {}
            assert 0 < place["p50_s"] <= place["p95_s"] <= place["p99_s"]
        assert phase["ratio"] > 0
    return found, ran.stdout + ran.stderr


@pytest.mark.parametrize("statement", ["text", "prepared"])
def test_point_selects(cluster: Cluster, tmp_path: Path, statement: str) -> None:
    def answered() -> int:
        return sum(int(w["queries"]) for w in cluster.view()["workers"])

    before = answered()
    found, said = oltp(cluster, tmp_path, "--statement", statement, "--processes", "2")
    assert [phase["clients"] for phase in found["phases"]] == [12, 1]
    through = sum(phase["router"]["queries"] for phase in found["phases"])
    # It is the router that it went through; workers report once a second.
    wait_for(lambda: answered() >= before + through, 5, "the router has not counted them")
    assert "added p50" in said


@pytest.mark.parametrize("statement", ["text", "prepared"])
@pytest.mark.parametrize("mode", ["read-only", "read-write"])
def test_transactions(cluster: Cluster, tmp_path: Path, mode: str, statement: str) -> None:
    long = ("--seconds", "2", "--no-single")  # a machine that stalls still ends transactions
    found, said = oltp(cluster, tmp_path, "--mode", mode, "--statement", statement, *long)
    (phase,) = found["phases"]
    assert phase["router"]["events_per_s"] * 15 < phase["router"]["queries_per_s"] * 2
    assert "tx/s" in said


def test_one_shard_of_several_by_name(cluster: Cluster, tmp_path: Path) -> None:
    _, said = oltp(cluster, tmp_path, "--keyspace", "commerce", "--shard=-80", "--no-single")
    assert "on commerce/-80" in said


@pytest.mark.skipif(shutil.which("sysbench") is None, reason="no sysbench here")
def test_sysbench(cluster: Cluster, tmp_path: Path) -> None:
    found, said = oltp(
        cluster, tmp_path, "--sysbench", "--seconds", "1", "--slices", "1", "--clients", "4", "--no-single"
    )
    assert found["load"] == "sysbench"
    assert "sysbench oltp_point_select, text" in said


def test_memory_of_idle_clients(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "memory.json"
    ran = bench(cluster, "memory", "--clients", "300", "--settle", "0.2", "--json", str(out))
    assert ran.returncode == 0, ran.stderr
    found = json.loads(out.read_text())
    assert found["wrong"] == 0
    assert found["workers"] == cluster.workers
    assert abs(found["bytes_per_client"]["private"]) < 50_000
    refused = bench(cluster, "memory", "--clients", "100000")
    assert refused.returncode == 1
    assert "above [router] max_connections 2000" in refused.stderr


def test_profiles(cluster: Cluster, tmp_path: Path) -> None:
    """More settings than connections: nothing is reserved, and most statements find a connection with theirs."""

    def counted(name: str) -> int:
        with urllib.request.urlopen(f"http://127.0.0.1:{cluster.http}/metrics", timeout=10) as answer:
            text = answer.read().decode()
        found = re.findall(
            rf'^sluice_tablet_{name}\{{[^}}]*keyspace="main"[^}}]*\}} (\d+)', text, re.MULTILINE
        )
        assert found, f"no sluice_tablet_{name} in /metrics"
        return sum(map(int, found))

    changes, hits = counted("settings_changes_total"), counted("settings_hits_total")
    out = tmp_path / "figures.json"
    load = ("--clients", "16", "--seconds", "1.5", "--slices", "3", "--rows", "1500", "--profiles", "10")
    ran = bench(cluster, "oltp", *load, "--json", str(out))
    assert ran.returncode == 0, ran.stderr + ran.stdout
    found: dict[str, Any] = json.loads(out.read_text())
    (phase,) = found["phases"]
    for place in (phase["router"], phase["profiles"]):
        assert place["queries"] > 100
        assert place["wrong"] == place["lost"] == 0
    assert "with 10 different settings, 0 connections reserved" in ran.stdout
    queries = phase["profiles"]["queries"]
    wait_for(
        lambda: counted("settings_hits_total") > hits + queries / 2, 5, "fewer hits than half the queries"
    )
    # nearly all of the changes are those of the clients with settings
    assert counted("settings_changes_total") - changes < 0.6 * queries


def test_overload(cluster: Cluster, tmp_path: Path) -> None:
    """Each statement has one end, and each refusal says what was full; how much is done in time is not this test's."""
    out = tmp_path / "figures.json"
    small = ("--clients", "60", "--seconds", "1", "--query-ms", "20", "--keyspace", "main")
    ran = bench(cluster, "overload", *small, "--json", str(out))
    assert out.exists(), ran.stderr
    found: dict[str, Any] = json.loads(out.read_text())
    over = found["overload"]
    assert over["wrong"] == over["lost"] == 0
    refused = sum(over["refused"].values())
    assert over["due"] == over["good"] + over["late"] + over["unsent"] + refused
    assert set(over["refused"]) <= {"15002", "15003", "15004"}
    assert found["best_per_s"] > 0
    (connected,) = cluster.query_direct("main/-", "SHOW STATUS LIKE 'Threads_connected'")
    assert int(connected[1]) <= cluster.pool_size + 1  # this query's own


def test_many_connections_are_opened_verified_and_held(cluster: Cluster, tmp_path: Path) -> None:
    out = tmp_path / "figures.json"
    many = ("--workers", "2", "--per-worker", "300", "--ramp", "0", "--hold", "1", "--live-qps", "50")
    ran = bench(cluster, "connections", *many, "--json", str(out))
    assert ran.returncode == 0, ran.stderr + ran.stdout
    found = json.loads(out.read_text())
    assert (found["verified"], found["held"]) == (600, 600)
    assert found["wrong"] == found["refused"] == found["lost"] == found["live_wrong"] == 0
    assert found["live_queries"] > 0
    wait_for(lambda: cluster.view()["router"]["clients"] == 0, 10, "not all are counted out")
