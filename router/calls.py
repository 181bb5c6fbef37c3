"""Requests to tablets for code that waits, by themselves and as statements of a session.

Invariant: a call that is cancelled abandons its request, so that the tablet stops and whatever it would have held
is freed.
"""

import asyncio
from collections.abc import Coroutine
from typing import TYPE_CHECKING, Any, Final

from core.errors import CODES, SluiceError, fail
from core.rpc import messages as m
from router.call import Answer, Call, FileSource, PrepareCall, PreparedAnswer, TabletError
from router.gateway import Link
from router.sessions import called, holding
from router.sessions.again import keep_characteristics
from router.sessions.insert_ids import note_told, with_insert_id
from router.sessions.query_attributes import along
from router.sessions.reservation import TABLES
from router.sessions.transaction import Transaction
from router.sessions.transaction_tracker import noted
from router.sessions.warnings import note_error, note_warnings
from wire.constants import SERVER_STATUS_IN_TRANS

if TYPE_CHECKING:
    from router.sessions.session import Session

_BEGIN: Final = b"START TRANSACTION"
_DRAINING: Final = CODES["DRAINING"].number


class Calls:
    """The waiting requests of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._to_the_end: set[asyncio.Task[None]] = set()
        self._running: dict[asyncio.Task[Any] | None, tuple[Link, Call]] = {}
        """What the task of a statement waits for now."""

    def interrupt(self, task: asyncio.Task[Any]) -> bool:
        """KILL QUERY: ends what `task` waits for at a tablet, so that it goes on with error 1317 and puts the
        transaction in order itself. False: it waits for no tablet."""
        running = self._running.get(task)
        if running is not None:
            link, call = running
            call.killed = True
            link.cancel(call.request)
        return running is not None

    async def to_the_end(self, steps: Coroutine[Any, Any, None]) -> None:
        """Waits for `steps`, which go on where the waiting is cancelled."""
        work = self._loop.create_task(steps)
        self._to_the_end.add(work)
        work.add_done_callback(self._to_the_end.discard)
        await asyncio.shield(work)

    async def execute(
        self,
        link: Link,
        sql: bytes,
        *,
        flags: int = 0,
        handle: int = 0,
        user: str = "",
        settings: str = "",
        tables: tuple[str, ...] | None = (),
        extra: dict[str, Any] | None = None,
        file: FileSource | None = None,
    ) -> Answer:
        """Runs one statement and gives its whole answer, also an ERR of MySQL. `file`: asked where F_INFILE is set.
        One that a draining tablet did not begin goes to its successor, once. Raises TabletError."""
        try:
            return await self._execute(link, sql, flags, handle, user, settings, tables, extra, file)
        except TabletError as error:
            if error.number != _DRAINING or handle or file is not None:
                raise
        return await self._execute(link, sql, flags, handle, user, settings, tables, extra, file)

    async def _execute(
        self,
        link: Link,
        sql: bytes,
        flags: int,
        handle: int,
        user: str,
        settings: str,
        tables: tuple[str, ...] | None,
        extra: dict[str, Any] | None,
        file: FileSource | None,
    ) -> Answer:
        call = Call(self._loop, link, file)
        try:
            call.request = link.execute(call, flags, handle, user, settings, tables, sql, extra)
        except SluiceError as error:
            raise TabletError(error.number, error.sqlstate, error.message, 0) from None
        task = asyncio.current_task()
        self._running[task] = (link, call)
        try:
            answer = await call.answer
        except asyncio.CancelledError:
            link.abandon(call.request)
            raise
        finally:
            del self._running[task]
        if call.killed and not answer.failed and not flags & (m.F_WRITE | m.F_CALL):
            # this step was quicker than the KILL, or SLEEP() took it: no other follows
            killed = fail("KILLED")
            raise TabletError(killed.number, killed.sqlstate, killed.message, answer.handle)
        return answer

    async def prepare(
        self, link: Link, user: str, settings: str, sql: bytes, handle: int = 0
    ) -> PreparedAnswer:
        """The metadata of a text, as a MySQL says it. Raises TabletError, also for MySQL's own error."""
        call = PrepareCall(self._loop)
        request = link.prepare(call, user, settings, sql, "", handle)
        try:
            return await call.answer
        except asyncio.CancelledError:
            link.abandon(request)
            raise

    async def in_session(
        self,
        session: "Session",
        link: Link,
        sql: bytes,
        *,
        flags: int = 0,
        tables: tuple[str, ...] | None = (),
        extra: dict[str, Any] | None = None,
        file: FileSource | None = None,
    ) -> Answer:
        """Like `execute`, as a statement of `session`: with its settings, inside its transaction if there is one.

        The answer is in the classic EOF flavour unless `flags` ask otherwise, its column definitions in the client's
        form. Keeps the transaction's books, and the session's warnings.
        """
        flags |= session.flags & (m.F_FOUND_ROWS | m.F_WARNINGS | m.F_SETTINGS | m.F_EXTENDED)
        if session.flags & m.F_SESSION_TRACK:
            flags |= m.F_SESSION_TRACK | m.F_TRACK_ROWS
        if flags & m.F_INSERT_ID:
            extra = with_insert_id(session, extra)
        characteristics = session.next_transaction if session.tx is None else None
        answer = await self._in_session(session, link, sql, flags, tables, along(session, extra), file)
        if answer.told:
            note_told(session, answer.told)
        if answer.warnings:
            note_warnings(session, answer.warnings, further=True)
        if answer.tracked is not None:
            noted(session, link, answer.tracked)
        if answer.settings:
            session.worker.adopt(session, answer.settings)
        if answer.failed:
            note_error(session, answer.last_payload())
            if characteristics is not None and not flags & m.F_CALL:
                keep_characteristics(session, characteristics, answer.last_payload())
        return answer

    async def _in_session(
        self,
        session: "Session",
        link: Link,
        sql: bytes,
        flags: int,
        tables: tuple[str, ...] | None,
        extra: dict[str, Any] | None,
        file: FileSource | None,
    ) -> Answer:
        if flags & m.F_CALL:
            called.begins(session)
        tx = session.tx
        if tx is None and not session.autocommit and not holding.reads_no_table(flags, tables):
            if holding.names_no_table(session, flags, tables):
                tx, flags = holding.open_tentative(session), flags | m.F_CALL
            else:
                tx = holding.open_transaction(session)
        reserved = session.reserved.get(link) if session.reserved else None
        if tx is None:
            handle = holding.reserved_handle(session, link)
            settings = session.settings_text
            if (
                tables != ()
            ):  # the router's own statements around the client's are not what SET TRANSACTION was about
                settings = holding.settings_now(session, flags, tables)
            if not session.autocommit:
                flags |= m.F_NO_AUTOCOMMIT
            try:
                answer = await self.execute(
                    link,
                    sql,
                    flags=flags | m.F_STATUS if handle else flags,
                    handle=handle,
                    user=session.user,
                    settings=settings,
                    tables=tables,
                    extra=extra,
                    file=file,
                )
            except TabletError as error:
                if handle and not error.handle:
                    holding.lose_reserved(session, link)
                raise
            if handle and not answer.handle:
                holding.lose_reserved(session, link)
            return answer
        tx.check()
        flags |= m.F_STATUS
        if not session.autocommit:
            flags |= m.F_NO_AUTOCOMMIT
        handle = tx.handle_on(link)
        if not handle:
            holding.check_mode(session, tx, link)
            if tx.savepoints or reserved:
                await self.join(session, tx, link)
                handle = tx.handle_on(link)
            else:
                flags |= m.F_BEGIN
                extra = {**(extra or {}), "begin": ";".join(tx.begin)}
        try:
            answer = await self.execute(
                link,
                sql,
                flags=flags,
                handle=handle,
                user=session.user,
                settings=session.settings_text,
                tables=tables,
                extra=extra,
                file=file,
            )
        except TabletError as error:
            tx.note(link, error.handle)
            if not error.handle:
                holding.lose_reserved(session, link)
                if handle:
                    tx.lose(error.message)
            raise
        if not answer.handle:
            holding.lose_reserved(session, link)
        if session.tx is tx:
            tx.note(link, answer.handle)
            if tx.calling:
                holding.note_called(session, tx, answer.status)
            if not answer.status & SERVER_STATUS_IN_TRANS:
                holding.transaction_ended_on(session, link, failed=answer.failed)
        elif answer.handle:
            link.free(answer.handle)
        return answer

    async def join(
        self, session: "Session", tx: Transaction, link: Link, *, locks_tables: bool = False
    ) -> None:
        """Opens `tx` on one more shard and replays its savepoints there. Raises SluiceError; then it has not joined.
        Under LOCK TABLES (`locks_tables`: which comes next), that BEGIN would end, MySQL's own autocommit = 0 opens."""
        reserved = session.reserved.get(link) if session.reserved else None
        handle = reserved.handle if reserved else 0
        statements: list[bytes] = [*(text.encode() for text in tx.begin), *tx.savepoints]
        off = 0
        if reserved and not (tx.explicit or session.autocommit) and (locks_tables or TABLES in reserved.pins):
            statements = [b"DO 0" if text == _BEGIN else text for text in statements]
            off = m.F_CALL | m.F_NO_AUTOCOMMIT
        for position, statement in enumerate(statements):
            first_of_pooled = position == 0 and not handle
            flags = m.F_STATUS | session.flags & m.F_FOUND_ROWS | (m.F_RESERVE if first_of_pooled else off)
            try:
                answer = await self.execute(
                    link,
                    statement,
                    flags=flags,
                    handle=handle,
                    user=session.user,
                    settings=session.settings_text,
                )
                handle = answer.handle
                answer.check(handle)
            except TabletError as failure:
                # half opened: nobody else knows of it, and a reserved connection may be in a transaction now
                if failure.handle:
                    link.free(failure.handle)
                holding.lose_reserved(session, link)
                raise
        tx.note(link, handle)
