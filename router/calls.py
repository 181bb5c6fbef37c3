"""Requests to tablets for code that waits: one awaitable a request, and the steps of transactions.

Invariant: a call that is cancelled abandons its request, so that the tablet stops and whatever it would have held
is freed.
"""

import asyncio
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Protocol

from core.errors import CODES, SluiceError, fail
from core.rpc import messages as m
from router.gateway import Link
from router.sessions import called, holding
from router.sessions.insert_ids import note_told, with_insert_id
from router.sessions.query_attributes import along
from router.sessions.transaction import Transaction
from router.sessions.transaction_tracker import noted
from router.sessions.warnings import note_error, note_warnings
from wire.answers import Err, parse_err
from wire.constants import SERVER_STATUS_IN_TRANS
from wire.packets import iterate_payloads

if TYPE_CHECKING:
    from router.sessions.session import Session

_DRAINING: Final = CODES["DRAINING"].number
MAX_ANSWER_BYTES: Final = 64 * 1024 * 1024
"""A whole answer kept in memory may be that large; more is RESULT_TOO_LARGE for the statement."""


class TabletError(SluiceError):
    """A tablet's FAIL, as an exception with its own number and text."""

    def __init__(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        Exception.__init__(self, text)
        self.number = number
        self.sqlstate = sqlstate
        self.message = text
        self.handle = handle


@dataclass(frozen=True, slots=True)
class Answer:
    """A whole answer: client-ready packets, and what the tablet holds afterwards."""

    info: int
    data: bytes
    handle: int
    status: int
    told: bytes = b""
    """What I_INSERT_ID told; empty: nothing."""
    warnings: bytes = b""
    """What SHOW WARNINGS says of the statement, where the flags asked for it."""
    tracked: bytes | None = None
    """What the server's trackers said, where the flags asked for it (I_TRACKED)."""

    @property
    def failed(self) -> bool:
        return bool(self.info & m.I_ERR)

    def error(self) -> Err:
        """MySQL's error of a failed answer."""
        return parse_err(self.last_payload())

    def last_payload(self) -> bytes:
        """The packet that ends the answer."""
        *_, last = iterate_payloads(self.data)
        return last


class FileSource(Protocol):
    """Who has the file of a LOAD DATA LOCAL."""

    def wanted(self, link: Link, request: int, name: bytes) -> None:
        """MySQL asks for the file: send it by `link.send_file(request, ...)`."""
        ...

    def taken(self, size_bytes: int) -> None:
        """MySQL's socket took so much of what was sent."""
        ...


class Call:
    """Collects one answer; `await call.answer` gives it or raises TabletError."""

    __slots__ = (
        "_chunks",
        "_file",
        "_link",
        "_size",
        "_told",
        "_too_large",
        "_tracked",
        "_warnings",
        "answer",
        "request",
    )

    def __init__(self, loop: asyncio.AbstractEventLoop, link: Link, file: FileSource | None = None) -> None:
        self._file = file
        self.answer: asyncio.Future[Answer] = loop.create_future()
        self.request = 0
        self._link = link
        self._chunks: list[bytes] = []
        self._size = 0
        self._too_large = False
        self._told = self._warnings = b""
        self._tracked: bytes | None = None

    def on_result(self, info: int, data: bytes, handle: int, status: int) -> None:
        if info & m.I_WARNINGS:
            self._warnings = data
            return
        if info & m.I_TRACKED:
            self._tracked = data
            return
        if info & m.I_INFILE:
            assert self._file is not None
            self._file.wanted(self._link, self.request, data)
            return
        if info & m.I_INSERT_ID and not info & m.I_LAST:
            self._told = data
            return
        self._size += len(data)
        if self._too_large:
            if info & m.I_LAST:
                self._refuse(handle)
        elif info & m.I_LAST:
            if not self.answer.done():
                whole = b"".join((*self._chunks, data)) if self._chunks else data
                self.answer.set_result(
                    Answer(info, whole, handle, status, self._told, self._warnings, self._tracked)
                )
        elif self._size > MAX_ANSWER_BYTES:
            self._too_large = True
            self._chunks.clear()
            self._link.cancel(self.request)
        else:
            self._chunks.append(data)
            self._link.credit(self.request, len(data))

    def on_taken(self, size_bytes: int) -> None:
        assert self._file is not None
        self._file.taken(size_bytes)

    def _refuse(self, handle: int) -> None:
        """Told at the end of the answer only: till then it is not known what the tablet still holds."""
        if not self.answer.done():
            error = fail("RESULT_TOO_LARGE", limit=f"{MAX_ANSWER_BYTES} bytes of")
            self.answer.set_exception(TabletError(error.number, error.sqlstate, error.message, handle))

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        if self._too_large:
            self._refuse(handle)
        elif not self.answer.done():
            self.answer.set_exception(TabletError(number, sqlstate, text, handle))


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """`packets`: the server's answer to COM_STMT_PREPARE, classic EOF flavour."""

    params: int
    columns: int
    packets: bytes


class _PrepareCall:
    __slots__ = ("answer",)

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.answer: asyncio.Future[PreparedAnswer] = loop.create_future()

    def on_prepared(self, params: int, columns: int, packets: bytes) -> None:
        if not self.answer.done():
            self.answer.set_result(PreparedAnswer(params, columns, packets))

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        if not self.answer.done():
            self.answer.set_exception(TabletError(number, sqlstate, text, handle))


class Calls:
    """The waiting requests of one worker."""

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self._loop = loop
        self._committing: set[asyncio.Task[None]] = set()
        self._running: dict[asyncio.Task[Any] | None, tuple[Link, int]] = {}
        """What the task of a statement waits for now."""

    def interrupt(self, task: asyncio.Task[Any]) -> bool:
        """KILL QUERY: ends what `task` waits for at a tablet, so that it goes on with error 1317 and puts the
        transaction in order itself. False: it waits for no tablet."""
        running = self._running.get(task)
        if running is not None:
            running[0].cancel(running[1])
        return running is not None

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
        self._running[task] = (link, call.request)
        try:
            return await call.answer
        except asyncio.CancelledError:
            link.abandon(call.request)
            raise
        finally:
            del self._running[task]

    async def prepare(
        self, link: Link, user: str, settings: str, sql: bytes, handle: int = 0
    ) -> "PreparedAnswer":
        """The metadata of a text, as a MySQL says it. Raises TabletError, also for MySQL's own error."""
        call = _PrepareCall(self._loop)
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

        The answer is in the classic EOF flavour unless `flags` ask otherwise. Keeps the transaction's books, and
        the session's warnings.
        """
        flags |= session.flags & (m.F_FOUND_ROWS | m.F_WARNINGS)
        if session.flags & m.F_SESSION_TRACK:
            flags |= m.F_SESSION_TRACK | m.F_TRACK_ROWS
        if flags & m.F_INSERT_ID:
            extra = with_insert_id(session, extra)
        answer = await self._in_session(session, link, sql, flags, tables, along(session, extra), file)
        if answer.told:
            note_told(session, answer.told)
        if answer.warnings:
            note_warnings(session, answer.warnings, further=True)
        if answer.tracked is not None:
            noted(session, link, answer.tracked)
        if answer.failed:
            note_error(session, answer.last_payload())
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
                session.autocommit = tx.called(answer.status)
            if not answer.status & SERVER_STATUS_IN_TRANS:
                holding.transaction_ended_on(session, link, failed=answer.failed)
        elif answer.handle:
            link.free(answer.handle)
        return answer

    async def join(self, session: "Session", tx: Transaction, link: Link) -> None:
        """Opens `tx` on one more shard and replays its savepoints there. Raises SluiceError; then it has not joined."""
        reserved = session.reserved.get(link) if session.reserved else None
        handle = reserved.handle if reserved else 0
        statements: list[bytes] = [*(text.encode() for text in tx.begin), *tx.savepoints]
        for position, statement in enumerate(statements):
            first_of_pooled = position == 0 and not handle
            flags = m.F_STATUS | session.flags & m.F_FOUND_ROWS | (m.F_RESERVE if first_of_pooled else 0)
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
                if answer.failed:
                    error = answer.error()
                    raise TabletError(error.number, error.sqlstate, error.text, handle)
            except TabletError as failure:
                # half opened: nobody else knows of it, and a reserved connection may be in a transaction now
                if failure.handle:
                    link.free(failure.handle)
                holding.lose_reserved(session, link)
                raise
        tx.note(link, handle)

    async def commit(self, session: "Session") -> None:
        """Commits the session's transaction on every shard it holds, in the order they
        joined, entries of lookup tables in theirs. Raises SluiceError:
        PARTIAL_COMMIT when some have committed and one has not, TRANSACTION_LOST or MySQL's error when none has: a
        shard that was lost since the client's last statement on it is found before the first COMMIT.

        Once begun it goes on to its end, also when the client goes away or kills it."""
        tx = session.tx
        if tx is None:
            return
        tx.check()
        flags = m.F_STATUS | m.F_WRITE | session.flags & (m.F_FOUND_ROWS | m.F_SESSION_TRACK)
        kept = frozenset(session.reserved or ())
        tx.committing = True
        work = self._loop.create_task(self._commit(session, tx, flags, kept))
        self._committing.add(work)
        work.add_done_callback(self._committing.discard)
        try:
            await asyncio.shield(work)
        except asyncio.CancelledError:
            tx.lost = tx.lost or "its COMMIT was interrupted; whether it took effect is not known"
            raise
        holding.transaction_over(session)

    async def _find_lost(self, session: "Session", tx: Transaction, links: Sequence[Link]) -> None:
        """Asks each for a sign of life. Raises TRANSACTION_LOST where one has lost its part."""
        handles = [tx.handle_on(link) for link in links]
        asked = [
            self.execute(link, b"DO 0", flags=m.F_STATUS, handle=handle, user=session.user)
            for link, handle in zip(links, handles, strict=True)
        ]
        for link, answer in zip(links, await asyncio.gather(*asked, return_exceptions=True), strict=True):
            if isinstance(answer, SluiceError):
                raise tx.lose(f"{link.keyspace}/{link.shard}: {answer.message}")
            if isinstance(answer, BaseException):
                raise answer

    async def _commit(self, session: "Session", tx: Transaction, flags: int, kept: frozenset[Link]) -> None:
        user, settings = session.user, session.settings_text
        done: list[str] = []
        try:
            order = tx.in_order()
            if not session.implicit and len(order) > 1:
                await self._find_lost(session, tx, order[1:])
            for link in order:
                name = f"{link.keyspace}/{link.shard}"
                release = 0 if link in kept else m.F_RELEASE
                try:
                    answer = await self.execute(
                        link,
                        b"COMMIT",
                        flags=flags | release,
                        handle=tx.handle_on(link),
                        user=user,
                        settings=settings,
                    )
                    if answer.tracked is not None:
                        noted(session, link, answer.tracked)
                    if answer.failed:
                        error = answer.error()
                        raise TabletError(error.number, error.sqlstate, error.text, 0)
                except SluiceError as error:
                    tx.lost = error.message  # and so is freed, with this shard: it may be open there still
                    if done:
                        names = ", ".join(done)
                        raise fail("PARTIAL_COMMIT", done=names, failed=name, reason=error.message) from None
                    raise
                tx.held.pop(link, None)
                done.append(name)
        finally:
            tx.committing = False
            if tx.lost:
                tx.free()
