"""CREATE and DROP DATABASE: the keyspace stays, what lies in it goes.

statement                 an unsharded keyspace         a sharded one              no keyspace
DROP                      all that lies in it goes      1235                       1008, or a note
CREATE, it is empty       OK, it takes the options      OK, it takes the options   1235
CREATE, it is not         1007, or a note               1007, or a note            1235

So DROP and then CREATE of a keyspace leave what they leave on MySQL; between the two it is there, and empty.

Invariants
- The database itself is never dropped: its tablet could not open a connection any more.
- Like all DDL both commit what is open, also where they end with an error.
"""

import re
from typing import Final

from core.errors import fail, not_supported
from core.rpc import messages as m
from router.execute.reserve import pinned
from router.gateway import Link
from router.plan.databases import OPTIONS, DatabaseStatement, database_statement, with_comments
from router.plan.plans import Kind
from router.sessions.commit import commit
from router.sessions.reservation import BACKUP_LOCK, BACKUP_STAGE, INSTANCE, READ_LOCK, TABLES, handler_pin
from router.sessions.session import Session
from router.sessions.tracking import of_use
from router.sql.lex import restored
from router.statements.result import checked, rows_of
from router.statements.words import Words

_PLAIN_COMMENT: Final = re.compile(r"/\*(?!M?!).*?\*/", re.DOTALL)
_OBJECTS: Final = (
    b"SELECT table_type, table_name FROM information_schema.tables WHERE table_schema = DATABASE()"
    b" UNION ALL SELECT routine_type, routine_name FROM information_schema.routines"
    b" WHERE routine_schema = DATABASE() AND routine_type <> 'PACKAGE BODY'"
    b" UNION ALL SELECT 'EVENT', event_name FROM information_schema.events WHERE event_schema = DATABASE()"
)
_BACKUP_LOCKS: Final = (INSTANCE, BACKUP_STAGE, BACKUP_LOCK)
_AT_ONCE: Final = (b"VIEW", b"TABLE", b"SEQUENCE")
_ONE_BY_ONE: Final = (b"PROCEDURE", b"FUNCTION", b"PACKAGE", b"EVENT")


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Handles CREATE and DROP DATABASE. Raises SYNTAX."""
    del kind
    words = Words(sql, session.dialect)
    said = database_statement(words.lexemes)
    if said is None:
        raise words.error()
    executed = with_comments(words.text)
    exists = said.exists or (executed is not None and executed.exists)
    words.at = said.at
    if said.verb == "DROP":
        words.end()
        session.start(_drop(session, said.name, exists))
        return
    if words.at < len(words.lexemes) and words.lexemes[words.at].text not in OPTIONS - {"READ"}:
        raise words.error()
    tail = _PLAIN_COMMENT.sub(" ", restored(words.text[words.lexemes[words.at - 1].end :], words.literals))
    options = tail.strip(" \t\r\n;").encode("utf-8", "surrogateescape")
    session.start(_create(session, said, exists, options))


async def _drop(session: Session, name: str, exists: bool) -> None:
    await _commit(session)
    view = session.worker.view
    if view is None or name not in view.keyspaces:
        absent = fail("DATABASE_ABSENT", database=name)
        if not exists:
            raise absent
        _noted(session, absent.number, absent.message)
        return
    links = view.keyspaces[name].links
    if len(links) != 1:
        raise not_supported("DROP DATABASE of a keyspace of several shards", "Drop its tables.")
    (link,) = links
    await _close_handlers(session, link)
    found = await _objects(session, link)
    for kind in _AT_ONCE:
        if found.get(kind):
            names = b", ".join(found[kind])
            await _define(session, link, b"DROP %b IF EXISTS %b" % (kind, names), "foreign_key_checks=0")
    for kind in _ONE_BY_ONE:
        for one in found.get(kind, ()):
            await _define(session, link, b"DROP %b IF EXISTS %b" % (kind, one), "")
    asked = await session.worker.calls.execute(
        link, b"SELECT @@collation_server", user=session.user, settings=session.settings_text
    )
    collation = rows_of(checked(asked)).rows[0][0] or b""
    await _define(session, link, b"ALTER DATABASE COLLATE " + collation, "")
    changes = None
    if session.keyspace == name and not session.shard:
        session.worker.admission.move(session.connection, session.user, "", "")
        session.keyspace = session.scope = ""
        changes = of_use(session)
    session.ok(sum(len(found.get(kind, ())) for kind in _AT_ONCE), changes=changes)


async def _create(session: Session, said: DatabaseStatement, exists: bool, options: bytes) -> None:
    await _commit(session)
    view = session.worker.view
    if view is None or said.name not in view.keyspaces:
        raise fail("UNKNOWN_DATABASE", database=said.name)
    links = view.keyspaces[said.name].links
    for link in links:
        if await _objects(session, link):
            present = fail("DATABASE_EXISTS", database=said.name)
            if not exists:
                raise present
            mariadb = session.worker.server.get("flavour") == "mariadb"
            _noted(session, present.number, present.message, 0 if mariadb else 1)
            return
    for link in links if options else ():
        # its name, so that nothing of the client's text can be read as another's
        alter = b"ALTER DATABASE " + await _database(session, link) + b" " + options
        await _define(session, link, alter, session.settings_text)
    session.ok(1)


async def _database(session: Session, link: Link) -> bytes:
    """The quoted name of the link's database on its server."""
    asked = checked(await session.worker.calls.execute(link, b"SELECT DATABASE()", user=session.user))
    return _quoted(rows_of(asked).rows[0][0])


