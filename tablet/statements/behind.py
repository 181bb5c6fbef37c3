"""A read sent right behind the SET that it needs, in one write: no round trip to MySQL between the two.

MySQL reads one command after the other, and would run the read though the SET has failed. So that is done only where
it does no harm: the statement is one that may be shared (`F_CONSOLIDATE`), which changes nothing, and nothing of its
answer is passed on before the SET's OK is there. If it is an error, the statement is answered with that, as if it had
not been sent, and the connection is closed: what it still says is of no use to anybody.
"""

from typing import TYPE_CHECKING, Final

from tablet.backend.connection import Connection, Sink
from wire.answers import err_packet, parse_err
from wire.constants import OK_HEADER

if TYPE_CHECKING:
    from tablet.statements.opening import Opening

_HEADER_BYTES: Final = 4


class Behind:
    """The task of a connection until the SET is answered; then `statement` is."""

    __slots__ = ("_got", "_statement")

    def __init__(self, statement: "Opening") -> None:
        self._statement = statement
        self._got = b""

    def received(self, data: bytes) -> None:
        got = self._got + data if self._got else data
        end = _HEADER_BYTES + int.from_bytes(got[:3], "little")
        if len(got) < max(end, _HEADER_BYTES + 1):
            self._got = got
            return
        statement = self._statement
        connection: Connection = statement.connection
        if got[_HEADER_BYTES] != OK_HEADER:
            self._failed(got[_HEADER_BYTES:end])
            return
        connection.settings, connection.database, _ = connection.profile = statement.profile
        connection.task = statement
        if len(got) > end:
            statement.received(got[end:])

    def _failed(self, payload: bytes) -> None:
        statement = self._statement
        connection: Connection = statement.connection
        connection.task = Sink()
        error = parse_err(payload)
        statement.refuse_setting(err_packet(1, error.number, error.sqlstate, error.text))

    def lost(self) -> None:
        self._statement.lost()
