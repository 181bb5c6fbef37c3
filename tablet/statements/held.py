"""Connections that a session holds: transactions and reservations, known to the router by a handle.

Invariants: a handle belongs to one peer and is answered to no other; statements of a handle run one after the
other; a handle that ended by itself (connection lost, time limit) leaves a tombstone, so that the next statement
learns why.

    limit                                        applies to
    transaction_timeout_s                        from the start of the transaction
    idle_transaction_timeout_s                   in a transaction, since the last statement
    idle_timeout_s                               reserved and in no transaction, since the last statement
"""

from dataclasses import dataclass
from typing import Any, Final

from core.config import Tablet as TabletConfig
from core.errors import SluiceError, fail
from tablet.backend.connection import Connection
from wire.constants import SERVER_STATUS_IN_TRANS

LOST_WITH_MYSQL: Final = "its connection to MySQL was lost"
MAX_TOMBSTONES: Final = 10_000


@dataclass(slots=True, eq=False)
class Held:
    """One connection held by a session."""

    handle: int
    peer: Any
    connection: Connection
    reserved: bool
    """Taken by F_RESERVE: its session state is the client's own, so it is reset when given back."""
    since_s: float
    used_s: float
    status: int = 0
    """MySQL's status flags after the last statement."""
    statement: Any = None
    """What runs on it now."""
    written: tuple[str, ...] | None = ()
    """Tables written by the open transaction; None: not known."""
    free_wanted: bool = False
    calling: bool = False
    """A CALL runs that began in no transaction: it may take as long as any statement."""
    branch: bool = False
    """It has an XA branch, active or prepared (`branches.py`)."""

    @property
    def in_transaction(self) -> bool:
        return bool(self.status & SERVER_STATUS_IN_TRANS)

    def gone(self, reason: str) -> SluiceError:
        """What the session is told that has lost it."""
        if self.branch:
            return fail("XA_LOST", reason=reason)
        beyond = self.reserved and not self.in_transaction
        return fail("RESERVATION_LOST" if beyond else "TRANSACTION_LOST", reason=reason)

    def add_written(self, tables: list[str] | None) -> None:
        if tables is None or self.written is None:
            self.written = None
        else:
            self.written = tuple({*self.written, *tables})


@dataclass(frozen=True, slots=True)
class Expired:
    held: Held
    setting: str
    limit_s: float


class Handles:
    """All handles of this tablet."""

    def __init__(self, config: TabletConfig, first: int) -> None:
        """`first`: larger than any handle of an earlier process at this address."""
        self._config = config
        self._next = first
        self._held: dict[int, Held] = {}
        self._tombstones: dict[int, SluiceError] = {}

    def add(self, peer: Any, connection: Connection, reserved: bool, now_s: float) -> Held:
        self._next += 1
        held = Held(self._next, peer, connection, reserved, now_s, now_s)
        self._held[held.handle] = held
        return held

    def get(self, handle: int, peer: Any) -> Held:
        """Raises SluiceError TRANSACTION_LOST or TRANSACTION_TIMEOUT where it is gone; says so once."""
        held = self._held.get(handle)
        if held is not None and held.peer is peer:
            return held
        error = self._tombstones.pop(handle, None)
        if error is not None:
            raise error
        raise fail("TRANSACTION_LOST", reason="the tablet does not know it: it was restarted or rolled back")

    def find(self, handle: int, peer: Any) -> Held | None:
        held = self._held.get(handle)
        return held if held is not None and held.peer is peer else None

    def remove(self, held: Held, why: SluiceError | None = None) -> None:
        """The handle is over; `why` is what its next statement is told, None if nobody will ask."""
        if self._held.pop(held.handle, None) is None or why is None:
            return
        self._tombstones[held.handle] = why
        if len(self._tombstones) > MAX_TOMBSTONES:
            del self._tombstones[next(iter(self._tombstones))]

    def of_peer(self, peer: Any) -> list[Held]:
        return [held for held in self._held.values() if held.peer is peer]

    def all(self) -> list[Held]:
        return list(self._held.values())

    @property
    def any(self) -> bool:
        return bool(self._held)

    @property
    def reserved(self) -> int:
        return sum(held.reserved for held in self._held.values())

    @property
    def transactions(self) -> int:
        return sum(not held.reserved or held.in_transaction for held in self._held.values())

    def expired(self, now_s: float) -> list[Expired]:
        """Those over a limit. One that runs a statement is over the transaction's limit only."""
        config = self._config
        out: list[Expired] = []
        for held in self._held.values():
            open_s = now_s - held.since_s
            idle_s = now_s - held.used_s if held.statement is None else 0.0
            if held.in_transaction or not (held.reserved or held.calling):
                if open_s >= config.transaction_timeout_s:
                    out.append(Expired(held, "transaction_timeout_s", config.transaction_timeout_s))
                elif idle_s >= config.idle_transaction_timeout_s:
                    out.append(Expired(held, "idle_transaction_timeout_s", config.idle_transaction_timeout_s))
            elif held.reserved and idle_s >= config.idle_timeout_s:
                out.append(Expired(held, "idle_timeout_s", config.idle_timeout_s))
        return out
