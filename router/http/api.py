"""A worker's end of the HTTP API: one request that the router's main process passes on -> a session -> its reply.

    no session            a fresh one, as after a login
    a token               as the token says; any worker of any router will do
    a token that names    the session is kept by the worker that it names; asked here, another one is told who has it
    a kept session

A kept session that has ended (time, KILL, the worker's end) is not begun anew in silence: one in a transaction comes
back as a lost transaction, which says so to every statement until ROLLBACK; of another the next statement fails.
"""

import json
import secrets
from collections import OrderedDict
from collections.abc import Callable
from functools import partial
from time import perf_counter
from typing import TYPE_CHECKING, Any, Final

from core.errors import SluiceError, fail
from router.clients import commands
from router.clients.connection import CLOSED
from router.http.answer import Answer
from router.http.codes import code_of, described, refusal, sql_error
from router.http.connection import MAX_WAITING, NO_REASON, Answers, HttpConnection
from router.http.proof import Refused, user_of
from router.http.session import make_plain, restore, shrink, state_of
from router.http.token import TokenError, Tokens
from router.sessions import holding
from router.sessions.session import Session
from wire import constants as c
from wire.login_actions import Authenticated

if TYPE_CHECKING:
    from router.workers.worker import Worker

Send = Callable[[dict[str, Any]], None]
"""Takes the reply for the main process: `status` and `body`, or `owner`: the worker to ask, or `again`: any other."""

EXECUTE: Final = "Execute"
MAX_PAST: Final = 1000
_CAPS: Final = (
    c.CLIENT_LONG_PASSWORD
    | c.CLIENT_FOUND_ROWS  # as PlanetScale has it
    | c.CLIENT_LONG_FLAG
    | c.CLIENT_PROTOCOL_41
    | c.CLIENT_TRANSACTIONS
    | c.CLIENT_SECURE_CONNECTION
    | c.CLIENT_MULTI_RESULTS
    | c.CLIENT_PLUGIN_AUTH
)
_DONE: Final = "it held nothing any more"
_GONE: Final = "the worker that kept it has ended"
_GONE_IN_TRANSACTION: Final = f"{_GONE}; a COMMIT that got no reply may have taken effect before that"


