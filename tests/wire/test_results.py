import contextlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import cells, fast
from wire.answers import (
    Eof,
    Err,
    SessionChanges,
    eof_packet,
    err_payload,
    is_eof,
    ok_packet,
    ok_payload,
    parse_eof,
    parse_err,
    parse_ok,
)
from wire.columns import Column, number_column, parse_column, text_column
from wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_SESSION_TRACK,
    EOF_HEADER,
    SERVER_SESSION_STATE_CHANGED,
    TYPE_LONGLONG,
)
from wire.errors import ServerProtocolError, WireError
from wire.packets import iterate_payloads
from wire.results import field_list_result, prepare_result, text_result
from wire.rows import float_text, split_text_row, text_row, value_text

texts = st.text(st.characters(codec="utf-8"), max_size=20)
changes = st.builds(
    SessionChanges,
    system_variables=st.lists(st.tuples(texts, texts), max_size=3).map(tuple),
    schema=st.none() | texts,
    state_changed=st.none() | st.booleans(),
    gtids=st.none() | texts,
    transaction_characteristics=st.none() | texts,
    transaction_state=st.none() | texts,
)
u64 = st.integers(0, 2**64 - 1)
u16 = st.integers(0, 0xFFFF)


@fast
@given(u64, u64, u16, u16, st.binary(max_size=300), changes)
def test_ok_roundtrip(
    rows: int, insert: int, status: int, warnings: int, info: bytes, change: SessionChanges
) -> None:
    ok = parse_ok(ok_payload(rows, insert, status, warnings, info, change, CLIENT_SESSION_TRACK), True)
    assert (ok.affected_rows, ok.last_insert_id, ok.warnings, ok.info) == (rows, insert, warnings, info)
    assert ok.session_changes == change
    assert ok.status & SERVER_SESSION_STATE_CHANGED
    plain = parse_ok(ok_payload(rows, insert, status, warnings, info, change), False)
    assert plain.info == info
    assert plain.session_changes is None
    assert not plain.status & SERVER_SESSION_STATE_CHANGED


def test_ok_as_mysql_sends_it() -> None:
    # the packet of the manual's page on OK_Packet
    assert ok_packet(2, 0, 0, 2, 0) == bytes.fromhex("07000002000000020000 00".replace(" ", ""))
    info = b"\0\x01\0\x02\0\0\0"
    assert parse_ok(info[:7] + b"Rows matched", False).info == b"Rows matched"


def test_several_variables_in_one_entry_as_mariadb_sends_them() -> None:
    entry = b"\x01a\x011\x01b\x012"
    state = b"\x00" + bytes((len(entry),)) + entry + b"\x09\x01x"
    data = (
        b"\0\0\0"
        + SERVER_SESSION_STATE_CHANGED.to_bytes(2, "little")
        + b"\0\0"
        + b"\0"
        + bytes((len(state),))
        + state
    )
    change = parse_ok(data, True).session_changes
    assert change is not None
    assert change.system_variables == (("a", "1"), ("b", "2"))
    assert change.unknown_types == (9,)


@fast
@given(st.binary(max_size=60), st.booleans())
def test_noise_is_a_server_protocol_error(noise: bytes, track: bool) -> None:
    for parse in (
        lambda d: parse_ok(d, track),
        parse_err,
        parse_eof,
        parse_column,
        lambda d: split_text_row(d, 3),
    ):
        with contextlib.suppress(ServerProtocolError):
            parse(noise)


def test_err() -> None:
    payload = err_payload(1064, "42000", "You have an error")
    assert payload == b"\xff\x28\x04#42000You have an error"
    assert parse_err(payload) == Err(1064, "42000", "You have an error")
    assert parse_err(b"\xff\x10\x04Too many connections") == Err(1040, "HY000", "Too many connections")
    assert len(err_payload(1, "HY000", "ä" * 600)) <= 9 + 511
    assert parse_err(err_payload(1, "HY000", "ä" * 600)).text == "ä" * 255


def test_eof() -> None:
    assert eof_packet(5, 0x0022, 3) == b"\x05\0\0\x05\xfe\x03\0\x22\0"
    assert parse_eof(b"\xfe\x03\0\x22\0") == Eof(0x22, 3)
    assert is_eof(b"\xfe\x03\0\x22\0")
    assert not is_eof(b"\xfe" + bytes(8))


