"""The router worker's way to the tablets: one link a shard, requests out, answers to whoever waits.

Invariants:
- Every request gets exactly one end: a last `on_result` or one `on_fail`.
- A request is sent only on a link that has been welcomed by a tablet that takes work; while there is none it waits,
  bounded in number and time, and then fails with TABLET_UNAVAILABLE (nothing was executed). Where the tablet moves to
  another address meanwhile, the link goes there, and what waits with it.
- A tablet that drains gets no new work, but for the connections that it still holds for somebody (`open`).
- When a link is lost, what was in flight on it fails at once: CONNECTION_LOST, or retryable where the tablet
  cannot have begun. Nothing of an old link reaches the next incarnation of the tablet.
- Nobody forgets a held connection: an answer that carries a handle nobody waits for is answered with FREE.
"""

import logging
from collections.abc import Callable
from typing import Any, Final

from core.clock import Clock
from core.errors import CODES, SluiceError, fail
from core.rpc import messages as m
from core.rpc.dealer import Dealer
from core.rpc.messages import Record
from router.receivers import Nobody, PreparedReceiver, Receiver

WAIT_FOR_TABLET_S: Final = 5.0
"""How long a request waits for a tablet that is away (a restart, a fail-over)."""
MAX_WAITING: Final = 10_000
"""Requests that may wait for one absent tablet in one worker."""
MAX_FORM_SETTINGS: Final = 1024
"""Characters of settings; longer ones are said with each statement rather than kept by both sides."""
SILENCE_S: Final = 3.0
"""A tablet that has not answered a PING for that long counts as lost."""

log = logging.getLogger("router.gateway")

_RESULT: Final = m.RESULT
_RUN: Final = m.RUN
_I_LAST: Final = m.I_LAST
_DRAINING: Final = CODES["DRAINING"].number


def _execute(request: int, *fields: Any) -> tuple[Any, ...]:
    """`fields`: from the flags on."""
    return (m.EXECUTE, request, 0, *fields)


def _size(sql: bytes, extra: dict[str, Any] | None) -> int:
    return len(sql) + 128 + (len(extra.get("params", b"")) if extra is not None else 0)


