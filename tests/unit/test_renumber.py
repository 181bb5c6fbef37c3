"""Sequence ids that go on from a command of several packets."""

import random

import pytest

from router.clients.renumber import Renumbered
from wire.packets import frame


@pytest.mark.parametrize("seed", range(20))
def test_ids_move_and_bytes_stay_however_they_are_cut(seed: int) -> None:
    rnd = random.Random(seed)
    offset = rnd.randrange(1, 256)
    payloads = [rnd.randbytes(rnd.choice((0, 1, 3, 5, 300))) for _ in range(30)]
    data = b"".join(frame(payload, number & 0xFF) for number, payload in enumerate(payloads, 1))
    expected = b"".join(frame(payload, number + offset & 0xFF) for number, payload in enumerate(payloads, 1))
    written: list[bytes] = []
    out = Renumbered(written.append, offset)
    at = 0
    while at < len(data):
        step = rnd.choice((1, 2, 3, 4, 5, 100))
        out.write(data[at : at + step])
        at += step
    assert b"".join(written) == expected
    assert all(written)
