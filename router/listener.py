"""Accepting clients, bounded: at most `max_half_open` logins in flight, the rest wait in the kernel's backlog."""

import contextlib
import os
import socket
import sys
from typing import TYPE_CHECKING, Final

from router.arrival import Arrival
from router.draining import refusal
from wire.answers import err_packet

if TYPE_CHECKING:
    from router.worker import Worker

ACCEPTS_A_TURN: Final = 32
"""Accepted in one turn of the loop, so that a storm of logins does not starve running queries."""


class Listener:
    """The worker's listening socket on its loop."""

    def __init__(self, worker: "Worker", sock: socket.socket) -> None:
        self._worker = worker
        self._sock = sock
        self._open = False
        self._closed = False
        sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)  # what it accepts inherits that

    def open(self) -> None:
        """Starts (or goes on) accepting."""
        if not self._open and not self._closed:
            self._open = True
            self._worker.loop.add_reader(self._sock.fileno(), self._acceptable)

    def pause(self) -> None:
        if self._open:
            self._open = False
            self._worker.loop.remove_reader(self._sock.fileno())

    def close(self) -> None:
        """Accepts no more; connections in the backlog stay there for the next worker of this slot."""
        self.pause()
        self._closed = True

    def _acceptable(self) -> None:
        worker = self._worker
        worker.stir()
        for _ in range(ACCEPTS_A_TURN):
            if len(worker.half_open) >= worker.boot.config.router.max_half_open:
                self.pause()
                return
            try:
                client, address = self._sock.accept()
            except (BlockingIOError, InterruptedError):
                return
            except OSError as error:
                worker.log.warning("accept failed: %s", error)
                worker.loop.call_later(0.1, self.open)
                self.pause()
                return
            if worker.drain.active:
                _turn_away(client)
                continue
            fd = client.detach()
            os.set_blocking(fd, False)
            Arrival(worker, fd, sys.intern(address[0]))


def _turn_away(client: socket.socket) -> None:
    """Tells a client 1053 in the place of a greeting."""
    error = refusal()
    client.setblocking(False)
    with contextlib.suppress(OSError):  # an empty socket takes it whole
        client.send(err_packet(0, error.number, error.sqlstate, error.message))
    client.close()
