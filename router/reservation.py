"""Connections reserved for a session: why, since when, until when.

A session holds a connection beyond a transaction only for what lives in the connection and cannot be replayed: named
locks, LOCK TABLES, temporary tables. Each such thing is a `Pin`; when the last pin of a connection is gone, so is the
reservation. Everything else that a statement leaves behind (user variables, FOUND_ROWS, LAST_INSERT_ID(value)) is read
back right after it (`execute/bracket.py`) and pins nothing.

Invariant: while a connection is reserved, every statement of the session for that shard runs on it.
"""

import re
from dataclasses import dataclass, field
from typing import Final

TABLES: Final = "LOCK TABLES"
_ANY_LOCK: Final = "a named lock"

_LITERAL: Final = rb"\s*\(\s*('(?:[^'\\]|\\.|'')*'|\"(?:[^\"\\]|\\.|\"\")*\")"
_GET: Final = re.compile(rb"\bget_lock" + _LITERAL, re.IGNORECASE)
_RELEASE: Final = re.compile(rb"\brelease_lock" + _LITERAL, re.IGNORECASE)
_TEMPORARY: Final = re.compile(
    rb"^\s*create\s+(?:or\s+replace\s+)?temporary\s+table\s+(?:if\s+not\s+exists\s+)?([`\w$.]+)",
    re.IGNORECASE,
)
_DROP: Final = re.compile(
    rb"^\s*drop\s+(?:temporary\s+)?tables?\s+(?:if\s+exists\s+)?([`\w$.,\s]+?)\s*(?:restrict|cascade)?\s*;?\s*$",
    re.IGNORECASE,
)
_RELEASE_ALL: Final = re.compile(rb"\brelease_all_locks\s*\(", re.IGNORECASE)
_LOCK_FUNCTION: Final = re.compile(rb"\bget_lock\s*\(", re.IGNORECASE)


@dataclass(slots=True)
class Pin:
    """One reason: what, by which statement, since when (`time.time()`), how often."""

    what: str
    statement: str
    since: float
    count: int = 1


@dataclass(slots=True)
class Reservation:
    """A connection that a tablet keeps for this session."""

    handle: int
    incarnation: int
    pins: dict[str, Pin] = field(default_factory=dict)

    def note(self, sql: bytes, now: float) -> None:
        """Takes account of a statement that has succeeded on this connection."""
        for what in pins_of(sql):
            pin = self.pins.get(what)
            if pin is None:
                self.pins[what] = Pin(what, sql[:200].decode("utf-8", "replace"), now)
            else:
                pin.count += 1
        for what in ends_of(sql):
            self._end(what)

    def _end(self, what: str) -> None:
        if what == _ANY_LOCK:
            for name in [name for name in self.pins if name.startswith(_ANY_LOCK)]:
                del self.pins[name]
            return
        pin = self.pins.get(what)
        if pin is not None:
            pin.count -= 1
            if pin.count <= 0 or not what.startswith(_ANY_LOCK):
                del self.pins[what]


def pins_of(sql: bytes) -> list[str]:
    """What the statement leaves in its connection.

    >>> pins_of(b"SELECT GET_LOCK('a', 1)")
    ["a named lock 'a'"]
    """
    found = [f"{_ANY_LOCK} {_shown(name)}" for name in _GET.findall(sql)]
    found += [_ANY_LOCK] * (len(_LOCK_FUNCTION.findall(sql)) - len(found))  # a computed name
    temporary = _TEMPORARY.match(sql)
    if temporary:
        found.append(f"temporary table {_table(temporary[1])}")
    if sql.lstrip()[:11].lower().startswith((b"lock table", b"lock tables")):
        found.append(TABLES)
    return found


def ends_of(sql: bytes) -> list[str]:
    """What the statement takes away again.

    >>> ends_of(b"drop temporary table if exists `a`, b")
    ['temporary table a', 'temporary table b']
    """
    if _RELEASE_ALL.search(sql):
        return [_ANY_LOCK]
    found = [f"{_ANY_LOCK} {_shown(name)}" for name in _RELEASE.findall(sql)]
    drop = _DROP.match(sql)
    if drop:
        found += [f"temporary table {_table(name)}" for name in drop[1].split(b",")]
    if re.match(rb"\s*unlock\s+table", sql, re.IGNORECASE):
        found.append(TABLES)
    return found


def _shown(literal: bytes) -> str:
    return "'" + literal[1:-1].decode("utf-8", "replace").lower() + "'"


def _table(name: bytes) -> str:
    return name.strip().replace(b"`", b"").rpartition(b".")[2].decode("utf-8", "replace")
