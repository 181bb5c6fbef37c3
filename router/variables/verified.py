"""Values of settings that a server has accepted: asked for once a value and worker.

A server may take a value and keep another (a number cut to its limit, `ansi` spelled out): what it keeps is what the
settings hold, so that equal settings have equal text and share connections.
"""

from typing import Final

MAX_VERIFIED: Final = 4096


class Verified:
    """(name, literal asked for) -> literal that the server keeps. Bounded; the oldest goes first."""

    __slots__ = ("_kept",)

    def __init__(self) -> None:
        self._kept: dict[tuple[str, str], str] = {}

    def get(self, name: str, asked: str) -> str | None:
        return self._kept.get((name, asked))

    def put(self, name: str, asked: str, kept: str) -> None:
        if len(self._kept) >= MAX_VERIFIED:
            del self._kept[next(iter(self._kept))]
        self._kept[(name, asked)] = kept

    def clear(self) -> None:
        """The servers changed: ask again."""
        self._kept.clear()
