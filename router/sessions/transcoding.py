"""Text of client character sets that cannot be read as ASCII, in UTF-8.

Invariant: the text in UTF-8 has its quotes where the server sees them in the client's bytes. To the server a backslash
escapes one byte: clients write `\\` before a byte that begins no character of theirs (mysql_real_escape_string does).
Read as characters that byte would take the next one, a backslash that guards a quote, say: such a text is refused.
"""

import re
from typing import Final

from core.errors import SluiceError, fail
from router.sql.dialect import Dialect


def _before_half(lead: bytes, character: bytes) -> re.Pattern[bytes]:
    """Matches as far as no backslash stands before a byte of `lead`."""
    return re.compile(rb"(?:[^\\%b]++|%b|\\[^%b])*+" % (lead, character, lead), re.S)


_SJIS: Final = _before_half(rb"\x81-\x9f\xe0-\xfc", rb"[\x81-\x9f\xe0-\xfc][\x40-\x7e\x80-\xfc]")
_WHOLE: Final = {
    "gbk": _before_half(rb"\x81-\xfe", rb"[\x81-\xfe][\x40-\x7e\x80-\xfe]"),
    "big5": _before_half(rb"\xa1-\xf9", rb"[\xa1-\xf9][\x40-\x7e\xa1-\xfe]"),
    "shift_jis": _SJIS,
    "cp932": _SJIS,
    "gb18030": _before_half(
        rb"\x81-\xfe", rb"[\x81-\xfe](?:[\x40-\x7e\x80-\xfe]|[\x30-\x39][\x81-\xfe][\x30-\x39])"
    ),
}
"""What the servers take for a character (their `ismbchar`), by Python's name of the character set."""


def transcode(text: bytes, codec: str) -> bytes:
    """A value, in UTF-8. `codec` is Python's name. Raises SYNTAX."""
    try:
        return text.decode(codec).encode()
    except UnicodeDecodeError as error:
        raise _invalid(codec, error.start) from None


def transcode_statement(text: bytes, codec: str, dialect: Dialect) -> bytes:
    """As `transcode`, of what a server will look for quotes and escapes in."""
    if b"\\" in text and dialect.backslash_escapes:
        match = _WHOLE[codec].match(text)
        end = match.end() if match is not None else 0
        if text[end : end + 1] == b"\\" and end + 1 < len(text):
            raise _invalid(codec, end + 1)
    return transcode(text, codec)


def _invalid(codec: str, at: int) -> SluiceError:
    return fail("SYNTAX", message=f"the statement is not valid {codec} text at byte {at}")
