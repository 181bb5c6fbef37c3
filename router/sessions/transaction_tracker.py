"""What a client that tracks its session is told of its transaction and of GTIDs, as the plain server would tell it.

    variable                          what it tells, in the OK packet (or the OK that ends rows) of a statement
    session_track_transaction_info    STATE: eight letters, when they change; CHARACTERISTICS: also the statements that
                                      begin the transaction again
    session_track_gtids               OWN_GTID: what the statement committed; ALL_GTIDS: all, with every statement

The state is put together here: a transaction begins in the router before any shard hears of it, and ends there; what a
server says while it runs (I_TRACKED) is kept by shard. Of the eight letters

    T or I      is the router's: explicit, or autocommit=0's own once it has touched a table
    r R w W s L are the servers'; of several shards, what any of them says (s also where the router answers)
    S (rows)    is the router's: a server also counts rows of the router's own statements around the client's

MySQL tells what changed with the next OK, whichever statement's that is; MariaDB with the OK of the statement that
changed it or not at all. MySQL tells of explicit transactions even where the variable is OFF. GTIDs that several
shards have given to one statement are not told: no server knows them all.
"""

import copy
from collections.abc import Sequence
from typing import TYPE_CHECKING, Final

from core.rpc import messages as m
from router.gateway import Link
from router.sessions.transaction import Transaction
from router.variables.reading import default_text, is_mariadb, setting_text
from wire.answers import SessionChanges, decode_session_changes
from wire.constants import CLIENT_DEPRECATE_EOF, CLIENT_SESSION_TRACK

if TYPE_CHECKING:
    from router.sessions.session import Session

TRANSACTION_INFO: Final = "session_track_transaction_info"
GTIDS: Final = "session_track_gtids"

_OFF: Final = "OFF"
_CHARACTERISTICS: Final = "CHARACTERISTICS"
_NOTHING: Final = "________"
_ROWS_AT: Final = 6
_UNSAFE_AT: Final = 5
_SET: Final = "SET TRANSACTION "
_UNSAFE_FUNCTIONS: Final = frozenset(("found_rows", "row_count", "user", "current_user", "version"))
_SAFE_VARIABLES: Final = frozenset(
    """
    auto_increment_increment auto_increment_offset character_set_client character_set_connection character_set_server
    collation_connection collation_database collation_server foreign_key_checks identity last_insert_id lc_time_names
    pseudo_thread_id rand_seed1 rand_seed2 sql_auto_is_null time_zone timestamp unique_checks
    """.split()  # noqa: SIM905
)
"""Those that the servers write into the binary log: a statement that reads others they call unsafe (s)."""


