"""Runs an INSERT without a column list: asks a server for the table's columns, and plans again with them.

Nothing is kept from one statement to the next: a column that has been added since is never missed.
"""

from __future__ import annotations

from collections.abc import Sequence

from router.execute.owner import checked
from router.execute.values import render
from router.plan.plans import ColumnsRead
from router.sessions.session import Session
from router.statements.result import rows_of
from router.view import ClusterView


class ColumnsRunner:
    """Runs a PlanError with `columns`."""

    __slots__ = ("_read", "_view")

    def __init__(self, read: ColumnsRead, view: ClusterView) -> None:
        self._read = read
        self._view = view

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        del sql, params
        session.start(self._run(session, literals))

    async def _run(self, session: Session, literals: Sequence[bytes]) -> None:
        session.run_text(render(self._read.sql, literals, (await self._columns(session),)))

    async def _columns(self, session: Session) -> bytes:
        """The list in parentheses. Raises SluiceError."""
        if self._read.empty:
            return b"() "
        link = self._view.any_link(self._read.keyspace)
        text = b"SHOW COLUMNS FROM `%b`" % self._read.table.encode().replace(b"`", b"``")
        answer = checked(await session.worker.calls.execute(link, text, user=session.user))
        names = [
            b"`" + (row[0] or b"").replace(b"`", b"``") + b"`"
            for row in rows_of(answer).rows
            if b"INVISIBLE" not in (row[5] or b"").upper()
        ]
        return b"(" + b", ".join(names) + b") "
