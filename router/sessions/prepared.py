"""Prepared statements of the binary protocol.

A statement is its text: tablets prepare it on whichever connection runs it. What a client names by id lives here:
the text, the types it bound last, its long data. A statement routed to one shard is sent as it came, with the
parameters' bytes copied; any other runs as text with its values as literals, and its rows are made binary.

Invariants: statements, and bytes of long data, are bounded a session; an error in COM_STMT_SEND_LONG_DATA is told at
the next COM_STMT_EXECUTE, as in MySQL; a statement runs in the database that was the default when it was prepared.
"""

from collections.abc import Sequence
from struct import pack, unpack
from typing import TYPE_CHECKING, Any, Final

from core.errors import SluiceError, fail
from router.sessions.bound import PLACEHOLDER, BoundLiterals
from router.sessions.cursors import Cursor, Opening
from router.sessions.parts import Runner
from router.sessions.preparing import metadata
from router.sessions.query_attributes import take
from router.sessions.session import Session
from router.sessions.transcoding import transcode, transcode_statement
from router.sql.dialect import Dialect
from router.sql.normalise import normalise
from router.variables.reading import is_mariadb
from wire.constants import CLIENT_QUERY_ATTRIBUTES, TYPE_NULL, TYPE_STRING, TYPE_VAR_STRING, TYPE_VARCHAR
from wire.errors import ClientProtocolError, CommandError
from wire.query_attributes import unnamed
from wire.results import prepare_result
from wire.statements import (
    Execute,
    build_execute,
    parse_execute,
    parse_fetch,
    parse_long_data,
    parse_prepare,
    rebuild_execute,
    statement_id,
)

if TYPE_CHECKING:
    from router.view import ClusterView

MAX_STATEMENTS: Final = 16_382
"""Prepared statements of one session, as MySQL's max_prepared_stmt_count."""
MAX_LONG_DATA_BYTES: Final = 64 * 1024 * 1024
_LAST: Final = 0xFFFFFFFF
"""MariaDB's name of the statement prepared last: connectors send its execution right behind the PREPARE."""
_TEXT_TYPES: Final = frozenset((TYPE_VARCHAR, TYPE_VAR_STRING, TYPE_STRING))


class PreparedStatement:
    """One statement of one session."""

    __slots__ = (
        "cursor", "dialect", "home", "id", "key", "literals", "long_data", "long_data_bytes", "long_data_error",
        "parameter_count", "pieces", "runner", "scope", "text", "types_raw", "view",
    )  # fmt: skip

    def __init__(self, number: int, text: bytes, home: tuple[str, str, str], dialect: Dialect) -> None:
        """`home`: keyspace, shard and scope of the session that prepares it."""
        self.id = number
        self.text = text
        self.home = home
        self.dialect = dialect
        self.cursor: Cursor | None = None
        normalised = normalise(text, dialect)
        self.key = normalised.key
        self.literals = normalised.literals
        self.parameter_count = sum(1 for token in self.literals if token == PLACEHOLDER)
        self.types_raw: bytes | None = None
        """The types bound last, as they came: for an execution that does not send them again."""
        self.long_data: dict[int, bytes] | None = None
        self.long_data_bytes = 0
        self.long_data_error: SluiceError | None = None
        self.pieces: list[bytes | int] | None = None
        self.runner: Runner | None = None
        self.view: ClusterView | None = None
        self.scope = ""

    @property
    def settled(self) -> bool:
        """Whether plain values say all of it: it has no cursor open, and no long data waiting."""
        return self.cursor is None and self.long_data is None and self.long_data_error is None

    def to_plain(self) -> tuple[Any, ...]:
        """A settled statement as plain values."""
        return (self.id, self.text, self.home, self.dialect.value, self.parameter_count, self.types_raw)

    @classmethod
    def from_plain(cls, plain: Sequence[Any]) -> "PreparedStatement":
        """The statement that `to_plain` told of."""
        number, text, home, dialect, parameter_count, types_raw = plain
        statement = cls(number, text, home, Dialect(dialect))
        statement.parameter_count = parameter_count
        statement.types_raw = types_raw
        return statement

    @property
    def types(self) -> tuple[int, ...] | None:
        """The types bound last; None before the first execution."""
        raw = self.types_raw
        return None if raw is None else unpack(f"<{len(raw) // 2}H", raw)

    def runner_for(self, session: Session) -> Runner:
        """The compiled plan, made anew when the cluster's view or the session's keyspace changed."""
        view = session.worker.view
        if self.runner is None or self.view is not view or self.scope != session.scope:
            self.runner = session.worker.runner_of(session, self.key)
            self.view = view
            self.scope = session.scope
        return self.runner

    def forget_long_data(self) -> None:
        self.long_data = None
        self.long_data_bytes = 0
        self.long_data_error = None


