"""LOAD DATA LOCAL: MySQL asks for the file, the router sends what its client sends, piece by piece.

    MySQL                      tablet                            router
    LOCAL_INFILE name    ->    RESULT with I_INFILE        ->    asks its client
    packets              <-    written as they come        <-    FILE (the empty one ends the file)
                               TAKEN as MySQL's socket takes ->  so much more may be sent

Invariants
- Nothing but FILE records is sent to MySQL while it reads the file; the tablet never opens a file of its own.
- An answer of MySQL before the file's end, a stop, a client that stalls, a lost router: the connection is closed,
  since rows that are still on their way would be read as commands. What the statement did is rolled back, because
  the router always runs it in a transaction.
- At most FILE_WINDOW_BYTES of one file are on their way between a router and MySQL, unless the router sends one batch.
"""

from typing import Final

from core.errors import fail
from core.rpc.messages import FAIL, I_INFILE, RESULT, TAKEN
from tablet.backend.connection import Connection
from tablet.statements.counts import Counts
from tablet.statements.request import RUNNING
from wire.answers import parse_err
from wire.constants import ERR_HEADER
from wire.packets import frame, packet_count

_PIECE_BYTES: Final = 1 << 20


class File:
    """The file on its way, as the task of its connection: MySQL has nothing to say before the file's end.

    `sequence`: of the next packet to MySQL. `heard_s`: when the router last sent some.
    """

    __slots__ = ("_statement", "heard_s", "owed_bytes", "sequence")

    def __init__(self, statement: "Infile", sequence: int, now_s: float) -> None:
        self._statement = statement
        self.sequence = sequence & 0xFF
        self.heard_s = now_s
        self.owed_bytes = 0

    def received(self, data: bytes) -> None:
        self._statement.answered_early(data)

    def lost(self) -> None:
        self._statement.lost()


class Infile(Counts):
    """The part of a statement's life in which MySQL reads a file."""

    __slots__ = ()

    def received(self, data: bytes) -> None:
        """MySQL's answer."""
        raise NotImplementedError

    def _begin_file(self) -> None:
        """MySQL wants the file: the router is asked for it."""
        connection: Connection = self.connection
        self.state = RUNNING
        # the command took sequence ids from 0 on, MySQL's request the next one
        self._file = File(self, packet_count(len(self.sql) + 1) + 1, self.execution.now())
        connection.task = self._file
        connection.on_writable = self._file_taken
        name = connection.scanner.filename
        held = self.held
        if self.with_handle:
            handle, status = (held.handle, held.status) if held is not None else (0, 0)
            self.peer.send((RESULT, self.id, I_INFILE, name, handle, status))
        else:
            self.peer.send((RESULT, self.id, I_INFILE, name))

    def file_data(self, data: bytes) -> None:
        """A piece of the file from the router; an empty one is its end."""
        file = self._file
        if file is None:
            return  # sent before the router heard of the end
        connection: Connection = self.connection
        file.heard_s = now_s = self.execution.now()
        for at in range(0, len(data), _PIECE_BYTES):
            connection.transport.write(frame(data[at : at + _PIECE_BYTES], file.sequence))
            file.sequence = (file.sequence + 1) & 0xFF
        if not data:
            self._file = None
            connection.on_writable = None
            connection.task = self
            connection.scanner.resume_after_infile((file.sequence + 1) & 0xFF, 1)
            connection.transport.write(frame(b"", file.sequence))
            self.expires_s = now_s + self.limit_s  # the time limit is for MySQL, not for the client's sending
        else:
            file.owed_bytes += len(data)
            if not connection.write_paused:
                self._file_taken()

    def _file_taken(self) -> None:
        file = self._file
        if file is not None and file.owed_bytes:
            self.peer.send((TAKEN, self.id, file.owed_bytes))
            file.owed_bytes = 0

    def answered_early(self, data: bytes) -> None:
        """MySQL ended the statement before the file's end: its own error is told, the connection goes."""
        if len(data) > 8 and data[4] == ERR_HEADER:
            error = parse_err(data[4 : 4 + int.from_bytes(data[:3], "little")])
            number, sqlstate, text = error.number, error.sqlstate, error.text
        else:
            lost = fail("CONNECTION_LOST", **self.execution.where)
            number, sqlstate, text = lost.number, lost.sqlstate, lost.message
        self._close_over_file()
        self._finish()
        stats = self.execution.stats
        stats.errors += 1
        stats.note_error(number, text)
        self.peer.send((FAIL, self.id, number, sqlstate, text, 0))

    def _close_over_file(self) -> None:
        """The connection is closed in the middle of a file: what the statement did is undone by that."""
        connection: Connection = self.connection
        self._file = None
        connection.on_writable = None
        if self._token is not False:
            connection.token.append(self._token)
            self._token = False
        if self.held is not None:
            self.execution.handles.remove(self.held)
            self.held = None
        connection.task = None
        connection.abort()  # not COM_QUIT: it would be read as a row
        self.execution.pool.discard(connection)

    def _stop_file(self) -> None:
        """The statement is told to stop while MySQL reads the file."""
        self._close_over_file()
        self.fail(self._stop_error())
