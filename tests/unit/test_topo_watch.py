"""What the watches of a store ask together."""

import asyncio
from typing import Any, cast

from controlplane.topo.watch import MARK_S, WatchHub


class Store:
    def __init__(self) -> None:
        self.asked = 0
        self.answer = (3, 17, 1)

    async def newest(self, prefix: str, *, timeout_s: float) -> tuple[int, int, int]:
        assert prefix == ""
        assert timeout_s > 0
        self.asked += 1
        await asyncio.sleep(0)
        return self.answer


async def test_many_watches_cost_one_question() -> None:
    store, hub = Store(), WatchHub(cast("Any", None))
    found = await asyncio.gather(*(hub.mark(cast("Any", store)) for _ in range(8)))
    assert set(found) == {store.answer}
    assert store.asked == 1
    store.answer = (4, 18, 1)
    hub._asked_s -= 2 * MARK_S
    assert await hub.mark(cast("Any", store)) == store.answer
    assert store.asked == 2


async def test_who_stops_waiting_does_not_end_the_question_of_the_others() -> None:
    store, hub = Store(), WatchHub(cast("Any", None))
    one = asyncio.ensure_future(hub.mark(cast("Any", store)))
    other = asyncio.ensure_future(hub.mark(cast("Any", store)))
    await asyncio.sleep(0)
    one.cancel()
    assert await other == store.answer
    assert one.cancelled()
