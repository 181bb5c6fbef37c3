"""The main process passes requests on to workers, and to the one that keeps the session."""

import asyncio
import json
from types import SimpleNamespace
from typing import Any

from core.config import Router
from core.http import Request, Response
from core.rpc import messages as m
from router.daemon.asking import Asking
from router.daemon.http_key import is_key
from router.daemon.sql_api import PREFIX, SqlApi


class Workers:
    """Two workers of router r1 that answer as they are told."""

    def __init__(self) -> None:
        self.sent: list[tuple[bytes, str, dict[str, Any]]] = []
        self.answers: dict[bytes, list[dict[str, Any] | None]] = {b"r1.0.7": [], b"r1.1.8": []}
        self.asking = Asking(self)  # type: ignore[arg-type]
        workers = {slot: _worker(identity) for slot, identity in enumerate(self.answers)}
        self.main = SimpleNamespace(
            config=SimpleNamespace(router=Router()),
            asking=self.asking,
            workers=workers,
            processes=workers.values,
            topology=SimpleNamespace(snapshot={"http_key": "00"}, routers=lambda: {"r1": {}, "r2": {}}),
            boot=SimpleNamespace(router="r1"),
            state=m.SERVING,
        )
        self.api = SqlApi(self.main)  # type: ignore[arg-type]

    def send(self, identity: bytes, record: tuple[Any, ...]) -> None:
        _, number, what, values = record
        self.sent.append((identity, what, dict(values)))
        answers = self.answers[identity]
        answer = answers.pop(0) if answers else {"status": 200, "body": identity}
        if answer is not None and number:
            asyncio.get_running_loop().call_soon(self.asking.answered, number, answer)

    async def ask(self, **more: Any) -> Response:
        values = {
            "method": "POST",
            "path": f"{PREFIX}Execute",
            "headers": {"content-type": "application/json"},
        }
        return await self.api.answer(Request(**{**values, "body": b"{}", "host": "h", **more}))

    def asked(self) -> list[tuple[bytes, str]]:
        return [(identity, values["owner"]) for identity, _, values in self.sent]


def _worker(identity: bytes) -> Any:
    return SimpleNamespace(identity=identity, state=m.SERVING)


async def test_workers_take_turns_and_the_busy_one_is_left_out() -> None:
    workers = Workers()
    assert {(await workers.ask()).body for _ in range(2)} == {b"r1.0.7", b"r1.1.8"}
    for answers in workers.answers.values():
        answers.append(None)
    waiting = asyncio.ensure_future(workers.ask())
    await asyncio.sleep(0)
    ((busy, _),) = workers.asked()[2:]
    for answers in workers.answers.values():
        answers.clear()
    assert {(await workers.ask()).body for _ in range(3)} == {b"r1.0.7", b"r1.1.8"} - {busy}
    waiting.cancel()
    await asyncio.wait([waiting])
    assert workers.sent[-1][:2] == (busy, "http gone")


async def test_a_kept_session_is_asked_for_where_it_is() -> None:
    for owner, asked in (
        ("r1.1.8", [(b"r1.1.8", "")]),
        ("r1.1.5", [(b"r1.0.7", "gone")]),
        ("r2.0.9", [(b"r1.0.7", "elsewhere")]),
        ("r3.0.9", [(b"r1.0.7", "gone")]),
    ):
        workers = Workers()
        workers.main.workers = {0: workers.main.workers[0]}
        workers.answers[b"r1.0.7"].append({"owner": owner})
        assert (await workers.ask()).status == 200
        assert workers.asked() == [(b"r1.0.7", ""), *asked]


async def test_a_worker_that_goes_is_passed_over_and_one_that_died_is_told_of() -> None:
    workers = Workers()
    for answers in workers.answers.values():
        answers.append({"again": True})
    assert (await workers.ask()).status == 200
    assert len(workers.sent) == 3
    for answers in workers.answers.values():
        answers.append(None)
    waiting = asyncio.ensure_future(workers.ask())
    await asyncio.sleep(0)
    workers.asking.gone(workers.sent[-1][0])
    reply = await waiting
    assert reply.status == 409  # not 503, which says that nothing was executed
    assert "(errno 15044)" in json.loads(reply.body)["message"]
    workers.main.workers = {}
    assert (await workers.ask()).status == 503


async def test_what_no_worker_hears_of() -> None:
    workers = Workers()
    text = {"content-type": "text/plain"}
    packed = {"content-type": "application/json", "content-encoding": "gzip"}
    assert (await workers.ask(headers=text)).status == 415
    assert (await workers.ask(headers=packed)).status == 501
    assert (await workers.ask(method="GET")).status == 405
    assert (await workers.ask(path=f"{PREFIX}Prepare")).status == 501
    assert (await workers.ask(path=f"{PREFIX}Nothing")).status == 404
    assert (await workers.ask(method="OPTIONS")).status == 204
    assert workers.sent == []


async def test_who_does_not_say_who_it_is_has_no_body_read() -> None:
    api = Workers().api
    for headers in ({}, {"authorization": "Bearer x"}, {"authorization": "Basic !"}):
        refused = api.refused("POST", headers)
        assert refused is not None
        assert refused.status == 401
    assert api.refused("POST", {"authorization": "Basic YTpi"}) is None
    assert api.refused("OPTIONS", {}) is None


async def test_charset_of_the_content_type_does_not_matter() -> None:
    workers = Workers()
    assert (await workers.ask(headers={"content-type": "application/json; charset=utf-8"})).status == 200


def test_keys() -> None:
    assert is_key("00" * 32)
    for text in ("", "00" * 31, "xy" * 32, None, 5):
        assert not is_key(text)
