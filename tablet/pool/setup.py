"""Brings a lent connection to the profile a statement wants: settings, then database, then what opens it.

The steps run one after the other, not pipelined but where `tablet/statements/behind.py` says: if a SET or START
TRANSACTION fails, the statement behind it must not run. A failed step leaves the connection `dirty`: it is reset before
anybody else gets it.
"""

from collections.abc import Callable, Sequence
from typing import Final

from tablet.backend.connection import Command, Connection, Profile
from tablet.pool.settings import change
from wire.constants import COM_INIT_DB, COM_QUERY

_MAX_CHANGES: Final = 4096
_CHANGES: dict[tuple[str, str, str], tuple[bytes, ...]] = {}
"""From settings to settings: the SETs. With N profiles in use there are N * N of them at most, asked for ever again."""

Then = Callable[[Command | None], None]
"""Called with None when all went well, else with the command that failed or was lost."""


def profile_steps(connection: Connection, profile: Profile, base_collation: str) -> list[bytes]:
    """The commands that give `connection` this profile. SluiceError where the settings are none."""
    settings, database, _ = profile
    steps: list[bytes] = []
    if connection.settings != settings:
        steps += _change(connection.settings, settings, base_collation)
    if connection.database != database:
        steps.append(bytes((COM_INIT_DB,)) + database.encode())
    return steps


def _change(old: str, new: str, base_collation: str) -> tuple[bytes, ...]:
    key = (old, new, base_collation)
    known = _CHANGES.get(key)
    if known is None:
        query = bytes((COM_QUERY,))
        known = tuple(query + sql.encode() for sql in change(old, new, base_collation))
        if len(_CHANGES) >= _MAX_CHANGES:
            del _CHANGES[next(iter(_CHANGES))]
        _CHANGES[key] = known
    return known


def run_steps(connection: Connection, steps: Sequence[bytes], then: Then) -> None:
    """Runs `steps` in order, stopping at the first that fails."""
    _Steps(connection, steps, then).next()


class _Steps:
    __slots__ = ("_at", "_connection", "_steps", "_then")

    def __init__(self, connection: Connection, steps: Sequence[bytes], then: Then) -> None:
        self._connection = connection
        self._steps = steps
        self._then = then
        self._at = 0

    def next(self) -> None:
        if self._at == len(self._steps):
            self._then(None)
            return
        step = self._steps[self._at]
        self._at += 1
        self._connection.command(step, self._done)

    def _done(self, command: Command) -> None:
        if command.ok:
            self.next()
        else:
            self._connection.dirty = True
            self._then(command)
