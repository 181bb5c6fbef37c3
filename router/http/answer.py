"""Packets of a text answer in, the JSON of a result out. Pure; the caller bounds and times.

    HEAD -> OK                                   -> DONE
    HEAD -> ERR                                  -> DONE
    HEAD -> columns, EOF -> rows, EOF (or ERR)   -> DONE, or HEAD where more results follow

Answers are those of a client without CLIENT_DEPRECATE_EOF and with CLIENT_PROTOCOL_41. A reply has room for one row
set: of a second one only that it was there is kept.
Source: MySQL internals, "Text Resultset"; names of types: Vitess, `query.proto` and `sqltypes.MySQLToType`.
"""

import json
from binascii import b2a_base64
from enum import Enum
from struct import Struct
from typing import Final

from wire import constants as c
from wire.columns import Column, parse_column
from wire.packets import read_lenenc_int

_header: Final = Struct("<I").unpack_from
_NUMBERS: Final = tuple(b'"%d"' % number for number in range(251))
_NULL: Final = b'"-1"'
_EOF_BYTES: Final = 9

_TYPES: Final = {
    c.TYPE_DECIMAL: "DECIMAL",
    c.TYPE_TINY: "INT8",
    c.TYPE_SHORT: "INT16",
    c.TYPE_LONG: "INT32",
    c.TYPE_FLOAT: "FLOAT32",
    c.TYPE_DOUBLE: "FLOAT64",
    c.TYPE_NULL: "NULL",
    c.TYPE_TIMESTAMP: "TIMESTAMP",
    c.TYPE_LONGLONG: "INT64",
    c.TYPE_INT24: "INT24",
    c.TYPE_DATE: "DATE",
    c.TYPE_TIME: "TIME",
    c.TYPE_DATETIME: "DATETIME",
    c.TYPE_YEAR: "YEAR",
    c.TYPE_NEWDATE: "DATE",
    c.TYPE_VARCHAR: "VARCHAR",
    c.TYPE_BIT: "BIT",
    c.TYPE_TIMESTAMP2: "TIMESTAMP",
    c.TYPE_DATETIME2: "DATETIME",
    c.TYPE_TIME2: "TIME",
    c.TYPE_VECTOR: "VECTOR",
    c.TYPE_BOOL: "INT8",
    c.TYPE_JSON: "JSON",
    c.TYPE_NEWDECIMAL: "DECIMAL",
    c.TYPE_ENUM: "ENUM",
    c.TYPE_SET: "SET",
    c.TYPE_TINY_BLOB: "TEXT",
    c.TYPE_MEDIUM_BLOB: "TEXT",
    c.TYPE_LONG_BLOB: "TEXT",
    c.TYPE_BLOB: "TEXT",
    c.TYPE_VAR_STRING: "VARCHAR",
    c.TYPE_STRING: "CHAR",
    c.TYPE_GEOMETRY: "GEOMETRY",
}
_UNSIGNED: Final = {f"INT{bits}": f"UINT{bits}" for bits in (8, 16, 24, 32, 64)}
_BINARY: Final = {"TEXT": "BLOB", "VARCHAR": "VARBINARY", "CHAR": "BINARY"}


class State(Enum):
    HEAD = "the first packet of a result is awaited"
    COLUMNS = "column definitions"
    COLUMNS_END = "the EOF behind them"
    ROWS = "rows"
    DONE = "done"


