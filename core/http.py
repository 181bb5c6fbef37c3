"""A small HTTP/1.1 server: what processes show of themselves (/metrics, /healthz, /debug/...), and one API behind it.

Parsing is h11's; this file is its only importer. Pages are GET only. What is bounded: connections (pages have room of
their own), heads, bodies and large replies (one, and all of them together, as their bytes come and until they are
gone), and the time that a head, a body and a reply may take, however slowly the peer goes.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass, replace
from http import HTTPStatus
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

import h11

IDLE_TIMEOUT_S: Final = 30.0
"""From one reply to the end of the next request's head."""
STALL_TIMEOUT_S: Final = 60.0
LEAST_BYTES_S: Final = 64 * 1024
"""A body has STALL_TIMEOUT_S, and a second more for each so many bytes that came; so has a reply for those it has. For
the next bytes of a body nobody waits longer than STALL_TIMEOUT_S."""
MAX_CONNECTIONS: Final = 4096
PAGE_CONNECTIONS: Final = 64
"""Beyond MAX_CONNECTIONS: for one page each, asked for within PAGE_TIMEOUT_S."""
PAGE_TIMEOUT_S: Final = 2.0
MAX_HEAD_BYTES: Final = 16 * 1024
MAX_BODIES_BYTES: Final = 192 * 1024 * 1024
"""Of all requests under way."""
MAX_REPLIES_BYTES: Final = 256 * 1024 * 1024
"""Of all replies of the API that peers have not taken yet, as far as they are larger than SMALL_BYTES."""
SMALL_BYTES: Final = 64 * 1024
LINGER_S: Final = 1.0
LINGER_BYTES: Final = 1024 * 1024
"""What is read of a body that is refused, so that the peer gets to read why."""
_READ_BYTES: Final = 64 * 1024

log = logging.getLogger("core.http")


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    content_type: str
    body: bytes
    headers: tuple[tuple[str, str], ...] = ()

    @classmethod
    def text(cls, body: str, status: int = 200) -> "Response":
        return cls(status, "text/plain; charset=utf-8", body.encode())

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Response":
        return cls(status, "application/json", json.dumps(value, default=str).encode())


@dataclass(frozen=True, slots=True)
class Request:
    """A whole request. Names of headers are in lower case; `host` is the peer's address."""

    method: str
    path: str
    headers: Mapping[str, str]
    body: bytes
    host: str


Handler = Callable[[dict[str, str]], Awaitable[Response] | Response]
"""Takes the query's parameters."""


class Api(Protocol):
    """What serves all requests below a path."""

    prefix: str
    max_body_bytes: int

    def refused(self, method: str, headers: Mapping[str, str]) -> Response | None:
        """The reply to a request whose body need not be read, since its head says enough; else None."""
        ...

    async def answer(self, request: Request) -> Response:
        """Serves one request. Cancelled when the peer goes away."""
        ...

    def refusal(self, code: str, message: str) -> Response:
        """The reply to a request that is not served: `code` is one of gRPC's names."""
        ...


class _TooLarge(Exception):
    """A body that is not taken; the text says why."""


