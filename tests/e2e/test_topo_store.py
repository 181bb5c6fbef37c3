"""The store on a real etcd: reads and writes, watches and leases, through restarts and compaction."""

import asyncio
import contextlib
import subprocess
import sys
import time
from collections.abc import AsyncIterator, Callable
from pathlib import Path
from typing import Any

import pytest

from cli.local import EtcdServer
from controlplane.topo.elect import Election
from controlplane.topo.errors import TopoError, TopoFenced, TopoUnavailable
from controlplane.topo.seed import seed
from controlplane.topo.store import Fence, Store
from core.config import Config, Keyspace
from tests.kit.servers import Running, free_port

pytestmark = pytest.mark.e2e

Etcd = Running[EtcdServer]
Content = dict[str, dict[str, Any]]


@contextlib.asynccontextmanager
async def store_on(etcd: Etcd, cluster: str) -> AsyncIterator[Store]:
    store = Store.connect([etcd.server.endpoint], cluster)
    try:
        yield store
    finally:
        await store.close()


class Seen:
    """What a watch said, and when."""

    def __init__(self) -> None:
        self.contents: list[Content] = []
        self._news = asyncio.Event()

    def __call__(self, content: Content) -> None:
        self.contents.append(content)
        self._news.set()

    @property
    def last(self) -> Content | None:
        return self.contents[-1] if self.contents else None

    async def until(self, predicate: Callable[[Content], bool], timeout_s: float) -> float:
        """Seconds until the last content satisfied it."""
        began = time.monotonic()
        async with asyncio.timeout(timeout_s):
            while self.last is None or not predicate(self.last):
                self._news.clear()
                await self._news.wait()
        return time.monotonic() - began


async def until(predicate: Callable[[], bool], timeout_s: float) -> None:
    async with asyncio.timeout(timeout_s):
        while not predicate():  # noqa: ASYNC110
            await asyncio.sleep(0.02)


async def test_reads_and_writes(etcd_server: Etcd) -> None:
    async with store_on(etcd_server, "basic") as store:
        assert await store.get("a/1") is None
        assert await store.create("a/1", {"n": 1})
        assert not await store.create("a/1", {"n": 2})
        record = await store.get("a/1")
        assert record is not None
        assert record.value == {"n": 1}
        assert await store.swap("a/1", {"n": 3}, record.mod_revision)
        assert not await store.swap("a/1", {"n": 4}, record.mod_revision)
        await store.put("a/2", {"text": "grüß'\"\\"})
        await store.put("ab", {})
        records, revision = await store.list("a/")
        assert {k: r.value for k, r in records.items()} == {"a/1": {"n": 3}, "a/2": {"text": "grüß'\"\\"}}
        assert revision >= max(r.mod_revision for r in records.values())
        assert await store.delete("a/1")
        assert not await store.delete("a/1")
    async with store_on(etcd_server, "basic2") as other:
        assert (await other.list(""))[0] == {}


async def test_fence(etcd_server: Etcd) -> None:
    async with store_on(etcd_server, "fence") as store:
        await store.put("leader", {"id": "me"})
        record = await store.get("leader")
        assert record is not None
        fence = Fence("leader", record.mod_revision)
        await store.put("x", {"by": 1}, fence=fence)
        await store.put("leader", {"id": "other"})
        with pytest.raises(TopoFenced):
            await store.put("x", {"by": 2}, fence=fence)
        with pytest.raises(TopoFenced):
            await store.delete("x", fence=fence)
        assert (await store.get("x")) is not None


