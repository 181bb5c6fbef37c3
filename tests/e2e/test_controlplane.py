"""The daemon as a process on a real etcd: it leads, sees, divides, survives etcd, and hands over."""

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cli.local import EtcdServer
from controlplane.topo.records import RouterRecord, TabletRecord
from controlplane.topo.store import Store
from tests.kit.servers import Running

pytestmark = pytest.mark.e2e

Etcd = Running[EtcdServer]

REST = '[[users]]\nname = "a"\npassword = "a"\n[[keyspaces]]\nname = "k"\n'
"""What every cluster.toml must have."""


class Daemons:
    """Control planes of one cluster and what is in its topology."""

    def __init__(self, etcd: Etcd, home: Path) -> None:
        self.etcd = etcd
        self.home = home
        self.file = home / "cluster.toml"
        self.file.write_text(
            f'[cluster]\nname = "cp"\n[etcd]\nendpoints = ["{etcd.server.endpoint}"]\n{REST}',
            encoding="utf-8",
        )
        self.store = Store.connect([etcd.server.endpoint], "cp")
        self.content: dict[str, dict[str, Any]] = {}
        self.store.watch("", self._on_change)
        self.processes: dict[str, subprocess.Popen[bytes]] = {}

    def _on_change(self, content: dict[str, dict[str, Any]]) -> None:
        self.content = content

    def start(self, name: str) -> subprocess.Popen[bytes]:
        with (self.home / f"{name}.log").open("ab") as log:
            process = subprocess.Popen(
                [sys.executable, "-m", "controlplane", "-f", str(self.file), "--id", name], stderr=log
            )
        self.processes[name] = process
        return process

    def log(self, name: str) -> str:
        return (self.home / f"{name}.log").read_text(encoding="utf-8")

    async def until(self, predicate: Callable[[dict[str, dict[str, Any]]], bool], timeout_s: float) -> None:
        async with asyncio.timeout(timeout_s):
            while not predicate(self.content):  # noqa: ASYNC110
                await asyncio.sleep(0.02)

    async def close(self) -> None:
        for process in self.processes.values():
            process.kill()
            process.wait()
        await self.store.close()


@pytest.fixture
async def daemons(clean_etcd: Callable[[], Etcd], tmp_path: Path) -> AsyncIterator[Daemons]:
    mine = Daemons(clean_etcd(), tmp_path)
    try:
        yield mine
    finally:
        await mine.close()


def leads(name: str) -> Callable[[dict[str, dict[str, Any]]], bool]:
    return lambda content: content.get("leader", {}).get("id") == name


async def test_leads_and_hands_over(daemons: Daemons) -> None:
    daemons.start("one")
    await daemons.until(leads("one"), 15)
    await daemons.until(lambda c: "controlplanes/one" in c and c.get("health", {}).get("leader") == "one", 5)
    daemons.start("two")
    await daemons.until(lambda c: "controlplanes/two" in c, 15)
    assert leads("one")(daemons.content)

    daemons.processes["one"].kill()
    await daemons.until(leads("two"), 10)
    await daemons.until(lambda c: c["health"]["leader"] == "two" and "controlplanes/one" not in c, 10)

    daemons.start("three")
    await daemons.until(lambda c: "controlplanes/three" in c, 15)
    os.kill(daemons.processes["two"].pid, signal.SIGTERM)
    await daemons.until(leads("three"), 3)
    assert await asyncio.to_thread(daemons.processes["two"].wait, 5) == 0
    assert "controlplanes/two" not in daemons.content
    assert "Traceback" not in daemons.log("two")


async def test_divides_limits_and_cleans_up(daemons: Daemons) -> None:
    daemons.start("one")
    store = daemons.store
    await store.put("limits/user:app", {"concurrency": 20})
    one = store.hold("routers/r1", RouterRecord("r1", state="SERVING").to_json(), 2.0)
    await daemons.until(lambda c: c.get("health", {}).get("routers") == {"r1": "SERVING"}, 15)
    assert "shares/r1" not in daemons.content  # alone: it has all
    two = store.hold("routers/r2", RouterRecord("r2", state="SERVING").to_json(), 2.0)

    def shares(content: dict[str, dict[str, Any]]) -> list[int]:
        found = (content.get(f"shares/{r}", {}).get("shares", {}) for r in ("r1", "r2"))
        return [share.get("user:app", {}).get("concurrency", [-1])[0] for share in found]

    await daemons.until(lambda c: shares(c) == [10, 10], 5)
    busy = RouterRecord("r1", state="SERVING", demand={"user:app": {"concurrency": 50}})
    one.update(busy.to_json())
    await daemons.until(lambda c: shares(c) == [19, 1], 5)
    await two.release()
    await daemons.until(lambda c: not any(key.startswith("shares/") for key in c), 5)


async def test_health_follows_tablets(daemons: Daemons) -> None:
    store = daemons.store
    await store.put("shards/commerce/-", {"keyspace": "commerce", "shard": "-"})
    daemons.start("one")
    await daemons.until(lambda c: c.get("health", {}).get("shards") == {"commerce/-": "DEAD"}, 15)
    record = TabletRecord("a", "commerce", "-", "ipc:///none", state="SERVING")
    held = store.hold("tablets/a", record.to_json(), 2.0)
    await daemons.until(lambda c: c["health"]["shards"] == {"commerce/-": "SERVING"}, 5)
    await held.release()
    await daemons.until(lambda c: c["health"]["shards"] == {"commerce/-": "DEAD"}, 5)


async def test_survives_etcd(daemons: Daemons) -> None:
    process = daemons.start("one")
    await daemons.until(leads("one"), 15)
    daemons.etcd.kill()
    await asyncio.sleep(5)
    assert process.poll() is None
    daemons.etcd.start()
    await daemons.store.put("shards/commerce/-", {"keyspace": "commerce", "shard": "-"})
    await daemons.until(lambda c: c.get("health", {}).get("shards") == {"commerce/-": "DEAD"}, 8)
    log = daemons.log("one")
    assert log.count("does not answer") == log.count("answers again") == 1
    assert "Traceback" not in log


async def test_sigterm_while_etcd_is_down(daemons: Daemons) -> None:
    process = daemons.start("one")
    await daemons.until(leads("one"), 15)
    daemons.etcd.kill()
    process.terminate()
    assert await asyncio.to_thread(process.wait, 6) == 0


@pytest.mark.parametrize(
    ("toml", "message"),
    [
        ('[etcd]\nendpoints = ["nonsense"]\n', "'nonsense' is not an address"),
        ("", "[etcd] endpoints is empty"),
        ("[etcd]\nendpoint = 1\n", "unknown key 'endpoint'"),
    ],
)
def test_wrong_configuration(tmp_path: Path, toml: str, message: str) -> None:
    file = tmp_path / "cluster.toml"
    file.write_text(toml + REST, encoding="utf-8")
    done = subprocess.run(
        [sys.executable, "-m", "controlplane", "-f", str(file)], capture_output=True, text=True, timeout=30
    )
    assert done.returncode == 2
    assert message in done.stderr
    assert len(done.stderr.splitlines()) == 1
