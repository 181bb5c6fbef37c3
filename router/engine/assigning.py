"""Values that a SELECT gave as literals for a column: what INSERT ... SELECT stores is stored from them, bit by bit.

A literal stands for a value where MySQL converts both alike into the column's type; a pair of types for which that is
not certain is refused (CannotCopyError), as is what the text protocol does not show whole (FLOAT). Text comes in the
column's own character set (`character_set_results = NULL`).
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Sequence
from enum import Enum
from typing import Final

from router.engine.copying import CannotCopyError
from router.sql.literals import literal_value
from wire import constants as c
from wire.columns import Column

Render = Callable[[bytes], bytes]
"""The literal of a cell that is not NULL. Raises CannotCopyError."""
CharsetName = Callable[[int], str]
"""The character set of a collation id, empty when it is not known."""

_BINARY: Final = 63
_NUMBER: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?").fullmatch
_TIME: Final = re.compile(rb"-?[0-9:. -]+").fullmatch
_SHORT_TEXT: Final = re.compile(rb"(?:var)?(?:char|binary)\((\d+)\)")
_AS_TEXT: Final = " (select it as CONVERT(... USING utf8mb4))"
_DOUBLE_CHARACTERS: Final = 25
"""No double has a longer text."""


class To(Enum):
    """What a column takes."""

    NUMBER = "number"
    BIT = "bit"
    YEAR = "year"
    DATE = "date"
    MOMENT = "moment"
    TIME = "time"
    TEXT = "text"
    BYTES = "bytes"
    NAMES = "names"
    JSON = "json"


_TARGETS: Final[dict[str, To]] = {
    **dict.fromkeys(
        ("tinyint", "smallint", "mediumint", "int", "bigint", "decimal", "float", "double"), To.NUMBER
    ),
    **dict.fromkeys(("char", "varchar", "tinytext", "text", "mediumtext", "longtext"), To.TEXT),
    **dict.fromkeys(("binary", "varbinary", "tinyblob", "blob", "mediumblob", "longblob"), To.BYTES),
    **dict.fromkeys(("datetime", "timestamp"), To.MOMENT),
    **dict.fromkeys(("enum", "set"), To.NAMES),
    "bit": To.BIT,
    "year": To.YEAR,
    "date": To.DATE,
    "time": To.TIME,
    "json": To.JSON,
}
_EXACT: Final = frozenset(
    (c.TYPE_DECIMAL, c.TYPE_TINY, c.TYPE_SHORT, c.TYPE_LONG, c.TYPE_LONGLONG, c.TYPE_INT24, c.TYPE_NEWDECIMAL)
)
_MOMENTS: Final = frozenset((c.TYPE_TIMESTAMP, c.TYPE_DATETIME, c.TYPE_TIMESTAMP2, c.TYPE_DATETIME2))
_TIMES: Final = frozenset((c.TYPE_TIME, c.TYPE_TIME2))
_DATES: Final = frozenset((c.TYPE_DATE, c.TYPE_NEWDATE))
_STRINGS: Final = frozenset(
    (
        c.TYPE_VARCHAR,
        c.TYPE_TINY_BLOB,
        c.TYPE_MEDIUM_BLOB,
        c.TYPE_LONG_BLOB,
        c.TYPE_BLOB,
        c.TYPE_VAR_STRING,
        c.TYPE_STRING,
    )
)


def renders(
    sources: Sequence[Column],
    targets: Sequence[tuple[str, bytes]],
    charset_of: CharsetName,
    *,
    steady_zone: bool,
    hidden_digits: bool,
) -> list[Render]:
    """What makes literals for `targets` (name and type, as SHOW COLUMNS says it) of the cells of `sources`.

    `steady_zone`: no local time of the session's time zone stands for two moments. `hidden_digits`: decimals that are
    computed may have more digits than they show."""
    return [
        _hiding(source, hidden_digits) or _render(source, name, kind.lower(), charset_of, steady_zone)
        for source, (name, kind) in zip(sources, targets, strict=True)
    ]


def routed(make: Render, kind: bytes) -> Render:
    """As `make`, for a column of the type `kind` whose value names the row's shard: as the router reads the literal, so
    the server stores it."""
    to = _TARGETS.get(word_of(kind.lower()))

    def render(cell: bytes) -> bytes:
        literal = make(cell)
        if literal[:1] != b"_":
            return literal
        if to is To.BYTES:
            return _bytes(cell)  # the bytes are what is stored, whatever their character set
        if literal.startswith(b"_binary"):
            if not cell.isascii():
                raise CannotCopyError(
                    "bytes that are not ASCII into a column that names the shard" + _AS_TEXT
                )
            return _introduced("utf8mb4")(cell)
        if isinstance(literal_value(literal), bytes):
            charset = literal[1:].partition(b" ")[0].decode()
            raise CannotCopyError(f"text in {charset} into a column that names the shard" + _AS_TEXT)
        return literal

    return render


def word_of(kind: bytes) -> str:
    """The first word of a type."""
    return re.split(rb"[( ]", kind, maxsplit=1)[0].decode("ascii", "replace")


def _render(source: Column, name: str, kind: bytes, charset_of: CharsetName, steady_zone: bool) -> Render:
    to = _TARGETS.get(word_of(kind))
    found: Render | None = None
    if source.type == c.TYPE_NULL:
        found = _never
    elif to is not None:
        found = (
            _of_number(source, to, kind)
            or _of_time(source, to, kind, steady_zone)
            or _of_text(source, to, charset_of)
        )
    if found is None:
        said = (
            f"the column {source.name.decode('utf-8', 'replace')} into {name} ({word_of(kind)}), for its type"
        )
        return _refusing(said)
    return found


def _hiding(source: Column, hidden_digits: bool) -> Render | None:
    """Of a value that is not a table's as it lies: that has a schema."""
    shown = source.name.decode("utf-8", "replace")
    if source.schema:
        return None
    if source.type == c.TYPE_DOUBLE and source.decimals < c.NOT_FIXED_DECIMALS:
        return _refusing(f"the DOUBLE {shown}, which shows {source.decimals} decimals only (select it + 0e0)")
    if source.type == c.TYPE_NEWDECIMAL and hidden_digits:
        return _refusing(
            f"the decimal {shown} of a query whose averages or quotients may have more digits than they show (select "
            "each as CAST(... AS DECIMAL(p,s)))"
        )
    return None


