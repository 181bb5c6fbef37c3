"""The file that a client sends for LOAD DATA LOCAL, as something to read.

    state     meant
    NEW       the client has not been asked: nothing is to be drained
    OPEN      the client sends packets, until an empty one
    ENDED     the empty packet came; answers go on from its sequence id

Invariants
- Once asked, the client sends all of its file, whatever happens here: an answer may follow only after its empty packet
  (`drain`). What comes after that packet is the next command again.
- At most MAX_AHEAD_BYTES and one packet wait here; then the client is not read from.
"""

from __future__ import annotations

import asyncio
from collections import deque
from typing import TYPE_CHECKING, Final

from wire.constants import LOCAL_INFILE_HEADER
from wire.packets import PacketReader, frame

if TYPE_CHECKING:
    from router.clients.connection import Connection

MAX_AHEAD_BYTES: Final = 256 * 1024

NEW: Final = 0
OPEN: Final = 1
ENDED: Final = 2


class ClientFile:
    """One client's file."""

    __slots__ = ("_chunks", "_connection", "_discards", "_paused", "_size", "_waiter", "state")

    def __init__(self, connection: Connection) -> None:
        self._connection = connection
        self._chunks: deque[bytes] = deque()
        self._size = 0
        self._paused = False
        self._discards = False
        self._waiter: asyncio.Future[None] | None = None
        self.state = NEW

    def ask(self, name: bytes) -> None:
        """Asks the client for the file that its statement names."""
        connection = self._connection
        self.state = OPEN
        connection.write(frame(bytes((LOCAL_INFILE_HEADER,)) + name, 1))
        connection.receive_file(self)

    def receive(self, reader: PacketReader) -> None:
        """Takes the packets that are whole. Raises WireError."""
        while self.state == OPEN and (packet := reader.next()) is not None:
            payload, sequence = packet
            if not payload:
                self.state = ENDED
                self._resume()
                self._connection.file_ended(sequence)
            elif not self._discards:
                self._chunks.append(payload)
                self._size += len(payload)
        if self._size > MAX_AHEAD_BYTES and not self._paused and self.state == OPEN:
            self._paused = True
            self._connection.transport.pause_reading()
        if self._waiter is not None and not self._waiter.done() and (self._chunks or self.state == ENDED):
            self._waiter.set_result(None)

    async def read(self) -> bytes:
        """The next piece; b"" at the end of the file."""
        while not self._chunks:
            if self.state != OPEN:
                return b""
            self._waiter = self._connection.worker.loop.create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        chunk = self._chunks.popleft()
        self._size -= len(chunk)
        if self._size <= MAX_AHEAD_BYTES // 2:
            self._resume()
        return chunk

    async def drain(self) -> None:
        """Waits for the end of the file without keeping it."""
        self._discards = True
        self._chunks.clear()
        self._size = 0
        self._resume()
        while self.state == OPEN:
            await self.read()

    def _resume(self) -> None:
        if self._paused:
            self._paused = False
            self._connection.transport.resume_reading()
