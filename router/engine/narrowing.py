"""Which columns of a table a statement needs when it is finished over copied rows, and the table that has only those.

Invariant: the statement means the same over the narrow table. Every column that its text may name is there, with what
their definitions name; a key that has one of them is there whole (column flags, functional dependence, index hints), or
not at all where one of its columns cannot be copied. The primary key always is, so that rows are met in its order, as
on a server that has them all: sums of floats depend on that, and which rows are first.
"""

from __future__ import annotations

import re
from collections.abc import Collection, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from router.engine.copying import CannotCopyError, Copied, quoted

_OPENING: Final = re.compile(rb"CREATE TABLE `(?:[^`]|``)*` \(\n")
_DROPPED: Final = re.compile(
    rb"\s*(?:CONSTRAINT\b|FOREIGN KEY\b|CHECK\b|FULLTEXT (?:KEY|INDEX)\b|SPATIAL (?:KEY|INDEX)\b|PERIOD FOR\b)"
)
_CHARSET: Final = re.compile(rb"\bDEFAULT CHARSET=(\w+)(?: COLLATE=(\w+))?")
_NAME: Final = re.compile(rb"`((?:[^`]|``)*)`")
_COLUMN: Final = re.compile(rb"\s*`((?:[^`]|``)*)` ")
_SIMPLE: Final = re.compile(r"[A-Za-z_][A-Za-z0-9_]*")
_ROW: Final = b"  `sluice_row` tinyint"  # a table has at least one column that is seen


@dataclass(frozen=True, slots=True)
class Definition:
    """SHOW CREATE TABLE's text, taken apart: `columns` by name, `keys` with the columns that they name."""

    columns: dict[str, bytes]
    keys: tuple[tuple[bytes, frozenset[str]], ...]
    tail: bytes


def definition(created: bytes) -> Definition:
    """Raises CannotCopyError."""
    opening = _OPENING.match(created)
    if opening is None:
        raise CannotCopyError("something that is not a table")
    columns: dict[str, bytes] = {}
    others: list[bytes] = []
    tail = b""
    for line in created[opening.end() :].split(b"\n"):
        if line.startswith(b")"):
            tail = line
            break
        if _DROPPED.match(line) is not None:
            continue
        line = line.rstrip(b",")
        column = _COLUMN.match(line)
        if column is not None:
            columns[_text(column[1])] = line
        else:
            others.append(line)
    charset = _CHARSET.search(tail)
    if not tail or charset is None:
        raise CannotCopyError("a table whose definition cannot be read")
    collation = b" COLLATE=" + charset[2] if charset[2] else b""
    keys = tuple((line, frozenset(name for name in _names(line) if name in columns)) for line in others)
    return Definition(columns, keys, b"ENGINE=InnoDB DEFAULT CHARSET=" + charset[1] + collation)


def needed(whole: Definition, copied: Sequence[Copied], names: Collection[str]) -> frozenset[str]:
    """The columns of a statement that has `names` (in lower case) in its text."""
    if "_rowid" in names or not all(name.isascii() for name in names):
        return frozenset(whole.columns)  # names are compared without accents
    lost = {one.name for one in copied if not one.fetch}
    kept: set[str] = set()
    named = {name for name in whole.columns if name.lower() in names}
    odd = {name for name in whole.columns if _SIMPLE.fullmatch(name) is None}
    waiting = [*named, *(odd - lost)]
    hinted = [
        columns
        for line, columns in whole.keys
        if line.lstrip().startswith(b"PRIMARY KEY") or any(one.lower() in names for one in _names(line))
    ]
    for columns in hinted:
        if columns.isdisjoint(lost):
            waiting += columns
    while waiting:
        name = waiting.pop()
        if name in kept:
            continue
        kept.add(name)
        text = whole.columns[name]
        waiting += (one for one in _names(text) if one in whole.columns)
        for _, columns in whole.keys:
            if name in columns and columns.isdisjoint(lost):
                waiting += columns
    return frozenset(kept)


def temporary_table(whole: Definition, name: str, kept: frozenset[str]) -> bytes:
    """CREATE TEMPORARY TABLE `name` with the columns `kept`, and the keys that have no others."""
    body = [line for column, line in whole.columns.items() if column in kept]
    if all(b"INVISIBLE" in line.upper() for line in body):
        body.append(_ROW)
    body += (line for line, columns in whole.keys if columns <= kept)
    return b"CREATE TEMPORARY TABLE " + quoted(name) + b" (\n" + b",\n".join(body) + b"\n) " + whole.tail


def _names(line: bytes) -> Iterable[str]:
    return (_text(name) for name in _NAME.findall(line))


def _text(name: bytes) -> str:
    return name.replace(b"``", b"`").decode("utf-8", "surrogateescape")
