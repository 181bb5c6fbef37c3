"""The statements prepared on one connection: text to the server's statement id, least recently used out first.

Bounded in count, since MySQL counts them against max_prepared_stmt_count of the whole server. The key has the
settings and database under which a text was prepared: sql_mode decides how it is parsed.
"""

from typing import Final

MAX_STATEMENTS: Final = 64
"""Statements kept on one connection."""

_FEW: Final = MAX_STATEMENTS // 2

Key = tuple[bytes, str, str]
"""Text, settings, database."""


class Prepared:
    """The statements of one connection. A reset of the session drops them all: `clear`."""

    __slots__ = ("_ids",)

    def __init__(self) -> None:
        self._ids: dict[Key, int] = {}

    def __len__(self) -> int:
        return len(self._ids)

    def get(self, key: Key) -> int | None:
        """The server's statement id, now the most recently used one. Of few statements no order is kept."""
        ids = self._ids
        if len(ids) <= _FEW:
            return ids.get(key)
        number = ids.pop(key, None)
        if number is not None:
            ids[key] = number
        return number

    def add(self, key: Key, number: int) -> int | None:
        """Remembers `number`; returns the id of one to close on the server, if that is one too many."""
        replaced = self._ids.pop(key, None)
        self._ids[key] = number
        if replaced is not None:
            return replaced
        if len(self._ids) > MAX_STATEMENTS:
            return self._ids.pop(next(iter(self._ids)))
        return None

    def clear(self) -> None:
        self._ids.clear()
