import pytest
from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import cut, cuts, fast
from wire.constants import MAX_PAYLOAD
from wire.errors import ClientProtocolError
from wire.packets import (
    PacketReader,
    PayloadCursor,
    frame,
    iterate_payloads,
    lenenc_bytes,
    lenenc_int,
    packet_count,
    read_lenenc_bytes,
    read_lenenc_int,
)


@pytest.mark.parametrize(
    ("value", "encoded"),
    [
        (0, b"\x00"),
        (250, b"\xfa"),
        (251, b"\xfc\xfb\x00"),
        (0xFFFF, b"\xfc\xff\xff"),
        (0x10000, b"\xfd\x00\x00\x01"),
        (0xFFFFFF, b"\xfd\xff\xff\xff"),
        (0x1000000, b"\xfe\x00\x00\x00\x01\x00\x00\x00\x00"),
    ],
)
def test_lenenc_int(value: int, encoded: bytes) -> None:
    assert lenenc_int(value) == encoded
    assert read_lenenc_int(b"?" + encoded + b"?", 1) == (value, 1 + len(encoded))
    for size in range(len(encoded)):
        with pytest.raises(IndexError):
            read_lenenc_int(encoded[:size], 0)


def test_what_is_no_lenenc() -> None:
    for first in (0xFB, 0xFF):
        with pytest.raises(ValueError, match="not a length"):
            read_lenenc_int(bytes((first,)), 0)
    with pytest.raises(IndexError):
        read_lenenc_bytes(b"\x05abcd", 0)


@fast
@given(st.binary(max_size=70000))
def test_lenenc_bytes(value: bytes) -> None:
    encoded = lenenc_bytes(value)
    assert read_lenenc_bytes(encoded, 0) == (value, len(encoded))


@fast
@given(st.lists(st.binary(max_size=400), max_size=8), cuts)
def test_any_cut_gives_the_same_payloads(payloads: list[bytes], places: list[int]) -> None:
    stream = b"".join(frame(payload) for payload in payloads)
    reader = PacketReader()
    seen = [packet for chunk in cut(stream, places) for packet in reader.feed(chunk)]
    assert seen == [(payload, 0) for payload in payloads]
    assert reader.buffered_bytes == 0
    assert list(iterate_payloads(stream)) == payloads


@pytest.mark.parametrize("size", [MAX_PAYLOAD - 1, MAX_PAYLOAD, MAX_PAYLOAD + 1, 2 * MAX_PAYLOAD])
def test_payloads_of_16_mib(size: int) -> None:
    payload = b"q" + bytes(size - 2) + b"z"
    stream = frame(payload, 254)
    assert len(stream) == size + 4 * packet_count(size)
    assert list(iterate_payloads(stream)) == [payload]
    reader = PacketReader(expected=254, consecutive=True)
    assert reader.feed(stream[:5]) == []
    assert reader.feed(stream[5:-1]) == []
    last = (254 + packet_count(size) - 1) & 0xFF
    assert reader.feed(stream[-1:] + frame(b"next", (last + 1) & 0xFF)) == [
        (payload, last),
        (b"next", (last + 1) & 0xFF),
    ]


def test_too_large_is_told_from_the_header_alone() -> None:
    reader = PacketReader(max_size_bytes=10)
    assert reader.feed(frame(bytes(10))) == [(bytes(10), 0)]
    with pytest.raises(ClientProtocolError) as caught:
        reader.feed(frame(bytes(11))[:4])
    assert (caught.value.number, caught.value.sqlstate) == (1153, "08S01")
    with pytest.raises(ClientProtocolError):
        reader.feed(frame(b"ok"))


def test_too_large_over_several_packets() -> None:
    reader = PacketReader(max_size_bytes=MAX_PAYLOAD + 5)
    with pytest.raises(ClientProtocolError) as caught:
        reader.feed(frame(bytes(MAX_PAYLOAD + 6)))
    assert caught.value.number == 1153


def test_sequence_ids() -> None:
    for stream in (frame(b"x", 1), frame(b"x", 0) + frame(b"y", 1), frame(b"long", 7)[:4]):
        with pytest.raises(ClientProtocolError) as caught:
            PacketReader().feed(stream)
        assert caught.value.number == 1156
    reader = PacketReader(consecutive=True, expected=1)
    assert reader.feed(frame(b"a", 1) + frame(b"b", 2)) == [(b"a", 1), (b"b", 2)]
    assert reader.feed(frame(b"c", 3)) == [(b"c", 3)]
    with pytest.raises(ClientProtocolError):
        reader.feed(frame(b"d", 3))


def test_bytes_behind_a_tls_request_are_given_back() -> None:
    reader = PacketReader(consecutive=True, expected=1)
    reader.buffer(frame(b"tls please", 1) + b"\x16\x03\x01\x02\x00hello")
    assert reader.next() == (b"tls please", 1)
    assert reader.take_rest() == b"\x16\x03\x01\x02\x00hello"
    assert reader.next() is None


@fast
@given(st.binary(max_size=60), cuts)
def test_noise_raises_typed_errors_only(noise: bytes, places: list[int]) -> None:
    reader = PacketReader(max_size_bytes=1000)
    numbers = {1153, 1156}
    try:
        for chunk in cut(noise, places):
            reader.feed(chunk)
    except ClientProtocolError as error:
        numbers.remove(error.number)
    assert reader.buffered_bytes <= 1004


def test_iterating_over_less_than_a_packet() -> None:
    for data in (b"\x01", b"\x05\0\0\0ab", frame(bytes(MAX_PAYLOAD))[: MAX_PAYLOAD + 4]):
        with pytest.raises(ValueError, match="ends within"):
            list(iterate_payloads(data))


def test_cursor_names_what_is_malformed() -> None:
    cursor = PayloadCursor(b"\x05ab", "the thing")
    with pytest.raises(ClientProtocolError, match="the thing"):
        cursor.lenenc_bytes()
    with pytest.raises(ClientProtocolError, match="the thing"):
        PayloadCursor(b"abc", "the thing").nul_bytes()
