"""A client that tracks its session: what the packet that ends an answer tells it, byte for byte."""

from typing import Any, Final

from tests.wire.raw_client import RawClient
from wire.constants import (
    CLIENT_DEPRECATE_EOF,
    EOF_HEADER,
    ERR_HEADER,
    OK_HEADER,
    SERVER_MORE_RESULTS_EXISTS,
    SERVER_SESSION_STATE_CHANGED,
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_IN_TRANS_READONLY,
)
from wire.packets import PacketReader, frame, read_lenenc_int

_STATUS: Final = (
    SERVER_SESSION_STATE_CHANGED
    | SERVER_STATUS_AUTOCOMMIT
    | SERVER_STATUS_IN_TRANS
    | SERVER_STATUS_IN_TRANS_READONLY
)


class Told(RawClient):
    """Log in with CLIENT_SESSION_TRACK."""

    def ends(self, sql: str) -> list[tuple[Any, ...]]:
        """Of each result of the answer: its kind, and the status flags and what is told, or the error's number."""
        head = b"\3\0\1" if self.query_attributes else b"\3"
        self.socket.sendall(frame(head + sql.encode()))
        reader = PacketReader(consecutive=True)
        reader.expected = 1
        found: list[tuple[Any, ...]] = []
        more = True
        while more:
            payload = self._next(reader)[0]
            kind = {OK_HEADER: "OK", ERR_HEADER: "ERR"}.get(payload[0], "rows")
            if kind == "rows":
                for _ in range(read_lenenc_int(payload, 0)[0] + (not self.caps & CLIENT_DEPRECATE_EOF)):
                    self._next(reader)
                while (payload := self._next(reader)[0])[0] not in (EOF_HEADER, ERR_HEADER):
                    pass
            more = False
            if payload[0] == ERR_HEADER:
                found.append(("ERR", int.from_bytes(payload[1:3], "little")))
            elif kind == "rows" and not self.caps & CLIENT_DEPRECATE_EOF:
                more = bool(payload[3] & SERVER_MORE_RESULTS_EXISTS)
                found.append((kind,))
            else:
                at = read_lenenc_int(payload, read_lenenc_int(payload, 1)[1])[1]
                status = int.from_bytes(payload[at : at + 2], "little")
                more = bool(status & SERVER_MORE_RESULTS_EXISTS)
                told = None
                if status & SERVER_SESSION_STATE_CHANGED:
                    size, start = read_lenenc_int(payload, at + 4)
                    told = payload[start + size :]
                found.append((kind, hex(status & _STATUS), told))
        return found
