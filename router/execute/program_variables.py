"""Statements that may run stored programs which use user variables: their tablet sends them back, with the names.

They run on a connection that is reserved for them alone (or the one that the session has), is given these variables
before, and asked for them after: whatever became of the statement, for a program may have set them before it failed.
"""

from collections.abc import Awaitable, Callable
from typing import TYPE_CHECKING, Any, Final

from core.errors import CODES
from core.rpc import messages as m
from router.calls import Answer, Calls, FileSource, TabletError
from router.execute.reserve import admit, bring, read_back, reserve
from router.execute.whole import reply_whole
from router.gateway import Link
from router.sessions import holding
from router.sessions.again import Sent, forget_try
from router.sessions.insert_ids import note_whole

if TYPE_CHECKING:
    from router.sessions.session import Session

NEEDS_VARIABLES: Final = CODES["NEEDS_VARIABLES"].number


class SessionCalls(Calls):
    """Calls whose statements of sessions go again, with the variables, where a tablet sends them back."""

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
        def run(more: int) -> Awaitable[Answer]:
            return super(SessionCalls, self).in_session(
                session, link, sql, flags=flags | more, tables=tables, extra=extra, file=file
            )

        next_transaction = session.next_transaction
        try:
            return await run(0)
        except TabletError as error:
            if error.number != NEEDS_VARIABLES or flags & m.F_VARIABLES:
                raise
            forget_try(session, next_transaction)
            return await _with_variables(session, link, error.message, lambda: run(m.F_VARIABLES))

    async def run_again(self, session: "Session", link: Link, sent: Sent, said: str) -> None:
        """Runs and answers what was `sent` by `Session.forward`; the tablet `said` why not. Raises SluiceError."""
        flags, tables, sql, extra, _ = sent
        prepared = flags & m.F_PREPARED
        asked = flags | session.flags | m.F_VARIABLES
        if session.binary and not prepared:
            asked &= ~m.F_DEPRECATE_EOF  # its rows become binary here
        await admit(session, link)
        answer = await _with_variables(
            session,
            link,
            said,
            lambda: self.in_session(session, link, sql, flags=asked, tables=tables or None, extra=extra),
        )
        if not prepared:
            reply_whole(session, answer)
            return
        note_whole(session, answer)
        session.reply(answer.data)


async def _with_variables(
    session: "Session", link: Link, said: str, run: Callable[[], Awaitable[Answer]]
) -> Answer:
    names = {name: f"@`{name}`" for name in said.rsplit(" ", 1)[1].split(",")}
    had = session.reserved is not None and link in session.reserved
    used = had or (session.tx is not None and link in session.tx.held)
    known = session.user_variables or {}
    await reserve(session, link)
    try:
        # what a connection has never heard of is not the same as NULL: IFNULL(@x, 0) + 1 is no whole number then
        await bring(session, link, {name: spelt for name, spelt in names.items() if used or name in known})
        answer = await run()
        warnings = session.warnings
        if session.reserved and link in session.reserved:
            await read_back(session, link, names, answer, "")
            session.warnings = warnings  # those of the client's own statement only
    finally:
        if not had:  # else whoever reserved it goes on with it
            holding.release_unpinned(session, link)
    return answer