class HttpApi:
    """See the module."""

    def __init__(self, worker: "Worker", identity: str) -> None:
        """`identity`: under which the main process knows this worker."""
        self._worker = worker
        self._identity = identity
        self._tokens: Tokens | None = None
        self._key = ""
        self._held: dict[str, HttpConnection] = {}
        self._past: OrderedDict[str, tuple[str, int]] = OrderedDict()
        """Sessions that were kept here, the latest MAX_PAST of them: why they ended, and the transaction that was
        rolled back with them (0: none)."""
        self._running: dict[int, HttpConnection] = {}
        self._answers = Answers()

    @property
    def held(self) -> int:
        """Sessions that are kept between requests."""
        return len(self._held)

    def learn(self, snapshot: dict[str, Any]) -> None:
        """What the main process knows of the cluster: the key of its tokens among it."""
        key = snapshot.get("http_key", "")
        if key and key != self._key:
            self._key = key
            self._tokens = Tokens(bytes.fromhex(key), self._worker.boot.config.cluster.name)

    # ---- requests

    def begin(self, number: int, values: dict[str, Any], send: Send) -> None:
        """Serves a request: `procedure`, `authorization`, `body`, `host`, and `owner`: what became of the worker that
        keeps its session ("gone", "elsewhere", or empty). `send` gets the reply."""
        try:
            self._begin(number, values, partial(self._sent, number, send))
        except Refused as error:
            send(_refused(error.code, error.message))
        except SluiceError as error:
            self._worker.stats.note_error(error.number, error.message)
            message = described(error.number, error.sqlstate, error.message)
            send(_refused(code_of(error.number), message))
        except Exception as error:
            self._failed(self._running.pop(number, None), error)
            send(_refused("INTERNAL", f"{type(error).__name__}: {error}"))

    def _failed(self, connection: HttpConnection | None, error: Exception) -> None:
        """A fault of the router's own: what state the session is in is not known, so it ends."""
        self._worker.log.error("a request over HTTP failed", exc_info=error)
        if connection is not None:
            connection.ended = connection.ended or "a fault of the router's own"
            connection.close()

    def gone(self, number: int) -> None:
        """The client of this request is gone: so is its session, as over MySQL's protocol."""
        connection = self._running.get(number)
        if connection is not None:
            connection.ended = connection.ended or "its client went away"
            connection.close()

    def _sent(self, number: int, send: Send, reply: dict[str, Any]) -> None:
        self._running.pop(number, None)
        send(reply)

    def _begin(self, number: int, values: dict[str, Any], send: Send) -> None:
        began_s = perf_counter()
        worker = self._worker
        if self._tokens is None or worker.view is None:
            raise Refused("UNAVAILABLE", "this router does not know its cluster yet")
        host = values["host"]
        user = user_of(worker, values["authorization"], host)
        request = _parsed(values["body"])
        if values["procedure"] != EXECUTE:
            if not self._turn_away_if_draining(send):
                self._create(user, host, send)
            return
        sql = _sql(request, worker.boot.config.router.max_allowed_packet)
        state: dict[str, Any] = {}
        if request.get("session"):
            try:
                state = self._tokens.read(user, request["session"])
            except TokenError as error:
                raise Refused("INVALID_ARGUMENT", str(error)) from None
        lost = what = ""
        named, lost_serial = int(state.get("in_transaction", 0)), 0
        if "held" in state:
            owner, sid, what = state["held"]
            connection = self._held.get(sid)
            if connection is None and owner != self._identity and not values["owner"]:
                send({"owner": owner})
                return
            if connection is None and values["owner"] == "elsewhere":
                raise fail("HTTP_SESSION_ELSEWHERE", owner=owner)
            if connection is not None:
                self._run(connection, number, sql, send, began_s, named)
                return
            lost, lost_serial = self._past.get(sid, (_GONE_IN_TRANSACTION if named else _GONE, named))
        if not lost and self._turn_away_if_draining(send):
            return
        connection = self._start(user, host, state)
        if not lost:
            self._run(connection, number, sql, send, began_s)
        elif named:
            session = connection.session
            assert session is not None
            connection.stands_in = named != lost_serial
            connection.dropped = state.get("dropped", "")
            holding.open_transaction(session).lose(lost)
            self._run(connection, number, sql, send, began_s)
        else:
            what = " and ".join(filter(None, (what, state.get("dropped", ""))))
            self._reply(
                send, began_s, connection, Answer(), fail("HTTP_SESSION_LOST", what=what, reason=lost)
            )

    def _turn_away_if_draining(self, send: Send) -> bool:
        worker = self._worker
        if worker.drain.active:
            raise fail("DRAINING", what="this router is being drained; send it to another one")
        if worker.draining:
            send({"again": True})
            return True
        return False

    # ---- sessions

    def _start(self, user: str, host: str, state: dict[str, Any]) -> HttpConnection:
        """A session, fresh or of a token's values. Raises SluiceError: then there is none."""
        worker = self._worker
        connection = HttpConnection(worker, user, host, _CAPS, self._answers, self._forget)
        session = Session(worker, connection, user, _CAPS)
        if state:
            restore(session, state)
        else:
            most = worker.boot.config.router.max_allowed_packet
            commands.start_session(session, Authenticated(user, None, _CAPS, 0, b"", "", most, 0))
            make_plain(session)
        worker.admission.admit(connection, user, session.keyspace, session.shard)
        connection.begin(session)
        return connection

    def _create(self, user: str, host: str, send: Send) -> None:
        connection = self._start(user, host, {})
        about = {"branch": "main", "user": {"username": user}}
        body = json.dumps(about).encode()[:-1] + b',"session":' + self._token(connection) + b"}"
        send({"status": 200, "body": body})

    def _run(
        self,
        connection: HttpConnection,
        number: int,
        sql: bytes,
        send: Send,
        began_s: float,
        named: int = 0,
    ) -> None:
        self._running[number] = connection
        if not connection.execute(sql, partial(self._reply, send, began_s), named):
            del self._running[number]
            raise fail("HTTP_SESSION_BUSY", waiting=MAX_WAITING)

    def _reply(
        self,
        send: Send,
        began_s: float,
        connection: HttpConnection,
        answer: Answer,
        error: SluiceError | None,
    ) -> None:
        """The end of a statement."""
        try:
            body = self._told(began_s, connection, answer, error)
        except Exception as fault:
            self._failed(connection, fault)
            send(_refused("INTERNAL", f"the statement has run, and its reply failed: {fault!r}"))
        else:
            send({"status": 200, "body": body})

    def _told(
        self, began_s: float, connection: HttpConnection, answer: Answer, error: SluiceError | None
    ) -> bytes:
        parts = []
        session = connection.session
        if connection.dropped and session is not None and session.tx is None:
            if error is None and answer.error is None:
                error = fail(
                    "HTTP_SESSION_LOST", what=connection.dropped, reason="it was lost with the transaction"
                )
            connection.dropped = ""
        token = self._next_token(connection, released=error is None and answer.error is None)
        if token:
            parts.append(b'"session":' + token)
        if error is not None:
            self._worker.stats.note_error(error.number, error.message)
            parts.append(b'"error":' + sql_error(error.number, error.sqlstate, error.message))
        elif answer.error is not None:
            parts.append(b'"error":' + sql_error(*answer.error))
        else:
            parts.append(b'"result":' + answer.result_json())
        parts.append(b'"timing":%.6f' % (perf_counter() - began_s))
        return b"{" + b",".join(parts) + b"}"

    def _next_token(self, connection: HttpConnection, *, released: bool) -> bytes:
        """The session for the client to come back with; empty: it keeps what it has. `released`: if it has ended, its
        client wanted it so."""
        if connection.state != CLOSED:
            straggled = connection.straggled
            token = self._token(connection)
            return b"" if straggled else token
        if not released:
            return b""
        try:
            return self._token(self._start(connection.user, connection.host, {}))
        except SluiceError:
            return b""  # what it has says that the session is over

    def _token(self, connection: HttpConnection) -> bytes:
        """The session as it is; it ends here, if it holds nothing."""
        session = connection.session
        assert session is not None
        assert self._tokens is not None
        user = session.user
        values = state_of(session)
        shown: dict[str, Any] = {"autocommit": session.autocommit}
        if session.scope:
            shown["targetString"] = session.scope
        what = ""
        if session.tx is not None:
            what = "the transaction"
            values["in_transaction"] = connection.serial
            shown["inTransaction"] = True
        elif session.reserved:
            what = "the locks and temporary tables of the session"
        dropped = shrink(values)
        if dropped:
            what = what or "what is too large to travel"
        if dropped or connection.dropped:
            values["dropped"] = dropped or connection.dropped
        if what:
            sid = connection.sid or secrets.token_urlsafe(12)
            self._held[sid] = connection
            values["held"] = [self._identity, sid, what]
            connection.keep(sid, self._limit_s(session))
        elif not connection.awaited:
            connection.ended = _DONE
            connection.close()
        return self._tokens.make(user, values, shown)

    def _limit_s(self, session: Session) -> float:
        config = self._worker.boot.config
        limits = [config.router.http_idle_timeout_s, config.tablet.idle_transaction_timeout_s]
        own = (session.variables or {}).get("wait_timeout", "")
        if own.isdecimal():
            limits.append(float(own))
        return min(limits)

    def _forget(self, connection: HttpConnection) -> None:
        """A session has ended."""
        if connection.sid and self._held.pop(connection.sid, None) is not None:
            self._past[connection.sid] = connection.ended or NO_REASON, connection.lost_serial
            if len(self._past) > MAX_PAST:
                self._past.popitem(last=False)


def _refused(code: str, message: str) -> dict[str, Any]:
    status, body = refusal(code, message)
    return {"status": status, "body": body}


def _parsed(body: bytes) -> dict[str, Any]:
    """The request's object. Raises Refused."""
    try:
        request = json.loads(body or b"{}")
    except (ValueError, RecursionError) as error:
        raise Refused("INVALID_ARGUMENT", f"the body is not JSON: {error}") from None
    if not isinstance(request, dict):
        raise Refused("INVALID_ARGUMENT", "the body is not an object of JSON")
    return request


def _sql(request: dict[str, Any], limit_bytes: int) -> bytes:
    """The statement of an Execute. Raises Refused, PACKET_TOO_LARGE."""
    query = request.get("query", "")
    if not isinstance(query, str):
        raise Refused("INVALID_ARGUMENT", "query must be a string")
    try:
        sql = query.encode()
    except UnicodeEncodeError:
        raise Refused("INVALID_ARGUMENT", "query holds half of a surrogate pair, which is no text") from None
    if len(sql) > limit_bytes:
        raise fail("PACKET_TOO_LARGE", limit=limit_bytes)
    return sql
