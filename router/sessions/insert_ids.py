"""LAST_INSERT_ID(), ROW_COUNT() and FOUND_ROWS() of a session: what its statements' answers tell of them.

Invariant: an OK packet's insert id is the session's LAST_INSERT_ID() only where its tablet does not say otherwise
(I_INSERT_ID): it may be an id that a row gave, or that of a row which was there.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from core.rpc import messages as m
from router.variables.reading import is_mariadb
from wire.answers import Ok, parse_ok
from wire.packets import last_payload, read_lenenc_int

if TYPE_CHECKING:
    from router.call import Answer
    from router.gateway import Link
    from router.sessions.session import Session


UNKNOWN_ROWS: Final = (1 << 64) - 1
"""FOUND_ROWS() where it is not known."""
_MATCHED: Final = b"Rows matched: "
_KEEPS: Final = re.compile(rb"(?:insert|replace|delete|checksum|explain|show\s+create)\b", re.IGNORECASE)
"""Statements whose rows are none that FOUND_ROWS() counts."""
_MAY_KEEP: Final = frozenset(
    case(word)
    for word in (b"ins", b"rep", b"del", b"che", b"exp", b"sho")
    for case in (bytes.lower, bytes.upper)
)


def with_insert_id(session: Session, extra: dict[str, Any] | None = None) -> dict[str, Any]:
    """`extra` of a statement with F_INSERT_ID."""
    return {**(extra or {}), "insert_id": session.last_insert_id}


def forward_insert(
    session: Session,
    link: Link,
    flags: int,
    tables: tuple[str, ...] | None,
    sql: bytes,
    params: bytes | None = None,
    extra: dict[str, Any] | None = None,
) -> None:
    """`Session.forward` of a statement with F_INSERT_ID. Raises SluiceError."""
    extra = with_insert_id(session, extra)
    if params is not None:
        flags |= m.F_PREPARED
        extra["params"] = params
    session.forward(link, flags | m.F_INSERT_ID, tables, sql, extra)


def note_ok(session: Session, data: bytes, info: int) -> None:
    """Remembers what ROW_COUNT() and LAST_INSERT_ID() say after an answer that is one OK packet."""
    if data[4] == 0xFF:
        session.affected_rows = -1
        return
    session.affected_rows, at = read_lenenc_int(data, 5)
    number, _ = read_lenenc_int(data, at)
    if number and not info & m.I_INSERT_ID:
        session.last_insert_id = number
    at = data.find(_MATCHED, at)
    if at > 0 and not is_mariadb(session):  # UPDATE sets FOUND_ROWS() on MySQL
        session.found_rows = int(data[at + len(_MATCHED) :].split(b" ", 1)[0])


def note_rows(session: Session, info: int) -> None:
    """Remembers what FOUND_ROWS() says after an answer that is a result set; `info` as its last RESULT has it."""
    if info & (m.I_OK | m.I_ERR | m.I_ENDS_OK):
        return
    if session.statement[:3] in _MAY_KEEP and _KEEPS.match(session.statement):
        return
    session.found_rows = info >> m.ROWS_SHIFT


def note_rows_whole(session: Session, sql: bytes, answer: Answer) -> None:
    """As `note_rows`, of the whole answer to `sql`: SELECT ... INTO @x says by its OK how many rows there were."""
    if answer.info & m.I_OK and not answer.failed and sql[:6].upper() == b"SELECT":
        session.found_rows = parse_ok(answer.last_payload()).affected_rows
    else:
        note_rows(session, answer.info)


def note_whole(session: Session, answer: Answer) -> None:
    """As `note_ok`, of a whole answer, whatever it is."""
    if answer.info & m.I_OK and not answer.failed:
        note_ok(session, answer.data, answer.info)
        return
    session.affected_rows = -1
    if answer.info & m.I_ENDS_OK:
        note_end_of_call(session, answer.data)


def note_told(session: Session, told: bytes) -> None:
    """Takes the data of a RESULT with I_INSERT_ID."""
    number, _, found = told.partition(b" ")
    session.last_insert_id = int(number)
    if found:
        session.found_rows = UNKNOWN_ROWS if found == b"?" else int(found)


def note_end_of_call(session: Session, data: bytes) -> None:
    """ROW_COUNT() after an answer of several results that ends with an OK packet; `data`: its last bytes."""
    session.affected_rows, _ = read_lenenc_int(last_payload(data), 1)


def note_generated(
    session: Session, answers: Sequence[Answer], oks: Sequence[Ok], first: int, insert: int, before: int
) -> int:
    """Keeps LAST_INSERT_ID() after an INSERT on several shards, or with ids of a sequence, of which `first` is the
    first; returns what of those the OK packet has to say. `oks`: what counts of `answers`; `before`: LAST_INSERT_ID()
    before it."""
    affected = sum(ok.affected_rows for ok in oks)
    if not affected or (insert & m.F_UPSERT and affected != 1):
        first = 0  # every row was ignored, or one that was there changed
    own = _generated(answers, before)
    if insert & m.F_INSERT_ID and first and (own or any(0 < ok.last_insert_id < first for ok in oks)):
        first = 0  # LAST_INSERT_ID(value) says more
    session.last_insert_id = first or own or before
    return first


def _generated(answers: Sequence[Answer], before: int) -> int:
    """The first id that one of the shards generated; 0 where none did."""
    for answer in answers:
        if answer.told:
            number = int(answer.told.partition(b" ")[0])
            if number != before:
                return number
        elif not answer.info & m.I_INSERT_ID:
            number = parse_ok(answer.last_payload()).last_insert_id
            if number:
                return number
    return 0
