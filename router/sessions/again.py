"""Statements that go once more, since their tablet has not begun them.

    the tablet said               the statement                             goes
    DRAINING                      no connection was held for it             as it was, to the tablet's successor
    CONNECTION_LOST               a read that surely changes nothing,       as it was
                                  of which the client has seen nothing
    NEEDS_VARIABLES               any                                       with what its stored programs use

Invariant: what its first try used up (SET TRANSACTION) is there again.
"""

from typing import TYPE_CHECKING, Any, Final

from core.errors import CODES, not_supported
from core.rpc import messages as m
from router.gateway import Link
from router.sessions import called, holding
from router.sessions.insert_ids import with_insert_id
from router.sessions.warnings import note_error
from router.variables.reading import is_mariadb
from wire.answers import parse_err
from wire.packets import last_payload

if TYPE_CHECKING:
    from router.sessions.session import Session

Sent = tuple[int, tuple[str, ...] | None, bytes, dict[str, Any] | None, list[str] | None]
"""Flags, tables, text and extra, as `Session.forward` was given them; what SET TRANSACTION had said."""

_DRAINING: Final = CODES["DRAINING"].number
_LOST: Final = CODES["CONNECTION_LOST"].number
_UNTOUCHED: Final = frozenset((1044, 1049, 1064, 1066, 1142, 1143, 1146, 1222, 1227, 1305, 1792))
"""Errors that both servers meet before a transaction begins; then those that MySQL does."""
_UNTOUCHED_MYSQL: Final = frozenset((1052, 1054))
_COUNTS: Final = (m.NEEDS_ROW_COUNT, m.NEEDS_FOUND_ROWS)
_MAX_ROWS: Final = 100_000
"""A tablet makes so many rows for a program that reads their number."""
_NEEDS_VARIABLES: Final = CODES["NEEDS_VARIABLES"].number


def goes_again(session: "Session", link: Link, sent: Sent, number: int, text: str) -> bool:
    """Whether the statement that `link`'s tablet failed with `number` and `text` is under way once more. Raises
    SluiceError where it cannot be."""
    flags, tables, sql, extra, _ = sent
    if number == _NEEDS_VARIABLES:
        forget_try(session, sent[4])
        wanted, further, told = told_along(session, text)
        if not wanted:
            flags = flags & ~m.F_CONSOLIDATE | m.F_VARIABLES | further
            session.forward_admitted(link, flags, tables, sql, {**(extra or {}), **told})
        else:
            session.start(session.worker.calls.run_again(session, link, sent, text))
        return True
    if number != _DRAINING and not (number == _LOST and flags & m.F_CONSOLIDATE):
        return False
    forget_try(session, sent[4])
    if session.sent_bytes or holding.holds(session):
        return False
    if flags & m.F_CALL:
        called.begins(session)
    elif flags & m.F_BRANCH:
        called.begins_branch(session, link)
    session.forward_admitted(link, flags, tables, sql, extra)
    session.resend = None  # once: a second refusal is the client's to hear
    return True


def ended_by_error(session: "Session", sent: Sent | None, data: bytes) -> None:
    """The statement that was `sent` has ended with the ERR packet at the end of `data`."""
    payload = last_payload(data)
    note_error(session, payload)
    tx = session.tx
    if tx is not None and tx.first:
        tx.first = False
        if not session.reserved and _untouched(session, payload):  # on a server it has begun none
            holding.transaction_over(session)
    if sent is not None and sent[4] is not None and not sent[0] & m.F_CALL:
        keep_characteristics(session, sent[4], payload)


def keep_characteristics(session: "Session", next_transaction: list[str], payload: bytes) -> None:
    """SET TRANSACTION had said `next_transaction` before a statement in autocommit that this ERR ended: it holds on
    where the error was met before any table was read."""
    if session.tx is None and session.next_transaction is None and _untouched(session, payload):
        session.next_transaction = next_transaction


def _untouched(session: "Session", payload: bytes) -> bool:
    """Whether the error was met before a transaction began."""
    number = parse_err(payload).number
    return number in _UNTOUCHED or (number in _UNTOUCHED_MYSQL and not is_mariadb(session))


def told_along(session: "Session", said: str) -> tuple[set[str], int, dict[str, Any]]:
    """Of what a tablet names with NEEDS_VARIABLES: what needs a connection of its own, and the flags and extra of a
    statement that tell the rest. Raises 1235."""
    wanted = needed(said)
    flags, extra = 0, {}
    if m.NEEDS_INSERT_ID in wanted:
        flags, extra = m.F_INSERT_ID, with_insert_id(session)
    if not wanted.isdisjoint(_COUNTS):
        counts = (session.affected_rows, session.found_rows)
        told = [count if name in wanted else None for name, count in zip(_COUNTS, counts, strict=True)]
        if any(count is not None and count > _MAX_ROWS for count in told):
            raise not_supported(
                f"a stored program that reads {' or '.join(_COUNTS)} of more than {_MAX_ROWS} rows",
                "Run a statement with fewer rows before it.",
            )
        flags |= m.F_COUNTS
        extra["counts"] = told
    return wanted - {m.NEEDS_INSERT_ID, *_COUNTS}, flags, extra


def needed(said: str) -> set[str]:
    """What a tablet names with NEEDS_VARIABLES."""
    return set(said.rpartition(" ")[2].split(","))


def forget_try(session: "Session", next_transaction: list[str] | None) -> None:
    """A statement was not begun: the session is as before it, when SET TRANSACTION had said `next_transaction`."""
    if session.tx is None:
        session.next_transaction = next_transaction
    else:
        called.dropped(session)
