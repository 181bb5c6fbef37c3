"""INSERT ... SELECT between shards: reads all rows, then writes them in batches where they belong.

One transaction around both (the session's, or one of its own): the rows are read with shared locks, as MySQL reads
them, so that the statement sees the table it writes to as it was before. Invariant: a row's literals are those of
`engine.assigning`; a value that might change on the way refuses the statement, and all of it is undone.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from core.errors import fail
from core.rpc import messages as m
from router.call import Answer, TabletError
from router.engine.affected import combine_oks, insert_info
from router.engine.assigning import Render, renders, routed
from router.engine.copying import CannotCopyError
from router.execute.atomic import Atomic, Failed
from router.execute.attempts import until_done
from router.execute.computing import rows_of, values_of
from router.execute.insert import InsertRunner, ignores
from router.execute.moving import begin_of, charset_names, column_types, has_steady_zone, refused
from router.execute.owned_insert import OwnedInsert
from router.execute.patience import Patience
from router.execute.selecting import SHARE, Selected, select
from router.execute.values import render
from router.plan.moves import InsertMove
from router.plan.plans import Bind, InsertPlan, InsertRow, Template
from router.sessions.insert_ids import note_generated
from router.sessions.session import Session
from router.sql.normalise import literal_value
from router.view import ClusterView
from wire.answers import Ok

BATCH_ROWS: Final = 1000
BATCH_BYTES: Final = 512 * 1024
"""An INSERT is cut after so much."""
_GENERATED: Final = -1


@dataclass(slots=True)
class _Written:
    """What one attempt did. `first`: the first id that was generated; `warnings`: those of its reads."""

    oks: list[Ok] = field(default_factory=list)
    answers: list[Answer] = field(default_factory=list)
    rows: int = 0
    first: int = 0
    warnings: int = 0


class InsertMover:
    """Runs an InsertMove. `refusal`: what the client is told where it cannot be done."""

    def __init__(self, move: InsertMove, refusal: tuple[str, str], view: ClusterView) -> None:
        self._move = move
        self._refusal = refusal
        self._view = view
        keyspace = view.keyspace(move.insert.keyspace)
        self._links = keyspace.links
        self._lenient = ignores(move.insert.head)

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        """As a Runner."""
        del sql, params
        session.start(self._run(session, literals))

    async def _run(self, session: Session, literals: Sequence[bytes]) -> None:
        move = self._move
        if session.worker.admission.limits_queries:
            shards = tuple(link.shard for link in self._links)
            await session.worker.admission.enter(session, move.insert.keyspace, shards)
        types = await column_types(session, self._view, move.insert.keyspace, move.insert.table)
        owned = OwnedInsert(move.insert, self._view) if move.insert.owned else None
        if owned is not None:
            await owned.prepare(session)
        query = render(move.query, literals)
        before = session.last_insert_id

        async def once(patience: Patience) -> _Written:
            done = _Written()
            async with Atomic(session, begin_of(session, query), patience) as atomic:
                found = await self._rows(session, query, literals, types)
                done.warnings = len(session.warnings or ())
                for batch in _batches(found):
                    oks, generated = await self._write(session, atomic, batch, literals, owned)
                    done.oks += oks
                    done.rows += len(batch)
                    done.first = done.first or generated
                await atomic.commit()
            done.answers = atomic.answers
            return done

        try:
            done = await until_done(session, once)
        except Failed as failed:
            session.reply(failed.answer.data)
            return
        except CannotCopyError as error:
            raise refused(self._refusal, error) from None
        oks, rows, warnings = done.oks, done.rows, done.warnings
        total = combine_oks(oks, status=session.status) if oks else Ok(0, 0, session.status, 0)
        info = insert_info(rows, oks, ignores=self._lenient, warnings=warnings)
        warnings += total.warnings
        if move.computed is not None and len(move.computed.rows) == 1:
            info = total.info
        given = note_generated(session, done.answers, oks, done.first, m.F_INSERT_ID, before)
        session.ok(total.affected_rows, given or total.last_insert_id, warnings, info)

    async def _rows(
        self, session: Session, query: bytes, literals: Sequence[bytes], types: dict[str, bytes]
    ) -> Iterator[list[bytes]]:
        """The rows that are written, as literals. Raises SluiceError, CannotCopyError."""
        computed = self._move.computed
        if computed is not None:

            def making(selected: Selected, places: Sequence[int]) -> list[Render]:
                return self._renders(session, selected, types, places)

            values = await values_of(
                session, self._view, computed, literals, making, self._refusal, lenient=self._lenient
            )
            return rows_of(computed, values, literals)
        selected = await select(session, self._view, query, SHARE, lenient=self._lenient)
        columns = self._move.columns
        if len(selected.columns) != len(columns):
            raise fail("COLUMN_COUNT", row=1)
        return _literals(selected, self._renders(session, selected, types, range(len(columns))))

    def _renders(
        self, session: Session, selected: Selected, types: dict[str, bytes], places: Sequence[int]
    ) -> list[Render]:
        """What makes literals of `selected` for the columns at `places`."""
        targets = []
        for name in (self._move.columns[at] for at in places):
            kind = types.get(name)
            if kind is None:
                raise TabletError(1054, "42S22", f"Unknown column '{name}' in 'field list'", 0)
            targets.append((name, kind))
        making = renders(
            selected.columns,
            targets,
            charset_names(session),
            steady_zone=has_steady_zone(session),
            hidden_digits=selected.hidden_digits,
        )
        return [
            routed(make, kind) if place in (self._move.key, self._move.generated) else make
            for make, place, (_, kind) in zip(making, places, targets, strict=True)
        ]

    async def _write(
        self,
        session: Session,
        atomic: Atomic,
        batch: list[list[bytes]],
        literals: Sequence[bytes],
        owned: OwnedInsert | None,
    ) -> tuple[list[Ok], int]:
        """Raises Failed, SluiceError."""
        plan, values = self._plan(batch, literals)
        work = await InsertRunner(plan, self._view).work(session, values)
        if owned is not None:
            return await owned.write(session, atomic, plan, work, m.F_INSERT_ID), work[2]
        statements = work[0]
        if self._move.copies:
            statements = [(link, statements[0][1]) for link in self._links]
        oks = [await atomic.write(link, text, plan.tables, m.F_INSERT_ID) for link, text in statements]
        return oks[:1] if self._move.copies else oks, work[2]

    def _plan(self, batch: list[list[bytes]], literals: Sequence[bytes]) -> tuple[InsertPlan, list[bytes]]:
        """The INSERT of a batch, and the literals that its rows' binds stand for."""
        move = self._move
        values: list[bytes] = []
        rows: list[InsertRow] = []
        for texts in batch:
            key = self._bind(texts, move.key, values)
            given = self._bind(texts, move.generated, values)
            pieces: list[bytes | int] = []
            items: list[tuple[str, Template]] = []
            for at, text in enumerate(texts):
                piece: bytes | int = _GENERATED if at == move.generated and self._wants(text) else text
                pieces += (b"," if at else b"(", piece)
                items.append((move.columns[at], Template((piece,))))
            if move.generated == len(texts):
                pieces += (b"," if texts else b"(", _GENERATED)
                items.append((self._generated_name(), Template((_GENERATED,))))
            row = Template((*pieces, b")"))
            rows.append(InsertRow(row, key, given, tuple(items) if move.insert.owned else ()))
        head = Template((render(move.insert.head, literals),))
        tail = Template((render(move.insert.tail, literals),))
        return replace(move.insert, head=head, tail=tail, rows=tuple(rows)), values

    def _generated_name(self) -> str:
        table = self._view.vschema.keyspaces[self._move.insert.keyspace].tables[self._move.insert.table]
        assert table.auto_increment is not None
        return table.auto_increment.column

    @staticmethod
    def _wants(text: bytes) -> bool:
        """NULL and 0 ask for an id, as they do where MySQL counts."""
        value = literal_value(text)
        if isinstance(value, str | bytes):
            try:
                return float(value) == 0
            except ValueError:
                return False
        return value is None or value == 0

    @staticmethod
    def _bind(texts: list[bytes], at: int, values: list[bytes]) -> Bind | None:
        if not 0 <= at < len(texts):
            return None
        text = texts[at]
        values.append(text[1:] if text[:1] == b"-" else text)
        return Bind(len(values) - 1, text[:1] == b"-")


def _literals(selected: Selected, making: Sequence[Render]) -> Iterator[list[bytes]]:
    for row in selected.rows():
        yield [b"NULL" if cell is None else make(cell) for make, cell in zip(making, row, strict=True)]


def _batches(rows: Iterable[list[bytes]]) -> Iterator[list[list[bytes]]]:
    batch: list[list[bytes]] = []
    size = 0
    for texts in rows:
        batch.append(texts)
        size += sum(map(len, texts))
        if len(batch) >= BATCH_ROWS or size > BATCH_BYTES:
            yield batch
            batch, size = [], 0
    if batch:
        yield batch
