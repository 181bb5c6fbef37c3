"""A bound parameter as text of an SQL literal, for plans that must send text where the client bound values.

Invariant: whatever the value, the literal is one token that means that value: nothing in it can end a string.
Quoted strings are safe only in character sets whose multi-byte characters hold no backslash or quote byte: ask
`quotes_safely`, and use `hexadecimal=True` in the others.
"""

from __future__ import annotations

import math
import re
from decimal import Decimal, InvalidOperation

from wire.binary import DATES, FLOATS, INTEGERS, BinaryValue
from wire.constants import (
    TYPE_BLOB,
    TYPE_DATE,
    TYPE_DECIMAL,
    TYPE_GEOMETRY,
    TYPE_LONG_BLOB,
    TYPE_MEDIUM_BLOB,
    TYPE_NEWDATE,
    TYPE_NEWDECIMAL,
    TYPE_TIME,
    TYPE_TINY_BLOB,
    TYPE_VECTOR,
)
from wire.errors import CommandError
from wire.rows import float_text, value_text
from wire.temporal import write_datetime, write_time

_DECIMAL = re.compile(rb"[+-]?(\d+(\.\d*)?|\.\d+)")
_BLOBS = frozenset((TYPE_TINY_BLOB, TYPE_MEDIUM_BLOB, TYPE_LONG_BLOB, TYPE_BLOB, TYPE_GEOMETRY, TYPE_VECTOR))
_NEEDS_ESCAPE = re.compile(rb"[\0\n\r\x1a'\"\\]")
_ESCAPED = {
    b"\0": b"\\0",
    b"\n": b"\\n",
    b"\r": b"\\r",
    b"\x1a": b"\\Z",
    b"'": b"\\'",
    b'"': b'\\"',
    b"\\": b"\\\\",
}
# big5, gbk, gb18030, sjis, cp932 and their collations: a trail byte may be 0x5c; gb18030 may hold 0x30-0x39
_UNSAFE_CHARSETS = frozenset((1, 84, 13, 88, 28, 87, 95, 96, 248, 249, 250))


def quotes_safely(charset: int) -> bool:
    """Whether quoted literals are safe in the character set of that collation id."""
    return charset not in _UNSAFE_CHARSETS


def literal(
    value: BinaryValue, type: int, *, no_backslash_escapes: bool = False, hexadecimal: bool = False
) -> bytes:
    """The literal for a value that was bound with that type (UNSIGNED_PARAMETER is not needed).

    Put a space before it: `LIMIT?` is valid SQL, `LIMIT5` is not.
    Raises CommandError 1367 for what has no literal: NaN, infinity, decimals and times that are none.
    """
    if value is None:
        return b"NULL"
    kind = type & 0xFF
    if kind in INTEGERS and isinstance(value, int):
        return b"%d" % value
    if isinstance(value, float) or kind in FLOATS:
        return float_literal(float(value))
    text = value_text(value)
    if kind in (TYPE_NEWDECIMAL, TYPE_DECIMAL):
        return decimal_literal(text)
    if kind in DATES or kind == TYPE_TIME:
        return time_literal(text, kind)
    if kind in _BLOBS:
        return b"_binary x'" + text.hex().encode() + b"'"
    if hexadecimal:
        return b"x'" + text.hex().encode() + b"'"
    return string_literal(text, no_backslash_escapes=no_backslash_escapes)


def string_literal(text: bytes, *, no_backslash_escapes: bool = False) -> bytes:
    """Quoted with single quotes; escaped with backslashes, or by doubling quotes under NO_BACKSLASH_ESCAPES."""
    if no_backslash_escapes:
        return b"'" + text.replace(b"'", b"''") + b"'"
    if _NEEDS_ESCAPE.search(text) is None:
        return b"'" + text + b"'"
    return b"'" + _NEEDS_ESCAPE.sub(lambda match: _ESCAPED[match[0]], text) + b"'"


def float_literal(value: float) -> bytes:
    """With an exponent always, since without one MySQL reads a decimal."""
    if not math.isfinite(value):
        raise _illegal("double", repr(value).encode())
    text = float_text(value)
    return text if b"e" in text else text + b"e0"


def decimal_literal(text: bytes) -> bytes:
    if _DECIMAL.fullmatch(text):
        return text
    try:  # clients that print Decimal('1E+3')
        number = Decimal(text.decode("ascii"))
        if number.is_finite() and abs(number.adjusted()) <= 81:
            return format(number, "f").encode()
    except (InvalidOperation, UnicodeDecodeError):
        pass
    raise _illegal("decimal", text)


def time_literal(text: bytes, kind: int) -> bytes:
    """Typed (DATE'...', TIMESTAMP'...', TIME'...'), but for dates with zero parts: there a typed literal is an
    error under NO_ZERO_DATE where the bound value is not, so these are plain strings."""
    try:
        if kind == TYPE_TIME:
            write_time(text)
            return b"TIME'" + text + b"'"
        write_datetime(text)
    except ValueError:
        raise _illegal("time", text) from None
    if text[:4] == b"0000" or text[5:7] == b"00" or text[8:10] == b"00":
        return b"'" + text + b"'"
    return (b"DATE'" if kind in (TYPE_DATE, TYPE_NEWDATE) else b"TIMESTAMP'") + text + b"'"


def _illegal(what: str, text: bytes) -> CommandError:
    shown = text[:64].decode("utf-8", "backslashreplace")
    return CommandError(1367, "22007", f"Illegal {what} '{shown}' value found during parsing")
