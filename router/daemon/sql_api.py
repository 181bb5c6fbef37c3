"""The main process' part of the serverless SQL API: it passes requests on to workers, and reads none of them.

Invariants
- A request goes to the worker with the fewest of them, in turn where several have as few. Which session it is for the
  worker says, and names the one that keeps it, if another does: then it goes there. A worker that ends answers none:
  that is told.
- A client that goes away takes its request with it.

Source: PlanetScale's driver for JavaScript, `psdb.v1alpha1.Database` as ConnectRPC with JSON.
"""

import asyncio
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from core.errors import fail
from core.http import Request, Response
from core.rpc import messages as m
from router.http.codes import code_of, described, refusal
from router.http.proof import Refused, parse_basic

if TYPE_CHECKING:
    from router.daemon.main import RouterMain, WorkerState

PREFIX: Final = "/psdb.v1alpha1.Database/"
_SERVED: Final = ("Execute", "CreateSession")
_NOT_SERVED: Final = ("StreamExecute", "Prepare", "CloseSession")
_ATTEMPTS: Final = 5
_LOOKS: Final = 100
_LOOK_S: Final = 0.05
"""A router that has just started may know its cluster, and not yet the key."""
_MAX_BODY_BYTES: Final = 128 * 1024 * 1024
_ROOM_BYTES: Final = 1024 * 1024
"""For what stands in a body beside the statement."""
_JSON: Final = "application/json"
_ANYBODY: Final = (("Access-Control-Allow-Origin", "*"),)
"""Users prove who they are with each request, and no browser adds that by itself."""
_PREFLIGHT: Final = (
    *_ANYBODY,
    ("Access-Control-Allow-Methods", "POST, OPTIONS"),
    ("Access-Control-Allow-Headers", "Authorization, Content-Type, User-Agent, Connect-Protocol-Version"),
    ("Access-Control-Max-Age", "7200"),
)
_WHO: Final = ("WWW-Authenticate", 'Basic realm="sluice"')


class SqlApi:
    """See the module. The HTTP server gives it what lies under PREFIX."""

    prefix = PREFIX

    def __init__(self, main: "RouterMain") -> None:
        self._main = main
        self._running: dict[bytes, int] = {}
        """By worker: requests under way."""
        self._turn = 0
        self.requests = 0
        self.max_body_bytes = min(main.config.router.max_allowed_packet + _ROOM_BYTES, _MAX_BODY_BYTES)

    def refusal(self, code: str, message: str) -> Response:
        """A request that is refused before any worker hears of it."""
        status, body = refusal(code, message)
        return _response(status, body)

    def refused(self, method: str, headers: Mapping[str, str]) -> Response | None:
        """Who does not even say who it is has no body read; whether it is true is the worker's to find out."""
        if method != "POST":
            return None
        try:
            parse_basic(headers.get("authorization", ""))
        except Refused as error:
            return self.refusal(error.code, error.message)
        return None

    async def answer(self, request: Request) -> Response:
        """Serves one request. Cancelled when its client goes away."""
        procedure = request.path.removeprefix(PREFIX)
        if request.method == "OPTIONS":
            return Response(204, "", b"", _PREFLIGHT)
        if procedure in _NOT_SERVED:
            return self.refusal("UNIMPLEMENTED", f"{procedure} is not served: use Execute")
        if procedure not in _SERVED:
            return self.refusal(
                "NOT_FOUND", f"there is no procedure {procedure[:80]!r}; known: {', '.join(_SERVED)}"
            )
        if request.method != "POST":
            _, body = refusal("INVALID_ARGUMENT", "only POST is served here")
            return Response(405, _JSON, body, (*_ANYBODY, ("Allow", "POST, OPTIONS")))
        if request.headers.get("content-type", "").partition(";")[0].strip().lower() != _JSON:
            _, body = refusal("INVALID_ARGUMENT", f"the request's Content-Type must be {_JSON}")
            return _response(415, body)
        if request.headers.get("content-encoding", "identity") != "identity":
            return self.refusal("UNIMPLEMENTED", "compressed requests are not served")
        self.requests += 1
        return await self._pass_on(
            {
                "procedure": procedure,
                "authorization": request.headers.get("authorization", ""),
                "body": request.body,
                "host": request.host,
                "owner": "",
            }
        )

    async def _pass_on(self, values: dict[str, Any]) -> Response:
        await self._until_known()
        owner = b""
        asked: set[bytes] = set()
        for _ in range(_ATTEMPTS):
            identity = owner or self._choose(asked)
            if not identity:
                break
            asked.add(identity)
            reply = await self._ask(identity, values)
            owner = b""
            if "status" in reply:
                return _response(reply["status"], reply["body"])
            if "owner" in reply:
                owner, values["owner"] = self._find(reply["owner"])
            elif "again" not in reply:
                lost = fail("HTTP_ANSWER_LOST", reason="its worker ended")
                message = described(lost.number, lost.sqlstate, lost.message)
                return self.refusal(code_of(lost.number), message)
        return self.refusal(
            "UNAVAILABLE", f"no worker of this router takes requests now ({self._main.state})"
        )

    async def _until_known(self) -> None:
        """Workers hear of the cluster, and of the key, before they are asked anything, if it is known here."""
        for _ in range(_LOOKS):
            snapshot = self._main.topology.snapshot
            if snapshot is not None and snapshot["http_key"]:
                return
            await asyncio.sleep(_LOOK_S)

    async def _ask(self, identity: bytes, values: dict[str, Any]) -> dict[str, Any]:
        asking = self._main.asking
        number, answer = asking.begin(identity, "http", values)
        self._running[identity] = self._running.get(identity, 0) + 1
        try:
            return await answer
        except asyncio.CancelledError:
            asking.forget(number)
            asking.tell(identity, "http gone", {"request": number})
            raise
        finally:
            self._running[identity] -= 1
            if not self._running[identity]:
                del self._running[identity]

    def _choose(self, asked: set[bytes]) -> bytes:
        """The worker for a request that any may serve, if there is one not `asked` yet that; empty: there is none."""
        known = [worker for worker in self._main.workers.values() if worker.identity]
        able = [worker for worker in known if worker.identity not in asked] or known
        serving = [worker for worker in able if worker.state == m.SERVING] or able
        if not serving:
            return b""
        self._turn = (self._turn + 1) % len(serving)
        return min(serving[self._turn :] + serving[: self._turn], key=self._load).identity

    def _load(self, worker: "WorkerState") -> int:
        return self._running.get(worker.identity, 0)

    def _find(self, owner: str) -> tuple[bytes, str]:
        """The worker of that name, and what became of it: "", "gone", or "elsewhere" where it is another router's."""
        identity = owner.encode()
        if any(worker.identity == identity for worker in self._main.processes()):
            return identity, ""
        router = owner.rpartition(".")[0].rpartition(".")[0]
        others = self._main.topology.routers()
        return b"", "elsewhere" if router != self._main.boot.router and router in others else "gone"


def _response(status: int, body: bytes) -> Response:
    headers = (*_ANYBODY, _WHO) if status == 401 else _ANYBODY
    return Response(status, _JSON, body, headers)
