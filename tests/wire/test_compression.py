"""The compressed protocol, without I/O."""

import zlib

import pytest
import zstandard
from hypothesis import given
from hypothesis import strategies as st

from wire.compression import CompressedStream
from wire.errors import ClientProtocolError
from wire.packets import frame


def packed(piece: bytes, sequence: int, size: int | None = None) -> bytes:
    body = zlib.compress(piece)
    whole = len(piece) if size is None else size
    return (len(body) | sequence << 24 | whole << 32).to_bytes(7, "little") + body


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 40), st.sampled_from([0, 1, 22]))
def test_any_cut_gives_the_same(pieces: list[bytes], step: int, level: int) -> None:
    sender, receiver = CompressedStream(level), CompressedStream(level)
    stream = b"".join(frame(piece) for piece in pieces)
    sent = b"".join(sender.send(stream[at : at + step]) for at in range(0, len(stream), step))
    found = b"".join(receiver.receive(sent[at : at + step]) for at in range(0, len(sent), step))
    assert found == stream


def test_sequence_ids_follow_the_client() -> None:
    stream = CompressedStream()
    assert stream.receive(packed(b"q" * 60, 0) + packed(b"r" * 60, 1)) == b"q" * 60 + b"r" * 60
    assert [stream.send(frame(b"ok"))[3], stream.send(frame(b"x" * 100))[3]] == [2, 3]
    stream.receive(packed(b"next", 0))
    assert stream.send(frame(b"ok"))[3] == 1


@pytest.mark.parametrize("level", [0, 3, 22])
def test_long_answers_are_cut_and_small_ones_left(level: int) -> None:
    sender, receiver = CompressedStream(level), CompressedStream(level)
    for size in (5_000_000, 17_000_000):
        data = frame(bytes(range(250)) * (size // 250)) + frame(b"the end")
        assert receiver.receive(sender.send(data)) == data
    assert sender.send(frame(b"small"))[4:] == b"\0\0\0" + frame(b"small")


@pytest.mark.parametrize(
    "data",
    [packed(b"x" * 1000, 0, 10), packed(b"x" * 10, 0, 1000), (5 | 9 << 32).to_bytes(7, "little") + b"noise"],
)
def test_what_cannot_be_followed(data: bytes) -> None:
    with pytest.raises(ClientProtocolError):
        CompressedStream().receive(data)


def test_a_bomb_costs_what_its_header_says() -> None:
    with pytest.raises(ClientProtocolError):
        CompressedStream().receive(packed(b"\0" * 50_000_000, 0, 16))


def zstd_packed(body: bytes, size: int) -> bytes:
    return (len(body) | size << 32).to_bytes(7, "little") + body


@pytest.mark.parametrize(
    "data",
    [
        zstd_packed(zstandard.compress(b"x" * 1000), 10),
        zstd_packed(zstandard.compress(b"x" * 10), 1000),
        zstd_packed(zstandard.compress(b"x" * 100) + b"more", 100),
        zstd_packed(zstandard.compress(b"x" * 100)[:-3], 100),
        zstd_packed(b"noise", 9),
        zstd_packed(b"", 9),
        # a frame that says it holds 2^62 bytes
        zstd_packed(bytes.fromhex("28b52ffde0") + (1 << 62).to_bytes(8, "little") + b"\x01\0\0", 9),
        packed(b"y" * 100, 0),
    ],
)
def test_zstd_that_cannot_be_followed(data: bytes) -> None:
    with pytest.raises(ClientProtocolError):
        CompressedStream(3).receive(data)


def test_zstd_frames_without_a_size_are_read() -> None:
    body = zstandard.ZstdCompressor(write_content_size=False).compress(b"x" * 1000)
    assert CompressedStream(3).receive(zstd_packed(body, 1000)) == b"x" * 1000
    with pytest.raises(ClientProtocolError):
        CompressedStream(3).receive(zstd_packed(body, 999))
