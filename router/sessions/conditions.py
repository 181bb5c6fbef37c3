"""What the diagnostics area of a session knows of a condition beyond what SHOW WARNINGS says of it.

`Session.warnings` holds (level, number, message). A condition whose SQLSTATE is not its number's (SIGNAL, errors of the
cluster's own), or that has items of SIGNAL, is a `Condition`: equal to such a tuple, and more.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Final

from core.errors import BY_NUMBER
from router.sessions.sqlstates import sqlstate_of
from router.variables.reading import is_mariadb

if TYPE_CHECKING:
    from router.sessions.session import Session

Warned = tuple[str, int, str]

ITEMS: Final = (
    "CLASS_ORIGIN", "SUBCLASS_ORIGIN", "CONSTRAINT_CATALOG", "CONSTRAINT_SCHEMA", "CONSTRAINT_NAME", "CATALOG_NAME",
    "SCHEMA_NAME", "TABLE_NAME", "COLUMN_NAME", "CURSOR_NAME",
)  # fmt: skip
"""What SIGNAL can say beside the number and the message; else they are empty, or follow from the SQLSTATE."""
_STANDARD: Final = frozenset("01234ABCDEFGH")
_OWN: Final = 15000


class Condition(tuple[str, int, str]):
    """See the module."""

    sqlstate: str
    items: Mapping[str, str]

    @classmethod
    def of(cls, warned: Warned, sqlstate: str, items: Mapping[str, str]) -> "Condition":
        made = cls(warned)
        made.sqlstate = sqlstate
        made.items = items
        return made


def condition(session: "Session", number: int, sqlstate: str, message: str) -> Warned:
    """The error that ended a statement."""
    plain = ("Error", number, message)
    return plain if sqlstate == _state_of(session, number) else Condition.of(plain, sqlstate, {})


def told(session: "Session", one: Warned) -> dict[str, int | str]:
    """All items of a condition, by the names that GET DIAGNOSTICS has for them."""
    state = one.sqlstate if isinstance(one, Condition) else _state_of(session, one[1])
    origin = subclass = ""
    if not is_mariadb(session):  # which says nothing of origins
        standard = state[0] in _STANDARD
        origin = "ISO 9075" if standard else "MySQL"
        subclass = "ISO 9075" if standard or state.endswith("000") else "MySQL"
    found: dict[str, int | str] = dict.fromkeys(ITEMS, "")
    found |= {"CLASS_ORIGIN": origin, "SUBCLASS_ORIGIN": subclass}
    found |= {"MYSQL_ERRNO": one[1], "RETURNED_SQLSTATE": state, "MESSAGE_TEXT": one[2]}
    return found | dict(one.items) if isinstance(one, Condition) else found


def _state_of(session: "Session", number: int) -> str:
    if number >= _OWN and number in BY_NUMBER:
        return BY_NUMBER[number].sqlstate
    return sqlstate_of(number, mariadb=is_mariadb(session))
