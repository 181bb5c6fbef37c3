"""What property tests of the protocol draw from; derandomised, so that a run is the same everywhere."""

from itertools import pairwise

from hypothesis import settings
from hypothesis import strategies as st

from wire.packets import frame

fast = settings(derandomize=True, deadline=None, max_examples=120, database=None)


def cut(data: bytes, cuts: list[int]) -> list[bytes]:
    """`data` in chunks, cut at these offsets (modulo its length)."""
    places = sorted({at % (len(data) + 1) for at in cuts} | {0, len(data)})
    return [data[a:b] for a, b in pairwise(places)]


cuts = st.lists(st.integers(0, 1 << 20), max_size=12)
cells = st.one_of(st.none(), st.binary(max_size=300))


def renumber(payloads: list[bytes], first: int = 1) -> bytes:
    """Payloads, each below 16 MiB, as consecutive packets."""
    return b"".join(frame(payload, (first + index) & 0xFF) for index, payload in enumerate(payloads))
