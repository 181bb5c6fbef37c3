"""A table's rows from several servers into a temporary table on another: the texts, no I/O.

Invariants: every value arrives as it lay, bit by bit, whatever the character set, time zone or sql_mode of the session:
strings as hexadecimal bytes of the column's own character set, TIMESTAMP as UTC, FLOAT with all its digits, ENUM and
SET as numbers. A type for which that is not certain is not copied (`Copied.fetch` is empty), and the statement is
refused if it may read such a column. Strict mode loads: what does not fit is an error, never another value.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta
from typing import Final

LOAD_SETTINGS: Final = (
    "foreign_key_checks=0"
    ",sql_mode='STRICT_ALL_TABLES,ALLOW_INVALID_DATES,NO_AUTO_VALUE_ON_ZERO'"
    ",time_zone='+00:00'"
)
"""Settings under which the temporary table is made and filled."""
INSERT_BYTES: Final = 512 * 1024
"""An INSERT is cut after that many bytes."""

Render = Callable[[bytes], bytes]
Cells = Sequence[bytes | None]


@dataclass(frozen=True, slots=True)
class Copied:
    """A column: its name, the expression that fetches it (empty: not copied), and what makes a literal of that."""

    name: str
    fetch: bytes
    render: Render


class CannotCopyError(Exception):
    """A table, or a value, that cannot be copied for certain: `args[0]` says what."""


_GEOMETRY: Final = (
    "geometry",
    "point",
    "linestring",
    "polygon",
    "multipoint",
    "multilinestring",
    "multipolygon",
    "geometrycollection",
    "geomcollection",
)
_NUMBER: Final = re.compile(rb"-?[0-9]+(?:\.[0-9]+)?(?:[eE][-+]?[0-9]+)?").fullmatch
_TIME: Final = re.compile(rb"-?[0-9:. -]+").fullmatch
_WORD: Final = re.compile(rb"[0-9A-Fa-f:.-]+").fullmatch
_NOT_JSON: Final = b"not to be copied"  # no JSON document
_EPOCH: Final = datetime(1970, 1, 1, tzinfo=UTC)


def _number(cell: bytes) -> bytes:
    if _NUMBER(cell) is None:
        raise CannotCopyError(f"the number {cell[:40]!r}")
    return cell


def _real(cell: bytes) -> bytes:
    """As a DOUBLE from the start: the integer -0 has no sign."""
    number = _number(cell)
    return number if b"e" in number.lower() else number + b"e0"


def _time(cell: bytes) -> bytes:
    if _TIME(cell) is None:
        raise CannotCopyError(f"the time {cell[:40]!r}")
    return b"'" + cell + b"'"


def _word(cell: bytes) -> bytes:
    if _WORD(cell) is None:
        raise CannotCopyError(f"the value {cell[:40]!r}")
    return b"'" + cell + b"'"


def _bytes(cell: bytes) -> bytes:
    return b"x'" + cell.hex().encode() + b"'"


def _utc(cell: bytes) -> bytes:
    """The literal of what UNIX_TIMESTAMP gave; 0 is MySQL's zero date, which lies before every TIMESTAMP."""
    whole, _, part = _number(cell).partition(b".")
    if not int(whole) and not int(part or b"0"):
        return b"'0000-00-00 00:00:00'"
    moment = _EPOCH + timedelta(seconds=int(whole), microseconds=int(part.ljust(6, b"0")[:6] or b"0"))
    return b"'" + moment.strftime("%Y-%m-%d %H:%M:%S.%f").encode() + b"'"


def _json(cell: bytes) -> bytes:
    if cell == _NOT_JSON:
        raise CannotCopyError("JSON with numbers or dates whose types its text does not show")
    return b"_utf8mb4 " + _bytes(cell)


def _json_text(name: bytes) -> bytes:
    """The text of a document, where reading it again gives the same one: `$**[0]` is every value that is no array."""
    values = b"JSON_TABLE(" + name + b", '$**[0]' COLUMNS (v JSON PATH '$')) AS sluice_values"
    return (
        b"IF(EXISTS(SELECT 1 FROM "
        + values
        + b" WHERE JSON_TYPE(v) NOT IN ('OBJECT', 'ARRAY', 'STRING', 'INTEGER', "
        b"'DOUBLE', 'BOOLEAN', 'NULL')), '"
        + _NOT_JSON
        + b"', CAST(CAST("
        + name
        + b" AS CHAR CHARACTER SET utf8mb4) "
        b"AS BINARY))"
    )


