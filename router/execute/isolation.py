"""How much of the past a session's reads see.

Invariant: `each_read_is_fresh` is said only where the level is known for every shard that the transaction has or may
still take; a level that SET changed meanwhile, or that servers differ in, is not.
"""

from typing import TYPE_CHECKING, Final

from router.variables.reading import default_text, is_mariadb

if TYPE_CHECKING:
    from router.sessions.session import Session

_FRESH: Final = frozenset(("READ-COMMITTED", "READ-UNCOMMITTED"))
_LEVEL: Final = "ISOLATION LEVEL "


def each_read_is_fresh(session: "Session") -> bool:
    """Whether every plain SELECT of the open transaction (with autocommit off: of the one that it opens) surely sees
    what is committed when it runs, so that no shard's snapshot is kept for a later one."""
    tx = session.tx
    begin = tx.begin if tx is not None else session.next_transaction or ()
    named = [one.partition(_LEVEL)[2] for one in begin if _LEVEL in one]
    if named:
        return named[-1].replace(" ", "-").upper() in _FRESH
    if tx is not None and tx.settings_text != session.settings_text:
        return False  # shards that it holds may have another level than those to come
    name = "tx_isolation" if is_mariadb(session) else "transaction_isolation"
    own = (session.settings or {}).get(name)
    level = own.strip("'") if own is not None else default_text(session, name) or ""
    return level.upper() in _FRESH
