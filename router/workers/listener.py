"""Accepting clients, bounded: at most `max_half_open` logins in flight, the rest wait in the kernel's backlog.

calm     whenever the listening socket is readable, ACCEPTS_A_TURN at most in a turn of the loop
storm    in rounds (`router.clients.newcomers`), as many in a turn
"""

import contextlib
import os
import socket
import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from router.clients.arrival import Arrival
from router.clients.newcomers import Newcomers
from router.workers.draining import refusal
from wire.answers import err_packet

if TYPE_CHECKING:
    from router.workers.worker import Worker

ACCEPTS_A_TURN: Final = 32
"""Accepted in one turn of the loop, so that a storm of logins does not starve running queries."""
FAILED_PAUSE_S: Final = 0.1


class Listener:
    """The worker's listening socket on its loop."""

    def __init__(self, worker: "Worker", sock: socket.socket) -> None:
        self._worker = worker
        self._sock = sock
        self._watched = False
        self._closed = False
        self.newcomers = Newcomers(worker, self)
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it accepts inherits that

    def open(self) -> None:
        """Starts (or goes on) accepting."""
        if not self._watched and not self._closed and not self.newcomers.on:
            self._watched = True
            self._worker.loop.add_reader(self._sock.fileno(), self._acceptable)

    def pause(self) -> None:
        if self._watched:
            self._watched = False
            self._worker.loop.remove_reader(self._sock.fileno())

    def close(self) -> None:
        """Accepts no more; connections in the backlog stay there for the next worker of this slot."""
        self.pause()
        self._closed = True
        self.newcomers.end()

    def _acceptable(self) -> None:
        worker = self._worker
        worker.stir()
        self.accept_some()
        if worker.storm.look(worker.stats.connections_total) and not self._closed:
            self.pause()
            self.newcomers.begin()

    def accept_some(self) -> bool:
        """Accepts ACCEPTS_A_TURN at most. Whether there may be more that can be taken now."""
        worker = self._worker
        rounds = self.newcomers if self.newcomers.on else None
        accept: Callable[[], tuple[int, Any]] = self._sock._accept  # type: ignore[attr-defined]  # no object around it
        most = worker.boot.config.router.max_half_open
        for _ in range(ACCEPTS_A_TURN):
            if len(worker.half_open) >= most:
                self.pause()
                return False
            try:
                fd, address = accept()
            except (BlockingIOError, InterruptedError):
                return False
            except OSError as error:
                worker.log.warning("accept failed: %s", error)
                worker.loop.call_later(FAILED_PAUSE_S, self.open)
                self.pause()
                return False
            os.set_blocking(fd, False)
            if worker.drain.active:
                _turn_away(fd)
            else:
                Arrival(worker, fd, sys.intern(address[0]), rounds)
        return True


def _turn_away(fd: int) -> None:
    """Tells a client 1053 in the place of a greeting."""
    error = refusal()
    with contextlib.suppress(OSError):  # an empty socket takes it whole
        os.write(fd, err_packet(0, error.number, error.sqlstate, error.message))
    os.close(fd)
