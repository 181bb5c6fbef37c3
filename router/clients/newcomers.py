"""Newcomers of a storm of logins: looked at in rounds, until each has asked its first statement.

    accept -> greeting | a round later: login -> OK | a round later: first statement | into the set of sockets

A newcomer's descriptor is not in the worker's epoll set: nobody is woken by it. What it has sent meanwhile is read in
the next round, with that of the others; one that has nothing to say for TRIES rounds goes into the set, and wakes the
worker as anybody does.

Invariants:
- A newcomer is in the rounds or in the set of sockets; `end` puts all into the set.
- The oldest is looked at first. NEWCOMERS_A_TURN are, in one turn of the loop, so that running queries come between.
- A round ends with accepting; the next begins when this one is through and its time has passed.
"""

import os
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from router.clients.parked import Parked
from router.clients.sockets import FIRST_READ_BYTES, more_of

if TYPE_CHECKING:
    from router.clients.arrival import Arrival
    from router.workers.listener import Listener
    from router.workers.worker import Worker

NEWCOMERS_A_TURN: Final = 32
TRIES: Final = 8


class Newcomers:
    """See the module."""

    def __init__(self, worker: "Worker", listener: "Listener") -> None:
        self._worker = worker
        self._listener = listener
        self._line: deque[tuple[int, Arrival | Parked, int]] = deque()
        """Descriptor, who stands for it, and how often it had nothing to say."""
        self._left = 0
        """Of this round, still to be looked at."""
        self._next: Any = None
        self.on = False
        """Whether rounds are held."""

    def begin(self) -> None:
        """The storm is on; the first round comes after the usual time."""
        if not self.on:
            self.on = True
            self._plan()

    def end(self) -> None:
        """No more rounds: who is in them goes into the set of sockets."""
        if self.on:
            self.on = False
            self._next.cancel()
            line, self._line = self._line, deque()
            sockets = self._worker.sockets
            for fd, client, _ in line:
                if sockets.owner(fd) is client:
                    self._watch(fd, client)

    def join(self, fd: int, client: "Arrival | Parked") -> None:
        """From the next round on; only while `on`. `client` is the owner of `fd`."""
        self._line.append((fd, client, 0))

    def _plan(self) -> None:
        self._next = self._worker.loop.call_later(self._worker.storm.round_s, self._begin_round)

    def _begin_round(self) -> None:
        self._worker.stir()
        self._left = len(self._line)
        self._go_on()

    def _go_on(self) -> None:
        for _ in range(min(self._left, NEWCOMERS_A_TURN)):
            fd, client, tries = self._line.popleft()
            self._look_at(fd, client, tries)
        if not self.on:  # ended by one of them
            return
        self._left = max(0, self._left - NEWCOMERS_A_TURN)
        if self._left or self._listener.accept_some():
            self._next = self._worker.loop.call_later(0, self._go_on)
        elif self._worker.storm.look(self._worker.stats.connections_total):
            self._plan()
        else:
            self.end()
            self._listener.open()

    def _look_at(self, fd: int, client: "Arrival | Parked", tries: int) -> None:
        sockets = self._worker.sockets
        if sockets.owner(fd) is not client:  # closed meanwhile
            return
        try:
            data = os.read(fd, FIRST_READ_BYTES)
            if len(data) == FIRST_READ_BYTES:
                data += more_of(fd)
        except BlockingIOError:
            if tries < TRIES:
                self._line.append((fd, client, tries + 1))
            else:
                self._watch(fd, client)
            return
        except OSError:
            data = b""
        try:
            if data and isinstance(client, Parked):
                sockets.register(fd)
                client.asked_first(data)
            else:
                client.received(data)
        except Exception:
            self._worker.log.exception("a newcomer's data could not be handled; it is disconnected")
            client.abort("internal error")

    def _watch(self, fd: int, client: "Arrival | Parked") -> None:
        """It is in the set of sockets from now on."""
        self._worker.sockets.register(fd)
        if not isinstance(client, Parked):
            client.rounds = None
