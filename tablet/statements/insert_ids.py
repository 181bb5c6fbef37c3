"""LAST_INSERT_ID() after an INSERT, where MySQL's OK packet does not say it.

The OK packet has the first id that MySQL generated; where it generated none, one that a row gave, or that of a row
which ON DUPLICATE KEY UPDATE changed. Only the first is LAST_INSERT_ID(). No flag tells them apart, so:

    statement                                    what is done
    literals, the id is none of them (F_INSERT)  nothing: it was generated
    one row that changed another (F_UPSERT)      nothing: LAST_INSERT_ID() is as before
    OK without an id                             nothing: as before
    anything else                                SELECT LAST_INSERT_ID() on the same connection, behind the answer

After a CALL whose answer has rows that SELECT also tells what FOUND_ROWS() is. After one without it is not known: what
the server says may be of the session that had the connection before.

A connection may have another session's LAST_INSERT_ID() (`Connection.insert_id` says which, where it is known). Where
that could be mistaken for an id of this statement, it is set to 0 before; F_INSERT_ID always begins with the session's.
"""

import re
from decimal import Decimal
from math import ceil, floor
from typing import Final

from core.rpc.messages import F_INSERT_ID, F_UPSERT, I_INSERT_ID, RESULT
from tablet.backend.connection import Command, Connection
from tablet.statements.ending import LEAVES_ID
from tablet.statements.opening import Opening
from tablet.statements.request import SETUP
from wire.constants import COM_STMT_BULK_EXECUTE
from wire.errors import ClientProtocolError, CommandError
from wire.packets import iterate_payloads, read_lenenc_int
from wire.scan import ERR, OK
from wire.statements import parse_execute

_MAX_TEXT_BYTES: Final = 8192
"""A longer statement is not read for what its values may be: MySQL is asked."""
_LARGEST: Final = 10**13
"""From there on clocks as numbers begin, and ids that clients make; MySQL is asked."""
_BOUNDS: Final = frozenset(2**bits - 1 for bits in (7, 8, 15, 16, 23, 24, 31, 32))
"""What a value too large for its column becomes where sql_mode is not strict."""
_UNCLEAR: Final = re.compile(
    rb"""(?<![\w$])(?:0[xXbB]|[xXbB]')|\\[a-zA-Z0-9][-+.0-9]|[-+.0-9]\\|'\s+'|"\s+"|_(?i:ucs2|utf16|utf16le|utf32)\b"""
)
_NUMBER: Final = re.compile(rb"(?<![\w$.])(?:\d+(?:\.\d*)?|\.\d+)(?:[eE][-+]?\d{1,3}(?!\d))?")
_HIDES_BINDS: Final = re.compile(rb"['\"#]|--|/\*|`[^`]*\?")
"""Where a ? may be no parameter."""
_CLOCK: Final = re.compile(rb"[-: ]")
_SEVERAL_ROWS: Final = re.compile(rb"\)\s*,")
_ASK: Final = b"\x03SELECT LAST_INSERT_ID()"
_ASK_OF_CALL: Final = b"\x03SELECT LAST_INSERT_ID(), FOUND_ROWS()"
_CALL: Final = b"CALL"
_SETS: Final = b"LAST_INSERT_ID"
_RECORDS: Final = b"Records: "
"""How the OK packet of an INSERT ... SELECT begins its info: FOUND_ROWS() is their number."""


def given_numbers(sql: bytes, params: bytes | None) -> frozenset[int] | None:
    """The whole numbers that a value among the literals of `sql`, or the `params` of its execution, may become in a
    column of integers; some more at times. None where that cannot be told."""
    if len(sql) > _MAX_TEXT_BYTES or _UNCLEAR.search(sql) is not None:
        return None
    found: set[int] = set()
    _add_numbers(sql, found)
    if params is not None:
        if params[0] == COM_STMT_BULK_EXECUTE or _HIDES_BINDS.search(sql) is not None:
            return None
        try:
            values = parse_execute(b"\x17\0\0\0\0" + params, sql.count(b"?")).values()
        except (ClientProtocolError, CommandError):
            return None
        for value in values:
            if isinstance(value, int):
                found.add(value)
            elif isinstance(value, float):
                if not abs(value) < _LARGEST:
                    continue
                found |= {floor(value), ceil(value)}
            elif value is not None:
                _add_numbers(value[:64], found)
                digits = _CLOCK.sub(b"", value[:32])  # a date or time as a number
                if digits.isdigit():
                    found.add(int(digits))
    return frozenset(found)