def _refusing(what: str) -> Render:
    def refuse(cell: bytes) -> bytes:
        raise CannotCopyError(what)

    return refuse


def _never(cell: bytes) -> bytes:
    raise CannotCopyError("a value of no type")


def _of_number(source: Column, to: To, kind: bytes) -> Render | None:
    if source.type in _EXACT:
        return _text if to in (To.TEXT, To.BYTES) else _number
    if source.type == c.TYPE_YEAR:
        return _text if to in (To.TEXT, To.BYTES) else _number if to in (To.YEAR, To.NUMBER) else None
    if source.type == c.TYPE_BIT:
        return _bits if to in (To.BIT, To.NUMBER) else _bytes if to is To.BYTES else None
    if source.type == c.TYPE_FLOAT:
        shown = source.name.decode("utf-8", "replace")
        return _refusing(f"the FLOAT {shown}, whose text has six digits only (select it as {shown} + 0e0)")
    if source.type != c.TYPE_DOUBLE:
        return None
    if to not in (To.TEXT, To.BYTES):
        return _double
    short = _SHORT_TEXT.match(kind)
    return None if short is not None and int(short[1]) < _DOUBLE_CHARACTERS else _text


def _of_time(source: Column, to: To, kind: bytes, steady_zone: bool) -> Render | None:
    is_moment = source.type in _MOMENTS
    if not is_moment and source.type not in _TIMES and source.type not in _DATES:
        return None
    if to in (To.TEXT, To.BYTES):
        return _time
    if source.type in _TIMES:
        return _time if to is To.TIME else None
    if to is To.MOMENT:
        is_stamp = source.type in (c.TYPE_TIMESTAMP, c.TYPE_TIMESTAMP2) and word_of(kind) == "timestamp"
        if is_stamp and not steady_zone:
            shown = source.name.decode("utf-8", "replace")
            return _refusing(
                f"the TIMESTAMP {shown} in a time zone where an hour may come twice (SET time_zone = '+00:00' first)"
            )
        return _time
    if to is To.DATE:
        return _whole_date if is_moment else _time
    return None