class Answer:
    """One statement's answer, fed piece by piece."""

    __slots__ = (
        "_columns", "_parts", "_parts_bytes", "_rows_here", "_wanted_bytes", "affected_rows", "error", "fields",
        "insert_id", "row_sets", "rows", "size_bytes", "state",
    )  # fmt: skip

    def __init__(self) -> None:
        self.state = State.HEAD
        self.error: tuple[int, str, str] | None = None
        """Number, SQLSTATE and text, where the answer ended in an error."""
        self.fields: list[bytes] | None = None
        """The first row set's columns as JSON; None: there was none."""
        self.rows: list[bytes] = []
        self.size_bytes = 0
        """Of the rows' JSON."""
        self.row_sets = 0
        self.affected_rows = 0
        self.insert_id = 0
        self._columns = 0
        self._rows_here = False
        self._parts: list[bytes] = []
        """The beginning of a payload."""
        self._parts_bytes = 0
        self._wanted_bytes = 0
        """What is known of its size: with less it need not be looked at again."""

    @property
    def done(self) -> bool:
        """Whether the answer is whole."""
        return self.state is State.DONE

    def feed(self, data: bytes) -> None:
        """Takes the next bytes. Raises ValueError or IndexError for what is no answer."""
        if self._parts:
            self._parts.append(data)
            self._parts_bytes += len(data)
            if self._parts_bytes < self._wanted_bytes:
                return
            data = b"".join(self._parts)
            self._parts = []
        at, size = 0, len(data)
        while at < size:
            payload, end = _payload(data, at, size)
            if payload is None:
                self._parts, self._parts_bytes, self._wanted_bytes = [data[at:]], size - at, end - at
                return
            at = end
            self._take(payload)

    @property
    def held_bytes(self) -> int:
        """What it has in memory of rows."""
        return self.size_bytes + (self._parts_bytes if self._parts else 0)

    def forget_rows(self) -> None:
        """Frees what was collected: nobody will ask for it, and nothing is fed any more."""
        self.rows.clear()
        self._parts.clear()
        self.size_bytes = self._parts_bytes = 0

    def _take(self, payload: bytes) -> None:
        first = payload[0] if payload else -1
        state = self.state
        if state is State.ROWS:
            if first == 0xFE and len(payload) < _EOF_BYTES:
                self._next(int.from_bytes(payload[3:5], "little"))
            elif first == 0xFF:
                self._fail(payload)
            elif self._rows_here:
                row = row_json(payload)
                self.rows.append(row)
                self.size_bytes += len(row) + 1
        elif state is State.COLUMNS:
            if self._rows_here and self.fields is not None:
                self.fields.append(field_json(parse_column(payload)))
            self._columns -= 1
            if not self._columns:
                self.state = State.COLUMNS_END
        elif state is State.COLUMNS_END:
            if first == 0xFF:
                self._fail(payload)
            else:
                self.state = State.ROWS
        elif state is State.HEAD:
            self._begin(payload, first)
        else:
            raise ValueError("a packet behind the end of the answer")

    def _begin(self, payload: bytes, first: int) -> None:
        if first == 0x00:
            self.affected_rows, at = read_lenenc_int(payload, 1)
            self.insert_id, at = read_lenenc_int(payload, at)
            self._next(int.from_bytes(payload[at : at + 2], "little"))
        elif first == 0xFF:
            self._fail(payload)
        elif first == 0xFB:
            raise ValueError("a file is asked for")
        else:
            self._columns, _ = read_lenenc_int(payload, 0)
            self.row_sets += 1
            self._rows_here = self.row_sets == 1
            if self._rows_here:
                self.fields = []
            self.state = State.COLUMNS

    def _next(self, status: int) -> None:
        self.state = State.HEAD if status & c.SERVER_MORE_RESULTS_EXISTS else State.DONE

    def _fail(self, payload: bytes) -> None:
        number = int.from_bytes(payload[1:3], "little")
        sqlstate, text = "HY000", payload[3:]
        if text[:1] == b"#":
            sqlstate, text = text[1:6].decode("ascii", "replace"), text[6:]
        self.error = (number, sqlstate, text.decode("utf-8", "replace"))
        self.state = State.DONE

    def result_json(self) -> bytes:
        """The value of `result`: protojson, so what is zero or empty is left out."""
        parts = []
        if self.fields is not None:
            parts.append(b'"fields":[' + b",".join(self.fields) + b"]")
            if self.rows:
                parts.append(b'"rows":[' + b",".join(self.rows) + b"]")
        if self.affected_rows:
            parts.append(b'"rowsAffected":"%d"' % self.affected_rows)
        if self.insert_id:
            parts.append(b'"insertId":"%d"' % self.insert_id)
        return b"{" + b",".join(parts) + b"}"


def _payload(data: bytes, at: int, size: int) -> tuple[bytes | None, int]:
    """The payload at `at`, joined of its packets, and where it ends; None where it is not whole, and how far the data
    must reach to tell more."""
    parts: list[bytes] = []
    while True:
        if at + 4 > size:
            return None, at + 4
        length = _header(data, at)[0] & c.MAX_PAYLOAD
        end = at + 4 + length
        if end > size:
            return None, end
        if length < c.MAX_PAYLOAD and not parts:
            return data[at + 4 : end], end
        parts.append(data[at + 4 : end])
        if length < c.MAX_PAYLOAD:
            return b"".join(parts), end
        at = end


def row_json(payload: bytes) -> bytes:
    """A text row as `{"lengths":["1","-1"],"values":"MQ=="}`. Raises ValueError or IndexError for a broken one."""
    lengths = []
    cells = []
    at, size = 0, len(payload)
    while at < size:
        length = payload[at]
        if length < 251:
            at += 1
            lengths.append(_NUMBERS[length])
        elif length == 251:
            at += 1
            lengths.append(_NULL)
            continue
        else:
            length, at = read_lenenc_int(payload, at)
            lengths.append(b'"%d"' % length)
        end = at + length
        if end > size:
            raise IndexError("a cell is cut")
        cells.append(payload[at:end])
        at = end
    values = b"".join(cells)
    if not values:
        return b'{"lengths":[' + b",".join(lengths) + b"]}"
    return b'{"lengths":[' + b",".join(lengths) + b'],"values":"' + b2a_base64(values, newline=False) + b'"}'


def type_name(column: Column) -> str:
    """Vitess's name of a column's type."""
    name = _TYPES.get(column.type, "TEXT")
    flags = column.flags
    if flags & c.ENUM_FLAG:
        return "ENUM"
    if flags & c.SET_FLAG:
        return "SET"
    if flags & c.UNSIGNED_FLAG:
        name = _UNSIGNED.get(name, name)
    if flags & c.BINARY_FLAG:
        name = _BINARY.get(name, name)
    return name


def field_json(column: Column) -> bytes:
    """A column as `{"name":"id","type":"INT64",...}`."""
    found = {
        "name": _text(column.name),
        "type": type_name(column),
        "table": _text(column.table),
        "orgTable": _text(column.org_table),
        "database": _text(column.schema),
        "orgName": _text(column.org_name),
        "columnLength": column.length,
        "charset": column.charset,
        "decimals": column.decimals,
        "flags": column.flags,
    }
    return json.dumps({name: value for name, value in found.items() if value}, separators=(",", ":")).encode()


def _text(name: bytes) -> str:
    return name.decode("utf-8", "replace")