# ---- commands


def prepare(session: Session, payload: bytes) -> None:
    """COM_STMT_PREPARE."""
    session.next_statement += 1
    if session.statements is None:
        session.statements = {}
    if len(session.statements) >= MAX_STATEMENTS:
        raise fail("TOO_MANY_STATEMENTS", limit=MAX_STATEMENTS)
    text = parse_prepare(payload)
    if session.codec is not None:
        text = transcode_statement(text, session.codec, session.dialect)
    session.statement = text
    session.start(_prepare(session, text))


async def _prepare(session: Session, text: bytes) -> None:
    home = (session.keyspace, session.shard, session.scope)
    statement = PreparedStatement(session.next_statement, text, home, session.dialect)
    planned = session.worker.planned(session, statement.key)
    parameters, columns = await metadata(session, statement, planned)
    statement.parameter_count = len(parameters)
    if session.statements is None:
        session.statements = {}
    session.statements[statement.id] = statement
    session.reply(
        prepare_result(statement.id, parameters, columns, session.caps, session.status), tracked=False
    )


def find_statement(session: Session, payload: bytes, command: str) -> PreparedStatement:
    """The statement that a command names; `command` is how MySQL calls it. Raises UNKNOWN_STATEMENT."""
    number = statement_id(payload)
    found = session.statements.get(number) if session.statements else None
    if found is None and number == _LAST and session.statements and is_mariadb(session):
        found = session.statements.get(session.next_statement)  # none where that PREPARE failed
    if found is None:
        raise fail("UNKNOWN_STATEMENT", id=number, command=command)
    return found


