"""Whole merges without servers: what several shards answer, in any interleaving, becomes one correct answer."""

import random
from dataclasses import replace

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.rpc.messages import CHUNK_BYTES
from router.engine.merge import MergeRun
from router.engine.output import ClientFlavour
from router.engine.reader import ResultReader
from router.plan.plans import HIDDEN, Aggregate, Bind, Merge, OrderKey
from wire.answers import err_packet, ok_packet, parse_eof, parse_err, parse_ok
from wire.binary import BinaryRowCodec
from wire.columns import Column, number_column, parse_column, text_column
from wire.constants import (
    CHARSET_BINARY,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
    TYPE_DOUBLE,
    TYPE_JSON,
    TYPE_LONG,
    TYPE_LONGLONG,
    TYPE_NEWDECIMAL,
    TYPE_VAR_STRING,
)
from wire.packets import iterate_payloads
from wire.results import text_result
from wire.rows import split_text_row

ID = number_column("id", TYPE_LONGLONG)
NAME = text_column("name")
WEIGHT = Column(b"w", TYPE_VAR_STRING, CHARSET_BINARY)
CLASSIC = ClientFlavour()
BY_ID = Merge(visible=2, order=(OrderKey(0),))


def answer(columns, rows, **options):
    return text_result(columns, rows, 0, **options)


def sequence_ids(data):
    at, ids = 0, []
    while at < len(data):
        ids.append(data[at + 3])
        at += 4 + int.from_bytes(data[at : at + 3], "little")
    return ids


def rows_of(data):
    """(columns, rows) of a classic text answer without error."""
    reader = ResultReader()
    reader.feed(bytes(data), True)
    rows = []
    while (payload := reader.next_row()) is not None:
        rows.append(tuple(split_text_row(payload, len(reader.columns))))
    assert reader.at_end, reader.error_payload
    assert sequence_ids(data) == [(index + 1) & 0xFF for index in range(len(sequence_ids(data)))]
    return reader.columns, rows


def run(merge, answers, client=CLASSIC, max_rows=10_000, seed=1, chunk=50, **options):
    """Feeds the answers in chunks of a few bytes, interleaved at random (seeded)."""
    merge_run = MergeRun(merge, len(answers), client, max_rows, **options)
    rest = dict(enumerate(answers))
    dice = random.Random(seed)
    out = b""
    while rest:
        shard = dice.choice(list(rest))
        size = dice.randint(1, chunk)
        data, rest[shard] = rest[shard][:size], rest[shard][size:]
        last = not rest[shard]
        if last:
            del rest[shard]
        out += b"".join(merge_run.feed(shard, data, last))
    assert merge_run.finished
    return merge_run, out


def merged(merge, columns, parts, **options):
    merge_run, out = run(merge, [answer(columns, part) for part in parts], **options)
    assert merge_run.error is None, merge_run.error
    return rows_of(out)[1]


def text(rows):
    return [
        tuple(None if v is None else v if isinstance(v, bytes) else str(v).encode() for v in r) for r in rows
    ]


# ---- concatenation


def test_concatenation_numbers_packets_anew_past_256():
    first = [(n, f"a{n}") for n in range(300)]
    second = [(n, None) for n in range(300)]
    for merge in (None, Merge(visible=2)):
        rows = merged(merge, [ID, NAME], [first, second, []])
        assert sorted(rows, key=str) == sorted(text(first + second), key=str)


def test_warnings_are_added_and_status_is_the_sessions():
    client = ClientFlavour(status=SERVER_STATUS_IN_TRANS, more_results=True)
    answers = [answer([ID], [(1,)], warnings=2), answer([ID], [], warnings=3)]
    merge_run, out = run(None, answers, client)
    end = parse_eof(list(iterate_payloads(out))[-1])
    assert end.warnings == merge_run.warnings == 5
    assert end.status == SERVER_STATUS_IN_TRANS | SERVER_MORE_RESULTS_EXISTS == merge_run.status


