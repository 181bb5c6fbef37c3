"""What a session has to do with while a statement runs: who runs it, around what, and where its answer comes from."""

from collections.abc import Sequence
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from router.sessions.session import Session


class Runner(Protocol):
    """A compiled plan: runs one statement on a session, ending in `session.done()` (through forward, reply, ...)."""

    def run(self, session: "Session", sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        """`literals` fill the plan's binds; `params` is the COM_STMT_EXECUTE tail of a prepared execution."""
        ...


class Course(Protocol):
    """A statement's surroundings: several statements of one COM_QUERY, a cursor being opened."""

    def goes_on(self) -> bool:
        """The statement has been answered; True if another follows as part of the same command."""
        ...


class Source(Protocol):
    """A streaming answer made of several."""

    def on_writable(self) -> None:
        """The client takes more."""
        ...

    def interrupt(self) -> None:
        """Ends early what still runs; its ends come as ever."""
        ...
