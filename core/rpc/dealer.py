"""A connection to one peer: records out, records in, and the news that it is lost."""

from collections import deque
from collections.abc import Callable
from typing import Any, Final

import zmq
from zmq.utils.monitor import parse_monitor_message

from core.rpc.messages import Record
from core.rpc.zeromq import (
    DRAIN_FRAMES,
    EVENTS,
    NOBLOCK,
    POLLIN,
    POLLOUT,
    BadFrame,
    Loop,
    configure,
    log,
    pack,
    unpack,
)

MAX_BATCH_BYTES: Final = 262_144
"""A batch whose payloads exceed this leaves at once instead of at the end of the turn."""

MAX_BACKLOG_FRAMES: Final = 10_000


class Dealer:
    """A connection to one peer that serves on a `Serving` socket.

    `on_record(record)` is called for each record. `on_up()` when the transport below connected, `on_down(reason)`
    once when it is lost; then this object is finished: nothing was or will be delivered any more, make a new one.
    """

    __slots__ = (
        "_backlog",
        "_flush_due",
        "_loop",
        "_monitor",
        "_on_down",
        "_on_record",
        "_on_up",
        "_out",
        "_out_bytes",
        "_socket",
        "closed",
        "endpoint",
    )

    def __init__(
        self,
        loop: Loop,
        context: "zmq.Context[Any]",
        endpoint: str,
        identity: bytes,
        on_record: Callable[[Record], None],
        on_up: Callable[[], None],
        on_down: Callable[[str], None],
        hwm: int = 100_000,
    ) -> None:
        self._loop = loop
        self._on_record = on_record
        self._on_up = on_up
        self._on_down = on_down
        self._out: list[tuple[Any, ...]] = []
        self._out_bytes = 0
        self._flush_due = False
        self._backlog: deque[bytes] = deque()
        self.endpoint = endpoint
        self.closed = False
        socket = context.socket(zmq.DEALER)
        configure(socket, hwm)
        socket.setsockopt(zmq.IDENTITY, identity)
        socket.setsockopt(zmq.IMMEDIATE, 1)
        socket.setsockopt(zmq.RECONNECT_IVL, 20)
        socket.setsockopt(zmq.RECONNECT_IVL_MAX, 500)
        self._socket = socket
        self._monitor = socket.get_monitor_socket(
            zmq.EVENT_HANDSHAKE_SUCCEEDED | zmq.EVENT_DISCONNECTED | zmq.EVENT_MONITOR_STOPPED
        )
        loop.add_reader(self._monitor.getsockopt(zmq.FD), self._watch)
        loop.add_reader(socket.getsockopt(zmq.FD), self._readable)
        socket.connect(endpoint)
        loop.call_soon(self._watch)
        loop.call_soon(self._readable)

    def send(self, record: tuple[Any, ...], size_bytes: int = 128) -> None:
        """Queues `record`; it leaves at the end of this turn of the loop. Ignored once closed."""
        if self.closed:
            return
        self._out.append(record)
        if not self._flush_due:
            self._flush_due = True
            self._loop.call_soon(self._flush)
        self._out_bytes += size_bytes
        if self._out_bytes > MAX_BATCH_BYTES:
            self._write()

    def _flush(self) -> None:
        self._flush_due = False
        if self.closed:
            return
        if self._out:
            self._write()
        self._work(DRAIN_FRAMES)

    def _write(self) -> None:
        """The flush that is due looks at EVENTS afterwards."""
        out, self._out = self._out, []
        self._out_bytes = 0
        try:
            frame = pack(out)
        except Exception as error:
            # which record it is, and who waits for it, is not known here: everybody gets an answer by the loss
            log.exception("records for %s cannot be packed", self.endpoint)
            self._loop.call_soon(self._lost, f"records for {self.endpoint} cannot be packed: {error!r}")
            return
        if self._backlog:
            self._enqueue(frame)
        else:
            try:
                self._socket.send(frame, NOBLOCK)
            except zmq.Again:
                self._enqueue(frame)

    def _enqueue(self, frame: bytes) -> None:
        if len(self._backlog) >= MAX_BACKLOG_FRAMES:
            self._loop.call_soon(self._lost, f"{MAX_BACKLOG_FRAMES} frames wait for {self.endpoint}")
            return
        self._backlog.append(frame)

    def _readable(self) -> None:
        if not self._flush_due:
            self._work(DRAIN_FRAMES)

    def _work(self, budget: int) -> None:
        """Receives up to `budget` frames and sends what waits, until there is neither."""
        if self.closed:
            return
        socket = self._socket
        events = socket.getsockopt(EVENTS)
        while True:
            if self._backlog and events & POLLOUT:
                self._drain_backlog()
                # sending may have swallowed the edge of what came meanwhile
                events = socket.getsockopt(EVENTS)
            if not events & POLLIN:
                if self._backlog and events & POLLOUT:
                    continue
                return
            if not budget:
                self._loop.call_soon(self._readable)
                return
            budget -= 1
            if not self._take_frame(socket.recv(NOBLOCK)):
                return
            events = socket.getsockopt(EVENTS)

    def _take_frame(self, frame: bytes) -> bool:
        """False: this object is closed now."""
        try:
            records = unpack(frame)
        except BadFrame as bad:
            self._lost(f"{self.endpoint}: {bad}")
            return False
        on_record = self._on_record
        for record in records:
            try:
                on_record(record)
            except Exception:  # the other records of the frame belong to others
                log.exception("a record of kind %s from %s was not handled", record[:1], self.endpoint)
            if self.closed:
                return False
        return True

    def _drain_backlog(self) -> None:
        while self._backlog:
            try:
                self._socket.send(self._backlog[0], NOBLOCK)
            except zmq.Again:
                return
            self._backlog.popleft()

    def _watch(self) -> None:
        while not self.closed and self._monitor.getsockopt(EVENTS) & POLLIN:
            event = parse_monitor_message(self._monitor.recv_multipart(NOBLOCK))["event"]
            if event == zmq.EVENT_HANDSHAKE_SUCCEEDED:
                self._on_up()
                self._readable()
            elif event == zmq.EVENT_DISCONNECTED:
                self._work(1 << 30)  # what the peer said before it went is still true
                self._lost(f"{self.endpoint} closed the connection")

    def _lost(self, reason: str) -> None:
        if not self.closed:
            self.close()
            self._on_down(reason)

    def close(self) -> None:
        """Drops everything that has not left. No callback follows."""
        if self.closed:
            return
        self.closed = True
        self._out.clear()
        self._backlog.clear()
        self._loop.remove_reader(self._socket.getsockopt(zmq.FD))
        self._loop.remove_reader(self._monitor.getsockopt(zmq.FD))
        self._socket.disable_monitor()
        self._monitor.close(0)
        self._socket.close(0)
