"""LOAD DATA LOCAL of one server: the client's file goes through as it comes.

Invariants
- The statement runs in a transaction, its own where the session has none: so a client that breaks off leaves no row
  behind (MySQL itself takes the end of a connection for the end of the file).
- The client is answered only after the end of its file, whatever became of the statement.
- At most FILE_WINDOW_BYTES are ahead of MySQL; the client is not read from meanwhile.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable

from core.errors import SluiceError
from core.rpc import messages as m
from router.call import Answer
from router.execute.reserve import admit, run_bracketed, variables_in
from router.gateway import Link
from router.sessions import holding
from router.sessions.client_file import ClientFile
from router.sessions.commit import commit
from router.sessions.reservation import TABLES
from router.sessions.session import Session
from wire.answers import parse_ok


class Relay:
    """The file of one client on its way to one MySQL."""

    __slots__ = ("_ahead_bytes", "_file", "_room", "_session", "_task")

    def __init__(self, session: Session, file: ClientFile) -> None:
        self._session = session
        self._file = file
        self._ahead_bytes = 0
        self._room = asyncio.Event()
        self._task: asyncio.Task[None] | None = None

    def wanted(self, link: Link, request: int, name: bytes) -> None:
        """MySQL asks: so the client is asked, and what it sends is passed on."""
        self._file.ask(name)
        self._task = self._session.worker.loop.create_task(self._pass_on(link, request))

    def taken(self, size_bytes: int) -> None:
        self._ahead_bytes -= size_bytes
        if self._ahead_bytes < m.FILE_WINDOW_BYTES:
            self._room.set()

    async def _pass_on(self, link: Link, request: int) -> None:
        while chunk := await self._file.read():
            while self._ahead_bytes >= m.FILE_WINDOW_BYTES:
                self._room.clear()
                await self._room.wait()
            self._ahead_bytes += len(chunk)
            link.send_file(request, chunk)
        link.send_file(request, b"")

    async def stop(self) -> None:
        """The statement is over."""
        if self._task is not None:
            self._task.cancel()
            await asyncio.gather(self._task, return_exceptions=True)


async def relay(session: Session, link: Link, sql: bytes, tables: tuple[str, ...]) -> None:
    """Runs `sql`, a LOAD DATA LOCAL, on `link` as the session's statement, and answers. Raises SluiceError."""
    file = ClientFile(session.connection)

    async def load() -> Answer:
        relayed = Relay(session, file)
        try:
            return await in_transaction(
                session,
                link,
                lambda: session.worker.calls.in_session(
                    session,
                    link,
                    sql,
                    flags=m.F_WRITE | m.F_INFILE | m.F_INSERT_ID,
                    tables=tables,
                    file=relayed,
                ),
            )
        finally:
            await relayed.stop()

    try:
        if variables_in(sql, session):
            answer = await run_bracketed(session, link, sql, load, "user variables")
        else:
            await admit(session, link)
            answer = await load()
    except SluiceError:
        await file.drain()
        raise
    await file.drain()
    if answer.failed:
        session.reply(answer.data)
        return
    ok = parse_ok(answer.last_payload())
    session.ok(ok.affected_rows, ok.last_insert_id, ok.warnings, ok.info)


async def in_transaction(session: Session, link: Link, run: Callable[[], Awaitable[Answer]]) -> Answer:
    """Runs one statement in the session's transaction, or in one of its own. Raises SluiceError."""
    reserved = session.reserved.get(link) if session.reserved else None
    locked = reserved is not None and TABLES in reserved.pins  # a transaction would end LOCK TABLES
    if session.tx is not None or not session.autocommit or locked:
        return await run()
    holding.open_transaction(session)
    session.implicit = True
    try:
        answer = await run()
        if not answer.failed:
            await commit(session)
        return answer
    finally:
        if session.tx is not None:
            holding.transaction_over(session)
        session.implicit = False