class Tracker:
    """Of one session, while something is tracked; see the module."""

    __slots__ = (
        "_blind", "_characteristics", "_fresh", "_gtids", "_link", "_mariadb", "_marked", "_reads", "_rows", "_said",
        "_seen", "_states", "_told", "_tx", "_unsafe", "all_gtids", "mode",
    )  # fmt: skip

    def __init__(self, *, mariadb: bool) -> None:
        self._mariadb = mariadb
        self.mode = _OFF
        self.all_gtids = False
        self._tx: Transaction | None = None
        """What was last seen open."""
        self._blind: Transaction | None = None
        """Was open when the tracker was turned on, which begins with nothing."""
        self._states: dict[Link, str] = {}
        self._rows = False
        self._unsafe = False
        self._reads = False
        """This statement reads session state that makes it unsafe, of which no server knows."""
        self._told = _NOTHING
        self._marked = False
        """Something changed, perhaps back: it is told."""
        self._seen = ""
        self._characteristics: str | None = None
        """To be told."""
        self._gtids: str | None = None
        self._link: Link | None = None
        self._said = False
        """A server has told of its state during this statement."""
        self._fresh = False
        """GTIDs are tracked since this very statement, which tells none."""

    @property
    def at_rest(self) -> bool:
        """Whether it is as one made anew for the session would be."""
        return self._told == _NOTHING and not (self._marked or self._states or self._seen or self._gtids)

    def turn(self, session: "Session", name: str) -> None:
        """A SET has given `name` a value, perhaps the same."""
        if name == GTIDS:
            self.all_gtids = _value(session, GTIDS) == "ALL_GTIDS"
            self._fresh = True
            return
        before, self.mode = self.mode, _value(session, TRANSACTION_INFO)
        if self.mode == _OFF:
            if self._mariadb:
                self._told, self._marked = _NOTHING, False
            return
        self._marked = True
        if before == _OFF:
            self._sync(session)
            self._blind = self._tx
            self._states.clear()
            self._rows = self._unsafe = False
            self._told = "" if self._mariadb else _NOTHING
        if self.mode == _CHARACTERISTICS:
            self._seen = self._characteristics = self._begins_again(session, self._state(session))

    def note(self, session: "Session", link: Link, data: bytes) -> None:
        """What the trackers of a server said of a statement of this session."""
        self._sync(session)
        said = decode_session_changes(data)
        self._marked = self._marked or not data
        if said.gtids is not None:
            alone = self._link is None or self._link is link
            self._gtids = said.gtids if alone else None
            self._link = link
            self._marked = self._marked or alone
        if said.transaction_state is not None:
            self._states[link] = said.transaction_state
            self._said = True

    def reads(self, spots: Sequence[tuple[str, str]]) -> None:
        """The statement reads session state (`router.plan.substitute`), which the router puts in as literals."""
        for kind, name in spots:
            if (kind == "function" and name in _UNSAFE_FUNCTIONS) or (
                kind == "variable" and name.lower().rpartition(".")[2] not in _SAFE_VARIABLES
            ):
                self._reads = True

    def ended(self, session: "Session", *, rows: bool = False, told: bool = True) -> SessionChanges | None:
        """A statement has ended. `rows`: with rows; `told`: the packet that ends it can tell."""
        self._sync(session)
        if self._said:  # only now does the transaction hold the connections that it took for this statement
            self._said = False
            self._mark(session)
        if self.mode != _OFF:
            if (rows or self._reads) and self._state(session)[0] != "_":
                self._rows = self._rows or rows
                self._unsafe = self._unsafe or self._reads
                self._mark(session)
            self._reads = False
            state = self._state(session)
            again = self._begins_again(session, state)
            if again != self._seen:
                self._seen = again
                self._marked = True
                if self.mode == _CHARACTERISTICS:
                    self._characteristics = again
        changes = None
        if told and self._marked:
            state = self._state(session)
            changes = SessionChanges(
                gtids=self._gtids,
                transaction_state=state if state != self._told else None,
                transaction_characteristics=self._characteristics,
            )
            self._told = state
            self._characteristics = None
        if told or self._mariadb:
            self._marked = False
        if told:
            self._gtids = self._link = None
        if self._mariadb:
            self._characteristics = None
        self._fresh = False
        if self.mode == _OFF and not session.flags & m.F_SESSION_TRACK and self.at_rest:
            session.tracker = None
        return changes

    def asks_gtids(self, session: "Session") -> bool:
        """Whether a server must be asked for all GTIDs, since none has answered this statement."""
        return self.all_gtids and self._gtids is None and session.tx is None and not self._fresh

    # ---- the state

    def _mark(self, session: "Session") -> None:
        if self._state(session) != self._told:
            self._marked = True

    def _sync(self, session: "Session") -> None:
        """Transactions that ended and began since the last look."""
        tx = None if session.implicit else session.tx
        if tx is self._tx:
            return
        self._tx = tx
        self._states = {link: "_______L" for link, state in self._states.items() if state[7] == "L"}
        self._rows = self._unsafe = False
        self._blind = None
        if self._told != _NOTHING:
            self._marked = True  # it ended, though another may have begun
        if tx is not None and tx.explicit:
            if self.mode == _CHARACTERISTICS:
                self._seen = ""  # is told again though it may be the same
            if self.mode != _OFF or not self._mariadb:
                self._mark(session)

    def _state(self, session: "Session") -> str:
        tx = None if session.implicit else session.tx
        if self.mode == _OFF:
            return _base(tx) if tx is not None and tx.explicit else _NOTHING
        held = tx.held if tx is not None else {}
        reserved = session.reserved or {}
        said = [state for link, state in self._states.items() if link in held or link in reserved]
        if tx is not None and tx.explicit and not said and tx is not self._blind:
            said = [_base(tx)]
        letters = [_letter(column) for column in zip(*said, strict=True)] if said else list(_NOTHING)
        letters[_ROWS_AT] = "S" if self._rows else "_"
        if self._unsafe:
            letters[_UNSAFE_AT] = "s"
        if tx is None:
            letters[0] = "_"
        elif not tx.explicit:
            letters[0] = "I" if any(one != "_" for one in letters[1:]) else "_"
        return "".join(letters)

    def _begins_again(self, session: "Session", state: str) -> str:
        """The statements that would begin the transaction again, or of the next one what is known."""
        tx = session.tx
        statements = tx.begin if tx is not None and not session.implicit else (session.next_transaction or [])
        explicit = state[0] == "T"
        if tx is not None and tx.explicit and not explicit:
            return ""
        level = access = ""
        snapshot = False
        for one in statements:
            if "ISOLATION LEVEL" in one:
                level = f"{one};"
            snapshot = snapshot or "SNAPSHOT" in one
            found = one.rpartition("READ ")[2] if one.endswith(("READ ONLY", "READ WRITE")) else ""
            access = f"READ {found}" if found else access
        if explicit:
            options = ", ".join(
                [*(["WITH CONSISTENT SNAPSHOT"] if snapshot else []), *filter(None, [access])]
            )
            rest = f"START TRANSACTION {options}".rstrip() + ";"
        else:
            rest = f"{_SET}{access};" if access else ""
        return " ".join(filter(None, [level, rest]))


