"""Connection attributes: what a client's driver says of itself at its login.

They are kept as they came, one block of (name, value), but for the process number: in `_pid` alone clients of one
program differ, so that without it their blocks are equal and can be one object.
Bounded as MySQL's `performance_schema_session_connect_attrs_size` has it: of more, what fits is kept, and `_truncated`
says how many bytes were lost.
Source: MySQL's "HandshakeResponse41", "Performance Schema Connection Attribute Tables"; where `_truncated` stands and
the room it takes are a server's.
"""

from __future__ import annotations

from typing import Final

from wire.packets import PayloadCursor, lenenc_bytes

MAX_KEPT_BYTES: Final = 512

_PID: Final = b"_pid"
_MAX_PID: Final = (1 << 32) - 1
_TRUNCATED: Final = b"_truncated"
_ROOM: Final = 18
"""What `_truncated` takes, with a value of six digits."""


def kept(block: bytes) -> tuple[bytes, int]:
    """What to keep of a login's block, and the client's process number (0: not said, or no number). `block` is one that
    `parse_login` has let through."""
    if not block:
        return b"", 0
    size = len(block)
    if size > MAX_KEPT_BYTES:
        limit = MAX_KEPT_BYTES - _ROOM
        block = lenenc_bytes(_TRUNCATED) + lenenc_bytes(b"%d" % (size - limit)) + _whole(block, limit)
    return _without_pid(block)


def described(block: bytes, pid: int) -> list[tuple[str, str]]:
    """Name and value of what was kept, in order."""
    found: list[tuple[str, str]] = []
    cursor = PayloadCursor(block, "connection attributes")
    while cursor.left():
        name, value = cursor.lenenc_bytes(), cursor.lenenc_bytes()
        if pid and name == _PID and not value:
            value, pid = b"%d" % pid, 0
        found.append((name.decode("utf-8", "replace"), value.decode("utf-8", "replace")))
    return found


def _whole(block: bytes, limit: int) -> bytes:
    """The attributes that lie within the first `limit` bytes."""
    cursor = PayloadCursor(block, "connection attributes")
    end = 0
    while True:
        cursor.lenenc_bytes()
        cursor.lenenc_bytes()
        if cursor.at > limit:
            return block[:end]
        end = cursor.at


def _without_pid(block: bytes) -> tuple[bytes, int]:
    cursor = PayloadCursor(block, "connection attributes")
    while cursor.left():
        name = cursor.lenenc_bytes()
        at = cursor.at
        value = cursor.lenenc_bytes()
        if name == _PID:
            number = int(value) if value.isdigit() and len(value) <= 10 else 0
            if 0 < number <= _MAX_PID and value == b"%d" % number:
                return block[:at] + b"\0" + block[cursor.at :], number
            break
    return block, 0
