"""Framing: length-encoded values, and payloads into packets and out of them.

Invariants: a payload handed out is whole (packets of 2^24-1 bytes are joined with what follows), never larger
than `max_size_bytes`, and its sequence ids were consecutive from the id expected. An idle reader holds no buffer.
Source: MySQL internals, "MySQL Packets" and "Protocol::LengthEncodedInteger".
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from struct import Struct

from wire.constants import MAX_PAYLOAD
from wire.errors import WireError, malformed, out_of_order, packet_too_large

_HEADER = Struct("<I")
_read_header = _HEADER.unpack_from
_pack_header = _HEADER.pack

Packet = tuple[bytes, int]
"""A payload and the sequence id of its last packet: the answer begins with that id plus one, modulo 256."""


def lenenc_int(value: int) -> bytes:
    """Encodes 0 <= value < 2^64."""
    if value < 251:
        return bytes((value,))
    if value < 0x10000:
        return b"\xfc" + value.to_bytes(2, "little")
    if value < 0x1000000:
        return b"\xfd" + value.to_bytes(3, "little")
    return b"\xfe" + value.to_bytes(8, "little")


def lenenc_bytes(value: bytes) -> bytes:
    return lenenc_int(len(value)) + value


def read_lenenc_int(data: bytes, at: int) -> tuple[int, int]:
    """The integer at `at` and the offset after it. IndexError or ValueError where there is none."""
    first = data[at]
    if first < 251:
        return first, at + 1
    if first == 0xFC:
        size = 2
    elif first == 0xFD:
        size = 3
    elif first == 0xFE:
        size = 8
    else:
        raise ValueError("not a length-encoded integer")
    end = at + 1 + size
    if end > len(data):
        raise IndexError("length-encoded integer is cut")
    return int.from_bytes(data[at + 1 : end], "little"), end


def read_lenenc_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """The string at `at` and the offset after it. IndexError or ValueError where there is none."""
    size, at = read_lenenc_int(data, at)
    end = at + size
    if end > len(data):
        raise IndexError("length-encoded string is cut")
    return data[at:end], end


def read_nul_bytes(data: bytes, at: int) -> tuple[bytes, int]:
    """The NUL-terminated string at `at` and the offset after its NUL. ValueError where no NUL is."""
    end = data.index(b"\0", at)
    return data[at:end], end + 1


def frame(payload: bytes, sequence: int = 0) -> bytes:
    """`payload` as one or more packets beginning with `sequence`; a multiple of 2^24-1 gets an empty last one."""
    size = len(payload)
    if size < MAX_PAYLOAD:
        return _pack_header(size | sequence << 24) + payload
    parts: list[bytes | memoryview] = []
    view = memoryview(payload)
    at = 0
    while True:
        part = view[at : at + MAX_PAYLOAD]
        parts.append(_pack_header(len(part) | sequence << 24))
        parts.append(part)
        at += len(part)
        sequence = (sequence + 1) & 0xFF
        if len(part) < MAX_PAYLOAD:
            return b"".join(parts)


def packet_count(payload_size: int) -> int:
    """How many packets `frame` makes of a payload of that size: by so much the sequence id advances."""
    return payload_size // MAX_PAYLOAD + 1


def iterate_payloads(data: bytes) -> Iterator[bytes]:
    """The payloads of whole packets laid end to end, for an answer already checked by `ResultScanner`.

    Sequence ids are not looked at. ValueError where the data ends within a packet.
    """
    at = 0
    size = len(data)
    joined: list[bytes] = []
    while at < size:
        if at + 4 > size:
            raise ValueError("data ends within a packet's header")
        length = _read_header(data, at)[0] & MAX_PAYLOAD
        end = at + 4 + length
        if end > size:
            raise ValueError("data ends within a packet")
        payload = data[at + 4 : end]
        at = end
        if length == MAX_PAYLOAD:
            joined.append(payload)
        elif joined:
            joined.append(payload)
            yield b"".join(joined)
            joined = []
        else:
            yield payload
    if joined:
        raise ValueError("data ends within a payload of several packets")


def last_payload(data: bytes) -> bytes:
    """The payload that ends whole packets laid end to end, without joining what lies before it."""
    at = last = 0
    size = len(data)
    while at < size:
        last = at
        at += 4 + (_read_header(data, at)[0] & MAX_PAYLOAD)
    return data[last + 4 :]


class PacketReader:
    """Bytes of one peer in, whole payloads out.

    `expected` is the sequence id which the next payload must begin with. It stays as it is from one payload to
    the next (each command starts at 0) unless `consecutive` is set, as during login and LOCAL INFILE.
    After an error the stream cannot be followed any more: every later call raises the same error.
    """

    __slots__ = ("_error", "_pending", "consecutive", "expected", "max_size_bytes")

    def __init__(
        self, max_size_bytes: int = 64 << 20, *, consecutive: bool = False, expected: int = 0
    ) -> None:
        self.max_size_bytes = max_size_bytes
        self.consecutive = consecutive
        self.expected = expected
        self._pending: bytearray | None = None
        self._error: WireError | None = None

    @property
    def buffered_bytes(self) -> int:
        return len(self._pending) if self._pending else 0

    def feed(self, data: bytes) -> list[Packet]:
        """All payloads that are whole now. Raises ClientProtocolError 1153 or 1156; what was whole before the
        fault is lost with it, since the connection must close anyway."""
        if self._pending is None and self._error is None and len(data) >= 4:
            # the common case: one chunk is exactly one packet; an expected id of 0 leaves the length alone
            size = len(data) - 4
            if (
                size < MAX_PAYLOAD
                and size <= self.max_size_bytes
                and _read_header(data)[0] == size | self.expected << 24
            ):
                sequence = self.expected
                if self.consecutive:
                    self.expected = (sequence + 1) & 0xFF
                return [(data[4:], sequence)]
        self.buffer(data)
        packets: list[Packet] = []
        while (packet := self.next()) is not None:
            packets.append(packet)
        return packets

    def buffer(self, data: bytes) -> None:
        """Takes bytes without looking at them, for callers that must stop after a payload (TLS upgrade)."""
        if self._pending is None:
            self._pending = bytearray(data)
        else:
            self._pending += data

    def next(self) -> Packet | None:
        """The next whole payload, or None until more bytes come. Raises as `feed`."""
        if self._error is not None:
            raise self._error
        pending = self._pending
        if pending is None:
            return None
        size = len(pending)
        at = total = 0
        sequence = self.expected
        while at + 4 <= size:
            header = _read_header(pending, at)[0]
            length = header & MAX_PAYLOAD
            if header >> 24 != sequence:
                raise self._fail(out_of_order())
            total += length
            if total > self.max_size_bytes:
                raise self._fail(packet_too_large())
            at += 4 + length
            if at > size:
                break
            if length < MAX_PAYLOAD:
                payload = self._take(pending, at)
                if self.consecutive:
                    self.expected = (sequence + 1) & 0xFF
                return payload, sequence
            sequence = (sequence + 1) & 0xFF
        if not size:
            self._pending = None
        return None

    def take_rest(self) -> bytes:
        """Bytes not yet made into payloads, which then are forgotten here: they belong to another layer (TLS)."""
        rest = bytes(self._pending or b"")
        self._pending = None
        return rest

    def _take(self, pending: bytearray, end: int) -> bytes:
        if end <= MAX_PAYLOAD + 3:
            payload = bytes(memoryview(pending)[4:end])
        else:
            view = memoryview(pending)
            step = MAX_PAYLOAD + 4
            payload = b"".join(view[at + 4 : min(at + step, end)] for at in range(0, end, step))
            view.release()
        if end == len(pending):
            self._pending = None
        else:
            del pending[:end]
        return payload

    def _fail(self, error: WireError) -> WireError:
        self._error = error
        self._pending = None
        return error


class PayloadCursor:
    """Reads one payload front to back; whatever is missing or impossible raises `fault(what)`.

    `fault` says whose fault that is: `malformed` for a client's packet, `broken_answer` for MySQL's.
    """

    __slots__ = ("at", "data", "fault", "what")

    def __init__(
        self, data: bytes, what: str, at: int = 0, fault: Callable[[str], WireError] = malformed
    ) -> None:
        self.data = data
        self.what = what
        self.at = at
        self.fault = fault

    def left(self) -> int:
        return len(self.data) - self.at

    def uint(self, size: int) -> int:
        return int.from_bytes(self.take(size), "little")

    def take(self, size: int) -> bytes:
        end = self.at + size
        if end > len(self.data):
            raise self.fault(self.what)
        value = self.data[self.at : end]
        self.at = end
        return value

    def lenenc_int(self) -> int:
        try:
            value, self.at = read_lenenc_int(self.data, self.at)
        except (IndexError, ValueError):
            raise self.fault(self.what) from None
        return value

    def lenenc_bytes(self) -> bytes:
        return self.take(self.lenenc_int())

    def nul_bytes(self) -> bytes:
        try:
            value, self.at = read_nul_bytes(self.data, self.at)
        except ValueError:
            raise self.fault(self.what) from None
        return value

    def rest(self) -> bytes:
        value = self.data[self.at :]
        self.at = len(self.data)
        return value
