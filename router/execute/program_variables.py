"""Statements that may run stored programs which use what a session has: their tablet sends them back, with the names.

names                        what is done
LAST_INSERT_ID(), ROW_COUNT, the tablet begins with the session's (F_INSERT_ID, F_COUNTS), on whatever connection
FOUND_ROWS() alone
anything else                a connection is reserved for them (or the one that the session has): it is given the
                             variables and the session's CONNECTION_ID() before; the variables are asked for after,
                             whatever became of the statement, for a program may have set them before it failed
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from core.errors import CODES, not_supported
from core.rpc import messages as m
from router.call import Answer, FileSource, TabletError
from router.calls import Calls
from router.execute.reserve import admit, bring, must, read_back, reserve, variables_in
from router.execute.substitute import SubstituteRunner
from router.execute.whole import reply_whole
from router.gateway import Link
from router.sessions import holding
from router.sessions.again import Sent, forget_try, told_along
from router.sessions.insert_ids import note_rows_whole, note_whole
from router.statements.result import rows_of

if TYPE_CHECKING:
    from router.sessions.session import Session

NEEDS_VARIABLES: Final = CODES["NEEDS_VARIABLES"].number
_NO_RIGHT: Final = 1227


class SessionCalls(Calls):
    """Calls whose statements of sessions go again, with what their programs use, where a tablet sends them back."""

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
        def run(asked: int) -> Awaitable[Answer]:
            return super(SessionCalls, self).in_session(
                session, link, sql, flags=asked, tables=tables, extra=extra, file=file
            )

        next_transaction = session.next_transaction
        try:
            return await run(flags)
        except TabletError as error:
            if error.number != NEEDS_VARIABLES or flags & m.F_VARIABLES:
                raise
            forget_try(session, next_transaction)
            wanted, further, told = told_along(session, error.message)
            flags = flags & ~m.F_CONSOLIDATE | m.F_VARIABLES | further
            extra = {**(extra or {}), **told}
            if not wanted:
                return await run(flags)
            return await _with_variables(session, link, wanted, lambda: run(flags))

    async def run_again(self, session: "Session", link: Link, sent: Sent, said: str) -> None:
        """Runs and answers what was `sent` by `Session.forward`; the tablet `said` why not. Raises SluiceError."""
        flags, tables, sql, extra, _ = sent
        prepared = flags & m.F_PREPARED
        asked = (flags | session.flags | m.F_VARIABLES) & ~m.F_CONSOLIDATE
        if session.binary and not prepared:
            asked &= ~m.F_DEPRECATE_EOF  # its rows become binary here
        wanted, further, told = told_along(session, said)
        asked |= further
        extra = {**(extra or {}), **told}
        if not prepared and session.codec is None and b"@" in session.statement:
            sql = _naming_variables(session, sql)
            wanted |= variables_in(sql, session).keys()
        await admit(session, link)
        answer = await _with_variables(
            session,
            link,
            wanted,
            lambda: self.in_session(session, link, sql, flags=asked, tables=tables or None, extra=extra),
        )
        note_rows_whole(session, sql, answer)
        if not prepared:
            reply_whole(session, answer)
            return
        note_whole(session, answer)
        session.reply(answer.data)


def _naming_variables(session: "Session", sql: bytes) -> bytes:
    """The statement `sql` with user variables by their names where the router had put literals in their places: its
    programs may SET what it also reads."""
    runner, literals = session.worker.plan_of(session, session.statement)
    texts = runner.naming_variables(session, literals) if isinstance(runner, SubstituteRunner) else None
    return texts[1] if texts is not None and texts[0] == sql else sql


async def _with_variables(
    session: "Session", link: Link, wanted: set[str], run: Callable[[], Awaitable[Answer]]
) -> Answer:
    names = {
        name: "@`{}`".format(name.replace("`", "``")) for name in wanted if name != m.NEEDS_CONNECTION_ID
    }
    had = session.reserved is not None and link in session.reserved
    used = had or (session.tx is not None and link in session.tx.held)
    known = session.user_variables or {}
    await reserve(session, link)
    try:
        own = 0
        if m.NEEDS_CONNECTION_ID in wanted:
            own = await _give_id(session, link)
        # what a connection has never heard of is not the same as NULL: IFNULL(@x, 0) + 1 is no whole number then
        await bring(session, link, {name: spelt for name, spelt in names.items() if used or name in known})
        try:
            answer = await run()
            if session.reserved and link in session.reserved:
                warnings = session.warnings
                await read_back(session, link, names, answer, "")
                session.warnings = warnings  # those of the client's own statement only
        finally:
            if own and session.reserved and link in session.reserved:
                await must(session, link, b"SET @@session.pseudo_thread_id = %d" % own)
    finally:
        if not had:  # else whoever reserved it goes on with it
            holding.release_unpinned(session, link)
    return answer


async def _give_id(session: "Session", link: Link) -> int:
    """Makes CONNECTION_ID() of the reserved connection the session's; its own is returned. Raises SluiceError."""
    reserved = (session.reserved or {})[link]
    if any(pin.startswith("temporary table") for pin in reserved.pins):
        raise not_supported(
            "a stored program that reads CONNECTION_ID(), in a session with temporary tables",
            "Drop these first, since they belong to the connection's own id.",
        )
    (row,) = rows_of(await must(session, link, b"SELECT CONNECTION_ID()")).rows
    try:
        await must(session, link, b"SET @@session.pseudo_thread_id = %d" % session.id)
    except TabletError as error:
        if error.number != _NO_RIGHT:
            raise
        raise not_supported(
            "a stored program that reads CONNECTION_ID()",
            "Grant the tablet's account SESSION_VARIABLES_ADMIN (MySQL) or BINLOG REPLAY (MariaDB).",
        ) from None
    return int(row[0] or 0)