def _of_text(source: Column, to: To, charset_of: CharsetName) -> Render | None:
    if source.type == c.TYPE_JSON:
        if to is To.JSON:
            return _json
        return _introduced("utf8mb4") if to is To.TEXT else None
    if source.type not in _STRINGS and source.type not in (c.TYPE_ENUM, c.TYPE_SET):
        return None
    named = source.type in (c.TYPE_ENUM, c.TYPE_SET) or source.flags & (c.ENUM_FLAG | c.SET_FLAG)
    if named and to not in (To.TEXT, To.NAMES):
        return None
    if source.charset == _BINARY:
        return _bytes
    charset = charset_of(source.charset)
    if charset in ("utf8", "utf8mb3"):
        charset = "utf8mb4"  # the same bytes, and no warning of what is deprecated
    return _introduced(charset) if charset else None


# ---- literals


def _number(cell: bytes) -> bytes:
    if _NUMBER(cell) is None:
        raise CannotCopyError(f"the number {cell[:40]!r}")
    return cell


def _double(cell: bytes) -> bytes:
    number = _number(cell)
    return number if b"e" in number.lower() else number + b"e0"


def _bits(cell: bytes) -> bytes:
    return b"%d" % int.from_bytes(cell, "big")


def _text(cell: bytes) -> bytes:
    return b"'" + _number(cell) + b"'"


def _time(cell: bytes) -> bytes:
    if _TIME(cell) is None:
        raise CannotCopyError(f"the time {cell[:40]!r}")
    return b"'" + cell + b"'"


def _whole_date(cell: bytes) -> bytes:
    if b"." in cell and cell.rstrip(b"0")[-1:] != b".":
        raise CannotCopyError("a time with a fraction into a DATE")
    return _time(cell.partition(b".")[0])


def _bytes(cell: bytes) -> bytes:
    return b"_binary x'" + cell.hex().encode() + b"'"


def _introduced(charset: str) -> Render:
    head = f"_{charset} x'".encode()

    def render(cell: bytes) -> bytes:
        return head + cell.hex().encode() + b"'"

    return render


# ---- JSON

_OPAQUE: Final = re.compile(r"-?\d{1,3}:\d\d:\d\d\.\d{6}|\d{4}-\d\d-\d\d(?: \d\d:\d\d:\d\d\.\d{6})?")


def _json(cell: bytes) -> bytes:
    """The text of a document, where reading it again gives the same one: no decimals, dates or bytes in it."""
    try:
        _check_document(json.loads(cell, parse_float=_checked_double))
    except (ValueError, RecursionError):
        raise CannotCopyError("JSON that cannot be read") from None
    return b"_utf8mb4 x'" + cell.hex().encode() + b"'"


def _checked_double(text: str) -> float:
    shown = repr(float(text))
    if shown != text and float(text) != 0 and "e" not in text.lower():
        raise CannotCopyError("JSON with decimals (select it as CAST(... AS CHAR))")
    return float(text)


def _check_document(document: object) -> None:
    left = [document]
    while left:
        one = left.pop()
        if isinstance(one, dict):
            left += one.values()
        elif isinstance(one, list):
            left += one
        elif isinstance(one, str) and (one.startswith("base64:type") or _OPAQUE.fullmatch(one)):
            raise CannotCopyError(
                "JSON with a date, a time or bytes, or text like one (select it as CAST(... AS CHAR))"
            )
