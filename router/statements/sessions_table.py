"""`processlist` of `information_schema` and `performance_schema`: this router's sessions, by the ids that KILL takes.

A derived table with the columns of the server's own: typed by a row that is not there, filled by VALUES. Who is no
administrator finds its own sessions. Of MariaDB's columns, what a statement uses of its server is not known: 0.
"""

from collections.abc import Iterable, Sequence
from typing import Any, Final

from core.errors import fail
from router.sessions.session import Session
from router.variables.reading import is_mariadb

Rows = Sequence[Sequence[Any]]
"""As `Connection.describe` has them."""

MAX_BYTES: Final = 16 * 1024 * 1024
_TEXT: Final = "CAST(%s AS CHAR(%d) CHARACTER SET utf8mb4) COLLATE utf8mb4_general_ci AS %s"
_COLUMNS: Final = ", ".join(
    (
        _TEXT % ("''", 32, "USER"),
        _TEXT % ("''", 261, "HOST"),
        _TEXT % ("NULL", 64, "DB"),
        _TEXT % ("''", 16, "COMMAND"),
        "CAST(0 AS SIGNED) AS TIME",
        _TEXT % ("NULL", 64, "STATE"),
        _TEXT % ("NULL", 65535, "INFO"),
    )
)
_OF_MARIADB: Final = (
    ", CAST(0 AS DECIMAL(22,3)) AS TIME_MS, 0 AS STAGE, 0 AS MAX_STAGE, CAST(0 AS DECIMAL(7,3)) AS PROGRESS"
    ", 0 AS MEMORY_USED, 0 AS MAX_MEMORY_USED, 0 AS EXAMINED_ROWS, CAST(0 AS SIGNED) AS QUERY_ID"
    ", CAST(NULL AS BINARY(65535)) AS INFO_BINARY, CAST(0 AS SIGNED) AS TID"
)
_OF_PERFORMANCE: Final = ", 'PRIMARY' AS EXECUTION_ENGINE"


def sessions_table(session: Session, rows: Rows, schema: str, alias: str) -> bytes:
    """The table. `alias`: its name, empty where the statement gives it one. Raises RESULT_TOO_LARGE."""
    mariadb, performance = is_mariadb(session), schema == "performance_schema"
    if mariadb and performance:  # it has none
        return b"performance_schema.processlist" + (b" AS `" + alias.encode() + b"`" if alias else b"")
    everyone = session.worker.rights.is_admin(session)
    further = _OF_MARIADB if mariadb else _OF_PERFORMANCE if performance else ""
    begin = b"(" if mariadb else b"ROW("
    found = [
        begin + b",".join(_cells(row, mariadb=mariadb, performance=performance)) + b")"
        for row in sorted(rows, key=lambda row: int(row[0]))
        if everyone or row[1] == session.user
    ]
    limit = session.worker.boot.config.router.max_memory_rows
    if len(found) > limit or sum(map(len, found)) > MAX_BYTES:
        raise fail("RESULT_TOO_LARGE", limit=limit if len(found) > limit else f"{MAX_BYTES} bytes of")
    number = f"CAST(0 AS {_number(mariadb)}) AS ID"
    head = f"SELECT {number}, {_COLUMNS}{further} FROM (SELECT 1) AS nobody WHERE FALSE".encode()
    values = b" UNION ALL VALUES " + b",".join(found) if found else b""
    return b"(" + head + values + b")" + (b" AS `" + alias.encode() + b"`" if alias else b"")


def _number(mariadb: bool) -> str:
    """The type of an id."""
    return "SIGNED" if mariadb else "UNSIGNED"


def _cells(row: Sequence[Any], *, mariadb: bool, performance: bool) -> Iterable[bytes]:
    yield f"CAST({int(row[0])} AS {_number(mariadb)})".encode()
    for cell in row[1:]:
        if cell is None:
            yield b"NULL"
        elif isinstance(cell, int):
            yield b"%d" % cell
        else:
            yield b"_utf8mb4 x'" + str(cell).encode("utf-8", "replace").hex().encode() + b"'"
    if mariadb:
        info = (
            b"NULL"
            if row[7] is None
            else b"x'" + str(row[7]).encode("utf-8", "replace").hex().encode() + b"'"
        )
        yield b"%d,0,0,0,0,0,0,0,%b,0" % (int(row[5]) * 1000, info)
    elif performance:
        yield b"'PRIMARY'"
