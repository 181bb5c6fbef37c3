"""A worker's talk with its router's main process: what the cluster is, what others ask, how things are here.

Invariant: when the main process is gone, so is the worker.
"""

import asyncio
import os
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from core.rpc import messages as m
from core.rpc.dealer import Dealer
from core.rpc.messages import Record
from router.http.api import HttpApi

if TYPE_CHECKING:
    from router.workers.worker import Worker

ASK_TIMEOUT_S: Final = 3.0


class Parent:
    """The worker's end."""

    def __init__(self, worker: "Worker", identity: str) -> None:
        self._worker = worker
        self._next_ask = 0
        self._asked: dict[int, asyncio.Future[dict[str, Any]]] = {}
        self.http = HttpApi(worker, identity)
        self._dealer = Dealer(
            worker.loop,
            worker.context,
            worker.boot.control,
            identity.encode(),
            self._on_record,
            lambda: self._dealer.send((m.ATTACH, worker.name, os.getpid())),
            lambda reason: worker.stop(),
        )

    async def ask(self, what: str, values: dict[str, Any]) -> dict[str, Any]:
        """Asks all workers of this router (this one too); {"answers": [...]}, or {} when nobody answers."""
        self._next_ask += 1
        number = self._next_ask
        future: asyncio.Future[dict[str, Any]] = self._worker.loop.create_future()
        self._asked[number] = future
        self._dealer.send((m.ASK, number, what, values))
        try:
            return await asyncio.wait_for(future, ASK_TIMEOUT_S)
        except TimeoutError:
            return {}
        finally:
            self._asked.pop(number, None)

    def _on_record(self, record: Record) -> None:
        worker = self._worker
        worker.stir()
        kind = record[0]
        if kind == m.SNAPSHOT:
            self.http.learn(record[2])
            worker.on_snapshot(record[2])
        elif kind == m.DRAIN:
            worker.departure.drain(record[1])
        elif kind == m.ANSWER:
            asked = self._asked.get(record[1])
            if asked is not None and not asked.done():
                asked.set_result(record[2])
        elif kind == m.ASK:
            self._answer(record[1], record[2], record[3])

    def _answer(self, request: int, what: str, values: dict[str, Any]) -> None:
        worker = self._worker
        answer: dict[str, Any] = {}
        if what == "http":
            self.http.begin(request, values, partial(self._http_reply, request))
            return
        if what == "http gone":
            self.http.gone(values["request"])
            return
        if what == "kill":
            connection = worker.connections.get(values["id"])
            session = connection.session if connection is not None else None
            answer["found"] = session is not None
            answer["refused"] = session is not None and values["user"] not in ("", session.user)
            if connection is not None and session is not None and not answer["refused"]:
                connection.kill(query_only=values["query_only"])
        elif what == "processlist":
            answer["rows"] = [c.describe() for c in worker.connections.values()]
        elif what == "accept":  # the predecessor has ended
            worker.predecessor_ended()
        elif what == "drain":
            worker.drain.begin(values["grace_s"], values["limit_s"])
            self.report()
        elif what == "undrain":
            worker.drain.end()
            self.report()
        elif what == "hand over":
            worker.departure.hand_over(values["path"], values["grace_s"])
        elif what == "leave":
            worker.departure.drain(values["grace_s"])
        self._dealer.send((m.ANSWER, request, answer))

    def _http_reply(self, request: int, reply: dict[str, Any]) -> None:
        self._dealer.send((m.ANSWER, request, reply), len(reply.get("body", b"")))

    def report(self) -> None:
        """Tells the router's main process how things are, now and not at the next tick."""
        self._dealer.send((m.REPORT, self._worker.name, report_of(self._worker)))


def report_of(worker: "Worker") -> dict[str, Any]:
    """What a worker says of itself, as plain values."""
    links = (
        {}
        if worker.view is None
        else {
            f"{link.keyspace}/{link.shard}": {
                "ready": link.ready,
                "reason": link.reason,
                "in_flight": len(link.pending),
                "waiting": link.waiting_count(),
            }
            for keyspace in worker.view.keyspaces.values()
            for link in keyspace.links
        }
    )
    return {
        **worker.stats.report(),
        "pid": os.getpid(),
        "uptime_s": worker.perf_counter() - worker.started_s,
        "state": _state(worker),
        "clients": len(worker.connections) - len(worker.half_open),
        "half_open": len(worker.half_open),
        "storm": worker.storm.active,
        "active": worker.active,
        "transactions": worker.transactions,
        "http_sessions": worker.parent.http.held,
        "parked": worker.parking.counts.parked,
        "parks": worker.parking.counts.parks,
        "wakes": worker.parking.counts.wakes,
        "view": worker.view.version if worker.view is not None else 0,
        "refused": {**worker.admission.gate.refused},
        "would_refuse": {**worker.admission.gate.would_refuse},
        "swept": worker.departure.swept,
        "lingers": worker.departure.lingers,
        "received": worker.received,
        "links": links,
    }


def _state(worker: "Worker") -> str:
    if worker.draining or worker.drain.active:
        return m.DRAINING
    return m.SERVING if worker.view is not None else m.STARTING
