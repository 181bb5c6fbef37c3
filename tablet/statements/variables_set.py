"""What a stored program has SET is told to the router, whose session it is (I_SETTINGS).

The server is asked for the values on the same connection, once the answer is there: its trackers say nothing of them
after rows, and MariaDB's nothing after an error. The connection itself is reset before another session gets it
(`programs.doubt`); where this session goes on with it, what it has of these variables is not known (`settings`).
"""

from typing import Final

from core.rpc.messages import F_SETTINGS, I_SETTINGS, RESULT
from tablet.backend.connection import Command, Connection
from tablet.pool.settings import coupled, unknown
from tablet.statements.tracking import Tracking
from wire.packets import iterate_payloads
from wire.rows import split_text_row

_AS_NUMBERS: Final = {"ON": b"1", "OFF": b"0"}


class VariablesSet(Tracking):
    """The part of a statement's life that is about session variables which its programs SET."""

    __slots__ = ()

    def _note_set(self) -> None:
        """After the answer: which the programs may have SET."""
        needs = self.execution.programs.needs
        self._may_have_set = ()
        if needs.sets_any and self.flags & F_SETTINGS and self.stopped is None:
            names = needs.sets(self.sql, self.flags, self.tables)
            known = self.execution.programs.variables
            self._may_have_set = tuple(
                sorted({other for name in names for other in (name, *coupled(name)) if other in known})
            )

    def _asks_values(self) -> bool:
        """Whether the server is asked; `_tracked_all` follows then."""
        names = self._may_have_set
        if not names or self.stopped is not None or self.connection.is_lost:
            return False
        asked = ", ".join(f"@@{name}" for name in names)
        self.connection.command(b"\x03SELECT " + asked.encode(), self._values_said)
        return True

    def _values_said(self, command: Command) -> None:
        names, self._may_have_set = self._may_have_set, ()
        if command.lost_connection and self.held is not None:
            self.lost()
            return
        if command.ok:
            self._forget_values(names, command.data)
            self.peer.send((RESULT, self.id, I_SETTINGS, command.data))
        self._tracked_all()

    def _forget_values(self, names: tuple[str, ...], packets: bytes) -> None:
        connection: Connection = self.connection
        connection.dirty = True
        *_, row, _ = iterate_payloads(packets)
        known = self.execution.programs.variables
        cells = zip(names, split_text_row(row, len(names)), strict=True)
        changed = [
            name
            for name, cell in cells
            if (cell or b"") != _AS_NUMBERS.get(known[name], known[name].encode("utf-8", "replace"))
        ]
        if changed:
            connection.settings = unknown(connection.settings, changed)
            connection.profile = (connection.settings, connection.database, connection.found_rows)
