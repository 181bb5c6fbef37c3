"""What the bench asks, checks, computes and says; and that its client counts what is wrong."""

import asyncio
from array import array
from collections import Counter
from pathlib import Path
from random import Random
from time import perf_counter
from typing import Any

import pytest

from cli.bench import main, memory, results, sysbench, workload
from cli.bench.arguments import parse
from cli.bench.connection import Place
from cli.bench.fleet import shares
from cli.bench.generator import Client, Job, Slice, Template
from cli.bench.protocol import Login
from cli.bench.results import Measured, Phase
from cli.bench.workload import value
from tests.unit.test_bench_protocol import answer_bytes
from wire.answers import err_packet

PLACE = Place("direct", "127.0.0.1", 3306, "app", "app", "main")


# ---- statements and their checks


def test_rows_know_whose_they_are() -> None:
    assert len({value(i) for i in range(1000)}) == 1000
    assert all(len(value(i)) == 120 for i in (0, 1, 10**9))
    step = workload.point(7)
    assert step.kind.text(step.parameters) == b"SELECT c FROM sluice_bench WHERE id=7"
    assert step.check is not None
    assert step.check((value(7),))
    assert not step.check((value(8),))
    assert not step.check(())
    assert not step.check((value(7), value(7)))


@pytest.mark.parametrize("mode", ["read-only", "read-write"])
@pytest.mark.parametrize("rows", [1, 50, 10_000])
def test_transactions_are_whole_and_inside_the_table(mode: str, rows: int) -> None:
    random = Random(1)
    for _ in range(50):
        steps = workload.transaction(mode, rows, random)
        assert steps[0].kind is workload.BEGIN
        assert steps[-1].kind is workload.COMMIT
        assert len(steps) == (16 if mode == "read-only" else 20)
        for step in steps:
            assert step.kind.sql.count(b"?") == len(step.parameters)
            if step.kind is workload.SIMPLE:
                first, last = step.parameters
                assert 1 <= first <= last <= rows
                assert step.check is not None
                right = tuple(value(i) for i in range(first, last + 1))
                assert step.check(right)
                assert not step.check(right[1:])
                assert not step.check((*right[1:], right[0])) or len(right) == 1


def test_changed_rows_may_have_changed_but_not_into_others() -> None:
    check = workload._row_check(7)
    assert check((value(7),))
    assert check((b"0000000007" + b"q" * 110,))
    assert not check((b"0000000008" + b"q" * 110,))
    assert not check((b"0000000007" + b"q" * 109 + b"z",))
    assert not check((None,))
    assert not check(())


# ---- the client


class Wire(asyncio.Transport):
    """Keeps what is written."""

    def __init__(self) -> None:
        super().__init__()
        self.written: list[bytes] = []

    def write(self, data: Any) -> None:
        self.written.append(bytes(data))

    def abort(self) -> None:
        pass


async def client(mode: str = "point") -> tuple[Client, Wire]:
    """One that is logged in."""
    wire, made = Wire(), Client(Login("app", "app", "main"))
    made.connection_made(wire)
    made._login = None
    made.deprecate_eof = True
    await made.set_up(Job((PLACE,), 1, 1000, mode, False, 1), Template(), 1)
    return made, wire


def asked_id(wire: Wire) -> int:
    return int(wire.written[-1].rpartition(b"=")[2])


async def test_right_answers_are_counted_however_they_come() -> None:
    made, wire = await client()
    into = Slice("direct", 1, 60)
    made.begin(into, perf_counter() + 60)
    for number in range(20):
        data = answer_bytes([b"\x78" + value(asked_id(wire))], deprecate_eof=True)
        if number % 5 == 2:
            made.data_received(data[:40])
            made.data_received(data[40:])
        else:
            made.data_received(data)
    assert (into.events, into.queries, into.wrong) == (20, 20, 0)
    assert len(into.latencies_s) == 20
    assert len(wire.written) == 21


async def test_a_row_of_another_is_wrong_also_on_the_short_way() -> None:
    made, wire = await client()
    into = Slice("direct", 1, 60)
    made.begin(into, perf_counter() + 60)
    made.data_received(answer_bytes([b"\x78" + value(asked_id(wire))], deprecate_eof=True))
    made.data_received(answer_bytes([b"\x78" + value(asked_id(wire) + 1)], deprecate_eof=True))
    made.data_received(answer_bytes([], deprecate_eof=True))
    made.data_received(answer_bytes([b"\x78" + value(asked_id(wire))] * 2, deprecate_eof=True))
    assert (into.events, into.wrong) == (4, 3)


