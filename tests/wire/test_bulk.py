"""COM_STMT_BULK_EXECUTE: rows come out as they went in, and what is cut or wrong is an error the client is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import fast
from wire.binary import encode_value
from wire.bulk import (
    INDICATOR_IGNORE,
    INDICATOR_NONE,
    SEND_TYPES,
    Bulk,
    Cell,
    parse_bulk,
)
from wire.constants import TYPE_BLOB, TYPE_LONGLONG, TYPE_VAR_STRING, UNSIGNED_PARAMETER
from wire.errors import ClientProtocolError, CommandError

TYPES = (TYPE_LONGLONG, TYPE_LONGLONG | UNSIGNED_PARAMETER, TYPE_VAR_STRING, TYPE_BLOB)
RAW = b"".join(kind.to_bytes(2, "little") for kind in TYPES)
VALUES = (
    st.integers(-(2**63), 2**63 - 1),
    st.integers(0, 2**64 - 1),
    st.binary(max_size=300),
    st.binary(max_size=9),
)
rows = st.lists(
    st.tuples(
        *(
            st.one_of(
                st.tuples(st.just(INDICATOR_NONE), one),
                st.tuples(st.integers(1, INDICATOR_IGNORE), st.none()),
            )
            for one in VALUES
        )
    ),
    min_size=1,
    max_size=4,
)


def _payload(sent: list[tuple[Cell, ...]], types: bytes | None) -> bytes:
    parts = [b"\xfa\7\0\0\0", (SEND_TYPES if types is not None else 0).to_bytes(2, "little"), types or b""]
    for row in sent:
        for (indicator, value), kind in zip(row, TYPES, strict=True):
            parts.append(bytes((indicator,)))
            if value is not None:
                parts.append(encode_value(kind & 0xFF, value, bool(kind & UNSIGNED_PARAMETER)))
    return b"".join(parts)


@fast
@given(rows, st.booleans(), st.data())
def test_rows_are_those_that_were_sent(
    sent: list[tuple[Cell, ...]], sends_types: bool, data: st.DataObject
) -> None:
    bulk = parse_bulk(_payload(sent, RAW if sends_types else None), len(TYPES), RAW)
    assert (bulk.types, list(bulk.rows())) == (TYPES, [list(row) for row in sent])
    assert b"\xfa\7\0\0\0" + bulk.tail == _payload(sent, RAW)
    changed = bulk.converted(lambda text: text + b"!")
    for was, now in zip(sent, changed.rows(), strict=True):
        assert now[2][1] == (None if was[2][1] is None else was[2][1] + b"!")  # type: ignore[operator]
        assert [*now[:2], now[3]] == [*was[:2], was[3]]
    cut = bulk.payload[: data.draw(st.integers(0, len(bulk.payload) - 1))]
    try:
        found = list(parse_bulk(cut, len(TYPES), RAW).rows())
    except ClientProtocolError:
        return
    assert found == [list(row) for row in sent[: len(found)]]


@pytest.mark.parametrize(
    ("payload", "count", "known", "number"),
    [
        (b"\xfa\1\0\0\0\x80\0\3\0", 1, None, 1210),  # no rows
        (b"\xfa\1\0\0\0\0\0\0x", 1, None, 1210),  # types were never sent
        (b"\xfa\1\0\0\0\0\0\0x", 2, b"\3\0", 1210),
        (b"\xfa\1\0\0\0\x80\0\3", 1, None, 1835),
        (b"\xfa\1\0\0\0\x80\0\3\0\1", 0, None, 1295),
        (b"\xfa\1\0\0\0\xc0\0\3\0\1", 1, None, 1295),  # generated ids: MariaDB 11.5
    ],
)
def test_what_servers_refuse(payload: bytes, count: int, known: bytes | None, number: int) -> None:
    with pytest.raises(CommandError) as caught:
        parse_bulk(payload, count, known)
    assert caught.value.number == number


def test_an_indicator_that_is_none() -> None:
    with pytest.raises(CommandError):
        list(Bulk(b"\xfa\1\0\0\0\x80\0\3\0\4", b"\3\0", 9).rows())
