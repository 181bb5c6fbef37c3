import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import fast
from tests.wire.test_binary import cell
from wire.columns import Column
from wire.commands import (
    FieldList,
    build_query,
    parse_field_list,
    parse_init_db,
    parse_process_kill,
    parse_query,
    parse_set_option,
    unknown_command,
)
from wire.constants import (
    CLIENT_QUERY_ATTRIBUTES,
    PARAMETER_COUNT_AVAILABLE,
    TYPE_BLOB,
    TYPE_LONG,
    TYPE_LONG_BLOB,
    TYPE_LONGLONG,
    TYPE_VAR_STRING,
    UNSIGNED_PARAMETER,
)
from wire.errors import ClientProtocolError, CommandError
from wire.packets import lenenc_bytes
from wire.parameters import value_slices
from wire.query_attributes import parse_block
from wire.statements import (
    Fetch,
    LongData,
    build_close,
    build_execute,
    build_prepare,
    build_reset,
    parse_execute,
    parse_fetch,
    parse_long_data,
    parse_prepare,
    rebuild_execute,
    statement_id,
)

ATTRIBUTES = CLIENT_QUERY_ATTRIBUTES
Cells = list[tuple[Column, int | float | bytes | None]]


def typed(cells: Cells) -> tuple[list[int], list[int | float | bytes | None]]:
    return [c.type | (UNSIGNED_PARAMETER if c.unsigned else 0) for c, _ in cells], [
        value for _, value in cells
    ]


@fast
@given(st.lists(cell(), max_size=12), st.booleans(), st.booleans())
def test_an_execute_means_the_same_after_rebuilding(
    cells: Cells, client_caps: bool, server_caps: bool
) -> None:
    types, values = typed(cells)
    payload = build_execute(5, types, values, client_caps)
    execute = parse_execute(payload, len(cells), caps=ATTRIBUTES if client_caps else 0)
    assert (execute.statement_id, list(execute.types), execute.values()) == (5, types, values)
    rebuilt = rebuild_execute(execute, 77, server_caps)
    again = parse_execute(rebuilt, len(cells), caps=ATTRIBUTES if server_caps else 0)
    assert (again.statement_id, list(again.types), again.values()) == (77, types, values)
    assert rebuilt == build_execute(77, types, values, server_caps)
    slices, end = value_slices(payload, execute.values_at, execute.types, execute.nulls)
    assert end == len(payload)
    assert [place is None for place in slices] == [value is None for value in values]


@fast
@given(st.lists(cell(), min_size=1, max_size=12), st.booleans())
def test_types_are_remembered(cells: Cells, server_caps: bool) -> None:
    types, values = typed(cells)
    bound = build_execute(5, types, values, False)
    first = parse_execute(bound, len(cells))
    # the same without types, as libmysql sends it from the second time on
    at = 10 + (len(cells) + 7) // 8
    unbound = bound[:at] + b"\0" + bound[first.values_at :]
    execute = parse_execute(unbound, len(cells), first.types)
    assert execute.values() == values
    assert rebuild_execute(execute, 6, server_caps) == build_execute(6, types, values, server_caps)
    if any(value is not None for value in values):
        with pytest.raises(CommandError) as caught:
            parse_execute(unbound, len(cells))
        assert caught.value.number == 1210
    else:
        assert parse_execute(unbound, len(cells)).values() == values


@pytest.mark.parametrize("server_caps", [False, True])
def test_long_data_takes_its_place(server_caps: bool) -> None:
    # three parameters, the second and the third sent as long data; the third's NULL bit is set by some clients
    payload = b"\x17\x05\0\0\0\0\1\0\0\0\x04\x01" + b"\x03\0\xfc\0\x08\0" + b"\x07\0\0\0"
    long_data = {1: b"part one, part two", 2: b"12", 9: b"for no parameter"}
    execute = parse_execute(payload, 3, None, long_data)
    assert execute.values() == [7, b"part one, part two", b"12"]
    again = parse_execute(rebuild_execute(execute, 6, server_caps), 3, caps=ATTRIBUTES if server_caps else 0)
    assert again.values() == [7, b"part one, part two", b"12"]
    assert again.types == (TYPE_LONG, TYPE_BLOB, TYPE_LONG_BLOB)


