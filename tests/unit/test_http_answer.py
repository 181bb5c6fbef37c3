"""Packets of a text answer as the JSON that serverless clients read."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from router.http.answer import Answer, field_json, row_json, type_name
from router.http.codes import STATUS, code_of, refusal, sql_error
from wire import constants as c
from wire.answers import eof_packet, err_packet, ok_packet
from wire.columns import Column, number_column, text_column
from wire.packets import frame, lenenc_bytes, lenenc_int

COLUMNS = (number_column("id", c.TYPE_LONGLONG, c.UNSIGNED_FLAG), text_column("näme"))


def rows_answer(rows: list[tuple[bytes | None, ...]], status: int = 2) -> bytes:
    packets = [
        frame(lenenc_int(len(COLUMNS)), 1),
        *(frame(one.encode(), 2) for one in COLUMNS),
        eof_packet(4, status),
    ]
    packets += [
        frame(b"".join(b"\xfb" if cell is None else lenenc_bytes(cell) for cell in row), 5) for row in rows
    ]
    return b"".join((*packets, eof_packet(6, status)))


def fed(*pieces: bytes) -> Answer:
    answer = Answer()
    for piece in pieces:
        answer.feed(piece)
    return answer


def result_of(answer: Answer) -> Any:
    assert answer.done
    return json.loads(answer.result_json())


def test_rows() -> None:
    result = result_of(fed(rows_answer([(b"1", b"a"), (b"", None), (None, b"x" * 300), (b"", b"")])))
    assert [field["name"] for field in result["fields"]] == ["id", "näme"]
    assert result["rows"][0] == {"lengths": ["1", "1"], "values": "MWE="}
    assert result["rows"][1] == {"lengths": ["0", "-1"]}
    assert result["rows"][2]["lengths"] == ["-1", "300"]
    assert result["rows"][3] == {"lengths": ["0", "0"]}
    assert "rowsAffected" not in result
    assert "insertId" not in result


def test_no_rows_keep_their_fields() -> None:
    result = result_of(fed(rows_answer([])))
    assert len(result["fields"]) == 2
    assert "rows" not in result


@given(st.lists(st.integers(1, 400), max_size=12))
def test_pieces_do_not_matter(cuts: list[int]) -> None:
    data = rows_answer([(b"12", b"abc"), (None, b"y" * 200), (b"3", b"\xfe" * 20)])
    answer = Answer()
    for cut in cuts:
        answer.feed(data[:cut])
        data = data[cut:]
    answer.feed(data)
    assert [row["lengths"] for row in result_of(answer)["rows"]] == [["2", "3"], ["-1", "200"], ["1", "20"]]


def test_a_row_of_several_packets() -> None:
    cell = b"z" * (c.MAX_PAYLOAD + 10)
    answer = fed(rows_answer([(b"1", cell)]))
    assert result_of(answer)["rows"][0]["lengths"] == ["1", str(len(cell))]


def test_writes() -> None:
    assert result_of(fed(ok_packet(1, 3, 1 << 63))) == {"rowsAffected": "3", "insertId": str(1 << 63)}
    assert result_of(fed(ok_packet(1))) == {}


def test_errors_instead_of_rows_and_among_them() -> None:
    error = err_packet(1, 1064, "42000", "near 'ü'")
    assert fed(error).error == (1064, "42000", "near 'ü'")
    whole = rows_answer([(b"1", b"a")])
    answer = fed(whole[:-9], error)  # in the place of the EOF
    assert answer.done
    assert answer.error is not None


def test_a_call_is_its_rows_and_its_ok_and_two_row_sets_are_told_apart() -> None:
    more = 2 | c.SERVER_MORE_RESULTS_EXISTS
    call = fed(rows_answer([(b"1", b"a")], more), ok_packet(1, 5))
    assert call.row_sets == 1
    assert result_of(call)["rowsAffected"] == "5"
    two = fed(rows_answer([(b"1", b"a")], more), rows_answer([(b"2", b"b")], more), ok_packet(1))
    assert two.row_sets == 2
    assert len(two.rows) == 1


def test_what_is_no_answer() -> None:
    with pytest.raises(ValueError, match="behind the end"):
        fed(ok_packet(1), ok_packet(2))
    with pytest.raises(ValueError, match="a file"):
        fed(frame(b"\xfbname", 1))
    with pytest.raises(IndexError):
        row_json(b"\x05abc")


@pytest.mark.parametrize(
    ("type", "flags", "name"),
    [
        (c.TYPE_LONGLONG, 0, "INT64"),
        (c.TYPE_LONGLONG, c.UNSIGNED_FLAG, "UINT64"),
        (c.TYPE_INT24, c.UNSIGNED_FLAG, "UINT24"),
        (c.TYPE_NEWDECIMAL, c.UNSIGNED_FLAG, "DECIMAL"),
        (c.TYPE_YEAR, c.UNSIGNED_FLAG, "YEAR"),
        (c.TYPE_VAR_STRING, 0, "VARCHAR"),
        (c.TYPE_VAR_STRING, c.BINARY_FLAG, "VARBINARY"),
        (c.TYPE_BLOB, 0, "TEXT"),
        (c.TYPE_BLOB, c.BINARY_FLAG | c.BLOB_FLAG, "BLOB"),
        (c.TYPE_STRING, c.BINARY_FLAG, "BINARY"),
        (c.TYPE_STRING, c.ENUM_FLAG, "ENUM"),
        (c.TYPE_STRING, c.SET_FLAG | c.BINARY_FLAG, "SET"),
        (c.TYPE_JSON, c.BINARY_FLAG, "JSON"),
        (c.TYPE_VECTOR, c.BINARY_FLAG, "VECTOR"),
        (c.TYPE_DATETIME, c.BINARY_FLAG, "DATETIME"),
        (c.TYPE_GEOMETRY, c.BINARY_FLAG, "GEOMETRY"),
        (c.TYPE_BIT, c.UNSIGNED_FLAG, "BIT"),
        (c.TYPE_NULL, c.BINARY_FLAG, "NULL"),
    ],
)
def test_types(type: int, flags: int, name: str) -> None:
    assert type_name(Column(b"x", type, 63, 1, flags)) == name


def test_what_is_zero_or_empty_in_a_field_is_left_out() -> None:
    column = Column(b"id", c.TYPE_LONG, 63, 11, 0, 0, b"db", b"t", b"org", b"oid")
    assert json.loads(field_json(column)) == {
        "name": "id", "type": "INT32", "table": "t", "orgTable": "org", "database": "db", "orgName": "oid",
        "columnLength": 11, "charset": 63,
    }  # fmt: skip


def test_codes() -> None:
    assert [code_of(number) for number in (1146, 1062, 1064, 1213, 1205, 1317, 1045, 1235, 15009, 15001, 9999)] == [
        "NOT_FOUND", "ALREADY_EXISTS", "INVALID_ARGUMENT", "ABORTED", "DEADLINE_EXCEEDED", "CANCELED",
        "PERMISSION_DENIED", "UNIMPLEMENTED", "ABORTED", "UNAVAILABLE", "UNKNOWN",
    ]  # fmt: skip
    assert json.loads(sql_error(1146, "42S02", "no 't'")) == {
        "code": "NOT_FOUND",
        "message": "no 't' (errno 1146) (sqlstate 42S02)",
    }
    status, body = refusal("UNAUTHENTICATED", "who?")
    told = json.loads(body)
    assert status == 401
    assert (
        told["error"]
        == {"code": told["code"], "message": told["message"]}
        == {
            "code": "unauthenticated",
            "message": "who?",
        }
    )
    assert not [status for status in STATUS.values() if 520 <= status <= 530]
