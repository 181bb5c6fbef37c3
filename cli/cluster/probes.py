"""Does it serve? One question a role, asked the way its users ask.

Each probe is an async callable that gives True or False (or raises, which means False); the supervisor asks it
again and again and bounds its time.
"""

import asyncio
import base64
import json
import os
from collections.abc import Awaitable, Callable
from typing import Any, Final

from cli.local import MysqlServer, wait_ready
from controlplane.topo import layout as keys
from core.config import Dsn
from core.rpc import messages
from core.rpc.messages import Record

Probe = Callable[[], Awaitable[bool]]

_ANSWER_MAX_BYTES: Final = 4 * 1024 * 1024


async def http(
    host: str, port: int, path: str, *, body: bytes | None = None, timeout_s: float = 2.0
) -> tuple[int, bytes]:
    """Status and body of a GET (POST where `body` is given). OSError, ValueError or TimeoutError where none came."""
    async with asyncio.timeout(timeout_s):
        reader, writer = await asyncio.open_connection(host, port)
        try:
            verb = "GET" if body is None else "POST"
            head = f"{verb} {path} HTTP/1.0\r\nHost: {host}\r\nContent-Length: {len(body or b'')}\r\n\r\n"
            writer.write(head.encode() + (body or b""))
            answer = await reader.read(_ANSWER_MAX_BYTES)
            while chunk := await reader.read(_ANSWER_MAX_BYTES - len(answer)):
                answer += chunk
        finally:
            writer.close()
    top, _, rest = answer.partition(b"\r\n\r\n")
    return int(top.split(None, 2)[1]), rest


def etcd(host: str, port: int) -> Probe:
    """It has a leader and takes writes."""

    async def probe() -> bool:
        status, body = await http(host, port, "/health")
        return status == 200 and b'"true"' in body

    return probe


def registered(endpoint: tuple[str, int], cluster: str, prefix: str, pid: Callable[[], int]) -> Probe:
    """The process `pid()` holds a key under `prefix` in etcd (its predecessor's lease may not have ended yet).

    Asks etcd's JSON gateway, since a gRPC channel has no place in a process that starts others.
    """
    start = (keys.base(cluster) + prefix).encode()
    question = {
        "key": base64.b64encode(start).decode(),
        # A prefix ends before the same key with its last byte raised by one.
        "range_end": base64.b64encode(start[:-1] + bytes([start[-1] + 1])).decode(),
    }

    async def probe() -> bool:
        status, body = await http(*endpoint, "/v3/kv/range", body=json.dumps(question).encode())
        held = json.loads(body).get("kvs", []) if status == 200 else []
        return any(json.loads(base64.b64decode(kv["value"])).get("pid") == pid() for kv in held)

    return probe


def mysqld(server: MysqlServer, pid: Callable[[], int]) -> Probe:
    """The process `pid()` has greeted on its unix socket.

    Once a process: a greeting counts as a connection, and only the tablet opens those, under its cap. Whether the
    server still answers is what the tablet's state tells.
    """
    greeted: int | None = None

    async def probe() -> bool:
        nonlocal greeted
        asked = pid()
        if asked != greeted:
            await wait_ready(server, timeout_s=0, alive=lambda: True)
            greeted = asked
        return True

    return probe


def external_mysql(dsn: Dsn) -> Probe:
    """Something greets where the shard's MySQL should be."""

    async def probe() -> bool:
        if dsn.socket:
            reader, writer = await asyncio.open_unix_connection(dsn.socket)
        else:
            reader, writer = await asyncio.open_connection(dsn.host, dsn.port)
        try:
            return (await reader.readexactly(5))[4] in (10, 0xFF)
        finally:
            writer.close()

    return probe


def router(host: str, port: int) -> Probe:
    """/healthz says that it serves, or that an operator drains it: that is how it should be then."""

    async def probe() -> bool:
        status, body = await http(host, port, "/healthz")
        return status == 200 or body.strip() == messages.DRAINING.encode()

    return probe


class TabletProbe:
    """HELLO to a tablet, PING afterwards; it serves when its last word was SERVING.

    Keeps one connection, so that asking costs the tablet one record a second.
    """

    def __init__(self, endpoint: str, alias: str, context: Callable[[], Any]) -> None:
        """`context()` gives the process's one ZeroMQ context."""
        self._endpoint = endpoint
        self._alias = alias
        self._context = context
        self._dealer: Any = None
        self._state = ""
        self._forgotten = False
        self._heard = asyncio.Event()
        self._made = 0

    async def __call__(self) -> bool:
        if self._forgotten:
            self.close()
        if self._dealer is None or self._dealer.closed:
            self._connect()
        elif self._state:
            loop_ms = int(asyncio.get_running_loop().time() * 1000)
            self._dealer.send((messages.PING, loop_ms))
        self._heard.clear()
        try:
            async with asyncio.timeout(2.0):
                await self._heard.wait()
        except TimeoutError:
            self.close()
            return False
        return self._state == messages.SERVING

    def _connect(self) -> None:
        from core.rpc.dealer import Dealer

        self._state = ""
        self._forgotten = False
        self._made += 1
        identity = f"clusterctl-{os.getpid()}-{self._made}"
        dealer: Any = None

        def up() -> None:
            dealer.send((messages.HELLO, messages.VERSION, identity))

        dealer = self._dealer = Dealer(
            asyncio.get_running_loop(),
            self._context(),
            self._endpoint,
            identity.encode(),
            self._on_record,
            up,
            self._on_down,
        )

    def _on_record(self, record: Record) -> None:
        kind = record[0]
        if kind == messages.WELCOME:
            self._state = str(record[8]) if record[2] == self._alias else messages.NOT_SERVING
        elif kind == messages.PONG:
            self._state = str(record[3])
        elif kind == messages.STATE:
            self._state = str(record[1])
        elif kind == messages.REFUSED:
            self._state = messages.NOT_SERVING
            self._forgotten = True  # it was started anew, or stood still
        else:
            return
        self._heard.set()

    def _on_down(self, reason: str) -> None:
        del reason
        self._state = messages.DEAD
        self._heard.set()

    def close(self) -> None:
        if self._dealer is not None:
            self._dealer.close()
            self._dealer = None
