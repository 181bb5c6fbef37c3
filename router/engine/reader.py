"""One shard's answer, read as it comes: chunks cut anywhere in, column definitions, rows and the end out.

Invariants: rows are handed out in the shard's order and only when whole; a chunk that is fully read is dropped;
`creditable_bytes` never exceeds what came, and covers a cut row when nothing else is left to read, so that a row
larger than the window cannot wait for credit forever. The shard was asked without F_DEPRECATE_EOF: its column
definitions and its rows each end with a classic EOF. After an end or an error nothing more is read.
"""

from __future__ import annotations

from enum import Enum
from struct import Struct
from typing import Final

from core.rpc.messages import CHUNK_BYTES
from wire.answers import Ok, is_eof, parse_eof, parse_err, parse_ok
from wire.columns import Column, parse_column
from wire.constants import ERR_HEADER, LOCAL_INFILE_HEADER, MAX_PAYLOAD, OK_HEADER
from wire.errors import broken_answer
from wire.packets import read_lenenc_int

_read_header = Struct("<I").unpack_from

CREDIT_STEP_BYTES: Final = CHUNK_BYTES // 2
"""Smaller grants are kept back; the window is several times as large, so a shard never waits for them."""


class Stage(Enum):
    """What the next packet is."""

    START = "start"
    COLUMNS = "columns"
    COLUMNS_END = "columns end"
    ROWS = "rows"
    END = "end"  # of rows, or the whole answer was one OK packet
    ERROR = "error"


