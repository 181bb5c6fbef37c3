"""Whether a text can be prepared: a server is asked when a client says PREPARE, so that mistakes are told then.

Nothing of it stays on the server. Where another server than the session's own would run the text, or the router alone
does, the session's server is believed only in what it says of the text itself.
"""

from typing import Final

from core.errors import fail
from router.call import TabletError
from router.plan.plans import SubstitutePlan
from router.sessions.preparing import ask
from router.sessions.session import Session
from router.sql.normalise import normalise, split_statements
from router.statements.words import Words
from router.view import SYSTEM_SCHEMAS

_OF_THE_TEXT: Final = frozenset((1064, 1065, 1295))
_NOT_PREPARED: Final = frozenset(("PREPARE", "EXECUTE", "DEALLOCATE"))
_OURS: Final = frozenset(("PINS", "TABLETS", "SHARDS", "VSCHEMA", "VITESS_TABLETS", "VITESS_SHARDS"))


def check_kind(session: Session, text: bytes) -> None:
    """Raises 1295 for what is never run by name, 1065 for an empty text."""
    if not split_statements(text, session.dialect):
        raise fail("EMPTY_QUERY")
    first = Words(text, session.dialect).peek()
    if first is not None and first.text in _NOT_PREPARED:
        raise fail("NOT_PREPARABLE")


async def check(session: Session, text: bytes) -> None:
    """Has a server read the text. Raises SluiceError as the server says it."""
    check_kind(session, text)
    words = Words(text, session.dialect)
    second = words.peek(1)
    if words.sees("SHOW") and second is not None and second.text in _OURS:
        return
    if any(one.text.lower() == "transaction_mode" for one in words.lexemes):
        return
    planned = session.worker.planned(session, normalise(text, session.dialect).key)
    if isinstance(planned.plan, SubstitutePlan) and planned.plan.local is not None:
        return
    try:
        await ask(session, text)
    except TabletError as error:
        if error.number in _OF_THE_TEXT or not _may_run_elsewhere(session, words):
            raise


def _may_run_elsewhere(session: Session, words: Words) -> bool:
    """Whether it may be that another server runs the text, or several do."""
    view = session.worker.view
    assert view is not None
    keyspace = view.keyspaces.get(session.keyspace)
    if keyspace is None or (len(keyspace.links) > 1 and not session.shard):
        return True
    others = {name.lower() for name in (*view.keyspaces, *SYSTEM_SCHEMAS)} - {session.keyspace.lower()}
    return any(one.raw.lower() in others for one in words.lexemes)