def _quoted(name: bytes | None) -> bytes:
    return b"`%b`" % (name or b"").replace(b"`", b"``")


async def _commit(session: Session) -> None:
    """What the session's own locks would wait for is refused."""
    pins = {pin for reserved in (session.reserved or {}).values() for pin in reserved.pins}
    if TABLES in pins:
        raise fail("TABLES_LOCKED")
    if READ_LOCK in pins:
        raise fail("READ_LOCKED")
    for pin in _BACKUP_LOCKS:
        if pin in pins:
            raise not_supported(f"CREATE or DROP DATABASE of a session that holds {pin}", "End that first.")
    if session.tx is not None:
        await commit(session)


async def _close_handlers(session: Session, link: Link) -> None:
    """The session's own keep tables from being dropped; MySQL closes them too."""
    reserved = session.reserved.get(link) if session.reserved else None
    for pin in list(reserved.handlers) if reserved is not None else ():
        name = pin.removeprefix(handler_pin("")).encode("utf-8", "surrogateescape")
        await pinned(session, link, b"HANDLER %b CLOSE" % _quoted(name), 0, ())


async def _objects(session: Session, link: Link) -> dict[bytes, list[bytes]]:
    """Quoted names of what lies in the link's database, by what DROP calls it. Triggers go with their tables."""
    answer = checked(await session.worker.calls.execute(link, _OBJECTS, user=session.user))
    found: dict[bytes, list[bytes]] = {}
    for kind, name in rows_of(answer).rows:
        known = kind if kind in (*_AT_ONCE, *_ONE_BY_ONE) else b"TABLE"
        found.setdefault(known or b"", []).append(_quoted(name))
    return found


async def _define(session: Session, link: Link, sql: bytes, settings: str) -> None:
    checked(
        await session.worker.calls.execute(
            link,
            sql,
            flags=m.F_WRITE | m.F_RENEW if sql.startswith(b"ALTER") else m.F_WRITE,
            user=session.user,
            settings=settings,
            tables=None,
        )
    )


def _noted(session: Session, number: int, text: str, affected_rows: int = 0) -> None:
    session.warnings = [("Note", number, text)]
    session.ok(affected_rows, warnings=1)
