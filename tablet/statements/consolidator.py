"""Identical reads that run at the same time share one execution.

The first is the leader and runs as if it were alone; the others join it and get its whole answer. Rules
- the key is everything that decides the bytes of the answer: text, parameters, settings, database, user, flavour;
- a joiner may join a leader that has not been sent to MySQL yet, or one since whose start no write to its tables was
  in flight (`tablet/epochs.py`), so that what it reads is not older than its own request;
- an answer beyond MAX_SHARED_BYTES, or one whose leader's client is slow, is not shared: the joiners run alone;
- a leader that ends without an answer of MySQL (cancelled, timed out, refused, lost) fails nobody but itself.
"""

from collections.abc import Sequence
from typing import Any, Final, Protocol

from tablet.epochs import Epochs

MAX_SHARED_BYTES: Final = 1 << 20
MAX_JOINERS: Final = 1000
"""Joiners of one leader."""


class Leader(Protocol):
    """What is seen of a statement here."""

    tables: list[str] | None
    flight: "Flight | None"


class Flight:
    """One execution that may be shared."""

    __slots__ = ("chunks", "clock", "joiners", "key", "leader", "size_bytes", "warnings")

    def __init__(self, key: tuple[Any, ...], leader: Any) -> None:
        self.key = key
        self.leader = leader
        self.clock = -1
        """The epochs' clock when it was sent to MySQL; -1 before."""
        self.joiners: dict[Any, None] | None = None
        """None while there was none: most have none."""
        self.chunks: list[bytes] | None = None
        """What was sent of the answer before its last part."""
        self.size_bytes = 0
        self.warnings = b""
        """What SHOW WARNINGS says of the answer."""


class Consolidator:
    """The flights under way, by key."""

    def __init__(self, epochs: Epochs, enabled: bool) -> None:
        self._epochs = epochs
        self._enabled = enabled
        self._flights: dict[tuple[Any, ...], Flight] = {}

    def join(self, key: tuple[Any, ...], statement: Any) -> str:
        """Empty: `statement` joined a flight and waits. Else the reason why it runs itself: "first", and it then
        leads; or a name for the stats."""
        if not self._enabled:
            return "off"
        tables = statement.tables
        if tables is None:
            return "tables_unknown"
        flight = self._flights.get(key)
        if flight is None:
            flight = Flight(key, statement)
            self._flights[key] = flight
            statement.flight = flight
            return "first"
        if flight.clock >= 0 and not self._epochs.quiet_since(tables, flight.clock):
            flight = Flight(key, statement)  # later ones join this one; the old one ends for those in it
            self._flights[key] = flight
            statement.flight = flight
            return "written"
        if flight.joiners is None:
            flight.joiners = {}
        elif len(flight.joiners) >= MAX_JOINERS:
            return "joiners_full"
        flight.joiners[statement] = None
        statement.flight = flight
        return ""

    def sent(self, flight: Flight) -> None:
        """The leader's text goes to MySQL now."""
        flight.clock = self._epochs.clock

    def part(self, flight: Flight, chunk: bytes) -> bool:
        """Keeps a part of an answer that comes in several; False if it became too large to share."""
        flight.size_bytes += len(chunk)
        if flight.size_bytes > MAX_SHARED_BYTES:
            return False
        if flight.chunks is None:
            flight.chunks = []
        flight.chunks.append(chunk)
        return True

    def end(self, flight: Flight) -> Sequence[Any]:
        """The flight is over, answered or not: returns its joiners, for whom the caller cares now."""
        if self._flights.get(flight.key) is flight:
            del self._flights[flight.key]
        flight.leader.flight = None
        if flight.joiners is None:
            return ()
        joiners = list(flight.joiners)
        for joiner in joiners:
            joiner.flight = None
        flight.joiners.clear()
        return joiners

    def leave(self, flight: Flight, joiner: Any) -> None:
        """`joiner` does not wait any longer."""
        if flight.joiners is not None:
            flight.joiners.pop(joiner, None)
        joiner.flight = None

    def __len__(self) -> int:
        return len(self._flights)
