"""The client's side of a merge: packets numbered from 1, the header once, OFFSET and LIMIT counted, the end.

Invariants: a header is written before any row, and exactly one end (EOF flavour of the client, or ERR) after them;
`full` once LIMIT is reached, after which no row is taken.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

from wire.answers import SessionChanges, end_of_rows, eof_packet, ok_payload
from wire.binary import BinaryRowCodec
from wire.columns import Column, in_form
from wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_SESSION_TRACK,
    EOF_HEADER,
    MAX_PAYLOAD,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_CURSOR_EXISTS,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_IN_TRANS_READONLY,
    SERVER_STATUS_LAST_ROW_SENT,
    SERVER_STATUS_NO_BACKSLASH_ESCAPES,
)
from wire.packets import frame, lenenc_int, packet_count
from wire.rows import split_text_row

Packets = bytes | bytearray

_pack_header = Struct("<I").pack
_SESSION_BITS: Final = (
    SERVER_STATUS_IN_TRANS
    | SERVER_STATUS_IN_TRANS_READONLY
    | SERVER_STATUS_AUTOCOMMIT
    | SERVER_STATUS_NO_BACKSLASH_ESCAPES
)
_NOT_OURS: Final = (
    SERVER_MORE_RESULTS_EXISTS
    | SERVER_STATUS_CURSOR_EXISTS
    | SERVER_STATUS_LAST_ROW_SENT
    | SERVER_SESSION_STATE_CHANGED
)
NO_LIMIT: Final = 1 << 64


@dataclass(frozen=True, slots=True)
class ClientFlavour:
    """How the client wants its packets.

    `extended`: column definitions with MariaDB's extended metadata. `binary`: rows as a prepared statement's.
    `status`: the session's own transaction bits (IN_TRANS, AUTOCOMMIT, ...), which replace the shards'; None keeps
    those of the shard that ended last. `div_precision_increment`: the session's value, which decides the scale of
    AVG. `ended`: asked at the end of the rows for what is told of the session with it.
    """

    deprecate_eof: bool = False
    extended: bool = False
    binary: bool = False
    status: int | None = None
    more_results: bool = False
    div_precision_increment: int = 4
    ended: Callable[[], SessionChanges | None] | None = None

    def merged_status(self, status: int) -> int:
        """The status flags for the client, from those of a shard."""
        status &= ~_NOT_OURS
        if self.status is not None:
            status = (status & ~_SESSION_BITS) | (self.status & _SESSION_BITS)
        return status | SERVER_MORE_RESULTS_EXISTS if self.more_results else status


def to_binary_row(text_row_payload: bytes, columns: Sequence[Column]) -> bytes:
    """The binary row with the values of a text row. For many rows of one result keep a `BinaryRowCodec`.

    Raises ServerProtocolError if the row does not parse, ClientProtocolError if a value does not fit its type.
    """
    return BinaryRowCodec(columns).encode(split_text_row(text_row_payload, len(columns)))


class Output:
    """Rows in, packets out; `take` gives what came together since the last call."""

    __slots__ = (
        "_client",
        "_codec",
        "_columns",
        "_left",
        "_offset",
        "_parts",
        "full",
        "header_sent",
        "rows_sent",
        "sequence",
    )

    def __init__(self, client: ClientFlavour, limit: int | None, offset: int) -> None:
        self._client = client
        self._codec: BinaryRowCodec | None = None
        self._columns = 0
        self._left = NO_LIMIT if limit is None else limit
        self._offset = offset
        self._parts: list[Packets] = []
        self.full = limit == 0
        self.header_sent = False
        self.rows_sent = 0
        self.sequence = 1

    @property
    def passes_packets(self) -> bool:
        """Rows may go through `packets` as they are: nothing is skipped or converted."""
        return not self._offset and self._codec is None

    @property
    def wanted_rows(self) -> int:
        """How many rows may still come, skipped ones included."""
        return self._left + self._offset

    def header(self, columns: Sequence[Column], definitions: Sequence[bytes], status: int) -> None:
        self._columns = len(columns)
        if self._client.binary:
            self._codec = BinaryRowCodec(columns)
        self._packet(lenenc_int(len(columns)))
        for definition in definitions:
            self._packet(in_form(definition, self._client.extended))
        if not self._client.deprecate_eof:
            self._parts.append(eof_packet(self.sequence, self._client.merged_status(status)))
            self.sequence = (self.sequence + 1) & 0xFF
        self.header_sent = True

    def row(self, payload: bytes) -> None:
        """One row, as the text row of exactly the client's columns."""
        if self._offset:
            self._offset -= 1
            return
        if self._left <= 0:
            return
        if self._codec is not None:
            payload = self._codec.encode(split_text_row(payload, self._columns))
        self._packet(payload)
        self._count(1)

    def packets(self, packets: bytearray, sequence: int, rows: int) -> None:
        """Whole packets of `rows` text rows that begin with `self.sequence`; `sequence` follows them."""
        self._parts.append(packets)
        self.sequence = sequence
        self._count(rows)

    def end(self, status: int, warnings: int) -> None:
        client = self._client
        changes = client.ended() if client.ended is not None else None
        status = client.merged_status(status)
        if changes is not None:
            caps = CLIENT_SESSION_TRACK
            payload = ok_payload(0, 0, status, warnings, b"", changes, caps, EOF_HEADER)
            self._parts.append(frame(payload, self.sequence))
            return
        caps = CLIENT_DEPRECATE_EOF if client.deprecate_eof else 0
        self._parts.append(end_of_rows(self.sequence, status, warnings, caps))

    def error(self, payload: bytes) -> None:
        """An ERR packet, in place of everything that is still due."""
        self._packet(payload)

    def take(self) -> list[Packets]:
        parts = self._parts
        if not parts:
            return []
        self._parts = []
        return parts if len(parts) == 1 else [b"".join(parts)]

    def _count(self, rows: int) -> None:
        self.rows_sent += rows
        self._left -= rows
        if self._left <= 0:
            self.full = True

    def _packet(self, payload: bytes) -> None:
        size = len(payload)
        if size < MAX_PAYLOAD:
            self._parts.append(_pack_header(size | self.sequence << 24))
            self._parts.append(payload)
            self.sequence = (self.sequence + 1) & 0xFF
        else:
            self._parts.append(frame(payload, self.sequence))
            self.sequence = (self.sequence + packet_count(size)) & 0xFF
