"""What a session holds on tablets: its transaction, and connections reserved for it.

Invariants:
- A handle belongs to one incarnation of one tablet; of another it is worth nothing (`handle_on` says lost).
- A transaction that lost any of its shards is lost as a whole: every later statement gets TRANSACTION_LOST until
  ROLLBACK, and what it still holds elsewhere is rolled back at once.
- Lookup tables get their new entries committed before the rows of their owners, and lose old ones after them: a crash
  in between leaves an entry too many, which does no harm, and none too few (where one shard has both, one of the two).
- Nothing is called committed unless every shard that took part answered its COMMIT with OK.
"""

from dataclasses import dataclass, field

from core.errors import SluiceError, fail
from router.gateway import Link
from wire.constants import (
    SERVER_STATUS_AUTOCOMMIT,
    SERVER_STATUS_IN_TRANS,
    SERVER_STATUS_IN_TRANS_READONLY,
)


@dataclass(slots=True)
class Held:
    """A connection that a tablet keeps for this session."""

    handle: int
    incarnation: int


@dataclass(slots=True)
class Transaction:
    """An open transaction. It takes a shard's connection when the first statement for that shard comes."""

    begin: list[str]
    """The statements that open it on a shard, one by one."""
    held: dict[Link, Held] = field(default_factory=dict)
    savepoints: list[bytes] = field(default_factory=list)
    """SAVEPOINT statements so far, run on shards that join later, so that ROLLBACK TO works there as well."""
    lost: str = ""
    """Why the transaction is lost; empty while it is sound."""
    read_only: bool = False
    explicit: bool = False
    """The client began it with a statement; else it is autocommit=0's, or the router's own."""
    settings_text: str = ""
    """The session's settings when it began."""
    first: bool = False
    """autocommit=0 has begun it for the statement that runs, which is its first."""
    calling: bool = False
    """A CALL runs, which may begin and end transactions by itself (`router/sessions/called.py`)."""
    tentative: bool = False
    """None is open yet."""
    branch: Link | None = None
    """It is an XA branch of this shard, which the client ends by XA statements (`statements/xa.py`)."""
    committing: bool = False
    """COMMITs are on their way: nobody else may end it."""
    entries: dict[Link, bool] | None = None
    """Shards whose lookup tables it wrote: whether entries go there."""
    before: set[tuple[Link, Link]] | None = None
    """Shards of which the first commits before the second, where nothing says the opposite too."""

    def called(self, status: int) -> bool:
        """The CALL has an answer; `status`: MySQL's, after it. Returns whether autocommit is on."""
        self.calling = False
        autocommit = bool(status & SERVER_STATUS_AUTOCOMMIT)
        if self.tentative and status & SERVER_STATUS_IN_TRANS:
            self.opened()
            self.explicit = autocommit
            self.read_only = bool(status & SERVER_STATUS_IN_TRANS_READONLY)
        return autocommit

    def opened(self) -> None:
        """A tentative one is one now."""
        self.tentative = False
        self.begin = ["START TRANSACTION"]

    def note_entries(self, link: Link, *, gone: bool) -> None:
        """Remembers a write to a lookup table."""
        if self.entries is None:
            self.entries = {}
        self.entries[link] = gone or self.entries.get(link, False)

    def in_order(self) -> list[Link]:
        """The shards in the order of their COMMITs."""
        left = list(self.held)
        if self.entries is not None:
            entries, places = self.entries, {False: 0, None: 1, True: 2}
            left.sort(key=lambda link: places[entries.get(link)])
        if not self.before:
            return left
        order: list[Link] = []
        while left:
            waits = {last for first, last in self.before if first in left}
            one = next((link for link in left if link not in waits), left[0])
            left.remove(one)
            order.append(one)
        return order

    def commits_before(self, first: Link, last: Link) -> None:
        """Rows have gone from `last` to `first`: a crash between the two COMMITs leaves them twice, not nowhere."""
        if self.before is None:
            self.before = set()
        self.before.add((first, last))

    def handle_on(self, link: Link) -> int:
        """The handle on `link`; 0 if this transaction has not been there. Raises TRANSACTION_LOST."""
        held = self.held.get(link)
        if held is None:
            return 0
        if held.incarnation != link.incarnation or not link.ready:
            raise self.lose(f"the tablet of {link.keyspace}/{link.shard} was restarted")
        return held.handle

    def note(self, link: Link, handle: int) -> None:
        """Remembers what the tablet's last answer said it holds."""
        if handle:
            held = self.held.get(link)
            if held is None or held.handle != handle:
                self.held[link] = Held(handle, link.incarnation)
        else:
            self.held.pop(link, None)

    def lose(self, reason: str) -> SluiceError:
        """Gives up the whole transaction: rolls back what is left, and returns the error for the client."""
        if not self.lost:
            self.lost = reason
            self.free()
        return self._loss()

    def free(self) -> None:
        """Rolls back and gives back everything held, without waiting for an answer (nothing while COMMITs run)."""
        if self.committing:
            return
        for link, held in self.held.items():
            if held.incarnation == link.incarnation:
                link.free(held.handle)
        self.held.clear()

    def check(self) -> None:
        """Raises TRANSACTION_LOST, or XA_LOST, if it is lost."""
        if self.lost:
            raise self._loss()

    def _loss(self) -> SluiceError:
        return fail("TRANSACTION_LOST" if self.branch is None else "XA_LOST", reason=self.lost)
