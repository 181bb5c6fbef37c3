"""The compressed protocol, without I/O."""

import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from wire.compression import CompressedStream
from wire.errors import ClientProtocolError
from wire.packets import frame


def packed(piece: bytes, sequence: int, size: int | None = None) -> bytes:
    body = zlib.compress(piece)
    whole = len(piece) if size is None else size
    return (len(body) | sequence << 24 | whole << 32).to_bytes(7, "little") + body


@given(st.lists(st.binary(max_size=300), max_size=6), st.integers(1, 40))
def test_any_cut_gives_the_same(pieces: list[bytes], step: int) -> None:
    sender, receiver = CompressedStream(), CompressedStream()
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


def test_long_answers_are_cut_and_small_ones_left() -> None:
    sender, receiver = CompressedStream(), CompressedStream()
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