class HttpServer:
    """Serves `routes` (path -> handler) on one address, and `api` below its prefix."""

    def __init__(self, routes: dict[str, Handler], api: Api | None = None) -> None:
        self._routes = routes
        self._api = api
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()
        self._bodies_bytes = 0
        self._replies_bytes = 0

    async def start(self, host: str, port: int) -> None:
        """Raises OSError if the address is not to be had."""
        self._server = await asyncio.start_server(self._serve, host, port, backlog=1024)

    async def close(self) -> None:
        if self._server is not None:
            self._server.close()
        for task in list(self._open):
            task.cancel()

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = cast("asyncio.Task[None]", asyncio.current_task())
        room = MAX_CONNECTIONS + PAGE_CONNECTIONS - len(self._open)
        if room <= 0:
            writer.transport.abort()
            return
        self._open.add(task)
        exchange = _Exchange(reader, writer, spare=room <= PAGE_CONNECTIONS)
        clean = False
        try:
            while await self._one(exchange):
                pass
            clean = True
        except h11.RemoteProtocolError as error:
            clean = await exchange.tell_fault(error)
        except (TimeoutError, OSError, h11.ProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            if clean:
                writer.close()  # nothing is left to be sent: `send` has waited for that
            else:
                writer.transport.abort()

    async def _one(self, exchange: "_Exchange") -> bool:
        """Answers one request; False when the connection is over."""
        head = await exchange.head()
        if head is None:
            return False
        try:
            parts = urlsplit(head.target.decode("ascii", "replace"))
        except ValueError as error:
            return await exchange.send(Response.text(f"{error}\n", 400), head)
        headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
        if "transfer-encoding" in headers and "content-length" in headers:
            raise h11.RemoteProtocolError("a request has Content-Length or Transfer-Encoding, not both")
        api = self._api
        if api is None or not parts.path.startswith(api.prefix):
            try:
                await exchange.body(MAX_HEAD_BYTES)
            except _TooLarge as error:
                return await exchange.send_unread(Response.text(f"{error}\n", 413), head)
            page = await self._page(head, parts.path, parts.query)
            return await exchange.send(page, head) and not exchange.spare
        if exchange.spare:
            full = f"{MAX_CONNECTIONS} connections are open already: try again later"
            return await exchange.send_unread(api.refusal("RESOURCE_EXHAUSTED", full), head)
        early = api.refused(head.method.decode(), headers)
        if early is not None:
            return await exchange.send_unread(early, head)
        try:
            response = await self._answer(exchange, api, head, headers, parts.path)
        except _TooLarge as error:
            return await exchange.send_unread(api.refusal("RESOURCE_EXHAUSTED", str(error)), head)
        return response is not None and await self._reply(exchange, api, head, response)

    async def _answer(
        self, exchange: "_Exchange", api: Api, head: h11.Request, headers: Mapping[str, str], path: str
    ) -> Response | None:
        """The API's reply; None when the peer is gone. Raises _TooLarge. Nothing of the request lives on after it."""
        limit = _body_limit(headers, api)
        taken = 0

        def claim(size: int) -> None:
            nonlocal taken
            if self._bodies_bytes + size > MAX_BODIES_BYTES:
                raise _TooLarge(f"requests under way hold {MAX_BODIES_BYTES} bytes already: try again later")
            self._bodies_bytes += size
            taken += size

        try:
            body = await exchange.body(limit, claim)
            request = Request(head.method.decode(), path, headers, body, exchange.host)
            return await exchange.unless_gone(api.answer(request))
        except (TimeoutError, OSError, h11.ProtocolError, _TooLarge):
            raise
        except Exception as error:
            log.exception("a request to %s failed", path)
            return api.refusal("INTERNAL", f"{type(error).__name__}: {error}")
        finally:
            self._bodies_bytes -= taken

    async def _reply(self, exchange: "_Exchange", api: Api, head: h11.Request, response: Response) -> bool:
        size = len(response.body) if len(response.body) > SMALL_BYTES else 0
        if size and self._replies_bytes + size > MAX_REPLIES_BYTES:
            # no status that others take for "not executed"
            size, full = 0, f"{MAX_REPLIES_BYTES} bytes of replies are not taken by their clients yet"
            response = api.refusal("ABORTED", f"the statement has run, and its reply was thrown away: {full}")
        self._replies_bytes += size
        try:
            return await exchange.send(response, head)
        finally:
            self._replies_bytes -= size

    async def _page(self, head: h11.Request, path: str, query: str) -> Response:
        if head.method not in (b"GET", b"HEAD"):
            return Response.text("only GET and HEAD are served here\n", 405)
        handler = self._routes.get(path)
        if handler is None:
            return Response.text(f"there is no {path}; known: {', '.join(sorted(self._routes))}\n", 404)
        try:
            response = handler(dict(parse_qsl(query)))
            return await response if not isinstance(response, Response) else response
        except Exception as error:
            return Response.text(f"{type(error).__name__}: {error}\n", 500)


class _Exchange:
    """One connection: requests in, replies out."""

    def __init__(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, *, spare: bool = False
    ) -> None:
        """`spare`: it is one of those that are kept for pages."""
        self._reader = reader
        self._writer = writer
        self.spare = spare
        writer.transport.set_write_buffer_limits(0)  # `drain` waits until all is gone
        self._http = h11.Connection(h11.SERVER, max_incomplete_event_size=MAX_HEAD_BYTES)
        peer = writer.get_extra_info("peername")
        self.host = str(peer[0]) if isinstance(peer, tuple) else "localhost"

    async def _event(self) -> Any:
        while True:
            event = self._http.next_event()
            if event is not h11.NEED_DATA:
                return event
            if self._http.they_are_waiting_for_100_continue:
                go_on = h11.InformationalResponse(status_code=100, headers=[], reason=b"Continue")
                self._writer.write(self._http.send(go_on) or b"")
            self._http.receive_data(await self._reader.read(_READ_BYTES))

    async def head(self) -> h11.Request | None:
        """The next request's; None when the peer has ended. Raises TimeoutError, h11.ProtocolError."""
        if self._http.our_state is h11.DONE:
            self._http.start_next_cycle()
        async with asyncio.timeout(PAGE_TIMEOUT_S if self.spare else IDLE_TIMEOUT_S):
            event = await self._event()
        return event if isinstance(event, h11.Request) else None

    async def body(self, limit_bytes: int, claim: Callable[[int], None] | None = None) -> bytes:
        """All of it; `claim` is asked for room as pieces come. Raises _TooLarge, TimeoutError, h11.ProtocolError."""
        pieces: list[bytes] = []
        size = 0
        clock = asyncio.get_running_loop().time
        began_s = clock()
        async with asyncio.timeout(STALL_TIMEOUT_S) as deadline:
            while True:
                event = await self._event()
                if isinstance(event, h11.Data):
                    size += len(event.data)
                    if size > limit_bytes:
                        raise _TooLarge(f"the request's body is larger than {limit_bytes} bytes")
                    if claim is not None:
                        claim(len(event.data))
                    deadline.reschedule(min(began_s + _time_s(size), clock() + STALL_TIMEOUT_S))
                    pieces.append(bytes(event.data))
                elif isinstance(event, h11.EndOfMessage):
                    return b"".join(pieces)
                else:
                    raise h11.RemoteProtocolError("the body broke off")

    async def unless_gone(self, steps: Any) -> Response | None:
        """What `steps` come to; None, and they are cancelled, when the peer goes away before that."""
        answering = asyncio.ensure_future(steps)
        reading = asyncio.ensure_future(self._reader.read(_READ_BYTES))
        try:
            await asyncio.wait((answering, reading), return_when=asyncio.FIRST_COMPLETED)
            if not reading.done():
                reading.cancel()  # takes nothing with it: what comes stays in the reader
                await asyncio.wait((reading,))
            data = b"" if reading.cancelled() else reading.result()
            if data:
                self._http.receive_data(data)  # it does not wait for replies: it is not watched any more
            elif not reading.cancelled() and not answering.done():
                return None
            return cast("Response", await answering)
        finally:
            for task in (answering, reading):
                task.cancel()
            await asyncio.wait((answering, reading))

    async def send_unread(self, response: Response, head: h11.Request) -> bool:
        """Sends a reply to a request whose body is not read whole; the connection is over. A peer that still sends
        is listened to for a while: else what is under way would take the reply with it."""
        await self.send(replace(response, headers=(*response.headers, ("Connection", "close"))), head)
        if self._writer.can_write_eof():
            self._writer.write_eof()
        left = LINGER_BYTES
        try:
            async with asyncio.timeout(LINGER_S):
                while left > 0:
                    data = await self._reader.read(_READ_BYTES)
                    if not data:
                        break
                    left -= len(data)
        except TimeoutError:
            pass
        return False

    async def tell_fault(self, error: h11.RemoteProtocolError) -> bool:
        """What the peer sent is no HTTP: says so, if no reply has begun; whether that went well."""
        if self._http.our_state not in (h11.IDLE, h11.SEND_RESPONSE):
            return False
        status = error.error_status_hint or 400
        try:
            await self.send_unread(Response.text(f"{error}\n", status), _NO_HEAD)
        except (TimeoutError, OSError, h11.ProtocolError, asyncio.CancelledError):
            return False
        return True

    async def send(self, response: Response, head: h11.Request) -> bool:
        """Sends a reply; whether the connection goes on. Raises TimeoutError."""
        headers = list(response.headers)
        if response.status != HTTPStatus.NO_CONTENT:
            headers.append(("Content-Length", str(len(response.body))))
        if response.content_type:
            headers.append(("Content-Type", response.content_type))
        reason = HTTPStatus(response.status).phrase.encode() if response.status in _KNOWN else b""
        for part in (
            h11.Response(status_code=response.status, headers=headers, reason=reason),
            h11.Data(data=response.body if head.method != b"HEAD" else b""),
            h11.EndOfMessage(),
        ):
            data = self._http.send(part)
            if data:
                self._writer.write(data)
        async with asyncio.timeout(_time_s(len(response.body))):
            await self._writer.drain()
        return self._http.our_state is h11.DONE and self._http.their_state is h11.DONE


_NO_HEAD: Final = h11.Request(method=b"GET", target=b"/", headers=[("Host", "none")])
_KNOWN: Final = frozenset(int(status) for status in HTTPStatus)


def _body_limit(headers: Mapping[str, str], api: Api) -> int:
    """The size that a body may have. Raises _TooLarge where the head says that it is larger."""
    if "transfer-encoding" in headers:
        return min(api.max_body_bytes, 1 << 20)  # of unknown size: must be a small one
    if int(headers.get("content-length", "0")) > api.max_body_bytes:
        raise _TooLarge(f"the request's body is larger than {api.max_body_bytes} bytes (max_allowed_packet)")
    return api.max_body_bytes


def _time_s(size_bytes: int) -> float:
    return STALL_TIMEOUT_S + size_bytes / LEAST_BYTES_S
