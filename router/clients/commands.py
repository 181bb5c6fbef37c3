"""The commands of the protocol: what each one does to a session. COM_QUERY's fast way is in `Connection`.

Every function ends in `session.done` by way of ok, reply, error, forward or start, except those which the protocol
leaves unanswered (COM_QUIT, COM_STMT_CLOSE, COM_STMT_SEND_LONG_DATA).
"""

from collections.abc import Callable
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from core.errors import SluiceError
from router.execute import bulk
from router.sessions import ending, prepared
from router.sessions.query_attributes import take
from router.sessions.session import Session
from router.sessions.tracking import of_use
from router.sessions.where import any_link, use
from router.statements import ignore_space, initial_charset_settings
from router.statements.kill import kill
from router.variables.reading import is_mariadb
from wire import commands as wire_commands
from wire import constants as c
from wire.answers import eof_packet, ok_packet
from wire.columns import parse_column
from wire.connect_attributes import kept
from wire.errors import CommandError, WireError
from wire.login_actions import Authenticated
from wire.packets import frame, iterate_payloads
from wire.results import field_list_result

if TYPE_CHECKING:
    from router.clients.connection import Connection

QUERY_ATTRIBUTES: Final = c.CLIENT_QUERY_ATTRIBUTES


def run(connection: "Connection", payload: bytes) -> None:
    """Runs one command. Errors become ERR packets; the connection goes on unless the protocol is broken."""
    session = connection.session
    assert session is not None
    session.started_s = perf_counter()
    try:
        handler = _HANDLERS.get(payload[0]) if payload else None
        if handler is None:
            raise wire_commands.unknown_command(payload)
        handler(session, payload)
    except SluiceError as error:
        session.error(error.number, error.sqlstate, error.message)
    except CommandError as error:
        session.error(error.number, error.sqlstate, error.text)
    except WireError as error:
        session.error(error.number, error.sqlstate, error.text)
        connection.close()
    except Exception as error:
        session.failed(error)


def start_session(session: Session, verdict: Authenticated) -> None:
    """Puts a session that has just logged in into its first state. Raises SluiceError: then it does not begin."""
    worker = session.worker
    block, session.pid = kept(verdict.attributes)
    session.connect_attributes = worker.intern(block)
    if verdict.database:
        use(session, verdict.database)
    else:
        database = worker.accounts.default_keyspace(verdict.user)
        if database and worker.rights.sees(session, database.partition(":")[0].partition("@")[0]):
            use(session, database)
    initial_charset_settings(session, verdict.charset)
    _take_ignore_space(session, verdict.caps, fresh=session.connection.session is None)


def _take_ignore_space(session: Session, caps: int, *, fresh: bool) -> None:
    """MySQL applies the client's flag whenever a session begins anew, MariaDB at the login alone."""
    if caps & c.CLIENT_IGNORE_SPACE and (fresh or not is_mariadb(session)):
        ignore_space(session)


def _query(session: Session, payload: bytes) -> None:
    attributes, sql = wire_commands.parse_query(payload, session.caps)
    if attributes:
        take(session, attributes)
    session.on_query(sql)


def _quit(session: Session, payload: bytes) -> None:
    del payload
    session.connection.close()


def _init_db(session: Session, payload: bytes) -> None:
    use(session, wire_commands.parse_init_db(payload))
    session.ok(changes=of_use(session))


def _ping(session: Session, payload: bytes) -> None:
    del payload
    session.ok()


def _statistics(session: Session, payload: bytes) -> None:
    del payload
    worker = session.worker
    text = (
        f"Uptime: {int(perf_counter() - worker.started_s)}  Threads: {len(worker.connections)}  "
        f"Questions: {worker.stats.queries}  Slow queries: 0  Opens: 0  Flush tables: 0  Open tables: 0  "
        f"Queries per second avg: {worker.stats.queries / max(1.0, perf_counter() - worker.started_s):.3f}"
    )
    session.connection.write(frame(text.encode(), 1))
    session.connection.done()


def _field_list(session: Session, payload: bytes) -> None:
    session.start(_list_fields(session, wire_commands.parse_field_list(payload)))


async def _list_fields(session: Session, asked: wire_commands.FieldList) -> None:
    """COM_FIELD_LIST: the columns of one table, as `SHOW COLUMNS` would filter them, without rows."""
    worker = session.worker
    link = any_link(session)
    table = b"`" + asked.table.replace(b"`", b"``") + b"`"
    answer = await worker.calls.in_session(session, link, b"SELECT * FROM " + table + b" LIMIT 0", tables=())
    if answer.failed:
        session.reply(answer.data)
        return
    payloads = list(iterate_payloads(answer.data))
    columns = [parse_column(payload) for payload in payloads[1 : 1 + payloads[0][0]]]
    session.reply(field_list_result(columns, session.caps, session.status), tracked=False)


def _reset_connection(session: Session, payload: bytes) -> None:
    del payload
    ending.reset(session)
    _take_ignore_space(session, session.caps, fresh=False)
    session.ok()


def _change_user(session: Session, payload: bytes) -> None:
    session.connection.change_user(payload)


def _set_option(session: Session, payload: bytes) -> None:
    session.multi_statements = wire_commands.parse_set_option(payload)
    if session.caps & c.CLIENT_DEPRECATE_EOF:
        session.reply(ok_packet(1, status=session.status, caps=session.caps))
    else:
        session.reply(eof_packet(1, session.status))


def _process_kill(session: Session, payload: bytes) -> None:
    kill(session, wire_commands.parse_process_kill(payload), query_only=False)


_Handler = Callable[[Session, bytes], Any]
_HANDLERS: Final[dict[int, _Handler]] = {
    c.COM_QUIT: _quit,
    c.COM_INIT_DB: _init_db,
    c.COM_QUERY: _query,
    c.COM_FIELD_LIST: _field_list,
    c.COM_STATISTICS: _statistics,
    c.COM_PROCESS_KILL: _process_kill,
    c.COM_PING: _ping,
    c.COM_CHANGE_USER: _change_user,
    c.COM_SET_OPTION: _set_option,
    c.COM_RESET_CONNECTION: _reset_connection,
    c.COM_STMT_PREPARE: prepared.prepare,
    c.COM_STMT_EXECUTE: prepared.execute,
    c.COM_STMT_SEND_LONG_DATA: prepared.send_long_data,
    c.COM_STMT_CLOSE: prepared.close,
    c.COM_STMT_RESET: prepared.reset,
    c.COM_STMT_FETCH: prepared.fetch,
    c.COM_STMT_BULK_EXECUTE: bulk.execute,
}
