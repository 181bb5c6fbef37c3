"""The HTTP server: pages, the API behind it, and its bounds, over real sockets."""

import asyncio
from collections.abc import AsyncIterator, Mapping
from typing import Any

import pytest

from core import http
from core.http import HttpServer, Request, Response


class Api:
    prefix = "/api/"
    max_body_bytes = 1000

    def __init__(self) -> None:
        self.asked: list[Request] = []
        self.cancelled = asyncio.Event()
        self.began = asyncio.Event()
        self.large = 0
        self.servers: list[HttpServer] = []

    def refused(self, method: str, headers: Mapping[str, str]) -> Response | None:
        return Response(401, "text/plain", b"who?") if method == "POST" and "x-nobody" in headers else None

    async def answer(self, request: Request) -> Response:
        self.asked.append(request)
        if request.path == "/api/wait":
            self.began.set()
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                self.cancelled.set()
                raise
        if request.path == "/api/large":
            return Response(200, "text/plain", bytes(self.large))
        if request.path == "/api/broken":
            raise KeyError("oops")
        if request.method == "OPTIONS":
            return Response(204, "", b"", (("X-Told", "yes"),))
        return Response(200, "text/plain", request.body[::-1], (("X-Told", "yes"),))

    def refusal(self, code: str, message: str) -> Response:
        return Response(429 if code == "RESOURCE_EXHAUSTED" else 500, "text/plain", message.encode())


class Client:
    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader, self.writer = reader, writer

    def send(self, *lines: str, body: bytes = b"") -> None:
        self.writer.write("\r\n".join((*lines, "Host: x", "", "")).encode() + body)

    async def reply(self) -> tuple[int, dict[str, str], bytes]:
        head = (await self.reader.readuntil(b"\r\n\r\n")).decode().splitlines()
        headers = {
            name.lower(): value for name, _, value in (line.partition(": ") for line in head[1:] if line)
        }
        body = await self.reader.readexactly(int(headers.get("content-length", "0")))
        return int(head[0].split()[1]), headers, body


@pytest.fixture
async def served() -> AsyncIterator[tuple[Api, Any]]:
    api = Api()
    server = HttpServer({"/page": lambda query: Response.text(query.get("q", "-"))}, api)
    api.servers.append(server)
    await server.start("127.0.0.1", 0)
    assert server._server is not None
    port = server._server.sockets[0].getsockname()[1]
    clients: list[Client] = []

    async def connect() -> Client:
        clients.append(Client(*await asyncio.open_connection("127.0.0.1", port)))
        return clients[-1]

    yield api, connect
    for client in clients:
        client.writer.close()
    await server.close()


async def test_pages_and_requests_on_one_connection(served: tuple[Api, Any]) -> None:
    api, connect = served
    client = await connect()
    client.send("GET /page?q=1 HTTP/1.1")
    assert (await client.reply())[::2] == (200, b"1")
    client.send("POST /api/x HTTP/1.1", "Content-Length: 3", "X-A: b", body=b"abc")
    status, headers, body = await client.reply()
    assert (status, headers["x-told"], body) == (200, "yes", b"cba")
    client.send("POST /page HTTP/1.1", "Content-Length: 3", body=b"abc")
    assert (await client.reply())[0] == 405
    client.send("GET /nowhere HTTP/1.1")
    assert (await client.reply())[0] == 404
    client.send("OPTIONS /api/x HTTP/1.1")
    assert (await client.reply())[::2] == (204, b"")
    client.send("POST /api/broken HTTP/1.1", "Content-Length: 0")
    assert (await client.reply())[0] == 500
    first = api.asked[0]
    assert (first.method, first.path, first.body, first.host) == ("POST", "/api/x", b"abc", "127.0.0.1")
    assert first.headers["x-a"] == "b"


async def test_chunks_and_bodies_that_wait_for_leave(served: tuple[Api, Any]) -> None:
    _, connect = served
    client = await connect()
    client.send("POST /api/x HTTP/1.1", "Transfer-Encoding: chunked", body=b"2\r\nab\r\n1\r\nc\r\n0\r\n\r\n")
    assert (await client.reply())[2] == b"cba"
    client.send("POST /api/x HTTP/1.1", "Content-Length: 2", "Expect: 100-continue")
    assert (await client.reply())[0] == 100
    client.writer.write(b"xy")
    assert (await client.reply())[2] == b"yx"


@pytest.mark.parametrize(
    ("lines", "body"),
    [
        (("Content-Length: 1001",), b""),
        (("Transfer-Encoding: chunked",), b"3e9\r\n" + b"x" * 1001 + b"\r\n0\r\n\r\n"),
    ],
)
async def test_too_large_bodies_end_the_connection(
    served: tuple[Api, Any], lines: tuple[str, ...], body: bytes
) -> None:
    api, connect = served
    client = await connect()
    client.send("POST /api/x HTTP/1.1", *lines, body=body)
    assert (await client.reply())[0] == 429
    assert await client.reader.read() == b""
    assert api.asked == []


