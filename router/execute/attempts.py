"""Fights over locks that no MySQL sees whole: a write of rows with entries in lookup tables gives way, and comes again.

Such a write locks rows on their shards and entries on the lookup table's. All lock rows first, then entries, which
leaves only circles through transactions of several statements, locks of gaps, and entries on several shards.
Invariant: every such circle has someone in it who waits with Patience: in a statement by key, or in the read of the
rows that an UPDATE or DELETE is about.
- In autocommit the statement is undone, whole, and run again: nothing of it was acknowledged. So is one that a server
  chose as the victim of a deadlock. It goes on as long as MySQL's own wait for a lock would (error 1205 then).
- In a transaction of the client's, that ends as by a deadlock: rolled back, error 1213.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable
from typing import Final, TypeVar

from router.call import TabletError
from router.execute.atomic import Failed
from router.execute.patience import EntryLockedError, Patience
from router.sessions import holding
from router.sessions.session import Session

FIRST_S: Final = 0.3
"""After so long the first attempt looks at its wait. Each further one has half of that more, so that of two that wait
for each other the younger gives way; up to MOST_S, or LAST_S where it came often, as slow statements do."""
MOST_S: Final = 1.5
LAST_S: Final = 10.0
_OFTEN: Final = 20
_LOCK_WAIT_S: Final = 50.0
_PAUSE_S: Final = 0.005
_DEADLOCK: Final = 1213

T = TypeVar("T")


class ComesAgainError(Exception):
    """The statement must be undone, and run again another way."""


async def until_done(session: Session, once: Callable[[Patience], Awaitable[T]]) -> T:
    """What `once(patience)` returns: a whole statement in an Atomic, tried again where it may be. Raises as it does,
    and EntryLockedError."""
    own = session.tx is None and session.autocommit
    until_s = session.worker.loop.time() + _lock_wait_s(session)
    characteristics = session.next_transaction
    # two that met must not meet again at the same moment
    share = 0.75 + session.id * 0.618 % 0.5
    tries = 0
    while True:
        look_s = min(FIRST_S * share * (1 + tries / 2), MOST_S if tries < _OFTEN else LAST_S)
        try:
            return await once(Patience(session, look_s, 1) if own else Patience(session))
        except ComesAgainError:
            pass
        except EntryLockedError:
            if not own:
                holding.transaction_over(session)
                raise _deadlock() from None
            if session.worker.loop.time() >= until_s:
                raise
            tries += 1
        except (TabletError, Failed) as error:
            if not own or _number(error) != _DEADLOCK or session.worker.loop.time() >= until_s:
                raise
            tries += 1
        if tries:  # who was waited for goes first
            await asyncio.sleep(_PAUSE_S * share * tries)
        session.warnings = None
        session.next_transaction = characteristics


def _deadlock() -> TabletError:
    text = "Deadlock found when trying to get lock; try restarting transaction"
    return TabletError(_DEADLOCK, "40001", text, 0)


def _number(error: TabletError | Failed) -> int:
    return error.number if isinstance(error, TabletError) else error.answer.error().number


def _lock_wait_s(session: Session) -> float:
    """What the session allows a wait for a row's lock."""
    told = (session.settings or {}).get("innodb_lock_wait_timeout", "").strip("'")
    return float(told) if told.isdigit() else _LOCK_WAIT_S