async def test_watch(etcd_server: Etcd) -> None:
    async with store_on(etcd_server, "watch") as store, store_on(etcd_server, "watch") as writer:
        await writer.put("k/a", {"n": 0})
        seen, other = Seen(), Seen()
        watch = store.watch("k/", seen)
        store.watch("other/", other)
        await watch.synced()
        assert seen.last == {"k/a": {"n": 0}}
        slowest = 0.0
        for n in range(1, 30):
            began = time.monotonic()
            await writer.put("k/a", {"n": n})
            await seen.until(lambda c, n=n: c["k/a"] == {"n": n}, 1.0)  # type: ignore[misc]
            slowest = max(slowest, time.monotonic() - began)
        assert slowest < 1.0
        await writer.put("k/b", {})
        await writer.delete("k/a")
        await seen.until(lambda c: c == {"k/b": {}}, 1.0)
        assert watch.lists == 1  # all of it came by the stream
        assert other.contents == [{}]
        watch.close()
        count = len(seen.contents)
        await writer.put("k/c", {})
        await other.until(lambda c: c == {}, 1.0)
        await asyncio.sleep(0.2)
        assert len(seen.contents) == count


async def test_a_callback_that_fails_does_not_end_the_watch(
    etcd_server: Etcd, caplog: pytest.LogCaptureFixture
) -> None:
    async with store_on(etcd_server, "callback") as store:
        seen = Seen()

        def on_change(content: Content) -> None:
            seen(content)
            if len(seen.contents) == 1:
                raise RuntimeError("first one fails")

        store.watch("k/", on_change)
        await seen.until(lambda c: True, 2.0)
        await store.put("k/a", {})
        await seen.until(lambda c: "k/a" in c, 2.0)
    assert "its on_change failed" in caplog.text


async def test_watch_and_lease_survive_sigkill(
    clean_etcd: Callable[[], Etcd], caplog: pytest.LogCaptureFixture
) -> None:
    etcd = clean_etcd()
    async with store_on(etcd, "kill") as store, store_on(etcd, "kill") as writer:
        seen = Seen()
        store.watch("k/", seen)
        held = store.hold("k/held", {"v": 1}, 2.0)
        await seen.until(lambda c: "k/held" in c, 5.0)
        for round_ in range(2):
            before = seen.last
            etcd.kill()
            with pytest.raises(TopoUnavailable):
                await writer.put("k/a", {"n": -1}, timeout_s=0.5)
            await asyncio.sleep(2.5)
            assert seen.last == before
            assert not store.answers
            etcd.start(wait=False)
            began = time.monotonic()
            await writer.put("k/a", {"n": round_})
            await seen.until(lambda c, n=round_: c.get("k/a") == {"n": n}, 5.0)  # type: ignore[misc]
            assert time.monotonic() - began < 5.0
            # and the stream works again, not only the list
            written = time.monotonic()
            await writer.put("k/b", {"n": round_})
            await seen.until(lambda c, n=round_: c.get("k/b") == {"n": n}, 1.0)  # type: ignore[misc]
            assert time.monotonic() - written < 1.0
        held.update({"v": 2})
        await seen.until(lambda c: c.get("k/held") == {"v": 2}, 5.0)
        assert store.answers
    lost = [r for r in caplog.records if "does not answer" in r.message]
    back = [r for r in caplog.records if "answers again" in r.message]
    assert len(lost) <= 4  # two stores, two restarts: one line each
    assert len(back) == len(lost)


async def test_a_silent_stream_is_found_out(etcd_server: Etcd) -> None:
    """The stream is made deaf, as a broken one would be: the check finds that something is missing."""
    async with store_on(etcd_server, "silent") as store:
        seen = Seen()
        watch = store.watch("k/", seen)
        await watch.synced()
        await asyncio.sleep(0.2)
        store._hub._by_id.clear()
        await store.put("k/a", {"n": 1})
        assert await seen.until(lambda c: "k/a" in c, 5.0) < 5.0
        await asyncio.sleep(0.2)
        store._hub._by_id.clear()
        await store.delete("k/a")
        await seen.until(lambda c: c == {}, 5.0)
        assert watch.lists >= 3


