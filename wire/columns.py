"""Column definitions (protocol 4.1): what a result set says about its columns.

Names stay bytes, in the character set of the connection's results, so that a definition which passes through is
the same to the byte. Source: MySQL internals, "Protocol::ColumnDefinition41".

A definition has one of two forms: the extended one, of connections with MARIADB_CLIENT_EXTENDED_METADATA, has a string
more. Which it is shows in the packet itself: what comes behind the names is the fixed part alone, or more. (A server's
answers to COM_FIELD_LIST, which no tablet asks, have default values there too.)
"""

from __future__ import annotations

from dataclasses import dataclass
from struct import Struct

from wire.constants import CHARSET_BINARY, CHARSET_UTF8MB4, NOT_FIXED_DECIMALS, TYPE_VAR_STRING, UNSIGNED_FLAG
from wire.errors import broken_answer
from wire.packets import PayloadCursor, lenenc_bytes, read_lenenc_int

_FIXED = Struct("<HIBHBxx")
_FIXED_BYTES = 13
"""Of the fixed part, with the byte that says its length."""
_NAMES = 6


@dataclass(frozen=True, slots=True)
class Column:
    """`name` is the alias shown, `org_name` the column's own; `length` in bytes; `decimals` 31 is "not fixed".

    `charset` is a collation id; `type` and `flags` are constants of `wire.constants`.
    """

    name: bytes
    type: int = TYPE_VAR_STRING
    charset: int = CHARSET_UTF8MB4
    length: int = 1024
    flags: int = 0
    decimals: int = NOT_FIXED_DECIMALS
    schema: bytes = b""
    table: bytes = b""
    org_table: bytes = b""
    org_name: bytes = b""
    extended: bytes | None = None
    """MariaDB's extended metadata, as they came; None: the definition has the other form."""

    @property
    def unsigned(self) -> bool:
        return bool(self.flags & UNSIGNED_FLAG)

    def encode(self) -> bytes:
        """The payload of the column definition packet."""
        parts = [
            b"\x03def",
            lenenc_bytes(self.schema),
            lenenc_bytes(self.table),
            lenenc_bytes(self.org_table),
            lenenc_bytes(self.name),
            lenenc_bytes(self.org_name),
        ]
        if self.extended is not None:
            parts.append(lenenc_bytes(self.extended))
        parts += [b"\x0c", _FIXED.pack(self.charset, self.length, self.type, self.flags, self.decimals)]
        return b"".join(parts)


def text_column(name: str, length_chars: int = 256) -> Column:
    """A string column as SHOW gives it."""
    return Column(name.encode(), TYPE_VAR_STRING, CHARSET_UTF8MB4, length_chars * 4)


def number_column(name: str, type: int, flags: int = 0, length: int = 21, decimals: int = 0) -> Column:
    """A numeric column; numbers carry the binary collation."""
    return Column(name.encode(), type, CHARSET_BINARY, length, flags, decimals)


def parse_column(payload: bytes) -> Column:
    """Parses a column definition packet, in either form. Raises ServerProtocolError."""
    cursor = PayloadCursor(payload, "column definition", 0, broken_answer)
    cursor.lenenc_bytes()  # catalog, always "def"
    schema = cursor.lenenc_bytes()
    table = cursor.lenenc_bytes()
    org_table = cursor.lenenc_bytes()
    name = cursor.lenenc_bytes()
    org_name = cursor.lenenc_bytes()
    extended = cursor.lenenc_bytes() if cursor.left() > _FIXED_BYTES else None
    if cursor.lenenc_int() < 12:
        raise broken_answer("column definition")
    charset, length, type_, flags, decimals = _FIXED.unpack(cursor.take(12))
    return Column(name, type_, charset, length, flags, decimals, schema, table, org_table, org_name, extended)


def in_form(definition: bytes, extended: bool) -> bytes:
    """The payload of a column definition in the extended form or the other, whatever it has; what its server did not
    say of it is empty. Raises ServerProtocolError."""
    at = 0
    try:
        for _ in range(_NAMES):
            size = definition[at]
            if size < 0xFB:
                at += 1 + size
            else:
                size, at = read_lenenc_int(definition, at)
                at += size
    except (IndexError, ValueError):
        raise broken_answer("column definition") from None
    left = len(definition) - at
    if left < _FIXED_BYTES:
        raise broken_answer("column definition")
    if (left > _FIXED_BYTES) == extended:
        return definition
    if extended:
        return definition[:at] + b"\0" + definition[at:]
    return definition[:at] + definition[-_FIXED_BYTES:]
