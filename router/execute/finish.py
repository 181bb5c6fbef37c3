"""Tier 3: fetches what each table contributes, and lets one server finish the statement over it.

Everything is fetched before a connection is taken to finish on, so that outside of transactions no statement holds a
place in a pool while it waits for another. Invariants: at most `max_memory_rows` rows and MAX_BYTES are held; outside a
transaction each table is read at its own moment, inside one on the connections that hold it; the connection that
finishes is given back and reset, whatever happens.
"""

import asyncio
from collections.abc import Awaitable, Callable, Iterator, Sequence
from typing import Final

from core.errors import SluiceError, fail, not_supported
from core.rpc import messages as m
from router.call import Answer, TabletError
from router.engine.copying import (
    LOAD_SETTINGS,
    CannotCopyError,
    Cells,
    Copied,
    copied_columns,
    fetch_text,
    inserts,
    quoted,
)
from router.engine.narrowing import Definition, definition, needed, temporary_table
from router.engine.reader import ResultReader
from router.execute.route import chooser_links
from router.execute.values import render
from router.execute.whole import reply_whole
from router.gateway import Link
from router.plan.plans import Finish, FinishPart
from router.sessions.query_attributes import along
from router.sessions.session import Session
from router.sessions.warnings import note_warnings
from router.statements.passing import with_status
from router.statements.result import checked, rows_of
from router.view import ClusterView
from wire.answers import parse_ok
from wire.rows import split_text_row

MAX_BYTES: Final = 64 * 1024 * 1024
"""Bytes of fetched rows that one statement may hold."""
_OURS: Final = frozenset((1066, 1137, 1146, 1176, 1191, 1210, 1747))
"""Errors of the finishing server that come from the temporary tables: named twice, not there, without an index of
the kind or a partition."""


_ENDED: Final = frozenset((1053, 1317, 1969, 3024))  # shutdown, KILL, time limits