async def test_compaction(clean_etcd: Callable[[], Etcd]) -> None:
    """A watch from a compacted revision is cancelled by etcd; it lists again."""
    etcd = clean_etcd()
    async with store_on(etcd, "compact") as store:
        seen = Seen()
        watch = store.watch("k/", seen)
        await watch.synced()
        for n in range(20):
            await store.put("k/a", {"n": n})
        _, revision = await store.list("k/")
        compact = store._rpc.CompactionRequest(revision=revision, physical=True)
        await asyncio.to_thread(_kv(etcd).Compact, compact, timeout=5)
        watch._hub.remove(watch)
        await watch._hub.add(watch, *store.bounds("k/"), 2)  # long gone
        await until(lambda: watch.lists >= 2, 3.0)
        await store.put("k/a", {"n": 99})
        await seen.until(lambda c: c == {"k/a": {"n": 99}}, 2.0)


def _kv(etcd: Etcd) -> Any:
    import grpc

    from controlplane.topo.etcd import rpc

    return rpc.KVStub(grpc.insecure_channel(etcd.server.endpoint))


async def test_etcd_that_starts_later(tmp_path: Path, clean_etcd: Callable[[], Etcd]) -> None:
    etcd = clean_etcd()
    etcd.stop()
    async with store_on(etcd, "later") as store:
        seen = Seen()
        store.watch("k/", seen)
        store.hold("k/held", {})
        with pytest.raises(TopoUnavailable, match=r"does not answer \(Range, 0.3 s\)"):
            await store.get("k/a", timeout_s=0.3)
        await asyncio.sleep(1)
        assert seen.last is None
        etcd.start(wait=False)
        await seen.until(lambda c: "k/held" in c, 6.0)


async def test_a_dead_endpoint_beside_a_living_one(etcd_server: Etcd) -> None:
    endpoints = [f"127.0.0.1:{free_port()}", etcd_server.server.endpoint]
    store = Store.connect(endpoints, "two")
    await store.put("a", {})
    assert await store.get("a") is not None
    await store.close()
    with pytest.raises(TopoError, match="closed"):
        await store.get("a")


async def test_wrong_endpoints() -> None:
    with pytest.raises(TopoError, match="no etcd endpoint"):
        Store.connect([], "x")
    with pytest.raises(TopoError, match="is not host:port"):
        Store.connect(["http://localhost"], "x")
    with pytest.raises(TopoError, match="cannot stand in a key"):
        Store.connect(["localhost:1"], "a/b")
    store = Store.connect(["no-such-host.invalid:1"], "x")
    with pytest.raises(TopoUnavailable):
        await store.get("a", timeout_s=1.0)
    await store.close()


async def test_a_lost_lease_is_taken_anew(etcd_server: Etcd) -> None:
    async with store_on(etcd_server, "lease") as store:
        held = store.hold("k/held", {"v": 1}, 2.0)
        await asyncio.wait_for(held.wait_registered(), 5)
        holder = await store.holder("k/held", 2.0)
        assert holder is not None
        assert holder[0]
        await store.revoke(holder[0], 2.0)
        seen = Seen()
        store.watch("k/", seen)
        await seen.until(lambda c: c == {"k/held": {"v": 1}}, 5.0)
        anew = await store.holder("k/held", 2.0)
        assert anew is not None
        assert anew[0] not in (0, holder[0])
        assert await store.delete("k/held")
        await seen.until(lambda c: {} in seen.contents and c == {"k/held": {"v": 1}}, 5.0)
        await held.release()
        assert await store.get("k/held") is None


