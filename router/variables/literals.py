"""Values as SQL literals that mean the same under every sql_mode and client character set, and back.

Invariant: a literal that this file makes is ASCII and has no backslash: sql_mode and character sets may change between
the moment a value is stored and the statement it stands in.
"""

from decimal import Decimal
from typing import Final

from router.sql.dialect import Dialect
from router.sql.literals import literal_value
from router.variables.charsets import result_codec
from wire.columns import Column
from wire.constants import (
    CHARSET_BINARY,
    TYPE_DECIMAL,
    TYPE_DOUBLE,
    TYPE_FLOAT,
    TYPE_INT24,
    TYPE_LONG,
    TYPE_LONGLONG,
    TYPE_NEWDECIMAL,
    TYPE_NULL,
    TYPE_SHORT,
    TYPE_TINY,
    TYPE_YEAR,
)
from wire.literals import float_literal

Value = int | float | Decimal | str | bytes | None

_WHOLE: Final = frozenset((TYPE_TINY, TYPE_SHORT, TYPE_INT24, TYPE_LONG, TYPE_LONGLONG, TYPE_YEAR))
_DECIMALS: Final = frozenset((TYPE_DECIMAL, TYPE_NEWDECIMAL))
_DOUBLES: Final = frozenset((TYPE_FLOAT, TYPE_DOUBLE))
_TIMES: Final = frozenset((7, 10, 11, 12, 14))
NULL: Final = b"NULL"


def text_literal(text: bytes, charset: str = "utf8mb4") -> bytes:
    """A string of `charset`: in hexadecimal with an introducer where it is not plain ASCII or has a backslash."""
    if charset == "binary" or b"\\" in text or not text.isascii():
        return b"_" + charset.encode() + b" x'" + text.hex().encode() + b"'"
    return b"'" + text.replace(b"'", b"''") + b"'"


def value_literal(value: Value, charset: str = "utf8mb4") -> bytes:
    """The literal of a value; text is given in UTF-8."""
    if value is None:
        return NULL
    if isinstance(value, str):
        return text_literal(value.encode("utf-8", "surrogateescape"), charset)
    if isinstance(value, bytes):
        return b"_binary x'" + value.hex().encode() + b"'"
    if isinstance(value, float):
        return float_literal(value)
    return str(value).encode()


def parsed(literal: bytes) -> Value:
    """The value of a literal that this file made."""
    if literal.upper() == NULL:
        return None
    if literal[:1] == b"-":
        value = literal_value(literal[1:])
        return -value if isinstance(value, (int, float, Decimal)) else None
    value = literal_value(literal, dialect=Dialect.NO_BACKSLASH_ESCAPES)
    if isinstance(value, bytes) and literal[:1] == b"_" and literal[:7] != b"_binary":
        charset = literal[1:].split(b"'", 1)[0].decode("ascii").strip(" xX")
        return value.decode(result_codec(charset), "replace")
    return value


def cell_literal(column: Column, cell: bytes | None) -> bytes:
    """A cell of a text result in utf8mb4 as the literal of its value and type."""
    if cell is None or column.type == TYPE_NULL:
        return NULL
    if column.type in _WHOLE or column.type in _DECIMALS:
        return cell
    if column.type in _DOUBLES:
        return float_literal(float(cell))
    if column.charset == CHARSET_BINARY and column.type not in _TIMES:
        return b"_binary x'" + cell.hex().encode() + b"'"
    return text_literal(cell)
