"""Several statements in one COM_QUERY: run one after the other, answered in one row of packets.

While they run, the session counts as one of a client without DEPRECATE_EOF, and what it writes goes through a
`ResultScanner` into the client's own flavour: sequence ids go on from one answer to the next, and
SERVER_MORE_RESULTS_EXISTS is set in all answers but the last. Rows stream through as ever.

Invariants:
- A statement begins when the answer before has ended; an ERR ends the command.
- Whatever ends the command, the connection writes for itself again afterwards, with its own flags.
"""

from typing import Final

from core.rpc import messages as m
from router.sessions.session import Session
from router.sql.normalise import split_statements
from wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_SESSION_TRACK, SERVER_MORE_RESULTS_EXISTS
from wire.errors import ServerProtocolError
from wire.scan import ERR, QUERY, ResultScanner

_BUSY: Final = 2  # router.clients.connection.BUSY, which cannot be imported here


class Several:
    """The statements of one COM_QUERY under way."""

    __slots__ = ("_caps", "_dialect", "_flags", "_left", "_scanner", "_session", "_write")

    def __init__(self, session: Session, statements: list[bytes]) -> None:
        connection = session.connection
        self._session = session
        self._left = statements
        self._dialect = session.dialect
        self._write = connection.write
        self._caps = connection.caps
        self._flags = session.flags & m.F_DEPRECATE_EOF
        self._scanner = ResultScanner(session_track=bool(self._caps & CLIENT_SESSION_TRACK))
        connection.write = self.write
        connection.caps &= ~CLIENT_DEPRECATE_EOF
        session.flags &= ~m.F_DEPRECATE_EOF
        session.several = self

    def write(self, data: bytes) -> None:
        """Takes what the statement that runs has to say."""
        try:
            _, out = self._scanner.feed(data)
        except ServerProtocolError as error:
            self._session.connection.abort(f"an answer among several cannot be followed: {error.text}")
            return
        if out:
            self._write(out)

    def goes_on(self) -> bool:
        """An answer has ended: whether there is another statement, which then runs in the next turn of the loop."""
        session = self._session
        if not self._left or self._scanner.kind == ERR:
            self._end()
            return False
        session.binary = False
        if session.rules:
            session.leave_limits()
        session.worker.loop.call_soon(self._next)
        return True

    def begin(self) -> None:
        """Runs the first statement."""
        self._run(1)

    def _next(self) -> None:
        if self._session.connection.state == _BUSY:
            self._run(self._scanner.next_client_sequence)

    def _run(self, sequence: int) -> None:
        session = self._session
        if (
            session.dialect is not self._dialect
        ):  # what a quote means has changed for the statements that follow
            self._dialect = session.dialect
            self._left = split_statements(b";".join(self._left), session.dialect)
        sql = self._left.pop(0)
        self._scanner.begin(
            QUERY,
            deprecate_eof=bool(self._caps & CLIENT_DEPRECATE_EOF),
            client_session_track=bool(self._caps & CLIENT_SESSION_TRACK),
            status_set=SERVER_MORE_RESULTS_EXISTS if self._left else 0,
            client_first_sequence=sequence,
        )
        session.run_one(sql)

    def _end(self) -> None:
        session = self._session
        connection = session.connection
        connection.write = self._write
        connection.caps = self._caps
        session.flags |= self._flags
        session.several = None


def run_several(session: Session, sql: bytes) -> bool:
    """Runs `sql` if it is more than one statement; False if it is one."""
    statements = split_statements(sql, session.dialect)
    if len(statements) < 2:
        return False
    Several(session, statements).begin()
    return True
