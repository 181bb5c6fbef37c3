"""A time limit for what the tablet itself asks of MySQL on connections of the pool: SET, BEGIN, COM_PING, ROLLBACK,
SHOW WARNINGS, COM_RESET_CONNECTION. A network that swallows packets answers none of them, and closes nothing.

Invariant: no `Command` is waited for longer than the limit; then its connection is closed, whoever waits is told
that it is lost, and its place comes back as after any loss (`pool/closing.py`).

    MySQL answers its admin lane     query_timeout_s, and HARD_AFTER_S: a long transaction may be rolling back
    it does not                      HARD_AFTER_S

When a command began is not kept (nearly all end before anybody asks): the sweep notes when it first saw it.
"""

import logging
from collections.abc import Iterable
from typing import Final

from tablet.backend.connection import Command, Connection
from tablet.backend.killer import HARD_AFTER_S

log = logging.getLogger("sluice.tablet")

SILENT: Final = "MySQL did not answer the tablet's own command for {0:.0f} s; the connection is closed"


class Silence:
    """One a tablet."""

    def __init__(self, query_timeout_s: float) -> None:
        self._most_s = query_timeout_s + HARD_AFTER_S
        self._since: dict[Connection, tuple[Command, float]] = {}

    def sweep(self, connections: Iterable[Connection], now_s: float, answers: bool) -> list[str]:
        """Closes connections that say nothing; gives a sentence for each. `answers`: MySQL does, elsewhere."""
        before, self._since = self._since, {}
        said: list[str] = []
        for connection in connections:
            command = connection.task
            if not isinstance(command, Command) or connection.closing:
                continue
            known, since_s = before.get(connection, (None, now_s))
            if known is not command:
                since_s = now_s
            if now_s - since_s >= (self._most_s if answers else HARD_AFTER_S):
                said.append(SILENT.format(now_s - since_s))
                log.warning("thread %d: %s", connection.thread_id, said[-1])
                connection.abort()
            else:
                self._since[connection] = (command, since_s)
        return said
