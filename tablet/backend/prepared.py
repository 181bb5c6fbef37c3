"""The statements prepared on one connection: text to the server's statement id, least recently used out first.

Bounded in count, since MySQL counts them against max_prepared_stmt_count of the whole server. The key has the
settings and database under which a text was prepared: sql_mode decides how it is parsed.
"""

from typing import Final

from wire.constants import COM_STMT_BULK_EXECUTE, COM_STMT_EXECUTE
from wire.query_attributes import named_types, types_end, with_attributes

MAX_STATEMENTS: Final = 64
"""Statements kept on one connection."""

MAX_HEADS: Final = 16
"""Bindings of one statement that are kept; a client's types change seldom, its NULLs at times."""
MAX_HEAD_BYTES: Final = 1024
"""Longer ones are made anew each time: there are as many as statements and connections."""

_FEW: Final = MAX_STATEMENTS // 2

Key = tuple[bytes, str, str]
"""Text, settings, database."""


class OnServer:
    """One statement, as the server knows it: makes its COM_STMT_EXECUTE."""

    __slots__ = ("_count", "_heads", "_named", "_types_end", "command", "number")

    def __init__(self, number: int, count: int, query_attributes: bool) -> None:
        """`count`: of its parameters. `query_attributes`: the connection has CLIENT_QUERY_ATTRIBUTES."""
        self.number = number
        self.command = bytes((COM_STMT_EXECUTE,)) + number.to_bytes(4, "little")
        self._count = count
        self._named = query_attributes
        self._types_end = types_end(count) if count and query_attributes else 0
        self._heads: dict[bytes, bytes] = {}
        """What `named_types` made of NULL bits and types, command before it: they repeat."""

    def execute(self, params: bytes) -> bytes:
        """The payload that runs it with `params`, which bind `count` types without names, or with many rows of them
        (`wire.bulk`)."""
        if params[0] == COM_STMT_BULK_EXECUTE:
            return params[:1] + self.command[1:] + params[1:]
        end = self._types_end
        if not end:
            return self.command + params
        before = params[:end]
        if end > MAX_HEAD_BYTES:
            return self.command + named_types(before, self._count) + params[end:]
        head = self._heads.get(before)
        if head is None:
            if len(self._heads) >= MAX_HEADS:
                self._heads.clear()
            head = self._heads[before] = self.command + named_types(before, self._count)
        return head + params[end:]

    def execute_with(self, params: bytes, attributes: bytes) -> bytes:
        """As `execute`, with query attributes where the server knows them."""
        if not self._named or params[0] == COM_STMT_BULK_EXECUTE:
            return self.execute(params)
        return self.command + with_attributes(params, self._count, attributes)


class Prepared:
    """The statements of one connection. A reset of the session drops them all: `clear`."""

    __slots__ = ("_known",)

    def __init__(self) -> None:
        self._known: dict[Key, OnServer] = {}

    def __len__(self) -> int:
        return len(self._known)

    def get(self, key: Key) -> OnServer | None:
        """The statement, now the most recently used one. Of few statements no order is kept."""
        known = self._known
        if len(known) <= _FEW:
            return known.get(key)
        found = known.pop(key, None)
        if found is not None:
            known[key] = found
        return found

    def add(self, key: Key, statement: OnServer) -> int | None:
        """Remembers `statement`; returns the id of one to close on the server, if that is one too many."""
        replaced = self._known.pop(key, None)
        self._known[key] = statement
        if replaced is not None:
            return replaced.number
        if len(self._known) > MAX_STATEMENTS:
            return self._known.pop(next(iter(self._known))).number
        return None

    def clear(self) -> None:
        self._known.clear()