@fast
@given(
    st.builds(
        Column,
        name=st.binary(max_size=70),
        type=st.integers(0, 255),
        charset=u16,
        length=st.integers(0, 2**32 - 1),
        flags=u16,
        decimals=st.integers(0, 255),
        schema=st.binary(max_size=9),
        table=st.binary(max_size=9),
        org_table=st.binary(max_size=9),
        org_name=st.binary(max_size=300),
        extended=st.none() | st.binary(max_size=300),
    )
)
def test_column_roundtrip(column: Column) -> None:
    assert parse_column(column.encode()) == column


def test_column_as_mysql_sends_it() -> None:
    # "SELECT 1" on MySQL 8
    payload = bytes.fromhex("0364656600000001310 00c3f0001000000088100000000".replace(" ", ""))
    column = parse_column(payload)
    assert column == Column(b"1", 8, 63, 1, 0x81, 0)
    assert column.encode() == payload


@fast
@given(st.lists(st.lists(cells, min_size=3, max_size=3), max_size=5))
def test_rows_and_whole_results(rows: list[list[bytes | None]]) -> None:
    assert [split_text_row(text_row(row), 3) for row in rows] == rows
    for caps in (0, CLIENT_DEPRECATE_EOF):
        payloads = list(iterate_payloads(text_result(["a", "b", "c"], rows, caps, status=0x22, warnings=7)))
        assert payloads[0] == b"\x03"
        assert [parse_column(p).name for p in payloads[1:4]] == [b"a", b"b", b"c"]
        body = payloads[4:]
        if caps:
            end = parse_ok(body.pop())
            assert (end.status, end.warnings) == (0x22, 7)
        else:
            assert parse_eof(body.pop(0)) == Eof(0x22, 0)
            assert parse_eof(body.pop()) == Eof(0x22, 7)
        assert [split_text_row(p, 3) for p in body] == rows


def test_sequence_ids_wrap() -> None:
    data = text_result(["a"], [[b"x"]] * 600, CLIENT_DEPRECATE_EOF)
    at = 0
    for expected in range(1, 604):
        assert data[at + 3] == expected & 0xFF
        at += 4 + int.from_bytes(data[at : at + 3], "little")
    assert at == len(data)


def test_values_as_text() -> None:
    assert text_row([None, 7, -1.5, "ä", b"\xff", True]) == b"\xfb\x017\x04-1.5\x02\xc3\xa4\x01\xff\x011"
    assert [float_text(v) for v in (1.0, 1e20, 1e-7, 0.1, 1.5e300)] == [
        b"1",
        b"1e20",
        b"1e-7",
        b"0.1",
        b"1.5e300",
    ]
    assert value_text(2**64 - 1) == b"18446744073709551615"


def test_prepare_and_field_list() -> None:
    parameter, column = text_column("?"), number_column("n", TYPE_LONGLONG)
    classic = list(iterate_payloads(prepare_result(9, [parameter], [column], 0)))
    assert classic[0] == b"\0\x09\0\0\0\x01\0\x01\0\0\0\0"
    assert [len(p) for p in classic] == [12, len(parameter.encode()), 5, len(column.encode()), 5]
    modern = list(iterate_payloads(prepare_result(9, [parameter], [column], CLIENT_DEPRECATE_EOF)))
    assert modern == [classic[0], classic[1], classic[3]]
    listed = list(iterate_payloads(field_list_result([column], 0, 2)))
    assert listed == [column.encode(), b"\xfe\0\0\x02\0"]
    assert list(iterate_payloads(field_list_result([column], CLIENT_DEPRECATE_EOF, 2)))[1][0] == EOF_HEADER


def test_errors_pickle() -> None:
    import pickle

    error = pickle.loads(pickle.dumps(WireError(1, "HY000", "text")))
    assert (error.number, error.sqlstate, error.text) == (1, "HY000", "text")


def test_a_row_must_be_whole() -> None:
    for payload in (b"", b"\x05abc", b"\x01a", b"\x01a\x01b\x01c\x01d", b"\xff\x01a\x01b"):
        with pytest.raises(ServerProtocolError):
            split_text_row(payload, 3)
