"""ZeroMQ sockets on an event loop: records in, records out, batched by turn of the loop.

This is the only file that imports zmq. What must hold here:

- A context is made after the process was forked, one a process; every socket has LINGER 0 and high-water marks.
- `zmq.FD` is edge-triggered, and both `send` and reading EVENTS consume edges. So after every send both sides are
  worked off until EVENTS shows nothing more that could be done; a readable callback does the same, or leaves it to
  the flush that is due in this turn anyway: each reading of EVENTS costs two system calls.
- Records are handled in the order they came: `on_record` may send, but nothing is received inside of `send`.
- Callbacks never come from inside `send`.
- Records sent during one turn of the loop leave as one frame (see `core.rpc.messages`).
- Nothing is sent to a peer that is not connected (IMMEDIATE, ROUTER_MANDATORY): what cannot leave is kept in a
  bounded backlog and then dropped with `on_down`, never delivered late to another incarnation of the peer.
"""

import asyncio
import logging
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgpack
import zmq
from zmq.utils.monitor import parse_monitor_message

from core.rpc.messages import Record

MAX_BATCH_BYTES: Final = 262_144
"""A batch whose payloads exceed this leaves at once instead of at the end of the turn."""

MAX_BATCH_RECORDS: Final = 256
"""The same for a serving end: of pieces of answers. A thousand sessions may get the same answer in one turn."""

MAX_FRAME_BYTES: Final = 256 * 1024 * 1024
"""A larger one costs the connection (64 MiB packets, with room for what goes with them)."""

MAX_BACKLOG_FRAMES: Final = 10_000
PATIENCE_S: Final = 0.01
"""How long a record that may wait waits for others to the same peer."""
PATIENT_RECORDS: Final = 32
"""So many are worth a frame."""
DRAIN_FRAMES: Final = 64
"""Frames handled in one go before other descriptors get their turn."""

log = logging.getLogger("core.rpc")

_POLLIN: Final = int(zmq.POLLIN)
_POLLOUT: Final = int(zmq.POLLOUT)
_EVENTS: Final = zmq.EVENTS
_RCVMORE: Final = zmq.RCVMORE
_NOBLOCK: Final = int(zmq.NOBLOCK)
_NOBLOCK_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

# names in records are cut from clients' statements, which need not be UTF-8: surrogates keep their bytes
_pack: Final = msgpack.Packer(use_bin_type=True, autoreset=True, unicode_errors="surrogateescape").pack


class BadFrame(Exception):
    """A peer speaks another language."""


def _unpack(frame: bytes) -> list[Record]:
    """The records of a frame. Raises BadFrame for one that is no array of records."""
    try:
        records = msgpack.unpackb(
            frame, use_list=True, raw=False, unicode_errors="surrogateescape", max_bin_len=MAX_FRAME_BYTES
        )
    except Exception as error:  # msgpack's own, ValueError, TypeError, UnicodeError: by what is wrong with it
        raise BadFrame(f"a frame of {len(frame)} bytes is no msgpack: {error!r}") from None
    if type(records) is list:
        for record in records:
            if type(record) is not list or not record:
                break
        else:
            return records
    raise BadFrame(f"a frame of {len(frame)} bytes is no array of records")


class Loop(Protocol):
    """The part of an asyncio loop that transports use."""

    def add_reader(self, fd: int, callback: Callable[..., object], *args: Any) -> None: ...
    def remove_reader(self, fd: int) -> Any: ...
    def call_soon(self, callback: Callable[..., object], *args: Any) -> Any: ...
    def call_later(self, delay: float, callback: Callable[..., object], *args: Any) -> Any: ...


def make_context(io_threads: int = 1, max_sockets: int = 4096) -> "zmq.Context[Any]":
    """The process's one context. Make it after the last fork."""
    context: zmq.Context[Any] = zmq.Context(io_threads)
    context.set(zmq.MAX_SOCKETS, max_sockets)
    return context


def _configure(socket: "zmq.Socket[Any]", hwm: int) -> None:
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, hwm)
    socket.setsockopt(zmq.RCVHWM, hwm)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)


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
        _configure(socket, hwm)
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
            frame = _pack(out)
        except Exception as error:
            # which record it is, and who waits for it, is not known here: everybody gets an answer by the loss
            log.exception("records for %s cannot be packed", self.endpoint)
            self._loop.call_soon(self._lost, f"records for {self.endpoint} cannot be packed: {error!r}")
            return
        if self._backlog:
            self._enqueue(frame)
        else:
            try:
                self._socket.send(frame, _NOBLOCK)
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
        events = socket.getsockopt(_EVENTS)
        while True:
            if self._backlog and events & _POLLOUT:
                self._drain_backlog()
                # sending may have swallowed the edge of what came meanwhile
                events = socket.getsockopt(_EVENTS)
            if not events & _POLLIN:
                if self._backlog and events & _POLLOUT:
                    continue
                return
            if not budget:
                self._loop.call_soon(self._readable)
                return
            budget -= 1
            if not self._take_frame(socket.recv(_NOBLOCK)):
                return
            events = socket.getsockopt(_EVENTS)

    def _take_frame(self, frame: bytes) -> bool:
        """False: this object is closed now."""
        try:
            records = _unpack(frame)
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
                self._socket.send(self._backlog[0], _NOBLOCK)
            except zmq.Again:
                return
            self._backlog.popleft()

    def _watch(self) -> None:
        while not self.closed and self._monitor.getsockopt(_EVENTS) & _POLLIN:
            event = parse_monitor_message(self._monitor.recv_multipart(_NOBLOCK))["event"]
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


def _nothing() -> None:
    return


