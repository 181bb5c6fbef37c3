"""Answers to a command that came in several packets: their sequence ids go on from the command's last one.

Everything in the router writes answers from sequence id 1, since almost every command is one packet with id 0.
Some clients (PyMySQL) check the ids, so for a command of 16 MiB and more the difference is added on the way out.
"""

from collections.abc import Callable


class Renumbered:
    """`write` adds `offset` to the sequence id of each packet; a packet may come in any number of pieces."""

    __slots__ = ("_body", "_header", "_offset", "_write")

    def __init__(self, write: Callable[[bytes], object], offset: int) -> None:
        self._write = write
        self._offset = offset
        self._header = b""
        self._body = 0
        """Bytes still to come of the packet whose header has been seen."""

    def write(self, data: bytes) -> None:
        """Passes on what it can; a header that is not whole waits for the rest."""
        data = self._header + data
        out = bytearray(data)
        size = len(data)
        at = self._body
        while at + 4 <= size:
            out[at + 3] = (data[at + 3] + self._offset) & 0xFF
            at += 4 + int.from_bytes(data[at : at + 3], "little")
        if at < size:
            self._header = data[at:]
            self._body = 0
            del out[at:]
        else:
            self._header = b""
            self._body = at - size
        if out:
            self._write(bytes(out))
