"""How LOAD DATA reads a file, byte by byte, as MySQL does: the reference for `load_lines`, and its way at a file's end.

A port of `READ_INFO` of MySQL's sql_load.cc for formats with a field and a line terminator. What looks odd is MySQL's:
the rest of a line with too many fields is skipped without regard to quotes, and a quoted field that the file's end
cuts off keeps its quote. Pure.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

_ESCAPED: Final = {
    ord("n"): b"\n", ord("t"): b"\t", ord("r"): b"\r", ord("b"): b"\b", ord("0"): b"\0", ord("Z"): b"\x1a",
}  # fmt: skip


@dataclass(frozen=True, slots=True)
class Format:
    """FIELDS and LINES of a LOAD DATA. `enclosed` and `escape` are one byte or none; `field_end` and `line_end` are
    not empty, differ, and begin with neither of the two."""

    field_end: bytes = b"\t"
    enclosed: bytes = b""
    escape: bytes = b"\\"
    line_start: bytes = b""
    line_end: bytes = b"\n"


@dataclass(frozen=True, slots=True)
class Field:
    """`start`, `end`: its place in the data, quotes included and terminator not. `value` None is NULL."""

    start: int
    end: int
    value: bytes | None


class FieldReader:
    """Reads the whole of `data`, whose end is the file's end."""

    def __init__(self, data: bytes, format: Format) -> None:
        self._data = data
        self._format = format
        self._end_of_line = False
        self._start_due = bool(format.line_start)
        self._eof = False
        self.at = 0
        self.body = 0
        """Where the line's first field begins: behind `line_start`."""

    def next_field(self) -> Field | None:
        """The next field of this line; None where the line, or the file, has no more."""
        if self._end_of_line:
            return None
        data, format = self._data, self._format
        if self._start_due:
            self._start_due = False
            found = data.find(format.line_start, self.at)
            if found < 0:
                self.at = len(data)
                self._end_of_line = self._eof = True
                return None
            self.at = found + len(format.line_start)
        start = at = self.at
        if at >= len(data):
            self._end_of_line = self._eof = True
            return None
        self.body = start if self.body < 0 else self.body
        escape = format.escape[0] if format.escape else -1
        quote = format.enclosed[0] if format.enclosed else -1
        out = bytearray()
        null = False
        quoted = data[at] == quote
        if quoted:
            out.append(quote)
            at += 1
        while at < len(data):
            byte = data[at]
            if byte == escape:
                if at + 1 >= len(data):
                    out.append(escape)
                    at += 1
                    break
                if escape != quote or data[at + 1] == escape:
                    null = null or data[at + 1] == ord("N")
                    out += _ESCAPED.get(data[at + 1], data[at + 1 : at + 2])
                    at += 2
                    continue
            if not quoted:
                if data.startswith(format.line_end, at):
                    self._end_of_line = True
                    return self._field(start, at, at + len(format.line_end), bytes(out), False, null)
                if data.startswith(format.field_end, at):
                    return self._field(start, at, at + len(format.field_end), bytes(out), False, null)
            elif byte == quote:
                behind = at + 1
                if data[behind : behind + 1] == format.enclosed:
                    out.append(quote)
                    at += 2
                    continue
                if behind >= len(data) and escape != quote:
                    self._end_of_line = True
                    return self._field(start, behind, behind, bytes(out[1:]), True, null)
                if data.startswith(format.line_end, behind):
                    self._end_of_line = True
                    return self._field(
                        start, behind, behind + len(format.line_end), bytes(out[1:]), True, null
                    )
                if data.startswith(format.field_end, behind):
                    return self._field(
                        start, behind, behind + len(format.field_end), bytes(out[1:]), True, null
                    )
            out.append(byte)
            at += 1
        self._end_of_line = self._eof = True
        return self._field(start, at, at, bytes(out), False, null)

    def _field(self, start: int, end: int, after: int, value: bytes, quoted: bool, null: bool) -> Field:
        self.at = after
        is_null = (len(value) == 1 and null) or (
            not quoted and bool(self._format.enclosed) and value == b"NULL"
        )
        return Field(start, end, None if is_null else value)

    def next_line(self) -> bool:
        """Goes behind the end of this line; False at the end of the file."""
        self._start_due = bool(self._format.line_start)
        self.body = -1
        if self._end_of_line or self._eof:
            self._end_of_line = False
            return not self._eof
        data, format = self._data, self._format
        at = self.at
        escape = format.escape[0] if format.escape else -1
        while at < len(data):
            if data[at] == escape:
                at += 2
            elif data.startswith(format.line_end, at):
                self.at = at + len(format.line_end)
                return True
            else:
                at += 1
        self.at = len(data)
        self._eof = True
        return False


def field_value(raw: bytes, format: Format) -> bytes | None:
    """What a field means, of which `raw` is the text without its terminator."""
    if (not format.escape or format.escape not in raw) and not (
        format.enclosed and (raw[:1] == format.enclosed or raw == b"NULL")
    ):
        return raw
    field = FieldReader(raw + format.line_end, format if not format.line_start else _startless(format))
    found = field.next_field()
    return found.value if found is not None else b""


def _startless(format: Format) -> Format:
    return Format(format.field_end, format.enclosed, format.escape, b"", format.line_end)