def _plain(name: bytes) -> bytes:
    return name


def _raw(name: bytes) -> bytes:
    return b"CAST(" + name + b" AS BINARY)"


def _ordinal(name: bytes) -> bytes:
    return name + b" + 0"


def _double(name: bytes) -> bytes:
    return name + b" * 1e0"  # + 0e0 would take the sign of -0


def _seconds(name: bytes) -> bytes:
    return b"UNIX_TIMESTAMP(" + name + b")"


_WAYS: Final[dict[str, tuple[Callable[[bytes], bytes], Render]]] = {
    "tinyint": (_plain, _number),
    "smallint": (_plain, _number),
    "mediumint": (_plain, _number),
    "int": (_plain, _number),
    "bigint": (_plain, _number),
    "decimal": (_plain, _number),
    "year": (_plain, _number),
    "double": (_plain, _real),
    "float": (_double, _real),
    "bit": (_ordinal, _number),
    "enum": (_ordinal, _number),
    "set": (_ordinal, _number),
    "date": (_plain, _time),
    "time": (_plain, _time),
    "datetime": (_plain, _time),
    "timestamp": (_seconds, _utc),
    "char": (_raw, _bytes),
    "varchar": (_raw, _bytes),
    "tinytext": (_raw, _bytes),
    "text": (_raw, _bytes),
    "mediumtext": (_raw, _bytes),
    "longtext": (_raw, _bytes),
    "binary": (_plain, _bytes),
    "varbinary": (_plain, _bytes),
    "tinyblob": (_plain, _bytes),
    "blob": (_plain, _bytes),
    "mediumblob": (_plain, _bytes),
    "longblob": (_plain, _bytes),
    "json": (_json_text, _json),
    "uuid": (_plain, _word),
    "inet4": (_plain, _word),
    "inet6": (_plain, _word),
    **dict.fromkeys(_GEOMETRY, (_plain, _bytes)),  # as dumps have it: SRID and WKB
}
"""By the first word of a type: the expression that fetches a column, and what makes a literal of its cell."""


def quoted(name: str) -> bytes:
    return b"`" + name.replace("`", "``").encode("utf-8", "surrogateescape") + b"`"


def copied_columns(described: Sequence[Cells]) -> tuple[Copied, ...]:
    """The columns of SHOW COLUMNS (Field, Type, Null, Key, Default, Extra) that an INSERT gives values for."""
    found: list[Copied] = []
    for field, kind, _, _, _, extra in described:
        name = (field or b"").decode("utf-8", "surrogateescape")
        if re.search(rb"\b(?:VIRTUAL|STORED|PERSISTENT)\b", (extra or b"").upper()):
            continue  # generated: the server computes it again
        word = re.split(rb"[( ]", (kind or b"").lower(), maxsplit=1)[0].decode()
        fetch, render = _WAYS.get(word, (None, _bytes))
        found.append(Copied(name, fetch(quoted(name)) if fetch is not None else b"", render))
    return tuple(found)


def fetch_text(table: str, columns: Sequence[Copied], where: bytes, limit: int) -> bytes:
    """The SELECT that fetches a table's rows, at most `limit`."""
    expressions = [one.fetch for one in columns if one.fetch] or [b"1"]
    condition = b" WHERE " + where if where else b""
    return b"SELECT %s FROM %s%s LIMIT %d" % (b", ".join(expressions), quoted(table), condition, limit)


def inserts(name: str, columns: Sequence[Copied], rows: Iterable[Cells]) -> Iterator[bytes]:
    """The INSERTs that fill the temporary table. Raises CannotCopyError."""
    copied = [one for one in columns if one.fetch]
    head = b"INSERT INTO %s (%s) VALUES " % (quoted(name), b", ".join(quoted(one.name) for one in copied))
    renders = [one.render for one in copied]
    texts: list[bytes] = []
    size = 0
    for row in rows:
        values = (
            (b"NULL" if cell is None else render(cell) for render, cell in zip(renders, row, strict=True))
            if copied
            else ()
        )
        text = b"(" + b",".join(values) + b")"
        texts.append(text)
        size += len(text)
        if size > INSERT_BYTES:
            yield head + b",".join(texts)
            texts, size = [], 0
    if texts:
        yield head + b",".join(texts)
