"""CALL: procedures begin and end transactions, and turn autocommit on and off; what they leave is the session's.
XA START: what it begins is none of the router's transactions. With autocommit off, SELECT NOW() and whatever else names
no table: only the server knows whether it begins one.

Each takes a connection as a transaction's first statement does, but without a BEGIN where none is open: such a
transaction is `tentative`. When the answer says that one is open now, it is an ordinary one from then on; when it says
that none is, or no procedure has run, it is as if there had been none (`Transaction.called`, `dropped`).

Invariants: the tablet runs the procedure with the client's own autocommit (F_CALL); a tentative transaction lives no
longer than its statement; an XA transaction never joins another shard (`Transaction.branch`).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from router.sessions import holding

if TYPE_CHECKING:
    from router.gateway import Link
    from router.sessions.session import Session


def begins(session: Session) -> None:
    """A CALL is about to be sent: its answer will tell of the session's transaction and autocommit."""
    if session.tx is None:
        holding.open_tentative(session)
    else:
        session.tx.calling = True


def begins_branch(session: Session, link: Link) -> None:
    """An XA START is about to be sent to `link`, in a session without a transaction."""
    holding.open_tentative(session).branch = link


def dropped(session: Session) -> None:
    """It has no answer: refused, lost, stopped or sent back. Where its connection is still there, a transaction may be
    open on it: the next answer tells. Else none has begun, and SET TRANSACTION is still about the next."""
    tx = session.tx
    if tx is None or not tx.calling:
        return
    tx.calling = False
    if not tx.tentative:
        return
    if tx.held and not tx.lost:
        tx.opened()
    else:
        session.next_transaction = tx.begin or None
        holding.transaction_over(session)