class Finisher:
    """Runs a Finish. `refusal`: what the client is told where it cannot be done."""

    def __init__(self, finish: Finish, refusal: tuple[str, str], view: ClusterView) -> None:
        self._finish = finish
        self._refusal = refusal
        self._view = view
        self._links: list[Callable[[Sequence[bytes]], tuple[Link, ...]]] = [
            chooser_links(part.chooser, view) for part in finish.parts
        ]

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        """As a Runner."""
        del sql, params
        if session.reserved:
            raise not_supported(
                "a statement over several shards in a session that holds a reserved connection",
                "SHOW PINS says what holds it; end that first.",
            )
        session.start(self.finish(session, literals))

    async def finish(self, session: Session, literals: Sequence[bytes]) -> None:
        """Answers the session's statement. Raises SluiceError."""
        link = self._place(session)
        if session.worker.admission.limits_queries:
            await session.worker.admission.enter(session, link.keyspace, (link.shard,))
        flavour = session.flags & ~m.F_DEPRECATE_EOF if session.binary else session.flags
        answer = await self.answer(session, literals, link=link, flags=flavour & ~m.F_FOUND_ROWS)
        if answer.failed:
            says = answer.error()
            session.worker.stats.note_error(says.number, says.text)
            session.warnings = [("Error", says.number, says.text)]
        else:
            session.found_rows = answer.info >> m.ROWS_SHIFT
        session.affected_rows = -1
        if session.binary:
            reply_whole(session, answer)
        else:
            session.reply(with_status(answer.data, session.caps, session.status))

    async def answer(
        self,
        session: Session,
        literals: Sequence[bytes],
        *,
        link: Link | None = None,
        flags: int = m.F_WARNINGS,
        lock: bytes = b"",
    ) -> Answer:
        """What the finishing server says, also an ERR. `lock`: a clause for the reads, inside a transaction. In one
        that is the router's own it finishes on a connection of that, which then is reset with its end: the statement
        waits for no second place in a pool. Raises SluiceError."""
        finish = self._finish
        link = link or self._place(session)
        held: _Held | Within = _Held(session, link)
        if session.implicit and session.tx is not None:
            for part in finish.parts:
                if part.name == part.table:  # it would hide the table from the rest of the transaction
                    raise self._refused(f"{part.table} under its own name")
            held = Within(session, link)
            if not session.tx.handle_on(link):
                await session.worker.calls.join(session, session.tx, link)
        fetching = _Fetching(session, lock)
        session.source = fetching
        try:
            said: dict[tuple[str, str], _Said] = {}
            work: list[_Work] = []
            fetched: dict[str, list[bytes]] = {}
            for part, links_of in zip(finish.parts, self._links, strict=True):
                key = (part.keyspace, part.table)
                links = links_of(literals)
                if key not in said:
                    said[key] = await self._said(session, part, links)
                made, columns = self._shape(part, *said[key])
                where = render(part.where, literals) if part.where is not None else b""
                if not part.again:
                    fetched[part.name] = await fetching.rows(part, columns, where, links)
                work.append((part, made, columns, list(fetched[part.again or part.name])))
            fetched.clear()
        except CannotCopyError as error:
            raise self._refused(str(error.args[0])) from None
        finally:
            session.source = None
        text = finish_text(finish, literals)
        session.warnings = None
        return await self._finish_on(session, held, text, flags, work)

    def _place(self, session: Session) -> Link:
        """Any shard will do: sessions take turns."""
        links = self._view.keyspace(self._finish.keyspace).links
        ready = [link for link in links if link.ready] or links
        return ready[session.id % len(ready)]

    async def _said(self, session: Session, part: FinishPart, links: Sequence[Link]) -> "_Said":
        """What SHOW says of a table."""
        link = links[0] if session.implicit and links else self._view.any_link(part.keyspace)
        created = await _asked(session, link, b"SHOW CREATE TABLE " + quoted(part.table))
        described = await _asked(session, link, b"SHOW COLUMNS FROM " + quoted(part.table))
        if len(rows_of(created).columns) != 2:
            raise CannotCopyError(f"the view {part.table}")
        columns = copied_columns(rows_of(described).rows)
        return definition(rows_of(created).rows[0][1] or b""), columns

    def _shape(
        self, part: FinishPart, whole: Definition, columns: tuple[Copied, ...]
    ) -> tuple[bytes, tuple[Copied, ...]]:
        """The temporary table of a part, and the columns that it copies. Raises CannotCopyError."""
        names = self._finish.names
        for column in columns:
            if not column.fetch and (part.whole or column.name.lower() in names):
                raise CannotCopyError(f"the column {part.table}.{column.name}, for its type")
        kept = frozenset(whole.columns) if part.whole else needed(whole, columns, names)
        return temporary_table(whole, part.name, kept), tuple(one for one in columns if one.name in kept)

    def _refused(self, what: str) -> SluiceError:
        construct, instead = self._refusal
        return not_supported(f"{construct}, where it would have to copy {what}", instead)

    async def _finish_on(
        self,
        session: Session,
        held: "_Held | Within",
        text: bytes,
        flags: int,
        work: Sequence["_Work"],
    ) -> Answer:
        try:
            for part, made, columns, answers in work:
                await self._load(held, made)
                for insert in inserts(part.name, columns, _rows(answers)):
                    await self._load(held, insert)
            answer = await held.execute(text, flags, session.settings_text)
        except CannotCopyError as error:
            raise self._refused(str(error.args[0])) from None
        finally:
            held.free()
        if answer.failed:
            says = answer.error()
            if says.number in _OURS:
                raise self._refused(f"its tables ({says.text})")
        elif answer.warnings:
            note_warnings(session, answer.warnings)
        return answer

    async def _load(self, held: "_Held | Within", text: bytes) -> None:
        """Makes or fills a temporary table. Raises CannotCopyError for what the server does not take as it is."""
        answer = await held.execute(text, 0, LOAD_SETTINGS)
        if answer.failed:
            error = answer.error()
            if error.number in _ENDED:
                raise TabletError(error.number, error.sqlstate, error.text, 0)
            raise CannotCopyError(f"rows that one server does not take ({error.text})")
        if text.startswith(b"INSERT") and parse_ok(answer.last_payload()).warnings:
            raise CannotCopyError("values that another server would change")


_Said = tuple[Definition, tuple[Copied, ...]]
_Work = tuple[FinishPart, bytes, tuple[Copied, ...], list[bytes]]
"""A part, its temporary table, the columns copied, and the shards' answers."""


class _Held:
    """The connection that finishes: taken with the first statement, given back by `free`."""

    def __init__(self, session: Session, link: Link) -> None:
        self._session = session
        self._link = link
        self._incarnation = link.incarnation
        self._handle = 0

    async def execute(self, sql: bytes, flags: int, settings: str) -> Answer:
        session = self._session
        try:
            answer = await session.worker.calls.execute(
                self._link,
                sql,
                flags=flags | m.F_STATUS | (0 if self._handle else m.F_RESERVE | m.F_BRIEF),
                handle=self._handle,
                user=session.user,
                settings=settings,
                extra=along(session),
            )
        except TabletError as error:
            self._handle = error.handle
            raise
        self._handle = answer.handle
        return answer

    def free(self) -> None:
        if self._handle and self._incarnation == self._link.incarnation:
            self._link.free(self._handle)


