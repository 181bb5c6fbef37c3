"""Aggregate functions that are no server's own: stored ones (MariaDB), loadable ones.

Nobody can put their values of several shards together, so what a router sends to one of several (F_PARTIAL) is
refused where it names one. Invariant: before the first look none is known, and a tablet does not serve yet.
"""

import re
from collections.abc import Iterable
from typing import Final

from core.errors import SluiceError, not_supported

LOADED_SQL: Final = "SELECT name FROM mysql.func WHERE type = 'aggregate'"
"""Asked by itself: an account may not be allowed to read it."""
_STORED: Final = re.compile(rb"\bfetch\s+group\s+next\s+row\b", re.IGNORECASE)


class Aggregates:
    """Of one MySQL."""

    __slots__ = ("_loaded", "_pattern", "_stored")

    def __init__(self) -> None:
        self._stored: tuple[bytes, ...] = ()
        self._loaded: tuple[bytes, ...] = ()
        self._pattern: re.Pattern[bytes] | None = None

    @property
    def any(self) -> bool:
        """Whether there are any."""
        return self._pattern is not None

    def learn(self, functions: Iterable[tuple[bytes, bytes]]) -> None:
        """`functions`: all stored ones, name and body."""
        self._stored = tuple(name for name, body in functions if _STORED.search(body))
        self._compile()

    def learn_loaded(self, names: Iterable[bytes]) -> None:
        """`names`: what LOADED_SQL gives."""
        self._loaded = tuple(names)
        self._compile()

    def refusal(self, sql: bytes) -> SluiceError | None:
        """Why `sql` cannot be one of several shards' part."""
        found = self._pattern.search(sql) if self._pattern is not None else None
        if found is None:
            return None
        name = found.group(1).decode("utf-8", "replace")
        return not_supported(
            f"the aggregate function {name}, which is not MySQL's own, over several shards",
            "GROUP BY the sharding column, or give a value of it, so that each group lies on one shard.",
        )

    def _compile(self) -> None:
        names = {*self._stored, *self._loaded}
        if names:
            either = b"|".join(re.escape(name) for name in sorted(names))
            self._pattern = re.compile(rb"(?<![\w$])(" + either + rb")`?\s*\(", re.IGNORECASE)
        else:
            self._pattern = None
