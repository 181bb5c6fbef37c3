"""The sizing that `clusterctl plan` shows: monotone, in step with what `up` checks, and honest about what fails."""

import json
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from cli import figures, main
from cli.cluster.room import Kernel, warnings
from cli.commands.plan import commands
from cli.local.memory import check_memory
from cli.sizing import Demand, kernel_for, pool_for, size
from core.config import Router, Tablet

GIB = 1 << 30
MILLION = Demand(
    clients=1_000_000,
    queries_per_s=500,
    query_s=0.001,
    memory_bytes=24 * GIB,
    shards=3,
    cores=2,
    descriptors=20_000,
)


def test_a_million_on_the_machine_of_the_docs() -> None:
    found = size(MILLION)
    assert found.fits
    assert found.workers_for_descriptors == found.workers == 57
    assert found.pool_size * MILLION.shards <= 64
    assert 6 * GIB < found.needed_bytes < 12 * GIB
    assert found.memory_bytes["clients, parked"] == 300_000_000
    assert found.largest_clients > 1_000_000
    assert size(replace(MILLION, descriptors=1 << 20)).workers == 2


def test_what_fits_is_said_exactly() -> None:
    small = replace(MILLION, memory_bytes=4 * GIB)
    found = size(small)
    assert not found.fits
    assert "add memory" in found.problems[0]
    assert size(replace(small, clients=found.largest_clients)).largest_clients >= found.largest_clients
    assert size(replace(small, clients=found.largest_clients)).fits


def test_too_many_queries_for_cores_and_for_one_tablet() -> None:
    found = size(replace(MILLION, queries_per_s=100_000, shards=1))
    assert any("8 shards are needed" in problem for problem in found.problems)
    assert any("add cores" in problem for problem in found.problems)
    assert found.workers_for_queries == 8


@pytest.mark.parametrize(
    ("queries_per_s", "query_s", "pool"),
    [(0, 0.001, 4), (1000, 0.001, 4), (1000, 0.01, 18), (10_000, 0.01, 121)],
)
def test_the_pool_follows_from_the_load(queries_per_s: float, query_s: float, pool: int) -> None:
    assert pool_for(queries_per_s, query_s)[0] == pool


@given(
    st.integers(1, 2_000_000),
    st.floats(0, 50_000),
    st.floats(0.0001, 1),
    st.integers(1, 64),
    st.sampled_from(["mysql", "mariadb"]),
)
def test_whatever_is_asked_for_up_would_take_it(
    clients: int, queries_per_s: float, query_s: float, shards: int, flavour: Any
) -> None:
    demand = Demand(clients, queries_per_s, query_s, 24 * GIB, shards, 2, 20_000, flavour)
    found = size(demand)
    check_memory(found.pool_size, flavour, found.mysql_memory_bytes)
    assert found.pool_size > found.busy_connections + 1
    assert found.workers * (20_000 - figures.WORKER_DESCRIPTORS) >= clients
    more = size(replace(demand, clients=clients + 1000, queries_per_s=queries_per_s + 100))
    assert more.needed_bytes >= found.needed_bytes
    assert more.pool_size >= found.pool_size


def test_a_kernel_as_planned_is_not_spoken_of() -> None:
    need = kernel_for(1_000_000, 57)
    kernel = Kernel(
        need.descriptors,
        need.file_max,
        need.somaxconn,
        24 * GIB,
        need.tcp_mem_pages,
        conntrack=need.conntrack,
    )
    said = warnings(1_000_000, 57, kernel)
    assert [text for text in said if "router workers are needed" not in text] == []


def test_no_command_lowers_what_the_kernel_allows() -> None:
    found, need = size(MILLION), size(MILLION).kernel
    low = Kernel(1024, 1000, 128, 24 * GIB, 1000, 28_232, 1000)
    said = [command for _, command in commands(found, MILLION.clients, low)]
    assert len(said) == 6
    assert f"sysctl -w fs.file-max={2 * need.file_max}" in said
    high = Kernel(need.descriptors, need.file_max, 4096, 24 * GIB, need.tcp_mem_pages, 64_512, need.conntrack)
    assert commands(found, MILLION.clients, high) == []
    assert commands(size(replace(MILLION, clients=10)), 10, replace(high, ports=28_232)) == []


def test_defaults_are_those_of_the_configuration() -> None:
    assert Demand(1, 1, 1, 1).park_after_s == Router().park_after_s
    assert size(Demand(1, 1, 0.001, GIB)).queue_size == Tablet().queue_size


def test_the_command(capsys: pytest.CaptureFixture[str]) -> None:
    asked = [
        "plan",
        "--clients",
        "1000000",
        "--qps",
        "500",
        "--query-ms",
        "1",
        "--memory",
        "24GiB",
        "--cores",
        "2",
    ]
    assert main.main([*asked, "--json", "--descriptors", "20000"]) == 0
    found = json.loads(capsys.readouterr().out)
    assert (found["workers"], found["fits"]) == (57, True)
    assert main.main(asked) == 0
    said = capsys.readouterr().out
    for word in ("[router] max_connections", "[tablet] pool_size", "Kernel", "It fits"):
        assert word in said
    assert main.main([*asked[:-4], "--memory", "1", "--cores", "2"]) == 1
    assert "does not fit" in capsys.readouterr().out
    for wrong in (
        ["--memory", "much"],
        ["--query-ms", "nan"],
        ["--clients", "0"],
        ["--query-ms", "0"],
        ["--descriptors", "100"],
    ):
        assert main.main([*asked, *wrong]) == 2
        assert capsys.readouterr().err.startswith("clusterctl: ")