def _add_numbers(text: bytes, found: set[int]) -> None:
    for token in _NUMBER.findall(text):
        if len(token) > 64:
            continue  # a number far beyond _LARGEST, unless it is zeros
        if token.isdigit():
            found.add(int(token))
        else:
            value = Decimal(token.decode())
            if value < _LARGEST:
                found |= {floor(value), ceil(value)}


class InsertIds(Opening):
    """The part of a statement's life that is about LAST_INSERT_ID()."""

    __slots__ = ()

    def _may_be_given(self, number: int) -> bool:
        """Whether a row of the statement may itself have said `number` for its id."""
        if number >= _LARGEST or number in _BOUNDS or self.execution.programs.triggers:
            return True
        numbers = self._numbers
        if numbers is False:
            numbers = self._numbers = given_numbers(self.sql, self.params)
        return numbers is None or number in numbers

    def _starts_elsewhere(self) -> bool:
        """Before it runs: True where LAST_INSERT_ID() must be another first; then that is under way."""
        connection: Connection = self.connection
        there = connection.insert_id
        if self.flags & F_INSERT_ID:
            wanted = self.insert_id
            if there == wanted:
                return False
        else:
            wanted = 0
            self._numbers = False
            if not there or (there > 0 and not self._may_be_given(there)):
                return False

        self.state = SETUP

        def started(command: Command) -> None:
            if not command.ok:
                self._setup_failed(command)
                return
            connection.insert_id = wanted
            if self.stopped is not None:
                self._stopped_before_running()
            else:
                self._send()

        connection.command(b"\x03DO LAST_INSERT_ID(%d)" % wanted, started)
        return True

    def _note_id(self) -> None:
        """After the answer: whether MySQL must be asked (`_asks`), and what is known of the connection."""
        connection: Connection = self.connection
        scanner = connection.scanner
        flags = self.flags
        held = self.held
        if not flags & LEAVES_ID:
            if scanner.last_insert_id or (held is not None and (held.reserved or _SETS in self.sql.upper())):
                connection.insert_id = -1
            return
        self._asks = False
        number = scanner.last_insert_id
        if self.stopped is not None:
            connection.insert_id = -1
        elif flags & F_INSERT_ID:
            self._asks = True
            self._found = b""
            self._has_rows = scanner.result_count > 1
            if self.tables is None and scanner.kind == OK and scanner.info.startswith(_RECORDS):
                self._found = b" " + scanner.info[len(_RECORDS) :].partition(b" ")[0]
        elif scanner.kind == OK:
            if not number:
                pass
            elif flags & F_UPSERT and scanner.affected_rows != 1:
                self._info |= I_INSERT_ID
            elif (flags & F_UPSERT and connection.found_rows) or self._may_be_given(number):
                self._asks = True
            else:
                connection.insert_id = number
        else:
            self._asks = scanner.kind != ERR or _SEVERAL_ROWS.search(self.sql) is not None

    def _ask_id(self) -> None:
        """Asks MySQL; `_tracked_all` goes on."""
        self._asks = False
        ask = _ASK
        if self.flags & F_INSERT_ID and self.sql[:4].upper() == _CALL:
            if self._has_rows:
                ask = _ASK_OF_CALL
            else:
                self._found = b" ?"
        self.connection.command(ask, self._told_id)

    def _told_id(self, command: Command) -> None:
        connection: Connection = self.connection
        before = connection.insert_id
        connection.insert_id = -1
        if command.lost_connection and self.held is not None:
            self.lost()
            return
        if command.ok:  # else the answer stands, and the OK packet's id has to do
            *_, row, _ = iterate_payloads(command.data)
            size, at = read_lenenc_int(row, 0)
            value = connection.insert_id = int(row[at : at + size])
            if at + size < len(row):
                self._found = b" " + row[at + size + 1 :]
            self._info |= I_INSERT_ID
            if self.flags & F_INSERT_ID:
                self.peer.send((RESULT, self.id, I_INSERT_ID, b"%d%b" % (value, self._found)))
            elif value != before:
                self.peer.send((RESULT, self.id, I_INSERT_ID, b"%d" % value))
        self._tracked_all()
