"""Stops a statement on MySQL: KILL QUERY by the admin lane, and what is safe afterwards.

KILL names a thread, not a statement: one that comes late hits the next statement. So whoever had a statement killed
either closes the connection, or (a transaction that must survive) waits until both the statement has ended and the
KILL was answered, and then lets a COM_PING take a kill that is still pending.
"""

from collections.abc import Callable
from typing import Final

from tablet.backend.admin import AdminLane
from tablet.backend.connection import Connection
from tablet.backend.server import Answer

HARD_AFTER_S: Final = 5.0
"""A statement that goes on for so long after its KILL loses its connection."""


class Kill:
    """One KILL QUERY under way; `answered` once MySQL confirmed it or the lane broke down."""

    __slots__ = ("_then", "answered", "lost", "since_s")

    def __init__(
        self, admin: AdminLane, connection: Connection, now_s: float, then: Callable[[], None]
    ) -> None:
        self.since_s = now_s
        self.answered = False
        self.lost = False
        """Whether it arrived is not known."""
        self._then = then
        admin.run(f"KILL QUERY {connection.thread_id}", self._done)

    def _done(self, answer: Answer) -> None:
        self.answered = True
        self.lost = answer.lost
        self._then()
