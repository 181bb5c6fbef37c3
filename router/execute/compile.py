"""From a plan to what runs it, against one view of the cluster."""

from collections.abc import Callable, Sequence

from core.errors import ErrorCode, SluiceError
from core.rpc import messages as m
from router import statements
from router.execute.columns import ColumnsRunner
from router.execute.finish import Finisher
from router.execute.insert import InsertRunner
from router.execute.last_insert_id import last_insert_id_several
from router.execute.lookup_links import LookupLinks
from router.execute.lookup_route import LookupRouted
from router.execute.lookup_route import Several as OnLinks
from router.execute.move import mover_of
from router.execute.owned import OwnedDmlRunner, OwnedInsertRunner
from router.execute.refuse import SYNTAX, SyntaxRunner, wrong_syntax
from router.execute.reserve import ReserveRunner
from router.execute.route import RouteRunner, chooser_one
from router.execute.several import SeveralShards
from router.execute.substitute import SubstituteRunner
from router.execute.view import ViewRunner
from router.execute.write import DdlRunner, WriteSeveral
from router.plan.plans import (
    Choice,
    Chooser,
    DdlPlan,
    DmlPlan,
    FinishPlan,
    InsertPlan,
    Kind,
    LookupRoute,
    MovePlan,
    PlanError,
    Planned,
    SelectPlan,
    SessionPlan,
    SubstitutePlan,
)
from router.plan.purity import LAST_INSERT_ID
from router.sessions.bound import bound_text
from router.sessions.parts import Runner
from router.sessions.session import Session
from router.view import SYSTEM_SCHEMAS, ClusterView

Several = Callable[[Session, bytes, Sequence[bytes], bytes | None], None]


class SessionRunner:
    """A statement for the session itself."""

    __slots__ = ("_kind",)

    def __init__(self, kind: Kind) -> None:
        self._kind = kind

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        if params is not None:
            if self._kind is Kind.CALL and statements.call_prepared(session, sql, params):
                return
            sql = bound_text(sql, literals)
        try:
            statements.run(session, self._kind, sql)
        except SluiceError as error:
            if error.number != SYNTAX:
                raise
            wrong_syntax(session, sql, error)


class ErrorRunner:
    """A statement that cannot be run: kept like a plan, so that a client that insists is answered cheaply."""

    __slots__ = ("_error",)

    def __init__(self, error: SluiceError) -> None:
        self._error = error

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        del sql, literals, params
        error = self._error
        session.error(error.number, error.sqlstate, error.message)


def _is_single(chooser: Chooser) -> bool:
    """Whether the plan was made for one shard only: for several it must be made again."""
    return chooser.choice is Choice.EQUAL


def _spread(session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
    session.worker.run_spread(session, sql, literals, params)


def _looked_up(
    plan: SelectPlan | DmlPlan, route: LookupRoute, view: ClusterView, flags: int, several: OnLinks
) -> LookupRouted:
    keyspace = plan.chooser.keyspace
    locks = isinstance(plan, SelectPlan) and plan.locking
    links = LookupLinks(route, keyspace, view, locks=locks)
    tables = None if isinstance(plan, SelectPlan) and plan.writes else plan.tables
    every = view.keyspace(keyspace).links
    return LookupRouted(links, every, flags, tables, several, writes=isinstance(plan, DmlPlan))


def compile_plan(planned: Planned, view: ClusterView, keyspace: str, shard: str) -> Runner:
    """The runner of a plan made for sessions whose default is `keyspace` (and `shard`, when they target one)."""
    plan = planned.plan
    if planned.reserve and isinstance(plan, SelectPlan | DmlPlan):
        flags = m.F_WRITE if isinstance(plan, DmlPlan) or plan.writes or plan.locking else 0
        several = None
        if planned.reserve == LAST_INSERT_ID and not _is_single(plan.chooser):
            several = last_insert_id_several(plan, view)
        choose = chooser_one(plan.chooser, view, shard)
        return ReserveRunner(choose, flags, plan.tables, planned.reserve, several)
    if isinstance(plan, SelectPlan):
        flags = m.F_CONSOLIDATE if plan.consolidate and not plan.locking else 0
        if plan.locking or plan.writes:
            flags |= m.F_WRITE
        one = chooser_one(plan.chooser, view, shard)
        several_shards: Several = _spread if _is_single(plan.chooser) else SeveralShards(plan, view)
        if plan.lookup is not None and isinstance(several_shards, SeveralShards):
            several_shards = _looked_up(plan, plan.lookup, view, flags, several_shards.on)
        return RouteRunner(
            one,
            flags,
            None if plan.writes else plan.tables,
            several_shards,
            keyspace if keyspace in SYSTEM_SCHEMAS else "",
        )
    if isinstance(plan, FinishPlan):
        return Finisher(plan.finish, plan.refusal, view)
    if isinstance(plan, MovePlan):
        return mover_of(plan.move, plan.refusal, view)
    if isinstance(plan, DmlPlan):
        mover = mover_of(plan.move, plan.refusal, view) if plan.move and plan.refusal else None
        if plan.owned and not shard:
            return OwnedDmlRunner(plan, view, mover)
        write_several: Several = (
            _spread if _is_single(plan.chooser) else WriteSeveral(plan, view, mover, planned.insert)
        )
        flags = m.F_WRITE | planned.insert
        if plan.lookup is not None and isinstance(write_several, WriteSeveral):
            write_several = _looked_up(plan, plan.lookup, view, flags, write_several.on)
        return RouteRunner(chooser_one(plan.chooser, view, shard), flags, plan.tables, write_several)
    if isinstance(plan, InsertPlan):
        made = OwnedInsertRunner if plan.owned else InsertRunner
        return made(plan, view, planned.insert)
    if isinstance(plan, DdlPlan):
        return DdlRunner(plan, view, shard if plan.keyspace == keyspace else "")
    if isinstance(plan, SessionPlan):
        return SessionRunner(plan.kind)
    if isinstance(plan, SubstitutePlan):
        return SubstituteRunner(plan)
    assert isinstance(plan, PlanError)
    if plan.columns is not None:
        return ColumnsRunner(plan.columns, view)
    error = SluiceError(ErrorCode("", plan.number, plan.sqlstate, False, "", ""), plan.text)
    if plan.views is not None:
        return ViewRunner(plan, error, view)
    return SyntaxRunner(error) if plan.number == SYNTAX else ErrorRunner(error)
