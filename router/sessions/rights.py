"""Who may do what in this worker: asked for each plan that not every user may run, each USE, each look at others.

Invariants
- Plans are shared by all users, verdicts by none: a plan keeps what it needs beyond the rights that all users have,
  and each session that hits it is asked for that. Where all may do everything nothing is kept and nothing asked.
- Changed users mean a new view, and with it new plans: what was found out under the old rights goes with them.
"""

from collections.abc import Mapping
from typing import TYPE_CHECKING, Any

from core.errors import CODES, SluiceError, fail
from core.users import ADMIN, NOTHING, Grants
from router.plan.names import SYSTEM_SCHEMAS
from router.plan.needs import EVERYWHERE, Needs, beyond
from router.sessions.accounts import Accounts
from router.vschema import VSchema

if TYPE_CHECKING:
    from router.sessions.session import Session

_PUBLIC_SCHEMAS = frozenset(("information_schema", "performance_schema"))


class Rights:
    """The users' rights as this worker knows them now."""

    __slots__ = ("_floor", "_live", "accounts")

    def __init__(self, accounts: Accounts) -> None:
        self.accounts = accounts
        self._live: Mapping[str, Any] = {}
        self._floor = accounts.floor

    def renew(self, live: Mapping[str, Any]) -> bool:
        """Takes over what etcd says of users; False where that is what was known."""
        if live == self._live:
            return False
        self._live = live
        self.accounts = self.accounts.renewed(live)
        self._floor = self.accounts.floor
        return True

    def trust_nobody(self, nobody: bool) -> None:
        """While sessions of a removed user live, every plan that needs a right is asked for it."""
        self._floor = NOTHING if nobody else self.accounts.floor

    def of(self, session: "Session") -> Grants:
        """Raises ACCOUNT_REMOVED."""
        grants = self.accounts.grants(session.user)
        if grants is None:
            raise fail("ACCOUNT_REMOVED", user=session.user)
        return grants

    def needs(self, session: "Session", key: bytes, vschema: VSchema) -> Needs:
        """What normalised text needs beyond the rights that all users have; nothing where it is no statement."""
        if self._floor.is_complete:
            return ()
        text = key.decode("utf-8", "surrogateescape")
        try:
            return beyond(text, session.keyspace, vschema, session.dialect, self._floor)
        except SluiceError as error:
            if error.number != CODES["SYNTAX"].number:
                raise
            return ()  # the planner reads the same lexemes: its plan is this error

    def check(self, session: "Session", needs: Needs) -> None:
        """Raises 1142, 1370, 1227 or 1044 for the first right that the session's user has not."""
        if needs:
            grants = self.of(session)
            for need in needs:
                if not need.met_by(grants):
                    raise need.refusal(session.user, session.connection.host)

    def check_database(self, session: "Session", database: str, keyspace: str) -> None:
        """A database that is made the default, or whose tables are listed. Raises DB_ACCESS_DENIED."""
        if keyspace and keyspace not in _PUBLIC_SCHEMAS:
            grants = self.of(session)
            if not (grants.everywhere if keyspace in SYSTEM_SCHEMAS else grants.sees(keyspace)):
                raise fail(
                    "DB_ACCESS_DENIED", user=session.user, host=session.connection.host, database=database
                )

    def sees(self, session: "Session", keyspace: str) -> bool:
        """Whether lists of keyspaces show it to the session's user."""
        grants = self.of(session)
        if keyspace in SYSTEM_SCHEMAS:
            return keyspace in _PUBLIC_SCHEMAS or bool(grants.everywhere)
        return grants.sees(keyspace)

    def knows_all(self, session: "Session") -> bool:
        """Whether a name that does not exist may be told from one that is not the user's business."""
        return bool(self.of(session).everywhere)

    def is_admin(self, session: "Session") -> bool:
        """Whether other users' sessions are the user's business."""
        return bool(self.of(session).of(EVERYWHERE) & ADMIN)
