"""How limits are divided, what health says, and what the leader writes: all on plain values."""

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from controlplane.daemon.duties import View, Write, duties
from controlplane.daemon.health import health
from controlplane.daemon.shares import next_round, shares, target
from controlplane.topo.records import RouterRecord, ShardRecord, TabletRecord
from core.limits import Limit, even_share

ROUTERS = ("r1", "r2", "r3")


@given(
    st.integers(0, 200),
    st.lists(st.tuples(st.integers(0, 100), st.integers(0, 100)), min_size=2, max_size=6),
)
def test_shares_never_pass_the_limit(limit: int, routers: list[tuple[int, int]]) -> None:
    demand = {f"r{i}": d for i, (d, _) in enumerate(routers)}
    share = {f"r{i}": s for i, (_, s) in enumerate(routers)}
    goal = target(limit, demand, share)
    assert sum(goal.values()) == limit
    assert all(s >= 0 for s in goal.values())
    if limit >= len(routers) and goal != share:
        assert all(s >= 1 for s in goal.values())
    new = next_round(limit, demand, share)
    assert sum(new.values()) <= limit
    # While some have not heard yet, each uses the larger of the two: still within, if it was before.
    if sum(share.values()) <= limit:
        assert sum(max(new[r], share[r]) for r in share) <= limit


def test_the_busy_one_gets_what_the_idle_ones_leave() -> None:
    share = {r: even_share(30, ROUTERS, r) for r in ROUTERS}
    demand = {"r1": 40, "r2": 1, "r3": 0}
    rounds = [share := next_round(30, demand, share) for _ in range(3)]
    assert rounds[0] == {"r1": 10, "r2": 2, "r3": 1}  # first the others give
    assert rounds[1] == rounds[2] == {"r1": 27, "r2": 2, "r3": 1}


def test_shares_stay_where_nobody_needs_more() -> None:
    share = {"r1": 27, "r2": 2, "r3": 1}
    assert next_round(30, {"r1": 5, "r2": 1, "r3": 0}, share) == share


def test_all_busy_share_alike() -> None:
    share = {"r1": 27, "r2": 2, "r3": 1}
    demand = dict.fromkeys(ROUTERS, 50)
    for _ in range(2):
        share = next_round(30, demand, share)
    assert share == {"r1": 10, "r2": 10, "r3": 10}


def test_a_router_alone_has_no_share_record() -> None:
    limits = {"user:app": Limit(concurrency=10).to_json()}
    assert shares(limits, [RouterRecord("r1")], {}) == {}
    two = shares(limits, [RouterRecord("r1"), RouterRecord("r2")], {})
    assert two["r1"].shares == {"user:app": {"concurrency": [5, 10]}}


def test_a_changed_limit_starts_from_even_shares() -> None:
    limits = {"user:app": Limit(concurrency=4).to_json()}
    written: dict[str, Any] = {r: {"shares": {"user:app": {"concurrency": [9, 18]}}} for r in ("r1", "r2")}
    new = shares(limits, [RouterRecord("r1"), RouterRecord("r2")], written)
    assert [new[r].shares["user:app"]["concurrency"] for r in ("r1", "r2")] == [[2, 4], [2, 4]]


def test_broken_records_do_not_stop_the_leader() -> None:
    limits: dict[str, Any] = {"user:app": {"concurrency": "many"}, "cluster": {"connections": 2}}
    written: dict[str, Any] = {"r1": {"shares": 5}, "r2": {"shares": {"cluster": {"connections": None}}}}
    new = shares(limits, [RouterRecord("r1"), RouterRecord("r2")], written)
    assert new["r1"].shares == {"cluster": {"connections": [1, 2]}}


SHARDS = {f"shards/commerce/{s}": ShardRecord("commerce", s).to_json() for s in ("-80", "80-")}


def tablet(alias: str, shard: str, state: str = "SERVING") -> dict[str, Any]:
    return TabletRecord(alias, "commerce", shard, "ipc:///x", state=state).to_json()


def test_health() -> None:
    routers = {"routers/r1": RouterRecord("r1", state="SERVING").to_json()}
    well = health("c", SHARDS, {"tablets/a": tablet("a", "-80"), "tablets/b": tablet("b", "80-")}, routers)
    assert well.problems == ()
    assert well.shards == {"commerce/-80": "SERVING", "commerce/80-": "SERVING"}
    ill = health(
        "c",
        SHARDS,
        {
            "tablets/a": tablet("a", "-80", "DRAINING"),
            "tablets/b": tablet("b", "-80", "SERVING"),
            "tablets/c": tablet("c", "-40"),
            "tablets/d": {"alias": "d"},
        },
        {},
    )
    assert ill.shards == {"commerce/-80": "SERVING", "commerce/80-": "DEAD"}
    assert ill.problems == (
        "shard commerce/-80 has two primaries: a and b",
        "tablet c serves commerce/-40, which is no shard of the topology",
        "tablets/d: the record has no 'keyspace'",
        "shard commerce/80-: no tablet is registered",
        "no router is registered",
    )


def test_duties_come_to_rest() -> None:
    routers = {f"routers/{r}": RouterRecord(r, state="SERVING").to_json() for r in ("r1", "r2")}
    content: dict[str, Any] = {
        "shares/dead": {"shares": {}},
        "limits/user:app": {"concurrency": 10},
    }

    def view() -> View:
        def under(prefix: str) -> dict[str, Any]:
            return {k: v for k, v in content.items() if k.startswith(prefix)}

        return View(SHARDS, {}, routers, under("limits/"), under("shares/"), content.get("health"))

    writes = duties("c", view())
    assert [w.key for w in writes] == ["health", "shares/r1", "shares/r2", "shares/dead"]
    assert writes[-1] == Write("shares/dead", None)
    for write in writes:
        if write.value is None:
            del content[write.key]
        else:
            content[write.key] = write.value
    assert duties("c", view()) == []
