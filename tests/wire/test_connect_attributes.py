"""Connection attributes: what is kept of them, and what it says. The bounds are those that MySQL 9.7 showed."""

from hypothesis import given
from hypothesis import strategies as st

from tests.wire.strategies import fast
from wire.connect_attributes import MAX_KEPT_BYTES, described, kept
from wire.packets import lenenc_bytes

Pairs = list[tuple[str, str]]
texts = st.text(st.characters(codec="utf-8"), max_size=40)


def block_of(pairs: Pairs) -> bytes:
    return b"".join(lenenc_bytes(name.encode()) + lenenc_bytes(value.encode()) for name, value in pairs)


@fast
@given(st.lists(st.tuples(texts, texts), max_size=30))
def test_what_fits_is_kept_and_the_rest_is_counted(pairs: Pairs) -> None:
    block = block_of(pairs)
    found = described(*kept(block))
    if len(block) <= MAX_KEPT_BYTES:
        assert found == pairs
        return
    (name, lost), *rest = found
    assert (name, int(lost)) == ("_truncated", len(block) - 494)
    assert rest == pairs[: len(rest)]
    assert len(block_of(rest)) <= 494 < len(block_of(pairs[: len(rest) + 1]))
    assert len(block_of(found)) <= MAX_KEPT_BYTES


def test_clients_that_differ_in_their_process_only_share_what_is_kept() -> None:
    def login(pid: str) -> Pairs:
        return [("_client_name", "libmysql"), ("_pid", pid), ("program_name", "shop")]

    first, second = kept(block_of(login("7"))), kept(block_of(login("4294967295")))
    assert first[0] == second[0]
    assert (first[1], second[1]) == (7, 2**32 - 1)
    for pid in ("7", "4294967295", "4294967296", "0", "007", "", "x", "-1", "\u0663"):
        assert described(*kept(block_of(login(pid)))) == login(pid)
    twice = [("_pid", "5"), ("_pid", ""), ("_pid", "6")]
    assert described(*kept(block_of(twice))) == twice
    assert kept(b"") == (b"", 0)


def test_more_than_fits_as_a_server_shows_it() -> None:
    pairs = [("_client_name", "pymysql"), ("_client_version", "1.2.4"), ("_pid", "7890")]
    assert [name for name, _ in described(*kept(block_of([*pairs, ("program_name", "p" * 440)])))][
        -1
    ] == "program_name"
    for size, lost in ((450, "25"), (600, "175"), (5000, "4575")):
        found = described(*kept(block_of([*pairs, ("program_name", "p" * size)])))
        assert found == [("_truncated", lost), *pairs]
