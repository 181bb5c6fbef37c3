"""Runs statements that read views of a sharded keyspace: asks a shard what the views are, and plans again.

Nothing is kept from one statement to the next: a view that another router has changed is never read as it was.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

from core.errors import SluiceError, fail
from router.execute.values import render
from router.plan.plans import PlanError, ViewRead
from router.plan.views import derived_table
from router.sessions.session import Session
from router.statements.result import rows_of
from router.view import ClusterView

_COLUMNS: Final = re.compile(
    rb"CREATE [^`]*DEFINER=`(?:[^`]|``)*`@`(?:[^`]|``)*` SQL SECURITY \w+ VIEW `(?:[^`]|``)*`(?:\.`(?:[^`]|``)*`)?"
    rb" (\((?:`(?:[^`]|``)*`,? ?)+\)) AS ",
    re.I,
)
"""The list of columns in what SHOW CREATE VIEW says, on MySQL where the view was made with one."""


class ViewRunner:
    """Runs a PlanError with `views`: the error stands where one of them is none."""

    __slots__ = ("_error", "_read", "_view")

    def __init__(self, plan: PlanError, error: SluiceError, view: ClusterView) -> None:
        assert plan.views is not None
        self._read: ViewRead = plan.views
        self._error = error
        self._view = view

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        del sql, params
        session.start(self._run(session, literals))

    async def _run(self, session: Session, literals: Sequence[bytes]) -> None:
        session.run_text(await self.text(session, literals))

    async def text(self, session: Session, literals: Sequence[bytes]) -> bytes:
        """The statement with the views' queries in their places. Raises SluiceError."""
        spots = [
            derived_table(*await self._definition(session, keyspace, name, alias))
            for keyspace, name, alias in self._read.views
        ]
        return render(self._read.sql, literals, spots)

    async def _definition(
        self, session: Session, keyspace: str, name: str, alias: str
    ) -> tuple[bytes, str, bytes]:
        """Raises the statement's own error where `name` is no view."""
        link = self._view.any_link(keyspace)
        calls = session.worker.calls
        texts = [
            b"SELECT VIEW_DEFINITION FROM information_schema.VIEWS WHERE TABLE_SCHEMA = %b AND TABLE_NAME = %b"
            % (_literal(keyspace), _literal(name)),
            b"SHOW CREATE TABLE `%b`" % name.encode().replace(b"`", b"``"),
        ]
        found = []
        for text in texts:
            answer = await calls.execute(link, text, user=session.user)
            if answer.failed or not (rows := rows_of(answer).rows):
                raise SluiceError(self._error.code, self._error.message)
            found.append(rows[0])
        definition = found[0][0]
        if definition is None:
            raise fail("UNKNOWN_ERROR", message=f"the definition of view {keyspace}.{name} cannot be read")
        columns = _COLUMNS.match(found[1][1] or b"")
        return definition, alias, b" " + columns[1] if columns is not None else b""


def _literal(name: str) -> bytes:
    return b"_utf8mb4 x'" + name.encode().hex().encode() + b"'"
