"""The packets that end an answer: OK, ERR and EOF, built for clients and parsed from MySQL.

Builders return payloads or, with a sequence id, whole packets. OK's `info` is length-encoded with and without
CLIENT_SESSION_TRACK: the documentation says otherwise, every MySQL and MariaDB server does so.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from struct import Struct

from wire.constants import (
    CLIENT_DEPRECATE_EOF,
    CLIENT_SESSION_TRACK,
    EOF_HEADER,
    ERR_HEADER,
    OK_HEADER,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_AUTOCOMMIT,
    SESSION_TRACK_GTIDS,
    SESSION_TRACK_SCHEMA,
    SESSION_TRACK_STATE_CHANGE,
    SESSION_TRACK_SYSTEM_VARIABLES,
    SESSION_TRACK_TRANSACTION_CHARACTERISTICS,
    SESSION_TRACK_TRANSACTION_STATE,
)
from wire.errors import broken_answer
from wire.packets import PayloadCursor, frame, lenenc_bytes, lenenc_int

_STATUS_WARNINGS = Struct("<HH")
_EOF = Struct("<IBHH")
_EOF_AS_OK = Struct("<IBBBHH")


@dataclass(frozen=True, slots=True)
class SessionChanges:
    """What MySQL's session trackers reported in one OK packet; None is "not reported". Text is UTF-8."""

    system_variables: tuple[tuple[str, str], ...] = ()
    schema: str | None = None
    state_changed: bool | None = None
    gtids: str | None = None
    transaction_characteristics: str | None = None
    transaction_state: str | None = None
    unknown_types: tuple[int, ...] = ()

    @property
    def leaves_something(self) -> bool:
        """Whether the session is not what it was before, apart from its default database and its transaction."""
        return bool(self.system_variables or self.state_changed or self.unknown_types)


@dataclass(frozen=True, slots=True)
class Ok:
    affected_rows: int = 0
    last_insert_id: int = 0
    status: int = SERVER_STATUS_AUTOCOMMIT
    warnings: int = 0
    info: bytes = b""
    session_changes: SessionChanges | None = None


@dataclass(frozen=True, slots=True)
class Err:
    number: int
    sqlstate: str
    text: str


@dataclass(frozen=True, slots=True)
class Eof:
    status: int
    warnings: int


def ok_payload(
    affected_rows: int = 0,
    last_insert_id: int = 0,
    status: int = SERVER_STATUS_AUTOCOMMIT,
    warnings: int = 0,
    info: bytes = b"",
    session_changes: SessionChanges | None = None,
    caps: int = 0,
    header: int = OK_HEADER,
) -> bytes:
    """An OK packet for a client with `caps`; `header` EOF_HEADER ends rows for a DEPRECATE_EOF client.

    Session changes go only to a client with CLIENT_SESSION_TRACK; for others the status flag is cleared too.
    Where they say nothing the flag is set all the same: servers do so for what changed and changed back.
    """
    status &= ~SERVER_SESSION_STATE_CHANGED
    changes = b""
    if session_changes is not None and caps & CLIENT_SESSION_TRACK:
        changes = encode_session_changes(session_changes)
        status |= SERVER_SESSION_STATE_CHANGED
    payload = b"".join(
        (
            bytes((header,)),
            lenenc_int(affected_rows),
            lenenc_int(last_insert_id),
            _STATUS_WARNINGS.pack(status, min(warnings, 0xFFFF)),
        )
    )
    if status & SERVER_SESSION_STATE_CHANGED:
        return payload + lenenc_bytes(info) + lenenc_bytes(changes)
    return payload + lenenc_bytes(info) if info else payload


def ok_packet(
    sequence: int,
    affected_rows: int = 0,
    last_insert_id: int = 0,
    status: int = SERVER_STATUS_AUTOCOMMIT,
    warnings: int = 0,
    info: bytes = b"",
    session_changes: SessionChanges | None = None,
    caps: int = 0,
    header: int = OK_HEADER,
) -> bytes:
    return frame(
        ok_payload(affected_rows, last_insert_id, status, warnings, info, session_changes, caps, header),
        sequence,
    )


def err_payload(number: int, sqlstate: str, text: str) -> bytes:
    """An ERR packet of protocol 4.1; `text` is cut at MySQL's 512 bytes, never within a character."""
    message = text.encode("utf-8", "surrogateescape")
    if len(message) > 511:
        message = message[:511].decode("utf-8", "ignore").encode()
    return (
        bytes((ERR_HEADER,))
        + number.to_bytes(2, "little")
        + b"#"
        + sqlstate.encode("ascii").ljust(5, b"0")[:5]
        + message
    )


def err_packet(sequence: int, number: int, sqlstate: str, text: str) -> bytes:
    return frame(err_payload(number, sqlstate, text), sequence)


def eof_packet(sequence: int, status: int, warnings: int = 0) -> bytes:
    """The classic EOF packet."""
    return _EOF.pack(5 | sequence << 24, EOF_HEADER, min(warnings, 0xFFFF), status)


def end_of_rows(sequence: int, status: int, warnings: int = 0, caps: int = 0) -> bytes:
    """What ends rows for a client with `caps`: the classic EOF, or an OK packet with EOF's header."""
    if caps & CLIENT_DEPRECATE_EOF:
        return _EOF_AS_OK.pack(7 | sequence << 24, EOF_HEADER, 0, 0, status, min(warnings, 0xFFFF))
    return _EOF.pack(5 | sequence << 24, EOF_HEADER, min(warnings, 0xFFFF), status)


