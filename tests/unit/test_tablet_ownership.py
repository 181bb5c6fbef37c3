"""Which tablet a MySQL belongs to: the pure parts, and the lock of an ipc address."""

import os
from pathlib import Path
from typing import Any

import pytest

from core.rpc.messages import DRAINING, NOT_SERVING, SERVING, STARTING
from tablet.backend import ownership
from tablet.backend.ownership import claim_endpoint, lock_name, lock_sql, read_lock
from tablet.daemon.registration import record, rival_of
from tablet.daemon.threads import BOOT_TOLERANCE_S, of_this_life


def test_names_of_locks_are_short_and_apart() -> None:
    names = [lock_name(database) for database in ("commerce", "x" * 64, "x" * 63 + "y")]
    assert len(set(names)) == 3
    assert all(len(name) <= 64 for name in names)
    assert lock_sql("it's", 1) == "SELECT GET_LOCK('sluice/it''s', 1), IS_USED_LOCK('sluice/it''s')"


def test_what_the_server_says() -> None:
    assert read_lock([[b"1", b"17"]]) == (True, 17)
    assert read_lock([[b"0", b"16"]]) == (False, 16)
    assert read_lock([[b"0", None]]) == read_lock([[None, None]]) == read_lock([]) == (False, 0)


def own(**changes: Any) -> dict[str, Any]:
    return {**record("a", "ks", "-", "tcp://h:1", STARTING, ""), **changes}


def test_rivals_are_those_that_serve_the_shard_elsewhere() -> None:
    mine = own()
    for state in (SERVING, NOT_SERVING, DRAINING):
        other = own(alias="b", endpoint="tcp://h:2", pid=7, state=state)
        assert rival_of(mine, [mine, other]) == f"tablet b (pid 7 on {mine['host']})"
        assert rival_of(mine, [{**other, "endpoint": mine["endpoint"]}]) == "", "its address is ours"
        assert rival_of(mine, [{**other, "endpoint": mine["endpoint"], "host": "other"}])
        assert rival_of(mine, [{**other, "shard": "-80"}, {**other, "keyspace": "x"}]) == ""
    assert rival_of(mine, [own(alias="b", endpoint="tcp://h:2")]) == "", "it waits, too"


def test_threads_count_in_their_own_life_of_mysql_only() -> None:
    said = {"mysql_started_s": 1000, "threads": [7, 9, "x", -1]}
    assert of_this_life(said, 1000 + BOOT_TOLERANCE_S) == [7, 9]
    assert of_this_life(said, 1001 + BOOT_TOLERANCE_S) == []
    assert of_this_life(said, 999 - BOOT_TOLERANCE_S) == []
    for broken in ({}, {"threads": [7]}, {"mysql_started_s": 1000, "threads": 7}):
        assert of_this_life(broken, 1000) == []


async def test_an_address_has_one_tablet(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    endpoint = f"ipc://{tmp_path}/t.ipc"
    assert await claim_endpoint("tcp://127.0.0.1:1") == -1
    assert await claim_endpoint("ipc://@abstract") == -1
    first = await claim_endpoint(endpoint)
    monkeypatch.setattr(ownership, "_PREDECESSOR_S", 0.0)
    with pytest.raises(OSError, match=rf"another tablet \(pid {os.getpid()}\)"):
        await claim_endpoint(endpoint)
    os.close(first)
    os.close(await claim_endpoint(endpoint))