async def test_a_key_goes_with_its_process(etcd_server: Etcd) -> None:
    code = (
        "import asyncio, sys\n"
        "from controlplane.topo.store import Store\n"
        "async def main():\n"
        "    held = Store.connect([sys.argv[1]], 'dies').hold('k/held', {}, 2)\n"
        "    await held.wait_registered(); print('up', flush=True); await asyncio.sleep(60)\n"
        "asyncio.run(main())\n"
    )
    async with store_on(etcd_server, "dies") as store:
        process = await asyncio.create_subprocess_exec(
            sys.executable, "-c", code, etcd_server.server.endpoint, stdout=subprocess.PIPE
        )
        assert process.stdout is not None
        assert await asyncio.wait_for(process.stdout.readline(), 20) == b"up\n"
        seen = Seen()
        store.watch("k/", seen)
        await seen.until(lambda c: "k/held" in c, 2.0)
        process.kill()
        await process.wait()
        await seen.until(lambda c: c == {}, 6.0)


async def test_the_newest_holder_wins(etcd_server: Etcd, caplog: pytest.LogCaptureFixture) -> None:
    async with store_on(etcd_server, "rivals") as old, store_on(etcd_server, "rivals") as new:
        first = old.hold("k/a", {"by": "old"}, 2.0)
        await asyncio.wait_for(first.wait_registered(), 5)
        second = new.hold("k/a", {"by": "new"}, 2.0)
        await asyncio.wait_for(second.wait_registered(), 5)
        await until(lambda: not first.registered, 4.0)
        await asyncio.sleep(1.5)
        record = await new.get("k/a")
        assert record is not None
        assert record.value == {"by": "new"}
        assert sum("standing back" in r.message for r in caplog.records) == 1
        await second.release()
        await asyncio.wait_for(first.wait_registered(), 4)


async def test_leader_fail_over(etcd_server: Etcd) -> None:
    async with store_on(etcd_server, "elect") as a, store_on(etcd_server, "elect") as b:
        changes: list[tuple[str, bool]] = []
        first = Election(a, "leader", {"id": "a"}, lambda leads: changes.append(("a", leads)), 2.0)
        await until(lambda: first.leading, 5.0)
        second = Election(b, "leader", {"id": "b"}, lambda leads: changes.append(("b", leads)), 2.0)
        await asyncio.sleep(1.5)
        assert changes == [("a", True)]
        fence = first.fence
        assert fence is not None
        await a.put("x", {}, fence=fence)
        await first.resign()
        await until(lambda: second.leading, 1.0)  # by the watch, not by waiting for the lease
        assert changes == [("a", True), ("a", False), ("b", True)]
        with pytest.raises(TopoFenced):
            await a.put("x", {}, fence=fence)
        assert second.fence is not None
        await b.put("x", {}, fence=second.fence)
        await second.resign()


async def test_seed(etcd_server: Etcd, tmp_path: Path) -> None:
    (tmp_path / "v.json").write_text('{"sharded": true, "vindexes": {"hash": {"type": "hash"}}}')
    commerce = Keyspace("commerce", ("-80", "80-"), vschema="v.json")
    config = Config(path=tmp_path / "cluster.toml", keyspaces=(commerce, Keyspace("lookup")))
    async with store_on(etcd_server, "seed") as store:
        written = await seed(store, config)
        assert set(written) == {
            "keyspaces/commerce",
            "keyspaces/lookup",
            "shards/commerce/-80",
            "shards/commerce/80-",
            "shards/lookup/-",
            "vschema/commerce",
            "vschema/lookup",
        }
        applied = {"sharded": True, "vindexes": {}, "tables": {"live": {}}}
        await store.put("vschema/commerce", applied)
        assert await seed(store, config) == []
        record = await store.get("vschema/commerce")
        assert record is not None
        assert record.value == applied
        before = await store.list("")
        other = Config(path=config.path, keyspaces=(Keyspace("new"), Keyspace("commerce", ("-",))))
        with pytest.raises(TopoError, match="the file has shards -, but etcd has -80, 80-"):
            await seed(store, other)
        assert (await store.list(""))[0] == before[0]
        (tmp_path / "v.json").write_text("{")
        with pytest.raises(TopoError, match=r"v\.json cannot be read"):
            await seed(store, config)
