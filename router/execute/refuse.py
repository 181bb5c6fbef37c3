"""How a plan that several shards cannot run is refused, and how a text that is no statement is.

Invariant: nothing is executed. A text that the router could not read is prepared on one server, which parses it and
runs nothing: its syntax error is the answer where it finds one, else the router's own.
"""

from collections.abc import Sequence
from typing import Final

from core.errors import CODES, SluiceError, not_supported
from router.call import TabletError
from router.gateway import Link
from router.plan.plans import DmlPlan, SelectPlan
from router.sessions.bound import bound_text
from router.sessions.session import Session
from router.sessions.where import any_link
from router.variables.reading import is_mariadb

SYNTAX: Final = CODES["SYNTAX"].number
_UNREADABLE: Final = frozenset((SYNTAX, 1149))  # ER_PARSE_ERROR, ER_SYNTAX_ERROR
_WRONG: Final = _UNREADABLE | {1136}  # ER_WRONG_VALUE_COUNT_ON_ROW


def refuse(
    session: Session,
    plan: SelectPlan | DmlPlan,
    link: Link,
    sql: bytes,
    literals: Sequence[bytes],
    params: bytes | None,
) -> None:
    """Answers with the refusal of `plan`, or with MySQL's syntax error. Raises NOT_SUPPORTED."""
    assert plan.refusal is not None
    if not plan.unread:
        raise not_supported(*plan.refusal)
    text = bound_text(sql, literals) if params is not None else sql
    session.start(_ask(session, link, text, plan.refusal))


async def _ask(session: Session, link: Link, text: bytes, refusal: tuple[str, str]) -> None:
    try:
        await session.worker.calls.prepare(link, session.user, session.settings_text, text)
    except TabletError as error:
        if error.number in _UNREADABLE:
            raise
    raise not_supported(*refusal)


class SyntaxRunner:
    """A text in which the planner found a syntax error: the server's words for it are the answer."""

    __slots__ = ("_error",)

    def __init__(self, error: SluiceError) -> None:
        self._error = error

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        wrong_syntax(session, bound_text(sql, literals) if params is not None else sql, self._error)


def wrong_syntax(session: Session, text: bytes, error: SluiceError) -> None:
    """Answers with the server's error about `text`; where it finds none, or there is no server, with `error`."""
    session.start(_ask_why(session, text, error))


async def _ask_why(session: Session, text: bytes, error: SluiceError) -> None:
    try:
        await session.worker.calls.prepare(any_link(session), session.user, session.settings_text, text)
    except SluiceError as said:
        if said.number in _WRONG:
            raise
    if is_mariadb(session):
        error = SluiceError(error.code, error.message.replace("your MySQL server", "your MariaDB server"))
    raise error
