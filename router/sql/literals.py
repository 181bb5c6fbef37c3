"""What a literal's text means: the value that a vindex maps.

The text is one literal as `normalise` takes it out. Values follow MySQL: whole numbers are int, decimals Decimal,
numbers with an exponent float; strings are str; hexadecimal, bit and `_binary` literals are bytes.
"""

import re
from decimal import Decimal
from typing import Final

from core.errors import fail
from router.sql.dialect import Dialect

Value = int | Decimal | float | bytes | str | None


class PlainLiteral(bytes):
    """A literal written under NO_BACKSLASH_ESCAPES: a backslash in it stands for itself, whoever reads it."""

    __slots__ = ()


def marked(literal: bytes, dialect: Dialect) -> bytes:
    """A literal of a session with that dialect, as the kind of bytes that `literal_value` reads right."""
    return literal if dialect.backslash_escapes or b"\\" not in literal else PlainLiteral(literal)


_ESCAPES: Final = {
    b"0": b"\0",
    b"'": b"'",
    b'"': b'"',
    b"b": b"\b",
    b"n": b"\n",
    b"r": b"\r",
    b"t": b"\t",
    b"Z": b"\x1a",
    b"%": b"\\%",  # keeps its backslash, as in MySQL, where it is for LIKE
    b"_": b"\\_",
    b"\\": b"\\",
}
_PIECE: Final = {
    True: re.compile(rb"\s*+(?:'((?:[^'\\]|\\.|'')*+)'|\"((?:[^\"\\]|\\.|\"\")*+)\")", re.DOTALL),
    False: re.compile(rb"\s*+(?:'((?:[^']|'')*+)'|\"((?:[^\"]|\"\")*+)\")", re.DOTALL),
}
_INTRODUCER: Final = re.compile(rb"_([A-Za-z0-9]+)\s*")
_CODECS: Final = {
    "utf8mb4": "utf-8",
    "utf8mb3": "utf-8",
    "utf8": "utf-8",
    "ascii": "ascii",
    "latin1": "cp1252",
}


def literal_value(
    token: bytes, charset: str = "utf8mb4", dialect: Dialect = Dialect.DEFAULT
) -> int | Decimal | float | bytes | str | None:
    """The value of a literal's text; `charset` is the client's (character_set_client) and decodes plain strings.

    A string in a character set that is not text to us (`binary`, or one without a codec here) gives its bytes.
    A PlainLiteral needs no `dialect`.
    Raises SluiceError SYNTAX when the text is not one literal.
    """
    if token.isdigit():
        return int(token)
    if isinstance(token, PlainLiteral):
        dialect = Dialect.NO_BACKSLASH_ESCAPES
    first = token[:1]
    if first in (b"'", b'"'):
        return _text(_unquote(token, dialect), charset)
    if first == b"_":
        return _introduced(token, dialect)
    if first in (b"x", b"X", b"b", b"B") and token[1:2] == b"'":
        return _bits(token[2:-1], first in b"xX", token)
    if first in (b"n", b"N") and token[1:2] == b"'":
        return _text(_unquote(token[1:], dialect), "utf8mb4")
    if token[:2] in (b"0x", b"0b"):
        return _bits(token[2:], token[1:2] == b"x", token)
    if token.upper() == b"NULL":
        return None
    try:
        return float(token) if b"e" in token.lower() else Decimal(token.decode("ascii"))
    except (ValueError, ArithmeticError):
        raise _bad(token) from None


def _bad(token: bytes) -> Exception:
    return fail("SYNTAX", message=f"not a literal: {token[:80].decode('utf-8', 'replace')}")


def _unquote(token: bytes, dialect: Dialect) -> bytes:
    escapes = dialect.backslash_escapes
    pieces: list[bytes] = []
    at = 0
    piece = _PIECE[escapes]
    while at < len(token):
        found = piece.match(token, at)
        if found is None:
            raise _bad(token)
        single = found.group(1)
        body = single.replace(b"''", b"'") if single is not None else found.group(2).replace(b'""', b'"')
        if escapes and b"\\" in body:
            body = _unescape(found.group(1), found.group(2))
        pieces.append(body)
        at = found.end()
    return b"".join(pieces)


def _unescape(single: bytes | None, double: bytes | None) -> bytes:
    """Doubled quotes and backslashes are read in one pass: in `\\'''` the first quote belongs to the backslash."""
    raw, quote = (single, b"''") if single is not None else (double or b"", b'""')
    pattern = re.compile(rb"\\(.)|" + quote, re.DOTALL)
    return pattern.sub(
        lambda m: quote[:1] if m.group(1) is None else _ESCAPES.get(m.group(1), m.group(1)), raw
    )


def _text(raw: bytes, charset: str) -> str | bytes:
    codec = _CODECS.get(charset.lower())
    if codec is None:
        return raw
    try:
        return raw.decode(codec)
    except UnicodeDecodeError:
        return raw


def _introduced(token: bytes, dialect: Dialect) -> str | bytes:
    found = _INTRODUCER.match(token)
    if found is None:
        raise _bad(token)
    rest = token[found.end() :]
    charset = found.group(1).decode("ascii")
    if rest[:1] in (b"x", b"X", b"b", b"B"):
        return _text(_bits(rest[2:-1], rest[:1] in b"xX", token), charset)
    return _text(_unquote(rest, dialect), charset)


def _bits(digits: bytes, hexadecimal: bool, token: bytes) -> bytes:
    try:
        if hexadecimal:
            return bytes.fromhex(("0" if len(digits) % 2 else "") + digits.decode("ascii"))
        return int(digits, 2).to_bytes((len(digits) + 7) // 8, "big") if digits else b""
    except ValueError:
        raise _bad(token) from None
