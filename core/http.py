"""A small HTTP server for what processes show of themselves: /metrics, /healthz, /debug/...

Parsing is h11's; this file is its only importer. GET only, bounded requests, one answer a request, keep-alive.
"""

import asyncio
import json
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from http import HTTPStatus
from typing import Any, Final, cast
from urllib.parse import parse_qsl, urlsplit

import h11

IDLE_TIMEOUT_S: Final = 30.0
MAX_CONNECTIONS: Final = 200


@dataclass(frozen=True, slots=True)
class Response:
    status: int
    content_type: str
    body: bytes

    @classmethod
    def text(cls, body: str, status: int = 200) -> "Response":
        return cls(status, "text/plain; charset=utf-8", body.encode())

    @classmethod
    def json(cls, value: Any, status: int = 200) -> "Response":
        return cls(status, "application/json", json.dumps(value, default=str).encode())


Handler = Callable[[dict[str, str]], Awaitable[Response] | Response]
"""Takes the query's parameters."""


class HttpServer:
    """Serves `routes` (path -> handler) on one address."""

    def __init__(self, routes: dict[str, Handler]) -> None:
        self._routes = routes
        self._server: asyncio.Server | None = None
        self._open: set[asyncio.Task[None]] = set()

    async def start(self, host: str, port: int) -> None:
        """Raises OSError if the address is not to be had."""
        self._server = await asyncio.start_server(self._serve, host, port)

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
        connection = h11.Connection(h11.SERVER, max_incomplete_event_size=16 * 1024)
        try:
            while await self._one(connection, reader, writer):
                connection.start_next_cycle()
        except (TimeoutError, OSError, h11.ProtocolError, asyncio.CancelledError):
            pass
        finally:
            self._open.discard(task)
            writer.close()

    async def _one(
        self, connection: h11.Connection, reader: asyncio.StreamReader, writer: asyncio.StreamWriter
    ) -> bool:
        """Answers one request; False when the connection is over."""
        request: h11.Request | None = None
        while True:
            event = connection.next_event()
            if event is h11.NEED_DATA:
                connection.receive_data(await asyncio.wait_for(reader.read(16_384), IDLE_TIMEOUT_S))
            elif isinstance(event, h11.Request):
                request = event
            elif isinstance(event, h11.EndOfMessage):
                break
            elif isinstance(event, h11.ConnectionClosed):
                return False
        assert request is not None
        response = await self._answer(request)
        headers = [
            ("Content-Type", response.content_type),
            ("Content-Length", str(len(response.body))),
        ]
        for part in (
            h11.Response(
                status_code=response.status,
                headers=headers,
                reason=HTTPStatus(response.status).phrase.encode(),
            ),
            h11.Data(data=response.body if request.method != b"HEAD" else b""),
            h11.EndOfMessage(),
        ):
            data = connection.send(part)
            if data:
                writer.write(data)
        await writer.drain()
        return connection.our_state is h11.DONE and connection.their_state is h11.DONE

    async def _answer(self, request: h11.Request) -> Response:
        if request.method not in (b"GET", b"HEAD"):
            return Response.text("only GET and HEAD are served here\n", 405)
        try:
            parts = urlsplit(request.target.decode("ascii", "replace"))
        except ValueError as error:
            return Response.text(f"{error}\n", 400)
        handler = self._routes.get(parts.path)
        if handler is None:
            return Response.text(f"there is no {parts.path}; known: {', '.join(sorted(self._routes))}\n", 404)
        try:
            response = handler(dict(parse_qsl(parts.query)))
            return await response if not isinstance(response, Response) else response
        except Exception as error:
            return Response.text(f"{type(error).__name__}: {error}\n", 500)
