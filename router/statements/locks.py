"""Locks and cursors that live in one connection: LOCK TABLES, FLUSH TABLES ... WITH READ LOCK, HANDLER, backup locks.

Each pins its connection until what ends it on the server: UNLOCK TABLES (and BEGIN, of table locks), HANDLER ... CLOSE
of every handler, UNLOCK INSTANCE, BACKUP UNLOCK, BACKUP STAGE END. What a statement makes is read in `reservation.py`.
"""

from __future__ import annotations

from collections.abc import Sequence
from contextlib import suppress
from typing import Final

from core.errors import SluiceError
from core.rpc import messages as m
from router.execute.reserve import pinned, reserve, run_pinned
from router.execute.whole import reply_whole
from router.gateway import Link
from router.plan.plans import Kind
from router.sessions import holding
from router.sessions.commit import commit
from router.sessions.reservation import BACKUP_LOCK, BACKUP_STAGE, INSTANCE, READ_LOCK, TABLES, handler_pin
from router.sessions.session import Session
from router.sessions.where import any_link
from router.statements.evaluate import substituted
from router.statements.passing import ask, one_shard, view_of
from router.statements.result import checked
from router.statements.words import Words
from router.vschema import TableType, VSchemaError

_TABLE_LOCKS: Final = (TABLES, READ_LOCK)


def lock(session: Session, kind: Kind, sql: bytes) -> None:
    """LOCK TABLES: commits the open transaction, and pins a connection until UNLOCK TABLES. LOCK INSTANCE FOR BACKUP:
    pins one until UNLOCK INSTANCE. Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("LOCK")
    if words.takes("INSTANCE"):
        link = one_shard(session, "LOCK INSTANCE")
        session.start(run_pinned(session, link, sql, 0, ()))
        return
    if not words.takes_one("TABLES", "TABLE"):
        raise words.error()
    link = one_shard(session, "LOCK TABLES", "Use a transaction with SELECT ... FOR UPDATE.")
    session.start(_locked(session, link, sql))


async def _locked(session: Session, link: Link, sql: bytes) -> None:
    """With autocommit off, MySQL's own is off, too, as long as tables are locked: a BEGIN would unlock them."""
    await commit(session)
    if session.autocommit:
        await run_pinned(session, link, sql, m.F_WRITE, None)
        return
    await reserve(session, link)
    try:
        await session.worker.calls.join(session, holding.open_transaction(session), link, locks_tables=True)
        await run_pinned(session, link, sql, m.F_WRITE, None)
    except SluiceError:
        holding.transaction_over(session)
        holding.release_unpinned(session, link)
        raise


def unlock(session: Session, kind: Kind, sql: bytes) -> None:
    """UNLOCK TABLES, UNLOCK INSTANCE: nothing to do where nothing is locked."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("UNLOCK")
    what = words.takes_one("TABLES", "TABLE", "INSTANCE")
    if not what:
        raise words.error()
    words.end()
    _end(session, sql, (INSTANCE,) if what == "INSTANCE" else _TABLE_LOCKS)


def _end(session: Session, sql: bytes, pins: tuple[str, ...]) -> None:
    """Runs `sql` wherever one of `pins` is."""
    held = (session.reserved or {}).items()
    links = [link for link, reserved in held if any(pin in reserved.pins for pin in pins)]
    if links:
        session.start(_ended(session, links, sql))
    else:
        session.ok()


async def _ended(session: Session, links: list[Link], sql: bytes) -> None:
    """On every link, whatever one of them says; the first failure is what the client hears."""
    *others, last = links
    failure: SluiceError | None = None
    for link in others:
        try:
            checked(await pinned(session, link, sql, m.F_WRITE, None))
        except SluiceError as error:
            failure = failure or error
    if failure is None:
        await run_pinned(session, last, sql, m.F_WRITE, None)
        return
    with suppress(SluiceError):
        await pinned(session, last, sql, m.F_WRITE, None)
    raise failure


def flush(session: Session, kind: Kind, sql: bytes) -> None:
    """FLUSH; the user's right was asked for before. Of other things than tables it goes to each shard. Raises."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("FLUSH")
    words.takes_one("LOCAL", "NO_WRITE_TO_BINLOG")
    if words.peek() is None:
        raise words.error()
    view = view_of(session)
    named = view.keyspaces.get(session.keyspace)
    of_tables = bool(words.takes_one("TABLES", "TABLE"))
    alone = words.peek() is None  # mysqldump says so before it says which database
    if not of_tables or (alone and (named is None or (len(named.links) > 1 and not session.shard))):
        if named is not None and session.shard:
            links: Sequence[Link] = (named.by_shard[session.shard],)
        else:
            keyspaces = view.keyspaces.values() if named is None else (named,)
            links = [link for one in keyspaces for link in one.links]
        if named is not None and len(links) == 1 and words.sees("STATUS"):
            session.start(run_pinned(session, links[0], sql, m.F_WRITE, None))
            return
        session.start(_flush_all(session, links, sql))
        return
    construct = "FLUSH TABLES ... WITH READ LOCK" if _keeps(words) else "FLUSH TABLES"
    session.start(_locked(session, one_shard(session, construct), sql))


