"""What a session holds on tablets: the transaction's handles and the reserved connections.

Plain functions on a session, whose `tx` and `reserved` they alone change while statements run.

Invariants:
- A handle that a tablet no longer names is forgotten at once; a transaction that lost one says so until ROLLBACK.
- What a reserved connection and a transaction share is given back by whichever ends last.
"""

import re
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from core.errors import fail, not_supported
from core.rpc import messages as m
from router.gateway import Link
from router.sessions.reservation import INSERT_ID, Pin
from router.sessions.transaction import Transaction
from router.variables.reading import is_mariadb
from wire.answers import parse_ok
from wire.constants import SERVER_STATUS_IN_TRANS
from wire.packets import last_payload

if TYPE_CHECKING:
    from router.sessions.session import Session

_CHARACTERISTICS: Final = ("transaction_read_only", "transaction_isolation")
_INSERT_ID: Final = re.compile(r"insert_id = (\d+)")
_INSERTS: Final = frozenset((b"INS", b"REP", b"LOA"))
_LOST_NUMBERS: Final = frozenset((15008, 15009, 15010, 15020, 15050))


def forward_held(
    session: "Session",
    link: Link,
    flags: int,
    tables: tuple[str, ...] | None,
    sql: bytes,
    extra: dict[str, Any] | None,
) -> None:
    """`Session.forward` of a session that is not in autocommit, or holds something. Raises."""
    tx = session.tx
    if tx is None and not session.autocommit and not reads_no_table(flags, tables):
        if names_no_table(session, flags, tables):
            tx, flags = open_tentative(session), flags | m.F_CALL
        else:
            tx = open_transaction(session)
            tx.first = True
    asked, flags = flags, flags | session.flags | m.F_STATUS
    if not session.autocommit:
        flags |= m.F_NO_AUTOCOMMIT
    if tx is None:
        handle = reserved_handle(session, link)
        session.request = link.execute(
            session, flags, handle, session.user, settings_now(session, asked, tables), tables, sql, extra
        )
        return
    tx.check()
    handle = tx.handle_on(link)
    if not handle:
        check_joining(session, tx, link)
        if tx.savepoints or (session.reserved and link in session.reserved):
            session.start(_join_and_forward(session, tx, link, flags, tables, sql, extra))
            return
        flags |= m.F_BEGIN
        extra = {**(extra or {}), "begin": ";".join(tx.begin)}
    session.request = link.execute(
        session, flags, handle, session.user, session.settings_text, tables, sql, extra
    )


def holds(session: "Session") -> bool:
    """Whether its statements run on connections that it keeps, or keeps from then on."""
    return not session.autocommit or session.tx is not None or session.reserved is not None


def reads_no_table(flags: int, tables: tuple[str, ...] | None) -> bool:
    """Whether it is certain that the statement has no part in any transaction (`tables` alone may be empty because
    they are not known)."""
    return tables == () and bool(flags & m.F_CONSOLIDATE)


def names_no_table(session: "Session", flags: int, tables: tuple[str, ...] | None) -> bool:
    """Whether only the server knows if a statement that would be a transaction's first has a part in any: NOW() has
    none, so that a client that asks for it and goes on to sleep holds nothing."""
    return tables == () and not flags & m.F_WRITE and session.next_transaction is None


def settings_now(session: "Session", flags: int, tables: tuple[str, ...] | None) -> str:
    """The settings of a statement in autocommit: the session's, and once what SET TRANSACTION wants of the next
    transaction, which this statement is if it has a part in any."""
    if session.next_transaction is None or reads_no_table(flags, tables):
        return session.settings_text
    settings = dict(session.settings or {})
    names = ("tx_read_only", "tx_isolation") if is_mariadb(session) else _CHARACTERISTICS
    for one in session.next_transaction:
        _, level, of_level = one.partition("ISOLATION LEVEL ")
        if level:
            settings[names[1]] = f"'{of_level.replace(' ', '-')}'"
        else:
            settings[names[0]] = "1" if one.endswith("READ ONLY") else "0"
    session.next_transaction = None
    return session.worker.intern(",".join(f"{k}={settings[k]}" for k in sorted(settings)))


def check_joining(session: "Session", tx: Transaction, link: Link) -> None:
    """Raises CROSS_SHARD_TRANSACTION where mode single keeps `tx` off one more shard."""
    if tx.held and session.reserved:
        raise not_supported(
            "a transaction over several shards in a session that holds a reserved connection",
            "SHOW PINS says what holds it; end that first.",
        )
    check_mode(session, tx, link)


def check_branch(branch: Link, link: Link, *, begins: bool) -> None:
    """A statement wants a connection to `link` inside of an XA branch that has none there. Raises unless it `begins`
    the branch."""
    if link is not branch:
        raise not_supported(
            f"an XA transaction on {branch.keyspace}/{branch.shard} that also uses {link.keyspace}/{link.shard}",
            "Give each shard an XA transaction of its own, in sessions of their own.",
        )
    if not begins:
        raise fail("XA_LOST", reason="it is closed")


def check_mode(session: "Session", tx: Transaction, link: Link) -> None:
    """The part of `check_joining` that holds for every transaction of the client's own."""
    if tx.branch is not None:
        check_branch(tx.branch, link, begins=tx.tentative)
    if tx.held and not session.implicit and session.worker.transaction_mode(session) == "single":
        first = next(iter(tx.held))
        raise fail(
            "CROSS_SHARD_TRANSACTION",
            first=f"{first.keyspace}/{first.shard}",
            second=f"{link.keyspace}/{link.shard}",
        )


