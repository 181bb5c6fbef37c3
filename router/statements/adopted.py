"""Session variables that a stored program has SET: the session's from then on, as if it had SET them itself.

    class (router/variables/table.py)        what becomes of it
    SETTING, and ROUTER's isolation levels,  taken over
    read only, sql_select_limit, results
    other ROUTER, IGNORED                    taken over where it is not the server's default, which is what it is on
                                             a connection where nobody has SET it
    RESERVE, REFUSED, or without the right   lost with its connection, and a warning says so

The values are what a server keeps, so none is asked about again.
"""

from typing import Final

from core.errors import SluiceError, not_supported
from router.engine.reader import ResultReader
from router.sessions.session import Session
from router.sessions.warnings import add_warning
from router.statements import assign
from router.statements.assignments import SystemVariable
from router.statements.judge import Changes, is_default, settle
from router.statements.pinned_set import is_pinned
from router.variables.coupled import canonical, roots
from router.variables.literals import cell_literal, parsed
from router.variables.privileged import privilege_to_set
from router.variables.reading import is_mariadb, read
from router.variables.table import Class, known
from wire.rows import split_text_row

_RULES: Final = known()
_ON_CONNECTIONS: Final = frozenset(
    """
    transaction_isolation transaction_read_only tx_isolation tx_read_only sql_select_limit character_set_results
    """.split()  # noqa: SIM905
)
"""Variables of class ROUTER that connections have as the session has them."""


def adopt(session: Session, packets: bytes) -> None:
    """Takes over what a tablet told with I_SETTINGS: one row, `@@name` and value."""
    reader = ResultReader()
    reader.feed(packets, True)
    row = reader.next_row()
    if row is None:
        return
    mariadb = is_mariadb(session)
    cells = zip(reader.columns, split_text_row(row, len(reader.columns)), strict=True)
    literals = {
        canonical(column.name.decode().lstrip("@").lower(), mariadb=mariadb): cell_literal(column, cell)
        for column, cell in cells
    }
    for name, literal in literals.items():
        if name not in _RULES or read(session, "session", name) == parsed(literal):
            continue
        try:
            if roots(name):
                _take_together(session, name, literals)
            else:
                _take(session, name, literal)
        except SluiceError as error:
            add_warning(session, error)


def _take(session: Session, name: str, literal: bytes) -> None:
    kind, default = _RULES[name].kind, is_default(session, name, literal)
    if kind in (Class.RESERVE, Class.REFUSED) or (
        privilege_to_set(name, mariadb=is_mariadb(session)) and not session.worker.rights.is_admin(session)
    ):
        if not default and not is_pinned(session, name):
            raise not_supported(
                f"SET {name} in a stored program for what comes after it",
                "It was set until the program's end.",
            )
    elif kind is Class.SETTING:
        session.set_setting(name, None if default else literal.decode("utf-8", "surrogateescape"))
        settle(session, name)
    elif name in _ON_CONNECTIONS or not default:
        assign.value(session, SystemVariable("session", name, 0, 0), literal, Changes())


def _take_together(session: Session, name: str, literals: dict[str, bytes]) -> None:
    """Of variables that change each other: all of what a SET of `name` can have changed, or nothing."""
    own = [root for root in roots(name) if root in literals]
    default = all(is_default(session, root, literals[root]) for root in own)
    for root in own:
        text = literals[root].decode("utf-8", "surrogateescape")
        session.set_setting(root, None if default else text)
