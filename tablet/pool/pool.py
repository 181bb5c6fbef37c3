"""The connections to one MySQL: opened, lent, taken back, closed; decisions come from `plan` and `admission`.

Invariants
- An idle connection is in its base state plus exactly the settings of its profile, in no transaction, with no
  command under way. Whatever is not so is reset first, or closed.
- A waiter is served whenever an idle connection and its lane allow it; a borrower gives back exactly once.
"""

from typing import Any

from tablet.backend.connection import Connection, Profile
from tablet.pool import plan
from tablet.pool.admission import FOUND_ROWS, HOLD, PLAIN, Refusal
from tablet.pool.affinity import cheapest_to_change, fit_of
from tablet.pool.cleaning import clean
from tablet.pool.places import LANES_FULL, Places
from tablet.pool.plan import Act, View


class Pool(Places):
    """One a tablet."""

    # -- lending

    def take(self, borrower: Any) -> Connection | None:
        """A connection at once, or None: then `granted(connection)` or `refused(error)` of the borrower (a Waiter
        with a `profile`) follows. SluiceError: refused now. Give it back with `release` or `discard`.

        The connection may have another profile, see `tablet/pool/setup.py`.
        """
        bucket = self._idle.get(borrower.profile)
        if bucket and self.serving and (not borrower.lane & HOLD or self.held < self.hold_limit):
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
            raise self.refusals.draining()
        if not self.serving:
            raise self.unavailable()
        now_s = self._now()
        idle = self._idle_by_flavour
        if self.used >= self.capacity and not idle[0] and not idle[1]:
            act = Act.WAIT
        elif not borrower.lane & HOLD or self.held < self.hold_limit:
            act = plan.choose(self._view(borrower, now_s))
            if act is Act.CHANGE and self.queue.refusal(borrower.user, now_s) is None:
                # Others that came in the same turn of the loop may want what would be taken from them now.
                act = Act.WAIT
                self._again.after_turn()
            if act in (Act.USE_CLEAN, Act.CHANGE):
                return self._lend(self._pick(borrower, act), borrower)
            if act is Act.REPLACE:
                self._close_idle_of(not borrower.profile[2])
        else:
            act = Act.WAIT
        refusal = self.queue.refusal(borrower.user, now_s)
        if refusal is not None:
            raise self.refusals.at_the_door(refusal, self._figures())
        borrower.queued_s = now_s
        self.queue.add(borrower)
        crowded_out: Any = self.queue.crowded_out()
        if crowded_out is not None:
            crowded_out.refused(self.refusals.at_the_door(Refusal.FULL, self._figures()))
        if act is Act.OPEN:
            self._open(borrower.profile[2])
        return None

    def _view(self, borrower: Any, now_s: float) -> View:
        flavour = int(borrower.profile[2])
        exact = len(self._idle.get(borrower.profile, ()))
        clean = len(self._idle.get(("", self.database, borrower.profile[2]), ()))
        other = self._idle_by_flavour[flavour] - exact - clean
        free = max(self.capacity - self.used, 0)  # less than none: what an earlier tablet has left
        opening = sum(self._opener.in_flight)
        may_open = self._opener.may_open(now_s)
        wrong = self._idle_by_flavour[1 - flavour]
        return View(exact, clean, other, wrong, free, opening, self.queue.waiting, may_open)

    def _pick(self, borrower: Any, act: Act) -> Connection:
        """An idle connection of the right flavour: clean, or the one that is cheapest to change."""
        wanted: Profile = borrower.profile
        if act is Act.USE_CLEAN:
            self._stats.settings_clean += 1
            return self._idle[("", self.database, wanted[2])].pop()
        self._stats.settings_changes += 1
        return cheapest_to_change(self._idle, wanted, self._random).pop(0)

    # -- giving back
    def release(self, connection: Connection) -> None:
        """Takes back a connection without a command under way; it is reset first where it must be."""
        if connection.dirty or connection.verify or connection.closing:
            self._release_unsure(connection)
            return
        now_s = connection.used_s = self._now()
        ends = now_s >= connection.retire_s or self.stopping
        if self.queue.waiting and not ends and self._hand_on(connection, now_s):
            return
        self._end_use(connection)
        if ends:
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

    def _hand_on(self, connection: Connection, now_s: float) -> bool:
        """Lends a connection that has just come back where there is nothing to weigh: the next waiter wants its
        profile, and nobody waits for the other flavour."""
        queue = self.queue
        by_lane = queue.by_lane
        flavour = FOUND_ROWS if connection.found_rows else PLAIN
        if by_lane[1 - flavour] or by_lane[(1 - flavour) | HOLD]:
            return False
        if queue.contended or connection.held:
            self._end_use(connection)
        lanes = self._lanes(flavour) if by_lane[flavour | HOLD] else LANES_FULL[flavour]
        first = queue.next(lanes, now_s)
        waiter: Any = None if first is None else queue.alike(first, connection.profile, now_s)
        if waiter is None:
            return False
        queue.serve(waiter, now_s)
        stats = self._stats
        stats.queue_wait.add(now_s - waiter.queued_s)
        stats.settings_hits += 1
        user = waiter.user
        if connection.user != user:
            if connection.user is not None:
                queue.ended(connection.user)
            connection.user = user
            queue.started(user)
        connection.statement = waiter
        if waiter.lane & HOLD:
            connection.held = True
            self.held += 1
        waiter.granted(connection)
        if queue.waiting and self.used < self.capacity:
            self._open_missing()
        return True

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
        else:
            clean(connection, self.database, self._cleaned)

    def _cleaned(self, connection: Connection, fit: bool) -> None:
        if fit:
            self.release(connection)
        else:
            self.discard(connection)

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
        wanted = (
            sum(queue.by_lane[lane] for lane in others)
            - self._opener.in_flight[1 - flavour]
            - self._making_room
        )
        short = wanted > 0 and self.used >= self.capacity and not self._idle_by_flavour[1 - flavour]
        if short and plan.convert(queue.oldest_s(lanes), queue.oldest_s(others)):
            self._making_room += 1
            return self._close_idle_of(bool(flavour))
        waiter: Any = queue.take(lanes, now_s, fit_of(self._idle, self.connections))
        if waiter is None:
            if any(queue.by_lane[lane] for lane in lanes):
                self._again.soon()  # it waits for a connection with the right settings: not for long
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

    # -- time

    def sweep(self, now_s: float) -> None:
        """Expires waiters, ages and shrinks idle connections. Call it each 50 to 100 ms."""
        for waiter in self.queue.expired(now_s):
            waiter.refused(self.refusals.timed_out(waiter, now_s, self._figures()))  # type: ignore[attr-defined]
        if self.queue.waiting:
            self.pump()
        self.closer.sweep(now_s)