class Within:
    """A connection of the transaction that the router opened for this statement. It was taken as a reserved one, so
    that it is reset when it is given back: temporary tables go with it."""

    def __init__(self, session: Session, link: Link) -> None:
        self._session = session
        self._link = link

    async def execute(self, sql: bytes, flags: int, settings: str) -> Answer:
        """Under other settings than the session's; what it warns of is not the statement's. Raises SluiceError."""
        session = self._session
        kept = session.settings_text, session.warnings
        session.settings_text = settings
        try:
            return await session.worker.calls.in_session(session, self._link, sql, flags=flags)
        finally:
            session.settings_text, session.warnings = kept

    def free(self) -> None:
        """It goes on with the transaction."""


class _Fetching:
    """Fetches rows of a table from several shards at once; the session's source meanwhile, so that KILL finds it."""

    def __init__(self, session: Session, lock: bytes = b"") -> None:
        self._session = session
        self._lock = lock
        self._tasks: list[asyncio.Task[Answer]] = []
        self._left_rows: int = session.worker.boot.config.router.max_memory_rows
        self._left_bytes = MAX_BYTES

    def on_writable(self) -> None:
        """Nothing is written before all is fetched."""

    def interrupt(self) -> None:
        for task in self._tasks:
            self._session.worker.calls.interrupt(task)

    async def rows(
        self, part: FinishPart, columns: Sequence[Copied], where: bytes, links: Sequence[Link]
    ) -> list[bytes]:
        """The shards' answers. Raises SluiceError; RESULT_TOO_LARGE beyond what one statement may hold."""
        session = self._session
        text = fetch_text(part.table, columns, where, self._left_rows + 1) + self._lock
        inside = session.tx is not None or not session.autocommit
        found: list[bytes] = []
        if inside:
            for link in links:  # one after the other: each may open the transaction on its shard
                call = session.worker.calls.in_session(session, link, text, tables=(part.table,))
                self._take((await self._all([call]))[0], found)
            return found
        calls = [
            session.worker.calls.execute(
                link,
                text,
                flags=m.F_CONSOLIDATE,
                user=session.user,
                settings=session.settings_text,
                tables=(part.table,),
                extra=along(session),
            )
            for link in links
        ]
        for answer in await self._all(calls):
            self._take(answer, found)
        return found

    async def _all(self, calls: Sequence[Awaitable[Answer]]) -> list[Answer]:
        tasks = [asyncio.ensure_future(call) for call in calls]
        self._tasks = tasks
        try:
            return list(await asyncio.gather(*tasks))
        finally:
            for task in tasks:
                task.cancel()
            self._tasks = []

    def _take(self, answer: Answer, found: list[bytes]) -> None:
        checked(answer)
        self._left_bytes -= len(answer.data)
        self._left_rows -= answer.info >> m.ROWS_SHIFT
        if self._left_bytes < 0 or self._left_rows < 0:
            rows_limit = self._session.worker.boot.config.router.max_memory_rows
            limit = rows_limit if self._left_rows < 0 else f"{MAX_BYTES} bytes of"
            raise fail("RESULT_TOO_LARGE", limit=limit)
        found.append(answer.data)


def _rows(answers: list[bytes]) -> Iterator[Cells]:
    """The rows of the answers, each forgotten when it is over."""
    answers.reverse()
    while answers:
        reader = ResultReader()
        reader.feed(answers.pop(), True)
        width = len(reader.columns)
        while (payload := reader.next_row()) is not None:
            yield split_text_row(payload, width)


async def _asked(session: Session, link: Link, sql: bytes) -> Answer:
    if session.implicit and session.tx is not None:
        answer = await Within(session, link).execute(sql, 0, "")
    else:
        answer = await session.worker.calls.execute(link, sql, user=session.user)
    return checked(answer)


def finish_text(finish: Finish, literals: Sequence[bytes]) -> bytes:
    """What the finishing server runs."""
    return render(finish.sql, literals, [literals[bind].replace(b"`", b"``") for bind in finish.name_binds])