class ResultReader:
    """`feed` what the shard sends; then read `columns`, and rows by `next_row` or `take_packets`.

    `error_payload` is set by an ERR packet (stage ERROR), `ok` when the answer is no result set. All methods that
    read raise ServerProtocolError where the answer does not parse or ends too early.
    """

    __slots__ = (
        "_at",
        "_buffer",
        "_consumed",
        "_count",
        "_granted",
        "_need",
        "_pending",
        "_pending_size",
        "_received",
        "columns",
        "error_payload",
        "last",
        "ok",
        "raw_columns",
        "stage",
        "status",
        "warnings",
    )

    def __init__(self) -> None:
        self.stage = Stage.START
        self.columns: list[Column] = []
        self.raw_columns: list[bytes] = []
        self.status = 0
        self.warnings = 0
        self.ok: Ok | None = None
        self.error_payload: bytes | None = None
        self.last = False
        self._count = 0
        self._buffer = b""
        self._at = 0
        self._pending: list[bytes] = []
        self._pending_size = 0
        self._need = 4  # bytes from _at on without which nothing further can be read
        self._received = self._consumed = self._granted = 0

    # ---- input

    def feed(self, data: bytes, last: bool) -> None:
        """Takes a chunk and reads the header if it is due; rows wait for `next_row` or `take_packets`."""
        self._received += len(data)
        if self.stage in (Stage.END, Stage.ERROR):
            # what comes after the end was asked for may still flow, so that the shard need not be killed
            self._consumed = self._received
            self.last = self.last or last
            return
        if data:
            if self._at == len(self._buffer) and not self._pending:
                self._buffer, self._at = data, 0
            else:
                self._pending.append(data)
                self._pending_size += len(data)
        self.last = last
        while not self.has_header:
            payload = self._next()
            if payload is None:
                break
            self._head(payload)
        if last and not self.has_header:
            raise broken_answer("answer ends too early")

    @property
    def has_header(self) -> bool:
        """The answer's kind is known: columns, OK or error."""
        return self.stage not in (Stage.START, Stage.COLUMNS, Stage.COLUMNS_END)

    @property
    def at_end(self) -> bool:
        return self.stage is Stage.END

    # ---- flow control

    def take_credit(self) -> int:
        """Bytes to grant to the shard since the last call: what was read, or all that came when a row is cut."""
        if self.last:
            return 0
        creditable = self._consumed if self._has_whole_packet() else self._received
        grant = creditable - self._granted
        if grant < CREDIT_STEP_BYTES:
            return 0
        self._granted = creditable
        return grant

    def _has_whole_packet(self) -> bool:
        return self.stage is Stage.ROWS and self._available() >= self._need and self._payload_end() > 0

    # ---- rows

    def next_row(self) -> bytes | None:
        """The payload of the next row; None when more must come or the rows are over (then `stage` tells)."""
        if self.stage is not Stage.ROWS:
            return None
        payload = self._next()
        if payload is None:
            self._check_cut()
            return None
        first = payload[0] if payload else ERR_HEADER
        if first >= 0xFE and self._is_end(payload):
            return None
        return payload

    def take_packets(self, sequence: int, limit: int) -> tuple[bytearray, int, int]:
        """The packets of all whole rows that are there, at most `limit` rows, numbered from `sequence`.

        Gives the packets, the sequence id of what follows and the number of rows. Rows are not looked into: this
        is the way of a result that is only concatenated, at the price of one pass over the packets' headers.
        """
        if self.stage is not Stage.ROWS:
            return bytearray(), sequence, 0
        if self._available() < self._need:
            self._check_cut()
            return bytearray(), sequence, 0
        self._gather()
        data = bytearray(self._buffer[self._at :] if self._at else self._buffer)
        size = len(data)
        at = start = rows = 0  # `start`: where the row at `at` begins, which may have several packets
        following = sequence
        need = 4
        while at + 4 <= size and rows < limit:
            length: int = _read_header(data, at)[0] & MAX_PAYLOAD
            end = at + 4 + length
            if end > size:
                need = end - start
                break
            if at == start:
                if not length:
                    raise broken_answer("empty packet where a row is due")
                if data[at + 4] >= 0xFE and length < MAX_PAYLOAD and self._is_end(bytes(data[at + 4 : end])):
                    self._skip(end)
                    del data[at:]
                    return data, following, rows
            data[at + 3] = sequence
            sequence = (sequence + 1) & 0xFF
            at = end
            if length != MAX_PAYLOAD:
                rows += 1
                start = at
                following = sequence
        self._skip(start)
        self._need = max(need, at + 4 - start)
        if rows < limit:
            self._check_cut()
        del data[start:]
        return data, following, rows

    def discard(self) -> None:
        """Forgets what is buffered: nobody reads this answer any more. What still comes is credited at once."""
        self._consumed = self._received
        self._buffer, self._at = b"", 0
        self._pending.clear()
        self._pending_size = 0
        if self.stage is not Stage.ERROR:
            self.stage = Stage.END

    # ---- packets

    def _check_cut(self) -> None:
        """Nothing more can be read now: that is wrong if nothing more comes."""
        if self.last:
            raise broken_answer("answer ends within its rows")

    def _available(self) -> int:
        return len(self._buffer) - self._at + self._pending_size

    def _gather(self) -> None:
        if self._pending:
            self._pending.insert(0, self._buffer[self._at :])
            self._buffer, self._at = b"".join(self._pending), 0
            self._pending.clear()
            self._pending_size = 0

    def _skip(self, size: int) -> None:
        self._at += size
        self._consumed += size
        self._need = 4

    def _payload_end(self) -> int:
        """Offset after the next whole payload, or 0; `_need` then says how much it takes to look again."""
        self._gather()
        buffer = self._buffer
        available = len(buffer)
        at = self._at
        while at + 4 <= available:
            length: int = _read_header(buffer, at)[0] & MAX_PAYLOAD
            at += 4 + length
            if at > available:
                self._need = at - self._at
                return 0
            if length < MAX_PAYLOAD:
                return at
        self._need = at + 4 - self._at
        return 0

    def _next(self) -> bytes | None:
        # chunks are joined only once a whole payload can be there: a row of many chunks is copied once
        at = self._at
        buffer = self._buffer
        if at + 4 <= len(buffer):
            length = _read_header(buffer, at)[0] & MAX_PAYLOAD
            end = at + 4 + length
            if end <= len(buffer) and length < MAX_PAYLOAD:
                self._at = end
                self._consumed += length + 4
                return buffer[at + 4 : end]
        if self._available() < self._need:
            return None
        end = self._payload_end()
        if not end:
            return None
        buffer, at = self._buffer, self._at
        step = MAX_PAYLOAD + 4
        payload = b"".join(buffer[start + 4 : min(start + step, end)] for start in range(at, end, step))
        self._skip(end - at)
        return payload

    def _head(self, payload: bytes) -> None:
        if not payload:
            raise broken_answer("empty packet")
        first = payload[0]
        if first == ERR_HEADER:
            self._fail(payload)
        elif self.stage is Stage.START:
            if first == OK_HEADER:
                self.ok = parse_ok(payload)
                self.status, self.warnings = self.ok.status, self.ok.warnings
                self.stage = Stage.END
            elif first == LOCAL_INFILE_HEADER:
                raise broken_answer("LOAD DATA LOCAL where a result set is due")
            else:
                self._count = read_lenenc_int(payload, 0)[0]
                self.stage = Stage.COLUMNS
        elif self.stage is Stage.COLUMNS:
            self.columns.append(parse_column(payload))
            self.raw_columns.append(payload)
            if len(self.columns) == self._count:
                self.stage = Stage.COLUMNS_END
        else:
            self.status = parse_eof(payload).status
            self.stage = Stage.ROWS

    def _is_end(self, payload: bytes) -> bool:
        if not payload:
            raise broken_answer("empty packet where a row is due")
        if payload[0] == ERR_HEADER:
            self._fail(payload)
            return True
        if is_eof(payload):
            eof = parse_eof(payload)
            self.status, self.warnings = eof.status, eof.warnings
            self.stage = Stage.END
            return True
        return False

    def _fail(self, payload: bytes) -> None:
        parse_err(payload)
        self.error_payload = payload
        self.stage = Stage.ERROR