class Link:
    """The one way from this worker to the tablet of one shard; survives the tablet's restarts."""

    __slots__ = (
        "_asked_s",
        "_connect",
        "_dealer",
        "_due_s",
        "_forms",
        "_next_id",
        "_nobody",
        "_now_s",
        "_up",
        "_waiting",
        "closed",
        "endpoint",
        "incarnation",
        "keyspace",
        "name",
        "on_server",
        "open",
        "pending",
        "ready",
        "reason",
        "server",
        "shard",
        "tablet_state",
    )

    def __init__(
        self,
        name: str,
        keyspace: str,
        shard: str,
        endpoint: str,
        connect: Callable[["Link"], Dealer],
        clock: Clock,
        on_server: Callable[["Link"], None],
    ) -> None:
        self.name = name
        """This worker's name, as HELLO says it."""
        self.keyspace = keyspace
        self.shard = shard
        self.endpoint = endpoint
        self.ready = False
        self.open = False
        """Ready, and not draining: takes new work."""
        self.closed = False
        """The shard left the topology: nothing is sent here any more."""
        self.reason = "not connected yet"
        self.server: dict[str, Any] = {}
        """What WELCOME said of the MySQL behind: version, flavour, session variables."""
        self.tablet_state = m.STARTING
        self.incarnation = 0
        """Counts the tablets met on this link: a handle belongs to one incarnation."""
        self.pending: dict[int, Receiver] = {}
        self.on_server = on_server
        self._connect = connect
        self._now_s = clock.now_s
        self._next_id = 0
        self._waiting: dict[int, tuple[float, tuple[Any, ...], int]] = {}
        """By request, the oldest first: since when, the record, its size."""
        self._forms: dict[tuple[int, str, str, tuple[str, ...] | None], int] = {}
        """What the tablet was told by FORM."""
        self._nobody = Nobody(self)
        self._up = False
        """Whether the transport below is connected."""
        self._asked_s = 0.0
        """When the first PING was sent that is not answered yet; 0.0: none."""
        self._due_s = self._now_s()
        """When the next tick should come."""
        self._dealer = connect(self)

    # ---- requests

    def execute(
        self,
        receiver: Receiver,
        flags: int,
        handle: int,
        user: str,
        settings: str,
        tables: tuple[str, ...] | None,
        sql: bytes,
        extra: dict[str, Any] | None,
    ) -> int:
        """Sends RUN or EXECUTE; returns the request's id for `cancel` and `credit`. Raises TABLET_UNAVAILABLE, or
        TRANSACTION_LOST for a handle, where it cannot even wait: then `receiver` hears nothing."""
        self._next_id = request = self._next_id + 1
        if self.open or (handle and self.ready):
            self.pending[request] = receiver
            params: bytes | None = None
            if extra is None or (len(extra) == 1 and (params := extra.get("params")) is not None):
                form = self._forms.get((flags, user, settings, tables))
                if form is None and len(settings) <= MAX_FORM_SETTINGS:
                    form = self._tell_form(flags, user, settings, tables)
                if form is not None:
                    size = len(sql) + 128 if params is None else len(sql) + len(params) + 128
                    self._dealer.send((_RUN, request, form, handle, sql, params), size)
                    return request
            record = _execute(request, flags, handle, user, settings, tables, sql, extra)
            self._dealer.send(record, _size(sql, extra))
        elif handle:
            raise fail("TRANSACTION_LOST", reason=f"tablet {self.keyspace}/{self.shard}: {self.reason}")
        else:
            record = _execute(request, flags, handle, user, settings, tables, sql, extra)
            self._wait(receiver, request, record, _size(sql, extra))
        return request

    def _tell_form(self, flags: int, user: str, settings: str, tables: tuple[str, ...] | None) -> int:
        """Gives a number to what many statements have alike. When all are in use, it begins anew."""
        forms = self._forms
        if len(forms) >= m.MAX_FORMS:
            forms.clear()
        number = len(forms)
        forms[flags, user, settings, tables] = number
        self._dealer.send((m.FORM, number, flags, user, settings, tables), len(settings) + 128)
        return number

    def prepare(
        self,
        receiver: "PreparedReceiver",
        user: str,
        settings: str,
        sql: bytes,
        database: str,
        handle: int = 0,
    ) -> int:
        """Sends PREPARE; the answer comes as `on_prepared` or `on_fail`. Raises TABLET_UNAVAILABLE."""
        self._next_id = request = self._next_id + 1
        record = (m.PREPARE, request, 0, user, settings, sql, database, handle)
        if self.open:
            self.pending[request] = receiver  # type: ignore[assignment]
            self._dealer.send(record, len(sql) + 128)
        else:
            self._wait(receiver, request, record, len(sql) + 128)  # type: ignore[arg-type]
        return request

    def cancel(self, request: int) -> None:
        """Asks the tablet to end `request`; its answer still comes. One that waits for a tablet ends here."""
        if self._waiting.pop(request, None) is not None:
            self._report(self.pending.pop(request), fail("KILLED"))
        elif request in self.pending:
            self._dealer.send((m.CANCEL, request))

    def abandon(self, request: int) -> None:
        """Cancels `request` and drops its answer; a handle that it brings is freed."""
        if self._waiting.pop(request, None) is not None:
            del self.pending[request]
        elif request in self.pending:
            self.pending[request] = self._nobody
            self._dealer.send((m.CANCEL, request))

    def credit(self, request: int, size_bytes: int) -> None:
        """Tells the tablet that the client took that much of the answer."""
        if self.ready:
            self._dealer.send((m.CREDIT, request, size_bytes))

    def send_file(self, request: int, data: bytes) -> None:
        """A piece of the file that `request` asked for; an empty one is its end."""
        if self.ready:
            self._dealer.send((m.FILE, request, data), len(data) + 32)

    def free(self, handle: int) -> None:
        """Rolls back and gives back what `handle` holds."""
        if self.ready:  # else the tablet that knew it frees it by itself
            self._dealer.send((m.FREE, handle))

    def _wait(self, receiver: Receiver, request: int, record: tuple[Any, ...], size: int) -> None:
        if self.closed or len(self._waiting) >= MAX_WAITING:
            raise self._unavailable(0)
        self.pending[request] = receiver
        self._waiting[request] = (self._now_s(), record, size)

    def _unavailable(self, waited_s: float) -> SluiceError:
        return fail(
            "TABLET_UNAVAILABLE",
            keyspace=self.keyspace,
            shard=self.shard,
            reason=self.reason,
            waited_ms=int(waited_s * 1000),
        )

    # ---- answers

    def on_record(self, record: Record) -> None:
        """Takes one record of the tablet."""
        if record[0] == _RESULT:
            info = record[2]
            receiver = self.pending.pop(record[1], None) if info & _I_LAST else self.pending.get(record[1])
            if receiver is None:
                return
            try:
                if len(record) > 4:
                    receiver.on_result(info, record[3], record[4], record[5])
                else:
                    receiver.on_result(info, record[3], 0, 0)
            except Exception as error:
                self._broken(record, receiver, error)
            return
        self._other_record(record)

    def _broken(self, record: Record, receiver: Receiver, error: Exception) -> None:
        """A receiver could not take an answer: it gets an end all the same, and the tablet is told to stop."""
        log.exception("an answer of %s/%s could not be taken", self.keyspace, self.shard)
        if not record[2] & _I_LAST:
            self.abandon(record[1])
        elif len(record) > 4 and record[4]:
            self.free(record[4])
        self._report(receiver, fail("UNKNOWN_ERROR", message=f"Internal error: {error!r}"))

    def _other_record(self, record: Record) -> None:
        kind = record[0]
        self._asked_s = 0.0
        if kind == m.FAIL:
            receiver = self.pending.pop(record[1], None)
            if record[2] == _DRAINING:  # its word on that may still be on the way
                self._note_state(m.DRAINING)
            if receiver is not None:
                receiver.on_fail(record[2], record[3], record[4], record[5])
        elif kind == m.PREPARED:
            asker: Any = self.pending.pop(record[1], None)
            if asker is not None and asker is not self._nobody:
                asker.on_prepared(record[2], record[3], record[4])
        elif kind == m.TAKEN:
            taker: Any = self.pending.get(record[1])
            if taker is not None and taker is not self._nobody:
                taker.on_taken(record[2])
        elif kind == m.PONG:
            self._note_state(record[3])
        elif kind == m.STATE:
            self._note_state(record[1])
        elif kind == m.WELCOME:
            self._welcomed(record)
        elif kind == m.REFUSED:
            reason = f"the tablet refused this router: {record[1]}"
            if self.ready:  # it has forgotten us (we were silent too long) and everything we asked and held
                self._dealer.close()
                self.on_down(reason)
            else:
                self.reason = reason

    def _welcomed(self, record: Record) -> None:
        _, version, _alias, keyspace, shard, _type, _clock_ms, server, state = record
        if version != m.VERSION or keyspace != self.keyspace or shard != self.shard:
            self.reason = f"{self.endpoint} is tablet {keyspace}/{shard}, protocol {version}"
            return
        self.server = server
        self.ready = True
        self.incarnation += 1
        self._note_state(state)
        self.on_server(self)

    def _note_state(self, state: str) -> None:
        """What the tablet says of itself. Where it takes work, it gets what has waited for it."""
        self.tablet_state = state
        self.open = self.ready and state != m.DRAINING
        if self.open and self._waiting:
            waiting, self._waiting = self._waiting, {}
            for _, message, size in waiting.values():
                self._dealer.send(message, size)
        elif not self.open and self.ready:
            self.reason = "it is draining"

    # ---- the link's own life

    def on_up(self) -> None:
        self._up = True
        self._asked_s = 0.0
        self._forms.clear()
        self._dealer.send((m.HELLO, m.VERSION, self.name))

    def on_down(self, reason: str) -> None:
        """The transport was lost: fails what was in flight and starts over with a new one."""
        self.ready = self.open = False
        self.reason = reason
        self._up = False
        self._asked_s = 0.0
        self._forms.clear()
        lost = {
            request: receiver for request, receiver in self.pending.items() if request not in self._waiting
        }
        self.pending = {request: self.pending[request] for request in self._waiting}
        self._dealer = self._connect(self)
        for receiver in lost.values():
            self._report(receiver, fail("CONNECTION_LOST", keyspace=self.keyspace, shard=self.shard))

    def move(self, endpoint: str) -> None:
        """The shard's tablet is at another address now: what waits goes there, what is in flight is lost."""
        self.endpoint = endpoint
        self._dealer.close()
        self.on_down("the shard's tablet has moved")

    def tick(self, next_s: float = 1.0) -> None:
        """Heartbeat, silence, requests that waited too long for a tablet. At least once a second while requests are
        under way; the next call comes in `next_s` at the latest, as the tablet is told."""
        now = self._now_s()
        for request, (since, _, _) in list(self._waiting.items()):
            if now - since < WAIT_FOR_TABLET_S:
                break
            if self._waiting.pop(request, None) is not None:
                self._report(self.pending.pop(request), self._unavailable(now - since))
        if self._asked_s and now - self._due_s > SILENCE_S / 2:
            self._asked_s = now  # it was us who did not listen
        self._due_s = now + next_s
        if self.ready and self._asked_s and now - self._asked_s > SILENCE_S:
            self._dealer.close()
            self.on_down(f"nothing heard from the tablet for {SILENCE_S:.0f} s")
        elif self._up:
            self._asked_s = self._asked_s or now
            self._dealer.send((m.PING, int(now * 1000), int(next_s * 1000)))

    def waiting_count(self) -> int:
        return len(self._waiting)

    def close(self, reason: str) -> None:
        """The shard left the topology: everything that waits fails."""
        self.ready = self.open = False
        self.closed = True
        self.reason = reason
        self._dealer.close()
        pending, self.pending = self.pending, {}
        waiting, self._waiting = self._waiting, {}
        for request, receiver in pending.items():
            if request in waiting:
                self._report(receiver, self._unavailable(self._now_s() - waiting[request][0]))
            else:
                self._report(receiver, fail("CONNECTION_LOST", keyspace=self.keyspace, shard=self.shard))

    def _report(self, receiver: Receiver, error: SluiceError) -> None:
        """Ends a request. What one receiver makes of it must not keep the others from hearing."""
        try:
            receiver.on_fail(error.number, error.sqlstate, error.message, 0)
        except Exception:
            log.exception("the end of a request to %s/%s could not be told", self.keyspace, self.shard)
