"""Questions of the main process to its workers, and their answers.

Invariant: each question ends: with the answer, with {} when the worker is gone, or, where it was `ask`ed, with {} after
ANSWER_S. One that was only begun has no limit of time; who no longer waits for it says so with `forget`.
"""

import asyncio
from typing import Any, Final

from core.rpc import messages as m
from core.rpc.serving import Serving

ANSWER_S: Final = 2.0


class Asking:
    """See the module."""

    def __init__(self, serving: Serving) -> None:
        self._serving = serving
        self._asked: dict[int, tuple[bytes, asyncio.Future[dict[str, Any]]]] = {}
        self._last = 0

    def begin(
        self, identity: bytes, what: str, values: dict[str, Any]
    ) -> tuple[int, "asyncio.Future[dict[str, Any]]"]:
        """Asks without a limit of time: the question's number, and where the answer will be."""
        self._last += 1
        future: asyncio.Future[dict[str, Any]] = asyncio.get_running_loop().create_future()
        self._asked[self._last] = identity, future
        self._serving.send(identity, (m.ASK, self._last, what, values))
        return self._last, future

    def forget(self, number: int) -> None:
        """Nobody waits for the answer any more."""
        self._asked.pop(number, None)

    async def ask(self, identity: bytes, what: str, values: dict[str, Any]) -> dict[str, Any]:
        """A worker's answer; {} where it gives none within ANSWER_S."""
        number, future = self.begin(identity, what, values)
        try:
            return await asyncio.wait_for(future, ANSWER_S)
        except TimeoutError:
            return {}
        finally:
            self.forget(number)

    def tell(self, identity: bytes, what: str, values: dict[str, Any]) -> None:
        """Asks what has no answer."""
        self._serving.send(identity, (m.ASK, 0, what, values))

    def answered(self, number: int, answer: dict[str, Any]) -> None:
        asked = self._asked.pop(number, None)
        if asked is not None and not asked[1].done():
            asked[1].set_result(answer)

    def gone(self, identity: bytes) -> None:
        """The worker has ended: what it was asked has no answer."""
        for number in [number for number, (whom, _) in self._asked.items() if whom == identity]:
            self.answered(number, {})
