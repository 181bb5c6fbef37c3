"""Sessions that have set wait_timeout: closed when their client was silent for so long, as a MySQL closes them.

A session that leaves wait_timeout as it is stays: idle clients cost nothing.

Invariants: none is closed before its time, and each at most a quarter of it (twice LOOK_S) later; parked or awake
makes no difference. When a statement began is known, not when it ended, so a session counts as silent from the first
look on that finds it so; it is looked at eight times in its time, or each LOOK_S: nothing walks over all.
"""

from typing import TYPE_CHECKING, Final

from core.errors import fail
from router.clients.connection import BUSY, CLOSED, Connection
from router.clients.parked import Parked
from router.clients.wheel import Wheel
from router.variables.table import WAIT_TIMEOUT

if TYPE_CHECKING:
    from router.workers.worker import Worker

LOOK_S: Final = 600.0
"""So long, at most, something is kept here of a session that is gone."""
_LOOKS: Final = 8
_STEP_S: Final = 0.25


class _Silence:
    """`statement_s`: when the statement began after which the client is silent; `since_s`: it is silent since then, if
    not for longer."""

    __slots__ = ("due_s", "since_s", "statement_s")

    def __init__(self, statement_s: float, since_s: float) -> None:
        self.statement_s = statement_s
        self.since_s = since_s
        self.due_s = 0.0
        """When it is looked at: there is a place in the wheel for it."""


class Inactivity:
    """The sessions of a worker that have set wait_timeout."""

    __slots__ = ("_known", "_ticking", "_wheel", "_worker")

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker
        self._known: dict[int, _Silence] = {}
        self._wheel: Wheel[int] = Wheel(_STEP_S, worker.perf_counter())
        self._ticking = False

    def watch(self, number: int) -> None:
        """The session of connection `number` may have a wait_timeout: it has set it, or comes with it."""
        client = self._client(number)
        limit_s = _limit_s(client)
        if client is None or limit_s is None:
            return
        now_s = self._worker.perf_counter()
        silence = self._known.get(number)
        if silence is None:
            silence = self._known[number] = _Silence(_statement_s(client), now_s)
        elif silence.due_s <= now_s + limit_s / _LOOKS:
            return
        self._look_at(number, silence, now_s + limit_s / _LOOKS, now_s)

    def forget(self, number: int) -> None:
        """The connection is gone."""
        self._known.pop(number, None)

    def _client(self, number: int) -> Connection | Parked | None:
        client = self._worker.connections.get(number)
        return client if isinstance(client, Connection | Parked) else None

    def _look_at(self, number: int, silence: _Silence, due_s: float, now_s: float) -> None:
        silence.due_s = min(due_s, now_s + LOOK_S)
        self._wheel.add(number, silence.due_s)
        if not self._ticking:
            self._ticking = True
            self._worker.loop.call_later(_STEP_S, self._tick)

    def _tick(self) -> None:
        now_s = self._worker.perf_counter()
        for number in [*self._wheel.take_due(now_s)]:
            silence = self._known.get(number)
            if silence is not None and silence.due_s <= now_s:
                self._look(number, silence, now_s)
        if self._wheel:
            self._worker.loop.call_later(_STEP_S, self._tick)
        else:
            self._ticking = False

    def _look(self, number: int, silence: _Silence, now_s: float) -> None:
        client = self._client(number)
        limit_s = _limit_s(client)
        if client is None or limit_s is None:
            del self._known[number]
            return
        statement_s = _statement_s(client)
        busy = isinstance(client, Connection) and client.state == BUSY
        if busy or statement_s != silence.statement_s:
            silence.statement_s = -1.0 if busy else statement_s  # it may end right after this look
            silence.since_s = now_s
        if now_s - silence.since_s < limit_s:
            self._look_at(number, silence, min(silence.since_s + limit_s, now_s + limit_s / _LOOKS), now_s)
            return
        del self._known[number]
        if "mariadb" in str(self._worker.server.get("flavour", "")).lower():
            client.close()  # without a word
        else:
            client.refuse(fail("INACTIVE"))


def _limit_s(client: Connection | Parked | None) -> float | None:
    """The session's own wait_timeout."""
    if client is None or (isinstance(client, Connection) and client.state == CLOSED):
        return None
    session = client.session
    variables = session.variables if session is not None else None
    value = variables.get(WAIT_TIMEOUT) if variables else None
    return float(value) if value is not None else None


def _statement_s(client: Connection | Parked) -> float:
    """When the session's last statement began."""
    if isinstance(client, Connection):
        return client.session.started_s if client.session is not None else 0.0
    return client.since_s
