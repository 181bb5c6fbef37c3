"""Text rows: each value length-encoded, NULL is 0xFB. Source: MySQL internals, "Text Resultset Row"."""

from __future__ import annotations

from collections.abc import Sequence

from wire.errors import broken_answer
from wire.packets import lenenc_int

Cell = int | float | str | bytes
Value = Cell | None
"""What a cell can be given as. What is read back is bytes or None; text and numbers are the server's own text."""


def value_text(value: Cell) -> bytes:
    """A value that is not NULL, as the text protocol sends it; floats with the shortest digits that round-trip."""
    if isinstance(value, bytes):
        return value
    if isinstance(value, str):
        return value.encode("utf-8", "surrogateescape")
    if isinstance(value, float):
        return float_text(value)
    return b"%d" % value


def float_text(value: float) -> bytes:
    """A double as MySQL prints it: no ".0", and "1e20" where Python says "1e+20"."""
    text = repr(value)
    if text.endswith(".0"):
        text = text[:-2]
    return text.replace("e+", "e").replace("e-0", "e-").encode()


def text_row(values: Sequence[Value]) -> bytes:
    """The payload of one row."""
    parts: list[bytes] = []
    for value in values:
        if value is None:
            parts.append(b"\xfb")
        else:
            data = value if type(value) is bytes else value_text(value)
            size = len(data)
            parts.append(bytes((size,)) if size < 251 else lenenc_int(size))
            parts.append(data)
    return b"".join(parts)


def split_text_row(payload: bytes, column_count: int) -> list[bytes | None]:
    """The values of one text row. Raises ServerProtocolError unless there are exactly `column_count`."""
    values: list[bytes | None] = []
    at = 0
    try:
        for _ in range(column_count):
            size = payload[at]
            at += 1
            if size == 0xFB:
                values.append(None)
                continue
            if size > 250:
                width = {0xFC: 2, 0xFD: 3, 0xFE: 8}[size]
                size = int.from_bytes(payload[at : at + width], "little")
                at += width
            end = at + size
            values.append(payload[at:end])
            at = end
    except (IndexError, KeyError):
        raise broken_answer("text row") from None
    if at != len(payload):
        raise broken_answer("text row")
    return values
