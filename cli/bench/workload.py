"""The bench's own table, the statements of each mode, and what their answers must be. Pure.

The table is sysbench's in shape (id, k, c CHAR(120), pad CHAR(60)); `c` is made from `id`, so that any row can be
checked without asking anybody. Every statement gives one column of strings.

    point       one point select
    read-only   BEGIN, ten point selects, four selects of a range of 100 ids (rows, SUM, ORDER BY, DISTINCT), COMMIT
    read-write  the same, and two updates, a delete and an insert of one id before the COMMIT
"""

from collections.abc import Callable
from dataclasses import dataclass
from random import Random
from typing import Final

TABLE: Final = "sluice_bench"
MODES: Final = ("point", "read-only", "read-write")
RANGE: Final = 100
POINTS: Final = 10

_FILL: Final = b"-0123456789" * 10
_LETTERS: Final = b"abcdefghijklmnopqrstuvwxyz"

CREATE: Final = (
    f"CREATE TABLE {TABLE} (id BIGINT NOT NULL PRIMARY KEY, k BIGINT NOT NULL, c CHAR(120) NOT NULL,"
    " pad CHAR(60) NOT NULL, KEY k (k)) ENGINE=InnoDB"
)

Rows = tuple[bytes | None, ...]
Check = Callable[[Rows], bool]


def value(row_id: int) -> bytes:
    """`c` of the row as it is first made.

    >>> value(7)[:14], len(value(7))
    (b'0000000007-012', 120)
    """
    return b"%010d" % row_id + _FILL


def fill(first: int, last: int) -> str:
    """The statement that makes the rows `first` to `last`."""
    rows = (f"({i},{i},'{value(i).decode()}','pad')" for i in range(first, last + 1))
    return f"INSERT INTO {TABLE} (id, k, c, pad) VALUES " + ",".join(rows)


@dataclass(frozen=True, slots=True)
class Kind:
    """One statement with `?` for its whole numbers."""

    name: str
    sql: bytes
    preparable: bool = True

    def text(self, parameters: tuple[int, ...]) -> bytes:
        """With the numbers put in."""
        return self.sql.replace(b"?", b"%d") % parameters


BEGIN: Final = Kind("begin", b"BEGIN", preparable=False)
COMMIT: Final = Kind("commit", b"COMMIT", preparable=False)
ROLLBACK: Final = Kind("rollback", b"ROLLBACK", preparable=False)
POINT: Final = Kind("point", b"SELECT c FROM sluice_bench WHERE id=?")
SIMPLE: Final = Kind("range", b"SELECT c FROM sluice_bench WHERE id BETWEEN ? AND ?")
SUM: Final = Kind("sum", b"SELECT SUM(k) FROM sluice_bench WHERE id BETWEEN ? AND ?")
ORDER: Final = Kind("order", b"SELECT c FROM sluice_bench WHERE id BETWEEN ? AND ? ORDER BY c")
DISTINCT: Final = Kind("distinct", b"SELECT DISTINCT c FROM sluice_bench WHERE id BETWEEN ? AND ? ORDER BY c")
UPDATE_K: Final = Kind("update k", b"UPDATE sluice_bench SET k=k+1 WHERE id=?")
UPDATE_C: Final = Kind(
    "update c",
    b"UPDATE sluice_bench SET c=CONCAT(LEFT(c,10), REPEAT(CHAR(? USING ascii),110)) WHERE id=?",
)
DELETE: Final = Kind("delete", b"DELETE FROM sluice_bench WHERE id=?")
INSERT: Final = Kind(
    "insert",
    b"INSERT INTO sluice_bench (id, k, c, pad) VALUES (?,?,CONCAT(LPAD(?,10,'0'),REPEAT('z',110)),'pad')",
)


def profile(number: int) -> str:
    """The SET that gives a client settings which no other number has, and which change no answer.

    >>> profile(3)
    "SET time_zone = '+03:00', lock_wait_timeout = 103, sql_mode = 'STRICT_ALL_TABLES'"
    """
    mode = ("", "TRADITIONAL", "ANSI", "STRICT_ALL_TABLES")[number % 4]
    return f"SET time_zone = '+{number % 14:02}:00', lock_wait_timeout = {100 + number}, sql_mode = '{mode}'"


_READS: Final = (POINT, SIMPLE, SUM, ORDER, DISTINCT)
_WRITES: Final = (UPDATE_K, UPDATE_C, DELETE, INSERT)


def kinds(mode: str) -> tuple[Kind, ...]:
    """The statements that a mode uses and that can be prepared."""
    return {"point": (POINT,), "read-only": _READS, "read-write": _READS + _WRITES}[mode]


@dataclass(frozen=True, slots=True)
class Step:
    """One statement and the check of its answer."""

    kind: Kind
    parameters: tuple[int, ...] = ()
    check: Check | None = None
    """None: it has no rows."""
    exactly: bytes | None = None
    """The one value that the answer holds, where it is known."""


def point(row_id: int) -> Step:
    expected = value(row_id)
    return Step(POINT, (row_id,), lambda rows: rows == (expected,), expected)


def transaction(mode: str, rows: int, random: Random) -> list[Step]:
    """The statements of one event of `read-only` or `read-write`."""
    changing = mode == "read-write"
    steps = [Step(BEGIN)]
    for _ in range(POINTS):
        row_id = random.randint(1, rows)
        steps.append(Step(POINT, (row_id,), _row_check(row_id)) if changing else point(row_id))
    for kind in (SIMPLE, SUM, ORDER, DISTINCT):
        first = random.randint(1, max(1, rows - RANGE + 1))
        last = min(rows, first + RANGE - 1)
        steps.append(Step(kind, (first, last), _range_check(kind, first, last, changing)))
    if changing:
        steps.append(Step(UPDATE_K, (random.randint(1, rows),)))
        steps.append(Step(UPDATE_C, (random.choice(_LETTERS), random.randint(1, rows))))
        row_id = random.randint(1, rows)
        steps.append(Step(DELETE, (row_id,)))
        steps.append(Step(INSERT, (row_id, row_id, row_id)))
    steps.append(Step(COMMIT))
    return steps


def _row_check(row_id: int) -> Check:
    return lambda rows: len(rows) == 1 and _is_of(rows[0], row_id)


def _range_check(kind: Kind, first: int, last: int, changing: bool) -> Check:
    if kind is SUM:
        if changing:
            return lambda rows: len(rows) == 1 and rows[0] is not None
        total = b"%d" % sum(range(first, last + 1))
        return lambda rows: rows == (total,)
    ids = range(first, last + 1)
    if not changing:
        expected = tuple(value(i) for i in ids)
        return lambda rows: rows == expected
    return lambda rows: len(rows) == len(ids) and all(map(_is_of, rows, ids))


def _is_of(c: bytes | None, row_id: int) -> bool:
    """Whether `c` is one of the values that the row may have: never another row's, never a torn one."""
    if c == value(row_id):
        return True
    if c is None or len(c) != 120:
        return False
    head, rest = c[:10], c[10:]
    return head == b"%010d" % row_id and rest == rest[:1] * 110