def parse_ok(payload: bytes, session_track: bool = False) -> Ok:
    """Parses an OK packet (header 0x00, or 0xFE instead of an EOF). Raises ServerProtocolError."""
    if not payload or payload[0] not in (OK_HEADER, EOF_HEADER):
        raise broken_answer("not an OK packet")
    cursor = PayloadCursor(payload, "OK packet", 1, broken_answer)
    affected_rows = cursor.lenenc_int()
    last_insert_id = cursor.lenenc_int()
    status = cursor.uint(2)
    warnings = cursor.uint(2)
    info = b""
    changes: SessionChanges | None = None
    if cursor.left():
        if session_track:
            info = cursor.lenenc_bytes()
            if status & SERVER_SESSION_STATE_CHANGED and cursor.left():
                changes = decode_session_changes(cursor.lenenc_bytes())
        else:
            info = _lenient_info(cursor.rest())
    return Ok(affected_rows, last_insert_id, status, warnings, info, changes)


def _lenient_info(tail: bytes) -> bytes:
    """Length-encoded from a real server; to the end of the packet where someone followed the documentation."""
    cursor = PayloadCursor(tail, "OK packet", 0, broken_answer)
    if tail[0] < 0xFB or tail[0] in (0xFC, 0xFD):
        width = 1 if tail[0] < 0xFB else tail[0] - 0xF9
        if len(tail) >= width and cursor.lenenc_int() == cursor.left():
            return cursor.rest()
    return tail


def parse_err(payload: bytes) -> Err:
    """Parses an ERR packet, with or without SQLSTATE (before login there is none). Raises ServerProtocolError."""
    if len(payload) < 3 or payload[0] != ERR_HEADER:
        raise broken_answer("not an ERR packet")
    number = payload[1] | payload[2] << 8
    if payload[3:4] == b"#" and len(payload) >= 9:
        return Err(number, payload[4:9].decode("ascii", "replace"), payload[9:].decode("utf-8", "replace"))
    return Err(number, "HY000", payload[3:].decode("utf-8", "replace"))


def parse_eof(payload: bytes) -> Eof:
    """Parses a classic EOF packet. Raises ServerProtocolError."""
    if len(payload) != 5 or payload[0] != EOF_HEADER:
        raise broken_answer("not an EOF packet")
    return Eof(status=payload[3] | payload[4] << 8, warnings=payload[1] | payload[2] << 8)


def is_eof(payload: bytes) -> bool:
    """Whether a packet where rows are due is a classic EOF; a row may begin with 0xFE too, but is longer."""
    return len(payload) < 9 and payload[:1] == b"\xfe"


def decode_session_changes(data: bytes) -> SessionChanges:
    """Parses the session state information of an OK packet. Types this code does not know are listed, not lost:
    whoever depends on a complete picture must treat them as "anything may have changed"."""
    cursor = PayloadCursor(data, "session state", 0, broken_answer)
    variables: list[tuple[str, str]] = []
    single: dict[int, str] = {}
    unknown: list[int] = []
    while cursor.left():
        kind = cursor.uint(1)
        entry = PayloadCursor(cursor.lenenc_bytes(), "session state", 0, broken_answer)
        if kind == SESSION_TRACK_SYSTEM_VARIABLES:
            while entry.left():  # MariaDB puts several into one entry
                variables.append((_text(entry.lenenc_bytes()), _text(entry.lenenc_bytes())))
        elif kind == SESSION_TRACK_GTIDS:
            entry.uint(1)  # encoding specification, always 0
            single[kind] = _text(entry.lenenc_bytes())
        elif kind == SESSION_TRACK_STATE_CHANGE:  # a bare byte, where the others have a string
            single[kind] = _text(entry.rest())
        elif kind <= SESSION_TRACK_TRANSACTION_STATE:
            single[kind] = _text(entry.lenenc_bytes())
        else:
            unknown.append(kind)
    changed = single.get(SESSION_TRACK_STATE_CHANGE)
    return SessionChanges(
        system_variables=tuple(variables),
        schema=single.get(SESSION_TRACK_SCHEMA),
        state_changed=None if changed is None else changed == "1",
        gtids=single.get(SESSION_TRACK_GTIDS),
        transaction_characteristics=single.get(SESSION_TRACK_TRANSACTION_CHARACTERISTICS),
        transaction_state=single.get(SESSION_TRACK_TRANSACTION_STATE),
        unknown_types=tuple(unknown),
    )


def encode_session_changes(changes: SessionChanges) -> bytes:
    """The session state information of an OK packet, without its own length; empty if nothing changed. The order is
    that of the servers."""
    entries = [
        _entry(SESSION_TRACK_SYSTEM_VARIABLES, lenenc_bytes(_raw(name)) + lenenc_bytes(_raw(value)))
        for name, value in changes.system_variables
    ]
    if changes.schema is not None:
        entries.append(_entry(SESSION_TRACK_SCHEMA, lenenc_bytes(_raw(changes.schema))))
    if changes.state_changed is not None:
        entries.append(_entry(SESSION_TRACK_STATE_CHANGE, b"1" if changes.state_changed else b"0"))
    if changes.gtids is not None:
        entries.append(_entry(SESSION_TRACK_GTIDS, b"\0" + lenenc_bytes(_raw(changes.gtids))))
    entries.extend(_strings(SESSION_TRACK_TRANSACTION_STATE, changes.transaction_state))
    entries.extend(_strings(SESSION_TRACK_TRANSACTION_CHARACTERISTICS, changes.transaction_characteristics))
    return b"".join(entries)


def _strings(kind: int, value: str | None) -> Iterable[bytes]:
    return () if value is None else (_entry(kind, lenenc_bytes(_raw(value))),)


def _entry(kind: int, data: bytes) -> bytes:
    return bytes((kind,)) + lenenc_bytes(data)


def _text(data: bytes) -> str:
    return data.decode("utf-8", "surrogateescape")


def _raw(text: str) -> bytes:
    return text.encode("utf-8", "surrogateescape")
