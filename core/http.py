"""A small HTTP/1.1 server: what processes show of themselves (/metrics, /healthz, /debug/...), and one API behind it.

Parsing is h11's; this file is its only importer. Pages are GET only. Everything is bounded: connections, heads, bodies
(one, and all of them together), and the time that a head, a body and a reply may take, however slowly the peer goes.
"""

import asyncio
import json
import logging
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, Protocol, cast
from urllib.parse import parse_qsl, urlsplit

import h11

IDLE_TIMEOUT_S: Final = 30.0
"""From one reply to the end of the next request's head."""
STALL_TIMEOUT_S: Final = 60.0
LEAST_BYTES_S: Final = 64 * 1024
"""A body has STALL_TIMEOUT_S, and a second more for each so many bytes; so has a reply."""
MAX_CONNECTIONS: Final = 4096
MAX_HEAD_BYTES: Final = 16 * 1024
MAX_BODIES_BYTES: Final = 192 * 1024 * 1024
"""Of all requests under way."""
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
        if len(self._open) >= MAX_CONNECTIONS:
            writer.close()
            return
        self._open.add(task)
        exchange = _Exchange(reader, writer)
        try:
            while await self._one(exchange):
                pass
        except (TimeoutError, OSError, h11.ProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _one(self, exchange: "_Exchange") -> bool:
        """Answers one request; False when the connection is over."""
        head = await exchange.head()
        if head is None:
            return False
        try:
            parts = urlsplit(head.target.decode("ascii", "replace"))
        except ValueError as error:
            return await exchange.send(Response.text(f"{error}\n", 400), head)
        api = self._api
        if api is None or not parts.path.startswith(api.prefix):
            try:
                await exchange.body(MAX_HEAD_BYTES)
            except _TooLarge as error:
                await exchange.send(Response.text(f"{error}\n", 413), head)
                return False
            return await exchange.send(await self._page(head, parts.path, parts.query), head)
        taken = 0
        response: Response | None
        try:
            headers = {name.decode("latin-1"): value.decode("latin-1") for name, value in head.headers}
            taken = self._claim(headers, api)
            body = await exchange.body(taken)
            request = Request(head.method.decode(), parts.path, headers, body, exchange.host)
            response = await exchange.unless_gone(api.answer(request))
        except _TooLarge as error:
            response = api.refusal("RESOURCE_EXHAUSTED", str(error))
            await exchange.send(response, head)
            return False  # the body was not read
        except (TimeoutError, OSError, h11.ProtocolError):
            raise
        except Exception as error:
            log.exception("a request to %s failed", parts.path)
            response = api.refusal("INTERNAL", f"{type(error).__name__}: {error}")
        finally:
            self._bodies_bytes -= taken
        return response is not None and await exchange.send(response, head)

    def _claim(self, headers: Mapping[str, str], api: Api) -> int:
        """Room for the request's body, as far as it says how large it is. Raises _TooLarge."""
        size = int(headers.get("content-length", "0"))
        if "transfer-encoding" in headers:
            size = min(api.max_body_bytes, 1 << 20)  # of unknown size: must be a small one
        if size > api.max_body_bytes:
            raise _TooLarge(
                f"the request's body is larger than {api.max_body_bytes} bytes (max_allowed_packet)"
            )
        if self._bodies_bytes + size > MAX_BODIES_BYTES:
            raise _TooLarge(f"requests under way hold {MAX_BODIES_BYTES} bytes already: try again later")
        self._bodies_bytes += size
        return size

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

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self._reader = reader
        self._writer = writer
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
        async with asyncio.timeout(IDLE_TIMEOUT_S):
            event = await self._event()
        return event if isinstance(event, h11.Request) else None

    async def body(self, limit_bytes: int) -> bytes:
        """All of it. Raises _TooLarge, TimeoutError, h11.ProtocolError."""
        pieces: list[bytes] = []
        size = 0
        async with asyncio.timeout(_time_s(limit_bytes)):
            while True:
                event = await self._event()
                if isinstance(event, h11.Data):
                    size += len(event.data)
                    if size > limit_bytes:
                        raise _TooLarge(f"the request's body is larger than {limit_bytes} bytes")
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


_KNOWN: Final = frozenset(int(status) for status in HTTPStatus)


def _time_s(size_bytes: int) -> float:
    return STALL_TIMEOUT_S + size_bytes / LEAST_BYTES_S
