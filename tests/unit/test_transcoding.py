"""Client character sets with ASCII bytes inside of characters: quotes stay where the server sees them."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from core.errors import SluiceError
from router.sessions.transcoding import transcode, transcode_statement
from router.sql.dialect import Dialect

CODECS = ("gbk", "big5", "shift_jis", "cp932", "gb18030")


def _is_lead(codec: str, byte: int) -> bool:
    if codec == "big5":
        return 0xA1 <= byte <= 0xF9
    if codec in ("shift_jis", "cp932"):
        return 0x81 <= byte <= 0x9F or 0xE0 <= byte <= 0xFC
    return 0x81 <= byte <= 0xFE


def _quotes(codec: str, text: bytes) -> int:
    """Where the string that begins at 0 ends, as a server's lexer finds it (get_text); in characters of `codec`."""
    at = 1
    while at < len(text):
        if _is_lead(codec, text[at]):
            at += 4 if codec == "gb18030" and text[at + 1 : at + 2].isdigit() else 2
        elif text[at] == 0x5C:
            at += 2
        elif text[at] == 0x27:
            return len(text[:at].decode(codec, "replace"))
        else:
            at += 1
    return -1


def _quotes_in_utf8(text: str) -> int:
    at = 1
    while at < len(text):
        if text[at] == "\\":
            at += 2
        elif text[at] == "'":
            return at
        else:
            at += 1
    return -1


@pytest.mark.parametrize("codec", CODECS)
def test_half_a_character_behind_a_backslash_is_refused(codec: str) -> None:
    lead = b"\xbf" if codec in ("gbk", "big5", "gb18030") else b"\x95"
    text = b"SELECT '\\" + lead + b"\\' OR 1 = 1 -- '"
    with pytest.raises(SluiceError, match="at byte 9"):
        transcode_statement(text, codec, Dialect.DEFAULT)
    # where backslashes escape nothing, the server reads a character too
    assert transcode_statement(text, codec, Dialect.NO_BACKSLASH_ESCAPES) == transcode(text, codec)


@pytest.mark.parametrize("codec", CODECS)
def test_what_clients_escape_is_read(codec: str) -> None:
    for said in ("it's", "a\\b", "\\", "\u8868", "\u8868'\\\u8868", "\u8868\\'"):
        escaped = said.replace("\\", "\\\\").replace("'", "\\'")
        text = f"SELECT '{escaped}'".encode(codec)
        assert transcode_statement(text, codec, Dialect.DEFAULT).decode() == f"SELECT '{escaped}'"


@given(
    st.sampled_from(CODECS),
    st.lists(st.sampled_from([b"\\", b"'", b"a", b"\xbf", b"\x95", b"\x5c", b"0", b"\xe0"])),
)
def test_a_string_ends_where_the_server_ends_it(codec: str, pieces: list[bytes]) -> None:
    text = b"'" + b"".join(pieces) + b"'"
    try:
        found = transcode_statement(text, codec, Dialect.DEFAULT)
    except SluiceError:
        return
    assert _quotes_in_utf8(found.decode()) == _quotes(codec, text)
