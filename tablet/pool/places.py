"""The places of a tablet's pool: which connections there are, opened and closed, idle or lent.

Invariants
- `used` (open, being opened, being closed until the server has let go) never exceeds `capacity`, which is pool_size
  minus the admin lane's one.
- Every idle connection is in the bucket of its profile; `_idle_by_flavour` counts them.
"""

import asyncio
from collections.abc import Callable
from random import Random
from typing import Final

from core.clock import Clock
from core.config import Dsn
from core.config import Tablet as TabletConfig
from core.errors import SluiceError
from tablet.backend.admin import AdminLane
from tablet.backend.connection import ConnectFailed, Connection, Profile
from tablet.epochs import Epochs
from tablet.pool import plan
from tablet.pool.admission import FOUND_ROWS, HOLD, PLAIN, Limits, Queue
from tablet.pool.affinity import Again, least_recent
from tablet.pool.closing import Closer
from tablet.pool.opener import Opener
from tablet.pool.refusals import Figures, Refusals
from tablet.stats import Stats

LANES: Final = ((PLAIN, HOLD), (FOUND_ROWS, HOLD | FOUND_ROWS))
"""By flavour: who may be served."""
LANES_FULL: Final = ((PLAIN,), (FOUND_ROWS,))
"""The same, when no more connections may be held."""


