"""Whole answers built from values: result sets and the answer to COM_STMT_PREPARE, in both EOF flavours.

For small sets that a process makes itself (SHOW, variables, merged aggregates); rows from MySQL pass through
unbuilt. Column definitions have the form that the client's `caps` ask for.
Every function returns packets ready to send, numbered from `sequence`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from wire.answers import end_of_rows, eof_packet
from wire.binary import BinaryRowCodec
from wire.columns import Column, in_form, text_column
from wire.constants import CLIENT_DEPRECATE_EOF, MARIADB_CLIENT_EXTENDED_METADATA, SERVER_STATUS_AUTOCOMMIT
from wire.packets import frame, lenenc_int, packet_count
from wire.rows import Value, text_row


def column_packets(columns: Sequence[Column], caps: int, status: int, sequence: int = 1) -> tuple[bytes, int]:
    """Column count, definitions and (unless DEPRECATE_EOF) their EOF, and the sequence id of what follows."""
    parts = [frame(lenenc_int(len(columns)), sequence)]
    sequence = (sequence + 1) & 0xFF
    for column in columns:
        parts.append(frame(_definition(column, caps), sequence))
        sequence = (sequence + 1) & 0xFF
    if not caps & CLIENT_DEPRECATE_EOF:
        parts.append(eof_packet(sequence, status))
        sequence = (sequence + 1) & 0xFF
    return b"".join(parts), sequence


def row_packets(payloads: Iterable[bytes], sequence: int) -> tuple[bytes, int]:
    """Rows framed one after another, and the sequence id of what follows."""
    parts: list[bytes] = []
    for payload in payloads:
        parts.append(frame(payload, sequence))
        sequence = (sequence + packet_count(len(payload))) & 0xFF
    return b"".join(parts), sequence


def text_result(
    columns: Sequence[Column | str],
    rows: Iterable[Sequence[Value]],
    caps: int,
    status: int = SERVER_STATUS_AUTOCOMMIT,
    sequence: int = 1,
    warnings: int = 0,
) -> bytes:
    """A result set as COM_QUERY is answered; a column given as str is a string column of that name."""
    return _result(_columns(columns), map(text_row, rows), caps, status, sequence, warnings)


def binary_result(
    columns: Sequence[Column | str],
    rows: Iterable[Sequence[Value]],
    caps: int,
    status: int = SERVER_STATUS_AUTOCOMMIT,
    sequence: int = 1,
    warnings: int = 0,
) -> bytes:
    """A result set as COM_STMT_EXECUTE is answered; values are converted to the columns' types."""
    definitions = _columns(columns)
    encode: Callable[[Sequence[Value]], bytes] = BinaryRowCodec(definitions).encode
    return _result(definitions, map(encode, rows), caps, status, sequence, warnings)


def prepare_result(
    statement_id: int,
    parameters: Sequence[Column],
    columns: Sequence[Column],
    caps: int,
    status: int = SERVER_STATUS_AUTOCOMMIT,
    sequence: int = 1,
    warnings: int = 0,
) -> bytes:
    """The answer to COM_STMT_PREPARE."""
    head = (
        b"\0"
        + statement_id.to_bytes(4, "little")
        + len(columns).to_bytes(2, "little")
        + len(parameters).to_bytes(2, "little")
        + b"\0"
        + min(warnings, 0xFFFF).to_bytes(2, "little")
    )
    parts = [frame(head, sequence)]
    sequence = (sequence + 1) & 0xFF
    for definitions in (parameters, columns):
        for column in definitions:
            parts.append(frame(_definition(column, caps), sequence))
            sequence = (sequence + 1) & 0xFF
        if definitions and not caps & CLIENT_DEPRECATE_EOF:
            parts.append(eof_packet(sequence, status))
            sequence = (sequence + 1) & 0xFF
    return b"".join(parts)


def field_list_result(columns: Sequence[Column], caps: int, status: int, sequence: int = 1) -> bytes:
    """The answer to COM_FIELD_LIST: definitions with default values, then the end."""
    body, sequence = row_packets((_definition(column, caps) for column in columns), sequence)
    return body + end_of_rows(sequence, status, 0, caps)


def _result(
    columns: Sequence[Column],
    payloads: Iterable[bytes],
    caps: int,
    status: int,
    sequence: int,
    warnings: int,
) -> bytes:
    head, sequence = column_packets(columns, caps, status, sequence)
    body, sequence = row_packets(payloads, sequence)
    return head + body + end_of_rows(sequence, status, warnings, caps)


def _definition(column: Column, caps: int) -> bytes:
    return in_form(column.encode(), bool(caps & MARIADB_CLIENT_EXTENDED_METADATA))


def _columns(columns: Sequence[Column | str]) -> list[Column]:
    return [text_column(column) if isinstance(column, str) else column for column in columns]
