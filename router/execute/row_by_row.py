"""The rows of a batch run as statements one after the other, and answered as one.

While they run the session counts as one of a client without DEPRECATE_EOF, and what they write is kept. Invariants:
an ERR ends the batch and is its answer; whatever ends it, the connection writes for itself again, with its own flags.
"""

from __future__ import annotations

import re
from typing import Final

from core.rpc import messages as m
from router.engine.affected import insert_info
from router.sessions import holding
from router.sessions.commit import commit
from router.sessions.parts import Course
from router.sessions.session import Session
from wire.answers import Ok, parse_ok
from wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_SESSION_TRACK, OK_HEADER
from wire.packets import iterate_payloads

_BUSY: Final = 2  # router.clients.connection.BUSY, which cannot be imported here
_COUNT: Final = re.compile(rb"\d+")


class RowByRow:
    """The rows of a batch under way, each a statement of its own; their answers are put together."""

    __slots__ = (
        "_adds", "_before", "_caps", "_first_id", "_flags", "_left", "_oks", "_outer", "_parts", "_session",
        "_together", "_write",
    )  # fmt: skip

    def __init__(self, session: Session, texts: list[bytes], *, adds: bool, together: bool) -> None:
        """`adds`: they INSERT or REPLACE. `together`: in one transaction of the batch's own."""
        connection = session.connection
        self._session = session
        self._left = texts[::-1]
        self._adds = adds
        self._together = together
        self._before = session.last_insert_id
        self._first_id = 0
        self._oks: list[Ok] = []
        self._parts: list[bytes] = []
        self._outer: Course | None = session.several
        self._write = connection.write
        self._caps = connection.caps
        self._flags = session.flags & m.F_DEPRECATE_EOF
        connection.write = self.write
        connection.caps &= ~CLIENT_DEPRECATE_EOF
        session.flags &= ~m.F_DEPRECATE_EOF
        session.several = self

    def write(self, data: bytes) -> None:
        """Takes what a row's statement has to say."""
        self._parts.append(data)

    def begin(self) -> None:
        """Runs the first row."""
        if self._together:
            holding.open_transaction(self._session)
            self._session.implicit = True
        self._run()

    def goes_on(self) -> bool:
        """A row's answer has ended: whether there is more to do, which then is done in the next turn of the loop."""
        session = self._session
        answer = b"".join(self._parts)
        self._parts.clear()
        *_, last = iterate_payloads(answer)
        if last[0] != OK_HEADER:
            return self._failed(answer)
        self._oks.append(parse_ok(last, bool(self._caps & CLIENT_SESSION_TRACK)))
        if self._adds and session.last_insert_id != self._before:
            self._first_id = self._first_id or session.last_insert_id
            session.last_insert_id = self._before  # to all rows of one INSERT it is as it was before
        if session.rules:
            session.leave_limits()
        if self._left:
            session.worker.loop.call_soon(self._next)
        elif self._together:
            session.start(self._commit())
        else:
            self._done()
        return True

    def _next(self) -> None:
        if self._session.connection.state == _BUSY:
            self._run()

    def _run(self) -> None:
        self._session.binary = False
        self._session.run_one(self._left.pop())

    async def _commit(self) -> None:
        session = self._session
        try:
            await commit(session)
        finally:
            self._close_transaction()
        self._done()

    def _failed(self, answer: bytes) -> bool:
        """Of a row, or of the COMMIT: that is the answer, and no more rows run."""
        self._close_transaction()
        outer = self._restore()
        self._session.connection.write(answer)
        return outer is not None and outer.goes_on()

    def _close_transaction(self) -> None:
        """Rolls back what is open of the batch's own transaction."""
        if self._together:
            self._together = False
            if self._session.tx is not None:
                holding.transaction_over(self._session)
            self._session.implicit = False

    def _restore(self) -> Course | None:
        session = self._session
        connection = session.connection
        connection.write = self._write
        connection.caps = self._caps
        session.flags |= self._flags
        session.several = self._outer
        return self._outer

    def _done(self) -> None:
        """Answers the client with what all rows did together."""
        session, oks = self._session, self._oks
        self._restore()
        if self._first_id:
            session.last_insert_id = self._first_id
        affected = sum(ok.affected_rows for ok in oks)
        info = oks[0].info
        if self._adds and len(oks) > 1:
            info = insert_info(len(oks), oks, ignores=False)
        elif len(oks) > 1 and info:
            sums = [
                sum(counts) for counts in zip(*(map(int, _COUNT.findall(ok.info)) for ok in oks), strict=True)
            ]
            info = _COUNT.sub(lambda _: b"%d" % sums.pop(0), info)
        session.ok(affected, self._first_id, min(sum(ok.warnings for ok in oks), 0xFFFF), info)
