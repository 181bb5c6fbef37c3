"""Who waits for what a tablet answers, and who takes what nobody waits for any more."""

from typing import TYPE_CHECKING, Protocol

from core.rpc import messages as m

if TYPE_CHECKING:
    from router.gateway import Link


class Receiver(Protocol):
    """Whoever waits for an answer."""

    def on_result(self, info: int, data: bytes, handle: int, status: int) -> None:
        """A piece of the answer; the last one has I_LAST. `handle` and `status` are 0 where none came."""
        ...

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        """The tablet (or the way to it) refused or lost the request. `handle` 0: what was held is gone."""
        ...


class PreparedReceiver(Protocol):
    """Whoever waits for the answer of PREPARE."""

    def on_prepared(self, params: int, columns: int, packets: bytes) -> None: ...

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None: ...


class Nobody:
    """Takes the answers of requests whose asker went away, and frees what they hold."""

    __slots__ = ("_link",)

    def __init__(self, link: "Link") -> None:
        self._link = link

    def on_result(self, info: int, data: bytes, handle: int, status: int) -> None:
        del data, status
        if info & m.I_LAST and handle:
            self._link.free(handle)

    def on_fail(self, number: int, sqlstate: str, text: str, handle: int) -> None:
        del number, sqlstate, text
        if handle:
            self._link.free(handle)
