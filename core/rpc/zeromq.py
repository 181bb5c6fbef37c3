"""What both ends of `core.rpc` have in common: frames of records, and ZeroMQ sockets on an event loop.

This folder alone imports zmq. What must hold in it:

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

import logging
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgpack
import zmq

from core.rpc.messages import Record

MAX_FRAME_BYTES: Final = 256 * 1024 * 1024
"""A larger one costs the connection (64 MiB packets, with room for what goes with them)."""

DRAIN_FRAMES: Final = 64
"""Frames handled in one go before other descriptors get their turn."""

log = logging.getLogger("core.rpc")

POLLIN: Final = int(zmq.POLLIN)
POLLOUT: Final = int(zmq.POLLOUT)
EVENTS: Final = zmq.EVENTS
RCVMORE: Final = zmq.RCVMORE
NOBLOCK: Final = int(zmq.NOBLOCK)
NOBLOCK_MORE: Final = int(zmq.NOBLOCK | zmq.SNDMORE)

# names in records are cut from clients' statements, which need not be UTF-8: surrogates keep their bytes
pack: Final = msgpack.Packer(use_bin_type=True, autoreset=True, unicode_errors="surrogateescape").pack


class BadFrame(Exception):
    """A peer speaks another language."""


def unpack(frame: bytes) -> list[Record]:
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


def configure(socket: "zmq.Socket[Any]", hwm: int) -> None:
    """`hwm`: frames that ZeroMQ keeps for a peer, each way."""
    socket.setsockopt(zmq.LINGER, 0)
    socket.setsockopt(zmq.SNDHWM, hwm)
    socket.setsockopt(zmq.RCVHWM, hwm)
    socket.setsockopt(zmq.MAXMSGSIZE, MAX_FRAME_BYTES)
