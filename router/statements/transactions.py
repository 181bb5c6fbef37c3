"""BEGIN, COMMIT and ROLLBACK.

Invariants:
- BEGIN costs no round trip: each shard opens the transaction with the first statement it gets.
- COMMIT and ROLLBACK with one shard held are one forwarded statement, without a task.
- Nothing is answered with OK unless every shard held has answered OK; after a loss only ROLLBACK is.
"""

from dataclasses import dataclass
from typing import Final

from core.errors import SluiceError
from core.rpc import messages as m
from router.call import TabletError
from router.gateway import Link
from router.plan.plans import Kind
from router.sessions import holding
from router.sessions.commit import commit
from router.sessions.reservation import TABLES
from router.sessions.session import Session
from router.sessions.transaction_tracker import begun
from router.sessions.where import any_link
from router.statements.locks import unlock_for_transaction
from router.statements.passing import one_shard
from router.statements.words import Words
from router.variables.reading import is_mariadb

_ACCESS: Final = ("READ ONLY", "READ WRITE")


@dataclass(frozen=True, slots=True)
class Ending:
    """How COMMIT or ROLLBACK goes on: None where the statement does not say."""

    chain: bool | None
    release: bool | None


def parse_begin(words: Words) -> tuple[str, bool]:
    """The START TRANSACTION to send to shards, and whether it wants a consistent snapshot."""
    if words.takes("BEGIN"):
        words.takes("WORK")
        words.end()
        return "START TRANSACTION", False
    words.expect("START", "TRANSACTION")
    access = ""
    snapshot = False
    while words.peek() is not None:
        if words.takes("READ", "ONLY") and not access:
            access = "READ ONLY"
        elif words.takes("READ", "WRITE") and not access:
            access = "READ WRITE"
        elif words.takes("WITH", "CONSISTENT", "SNAPSHOT") and not snapshot:
            snapshot = True
        else:
            raise words.error()
        if words.peek() is not None and not words.takes_mark(","):
            raise words.error()
    said = [*(["WITH CONSISTENT SNAPSHOT"] if snapshot else []), *([access] if access else [])]
    return " ".join(["START TRANSACTION", ", ".join(said)]).strip(), snapshot


def parse_ending(words: Words) -> Ending:
    """What stands behind COMMIT or ROLLBACK."""
    words.at += 1
    words.takes("WORK")
    chain: bool | None = None
    release: bool | None = None
    if words.takes("AND"):
        chain = not words.takes("NO")
        words.expect("CHAIN")
    if words.takes("NO", "RELEASE"):
        release = False
    elif words.takes("RELEASE"):
        release = True
        if chain:
            raise words.error()
    words.end()
    return Ending(chain, release)


def begin(session: Session, kind: Kind, sql: bytes) -> None:
    """BEGIN, START TRANSACTION: commits an open transaction first. Raises SluiceError."""
    del kind
    text, snapshot = parse_begin(Words(sql, session.dialect))
    tx = session.tx
    statements = [text]
    if tx is not None:
        tx.check()
        if not is_mariadb(session):
            statements = following(tx.begin, text)
    if snapshot:
        one_shard(session, "START TRANSACTION WITH CONSISTENT SNAPSHOT")  # those of several differ in time
    if (tx is not None and tx.held) or snapshot or _locks_tables(session):
        session.start(_begin(session, statements, snapshot))
        return
    _open(session, statements)
    session.ok()


def following(begin: list[str], text: str = "START TRANSACTION") -> list[str]:
    """What begins a transaction by `text` after one that `begin` began, where isolation and access go on: chained, or
    (MySQL) without COMMIT or ROLLBACK in between. A snapshot does not."""
    level = [one for one in begin if "ISOLATION LEVEL" in one]
    access = [one.rpartition(" ")[2] for one in begin if one.endswith(_ACCESS)]
    if access and not text.endswith(_ACCESS):
        text = f"{text}{', ' if 'SNAPSHOT' in text else ' '}READ {access[-1]}"
    return [*level[-1:], text]


def _open(session: Session, statements: list[str] | None) -> None:
    """`statements`: what begins it; None for START TRANSACTION."""
    holding.transaction_over(session)
    holding.open_transaction(session, begin=statements).explicit = True
    begun(session)