def test_query_attributes_of_an_execute() -> None:
    # one placeholder, one attribute
    payload = (
        b"\x17\x05\0\0\0\x08\1\0\0\0\x02\0\x01\x03\0\0\xfd\0" + lenenc_bytes(b"trace") + b"\x07\0\0\0\x02id"
    )
    execute = parse_execute(payload, 1, caps=ATTRIBUTES)
    assert execute.flags == PARAMETER_COUNT_AVAILABLE
    assert not execute.wants_cursor
    assert execute.values() == [7]
    assert parse_block(execute.attributes) == [(TYPE_VAR_STRING, b"trace", b"\x02id")]
    assert rebuild_execute(execute, 6, False) == build_execute(6, [TYPE_LONG], [7], False)


def test_an_execute_without_parameters() -> None:
    payload = build_execute(5, [], [], True)
    assert payload == b"\x17\x05\0\0\0\0\1\0\0\0"
    execute = parse_execute(payload, 0, caps=ATTRIBUTES)
    assert execute.values() == []
    assert rebuild_execute(execute, 9, True) == b"\x17\x09\0\0\0\0\1\0\0\0"
    none_given = parse_execute(b"\x17\x05\0\0\0\x08\1\0\0\0\x00", 0, caps=ATTRIBUTES)
    assert (none_given.values(), none_given.attributes) == ([], b"")
    assert parse_execute(b"\x17\x05\0\0\0\x01\1\0\0\0", 0).wants_cursor


def test_parameter_values_as_the_manual_has_them() -> None:
    payload = bytes.fromhex("17010000000001000000000 10f0003666f6f".replace(" ", ""))
    execute = parse_execute(payload, 1)
    assert execute.values() == [b"foo"]


@fast
@given(st.binary(max_size=60), st.integers(0, 9), st.booleans())
def test_noise_raises_typed_errors_only(noise: bytes, count: int, caps: bool) -> None:
    flags = ATTRIBUTES if caps else 0
    for head in (b"", b"\x17\x05\0\0\0\0\1\0\0\0"):
        try:
            execute = parse_execute(head + noise, count, (TYPE_LONGLONG,) * count, caps=flags)
            execute.values()
            parse_block(execute.attributes)
            rebuild_execute(execute, 1, not caps)
        except ClientProtocolError as error:
            assert error.number in (1210, 1835)  # noqa: PT017
    for parse in (
        parse_long_data,
        parse_fetch,
        parse_process_kill,
        parse_set_option,
        parse_field_list,
        parse_init_db,
    ):
        try:
            parse(noise)
        except ClientProtocolError as error:
            assert error.number in (1047, 1835)  # noqa: PT017
    try:
        parse_query(b"\x03" + noise, flags)
    except ClientProtocolError as error:
        assert error.number == 1835  # noqa: PT017


def test_queries() -> None:
    assert parse_query(b"\x03select 1", 0) == (b"", b"select 1")
    assert parse_query(b"\x03\x00\x01select 1", ATTRIBUTES) == (b"", b"select 1")
    with_attribute = (
        b"\x03\x01\x01\x00\x01\xfd\0" + lenenc_bytes(b"trace") + lenenc_bytes(b"id 1") + b"select 1"
    )
    block, sql = parse_query(with_attribute, ATTRIBUTES)
    assert (parse_block(block), sql) == ([(TYPE_VAR_STRING, b"trace", b"\x04id 1")], b"select 1")
    for caps in (False, True):
        assert parse_query(build_query(b"select 2", caps), ATTRIBUTES if caps else 0) == (b"", b"select 2")
    with pytest.raises(ClientProtocolError):
        parse_query(b"\x03\x00\x02select 1", ATTRIBUTES)


def test_the_other_commands() -> None:
    assert parse_init_db(b"\x02commerce:-80") == "commerce:-80"
    assert parse_field_list(b"\x04orders\0a%") == FieldList(b"orders", b"a%")
    assert parse_process_kill(b"\x0c\x07\0\0\0") == 7
    assert parse_set_option(b"\x1b\0\0") is True
    assert parse_set_option(b"\x1b\1\0") is False
    with pytest.raises(CommandError):
        parse_set_option(b"\x1b\2\0")
    assert parse_prepare(build_prepare(b"select ?")) == b"select ?"
    assert statement_id(build_close(9)) == statement_id(build_reset(9)) == 9
    assert parse_long_data(b"\x18\x09\0\0\0\x01\0data") == LongData(9, 1, b"data")
    assert parse_fetch(b"\x1c\x09\0\0\0\x64\0\0\0") == Fetch(9, 100)
    assert "COM_BINLOG_DUMP" in unknown_command(b"\x12").text
    assert unknown_command(b"\x99").number == 1047
    assert unknown_command(b"").number == 1835
