"""UPDATE and DELETE of rows that are found first: their keys and what is to be assigned, locked, then each shard's rows
by their keys.

One transaction around all (the session's, or one of its own). Invariant: all rows are found before the first is
changed.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from router.call import TabletError
from router.engine.affected import combine_oks
from router.engine.copying import CannotCopyError
from router.execute.atomic import Atomic, Failed
from router.execute.attempts import until_done
from router.execute.changing import TableChange
from router.execute.moving import begin_of, refused
from router.execute.patience import Patience
from router.execute.selecting import UPDATE, select
from router.execute.values import render
from router.plan.moves import ChangeMove, query_of
from router.sessions.session import Session
from router.variables.reading import is_mariadb
from router.view import ClusterView
from wire.answers import Ok

_NAMES: Final = frozenset((1052, 1054, 1060, 1066, 1146, 1222, 1241, 1305))
"""Errors of names, which servers find before anything else."""


class ChangeMover:
    """Runs the ChangeMoves of one statement. `refusal`: what the client is told where it cannot be done."""

    def __init__(self, moves: Sequence[ChangeMove], refusal: tuple[str, str], view: ClusterView) -> None:
        self._moves = moves
        self._query = query_of(moves)
        self._refusal = refusal
        self._view = view
        first = moves[0].head.pieces[0]
        assert isinstance(first, bytes)
        self._updates = first.startswith(b"UPDATE")
        self._lenient = b"IGNORE" in first.partition(b"`")[0].split()

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        """As a Runner."""
        del sql, params
        session.start(self._run(session, literals))

    async def _run(self, session: Session, literals: Sequence[bytes]) -> None:
        twice = next((found for one in self._moves if (found := self._read_twice(session, one))), None)
        if session.worker.admission.limits_queries:
            for keyspace in dict.fromkeys(one.keyspace for one in self._moves):
                shards = tuple(link.shard for link in self._view.keyspace(keyspace).links)
                await session.worker.admission.enter(session, keyspace, shards)
        changes = [TableChange(one, self._refusal, self._view, literals) for one in self._moves]
        query = render(self._query, literals, [await one.prepare(session) for one in changes])

        async def once(patience: Patience) -> tuple[list[Ok], int]:
            oks: list[Ok] = []
            async with Atomic(session, begin_of(session, query), patience) as atomic:
                try:
                    selected = await select(session, self._view, query, UPDATE, lenient=self._lenient)
                except TabletError as error:
                    if twice is None or error.number in _NAMES:
                        raise
                    raise twice from None
                warnings = len(session.warnings or ())
                if twice is not None:
                    raise twice
                rows = list(selected.rows())
                first = 0
                for change in changes:
                    last = first + change.width
                    part = (cells[first:last] for cells in rows)
                    columns = selected.columns[first:last]
                    change.take(session, columns, part, selected.hidden_digits, lenient=self._lenient)
                    first = last
                for change in changes:
                    oks += await change.write(session, atomic)
                await atomic.commit()
            return oks, warnings

        try:
            oks, warnings = await until_done(session, once)
        except Failed as failed:
            session.reply(failed.answer.data)
            return
        except CannotCopyError as error:
            raise refused(self._refusal, error) from None
        nothing = b"Rows matched: 0  Changed: 0  Warnings: 0" if self._updates else b""
        total = combine_oks(oks, status=session.status) if oks else Ok(0, 0, session.status, 0, nothing)
        session.ok(total.affected_rows, total.last_insert_id, warnings + total.warnings, total.info)

    def _read_twice(self, session: Session, move: ChangeMove) -> TabletError | None:
        """What the server says of a table that is changed and read at once, where it does: once all names are found."""
        if not move.self_read:
            return None
        alias = move.alias.decode("utf-8", "replace").strip("`")
        says = f"You can't specify target table '{alias}' for update in FROM clause"
        if is_mariadb(session):
            if self._updates or not move.joined:
                return None
            twice = "both as a target for 'DELETE' and as a separate source for data"
            says = f"Table '{alias}' is specified twice, {twice}"
        return TabletError(1093, "HY000", says, 0)