async def _join_and_forward(
    session: "Session",
    tx: Transaction,
    link: Link,
    flags: int,
    tables: tuple[str, ...] | None,
    sql: bytes,
    extra: dict[str, Any] | None,
) -> None:
    await session.worker.calls.join(session, tx, link)
    session.task = None  # the answer comes by on_result: this task is over
    session.request = link.execute(
        session, flags, tx.handle_on(link), session.user, session.settings_text, tables, sql, extra
    )


def note_held(session: "Session", info: int, data: bytes, handle: int, status: int) -> None:
    """An answer has ended: what its tablet says of the handle (0: none any more) and of the transaction."""
    link = session.link
    assert link is not None
    tx = session.tx
    if not handle:
        lose_reserved(session, link)
    if tx is not None:
        tx.note(link, handle)
        tx.first = tx.first and bool(info & m.I_ERR)
        if tx.calling:
            note_called(session, tx, status)
        if not status & SERVER_STATUS_IN_TRANS:
            transaction_ended_on(session, link, failed=bool(info & m.I_ERR))
    reserved = session.reserved.get(link) if session.reserved else None
    if (
        reserved is not None
        and INSERT_ID in reserved.pins
        and not info & m.I_ERR
        and session.statement[:3].upper() in _INSERTS
        and _used_id(reserved.pins[INSERT_ID], info, data)
    ):
        reserved.end(INSERT_ID)
        release_unpinned(session, link)


def note_called(session: "Session", tx: Transaction, status: int) -> None:
    """What began without a BEGIN of the router's, a CALL or XA START, has an answer."""
    autocommit = tx.called(status)
    if tx.branch is None:
        session.autocommit = autocommit
    else:
        tx.explicit = not tx.tentative


def _used_id(pin: Pin, info: int, data: bytes) -> bool:
    """Whether an INSERT whose answer ends with `data` has taken the id that this SET gave: its rows may have brought
    their own."""
    wanted = _INSERT_ID.search(pin.statement)
    return (
        not info & m.I_OK or wanted is None or parse_ok(last_payload(data)).last_insert_id == int(wanted[1])
    )


def note_fail(session: "Session", link: Link, number: int, text: str, handle: int) -> None:
    """As `note_held`, where there was no answer."""
    tx = session.tx
    if not handle:
        lose_reserved(session, link)
    if tx is not None:
        tx.first = False
        was_there = link in tx.held
        tx.note(link, handle)
        if was_there and not handle:
            tx.lose(text)
    if number in _LOST_NUMBERS:
        session.worker.log.info("session %d (%s): %s", session.id, session.user, text)


def open_transaction(session: "Session", begin: list[str] | None = None) -> Transaction:
    """Opens a transaction in the router; no tablet hears of it before a statement needs its shard."""
    statements = begin if begin is not None else ["START TRANSACTION"]
    if session.next_transaction:
        statements = [*session.next_transaction, *statements]
        session.next_transaction = None
    if session.tx is None:
        session.worker.transactions += 1
    session.tx = Transaction(
        statements, read_only=begins_read_only(session, statements), settings_text=session.settings_text
    )
    return session.tx


def open_tentative(session: "Session") -> Transaction:
    """As `open_transaction`, for one statement that tells by its answer whether there is one (`called.py`)."""
    tx = open_transaction(session, begin=[])
    tx.tentative = tx.calling = True
    return tx


def transaction_ended_on(session: "Session", link: Link, *, failed: bool) -> None:
    """The server of `link` says that the transaction is over: rolled back by an error (a deadlock), or committed
    by a statement that does so. A commit that other shards have not heard of loses the transaction: half of it
    is done, and the client must know."""
    tx = session.tx
    if tx is not None and not failed and any(held is not link for held in tx.held):
        tx.lose(
            f"a statement committed it on {link.keyspace}/{link.shard}; on the other shards it was rolled back"
        )
    else:
        transaction_over(session)


def transaction_over(session: "Session") -> None:
    """The transaction ended: gives back what it still holds (rolled back where it was still open)."""
    tx, session.tx = session.tx, None
    if tx is not None:
        session.worker.transactions -= 1
        if session.reserved:
            for link in session.reserved:
                tx.held.pop(link, None)  # not the transaction's to give back
        tx.free()


def reserved_handle(session: "Session", link: Link) -> int:
    """The handle of the connection reserved on `link`, 0 where there is none. Raises CONNECTION_LOST once."""
    reserved = session.reserved.get(link) if session.reserved else None
    if reserved is None:
        return 0
    if reserved.incarnation != link.incarnation or not link.ready:
        lose_reserved(session, link)
        raise fail("CONNECTION_LOST", keyspace=link.keyspace, shard=link.shard)
    return reserved.handle


def lose_reserved(session: "Session", link: Link) -> None:
    """The connection reserved on `link` is gone, with everything that lived in it."""
    if session.reserved:
        session.reserved.pop(link, None)
        if not session.reserved:
            session.reserved = None


def release_unpinned(session: "Session", link: Link) -> None:
    """Gives a reserved connection back when nothing pins it any more; an open transaction goes on with it."""
    reserved = session.reserved.get(link) if session.reserved else None
    if reserved is None or reserved.pins:
        return
    assert session.reserved is not None
    del session.reserved[link]
    if not session.reserved:
        session.reserved = None
    if session.tx is None or link not in session.tx.held:
        link.free(reserved.handle)


def begins_read_only(session: "Session", statements: Sequence[str]) -> bool:
    """Whether a transaction that these statements open may not write."""
    for one in reversed(statements):
        if one.endswith("READ ONLY"):
            return True
        if one.endswith("READ WRITE"):
            return False
    settings = session.settings
    if settings is None:
        return False
    return settings.get("transaction_read_only") == "1" or settings.get("tx_read_only") == "1"