def test_a_client_without_eofs():
    client = ClientFlavour(deprecate_eof=True)
    _, out = run(BY_ID, [answer([ID, NAME], [(2, "b")]), answer([ID, NAME], [(1, "a")])], client)
    payloads = list(iterate_payloads(out))
    assert len(payloads) == 1 + 2 + 2 + 1
    assert payloads[-1][0] == 0xFE
    assert parse_ok(payloads[-1]).status == SERVER_STATUS_AUTOCOMMIT


def test_limit_and_offset_without_order():
    columns = [ID]
    parts = [[(n,) for n in range(10)], [(n,) for n in range(10, 20)]]
    rows = merged(Merge(visible=1, limit=5, offset=3), columns, parts)
    assert len(rows) == 5
    assert len(set(rows)) == 5
    assert len(merged(Merge(visible=1, limit=50, offset=18), columns, parts)) == 2
    assert merged(Merge(visible=1, limit=0), columns, parts) == []


def test_a_limit_reached_ends_the_answer_early():
    merge_run = MergeRun(Merge(visible=1, limit=Bind(0)), 2, CLASSIC, 10, limit=2)
    data = answer([ID], [(1,), (2,), (3,)])
    assert merge_run.feed(1, answer([ID], [(9,)])[:-9], False) == []
    out = b"".join(merge_run.feed(0, data, True))
    assert merge_run.finished
    assert merge_run.done_early
    assert merge_run.open_shards() == [1]
    assert len(rows_of(out)[1]) == 2
    assert merge_run.feed(1, b"anything", True) == []
    assert merge_run.open_shards() == []
    with pytest.raises(ValueError, match="LIMIT"):
        MergeRun(Merge(visible=1, limit=Bind(0)), 2, CLASSIC, 10)


# ---- order


@given(
    st.lists(st.tuples(st.one_of(st.none(), st.integers(-5, 5)), st.text("abAB ", max_size=3)), max_size=30),
    st.integers(1, 4),
    st.integers(0, 1 << 30),
    st.booleans(),
    st.booleans(),
)
def test_merging_any_partition_equals_sorting_the_whole(rows, shards, seed, first_down, second_down):
    order = (OrderKey(0, descending=first_down), OrderKey(1, weight=2, descending=second_down))
    columns = [ID, NAME, WEIGHT]
    dice = random.Random(seed)

    def key(row):
        number = (row[0] is not None, row[0] or 0)
        if first_down:
            number = (-number[0], -number[1])
        letters = [ord(c) for c in row[1].upper()] + [0]
        return number, tuple(-n for n in letters) if second_down else tuple(letters)

    full = [(number, name, name.upper().encode()) for number, name in rows]
    parts = [[] for _ in range(shards)]
    for row in full:
        dice.choice(parts).append(row)
    for part in parts:
        part.sort(key=key)
    got = merged(Merge(visible=2, order=order), columns, parts, seed=seed)
    expected = text([row[:2] for row in sorted(full, key=key)])
    assert [(n, t.upper()) for n, t in got] == [(n, t.upper()) for n, t in expected]
    assert sorted(got, key=str) == sorted(expected, key=str)
    offset, limit = dice.randint(0, 4), dice.randint(0, 6)
    got = merged(Merge(2, order=order, limit=limit, offset=offset), columns, parts, seed=seed)
    assert [(n, t.upper()) for n, t in got] == [(n, t.upper()) for n, t in expected[offset : offset + limit]]


