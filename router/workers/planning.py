"""From a statement to what runs it: the caches of compiled plans, and the rights that each plan needs.

Invariant: no plan is handed out, cached or not, before the session's user was found to have its rights.
"""

from collections.abc import Sequence
from typing import TYPE_CHECKING

from core.errors import fail
from router.execute.compile import compile_plan
from router.execute.hints import with_hints
from router.plan.planner import plan as make_plan
from router.plan.plans import Planned
from router.sessions.parts import Runner
from router.sessions.session import Session
from router.sql.dialect import Dialect
from router.sql.normalise import normalise
from router.view import ClusterView

if TYPE_CHECKING:
    from router.workers.worker import Worker


class Planning:
    """Of one worker. See the module."""

    __slots__ = ("_worker",)

    def __init__(self, worker: "Worker") -> None:
        self._worker = worker

    def plan_of(
        self, session: Session, sql: bytes, *, substitute: bool = True
    ) -> tuple[Runner, Sequence[bytes]]:
        """The compiled plan of a statement and its literals. `substitute` False: session state stands in the text
        as literals already. Raises SluiceError."""
        view = self._worker.view
        if view is None:
            raise fail("TOPOLOGY", reason="this worker has not heard of the cluster yet")
        normalised = normalise(sql, session.dialect)
        scope = session.scope
        if not substitute or session.dialect is not Dialect.DEFAULT:
            scope = _plan_scope(session, substitute)
        try:
            entry = view.caches[scope].entries[normalised.key]
        except KeyError:
            runner = self._compile(view, scope, session, normalised.key, substitute)
            return runner, normalised.literals
        entry.used = True
        if entry.needs is not None:
            self._worker.rights.check(session, entry.needs)
        return entry.runner, normalised.literals

    def runner_of(self, session: Session, key: bytes) -> Runner:
        """The compiled plan of normalised text."""
        view = self._worker.view
        if view is None:
            raise fail("TOPOLOGY", reason="this worker has not heard of the cluster yet")
        scope = _plan_scope(session, True)
        entry = view.cache(scope).get(key)
        if entry is None:
            return self._compile(view, scope, session, key, True)
        if entry.needs is not None:
            self._worker.rights.check(session, entry.needs)
        return entry.runner

    def run_spread(
        self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None
    ) -> None:
        """Runs a statement whose one value for the sharding column has no shard of its own (`id = 'abc'`): MySQL
        may find rows equal to it on any shard. Raises SluiceError."""
        view = self._worker.view
        if view is None:
            raise fail("TOPOLOGY", reason="this worker has not heard of the cluster yet")
        key = normalise(sql, session.dialect).key
        planned = self.planned(session, key, spread=True)
        compile_plan(planned, view, session.keyspace, session.shard).run(session, sql, literals, params)

    def planned(
        self, session: Session, key: bytes, *, substitute: bool = True, spread: bool = False
    ) -> Planned:
        """The plan of normalised text in the session's scope, made anew. Raises what the session's user lacks."""
        view = self._worker.view
        if view is None:
            raise fail("TOPOLOGY", reason="this worker has not heard of the cluster yet")
        self._worker.rights.check(session, self._worker.rights.needs(session, key, view.vschema))
        return self._planned(view, session, key, substitute, spread)

    def _planned(
        self, view: ClusterView, session: Session, key: bytes, substitute: bool, spread: bool
    ) -> Planned:
        self._worker.stats.plan_misses += 1
        return make_plan(
            key.decode("utf-8", "surrogateescape"),
            session.keyspace,
            view.vschema,
            shard=session.shard,
            substitute=substitute,
            dialect=session.dialect,
            spread=spread,
        )

    def _compile(
        self, view: ClusterView, scope: str, session: Session, key: bytes, substitute: bool
    ) -> Runner:
        needs = self._worker.rights.needs(session, key, view.vschema)
        self._worker.rights.check(session, needs)
        planned = self._planned(view, session, key, substitute, spread=False)
        runner = with_hints(compile_plan(planned, view, session.keyspace, session.shard), key)
        view.cache(scope).put(key, runner, needs)
        return runner


def _plan_scope(session: Session, substitute: bool) -> str:
    """The plan cache for what a text means in this session: default database, lexical rules, who knows the state."""
    scope = session.scope if substitute else f"{session.scope}!"
    return scope if session.dialect is Dialect.DEFAULT else f"{scope}#{session.dialect.value}"