async def _flush_all(session: Session, links: Sequence[Link], sql: bytes) -> None:
    """A FLUSH that keeps nothing, on each shard."""
    await commit(session)
    answer, flags = None, session.flags if session.autocommit else session.flags | m.F_NO_AUTOCOMMIT
    for link in links:
        answer = checked(await ask(session, link, sql, flags=flags))
    assert answer is not None
    reply_whole(session, answer)


def _keeps(words: Words) -> bool:
    return any(one.text in ("WITH", "FOR") and not one.depth for one in words.lexemes[words.at :])


async def unlock_for_transaction(session: Session) -> None:
    """A transaction begins: it ends LOCK TABLES, but not a global read lock. Raises SluiceError."""
    for link, reserved in list((session.reserved or {}).items()):
        if TABLES not in reserved.pins:
            continue
        if READ_LOCK in reserved.pins:  # which UNLOCK TABLES would end too
            await session.worker.calls.in_session(session, link, b"START TRANSACTION")
            await session.worker.calls.in_session(session, link, b"ROLLBACK")
            reserved.end(TABLES)
        else:
            await pinned(session, link, b"UNLOCK TABLES", m.F_WRITE, None)


def backup(session: Session, words: Words, sql: bytes) -> None:
    """MariaDB's BACKUP STAGE and BACKUP LOCK. Raises SluiceError."""
    words.expect("BACKUP")
    if words.takes("UNLOCK"):
        words.end()
        _end(session, sql, (BACKUP_LOCK,))
        return
    if not words.takes_one("STAGE", "LOCK"):
        raise words.error()
    link = _link_of(session, BACKUP_STAGE) or one_shard(session, "BACKUP")
    session.start(_locked(session, link, sql))


def handler(session: Session, words: Words, sql: bytes) -> None:
    """HANDLER ... OPEN, READ, CLOSE. Raises SluiceError."""
    words.expect("HANDLER")
    first = words.name()
    keyspace = ""
    if words.takes_mark("."):
        keyspace, first = first, words.name()
    if words.takes("OPEN"):
        link = _home_of(session, keyspace, first)
        session.start(run_pinned(session, link, sql, 0, ()))
        return
    if keyspace or not words.takes_one("READ", "CLOSE"):
        raise words.error()
    pin = handler_pin(first)
    found = _link_of(session, pin)
    text = substituted(session, words, 0, len(words.lexemes))
    if found is None:  # any server says that it does not know it
        session.forward(any_link(session), 0, (), text, None)
    else:
        session.start(run_pinned(session, found, text, 0, (), forgets=(1109, pin)))


def _link_of(session: Session, pin: str) -> Link | None:
    return next((link for link, one in (session.reserved or {}).items() if pin in one.pins), None)


def _home_of(session: Session, database: str, table: str) -> Link:
    """Where all rows of a table are. Raises SluiceError."""
    view = view_of(session)
    if database:
        name, shard = view.check_database(database)
        session.worker.rights.check_database(session, database, name)
    else:
        name, shard = session.keyspace, session.shard
    if name == session.keyspace and shard == session.shard:
        if shard or len(view.keyspace(name).links) == 1:
            return one_shard(session, "HANDLER")
    elif name in view.keyspaces and (shard or len(view.keyspace(name).links) == 1):
        keyspace = view.keyspace(name)
        return keyspace.by_shard[shard] if shard else keyspace.links[0]
    try:
        found = view.vschema.find_table(name, table)
    except VSchemaError:
        found = None
    if found is not None and found.type is TableType.REFERENCE and found.keyspace == name:
        return view.keyspace(name).links[0]
    return one_shard(session, f"HANDLER {table}", "Use SELECT.")
