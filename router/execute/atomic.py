"""One statement of the client that becomes many: all of them take effect, or none.

Outside a transaction it gets one of its own; inside, a savepoint on each shard lets a failure undo the statement and
not the transaction.
"""

from __future__ import annotations

from types import TracebackType
from typing import Self

from core.errors import not_supported
from core.rpc import messages as m
from router.call import Answer
from router.execute.patience import Patience
from router.execute.write import abandon, ok_of, set_savepoint, undo
from router.gateway import Link
from router.sessions import holding
from router.sessions.commit import commit
from router.sessions.session import Session
from wire.answers import Ok


class Failed(Exception):
    """MySQL refused the client's statement: its answer goes to the client as it is."""

    def __init__(self, answer: Answer) -> None:
        self.answer = answer


class Atomic:
    """`async with`: `touch` each shard before it is first written, `commit` in the end. An exception undoes what was
    written; where the task is cancelled, the transaction is lost. Entering raises NOT_SUPPORTED."""

    def __init__(
        self, session: Session, begin: list[str] | None = None, patience: Patience | None = None
    ) -> None:
        """`begin`: the statements that open a transaction of its own, if not as ever. `patience`: with what
        others have locked."""
        self._session = session
        self._begin = begin
        self.patience = patience or Patience(session)
        self._own = False
        self._touched: list[Link] = []
        self.answers: list[Answer] = []

    async def __aenter__(self) -> Self:
        session = self._session
        self._own = session.tx is None and session.autocommit
        if self._own and session.reserved:
            raise not_supported(
                "a write that becomes several statements in a session that holds a reserved connection",
                "SHOW PINS says what holds it; end that first.",
            )
        if self._own:
            holding.open_transaction(session, self._begin)
            session.implicit = True
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, at: TracebackType | None
    ) -> None:
        session = self._session
        try:
            if isinstance(error, Exception):
                await undo(session, self._own, self._touched)
            elif error is not None:
                abandon(session, self._touched)
        finally:
            if self._own and session.tx is not None:
                holding.transaction_over(session)
            session.implicit = False

    @property
    def own(self) -> bool:
        """Whether the transaction is the statement's own."""
        return self._own

    async def touch(self, link: Link) -> None:
        if not self._own and link not in self._touched:
            await set_savepoint(self._session, link)
            self._touched.append(link)

    async def write(
        self,
        link: Link,
        text: bytes,
        tables: tuple[str, ...] | None,
        insert: int = 0,
        patience: Patience | None = None,
    ) -> Ok:
        """Runs a statement that writes. `insert`: F_INSERT, F_UPSERT or F_INSERT_ID; then `answers` has its answer, for
        `note_generated`. `patience`: of a statement that may wait for locks only. Raises Failed, SluiceError."""
        await self.touch(link)
        session = self._session
        before = session.last_insert_id
        steps = session.worker.calls.in_session(session, link, text, flags=m.F_WRITE | insert, tables=tables)
        answer = await (steps if patience is None else patience.during(link, steps))
        session.last_insert_id = before
        if answer.failed:
            raise Failed(answer)
        if insert:
            self.answers.append(answer)
        return ok_of(answer)

    async def commit(self) -> None:
        if self._own:
            await commit(self._session)