async def test_a_peer_that_goes_away_cancels_its_request(served: tuple[Api, Any]) -> None:
    api, connect = served
    client = await connect()
    client.send("POST /api/wait HTTP/1.1", "Content-Length: 0")
    await api.began.wait()
    client.writer.close()
    await asyncio.wait_for(api.cancelled.wait(), 20)


async def test_what_comes_during_an_answer_is_the_next_request(served: tuple[Api, Any]) -> None:
    _, connect = served
    client = await connect()
    client.send("POST /api/x HTTP/1.1", "Content-Length: 1", body=b"1")
    client.send("POST /api/x HTTP/1.1", "Content-Length: 1", body=b"2")
    assert (await client.reply())[2] == b"1"
    assert (await client.reply())[2] == b"2"


async def test_nonsense_ends_the_connection(served: tuple[Api, Any]) -> None:
    _, connect = served
    client = await connect()
    client.writer.write(b"\x16\x03\x01 this is TLS\r\n\r\n")
    assert (await client.reply())[0] == 400
    assert await client.reader.read() == b""


async def test_two_sizes_of_one_body_are_refused(served: tuple[Api, Any]) -> None:
    api, connect = served
    for path in ("/api/x", "/page"):
        client = await connect()
        both = ("Content-Length: 3", "Transfer-Encoding: chunked")
        client.send(f"POST {path} HTTP/1.1", *both, body=b"0\r\n\r\nGET /page HTTP/1.1\r\n\r\n")
        assert (await client.reply())[0] == 400
        assert await client.reader.read() == b""
    assert api.asked == []


async def test_a_body_is_not_waited_for_where_the_head_is_refused(served: tuple[Api, Any]) -> None:
    api, connect = served
    client = await connect()
    client.send("POST /api/x HTTP/1.1", "Content-Length: 1000", "X-Nobody: 1", body=b"half")
    assert (await client.reply())[::2] == (401, b"who?")
    assert await client.reader.read() == b""
    assert api.asked == []


async def test_bodies_take_room_as_they_come(
    served: tuple[Api, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    _, connect = served
    monkeypatch.setattr(http, "MAX_BODIES_BYTES", 1000)
    silent = [await connect() for _ in range(3)]
    for client in silent:
        client.send("POST /api/x HTTP/1.1", "Content-Length: 1000")
    client = await connect()
    for _ in range(3):  # what was taken is given back
        client.send("POST /api/x HTTP/1.1", "Content-Length: 900", body=b"x" * 900)
        assert (await client.reply())[0] == 200
    waiting = await connect()
    waiting.send("POST /api/wait HTTP/1.1", "Content-Length: 900", body=b"x" * 900)
    await served[0].began.wait()
    client.send("POST /api/x HTTP/1.1", "Content-Length: 101", body=b"x" * 101)
    assert (await client.reply())[0] == 429


async def test_replies_that_nobody_takes_are_bounded(
    served: tuple[Api, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, connect = served
    size = 32 << 20  # more than sockets hold
    monkeypatch.setattr(http, "MAX_REPLIES_BYTES", size + 1)
    api.large = size
    slow, second = await connect(), await connect()
    slow.send("POST /api/large HTTP/1.1", "Content-Length: 0")
    await slow.reader.readuntil(b"\r\n\r\n")
    second.send("POST /api/large HTTP/1.1", "Content-Length: 0")
    status, _, body = await second.reply()
    assert (status, b"has run" in body) == (500, True)
    assert len(await slow.reader.readexactly(size)) == size
    second.send("POST /api/large HTTP/1.1", "Content-Length: 0")
    assert (await second.reply())[0] == 200


async def test_a_reply_that_is_not_taken_in_time_is_cut(
    served: tuple[Api, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    api, connect = served
    monkeypatch.setattr(http, "STALL_TIMEOUT_S", 0.05)
    monkeypatch.setattr(http, "LEAST_BYTES_S", 1 << 40)
    api.large = 32 << 20
    client = await connect()
    client.send("POST /api/large HTTP/1.1", "Content-Length: 0")
    await client.reader.readuntil(b"\r\n\r\n")
    done, _ = await asyncio.wait(api.servers[0]._open, timeout=20)
    assert done
    with pytest.raises((ConnectionResetError, asyncio.IncompleteReadError)):
        await client.reader.readexactly(api.large)


async def test_pages_have_room_of_their_own(served: tuple[Api, Any], monkeypatch: pytest.MonkeyPatch) -> None:
    _, connect = served
    monkeypatch.setattr(http, "MAX_CONNECTIONS", 1)
    first = await connect()
    first.send("GET /page HTTP/1.1")
    assert (await first.reply())[0] == 200
    spare = await connect()
    spare.send("GET /page HTTP/1.1")
    assert (await spare.reply())[0] == 200
    assert await spare.reader.read() == b""
    spare = await connect()
    spare.send("POST /api/x HTTP/1.1", "Content-Length: 0")
    assert (await spare.reply())[0] == 429
