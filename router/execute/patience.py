"""How long a statement waits for what others have locked, where no server sees that they may be waiting for it.

A transaction over several servers can be in a circle of waiting of which each server sees a part. Two things are
certain of one that is: it waits, and another transaction waits on a server where it holds locks. So where a wait is
long, the servers are asked how many wait. Invariant: while nobody else does, no wait is broken off, however long.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable
from dataclasses import dataclass
from typing import Final

from core.errors import SluiceError
from router.call import Answer, TabletError
from router.gateway import Link
from router.sessions.session import Session
from router.statements.result import checked, rows_of

LOOK_S: Final = 0.5
_ANSWER_S: Final = 1.0
"""A server that does not say may have no place left in its pool, for which others wait that hold them."""
_INTERRUPTED: Final = 1317
_WAITING: Final = b"SHOW GLOBAL STATUS LIKE 'Innodb_row_lock_current_waits'"


class EntryLockedError(TabletError):
    """A wait was broken off. As MySQL's own error of that kind."""

    def __init__(self) -> None:
        super().__init__(1205, "HY000", "Lock wait timeout exceeded; try restarting transaction", 0)


@dataclass(slots=True)
class _Wait:
    """One statement under way. `ended`: it was broken off."""

    watch: asyncio.Task[None] | None = None
    ended: bool = False


class Patience:
    """Of one attempt: a wait is looked at after each `look_s`, and broken off when it was suspect `looks` times on
    end."""

    __slots__ = ("_look_s", "_looks", "_session")

    def __init__(self, session: Session, look_s: float = LOOK_S, looks: int = 2) -> None:
        self._session = session
        self._look_s = look_s
        self._looks = looks

    async def during(self, link: Link, steps: Awaitable[Answer], *, scans: bool = False) -> Answer:
        """The answer of `steps`, which run one statement by a key on `link`, in the session's transaction. `scans`: it
        may read long, and is suspect only while somebody waits for a row on `link`. Raises as they do, and
        EntryLockedError."""
        task = asyncio.current_task()
        assert task is not None
        loop = self._session.worker.loop
        wait = _Wait()
        timer = loop.call_later(self._look_s, self._begin, link, task, wait, scans)
        try:
            answer = await steps
        except TabletError as error:
            if wait.ended and error.number == _INTERRUPTED:
                raise EntryLockedError from None
            raise
        finally:
            timer.cancel()
            if wait.watch is not None:
                wait.watch.cancel()
        if wait.ended and answer.failed and answer.error().number == _INTERRUPTED:
            raise EntryLockedError
        return answer

    def _begin(self, link: Link, task: asyncio.Task[object], wait: _Wait, scans: bool) -> None:
        wait.watch = self._session.worker.loop.create_task(self._watch(link, task, wait, scans))

    async def _watch(self, link: Link, task: asyncio.Task[object], wait: _Wait, scans: bool) -> None:
        suspect = 0
        while True:
            reads = scans and await self._waits(link) == 0
            suspect = suspect + 1 if not reads and await self._others_wait(link) else 0
            if suspect >= self._looks:
                wait.ended = self._session.worker.calls.interrupt(task)
                return
            await asyncio.sleep(self._look_s)

    async def _others_wait(self, at: Link) -> bool:
        """Whether anyone else waits for a lock on the servers that the transaction holds, while it waits on `at`."""
        tx = self._session.tx
        held = list(tx.held) if tx is not None else []
        waiting = await self._waits(*held)
        return waiting is None or waiting > (at in held)

    async def _waits(self, *links: Link) -> int | None:
        """How many wait for rows on `links`; None where that is not said."""
        waiting = 0
        try:
            async with asyncio.timeout(_ANSWER_S):
                for link in links:
                    answer = await self._session.worker.calls.execute(link, _WAITING, user=self._session.user)
                    waiting += int(rows_of(checked(answer)).rows[0][1] or b"0")
        except (SluiceError, IndexError, ValueError, TimeoutError):
            return None
        return waiting
