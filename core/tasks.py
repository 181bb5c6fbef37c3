"""Ending tasks."""

import asyncio
from typing import Any, Final

AGAIN_S: Final = 0.05


async def end(*tasks: "asyncio.Task[Any] | None") -> list[BaseException | None]:
    """Cancels `tasks` until each has ended, and gives what it raised (None: nothing, or CancelledError).

    Once is not enough: `asyncio.wait_for` of Python 3.11 forgets a cancel that comes in the same turn of the loop as
    what it waits for, and a task that goes round and round would never end (https://github.com/python/cpython/issues/86296).
    """
    left = [task for task in tasks if task is not None]
    while pending := [task for task in left if not task.done()]:
        for task in pending:
            task.cancel()
        await asyncio.wait(pending, timeout=AGAIN_S)
    return [None if task.cancelled() else task.exception() for task in left]
