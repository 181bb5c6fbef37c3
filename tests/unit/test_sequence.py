"""Generated ids: never the same twice, whatever fails or happens at once."""

import asyncio
from types import SimpleNamespace
from typing import Any

import pytest

from core.errors import SluiceError
from core.rpc import messages as m
from router.calls import Calls
from router.execute.insert import _is_zero_or_null
from router.execute.sequence import MAX_BLOCK, Sequences
from router.plan.plans import Bind
from tests.unit.fake_tablets import FakeTablet
from wire.answers import err_packet, ok_packet
from wire.packets import frame


class Table(FakeTablet):
    """A tablet with one sequence table."""

    def __init__(self, next_id: int = 1, cache: int = 10) -> None:
        super().__init__("seqs", "-")
        self.next_id = next_id
        self.cache = cache
        self.row = True
        self.fail: list[str] = []
        """What becomes of the next UPDATEs: "" done, "before" refused, "after" done and the answer lost."""
        self.updates = 0

    def answer(self, record: tuple[Any, ...], says: Any = None, dealer: Any = None) -> None:
        _, request, _, _, _, _, _, _, sql, _ = record
        if sql.startswith(b"SELECT cache"):
            eof = frame(b"\xfe\0\0\0\0", 3)
            rows = frame(b"%c%d" % (len(str(self.cache)), self.cache), 4) if self.row else b""
            data = frame(b"\1", 1) + frame(b"column", 2) + eof + rows + frame(b"\xfe\0\0\0\0", 5)
            self.link.on_record([m.RESULT, request, m.I_LAST, data])
            return
        self.updates += 1
        what = self.fail.pop(0) if self.fail else ""
        if what == "before":
            data = err_packet(1, 1205, "HY000", "Lock wait timeout")
            self.link.on_record([m.RESULT, request, m.I_LAST | m.I_ERR, data])
            return
        assert b"LAST_INSERT_ID(next_id + " in sql
        self.next_id += int(sql.split(b"next_id + ")[1].split(b")")[0])
        if what == "after":
            self.link.on_record([m.FAIL, request, 15008, "HY000", "lost", 0])
            return
        self.link.on_record([m.RESULT, request, m.I_LAST | m.I_OK, ok_packet(1, 1, self.next_id, 2)])


def sequences(*tables: Table) -> list[Sequences]:
    loop = asyncio.get_running_loop()
    found = []
    for table in tables:
        view = SimpleNamespace(keyspace=lambda name, table=table: SimpleNamespace(links=[table.link]))
        found.append(Sequences(SimpleNamespace(view=view, calls=Calls(loop))))  # type: ignore[arg-type]
    return found


def table(**values: Any) -> Table:
    made = Table(**values)
    made.welcome()
    return made


async def test_ids_come_in_blocks() -> None:
    one = table()
    (taker,) = sequences(one)
    assert [await taker.take("seqs", "s", 1) for _ in range(25)] == list(range(1, 26))
    assert one.updates == 3


async def test_concurrent_takes_of_two_workers_never_give_the_same() -> None:
    one = table(cache=7)
    takers = sequences(one, one)
    counts = [1, 3, 8, 2, 5, 20, 1, 7, 4, 6] * 10
    firsts = await asyncio.gather(
        *(takers[at % 2].take("seqs", "s", count) for at, count in enumerate(counts))
    )
    given = [first + at for first, count in zip(firsts, counts, strict=True) for at in range(count)]
    assert len(given) == len(set(given)) == sum(counts)
    assert min(given) == 1


async def test_failed_fetches_give_nothing_twice() -> None:
    one = table(cache=2)
    (taker,) = sequences(one)
    given, refused = [], 0
    one.fail = ["", "before", "after"] * 20
    for _ in range(60):
        try:
            given.append(await taker.take("seqs", "s", 1))
        except SluiceError:
            refused += 1
    assert refused > 5
    assert len(given) == len(set(given))


async def test_a_cancelled_take_leaves_the_block_sound() -> None:
    one = table()
    (taker,) = sequences(one)
    tasks = [asyncio.ensure_future(taker.take("seqs", "s", 1)) for _ in range(8)]
    await asyncio.sleep(0)
    for task in tasks[:4]:
        task.cancel()
    found = await asyncio.gather(*tasks, return_exceptions=True)
    given = [one for one in found if isinstance(one, int)]
    assert len(given) == len(set(given)) == 4


async def test_zero_is_never_given() -> None:
    one = table(next_id=0, cache=1)
    (taker,) = sequences(one)
    assert [await taker.take("seqs", "s", 1) for _ in range(3)] == [1, 2, 3]


async def test_more_than_a_block_at_once_is_refused_and_no_row_is_said() -> None:
    one = table()
    (taker,) = sequences(one)
    with pytest.raises(SluiceError):
        await taker.take("seqs", "s", MAX_BLOCK + 1)
    one.row = False
    with pytest.raises(SluiceError, match="no row"):
        await taker.take("seqs", "other", 1)


@pytest.mark.parametrize(
    ("text", "wants"),
    [("NULL", True), ("0", True), ("'0'", True), ("0.0", True), ("1", False), ("'7'", False), ("'a'", False)],
)
def test_what_asks_for_an_id(text: str, wants: bool) -> None:
    assert _is_zero_or_null(Bind(0), [text.encode()]) is wants
