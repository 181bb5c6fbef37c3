"""Requests that come for a transaction that is over: two at once in one session, or one that was sent again. Pure.

Such a request must not run outside the transaction that it was meant for. What became of that one is not for the
router to say: it may have been committed, and the reply lost.
"""

import re
from typing import Final

from core.errors import SluiceError, fail
from router.sql.dialect import Dialect
from router.statements.words import Words

_REASON: Final = (
    "an earlier request ended it, by COMMIT, ROLLBACK or an error: its reply says which; send ROLLBACK"
)
_READS: Final = re.compile(rb"\s*(?:SELECT|SHOW|TABLE|VALUES)\b", re.IGNORECASE)
_PLAIN: Final = re.compile(
    rb"\s*(?:SELECT|INSERT|UPDATE|DELETE|REPLACE|WITH|TABLE|VALUES|SHOW|SAVEPOINT)\b", re.IGNORECASE
)


def transaction_over() -> SluiceError:
    """What a request is told that was sent for a transaction which an earlier one ended."""
    return fail("HTTP_SESSION_LOST", what="the transaction", reason=_REASON)


def rolls_back(sql: bytes, dialect: Dialect) -> bool:
    """Whether the statement is a ROLLBACK of the whole transaction, which harms none that is over."""
    try:
        words = Words(sql, dialect)
    except SluiceError:
        return False
    if not words.takes("ROLLBACK"):
        return False
    words.takes("WORK")
    return not words.sees("TO")


def reads(statement: bytes) -> bool:
    """Whether the statement reads, and nothing is lost if it is stopped; in doubt it does not."""
    return _READS.match(statement) is not None


def may_commit(statement: bytes) -> bool:
    """Whether the statement might end a transaction other than by rolling it back; in doubt it might."""
    return _PLAIN.match(statement) is None
