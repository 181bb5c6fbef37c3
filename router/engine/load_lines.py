"""Cuts a client's file for LOAD DATA into rows, as MySQL would: a row's own bytes, and where some of its fields are.

One regular expression, made for the format, the number of columns and the fields asked for, matches one row at C speed;
what the file's end cuts off is read by `load_fields`, byte by byte. Rows are passed on as they came. Pure.

Invariants
- Every byte belongs to one row, or to a line that IGNORE n LINES skips, or to what lies before LINES STARTING BY.
- A row is given out only when bytes behind its terminator cannot change where it ends.
- At most `max_row_bytes` and one piece are kept; a longer row raises 1153, as a packet of that size would.
"""

from __future__ import annotations

import re
from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

from core.errors import fail
from router.engine.load_fields import FieldReader, Format

MAX_ROW_BYTES: Final = 16 * 1024 * 1024


@dataclass(frozen=True, slots=True)
class Row:
    """`raw`: the whole line, terminators included. `body`: where its first field begins. `spans`: the places of the
    fields asked for, quotes included; None for one that the line does not have."""

    raw: bytes
    body: int
    spans: tuple[tuple[int, int] | None, ...]


class LineSplitter:
    """Takes pieces of a file; gives rows."""

    def __init__(
        self,
        format: Format,
        columns: int,
        wanted: tuple[int, ...],
        skip_lines: int = 0,
        max_row_bytes: int = MAX_ROW_BYTES,
    ) -> None:
        """`columns`: how many fields a line should have. `wanted`: positions of the fields asked for, ascending."""
        self._format = format
        self._columns = columns
        self._wanted = wanted
        self._skip_lines = skip_lines
        self._max_row_bytes = max_row_bytes
        self._row = _row_pattern(format, columns, wanted).match
        self._line = re.compile(_skipped(format) + re.escape(format.line_end), re.DOTALL).match
        # what a look-ahead inside a match may have wanted to see behind the data at hand
        self._margin = max(len(format.field_end), len(format.line_end)) + 1
        self._kept = b""
        self._wait_until = 0

    def feed(self, data: bytes) -> Iterator[Row]:
        """The rows that are whole now. Raises PACKET_TOO_LARGE for one that is longer than allowed."""
        if not self._kept:
            self._kept = data
        else:
            self._kept += data
            if len(self._kept) < self._wait_until:
                return
        data = self._kept
        safe = len(data) - self._margin
        at = 0
        while self._skip_lines:
            found = self._line(data, at)
            if found is None or found.end() > safe:
                break
            at = found.end()
            self._skip_lines -= 1
        if not self._skip_lines:
            match = self._row
            groups = range(2, 2 + len(self._wanted))
            while (found := match(data, at)) is not None:
                end = found.end()
                if end > safe:
                    break
                spans = tuple(
                    (found.start(group) - at, found.end(group) - at) if found.start(group) >= 0 else None
                    for group in groups
                )
                yield Row(data[at:end], found.start(1) - at, spans)
                at = end
        self._kept = data[at:]
        left = len(data) - at
        if left > self._max_row_bytes:
            raise fail("PACKET_TOO_LARGE", limit=f"one line of the file, {self._max_row_bytes}")
        self._wait_until = left * 2 if left > 65536 else 0  # a long row is not tried again with each piece

    def end(self) -> Iterator[Row]:
        """The file is over: the rows of what is left."""
        data, self._kept = self._kept, b""
        reader = FieldReader(data, self._format)
        while self._skip_lines:
            self._skip_lines -= 1
            if not reader.next_line():
                return
        more = True
        while more:
            start, reader.body = reader.at, -1
            spans: list[tuple[int, int] | None] = [None] * len(self._wanted)
            for position in range(self._columns):
                field = reader.next_field()
                if field is None:
                    if not position:
                        return
                    break
                if position in self._wanted:
                    spans[self._wanted.index(position)] = (field.start - start, field.end - start)
            body = reader.body - start
            more = reader.next_line()
            yield Row(data[start : reader.at], body, tuple(spans))


def _skipped(format: Format) -> bytes:
    """What is skipped up to the end of a line."""
    line_end = re.escape(format.line_end)
    if not format.escape:
        return b"(?:[^%b]++|(?!%b).)*+" % (_class(format.line_end[:1]), line_end)
    escape = re.escape(format.escape)
    return b"(?:[^%b]++|%b.|(?!%b|%b).)*+" % (
        _class(format.line_end[:1] + format.escape),
        escape,
        line_end,
        escape,
    )


def _class(characters: bytes) -> bytes:
    return b"".join(b"\\x%02x" % byte for byte in characters)


def _row_pattern(format: Format, columns: int, wanted: tuple[int, ...]) -> re.Pattern[bytes]:
    field_end, line_end = re.escape(format.field_end), re.escape(format.line_end)
    stop = b"(?:%b|%b)" % (line_end, field_end)
    special = format.field_end[:1] + format.line_end[:1] + format.escape
    doubles = format.escape == format.enclosed
    escape = re.escape(format.escape)
    if not format.escape:
        escaped = b""
    elif doubles:
        escaped = b"|%b%b|%b(?!%b)" % (escape, escape, escape, escape)
    else:
        escaped = b"|%b." % escape
    not_escape = b"|%b" % escape if format.escape else b""
    plain = b"(?:[^%b]++%b|(?!%b%b).)*+" % (_class(special), escaped, stop, not_escape)
    field = plain
    if format.enclosed:
        quote = re.escape(format.enclosed)
        inner_special = format.enclosed + (b"" if doubles else format.escape)
        inner_escaped = b"" if doubles or not format.escape else b"|%b." % escape
        quoted = b"%b(?:[^%b]++%b|%b%b|%b(?!%b|%b))*+%b(?=%b)" % (
            quote, _class(inner_special), inner_escaped, quote, quote, quote, stop, quote, quote, stop,
        )  # fmt: skip
        field = b"(?>%b|(?!%b)%b)" % (quoted, quote, plain)
    start = b"(?>.*?%b)" % re.escape(format.line_start) if format.line_start else b""
    head, tail = b"", b""
    at = 0
    last = columns - 1
    captured = wanted if last in wanted else (*wanted, last)
    for position in captured:
        between = position - at
        if between and not at:
            head += field + b"(?:%b%b){0,%d}+" % (field_end, field, between - 1)
        elif between:
            head += b"(?:%b%b){0,%d}+" % (field_end, field, between)
        opened = b"(?:%b" % field_end if position else b"(?:"
        head += b"%b(%b)" % (opened, field)
        tail = (b")?+" if position else b")") + tail
        at = position + 1
    # a line may go on only behind the last field; without that, a field that could not be read is not all there yet
    more = b"(?(%d)%b%b%b|(?!))" % (1 + len(captured), field_end, _skipped(format), line_end)
    return re.compile(start + b"()" + head + tail + b"(?:%b|%b)" % (line_end, more), re.DOTALL)
