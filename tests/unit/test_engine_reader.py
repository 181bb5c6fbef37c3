"""One shard's answer in pieces: wherever chunks are cut, the same columns, rows and end come out."""

import itertools

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.engine.reader import CREDIT_STEP_BYTES, ResultReader, Stage
from wire.answers import err_packet, ok_packet
from wire.columns import number_column, text_column
from wire.constants import MAX_PAYLOAD, TYPE_LONGLONG
from wire.errors import ServerProtocolError
from wire.packets import frame, iterate_payloads
from wire.results import column_packets, text_result
from wire.rows import split_text_row, text_row

COLUMNS = [number_column("id", TYPE_LONGLONG), text_column("name")]
ROWS = [(1, "one"), (2, None), (3, ""), (4, "x" * 300)]


def answer(rows=ROWS, warnings=0):
    return text_result(COLUMNS, rows, 0, warnings=warnings)


def read_all(reader):
    rows = []
    while (payload := reader.next_row()) is not None:
        rows.append(split_text_row(payload, 2))
    return rows


EXPECTED = [[b"1", b"one"], [b"2", None], [b"3", b""], [b"4", b"x" * 300]]


@given(st.lists(st.integers(0, len(answer())), max_size=8))
def test_any_cut_gives_the_same_rows(cuts):
    data = answer(warnings=3)
    edges = sorted({0, len(data), *cuts})
    reader = ResultReader()
    rows = []
    for start, end in itertools.pairwise(edges):
        reader.feed(data[start:end], end == len(data))
        rows += read_all(reader)
    assert rows == EXPECTED
    assert reader.at_end
    assert reader.last
    assert reader.warnings == 3
    assert [column.name for column in reader.columns] == [b"id", b"name"]


@given(st.lists(st.integers(0, len(answer())), max_size=8), st.integers(0, 255))
def test_packets_are_renumbered_whatever_the_cuts(cuts, sequence):
    data = answer()
    edges = sorted({0, len(data), *cuts})
    reader = ResultReader()
    out = b""
    first = sequence
    total = 0
    for start, end in itertools.pairwise(edges):
        reader.feed(data[start:end], end == len(data))
        packets, sequence, rows = reader.take_packets(sequence, 1 << 30)
        out += packets
        total += rows
    assert total == len(ROWS)
    assert [split_text_row(payload, 2) for payload in iterate_payloads(out)] == EXPECTED
    ids, at = [], 0
    while at < len(out):
        ids.append(out[at + 3])
        at += 4 + int.from_bytes(out[at : at + 3], "little")
    assert ids == [(first + index) & 0xFF for index in range(len(ROWS))]
    assert reader.at_end


def test_a_limit_leaves_the_rest_unread():
    reader = ResultReader()
    reader.feed(answer(), True)
    packets, sequence, rows = reader.take_packets(7, 2)
    assert (sequence, rows) == (9, 2)
    assert len(list(iterate_payloads(bytes(packets)))) == 2
    assert read_all(reader) == EXPECTED[2:]


def test_an_error_instead_of_an_answer_and_amid_rows():
    reader = ResultReader()
    reader.feed(err_packet(1, 1146, "42S02", "no table"), True)
    assert reader.stage is Stage.ERROR
    assert reader.error_payload is not None

    head, sequence = column_packets(COLUMNS, 0, 2)
    broken = head + frame(text_row((1, "a")), sequence) + err_packet(sequence + 1, 1317, "70100", "killed")
    for take in (False, True):
        reader = ResultReader()
        reader.feed(broken, True)
        if take:
            assert reader.take_packets(1, 1 << 30)[2] == 1
        else:
            assert read_all(reader) == [[b"1", b"a"]]
        assert reader.stage is Stage.ERROR


def test_an_ok_packet_is_an_answer_without_rows():
    reader = ResultReader()
    reader.feed(ok_packet(1, affected_rows=4, warnings=1), True)
    assert reader.at_end
    assert reader.ok is not None
    assert reader.ok.affected_rows == 4


@pytest.mark.parametrize("size", [3, 20, len(answer()) - 3])
def test_a_cut_answer_is_an_error(size):
    for take in (False, True):
        reader = ResultReader()
        with pytest.raises(ServerProtocolError):  # noqa: PT012 - where it shows depends on the cut
            reader.feed(answer()[:size], True)
            if take:
                reader.take_packets(1, 1 << 30)
            else:
                read_all(reader)


def test_a_row_of_several_packets():
    big = b"y" * (MAX_PAYLOAD + 10)
    data = answer([(1, big), (2, "z")])
    step = 1 << 20
    for take in (False, True):
        reader = ResultReader()
        rows, out, sequence = [], b"", 200
        for start in range(0, len(data), step):
            reader.feed(data[start : start + step], start + step >= len(data))
            if take:
                packets, sequence, _ = reader.take_packets(sequence, 1 << 30)
                out += packets
            else:
                rows += read_all(reader)
        if take:
            assert sequence == 203
            rows = [split_text_row(payload, 2) for payload in iterate_payloads(out)]
        assert rows == [[b"1", big], [b"2", b"z"]]
        assert reader.at_end


def test_credit_is_what_was_read_and_covers_a_row_larger_than_the_window():
    wide = "w" * (CREDIT_STEP_BYTES * 3)
    data = answer([(1, wide), (2, wide)])
    reader = ResultReader()
    edge = len(data) // 2 + 100
    reader.feed(data[:1000], False)
    assert reader.take_credit() == 0, "below the step"
    reader.feed(data[1000:edge], False)
    assert reader.take_credit() == 0, "a whole row waits to be read"
    assert reader.next_row() is not None
    assert reader.take_credit() == edge, "nothing whole is left: all that came is granted"
    assert reader.take_credit() == 0
    reader.feed(data[edge:], True)
    assert reader.take_credit() == 0, "nothing more comes"
