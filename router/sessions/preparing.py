"""What COM_STMT_PREPARE tells of a text: its parameters and columns.

A MySQL says it, wherever one would be asked for the rows. A session that holds a connection asks that one: it may have
temporary tables that no other knows, and it needs no second place in the pool.

Invariant: a statement that a server cannot prepare (1295) is not prepared here either, so that drivers which try that
first go on with its text, as they do without a router.
"""

from typing import TYPE_CHECKING, Final

from core.errors import not_supported
from router.call import PreparedAnswer, TabletError
from router.gateway import Link
from router.plan.plans import FinishPlan, MovePlan, Planned, SessionPlan, SubstitutePlan
from router.sessions.holding import note_fail, reserved_handle
from router.sessions.session import Session
from router.sessions.where import any_link
from wire.answers import is_eof
from wire.columns import Column, parse_column, text_column
from wire.packets import iterate_payloads

if TYPE_CHECKING:
    from router.sessions.prepared import PreparedStatement

_ASKED: Final = frozenset("show explain call do other empty xa diagnostics".split())  # noqa: SIM905
_UNSUPPORTED_PS: Final = 1295


async def metadata(
    session: Session, statement: "PreparedStatement", planned: Planned
) -> tuple[list[Column], list[Column]]:
    """Parameters and columns as a MySQL says them, or the router's own where no MySQL would be asked. Raises."""
    plan = planned.plan
    if isinstance(plan, SubstitutePlan) and plan.local is not None:
        return _generic(statement), [text_column(column.name) for column in plan.local]
    if isinstance(plan, FinishPlan):
        raise not_supported(
            f"preparing a statement with {plan.refusal[0]}", "Send it as text, with the values in it."
        )
    if isinstance(plan, MovePlan):
        return _generic(statement), []
    if isinstance(plan, SessionPlan) and plan.kind.value not in _ASKED:
        try:
            await ask(session, statement.text)
        except TabletError as error:  # whatever else a server has against it: it will not see it
            if error.number == _UNSUPPORTED_PS:
                raise
        return _generic(statement), []
    answer = await ask(session, statement.text)
    payloads = [p for p in list(iterate_payloads(answer.packets))[1:] if not is_eof(p)]
    definitions = [parse_column(p) for p in payloads]
    return definitions[: answer.params], definitions[answer.params : answer.params + answer.columns]


async def ask(session: Session, text: bytes) -> PreparedAnswer:
    """What a server says of the text: the one whose connection the session holds, which may have temporary tables.
    Raises TabletError."""
    link = _link(session)
    tx = session.tx
    handle = tx.handle_on(link) if tx is not None and not tx.lost else 0
    if not handle:
        handle = reserved_handle(session, link)
    try:
        return await session.worker.calls.prepare(link, session.user, session.settings_text, text, handle)
    except TabletError as error:
        if handle and not error.handle:
            note_fail(session, link, error.number, error.message, 0)
        raise


def _link(session: Session) -> Link:
    """Where the session holds a connection of its keyspace, else anywhere."""
    link = any_link(session)
    held = [*(session.reserved or ()), *(session.tx.held if session.tx is not None else ())]
    if link in held or session.shard:
        return link
    return next((one for one in held if one.keyspace == link.keyspace), link)


def _generic(statement: "PreparedStatement") -> list[Column]:
    return [text_column("?") for _ in range(statement.parameter_count)]