def _base(tx: Transaction) -> str:
    """Of an explicit transaction that has just begun."""
    return "T_R_____" if "SNAPSHOT" in tx.begin[-1] else "T_______"


def _letter(column: tuple[str, ...]) -> str:
    return next((one for one in column if one != "_"), "_")


def _value(session: "Session", name: str) -> str:
    settings = session.settings or {}
    return (setting_text(settings.get(name)) or default_text(session, name) or _OFF).upper()


# ---- when it is made


def turned(session: "Session", name: str) -> None:
    """A SET has given the variable `name` of this file a value."""
    if not session.caps & CLIENT_SESSION_TRACK:
        return
    # a new one each time: where the SET fails, the session goes on with the old one
    tracker = copy.copy(session.tracker) if session.tracker is not None else _made(session)
    tracker.turn(session, name)
    track(session, tracker)


def restored(session: "Session") -> None:
    """The session was given its settings by another process, or wakes: it goes on tracking."""
    if session.flags & m.F_SESSION_TRACK:
        tracker = _made(session)
        tracker.mode = _value(session, TRANSACTION_INFO)
        tracker.all_gtids = _value(session, GTIDS) == "ALL_GTIDS"
        session.tracker = tracker


def track(session: "Session", tracker: Tracker | None) -> None:
    """Makes `tracker` the session's, and has tablets tell what it wants to hear."""
    on = any(_value(session, name) != _OFF for name in (TRANSACTION_INFO, GTIDS))
    session.tracker = tracker
    session.flags &= ~(m.F_SESSION_TRACK | m.F_TRACK_ROWS)
    if on:
        rows = m.F_TRACK_ROWS if session.caps & CLIENT_DEPRECATE_EOF else 0
        session.flags |= m.F_SESSION_TRACK | rows


def begun(session: "Session") -> None:
    """The client has begun a transaction: MySQL tells of those even where nothing was asked for."""
    if session.tracker is None and session.caps & CLIENT_SESSION_TRACK and not is_mariadb(session):
        session.tracker = _made(session)


def _made(session: "Session") -> Tracker:
    return Tracker(mariadb=is_mariadb(session))


def noted(session: "Session", link: Link | None, data: bytes) -> None:
    """What the trackers of a server said of a statement of this session."""
    if session.tracker is not None and link is not None:
        session.tracker.note(session, link, data)
