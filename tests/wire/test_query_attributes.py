"""Query attributes: read from a client's packet, put into another, and what a MySQL reads there."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import fast
from tests.wire.test_binary import cell
from wire.commands import parse_query
from wire.constants import (
    CLIENT_QUERY_ATTRIBUTES,
    TYPE_BOOL,
    TYPE_DATETIME,
    TYPE_DOUBLE,
    TYPE_INT24,
    TYPE_LONG,
    TYPE_LONGLONG,
    TYPE_NEWDECIMAL,
    TYPE_NULL,
    TYPE_STRING,
    TYPE_TIME,
    TYPE_VAR_STRING,
    TYPE_YEAR,
    UNSIGNED_PARAMETER,
)
from wire.errors import ClientProtocolError, CommandError
from wire.packets import lenenc_bytes
from wire.query_attributes import (
    Attribute,
    build_block,
    converted,
    named_types,
    parse_block,
    types_end,
    unnamed,
    with_attributes,
)
from wire.statements import build_execute, parse_execute

CAPS = CLIENT_QUERY_ATTRIBUTES


def _sized(type_: int, low: int, high: int) -> st.SearchStrategy[tuple[int, bytes | None]]:
    return st.binary(min_size=low, max_size=high).map(lambda value: (type_, value))


_values = st.one_of(
    st.sampled_from((TYPE_STRING, TYPE_NULL, TYPE_LONG)).map(lambda type_: (type_, None)),
    st.binary(max_size=300).map(lambda text: (TYPE_VAR_STRING, lenenc_bytes(text))),
    st.binary(max_size=20).map(lambda text: (TYPE_NEWDECIMAL, lenenc_bytes(text))),
    _sized(TYPE_LONG, 4, 4),
    _sized(TYPE_LONGLONG | UNSIGNED_PARAMETER, 8, 8),
    _sized(TYPE_DOUBLE, 8, 8),
    st.sampled_from((0, 4, 7, 11)).map(lambda size: (TYPE_DATETIME, bytes((size,)) + bytes(size))),
    st.sampled_from((0, 8, 12)).map(lambda size: (TYPE_TIME, bytes((size,)) + bytes(size))),
)
attributes = st.lists(
    st.tuples(_values, st.binary(max_size=20)).map(lambda one: (one[0][0], one[1], one[0][1])), max_size=20
)


def settled(found: list[Attribute]) -> list[Attribute]:
    """NULL has one type."""
    return [
        (TYPE_STRING, name, None) if type_ == TYPE_NULL else (type_, name, value)
        for type_, name, value in found
    ]


@fast
@given(attributes, st.binary(max_size=40))
def test_a_query_keeps_its_attributes_and_its_text(found: list[Attribute], sql: bytes) -> None:
    block = build_block(found)
    assert parse_block(block) == settled(found)
    assert parse_query(b"\x03" + (block or b"\x00\x01") + sql, CAPS) == (block, sql)
    assert converted(block, lambda text: text) == block


@fast
@given(st.lists(cell(), max_size=20), attributes, st.booleans())
def test_an_execution_takes_them_along(cells: list, found: list[Attribute], again: bool) -> None:  # type: ignore[type-arg]
    types = [c.type | (UNSIGNED_PARAMETER if c.unsigned else 0) for c, _ in cells]
    values = [value for _, value in cells]
    plain = build_execute(5, types, values, False)
    named = build_execute(5, types, values, True)
    params, count = plain[5:], len(cells)
    if count:
        end = types_end(count)
        assert named_types(params[:end], count) + params[end:] == named[5:]
    block = build_block(found)
    payload = b"\x17\x05\0\0\0" + with_attributes(params, count, block)
    execute = parse_execute(payload, count, caps=CAPS)
    assert (list(execute.types), execute.values()) == (types, values)
    assert execute.attributes == block
    if again:
        assert parse_block(execute.attributes) == settled(found)


@fast
@given(st.lists(cell(), min_size=1, max_size=20), attributes.filter(bool))
def test_an_execution_without_names(cells: list, found: list[Attribute]) -> None:  # type: ignore[type-arg]
    types = [c.type | (UNSIGNED_PARAMETER if c.unsigned else 0) for c, _ in cells]
    values = [value for _, value in cells]
    plain = build_execute(5, types, values, False)
    named = build_execute(5, types, values, True)
    flagged = named[:5] + b"\x08" + named[6:]
    count = len(cells)
    assert unnamed(named, count) == unnamed(flagged, count) == plain
    bound = 10 + (count + 7) // 8
    known = plain[:bound] + b"\0" + plain[bound + 1 + 2 * count :]
    assert unnamed(named[: bound + 1] + b"\0" + named[bound + 2 + 3 * count :], count) == known
    # an execution of another count, with attributes, with a cursor, cut off
    assert unnamed(flagged, count + 1) is None
    assert unnamed(b"\x17\x05\0\0\0" + with_attributes(plain[5:], count, build_block(found)), count) is None
    assert unnamed(named[:5] + b"\x01" + named[6:], count) is None
    for size in range(bound + 2 + 3 * count):
        assert unnamed(named[:size], count) is None


def test_as_mysql_reads_them() -> None:
    """Asked of MySQL 9.7, byte for byte."""
    sql = b"SELECT 1"
    for kind in (TYPE_YEAR, TYPE_INT24, 99):  # strings with their length, whose value is NULL
        sent = b"\x03\x01\x01\0\x01" + bytes((kind, 0)) + b"\x01n" + lenenc_bytes(b"SELECT 2 -- ") + sql
        block, text = parse_query(sent, CAPS)
        assert (parse_block(block), text) == ([(TYPE_STRING, b"n", None)], sql)
    odd = b"\x03\x01\x01\0\x02\xfe\0\xfc\x01\0n\xfc\x02\0hi" + sql  # lengths longer than need be; a flag of 2
    assert parse_query(odd, CAPS) == (b"\x01\x01\0\x01\xfe\0\x01n\x02hi", sql)
    for wrong in (
        b"\x01\x02\0\x01\xfe\0\x01n\x01x",  # two sets
        b"\x01\x01\0\x01\x0c\0\x01n\x03\0\0\0",  # a date of three bytes
        b"\x01\x01\0\x01" + bytes((TYPE_BOOL, 0)) + b"\x01n\x01",
        b"\x01\x01\0\x01\xfe\0\x01n\x7f",  # cut
        b"\xfd\xff\xff\xff\x01\0\x01",  # more than there can be
    ):
        with pytest.raises(ClientProtocolError) as refused:
            parse_query(b"\x03" + wrong + sql, CAPS)
        assert refused.value.number == 1835


def test_types_of_attributes_are_sent_each_time() -> None:
    with pytest.raises(CommandError) as refused:
        parse_query(b"\x03\x01\x01\0\x00\x01xSELECT 1", CAPS)
    assert refused.value.number == 1835
    # one parameter with a known type, one attribute without
    payload = b"\x17\x05\0\0\0\x08\1\0\0\0\x02\0\x00\x07\0\0\0\x02id"
    with pytest.raises(CommandError) as refused:
        parse_execute(payload, 1, (TYPE_LONG,), caps=CAPS)
    assert refused.value.number == 1835
    # a parameter of known type and no attribute
    payload = b"\x17\x05\0\0\0\x08\1\0\0\0\x01\0\x00\x07\0\0\0"
    assert parse_execute(payload, 1, (TYPE_LONG,), caps=CAPS).values() == [7]


def test_names_and_texts_are_converted() -> None:
    found: list[Attribute] = [
        (TYPE_STRING, b"a", lenenc_bytes(b"x")),
        (TYPE_LONG, b"b", b"aaaa"),
        (TYPE_STRING, b"c", None),
    ]
    assert parse_block(converted(build_block(found), lambda text: text * 200)) == [
        (TYPE_STRING, b"a" * 200, lenenc_bytes(b"x" * 200)),
        (TYPE_LONG, b"b" * 200, b"aaaa"),
        (TYPE_STRING, b"c" * 200, None),
    ]