class Serving:
    """The socket that peers' `Dealer`s connect to: `on_record(identity, record)` for each record of each peer.

    `on_unreachable(identity)` is called when something could not be delivered since that peer is gone, or when it
    sent what is no frame of records: nothing more is to be expected of it.
    """

    __slots__ = (
        "_flush_due",
        "_loop",
        "_on_record",
        "_on_unreachable",
        "_out",
        "_patient",
        "_socket",
        "before_work",
        "closed",
        "endpoint",
    )

    def __init__(
        self,
        loop: Loop,
        context: "zmq.Context[Any]",
        endpoint: str,
        on_record: Callable[[bytes, Record], None],
        on_unreachable: Callable[[bytes], None],
        hwm: int = 100_000,
    ) -> None:
        self._loop = loop
        self._on_record = on_record
        self._on_unreachable = on_unreachable
        self._out: dict[bytes, list[tuple[Any, ...]]] = {}
        self._patient: dict[bytes, list[tuple[Any, ...]]] = {}
        """What may wait, of peers that nothing in `_out` is for."""
        self._flush_due = False
        self.before_work: Callable[[], None] = _nothing
        """Called each time before records are read."""
        self.closed = False
        socket = context.socket(zmq.ROUTER)
        _configure(socket, hwm)
        socket.setsockopt(zmq.ROUTER_MANDATORY, 1)
        socket.setsockopt(zmq.ROUTER_HANDOVER, 1)
        socket.bind(endpoint)
        self.endpoint = socket.getsockopt(zmq.LAST_ENDPOINT).rstrip(b"\0").decode()
        self._socket = socket
        loop.add_reader(socket.getsockopt(zmq.FD), self._readable)
        loop.call_soon(self._readable)

    def send(self, identity: bytes, record: tuple[Any, ...]) -> None:
        """Queues `record` for the peer `identity`; it leaves at the end of this turn of the loop."""
        batch = self._out.get(identity)
        if batch is None:
            if self._patient and (waiting := self._patient.pop(identity, None)) is not None:
                waiting.append(record)
                self._out[identity] = waiting
            else:
                self._out[identity] = [record]
            if not self._flush_due and not self.closed:
                self._flush_due = True
                self._loop.call_soon(self._flush)
        else:
            batch.append(record)
            if len(batch) >= MAX_BATCH_RECORDS and not self.closed:
                del self._out[identity]
                if not self._write(identity, batch):
                    self._loop.call_soon(self._on_unreachable, identity)

    def send_patiently(self, identity: bytes, record: tuple[Any, ...]) -> None:
        """As `send`, but it may wait PATIENCE_S for others to that peer. What is sent to one peer keeps its order."""
        batch = self._patient.get(identity)
        if identity in self._out or (batch is not None and len(batch) >= PATIENT_RECORDS):
            self.send(identity, record)
            return
        if batch is not None:
            batch.append(record)
            return
        if not self._patient and not self.closed:
            self._loop.call_later(PATIENCE_S, self.hurry)
        self._patient[identity] = [record]

    def hurry(self) -> None:
        """What may wait leaves at once."""
        patient, self._patient = self._patient, {}
        if self.closed:
            return
        for identity, batch in patient.items():
            if not self._write(identity, batch):
                self._on_unreachable(identity)
        self._readable()

    def _flush(self) -> None:
        self._flush_due = False
        if self.closed:
            return
        out, self._out = self._out, {}
        for identity, batch in out.items():
            if not self._write(identity, batch):
                self._on_unreachable(identity)
        self._work()

    def _write(self, identity: bytes, batch: list[tuple[Any, ...]]) -> bool:
        """False: that peer does not get it. The flush that is due looks at EVENTS afterwards."""
        try:
            frame = _pack(batch)
        except Exception:
            log.exception("records for %s cannot be packed", identity)
            return False
        try:
            self._socket.send(identity, _NOBLOCK_MORE)
            self._socket.send(frame, _NOBLOCK)
        except zmq.Again:  # it does not read: its high-water mark is reached
            return False
        except zmq.ZMQError as error:
            if error.errno != zmq.EHOSTUNREACH:
                raise
            return False
        return True

    def _readable(self) -> None:
        if not self._flush_due:
            self._work()

    def _work(self) -> None:
        if self.closed:
            return
        self.before_work()
        socket = self._socket
        on_record = self._on_record
        budget = DRAIN_FRAMES
        while socket.getsockopt(_EVENTS) & _POLLIN:
            if not budget:
                self._loop.call_soon(self._readable)
                return
            budget -= 1
            identity = socket.recv(_NOBLOCK)
            frame = socket.recv(_NOBLOCK)
            while socket.getsockopt(_RCVMORE):
                socket.recv(_NOBLOCK)
                frame = b""  # of a stranger: no Dealer sends more than one
            try:
                records = _unpack(frame)
            except BadFrame as bad:
                log.warning("peer %s is dropped: %s", identity, bad)
                self._on_unreachable(identity)
                continue
            for record in records:
                try:
                    on_record(identity, record)
                except Exception:
                    log.exception("a record of kind %s from %s was not handled", record[:1], identity)
            if self.closed:
                return

    def close(self) -> None:
        """Stops serving; what has not left is dropped."""
        if self.closed:
            return
        self.closed = True
        self._out.clear()
        self._patient.clear()
        self._loop.remove_reader(self._socket.getsockopt(zmq.FD))
        self._socket.close(0)


async def flushed(transport: Dealer | Serving) -> None:
    """Returns after what was sent so far has been handed to ZeroMQ."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    if isinstance(transport, Serving):
        transport.hurry()
