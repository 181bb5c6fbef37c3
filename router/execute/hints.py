"""Statements with SET_VAR hints: each variable is treated as its class asks, as MySQL would for the client itself.

What a hint sets holds for the one statement, so hints of settings go to MySQL as they are. Not so:
- a variable that the user has no right to set: MySQL says so in a warning and goes on without; here too, since the
  tablet's account has all rights;
- `sql_auto_is_null`, which is refused as by SET: it would find a row that another session inserted;
- what decides how shards are merged (`sql_select_limit`, `div_precision_increment`): `number_of_hint` tells it.
"""

from collections.abc import Sequence
from typing import Final

from core.errors import SluiceError, fail, not_supported
from router.execute.substitute import SubstituteRunner
from router.sessions.bound import bound_text
from router.sessions.parts import Course, Runner
from router.sessions.session import Session
from router.sessions.warnings import add_warning
from router.sql.hints import hinted, without
from router.variables.privileged import MAY_STAY, privilege_to_set
from router.variables.reading import default_text, is_mariadb
from router.variables.table import rule_of

_IS_NULL: Final = "sql_auto_is_null"


class HintRunner:
    """Runs a statement whose hints name variables that MySQL does not let everybody set."""

    __slots__ = ("_names", "_refused", "_runner")

    def __init__(self, runner: Runner, hints: dict[str, bytes]) -> None:
        self._runner = runner
        self._names = [name for name in hints if privilege_to_set(name, mariadb=False)]
        self._refused = hints.get(_IS_NULL, b"0").upper() not in (b"0", b"OFF", b"FALSE", b"DEFAULT")

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        if is_mariadb(session):  # to which hints are comments
            self._runner.run(session, sql, literals, params)
            return
        if self._refused:
            raise not_supported(f"SET_VAR({_IS_NULL} = 1)", rule_of(_IS_NULL).reason)
        if self._names and not session.worker.rights.is_admin(session):
            hints = hinted(sql)
            names = [name for name in self._names if not _may_stay(session, name, hints[name])]
            if names:
                said = [fail("PRIVILEGE", privilege=privilege_to_set(one, mariadb=False)) for one in names]
                _Warning(session, said)
                text = bound_text(sql, literals) if params is not None else sql
                # planned anew: a plan may have a text of its own, with the hints
                session.run_text(without(text, frozenset(names)))
                return
        self._runner.run(session, sql, literals, params)


class _Warning:
    """Adds warnings to those of the statement, when it has ended."""

    def __init__(self, session: Session, said: list[SluiceError]) -> None:
        self._session = session
        self._said = said
        self._outer: Course | None = session.several
        session.several = self

    def goes_on(self) -> bool:
        session = self._session
        session.several = self._outer
        for one in self._said:
            add_warning(session, one)
        return self._outer is not None and self._outer.goes_on()


def with_hints(runner: Runner, key: bytes) -> Runner:
    """`runner`, or what looks after the hints of the statement with this normalised text."""
    if b"/*+" not in key or isinstance(runner, SubstituteRunner):  # whose text is planned anew
        return runner
    hints = hinted(key)
    if not any(name == _IS_NULL or privilege_to_set(name, mariadb=False) for name in hints):
        return runner
    return HintRunner(runner, hints)


def number_of_hint(session: Session, text: bytes, name: str) -> int | None:
    """The number to which a hint of the statement sets `name`; None where none does."""
    if b"/*+" not in text or is_mariadb(session):
        return None
    value = hinted(text).get(name, b"")
    return int(value) if value.isdigit() else None


def _may_stay(session: Session, name: str, value: bytes) -> bool:
    if name not in MAY_STAY:
        return False
    wanted = value.strip(b"'\"").decode("utf-8", "replace").upper()
    default = default_text(session, name) == "ON"
    return wanted == "DEFAULT" or wanted in (("1", "ON", "TRUE") if default else ("0", "OFF", "FALSE"))