class Places:
    """The part of `Pool` that does not lend."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        config: TabletConfig,
        dsn: Dsn,
        database: str,
        refusals: Refusals,
        admin: AdminLane,
        epochs: Epochs,
        stats: Stats,
    ) -> None:
        self._loop = loop
        self._now: Callable[[], float] = clock.now_s
        self._config = config
        self.refusals = refusals
        self._admin = admin
        self._epochs = epochs
        self._stats = stats
        self._idle: dict[Profile, list[Connection]] = {}
        self._random = Random(0)
        self._again = Again(loop, self.pump)
        self._idle_by_flavour = [0, 0]
        self._making_room = 0  # connections closed for the sake of the other flavour
        self.database = database
        self.serving = False
        """MySQL is up as far as the admin lane knows."""
        self.stopping = False
        self.capacity = config.pool_size - 1
        self.hold_limit = plan.hold_limit(config.pool_size, config.reserved_share)
        self.held = 0
        self.before_data: Callable[[], None] = lambda: None
        """Called before anything that MySQL says is looked at; for connections opened from now on."""
        self.used = 0
        self._foreign = 0
        self.connections: set[Connection] = set()
        self.closer = Closer(loop, clock, admin)
        self._opener = Opener(
            clock,
            dsn,
            database,
            config.max_lifetime_s,
            admin,
            self.closer,
            opened=self._opened,
            failed=self._open_failed,
            lost=self._lost,
            freed=self._freed,
        )
        queue_timeout_s = config.queue_timeout_ms / 1000
        self.queue = Queue(
            Limits(config.queue_size, target_s=queue_timeout_s / 2, interval_s=queue_timeout_s / 4)
        )

    def pump(self) -> None:
        raise NotImplementedError

    def release(self, connection: Connection) -> None:
        raise NotImplementedError

    def _end_use(self, connection: Connection) -> None:
        raise NotImplementedError

    def _lanes(self, flavour: int) -> tuple[int, ...]:
        return LANES[flavour] if self.held < self.hold_limit else LANES_FULL[flavour]

    # -- opening and closing

    def _close_idle_of(self, found_rows: bool) -> bool:
        """Closes the least recently used idle connection of that flavour."""
        bucket = least_recent(self._idle, found_rows)
        if bucket is not None:
            self._idle_by_flavour[found_rows] -= 1
            self.closer.close(bucket.pop(0))
        return bucket is not None

    def _open_missing(self) -> None:
        if not self.serving or self.stopping or not self._opener.may_open(self._now()):
            return
        by_lane = self.queue.by_lane
        while self.used < self.capacity:
            due = [
                flavour
                for flavour in (0, 1)
                if sum(by_lane[lane] for lane in self._lanes(flavour)) > self._opener.in_flight[flavour]
            ]
            if not due:
                return
            # whoever waits longest says of which flavour
            self._open(bool(min(due, key=lambda flavour: self.queue.oldest_s(self._lanes(flavour)) or 0.0)))

    def _open(self, found_rows: bool) -> None:
        if self.used < self.capacity:
            self.used += 1
            self._opener.open(found_rows)

    def _opened(self, connection: Connection) -> None:
        self.connections.add(connection)
        connection.before_data = self.before_data
        self._stats.opens += 1
        if connection.is_lost:
            self._lost(connection)
        else:
            self.release(connection)

    def _open_failed(self, error: ConnectFailed) -> None:
        self._stats.note_error(error.number, f"connect: {error.reason}")
        if self._opener.hopeless and not self.connections:
            self.refuse_all(self.refusals.backend_refused(self._opener.last_refusal))
        else:
            self._loop.call_later(self._opener.pause_s, self.pump)

    def _lost(self, connection: Connection) -> None:
        """Whatever the reason: the connection is gone; its place is free once the server agrees."""
        if connection not in self.connections:
            return  # lost while it was being opened: `_connect` tells
        self.connections.discard(connection)
        bucket = self._idle.get(connection.profile)
        if bucket and connection in bucket:
            bucket.remove(connection)
            self._idle_by_flavour[connection.found_rows] -= 1
        self._end_use(connection)

        def freed() -> None:
            for token in connection.token:
                self._epochs.finish(token)
            connection.token.clear()
            self._freed()

        self.closer.lost(connection, freed)

    def take_places(self, count: int) -> None:
        """Something else has `count` connections to this MySQL, which count as this tablet's until `give_places`."""
        self.used += count
        self._foreign += count

    def keep_place(self, thread_id: int, incarnation: int) -> None:
        """The admin lane has given up a connection that MySQL may still have: it counts until it is gone."""
        self.used += 1
        self.closer.watch(thread_id, incarnation, self._freed)

    def give_places(self, count: int) -> None:
        self._foreign -= count
        for _ in range(count):
            self._freed()

    def _freed(self) -> None:
        self.used -= 1
        if self._making_room:
            self._making_room -= 1
        self.pump()

    def shrink(self, now_s: float) -> None:
        """Closes idle connections that are too old or unused for too long. Call it about once a second."""
        idle_s = self._config.idle_timeout_s
        for profile, bucket in list(self._idle.items()):
            for connection in list(bucket):
                if now_s >= connection.retire_s or now_s - connection.used_s >= idle_s:
                    bucket.remove(connection)
                    self._idle_by_flavour[connection.found_rows] -= 1
                    self.closer.close(connection)
            if not bucket:
                del self._idle[profile]

    def renew(self) -> None:
        """Closes every connection there is once it is idle: new ones know the database as it is now."""
        for connection in self.connections:
            connection.retire_s = 0.0
        self.shrink(self._now())
        self.pump()

    # -- refusals

    def refuse_all(self, error: SluiceError) -> None:
        """Nobody who waits will get a connection."""
        for waiter in self.queue.all():
            self.queue.remove(waiter)
            waiter.refused(error)  # type: ignore[attr-defined]

    def unavailable(self, reason: str = "") -> SluiceError:
        """The error for "not now"; `reason` defaults to what keeps MySQL away."""
        return self.refusals.unavailable(reason or self._stats.down_reason or "MySQL is not reachable")

    def _figures(self) -> Figures:
        refused = "" if self.connections else self._opener.last_refusal
        queue = self.queue
        return Figures(queue.waiting, self.in_use, self.held, self.hold_limit, queue.last_wait_s, refused)

    @property
    def idle(self) -> int:
        return self._idle_by_flavour[0] + self._idle_by_flavour[1]

    @property
    def in_use(self) -> int:
        """Lent, and the admin lane's one; those that something else has."""
        return len(self.connections) - self.idle + self._foreign + 1

    def failed_over(self, serving: bool) -> None:
        """MySQL went (`serving` False: nobody need wait any longer) or came back."""
        self.serving = serving
        if serving:
            self._opener.reset()
            for connection in self.connections:
                if connection.incarnation < self._admin.incarnation:
                    connection.retire_s = (
                        0.0  # of another server than the one behind now, or of its last life
                    )
            self.shrink(self._now())
            self.pump()
        else:
            self.refuse_all(self.unavailable())

    async def stop(self, timeout_s: float) -> None:
        """Closes everything and waits until the server has let go, `timeout_s` at most."""
        self.stopping = True
        for bucket in self._idle.values():
            for connection in bucket:
                self.closer.close(connection)
            bucket.clear()
        self._idle_by_flavour = [0, 0]
        for connection in list(self.connections):
            self.closer.close(connection)
        deadline_s = self._now() + timeout_s
        while self.used > self._foreign and self._now() < deadline_s and self._admin.up:  # noqa: ASYNC110
            await asyncio.sleep(0.005)
