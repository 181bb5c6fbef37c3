"""The connections to one MySQL: opened, lent, taken back, closed; decisions come from `pool_plan` and `admission`.

Invariants
- `used` (open, being opened, being closed until the server has let go) never exceeds `capacity`, which is pool_size
  minus the admin lane's one.
- An idle connection is in its base state plus exactly the settings of its profile, in no transaction, with no
  command under way. Whatever is not so is reset first, or closed.
- A waiter is served whenever an idle connection and its lane allow it; a borrower gives back exactly once.
"""

import asyncio
import random
from collections.abc import Callable
from typing import Any, Final

from core.clock import Clock
from core.config import Dsn
from core.config import Tablet as TabletConfig
from core.errors import SluiceError, fail
from tablet import pool_plan
from tablet.admin import AdminLane
from tablet.admission import FOUND_ROWS, HOLD, PLAIN, Limits, Queue, Refusal, Waiter
from tablet.backend import BASE_STATE_SQL, Command, ConnectFailed, Connection, Profile, open_connection
from tablet.closing import Closer
from tablet.epochs import Epochs
from tablet.pool_plan import Act, View
from tablet.stats import Stats
from wire.constants import COM_PING, COM_RESET_CONNECTION, SERVER_STATUS_IN_TRANS

BACKOFF_S: Final = (0.05, 0.1, 0.2, 0.4, 0.8)
"""Pauses after refused connects, one after the other; the last one stays."""

_LANES: Final = ((PLAIN, HOLD), (FOUND_ROWS, HOLD | FOUND_ROWS))
_LANES_FULL: Final = ((PLAIN,), (FOUND_ROWS,))


class Borrower(Waiter):
    """A statement that wants a connection."""

    profile: Profile

    def granted(self, connection: Connection) -> None:
        """It is yours now; give it back with `release` or `discard`."""

    def refused(self, error: SluiceError) -> None:
        """You will not get one."""