def test_a_shard_ahead_gets_no_credit_until_its_rows_are_needed():
    wide = "x" * 1000
    ahead = answer([ID, NAME], [(n, wide) for n in range(200)])
    merge_run = MergeRun(BY_ID, 2, CLASSIC, 10)
    for start in range(0, len(ahead) // 2, CHUNK_BYTES):
        merge_run.feed(0, ahead[start : start + CHUNK_BYTES], False)
    assert merge_run.wants(1)
    assert not merge_run.wants(0)
    assert merge_run.credits() == []
    behind = answer([ID, NAME], [(1000, "z")])
    assert merge_run.feed(1, behind, True)
    assert merge_run.wants(0)
    assert not merge_run.wants(1)
    [(shard, granted)] = merge_run.credits()
    assert shard == 0
    assert granted >= CHUNK_BYTES
    assert merge_run.credits() == []


def test_rows_go_out_while_shards_still_send():
    merge_run = MergeRun(BY_ID, 2, CLASSIC, 10)
    one, two = answer([ID, NAME], [(1, "a"), (3, "c")]), answer([ID, NAME], [(2, "b"), (4, "d")])
    assert merge_run.feed(0, one, True) == []
    head = b"".join(merge_run.feed(1, two[:-17], False))
    assert merge_run.header_sent
    assert b"\x01a" in head
    rest = b"".join(merge_run.feed(1, two[-17:], True))
    assert rows_of(head + rest)[1] == text([(1, "a"), (2, "b"), (3, "c"), (4, "d")])


def test_hidden_columns_and_names():
    merge = Merge(visible=1, order=(OrderKey(1),), names=((0, "shown"),))
    columns, rows = rows_of(run(merge, [answer([NAME, ID], [("b", 2)]), answer([NAME, ID], [("a", 1)])])[1])
    assert [column.name for column in columns] == [b"shown"]
    assert rows == [(b"a",), (b"b",)]
    long = "h" * 70_000
    rows = merged(
        Merge(visible=1), [ID, NAME, NAME, NAME], [[(1, long, None, "q" * 300)], [(2, None, "", long)]]
    )
    assert sorted(rows) == [(b"1",), (b"2",)]


def test_a_plan_whose_width_the_shards_tell():
    plan = Merge(visible=-1, hidden=2, order=(OrderKey(HIDDEN, weight=HIDDEN + 1),))
    parts = [[(1, "b", b"B"), (3, "c", b"C")], [(2, "A", b"A")]]
    assert merged(plan, [ID, NAME, WEIGHT], parts) == [(b"2",), (b"1",), (b"3",)]
    merge_run, _ = run(plan, [answer([ID], []), answer([ID], [])])
    assert merge_run.error is not None
    assert "fewer columns" in merge_run.error.text


# ---- distinct


def test_distinct_by_weight_and_null():
    merge = Merge(visible=2, distinct=True, distinct_weights=(OrderKey(1, weight=2),))
    parts = [[(1, "a", b"A"), (None, None, None)], [(1, "A", b"A"), (None, None, None), (2, "a", b"A")]]
    rows = merged(merge, [ID, NAME, WEIGHT], parts)
    assert len(rows) == 3
    assert {(number, name and name.upper()) for number, name in rows} == {
        (b"1", b"A"),
        (None, None),
        (b"2", b"A"),
    }
    ordered = Merge(1, order=(OrderKey(0),), distinct=True, limit=2, offset=1)
    assert merged(ordered, [ID], [[(1,), (2,), (4,)], [(1,), (2,), (3,)]]) == [(b"2",), (b"3",)]


def test_distinct_remembers_no_more_than_max_rows():
    parts = [[(n,) for n in range(6)], [(n,) for n in range(6)]]
    merge_run, out = run(Merge(1, distinct=True), [answer([ID], part) for part in parts], max_rows=5)
    assert merge_run.error is not None
    assert merge_run.error.number == 15013
    assert "max_memory_rows" in merge_run.error.text
    assert parse_err(list(iterate_payloads(out))[-1]).number == 15013
    in_order = Merge(1, order=(OrderKey(0),), distinct=True)
    assert len(merged(in_order, [ID], parts, max_rows=2)) == 6


# ---- errors


def test_an_error_before_the_header_is_the_whole_answer():
    merge_run = MergeRun(BY_ID, 2, CLASSIC, 10)
    assert merge_run.feed(0, answer([ID, NAME], [(1, "a")]), True) == []
    out = b"".join(merge_run.feed(1, err_packet(1, 1146, "42S02", "Table 'x' doesn't exist"), True))
    assert merge_run.finished
    assert merge_run.error is not None
    assert merge_run.error.number == 1146
    assert out == err_packet(1, 1146, "42S02", "Table 'x' doesn't exist")
    assert merge_run.fail(1317, "70100", "late") == []


def test_an_error_amid_rows_ends_the_stream_with_the_next_sequence_id():
    for merge in (None, BY_ID):
        good = answer([ID, NAME], [(1, "a")])
        merge_run = MergeRun(merge, 2, CLASSIC, 10)
        merge_run.feed(0, good, True)
        out = b"".join(merge_run.feed(1, good[:-9], False))
        out += b"".join(merge_run.fail(15008, "HY000", "lost"))
        payloads = list(iterate_payloads(out))
        assert parse_err(payloads[-1]).text == "lost"
        assert sequence_ids(out) == list(range(1, len(payloads) + 1))
        assert merge_run.open_shards() == [1]


@pytest.mark.parametrize("other", [[NAME, NAME], [ID], [ID, number_column("name", TYPE_LONG)]])
def test_shards_with_different_columns_are_an_error(other):
    merge_run, out = run(None, [answer([ID, NAME], []), answer(other, [])])
    assert merge_run.error is not None
    assert merge_run.error.number == 15017
    assert parse_err(next(iter(iterate_payloads(out)))).number == 15017


def test_lengths_may_differ():
    short, long = Column(b"n", length=4), Column(b"n", length=400)
    columns, rows = rows_of(run(None, [answer([short], [("a",)]), answer([long], [("b",)])])[1])
    assert columns[0].length == 400
    assert len(rows) == 2


def test_broken_and_unexpected_answers_become_errors():
    merge_run, _ = run(None, [answer([ID], [])[:-3], answer([ID], [])])
    assert merge_run.error is not None
    assert "ends within" in merge_run.error.text
    merge_run, _ = run(None, [ok_packet(1), answer([ID], [])])
    assert merge_run.error is not None
    assert "OK packet" in merge_run.error.text


def test_json_order_is_refused_before_the_header():
    json = Column(b"j", TYPE_JSON)
    merge_run, out = run(Merge(1, order=(OrderKey(0),)), [answer([json], [("1",)]), answer([json], [])])
    assert merge_run.error is not None
    assert merge_run.error.number == 1235
    assert sequence_ids(out) == [1]


# ---- prepared statements


def test_binary_rows():
    columns = [ID, NAME, number_column("d", TYPE_NEWDECIMAL, decimals=2), number_column("x", TYPE_DOUBLE)]
    merge = Merge(visible=4, order=(OrderKey(0),))
    for plan in (merge, None, Merge(visible=4, limit=1, offset=1)):
        parts = [[(1, None, "1.50", "0.1")], [(2, "b", None, "-1e300")]]
        _, out = run(plan, [answer(columns, part) for part in parts], ClientFlavour(binary=True))
        payloads = list(iterate_payloads(out))
        codec = BinaryRowCodec([parse_column(payload) for payload in payloads[1:5]])
        rows = [codec.decode(payload) for payload in payloads[6:-1]]
        expected = [[1, None, b"1.50", 0.1], [2, b"b", None, -1e300]]
        assert (
            sorted(rows) == expected
            if plan is not None and not plan.limit
            else rows
            in (
                expected,
                expected[::-1],
                expected[:1],
                expected[1:],
            )
        )


# ---- groups

GROUPED = Merge(
    visible=3,
    order=(OrderKey(0, weight=3),),
    group=(OrderKey(0, weight=3),),
    aggregates=(Aggregate("count", 1), Aggregate("sum", 2)),
    grouped=True,
)
GROUP_COLUMNS = [
    NAME,
    number_column("count(*)", TYPE_LONGLONG),
    number_column("sum(x)", TYPE_NEWDECIMAL, decimals=2),
    WEIGHT,
]
GROUP_PARTS = [
    [(None, 1, None, None), ("a", 2, "1.25", b"A"), ("c", 1, "99999999999999999999999999999999.99", b"C")],
    [("A", 3, "-2.25", b"A"), ("b", 1, None, b"B"), ("c", 4, "0.02", b"C")],
]


@pytest.mark.parametrize("seed", range(8))
@pytest.mark.parametrize("by_hash", [False, True])
def test_groups_are_combined(seed, by_hash):
    order = () if by_hash else GROUPED.order
    plan = replace(GROUPED, order=order)
    rows = merged(plan, GROUP_COLUMNS, GROUP_PARTS, seed=seed)
    expected = text(
        [
            (None, 1, None),
            ("A", 5, "-1.00"),
            ("b", 1, None),
            ("c", 5, "100000000000000000000000000000000.01"),
        ]
    )
    got = [(name and name.upper() if name in (b"a", b"A") else name, *rest) for name, *rest in rows]
    if by_hash:
        got.sort(key=lambda row: (row[0] is not None, row[0]))
    assert got == expected


def test_groups_ordered_by_an_aggregate_with_limit():
    plan = replace(GROUPED, order=(OrderKey(1, descending=True), OrderKey(0, 3)), limit=2, offset=1)
    rows = merged(plan, GROUP_COLUMNS, GROUP_PARTS)
    assert rows == text([("c", 5, "100000000000000000000000000000000.01"), (None, 1, None)])


def test_groups_are_bounded_when_hashed_and_not_when_streamed():
    parts = [[(f"{n:03}", 1, "1.00", b"%03d" % n) for n in range(50)]] * 2
    plan = replace(GROUPED, order=())
    merge_run, _ = run(plan, [answer(GROUP_COLUMNS, part) for part in parts], max_rows=49)
    assert merge_run.error is not None
    assert merge_run.error.number == 15013
    assert len(merged(GROUPED, GROUP_COLUMNS, parts, max_rows=3)) == 50


def test_a_stream_out_of_order_is_an_error_and_not_a_torn_group():
    parts = [[("b", 1, None, b"B"), ("a", 1, None, b"A")], [("c", 1, None, b"C")]]
    merge_run, _ = run(GROUPED, [answer(GROUP_COLUMNS, part) for part in parts])
    assert merge_run.error is not None
    assert "GROUP BY" in merge_run.error.text


def test_one_row_over_everything_also_when_the_shards_are_empty():
    columns = [
        number_column("count(*)", TYPE_LONGLONG),
        number_column("sum(x)", TYPE_NEWDECIMAL, decimals=0),
        number_column("avg(x)", TYPE_NEWDECIMAL, decimals=0, length=33),
        number_column("n", TYPE_LONGLONG),
    ]
    plan = Merge(
        3,
        aggregates=(Aggregate("count", 0), Aggregate("sum", 1), Aggregate("avg", 2, 3)),
        grouped=True,
        names=((2, "average"),),
    )
    empty = [(0, None, None, 0)]
    out = run(plan, [answer(columns, empty), answer(columns, empty)])[1]
    definitions, rows = rows_of(out)
    assert rows == [(b"0", None, None)]
    assert (definitions[2].name, definitions[2].decimals, definitions[2].length) == (b"average", 4, 16)
    assert merged(plan, columns, [[(2, 7, 7, 2)], [(1, -5, -5, 1)]]) == [(b"3", b"2", b"0.6667")]
    assert merged(plan, columns, [[(2, 7, 7, 2)], empty]) == [(b"2", b"7", b"3.5000")]
