"""Opens connections of the pool: connects in flight, and pauses after refusals that grow.

The pool says when and of which flavour; each connect keeps its place in the cap from the first byte to the last,
also one that fails, until the server has let go of it (`closing.py`).
"""

import asyncio
import random
from collections.abc import Callable
from typing import Final

from core.clock import Clock
from core.config import Dsn
from tablet.backend.admin import AdminLane
from tablet.backend.connection import ConnectFailed, Connection, open_connection
from tablet.pool.closing import Closer
from tablet.pool.plan import lifetime_s

BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses after refused connects, one after the other; the last one stays."""


class Opener:
    """`opened(connection)` or `failed(error)` follows each `open`; after the latter also `freed()`, later."""

    def __init__(
        self,
        clock: Clock,
        dsn: Dsn,
        database: str,
        max_lifetime_s: float,
        admin: AdminLane,
        closer: Closer,
        *,
        opened: Callable[[Connection], None],
        failed: Callable[[ConnectFailed], None],
        lost: Callable[[Connection], None],
        freed: Callable[[], None],
    ) -> None:
        self._now = clock.now_s
        self._dsn = dsn
        self._database = database
        self._max_lifetime_s = max_lifetime_s
        self._admin = admin
        self._closer = closer
        self._opened = opened
        self._failed = failed
        self._lost = lost
        self._freed = freed
        self._random = random.Random(dsn.socket or dsn.host)
        self._tasks: set[asyncio.Task[None]] = set()
        self._failures = 0
        self._may_open_at_s = 0.0
        self.in_flight = [0, 0]
        """By flavour: without and with CLIENT_FOUND_ROWS."""
        self.last_refusal = ""

    def may_open(self, now_s: float) -> bool:
        """Whether no pause runs."""
        return now_s >= self._may_open_at_s

    @property
    def hopeless(self) -> bool:
        """Refused as often as there are pauses."""
        return self._failures >= len(BACKOFF_S)

    def reset(self) -> None:
        """MySQL is back: refusals of before do not count."""
        self._failures = 0
        self._may_open_at_s = 0.0
        self.last_refusal = ""

    def open(self, found_rows: bool) -> None:
        """Starts one connect; the caller has counted its place."""
        self.in_flight[found_rows] += 1
        task = asyncio.get_running_loop().create_task(self._connect(found_rows))
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _connect(self, found_rows: bool) -> None:
        incarnation = self._admin.incarnation
        try:
            connection = await open_connection(self._dsn, self._database, found_rows, self._lost)
        except ConnectFailed as error:
            self.in_flight[found_rows] -= 1
            self._closer.watch(error.thread_id, incarnation, self._freed, lingers=error.lingers)
            self._may_open_at_s = self._now() + self.pause_s
            self._failures += 1
            self.last_refusal = f"{error.reason} ({error.number})"
            self._failed(error)
            return
        self.in_flight[found_rows] -= 1
        self._failures = 0
        now_s = self._now()
        connection.incarnation = incarnation
        connection.born_s = connection.used_s = now_s
        connection.retire_s = now_s + lifetime_s(self._max_lifetime_s, self._random.random())
        self._opened(connection)

    @property
    def pause_s(self) -> float:
        return BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