class Pool:
    """One a tablet."""

    def __init__(
        self,
        loop: asyncio.AbstractEventLoop,
        clock: Clock,
        config: TabletConfig,
        dsn: Dsn,
        database: str,
        where: dict[str, str],
        admin: AdminLane,
        epochs: Epochs,
        stats: Stats,
    ) -> None:
        self._loop = loop
        self._clock = clock
        self._now: Callable[[], float] = clock.now_s
        self._config = config
        self._dsn = dsn
        self._where = where
        self._admin = admin
        self._epochs = epochs
        self._stats = stats
        self._random = random.Random(dsn.socket or dsn.host)
        self._idle: dict[Profile, list[Connection]] = {}
        self._idle_by_flavour = [0, 0]
        self._opening = [0, 0]
        self._opens: set[asyncio.Task[None]] = set()
        self._making_room = 0  # connections closed for the sake of the other flavour
        self._failures = 0
        self._may_open_at_s = 0.0
        self._last_refusal = ""
        self.database = database
        self.serving = False
        """MySQL is up as far as the admin lane knows."""
        self.stopping = False
        self.capacity = config.pool_size - 1
        self.hold_limit = pool_plan.hold_limit(config.pool_size, config.reserved_share)
        self.held = 0
        self.used = 0
        self.connections: set[Connection] = set()
        self.closer = Closer(loop, clock, admin)
        queue_timeout_s = config.queue_timeout_ms / 1000
        self.queue = Queue(
            Limits(config.queue_size, target_s=queue_timeout_s / 2, interval_s=queue_timeout_s / 4)
        )

    # -- lending

    def take(self, borrower: Any) -> Connection | None:
        """A connection at once, or None: then `granted` or `refused` follows. SluiceError: refused now.

        The connection may have another profile, see `tablet/setup.py`.
        """
        bucket = self._idle.get(borrower.profile)
        if bucket and (not borrower.lane & HOLD or self.held < self.hold_limit):
            self._stats.settings_hits += 1
            return self._lend(bucket.pop(), borrower)
        return self._take_slowly(borrower)

    def _lend(self, connection: Connection, borrower: Any) -> Connection:
        self._idle_by_flavour[connection.found_rows] -= 1
        user = borrower.user
        connection.user = user
        connection.statement = borrower
        self.queue.started(user)
        if borrower.lane & HOLD:
            connection.held = True
            self.held += 1
        return connection

    def _take_slowly(self, borrower: Any) -> Connection | None:
        if self.stopping:
            raise fail(
                "DRAINING", what=f"the tablet of {self._where['keyspace']}/{self._where['shard']} stops"
            )
        if not self.serving:
            raise self.unavailable(0)
        now_s = self._now()
        if not borrower.lane & HOLD or self.held < self.hold_limit:
            act = pool_plan.choose(self._view(borrower, now_s))
            if act in (Act.USE_CLEAN, Act.CHANGE):
                return self._lend(self._pick(borrower, act), borrower)
            if act is Act.REPLACE:
                self._close_idle_of(not borrower.profile[2])
        else:
            act = Act.WAIT
        refusal = self.queue.refusal(now_s)
        if refusal is not None:
            raise self._refused(refusal, now_s)
        borrower.queued_s = now_s
        self.queue.add(borrower)
        if act is Act.OPEN:
            self._open(borrower.profile[2])
        return None

    def _view(self, borrower: Any, now_s: float) -> View:
        flavour = int(borrower.profile[2])
        exact = len(self._idle.get(borrower.profile, ()))
        clean = len(self._idle.get(("", self.database, borrower.profile[2]), ()))
        return View(
            exact=exact,
            clean=clean,
            other=self._idle_by_flavour[flavour] - exact - clean,
            wrong_flavour=self._idle_by_flavour[1 - flavour],
            free_slots=self.capacity - self.used,
            opening=sum(self._opening),
            waiting=self.queue.waiting,
            may_open=now_s >= self._may_open_at_s,
        )

    def _pick(self, borrower: Any, act: Act) -> Connection:
        """An idle connection of the right flavour: clean, or the one that is cheapest to change."""
        wanted: Profile = borrower.profile
        if act is Act.USE_CLEAN:
            self._stats.settings_clean += 1
            return self._idle[("", self.database, wanted[2])].pop()
        self._stats.settings_changes += 1
        best: list[Connection] | None = None
        for profile, bucket in self._idle.items():
            if bucket and profile[2] == wanted[2]:
                if profile[0] == wanted[0]:
                    return bucket.pop(0)  # only the database differs
                if best is None or bucket[0].used_s < best[0].used_s:
                    best = bucket
        assert best is not None
        return best.pop(0)

    # -- giving back

    def release(self, connection: Connection) -> None:
        """Takes back a connection without a command under way; it is reset first where it must be."""
        if connection.dirty or connection.verify or connection.closing:
            self._release_unsure(connection)
            return
        self._end_use(connection)
        now_s = connection.used_s = self._now()
        if now_s >= connection.retire_s or self.stopping:
            self.closer.close(connection)
            return
        profile = connection.profile
        bucket = self._idle.get(profile)
        if bucket is None:
            bucket = self._idle[profile] = []
        bucket.append(connection)
        self._idle_by_flavour[connection.found_rows] += 1
        if self.queue.waiting:
            self.pump()

    def _end_use(self, connection: Connection) -> None:
        user = connection.user
        connection.statement = None
        if user is not None:
            connection.user = None
            self.queue.ended(user)
        if connection.held:
            connection.held = False
            self.held -= 1

    def discard(self, connection: Connection) -> None:
        """Takes back a connection that must not be used again, whatever it is doing."""
        connection.closing = True
        if not connection.is_lost:
            self.closer.close(connection)
        self._end_use(connection)
        self.pump()

    def _release_unsure(self, connection: Connection) -> None:
        if connection.is_lost or connection.closing or connection.task is not None or self.stopping:
            self.discard(connection)
        elif connection.dirty:
            self._reset(connection)
        else:
            connection.command(bytes((COM_PING,)), lambda command: self._verified(connection, command))

    def _verified(self, connection: Connection, command: Command) -> None:
        if not command.ok:
            self.discard(connection)
            return
        connection.verify = False
        connection.dirty = bool(command.scanner.status_flags & SERVER_STATUS_IN_TRANS)
        self.release(connection)

    def _reset(self, connection: Connection) -> None:
        """COM_RESET_CONNECTION rolls back, drops temporary tables, locks, variables and prepared statements."""

        def based(command: Command) -> None:
            if not command.ok:
                self.discard(connection)
                return
            connection.dirty = connection.verify = False
            self.release(connection)

        def reset(command: Command) -> None:
            if not command.ok:
                self.discard(connection)
                return
            connection.prepared.clear()
            connection.settings = ""
            connection.database = self.database
            connection.profile = ("", self.database, connection.found_rows)
            base = f"{BASE_STATE_SQL}".encode()
            connection.command(b"\x02" + self.database.encode(), lambda c: use(c, base))

        def use(command: Command, base: bytes) -> None:
            if not command.ok:
                self.discard(connection)
                return
            connection.command(b"\x03" + base, based)

        connection.command(bytes((COM_RESET_CONNECTION,)), reset)

    # -- serving those who wait

    def pump(self) -> None:
        """Lends idle connections to waiters, and opens what is missing. Call it after anything changed."""
        queue = self.queue
        while queue.waiting and not self.stopping:
            now_s = self._now()
            if not (self._serve(0, now_s) or self._serve(1, now_s)):
                break
        if queue.waiting:
            self._open_missing()

    def _serve(self, flavour: int, now_s: float) -> bool:
        if not self._idle_by_flavour[flavour]:
            return False
        queue = self.queue
        lanes = self._lanes(flavour)
        others = self._lanes(1 - flavour)
        wanted = sum(queue.by_lane[lane] for lane in others) - self._opening[1 - flavour] - self._making_room
        if wanted > 0 and self.used >= self.capacity and not self._idle_by_flavour[1 - flavour]:
            if pool_plan.convert(queue.oldest_s(lanes), queue.oldest_s(others)):
                self._making_room += 1
                return self._close_idle_of(bool(flavour))
        waiter: Any = queue.take(lanes, now_s)
        if waiter is None:
            return False
        self._stats.queue_wait.add(now_s - waiter.queued_s)
        if self._idle.get(waiter.profile):
            self._stats.settings_hits += 1
            connection = self._idle[waiter.profile].pop()
        elif self._idle.get(("", self.database, waiter.profile[2])):
            connection = self._pick(waiter, Act.USE_CLEAN)
        else:
            connection = self._pick(waiter, Act.CHANGE)
        waiter.granted(self._lend(connection, waiter))
        return True

    def _lanes(self, flavour: int) -> tuple[int, ...]:
        return _LANES[flavour] if self.held < self.hold_limit else _LANES_FULL[flavour]

    def _close_idle_of(self, found_rows: bool) -> bool:
        """Closes the least recently used idle connection of that flavour."""
        buckets = [b for profile, b in self._idle.items() if b and profile[2] == found_rows]
        if not buckets:
            return False
        bucket = min(buckets, key=lambda b: b[0].used_s)
        self._idle_by_flavour[found_rows] -= 1
        self.closer.close(bucket.pop(0))
        return True

    # -- opening and closing

    def _open_missing(self) -> None:
        if not self.serving or self.stopping or self._now() < self._may_open_at_s:
            return
        by_lane = self.queue.by_lane
        while self.used < self.capacity:
            due = [
                flavour
                for flavour in (0, 1)
                if sum(by_lane[lane] for lane in self._lanes(flavour)) > self._opening[flavour]
            ]
            if not due:
                return
            if len(due) == 2:  # whoever waits longest says of which flavour
                due.sort(key=lambda flavour: self.queue.oldest_s(self._lanes(flavour)) or 0.0)
            self._open(bool(due[0]))

    def _open(self, found_rows: bool) -> None:
        if self.used >= self.capacity:
            return
        self.used += 1
        self._opening[found_rows] += 1
        task = self._loop.create_task(self._connect(found_rows))
        self._opens.add(task)
        task.add_done_callback(self._opens.discard)

    async def _connect(self, found_rows: bool) -> None:
        incarnation = self._admin.incarnation
        try:
            connection = await open_connection(self._dsn, self.database, found_rows, self._lost)
        except ConnectFailed as error:
            self._opening[found_rows] -= 1
            self.closer.watch(error.thread_id, incarnation, self._freed)
            self._open_failed(error)
            return
        self._opening[found_rows] -= 1
        now_s = self._now()
        connection.incarnation = incarnation
        connection.born_s = connection.used_s = now_s
        connection.retire_s = now_s + pool_plan.lifetime_s(self._config.max_lifetime_s, self._random.random())
        self.connections.add(connection)
        self._failures = 0
        self._stats.opens += 1
        if connection.is_lost:
            self._lost(connection)
        else:
            self.release(connection)

    def _open_failed(self, error: ConnectFailed) -> None:
        pause_s = BACKOFF_S[min(self._failures, len(BACKOFF_S) - 1)]
        self._failures += 1
        self._may_open_at_s = self._now() + pause_s
        self._last_refusal = f"{error.reason} ({error.number})"
        self._stats.note_error(error.number, f"connect: {error.reason}")
        if self._failures < len(BACKOFF_S) or self.connections:
            self._loop.call_later(pause_s, self.pump)
            return
        self.refuse_all(fail("BACKEND_REFUSED", reason=self._last_refusal, **self._where))

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

    def _freed(self) -> None:
        self.used -= 1
        if self._making_room:
            self._making_room -= 1
        self.pump()

    # -- time

    def sweep(self, now_s: float) -> None:
        """Expires waiters, ages and shrinks idle connections. Call it each 50 to 100 ms."""
        for waiter in self.queue.expired(now_s):
            waiter.refused(self._timed_out(waiter, now_s))  # type: ignore[attr-defined]
        if self.queue.waiting:
            self.pump()
        self.closer.sweep(now_s)

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

    # -- refusals

    def refuse_all(self, error: SluiceError) -> None:
        """Nobody who waits will get a connection."""
        for waiter in self.queue.all():
            self.queue.remove(waiter)
            waiter.refused(error)  # type: ignore[attr-defined]

    def unavailable(self, waited_ms: int, reason: str = "") -> SluiceError:
        reason = reason or self._stats.down_reason or "MySQL is not reachable"
        return fail("TABLET_UNAVAILABLE", reason=reason, waited_ms=waited_ms, **self._where)

    def _refused(self, refusal: Refusal, now_s: float) -> SluiceError:
        if refusal is Refusal.FULL:
            return fail(
                "QUEUE_FULL",
                waiting=self.queue.waiting,
                limit=self._config.queue_size,
                in_use=self.in_use,
                pool_size=self._config.pool_size,
                **self._where,
            )
        return fail(
            "OVERLOADED",
            waited_ms=int(self.queue.last_wait_s * 1000),
            target_ms=self._config.queue_timeout_ms // 2,
            waiting=self.queue.waiting,
            **self._where,
        )

    def _timed_out(self, waiter: Waiter, now_s: float) -> SluiceError:
        waited_ms = int((now_s - waiter.queued_s) * 1000)
        if waiter.lane & HOLD and self.held >= self.hold_limit:
            return fail(
                "RESERVED_FULL", held=self.held, limit=self.hold_limit, waited_ms=waited_ms, **self._where
            )
        if self._last_refusal and not self.connections:
            return fail("BACKEND_REFUSED", reason=self._last_refusal, **self._where)
        return fail(
            "QUEUE_TIMEOUT",
            waited_ms=waited_ms,
            waiting=self.queue.waiting + 1,
            in_use=self.in_use,
            pool_size=self._config.pool_size,
            limit_ms=self._config.queue_timeout_ms,
            **self._where,
        )

    @property
    def idle(self) -> int:
        return self._idle_by_flavour[0] + self._idle_by_flavour[1]

    @property
    def in_use(self) -> int:
        """Lent, and the admin lane's one."""
        return len(self.connections) - self.idle + 1

    def failed_over(self, serving: bool) -> None:
        """MySQL went (`serving` False: nobody need wait any longer) or came back."""
        self.serving = serving
        if serving:
            self._failures = 0
            self._may_open_at_s = 0.0
            self._last_refusal = ""
            self.pump()
        else:
            self.refuse_all(self.unavailable(0))

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
        while self.used and self._now() < deadline_s and self._admin.up:
            await asyncio.sleep(0.005)
