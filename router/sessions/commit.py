"""COMMIT of a session's transaction, on every shard that it holds.

Invariants
- Once begun it goes on to its end, also when the client goes away or kills it.
- A shard that has lost its part since the client's last statement there is found before the first COMMIT is sent.
"""

import asyncio
from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import SluiceError, fail
from core.rpc import messages as m
from router.gateway import Link
from router.sessions import holding
from router.sessions.transaction import Transaction
from router.sessions.transaction_tracker import noted

if TYPE_CHECKING:
    from router.sessions.session import Session


async def commit(session: "Session") -> None:
    """Commits on the shards in the order they joined, entries of lookup tables in theirs. Raises SluiceError:
    PARTIAL_COMMIT when some have committed and one has not, TRANSACTION_LOST or MySQL's error when none has."""
    tx = session.tx
    if tx is None:
        return
    tx.check()
    if tx.branch is not None:  # its server says why this is none of its ends
        answer = await session.worker.calls.in_session(session, tx.branch, b"COMMIT", flags=m.F_WRITE)
        answer.check(answer.handle)
        return
    flags = m.F_STATUS | m.F_WRITE | session.flags & (m.F_FOUND_ROWS | m.F_SESSION_TRACK)
    kept = frozenset(session.reserved or ())
    tx.committing = True
    try:
        await session.worker.calls.to_the_end(_commit(session, tx, flags, kept))
    except asyncio.CancelledError:
        tx.lost = tx.lost or "its COMMIT was interrupted; whether it took effect is not known"
        raise
    holding.transaction_over(session)


async def _find_lost(session: "Session", tx: Transaction, links: Sequence[Link]) -> None:
    """Asks each for a sign of life. Raises TRANSACTION_LOST where one has lost its part."""
    handles = [tx.handle_on(link) for link in links]
    asked = [
        session.worker.calls.execute(link, b"DO 0", flags=m.F_STATUS, handle=handle, user=session.user)
        for link, handle in zip(links, handles, strict=True)
    ]
    for link, answer in zip(links, await asyncio.gather(*asked, return_exceptions=True), strict=True):
        if isinstance(answer, SluiceError):
            raise tx.lose(f"{link.keyspace}/{link.shard}: {answer.message}")
        if isinstance(answer, BaseException):
            raise answer


async def _commit(session: "Session", tx: Transaction, flags: int, kept: frozenset[Link]) -> None:
    user, settings = session.user, session.settings_text
    done: list[str] = []
    try:
        order = tx.in_order()
        if not session.implicit and len(order) > 1:
            await _find_lost(session, tx, order[1:])
        for link in order:
            name = f"{link.keyspace}/{link.shard}"
            release = 0 if link in kept else m.F_RELEASE
            try:
                answer = await session.worker.calls.execute(
                    link,
                    b"COMMIT",
                    flags=flags | release,
                    handle=tx.handle_on(link),
                    user=user,
                    settings=settings,
                )
                if answer.tracked is not None:
                    noted(session, link, answer.tracked)
                answer.check(0)
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
