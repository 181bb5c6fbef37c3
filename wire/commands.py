"""Commands of a client, but for prepared statements (`wire.statements`) and logins (`wire.login_request`).

Every parser takes the whole payload, command byte included, and raises ClientProtocolError 1835 where it is
malformed. Source: MySQL internals, "Text Protocol" and "Utility Commands".
"""

from __future__ import annotations

from dataclasses import dataclass

from wire.constants import (
    CLIENT_QUERY_ATTRIBUTES,
    COM_QUERY,
    COMMAND_NAMES,
    OPTION_MULTI_STATEMENTS_OFF,
    OPTION_MULTI_STATEMENTS_ON,
)
from wire.errors import ClientProtocolError, CommandError, malformed
from wire.packets import PayloadCursor
from wire.query_attributes import NO_ATTRIBUTES, split_query


@dataclass(frozen=True, slots=True)
class FieldList:
    table: bytes
    wildcard: bytes


def parse_query(payload: bytes, caps: int) -> tuple[bytes, bytes]:
    """The block of query attributes (`wire.query_attributes`), empty for none, and the SQL of a COM_QUERY."""
    return split_query(payload) if caps & CLIENT_QUERY_ATTRIBUTES else (b"", payload[1:])


def build_query(sql: bytes, query_attributes: bool) -> bytes:
    """COM_QUERY for a MySQL connection; `query_attributes` if CLIENT_QUERY_ATTRIBUTES was negotiated on it."""
    return b"\x03" + NO_ATTRIBUTES + sql if query_attributes else b"\x03" + sql


def parse_init_db(payload: bytes) -> str:
    """The database of a COM_INIT_DB."""
    return _name(payload[1:], "COM_INIT_DB")


def parse_field_list(payload: bytes) -> FieldList:
    cursor = PayloadCursor(payload, "COM_FIELD_LIST", 1)
    return FieldList(cursor.nul_bytes(), cursor.rest())


def parse_process_kill(payload: bytes) -> int:
    """The connection id to kill."""
    if len(payload) < 5:
        raise malformed("COM_PROCESS_KILL")
    return int.from_bytes(payload[1:5], "little")


def parse_set_option(payload: bytes) -> bool:
    """Whether COM_SET_OPTION switches multi-statements on (True) or off. CommandError 1047 for other options."""
    if len(payload) < 3:
        raise malformed("COM_SET_OPTION")
    option = int.from_bytes(payload[1:3], "little")
    if option not in (OPTION_MULTI_STATEMENTS_ON, OPTION_MULTI_STATEMENTS_OFF):
        raise CommandError(1047, "08S01", f"Unknown command: COM_SET_OPTION {option}")
    return option == OPTION_MULTI_STATEMENTS_ON


def unknown_command(payload: bytes) -> ClientProtocolError:
    """What to answer to a command that is not served: MySQL's 1047, naming it."""
    if not payload:
        return malformed("empty packet")
    name = COMMAND_NAMES.get(payload[0], f"0x{payload[0]:02x}")
    return CommandError(1047, "08S01", f"Unknown command: {name} is not supported here")


def is_query(payload: bytes) -> bool:
    return payload[:1] == bytes((COM_QUERY,))


def _name(data: bytes, what: str) -> str:
    try:
        return data.decode("utf-8")
    except UnicodeDecodeError:
        raise malformed(f"{what} with a name that is not UTF-8") from None
