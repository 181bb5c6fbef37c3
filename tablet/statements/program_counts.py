"""ROW_COUNT() and FOUND_ROWS() for stored programs that read them before a statement of their own.

They are what the session's statement before has left, and live in the router, which sends them along (F_COUNTS).
Nothing sets them but statements of so many rows. Measured on MySQL 9.7 and MariaDB 10.11:

    statement                                  ROW_COUNT()      FOUND_ROWS()
    SELECT SQL_CALC_FOUND_ROWS ... LIMIT 0     -1               its rows without LIMIT
    SET @x = 0                                 0                as before
    CREATE TEMPORARY TABLE ... AS SELECT       its rows         as before; MariaDB: 0
    UPDATE                                     rows changed     MySQL: rows matched; MariaDB: as before

So they are set right before the statement runs, on its own connection.
"""

import re
from collections.abc import Iterator
from typing import Final

from core.rpc.messages import NEEDS_FOUND_ROWS, NEEDS_ROW_COUNT
from wire.constants import COM_QUERY

_TABLE: Final = b"`sluice rows`"
_DIGITS: Final = b"(SELECT 0" + b" UNION ALL SELECT 0" * 9 + b")"
_READS: Final = (
    (re.compile(rb"\brow_count\s*\(", re.IGNORECASE), NEEDS_ROW_COUNT),
    (re.compile(rb"\bfound_rows\s*\(", re.IGNORECASE), NEEDS_FOUND_ROWS),
)
_OWN: Final = re.compile(
    rb"\b(?:insert|update|delete|replace|select|call|load|execute|do|create|drop|alter|truncate|start|commit|rollback)\b",
    re.IGNORECASE,
)
_MAYBE: Final = re.compile(rb"\b(?:if|case|while|repeat|loop|leave|iterate)\b", re.IGNORECASE)

_HANDLER: Final = re.compile(rb"\bhandler\s+for\b", re.IGNORECASE)
"""What runs when a statement fails, and so not before one."""


def counts_read(body: bytes) -> Iterator[str]:
    """Which of the two a program may read before any statement of its own has set them."""
    left = list(_READS)
    for statement in body.split(b";"):
        found = [one for one in left if one[0].search(statement)]
        yield from (name for _, name in found)
        left = [one for one in left if one not in found]
        if not left or _MAYBE.search(statement) is not None:
            yield from (name for pattern, name in left if pattern.search(body))
            return
        if _OWN.search(statement) is not None and _HANDLER.search(statement) is None:
            return


def steps(row_count: int | None, found_rows: int | None, *, mariadb: bool) -> list[bytes]:
    """Commands after which the two say so; None: whatever they say."""
    done: list[bytes] = []
    finds = b"SELECT SQL_CALC_FOUND_ROWS 1 FROM %b AS found LIMIT 0" % _rows(found_rows or 0)
    found = [finds] if found_rows is not None or row_count == -1 else []
    if row_count is not None and row_count > 0:
        made = [
            b"DROP TEMPORARY TABLE IF EXISTS " + _TABLE,
            b"CREATE TEMPORARY TABLE %b AS SELECT 0 AS a FROM %b AS counted" % (_TABLE, _rows(row_count)),
        ]
        done = [*made, *found, b"UPDATE %b SET a = 1" % _TABLE] if mariadb else [made[0], *found, made[1]]
    elif row_count == 0:
        done = [*found, b"SET @`sluice rows` = 0"]
    else:
        done = found
    return [bytes((COM_QUERY,)) + one for one in done]


def _rows(count: int) -> bytes:
    """A derived table of so many rows."""
    width = max(len(str(count)), 1)
    tables = b", ".join(_DIGITS + b" AS d%d" % at for at in range(width))
    return b"(SELECT 0 FROM %b LIMIT %d)" % (tables, count)
