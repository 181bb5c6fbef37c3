"""COM_STMT_BULK_EXECUTE of MariaDB: one prepared statement with many rows of parameters.

    0xFA, statement id (4), flags (2), types (2 each) with SEND_TYPES, then to the packet's end, for each row and
    parameter, an indicator (1) and, behind INDICATOR_NONE, the value as COM_STMT_EXECUTE has it

Source: MariaDB's documentation, "COM_STMT_BULK_EXECUTE"; what is an error, and which, is MariaDB 10.11's.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from struct import Struct
from struct import error as StructError
from typing import Final

from wire.binary import BinaryValue, decoder, encode_value
from wire.constants import (
    COM_STMT_BULK_EXECUTE,
    TYPE_STRING,
    TYPE_VAR_STRING,
    TYPE_VARCHAR,
    UNSIGNED_PARAMETER,
)
from wire.errors import CommandError, malformed

SEND_TYPES: Final = 128
INDICATOR_NONE: Final = 0
INDICATOR_NULL: Final = 1
INDICATOR_DEFAULT: Final = 2
INDICATOR_IGNORE: Final = 3

_head = Struct("<BIH")
_TEXTS: Final = frozenset((TYPE_VARCHAR, TYPE_VAR_STRING, TYPE_STRING))
COMMAND: Final = bytes((COM_STMT_BULK_EXECUTE,))

Cell = tuple[int, BinaryValue]
"""An indicator, and the value behind INDICATOR_NONE."""


@dataclass(frozen=True, slots=True)
class Bulk:
    """A COM_STMT_BULK_EXECUTE. `types_raw`: the types as they came, or those of an execution before."""

    payload: bytes
    types_raw: bytes
    rows_at: int

    @property
    def types(self) -> tuple[int, ...]:
        raw = self.types_raw
        return tuple(raw[at] | raw[at + 1] << 8 for at in range(0, len(raw), 2))

    @property
    def tail(self) -> bytes:
        """What follows the statement's id in a command that brings its types."""
        return SEND_TYPES.to_bytes(2, "little") + self.types_raw + self.payload[self.rows_at :]

    def rows(self) -> Iterator[list[Cell]]:
        """The rows. Raises CommandError 1210 where they do not parse."""
        payload, at, end = self.payload, self.rows_at, len(self.payload)
        decoders = [decoder(kind & 0xFF, bool(kind & UNSIGNED_PARAMETER)) for kind in self.types]
        try:
            while at < end:
                row: list[Cell] = []
                for decode in decoders:
                    indicator = payload[at]
                    at += 1
                    value: BinaryValue = None
                    if indicator == INDICATOR_NONE:
                        value, at = decode(payload, at)
                    elif indicator > INDICATOR_IGNORE:
                        raise _wrong()
                    row.append((indicator, value))
                if at > end:
                    raise _wrong()
                yield row
        except (IndexError, ValueError, StructError):
            raise _wrong() from None

    def converted(self, convert: Callable[[bytes], bytes]) -> Bulk:
        """The same with its texts (not its blobs) as `convert` has them. Raises CommandError 1210."""
        return self.of_rows(self.rows_converted(convert))

    def of_rows(self, rows: Iterable[bytes]) -> Bulk:
        """The same with other rows."""
        return Bulk(b"".join((self.payload[: self.rows_at], *rows)), self.types_raw, self.rows_at)

    def rows_converted(self, convert: Callable[[bytes], bytes]) -> Iterator[bytes]:
        """Row by row, what `converted` makes of them."""
        for row in self.rows():
            parts: list[bytes] = []
            for (indicator, value), kind in zip(row, self.types, strict=True):
                parts.append(bytes((indicator,)))
                if indicator == INDICATOR_NONE and value is not None:
                    if kind & 0xFF in _TEXTS and isinstance(value, bytes):
                        value = convert(value)
                    parts.append(encode_value(kind & 0xFF, value, bool(kind & UNSIGNED_PARAMETER)))
            yield b"".join(parts)


def parse_bulk(payload: bytes, parameter_count: int, known_types: bytes | None) -> Bulk:
    """Parses the command, not its rows. `known_types`: those of the statement's last execution, for a client that does
    not send them again. CommandError 1295 for what a server does not support, 1835 and 1210 where types or rows are
    missing."""
    if len(payload) < _head.size:
        raise malformed("COM_STMT_BULK_EXECUTE")
    flags: int = _head.unpack_from(payload)[2]
    if not parameter_count or flags & ~SEND_TYPES:
        raise unsupported()
    at = _head.size
    types = known_types
    if flags & SEND_TYPES:
        types = payload[at : at + 2 * parameter_count]
        at += 2 * parameter_count
        if at > len(payload):
            raise CommandError(1835, "HY000", "Malformed communication packet")
    if types is None or len(types) != 2 * parameter_count or at >= len(payload):
        raise _wrong()
    return Bulk(payload, types, at)


def unsupported() -> CommandError:
    """What servers say of a statement that cannot have rows of parameters."""
    return CommandError(1295, "HY000", "This command is not supported in the prepared statement protocol yet")


def _wrong() -> CommandError:
    return CommandError(1210, "HY000", "Incorrect arguments to mysqld_stmt_bulk_execute")
