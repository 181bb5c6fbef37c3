"""The compressed protocol, with zlib or zstd: what lies around the packets once a login that asked for it is through.

A compressed packet has a header of seven bytes: its size (3), a sequence id of its own (1), the size of what it holds
before compression (3; 0: it is not compressed). Its contents are a piece of the stream of ordinary packets: what
comes may be cut anywhere, what is sent is whole packets. No I/O here. Source: MySQL internals, "Compression".

Invariants: what comes out of `receive` is bounded by what the header said, whatever the algorithm makes of it; after an
error the stream cannot be followed any more, and the connection must close.
"""

from __future__ import annotations

import zlib
from collections.abc import Callable
from typing import Final

import zstandard

from wire.constants import MAX_PAYLOAD
from wire.errors import malformed

MIN_COMPRESSED_BYTES: Final = 50
"""Smaller pieces go as they are, as MySQL sends them."""
MAX_PIECE_BYTES: Final = 1 << 20
"""What is compressed at once, unless one packet is larger: a long answer must not hold up the event loop."""
_LEVEL: Final = 6
_FAST_LEVEL: Final = 1
ZSTD_LEVELS: Final = range(1, 23)
"""What a client may ask for in its login."""
_MAX_ZSTD_LEVEL: Final = 6
"""What it gets at most: the levels above cost a hundred times the time, which is everybody's."""
_HEADER_BYTES: Final = 7


class CompressedStream:
    """One connection's two directions, on the server's side."""

    __slots__ = ("_compress", "_decompress", "_held", "_held_until", "_pending", "_sequence")

    def __init__(self, zstd_level: int = 0) -> None:
        """`zstd_level`: one of ZSTD_LEVELS for zstd, 0 for zlib."""
        self._decompress = _unpacked if zstd_level else _inflated
        self._compress: Callable[[bytes], bytes] = _deflated
        if zstd_level:
            level = min(zstd_level, _MAX_ZSTD_LEVEL)
            self._compress = lambda piece: _packed(piece, level)
        self._held = bytearray()
        self._held_until = 0
        self._pending = b""
        self._sequence = 0

    def receive(self, data: bytes) -> bytes:
        """Bytes of the client, in; the packets that they hold, out. Raises ClientProtocolError 1835."""
        data = self._pending + data
        found: list[bytes] = []
        at = 0
        while at + _HEADER_BYTES <= len(data):
            size = int.from_bytes(data[at : at + 3], "little")
            end = at + _HEADER_BYTES + size
            if end > len(data):
                break
            self._sequence = (data[at + 3] + 1) & 0xFF  # the answer goes on from the client's last
            whole = int.from_bytes(data[at + 4 : at + 7], "little")
            piece = data[at + _HEADER_BYTES : end]
            found.append(self._decompress(piece, whole) if whole else piece)
            at = end
        self._pending = data[at:]
        return b"".join(found)

    def send(self, data: bytes) -> bytes:
        """Packets for the client, in whole or in part, in; the bytes to send, out. A packet that is not whole yet
        waits for its rest: some clients read no packet that lies in more than two compressed ones."""
        held = self._held
        if held:
            held += data
            if len(held) < self._held_until:
                return b""
            data = bytes(held)
            held.clear()
        sent: list[bytes] = []
        begin = end = 0
        size = len(data)
        while end + 4 <= size:
            after = end + 4 + int.from_bytes(data[end : end + 3], "little")
            if after > size:
                break
            if after - begin > MAX_PIECE_BYTES and end > begin:
                sent += self._packets(data[begin:end])
                begin = end
            end = after
        if end > begin:
            sent += self._packets(data[begin:end])
        if end < size:
            held += data[end:]
            known = size - end >= 4
            self._held_until = 4 + (int.from_bytes(data[end : end + 3], "little") if known else 0)
        return b"".join(sent)

    def _packets(self, whole: bytes) -> list[bytes]:
        """One compressed packet, or two: a packet of 2^24-1 bytes has a header, too."""
        return [self._packet(whole[at : at + MAX_PAYLOAD]) for at in range(0, len(whole), MAX_PAYLOAD)]

    def _packet(self, piece: bytes) -> bytes:
        whole = 0
        if len(piece) >= MIN_COMPRESSED_BYTES:
            packed = self._compress(piece)
            if len(packed) < len(piece):
                whole, piece = len(piece), packed
        header = len(piece) | self._sequence << 24 | whole << 32
        self._sequence = (self._sequence + 1) & 0xFF
        return header.to_bytes(_HEADER_BYTES, "little") + piece


def _deflated(piece: bytes) -> bytes:
    return zlib.compress(piece, _LEVEL if len(piece) <= MAX_PIECE_BYTES else _FAST_LEVEL)


def _packed(piece: bytes, level: int) -> bytes:
    # made for each piece: a kept compressor would hold its tables for every idle client
    return zstandard.compress(piece, level if len(piece) <= MAX_PIECE_BYTES else _FAST_LEVEL)


def _unpacked(piece: bytes, size: int) -> bytes:
    try:
        said = zstandard.frame_content_size(piece)
        if said not in (-1, size):  # it would be allocated
            raise malformed("compressed packet whose size is not what it says")
        found = zstandard.ZstdDecompressor().decompress(piece, max_output_size=size, allow_extra_data=False)
    except zstandard.ZstdError as error:
        raise malformed(f"compressed packet ({error})") from None
    if len(found) != size:
        raise malformed("compressed packet whose size is not what it says")
    return found


def _inflated(piece: bytes, size: int) -> bytes:
    assert size <= MAX_PAYLOAD
    inflater = zlib.decompressobj()
    try:
        found = inflater.decompress(piece, size)
        if len(found) == size and not inflater.eof:
            inflater.decompress(inflater.unconsumed_tail, 1)  # the checksum may be left
    except zlib.error as error:
        raise malformed(f"compressed packet ({error})") from None
    if len(found) != size or not inflater.eof:
        raise malformed("compressed packet whose size is not what it says")
    return found