async def test_errors_roll_back_and_are_no_events() -> None:
    made, wire = await client("read-only")
    into = Slice("direct", 1, 60)
    made.begin(into, perf_counter() + 60)
    assert wire.written[-1][5:] == b"BEGIN"
    made.data_received(err_packet(1, 1040, "08004", "full"))
    assert wire.written[-1][5:] == b"ROLLBACK"
    made.data_received(b"\x07\0\0\x01\0\0\0\x02\0\0\0")
    assert wire.written[-1][5:] == b"BEGIN"
    assert (into.events, dict(into.errors)) == (0, {"1040: full": 1})


async def test_it_stops_at_the_end_and_not_before_the_answer() -> None:
    made, wire = await client()
    into = Slice("direct", 1, 0)
    made.begin(into, perf_counter())
    assert made.ended is not None
    assert not made.ended.done()
    made.data_received(answer_bytes([b"\x78" + value(asked_id(wire))], deprecate_eof=True))
    assert made.ended.done()
    assert into.events == 0
    made.connection_lost(None)
    assert into.lost == 0


async def test_a_lost_connection_is_told() -> None:
    made, _ = await client()
    into = Slice("direct", 1, 60)
    made.begin(into, perf_counter() + 60)
    made.connection_lost(None)
    assert into.lost == 1
    again = Slice("direct", 1, 60)
    made.begin(again, perf_counter() + 60)
    assert again.lost == 1


# ---- figures


def measured(queries: int, p50_s: float = 0.001, **more: Any) -> Measured:
    values: dict[str, Any] = {
        "seconds": 2.0, "events": queries, "queries": queries, "wrong": 0, "lost": 0, "errors": Counter(),
        "generator_cores": 0.3, "p50_s": p50_s, "p95_s": 0.002, "p99_s": 0.003,
    }  # fmt: skip
    return Measured(**(values | more))


def test_parts_of_several_processes_are_one_slice() -> None:
    parts = [
        Slice("direct", 2, 2.0, events=3, queries=3, cpu_s=0.5, latencies_s=array("d", [3, 1, 2])),
        Slice("direct", 2, 2.0, events=1, queries=1, wrong=1, cpu_s=0.5, latencies_s=array("d", [4])),
    ]
    one = results.measure(parts)
    assert (one.events, one.wrong, one.queries_per_s, one.generator_cores) == (4, 1, 2.0, 0.5)
    assert (one.p50_s, one.p99_s) == (2, 4)


def test_ratio_and_added_time_are_taken_pair_by_pair() -> None:
    phase = Phase(
        32,
        (measured(1000), measured(4000, 0.002), measured(1000)),
        (measured(400, 0.0013), measured(2000, 0.0021), measured(300, 0.0014)),
    )
    found = phase.to_json()
    assert found["ratio"] == 0.4
    assert found["added_p50_s"] == pytest.approx(0.0003)
    assert found["direct"]["queries_per_s"] == 500
    assert not phase.failed


def test_what_was_wrong_is_told() -> None:
    phase = Phase(2, (measured(10),), (measured(10, wrong=1, errors=Counter({"1317: killed": 2})),))
    assert phase.failed
    text = "\n".join(results.table([phase], transactions=False))
    assert "2 clients, router: 2 x 1317: killed" in text
    assert Phase(2, (measured(10),), (measured(0),)).failed
    assert Phase(2, (measured(0),), (measured(0),)).to_json()["ratio"] is None


def test_a_short_slice_may_end_no_transaction() -> None:
    direct = (measured(1000, 0.002), measured(1000, 0.002))
    phase = Phase(12, direct, (measured(70, 0.0, events=0), measured(900, 0.003)))
    assert not phase.failed
    found = phase.to_json()
    assert found["router"]["p50_s"] == 0.003
    assert found["added_p50_s"] == pytest.approx(0.001)
    none = Phase(12, direct, (measured(70, 0.0, events=0), measured(90, 0.0, events=0)))
    assert none.failed
    assert none.to_json()["added_p50_s"] == 0.0


