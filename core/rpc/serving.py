"""The socket that peers connect to: records of all of them in, records to each of them out."""

import asyncio
from collections.abc import Callable
from typing import Any, Final

import zmq

from core.rpc.messages import Record
from core.rpc.zeromq import (
    DRAIN_FRAMES,
    EVENTS,
    NOBLOCK,
    NOBLOCK_MORE,
    POLLIN,
    RCVMORE,
    BadFrame,
    Loop,
    configure,
    log,
    pack,
    unpack,
)

MAX_BATCH_RECORDS: Final = 256
"""A batch of so many leaves at once: a thousand sessions may get the same answer in one turn."""

PATIENCE_S: Final = 0.01
"""How long a record that may wait waits for others to the same peer."""
PATIENT_RECORDS: Final = 32
"""So many are worth a frame."""


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
        configure(socket, hwm)
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
            frame = pack(batch)
        except Exception:
            log.exception("records for %s cannot be packed", identity)
            return False
        try:
            self._socket.send(identity, NOBLOCK_MORE)
            self._socket.send(frame, NOBLOCK)
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
        while socket.getsockopt(EVENTS) & POLLIN:
            if not budget:
                self._loop.call_soon(self._readable)
                return
            budget -= 1
            identity = socket.recv(NOBLOCK)
            frame = socket.recv(NOBLOCK)
            while socket.getsockopt(RCVMORE):
                socket.recv(NOBLOCK)
                frame = b""  # of a stranger: no Dealer sends more than one
            try:
                records = unpack(frame)
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


async def flushed(serving: Serving) -> None:
    """Returns after what was sent so far has been handed to ZeroMQ."""
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    serving.hurry()
