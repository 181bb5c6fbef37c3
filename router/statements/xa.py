"""XA statements: branches of transactions that a coordinator of the client's own holds together.

A branch is one shard's: that of an unsharded keyspace, or of the session's target. It is a transaction of the session
(`Transaction.branch`), on a connection that is kept from XA START on; its server is the judge of every statement in
it, also of BEGIN, COMMIT and whatever commits implicitly.

    after                                the connection
    XA COMMIT, XA ROLLBACK               is given back
    XA PREPARE on MySQL                  is given back: the branch is nobody's, and any session can end it
    XA PREPARE on MariaDB                is kept: no other session can end the branch until this one is gone
    the session's end, a time limit      is closed: what is not prepared is rolled back, what is prepared stays

Invariants
- XA COMMIT and XA ROLLBACK of a branch whose connection is gone go to any connection of its shard: its server knows
  whether it was prepared.
- A branch never joins another shard (`holding.check_branch`).
"""

from typing import Final

from core.errors import SluiceError, fail
from core.rpc import messages as m
from router.execute.reserve import admit
from router.gateway import Link
from router.plan.plans import Kind
from router.sessions import holding
from router.sessions.called import begins_branch
from router.sessions.query_attributes import along
from router.sessions.session import Session
from router.sessions.transaction import Transaction
from router.sessions.warnings import note_error, note_warnings
from router.statements.passing import one_shard, pass_read, with_status
from router.statements.words import Words

_VERBS: Final = ("START", "BEGIN", "END", "PREPARE", "COMMIT", "ROLLBACK", "RECOVER")
_FLAGS: Final = {
    "START": m.F_WRITE | m.F_BRANCH,
    "BEGIN": m.F_WRITE | m.F_BRANCH,
    "END": m.F_BRANCH,
    "PREPARE": m.F_WRITE | m.F_BRANCH_ENDS,
    "COMMIT": m.F_WRITE | m.F_BRANCH_ENDS,
    "ROLLBACK": m.F_WRITE | m.F_BRANCH_ENDS,
}
_ENDS: Final = ("COMMIT", "ROLLBACK")


def run(session: Session, kind: Kind, sql: bytes) -> None:
    """Raises SluiceError."""
    del kind
    words = Words(sql, session.dialect)
    words.expect("XA")
    verb = words.takes_one(*_VERBS)
    if not verb:
        raise words.error()
    branch = session.tx.branch if session.tx is not None else None
    if branch is not None and verb in _ENDS and not _is_there(session, branch):
        holding.transaction_over(session)
        session.start(_beside(session, branch, sql))
        return
    link = branch or one_shard(
        session, f"XA {verb}", f"{_select(session)} Transactions over shards need no XA: BEGIN."
    )
    tx = session.tx
    if verb == "RECOVER":
        pass_read(session, link, sql)
    elif tx is None or _is_empty(tx):
        _begin(session, verb, link, sql)
    else:
        tx.check()
        if tx.held and link not in tx.held:
            raise fail("XA_OUTSIDE")
        session.forward(link, _FLAGS[verb] | m.F_VARIABLES, None, sql, None)


def _select(session: Session) -> str:
    """How to select a shard, where the session's keyspace has several."""
    view = session.worker.view
    found = view.keyspaces.get(session.keyspace) if view is not None else None
    return f"Select one shard first, such as USE `{found.name}:{found.links[0].shard}`." if found else ""


def _is_there(session: Session, branch: Link) -> bool:
    """Whether the session's connection to its branch may still be there."""
    tx = session.tx
    assert tx is not None
    if tx.lost or branch not in tx.held:
        return False
    try:
        return bool(tx.handle_on(branch))
    except SluiceError:
        return False


def _is_empty(tx: Transaction) -> bool:
    """One that the router opened for autocommit = 0 and no server has heard of."""
    return not (tx.explicit or tx.held or tx.lost)


def _begin(session: Session, verb: str, link: Link, sql: bytes) -> None:
    """XA START, or an XA statement about a branch that is not this session's."""
    if verb not in ("START", "BEGIN"):
        session.start(_beside(session, link, sql))
        return
    if session.tx is not None:
        holding.transaction_over(session)
    begins_branch(session, link)
    session.forward(link, _FLAGS[verb] | m.F_VARIABLES, (), sql, None)


async def _beside(session: Session, link: Link, sql: bytes) -> None:
    """Runs it outside of any transaction, on the connection that is reserved on `link` if there is one."""
    await admit(session, link)
    handle = holding.reserved_handle(session, link)
    flags = session.flags & (m.F_FOUND_ROWS | m.F_WARNINGS) | m.F_WRITE | m.F_VARIABLES
    answer = await session.worker.calls.execute(
        link,
        sql,
        flags=flags | m.F_STATUS if handle else flags,
        handle=handle,
        user=session.user,
        settings=session.settings_text,
        tables=None,
        extra=along(session, None),
    )
    if handle and not answer.handle:
        holding.lose_reserved(session, link)
    if answer.warnings:
        note_warnings(session, answer.warnings)
    if answer.failed:
        note_error(session, answer.last_payload())
        session.affected_rows = -1
    else:
        session.affected_rows = 0
    session.reply(with_status(answer.data, session.caps, session.status))