def test_a_busy_generator_is_told() -> None:
    phase = Phase(32, (measured(10, generator_cores=0.97),), (measured(10),))
    notes = results.notes([phase])
    assert len(notes) == 1
    assert "direct: the generator itself was busy (0.97 cores)" in notes[0]


def test_the_table_lines_up() -> None:
    phases = [Phase(32, (measured(123_456),), (measured(50_000),)), Phase(1, (measured(9),), (measured(8),))]
    lines = results.table(phases, transactions=True)
    assert lines[0].split() == ["queries/s", "tx/s", "p50", "p95", "p99", "wrong", "errors", "generator"]
    direct = next(line for line in lines if "direct" in line)
    assert direct.split()[1:3] == ["61,728", "61,728"]
    assert lines[0].index("queries/s") + len("queries/s") == direct.index("61,728") + len("61,728")


SYSBENCH = """
SQL statistics:
    queries performed:
        read:                            60964
    transactions:                        60964  (60950.10 per sec.)
    queries:                             60964  (60950.10 per sec.)
    ignored errors:                      3      (3.00 per sec.)
    reconnects:                          0      (0.00 per sec.)
General statistics:
    total time:                          1.0002s
Latency histogram (values are in milliseconds)
       value  ------------- distribution ------------- count
       0.050 |****************************************  50
       0.100 |********                                  45
       1.500 |                                          5
"""


def test_sysbench_is_read() -> None:
    found = sysbench.parse(SYSBENCH)
    assert (found.queries, found.events) == (60964, 60964)
    assert found.queries_per_s == pytest.approx(60950.10)
    assert (found.p50_s, found.p95_s, found.p99_s) == (0.00005, 0.0001, 0.0015)
    assert found.errors == {"ignored by sysbench": 3}
    with pytest.raises(ValueError, match="not sysbench"):
        sysbench.parse("FATAL: no")


def test_memory_is_read() -> None:
    text = "00400000-7ff [rollup]\nRss:  2048 kB\nPss: 1024 kB\nPrivate_Clean: 1 kB\nPrivate_Dirty: 9 kB\n"
    before = memory.read_rollups([text])
    after = memory.read_rollups([text, text])
    assert before == memory.Memory(2048 * 1024, 1024 * 1024, 10 * 1024)
    assert memory.growth(before, after, 1024) == {"rss": 2048, "pss": 1024, "private": 10}


# ---- arguments


def test_arguments() -> None:
    args = parse(["oltp", "--clients", "8", "--statement", "prepared"], "a.toml")
    assert (args.bench, args.clients, args.statement, args.file) == ("oltp", 8, "prepared", "a.toml")
    assert parse(["memory", "-f", "b.toml"], "a.toml").file == "b.toml"
    assert shares(2, 4) == [1, 1, 0, 0]


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        ([], "oltp|memory"),
        (["oltp", "--clients", "0"], "'0' is not a number from 1"),
        (["oltp", "--mode", "x"], "invalid choice"),
        (["oltp", "--sysbench", "--mode", "read-only"], "the own generator's"),
        (["oltp", "--sysbench", "--seconds", "2"], "slices of a second"),
    ],
)
def test_wrong_use(rest: list[str], said: str, capsys: pytest.CaptureFixture[str]) -> None:
    with pytest.raises(SystemExit) as ended:
        main(rest, None)
    assert ended.value.code == 2
    assert said in capsys.readouterr().err.splitlines()[0]


@pytest.mark.parametrize(
    ("rest", "said"),
    [
        (["--keyspace", "no"], "there is no keyspace 'no'; known: shop, logs"),
        (["--keyspace", "shop"], "name one, such as --shard=-80"),
        (["--keyspace", "shop", "--shard=-40"], "no shard '-40'"),
        (["--user", "x"], "add --password"),
        ([], "does not run under"),
    ],
)
def test_places_that_are_not_there(rest: list[str], said: str, tmp_path: Path) -> None:
    file = tmp_path / "cluster.toml"
    (tmp_path / "v.json").write_text("{}")
    file.write_text(
        '[[users]]\nname = "app"\npassword = "app"\n'
        '[[keyspaces]]\nname = "shop"\nshards = ["-80", "80-"]\nvschema = "v.json"\n'
        '[[keyspaces]]\nname = "logs"\nvschema = "v.json"\n'
    )
    from cli.errors import CommandError

    with pytest.raises(CommandError, match=said):
        main(["oltp", *rest], str(file))
