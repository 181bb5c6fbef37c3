"""XA branches on held connections: when one begins, when it is over, how a connection that has one is given up.

    statement (flag)                              answer                     afterwards
    XA START, XA END (F_BRANCH)                   OK                         there
    XA PREPARE, COMMIT, ROLLBACK (F_BRANCH_ENDS)  OK, in a transaction       there: prepared, and the connection's own
                                                                             (MariaDB; MySQL where it does not detach)
                                                  OK, in none                not there: done, or prepared and nobody's
                                                  1402, 1613, 1614           not there: the server rolled it back
    any                                           any other error            as before

Invariants
- A connection with a branch is closed, never reset and never lent: the server then rolls back what is not prepared,
  and keeps what is. COM_RESET_CONNECTION there makes MariaDB 10.11 lose rows of branches to come, and ends MySQL 9.7
  where xa_detach_on_prepare is off (both tried).
- The router is told of a transaction as long as there is a branch: after a deadlock a server says that there is none,
  but refuses everything until XA ROLLBACK.
"""

from typing import Final

from core.errors import not_supported
from core.rpc.messages import F_BEGIN, F_BRANCH, F_BRANCH_ENDS, F_RESERVE, I_ERR
from tablet.backend.connection import Command
from tablet.pool.pool import Pool
from tablet.statements.held import Held
from wire.answers import parse_err
from wire.constants import SERVER_STATUS_IN_TRANS
from wire.packets import last_payload

ABOUT_BRANCHES: Final = F_BRANCH | F_BRANCH_ENDS
_ROLLED_BACK: Final = frozenset((1402, 1613, 1614))
"""XA_RBROLLBACK, XA_RBTIMEOUT, XA_RBDEADLOCK."""


def check(flags: int) -> None:
    """Of a statement that came without a handle. Raises NOT_SUPPORTED where a branch would be on a connection that
    nobody holds."""
    if flags & F_BRANCH and not flags & (F_BEGIN | F_RESERVE):
        raise not_supported("XA START without a connection of its own", "Send it with F_BEGIN.")


def settle(held: Held, flags: int, info: int, answer: bytes, status: int) -> int:
    """Takes account of an answer on `held`, and MySQL's status flags after it; those to tell."""
    if flags & ABOUT_BRANCHES:
        if not info & I_ERR:
            held.branch = bool(flags & F_BRANCH or status & SERVER_STATUS_IN_TRANS)
        elif flags & F_BRANCH_ENDS and parse_err(last_payload(answer)).number in _ROLLED_BACK:
            held.branch = False
    return status | SERVER_STATUS_IN_TRANS if held.branch else status


def give_up(pool: Pool, held: Held) -> None:
    """Gives the connection of `held`, on which nothing runs, back: rolled back, or closed where it has a branch."""
    connection = held.connection
    if held.branch:
        pool.discard(connection)
        return
    if held.reserved:
        connection.dirty = True
    if not held.in_transaction or connection.is_lost:
        pool.release(connection)
        return

    def rolled_back(command: Command) -> None:
        if command.told_changes:
            connection.dirty = True
        if command.ok:
            pool.release(connection)
        else:  # also a branch that a procedure has begun
            pool.discard(connection)

    connection.command(b"\x03ROLLBACK", rolled_back)