def execute(session: Session, payload: bytes) -> None:
    """COM_STMT_EXECUTE."""
    statement = find_statement(session, payload, "mysqld_stmt_execute")
    session.statement = statement.text
    if statement.long_data_error is not None:
        raise statement.long_data_error  # until COM_STMT_RESET, as in MySQL
    statement.cursor = None
    count = statement.parameter_count
    plain = unnamed(payload, count) if session.caps & CLIENT_QUERY_ATTRIBUTES else payload
    types_at = 11 + (count + 7) // 8
    if (
        count
        and plain is not None
        and len(plain) >= types_at
        and not plain[5]
        and statement.long_data is None
        and session.codec is None
        and session.scope == statement.home[2]
    ):
        # the common case: nothing to read but what routing asks for
        types_raw = statement.types_raw
        if plain[types_at - 1] != 1:
            if types_raw is not None and len(types_raw) == 2 * count:
                # the connection that runs it may have seen other types: they go along each time
                params = b"".join((plain[5 : types_at - 1], b"\x01", types_raw, plain[types_at:]))
                _run_bound(session, statement, params)
                return
        elif len(plain) >= types_at + 2 * count:
            statement.types_raw = plain[types_at : types_at + 2 * count]
            _run_bound(session, statement, plain[5:])
            return
    asked = _parsed(session, statement, payload)
    if asked.attributes:
        take(session, asked.attributes)
    # types of NULLs alone say nothing of the values to come
    bound = not count or any(kind != TYPE_NULL for kind in asked.types)
    statement.types_raw = pack(f"<{len(asked.types)}H", *asked.types) if bound else None
    wants_cursor = asked.wants_cursor
    if session.codec is not None:
        asked = _transcoded(asked, session.codec)
        params = asked.payload[5:]
        statement.forget_long_data()
    elif (
        statement.long_data is None
        and not asked.flags
        and not session.caps & CLIENT_QUERY_ATTRIBUTES
        and (not count or payload[10 + (count + 7) // 8] == 1)
    ):
        params = payload[5:]
    else:
        params = rebuild_execute(asked, 0, False)[5:]
        statement.forget_long_data()
    session.binary = True
    if wants_cursor or session.scope != statement.home[2]:
        Execution(session, statement, wants_cursor)
    runner = statement.runner_for(session)
    runner.run(session, statement.text, BoundLiterals(statement, asked, session.dialect), params)


def _parsed(session: Session, statement: PreparedStatement, payload: bytes) -> Execute:
    """Raises CommandError where it does not fit the statement: as on the servers the connection lives on, since a
    packet of another length ends where the next begins."""
    try:
        return parse_execute(
            payload, statement.parameter_count, statement.types, statement.long_data or {}, session.caps
        )
    except CommandError:
        raise
    except ClientProtocolError as error:
        if is_mariadb(session) or session.caps & CLIENT_QUERY_ATTRIBUTES:
            raise CommandError(1210, "HY000", "Incorrect arguments to mysqld_stmt_execute") from None
        raise CommandError(error.number, error.sqlstate, error.text) from None


def _run_bound(session: Session, statement: PreparedStatement, params: bytes) -> None:
    """Runs an execution that brings its types."""
    session.binary = True
    literals = BoundLiterals(statement, params, session.dialect)
    runner = statement.runner
    if runner is None or statement.view is not session.worker.view or statement.scope != session.scope:
        runner = statement.runner_for(session)
    runner.run(session, statement.text, literals, params)


class Execution:
    """What an execution changes in its session while it runs: the default database, where answers go."""

    __slots__ = ("_home", "_opening", "_session", "_statement")

    def __init__(self, session: Session, statement: PreparedStatement, wants_cursor: bool) -> None:
        self._session = session
        self._statement = statement
        self._home = (session.keyspace, session.shard, session.scope)
        session.keyspace, session.shard, session.scope = statement.home
        self._opening: Opening | None = None
        if wants_cursor:
            held = sum(one.cursor.size_bytes for one in (session.statements or {}).values() if one.cursor)
            self._opening = Opening(session, held)
        session.several = self

    def goes_on(self) -> bool:
        """The statement has ended: everything is as it was."""
        session = self._session
        session.several = None
        session.keyspace, session.shard, session.scope = self._home
        if self._opening is not None:
            self._opening.end()
            self._statement.cursor = self._opening.cursor
        return False


def _transcoded(asked: Execute, codec: str) -> Execute:
    """The same execution with its strings in UTF-8, long data in its place."""
    values = asked.values()
    for index, value in enumerate(values):
        if asked.types[index] & 0xFF in _TEXT_TYPES and isinstance(value, bytes):
            values[index] = transcode(value, codec)
    payload = build_execute(0, asked.types, values, False)
    return parse_execute(payload, asked.parameter_count)


def send_long_data(session: Session, payload: bytes) -> None:
    """COM_STMT_SEND_LONG_DATA: never answered."""
    try:
        data = parse_long_data(payload)
        statement = find_statement(session, payload, "mysql_stmt_send_long_data")
    except SluiceError:
        session.connection.done()
        return
    statement.long_data_bytes += len(data.data)
    if statement.long_data_bytes > MAX_LONG_DATA_BYTES:
        statement.long_data = None
        text = f"Parameter of prepared statement exceeds {MAX_LONG_DATA_BYTES} bytes"
        statement.long_data_error = fail("UNKNOWN_ERROR", message=text)
    elif data.parameter >= statement.parameter_count:
        statement.long_data_error = fail("WRONG_ARGUMENTS", what="mysqld_stmt_send_long_data")
    else:
        if statement.long_data is None:
            statement.long_data = {}
        statement.long_data[data.parameter] = statement.long_data.get(data.parameter, b"") + data.data
    session.connection.done()


def close(session: Session, payload: bytes) -> None:
    """COM_STMT_CLOSE: never answered."""
    if session.statements:
        number = statement_id(payload)
        if number == _LAST and is_mariadb(session):
            number = session.next_statement
        session.statements.pop(number, None)
    session.connection.done()


def reset(session: Session, payload: bytes) -> None:
    """COM_STMT_RESET: drops long data, closes the cursor."""
    statement = find_statement(session, payload, "mysqld_stmt_reset")
    statement.forget_long_data()
    statement.cursor = None
    session.ok()


def fetch(session: Session, payload: bytes) -> None:
    """COM_STMT_FETCH: the next rows of an open cursor."""
    statement = find_statement(session, payload, "mysqld_stmt_fetch")
    asked = parse_fetch(payload)
    cursor = statement.cursor
    if cursor is None:
        raise CommandError(1421, "HY000", f"The statement ({statement.id}) has no open cursor.")
    packets, last = cursor.fetch(session, asked.row_count)
    if last:
        statement.cursor = None
    session.reply(packets, tracked=False)
