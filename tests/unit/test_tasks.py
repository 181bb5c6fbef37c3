"""Tasks end, also where wait_for forgets that they were cancelled."""

import asyncio

from core.tasks import end


async def test_a_cancel_in_the_turn_of_what_is_waited_for_is_not_forgotten() -> None:
    woken = asyncio.Event()

    async def rounds() -> None:
        while True:
            woken.clear()
            try:
                await asyncio.wait_for(woken.wait(), 60)
            except TimeoutError:
                pass

    task = asyncio.create_task(rounds())
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    woken.set()
    assert await asyncio.wait_for(end(task, None), 30) == [None]
    assert task.done()


async def test_what_a_task_raised_is_given() -> None:
    async def fails() -> None:
        raise ValueError("no")

    task = asyncio.create_task(fails())
    await asyncio.sleep(0)
    (failure,) = await end(task)
    assert isinstance(failure, ValueError)
