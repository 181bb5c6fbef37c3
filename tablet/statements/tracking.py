"""What MySQL's trackers say of transaction and GTIDs, for a router whose client asked for it (F_SESSION_TRACK).

It goes in an I_TRACKED record ahead of the end of the answer. The servers say it in OK packets only, as connections
have no CLIENT_DEPRECATE_EOF. Measured on MySQL 9.7 and MariaDB 10.11:

    the answer ends with    MySQL                           MariaDB
    OK                      in it                           in it
    rows                    with the next OK: DO 0          a status flag; said again behind the rows of a block
    ERR                     with the next OK: COM_PING      when the state next changes

To a client without CLIENT_DEPRECATE_EOF MariaDB does not say it after rows either: then the router does not set
F_TRACK_ROWS, and the connection goes on saying what the client's own would.
"""

from collections.abc import Iterable
from typing import Final

from core.rpc.messages import F_SESSION_TRACK, F_TRACK_ROWS, I_ERR, I_OK, I_TRACKED, RESULT
from tablet.backend.connection import Command
from tablet.statements.request import Request
from wire.answers import SessionChanges, encode_session_changes
from wire.constants import SERVER_SESSION_STATE_CHANGED

_DO: Final = b"\x03DO 0"
"""COM_PING does not tell GTIDs."""
_SAY_AGAIN: Final = b"\x03BEGIN NOT ATOMIC SELECT 1; END"
_NOTHING: Final = SessionChanges()


def tracked(all_changes: Iterable[SessionChanges | None]) -> SessionChanges | None:
    """What they say of transaction and GTIDs, the latest of each; the rest is not the client's to know. Something that
    changed and changed back says nothing, and is told as that."""
    state = gtids = None
    empty = False
    for changes in all_changes:
        if changes is not None:
            state = state if changes.transaction_state is None else changes.transaction_state
            gtids = gtids if changes.gtids is None else changes.gtids
            empty = empty or changes == _NOTHING
    found = SessionChanges(transaction_state=state, gtids=gtids)
    return found if empty or found != _NOTHING else None


class Tracking(Request):
    """The part of a statement's life in which the trackers are heard."""

    __slots__ = ()

    def lost(self) -> None:
        raise NotImplementedError

    def _tracked_all(self) -> None:
        raise NotImplementedError

    def _asks_trackers(self) -> bool:
        """Whether the server is asked what it has not said yet; `_tracked_all` follows then."""
        if self._info & (I_ERR | I_OK):
            return False
        if not self.execution.programs.mariadb:
            self.connection.command(_DO, self._trackers_said)
            return True
        if not (self.held is not None and self.flags & F_TRACK_ROWS):
            return False
        if not self._status & SERVER_SESSION_STATE_CHANGED:
            return False
        self.connection.command(_SAY_AGAIN, self._trackers_said)
        return True

    def _trackers_said(self, command: Command) -> None:
        if command.lost_connection and self.held is not None:
            self.lost()
            return
        if command.ok:
            if command.told_changes:
                self.connection.dirty = True
            self._tracked = tracked((self._tracked, *command.scanner.session_changes))
        self._tracked_all()

    def _tell_tracked(self) -> None:
        """Just before the end of the answer."""
        if self.flags & F_SESSION_TRACK and self._tracked is not None:
            self.peer.send((RESULT, self.id, I_TRACKED, encode_session_changes(self._tracked)))