def _locks_tables(session: Session) -> bool:
    return bool(session.reserved) and any(TABLES in one.pins for one in (session.reserved or {}).values())


async def _begin(session: Session, statements: list[str], snapshot: bool) -> None:
    await commit(session)
    if _locks_tables(session):
        await unlock_for_transaction(session)
    _open(session, statements)
    tx = session.tx
    if snapshot and tx is not None:
        try:
            await session.worker.calls.join(session, tx, any_link(session))
        except SluiceError:
            holding.transaction_over(session)
            raise
    session.ok()


def end(session: Session, kind: Kind, sql: bytes) -> None:
    """COMMIT, ROLLBACK. Raises SluiceError."""
    ending = parse_ending(Words(sql, session.dialect))
    completion = (session.variables or {}).get("completion_type", "")
    chain = ending.chain if ending.chain is not None else completion == "'CHAIN'" and not ending.release
    release = ending.release if ending.release is not None else completion == "'RELEASE'" and not ending.chain
    tx = session.tx
    if kind is Kind.COMMIT and tx is not None:
        tx.check()
    if tx is not None and tx.branch is not None and tx.held:
        _refused(session, kind, tx.branch)
    elif tx is None or not tx.held:
        _over(session, chain)
        session.next_transaction = None
        session.ok()
        if release:
            session.connection.close()
    elif chain or release or len(tx.held) > 1 or session.rules or session.worker.admission.limits_queries:
        session.start(_end(session, kind, chain, release))
    else:
        _forward_end(session, kind)


def _forward_end(session: Session, kind: Kind) -> None:
    """The hot way: one shard held. `on_result` sees that no transaction is open any more."""
    tx = session.tx
    assert tx is not None
    (link,) = tx.held
    if kind is Kind.ROLLBACK:
        try:
            tx.handle_on(link)
        except SluiceError:  # the tablet is another: what was open there is rolled back
            holding.transaction_over(session)
            session.ok()
            return
    flags = m.F_WRITE if session.reserved and link in session.reserved else m.F_WRITE | m.F_RELEASE
    session.forward(link, flags, (), kind.value.upper().encode(), None)


def _refused(session: Session, kind: Kind, branch: Link) -> None:
    """COMMIT, ROLLBACK inside of an XA transaction: its server says why not. One that is lost is over with ROLLBACK."""
    tx = session.tx
    assert tx is not None
    try:
        tx.handle_on(branch)
    except SluiceError:
        if kind is Kind.COMMIT:
            raise
        holding.transaction_over(session)
        session.ok()
        return
    session.forward(branch, m.F_WRITE, (), kind.value.upper().encode(), None)


async def _end(session: Session, kind: Kind, chain: bool, release: bool) -> None:
    if kind is Kind.COMMIT:
        tx = session.tx
        await commit(session)
        if chain and tx is not None:
            _open(session, following(tx.begin))
    else:
        await _rollback(session)
        _over(session, chain)
    session.ok()
    if release:
        session.connection.close()


async def _rollback(session: Session) -> None:
    """Rolls back every shard held. Where a shard has not, its connection is given up, and rolled back with that; so is
    a reserved one, of which the next statement on it is told."""
    tx = session.tx
    assert tx is not None
    for link in list(tx.held):
        try:
            handle = tx.handle_on(link)
        except SluiceError:
            return
        reserved = bool(session.reserved and link in session.reserved)
        flags = m.F_STATUS | m.F_WRITE | session.flags & m.F_FOUND_ROWS
        try:
            answer = await session.worker.calls.execute(
                link,
                b"ROLLBACK",
                flags=flags if reserved else flags | m.F_RELEASE,
                handle=handle,
                user=session.user,
                settings=session.settings_text,
            )
            rolled_back, handle = not answer.failed, answer.handle
        except TabletError as failure:
            rolled_back, handle = False, failure.handle
        if handle and not (rolled_back and reserved):
            link.free(handle)
            handle = 0
        tx.note(link, handle)


def _over(session: Session, chain: bool) -> None:
    """The transaction is over; with CHAIN the next one begins with the same characteristics."""
    tx = session.tx
    holding.transaction_over(session)
    if chain:
        _open(session, following(tx.begin) if tx is not None else None)
