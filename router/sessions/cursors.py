"""Cursors of prepared statements: rows kept in the router, handed out by COM_STMT_FETCH.

The statement runs as any other, but what it writes is kept: a cursor holds no connection of any MySQL while the
client takes its time (MySQL itself makes a temporary table of it). Bounded: MAX_CURSOR_BYTES a session.

Invariants:
- While a statement runs, the session counts as one of a client without DEPRECATE_EOF (so that its answer can be told
  apart); whatever ends it, the connection writes for itself again with its own flags.
- SERVER_STATUS_LAST_ROW_SENT comes, as from MySQL, with the fetch that finds fewer rows than it asks for.
"""

from collections import deque
from collections.abc import Iterable
from typing import Final

from core.errors import not_supported
from core.rpc import messages as m
from router.sessions.session import Session
from wire.answers import end_of_rows, err_packet, is_eof, parse_eof
from wire.constants import (
    CLIENT_DEPRECATE_EOF,
    ERR_HEADER,
    OK_HEADER,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_STATUS_CURSOR_EXISTS,
    SERVER_STATUS_LAST_ROW_SENT,
)
from wire.packets import frame, iterate_payloads, read_lenenc_int
from wire.results import row_packets
from wire.scan import QUERY, ResultScanner

MAX_CURSOR_BYTES: Final = 16 * 1024 * 1024
"""What all open cursors of one session may hold."""


class Cursor:
    """Rows that the client has not fetched yet."""

    __slots__ = ("_warnings", "rows", "size_bytes")

    def __init__(self, rows: Iterable[bytes], size_bytes: int, warnings: int) -> None:
        self.rows = deque(rows)
        self.size_bytes = size_bytes
        self._warnings = warnings

    def fetch(self, session: Session, count: int) -> tuple[bytes, bool]:
        """The packets of the next `count` rows, and whether they were the last."""
        last = len(self.rows) < count
        taken = [self.rows.popleft() for _ in range(min(count, len(self.rows)))]
        packets, sequence = row_packets(taken, 1)
        status = session.status | (SERVER_STATUS_LAST_ROW_SENT if last else SERVER_STATUS_CURSOR_EXISTS)
        return packets + end_of_rows(sequence, status, self._warnings, session.caps), last


class Opening:
    """One COM_STMT_EXECUTE that wants a cursor, while it runs."""

    __slots__ = (
        "_caps",
        "_flags",
        "_free_bytes",
        "_parts",
        "_session",
        "_size",
        "_write",
        "cursor",
        "too_large",
    )

    def __init__(self, session: Session, held_bytes: int) -> None:
        """`held_bytes`: what other cursors of the session hold already."""
        connection = session.connection
        self._session = session
        self._write = connection.write
        self._caps = connection.caps
        self._flags = session.flags & m.F_DEPRECATE_EOF
        self._free_bytes = MAX_CURSOR_BYTES - held_bytes
        self._parts: list[bytes] = []
        self._size = 0
        self.too_large = False
        self.cursor: Cursor | None = None
        connection.write = self.write
        connection.caps &= ~CLIENT_DEPRECATE_EOF
        session.flags &= ~m.F_DEPRECATE_EOF

    def write(self, data: bytes) -> None:
        """Takes a piece of the answer; beyond the bound the statement is cancelled and its rows are dropped."""
        if self.too_large:
            return
        self._size += len(data)
        self._parts.append(data)
        if self._size > self._free_bytes:
            self.too_large = True
            self._parts.clear()
            session = self._session
            if session.request and session.link is not None:
                session.link.cancel(session.request)

    def end(self) -> None:
        """The statement has ended: answers the client, and keeps its rows in `cursor` if it gave rows."""
        session = self._session
        connection = session.connection
        connection.write = self._write
        connection.caps = self._caps
        session.flags |= self._flags
        if self.too_large:
            error = not_supported(
                f"a cursor over more than {MAX_CURSOR_BYTES} bytes of rows",
                "Fetch without a cursor: rows stream as they are read.",
            )
            connection.write(err_packet(1, error.number, error.sqlstate, error.message))
            return
        data = b"".join(self._parts)
        payloads = list(iterate_payloads(data))
        if payloads and payloads[0][0] not in (OK_HEADER, ERR_HEADER):
            count, _ = read_lenenc_int(payloads[0], 0)
            if payloads[-1][0] == ERR_HEADER:
                connection.write(frame(payloads[-1], 1))
                return
            if is_eof(payloads[-1]):  # a CALL ends with an OK
                end = parse_eof(payloads[-1])
                if not end.status & SERVER_MORE_RESULTS_EXISTS and _is_one_result(payloads, count):
                    self._open(payloads, count, end.status, end.warnings)
                    return
        scanner = ResultScanner()  # an OK, an ERR, several results: no cursor
        scanner.begin(QUERY, deprecate_eof=bool(self._caps & CLIENT_DEPRECATE_EOF))
        connection.write(scanner.feed(data)[1])

    def _open(self, payloads: list[bytes], columns: int, status: int, warnings: int) -> None:
        self.cursor = Cursor(payloads[columns + 2 : -1], self._size, warnings)
        head, sequence = row_packets(payloads[: columns + 1], 1)
        self._session.connection.write(
            head + end_of_rows(sequence, status | SERVER_STATUS_CURSOR_EXISTS, warnings, self._caps)
        )


def _is_one_result(payloads: list[bytes], columns: int) -> bool:
    """Whether the first EOF behind the definitions belongs to the one result that there is."""
    return not parse_eof(payloads[columns + 1]).status & SERVER_MORE_RESULTS_EXISTS and not any(
        is_eof(one) for one in payloads[columns + 2 : -1]
    )
