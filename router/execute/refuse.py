"""How a plan that several shards cannot run is refused.

Invariant: nothing is executed. A text that the planner could not read is prepared on one server, which parses it and
runs nothing: its syntax error is the answer where it finds one, else it is Sluice that does not support the text.
"""

from collections.abc import Sequence
from typing import Final

from core.errors import not_supported
from router.calls import TabletError
from router.gateway import Link
from router.plan.plans import DmlPlan, SelectPlan
from router.prepared import bound_text
from router.session import Session

_SYNTAX: Final = frozenset((1064, 1149))  # ER_PARSE_ERROR, ER_SYNTAX_ERROR


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
        if error.number in _SYNTAX:
            raise
    raise not_supported(*refusal)
