"""INSERT ... VALUES: rows to their shards, ids from sequences.

Rows of one shard stay one statement in the order they came; the client's own text goes when nothing changes it.
"""

from collections.abc import Callable, Sequence

from core.errors import fail
from core.rpc import messages as m
from router.engine.affected import insert_info
from router.execute.route import shard_of
from router.execute.values import render, value_of
from router.execute.write import write_on
from router.gateway import Link
from router.plan.plans import Bind, InsertPlan, InsertRow, Template
from router.sessions.insert_ids import forward_insert
from router.sessions.session import Session
from router.sql.normalise import literal_value
from router.view import ClusterView
from router.vindexes.base import Value, Vindex
from wire.answers import Ok

InsertWork = tuple[
    list[tuple[Link, bytes]], list[tuple[Link, dict[str, bytes]]], int, Callable[[], list[bytes]]
]
"""A statement a shard, each row's shard and values by column, the first id that was generated, and what gives a
statement a row."""


class InsertRunner:
    """Runs an InsertPlan."""

    __slots__ = ("_first", "_flags", "_insert", "_keyspace", "_plan", "_vindex")

    def __init__(self, plan: InsertPlan, view: ClusterView, insert: int = 0) -> None:
        """`insert`: F_INSERT, F_UPSERT or F_INSERT_ID."""
        self._plan = plan
        self._insert = insert
        self._flags = m.F_WRITE | insert
        self._keyspace = view.keyspace(plan.keyspace)
        self._first = self._keyspace.links[0]
        vindex = view.vschema.keyspaces[plan.keyspace].vindexes[plan.vindex] if plan.vindex else None
        assert vindex is None or isinstance(vindex, Vindex)
        self._vindex = vindex

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        plan = self._plan
        if plan.sequence is not None and any(_wants_id(row, literals) for row in plan.rows):
            session.start(self._with_ids(session, literals))
            return
        links = [self._link(row, literals, None) for row in plan.rows]
        first = links[0]
        if all(link is first for link in links):
            if self._insert & m.F_INSERT_ID:
                forward_insert(session, first, self._flags, plan.tables, sql, params)
            elif params is not None:
                session.forward(first, self._flags | m.F_PREPARED, plan.tables, sql, {"params": params})
            else:
                session.forward(first, self._flags, plan.tables, sql, None)
            return
        texts = [render(row.text, literals, (_given(row, literals),)) for row in plan.rows]
        work = self._grouped(links, texts, literals)
        session.start(write_on(session, work, plan.tables, insert=self._insert, info=self.info))

    async def _with_ids(self, session: Session, literals: Sequence[bytes]) -> None:
        links, spots, first = await self._placed(session, literals)
        texts = [
            render(row.text, literals, (spot,)) for row, spot in zip(self._plan.rows, spots, strict=True)
        ]
        work = self._grouped(links, texts, literals)
        await write_on(session, work, self._plan.tables, insert_id=first, insert=self._insert, info=self.info)

    def info(self, oks: Sequence[Ok]) -> bytes:
        """The info of the whole statement."""
        rows = len(self._plan.rows)
        return insert_info(rows, oks, ignores=ignores(self._plan.head)) if rows > 1 else oks[0].info

    async def _placed(
        self, session: Session, literals: Sequence[bytes]
    ) -> tuple[list[Link], list[bytes], int]:
        """Each row's shard, the text of its auto_increment column, and the first id that was generated."""
        plan = self._plan
        wanting = [plan.sequence is not None and _wants_id(row, literals) for row in plan.rows]
        first = 0
        if plan.sequence is not None and any(wanting):
            first = await session.worker.sequences.take(*plan.sequence, sum(wanting))
        number = first
        links: list[Link] = []
        spots: list[bytes] = []
        for row, wants in zip(plan.rows, wanting, strict=True):
            generated = None
            spot = _given(row, literals)
            if wants:
                generated = number
                spot = b"%d" % number
                number += 1
            links.append(self._link(row, literals, generated if plan.sequence_fills_vindex else None))
            spots.append(spot)
        return links, spots, first

    async def work(self, session: Session, literals: Sequence[bytes]) -> InsertWork:
        """What is to be done; a value that is not known before it is written is empty. Raises SluiceError."""
        plan = self._plan
        links, spots, first = await self._placed(session, literals)
        texts: list[bytes] = []
        values: list[tuple[Link, dict[str, bytes]]] = []
        for row, link, spot in zip(plan.rows, links, spots, strict=True):
            texts.append(render(row.text, literals, (spot,)))
            values.append((link, {name: render(one, literals, (spot,)) for name, one in row.items}))
        head, tail = render(plan.head, literals), render(plan.tail, literals)
        return (
            self._grouped(links, texts, literals),
            values,
            first,
            lambda: [head + one + tail for one in texts],
        )

    def _link(self, row: InsertRow, literals: Sequence[bytes], generated: int | None) -> Link:
        if self._vindex is None:
            return self._first
        value: Value = generated
        if generated is None:
            value = value_of(row.vindex_value, literals) if row.vindex_value is not None else None
        link = None if value is None else shard_of(self._keyspace, self._vindex, value)
        if link is None:
            shown = "NULL" if value is None else str(value)
            raise fail(
                "VINDEX_VALUE", vindex=self._vindex.name, value=shown, reason="no shard can hold this row"
            )
        return link

    def _grouped(
        self, links: Sequence[Link], texts: Sequence[bytes], literals: Sequence[bytes]
    ) -> list[tuple[Link, bytes]]:
        """A statement a shard, in key range order."""
        plan = self._plan
        by_link: dict[Link, list[bytes]] = {}
        for link, text in zip(links, texts, strict=True):
            by_link.setdefault(link, []).append(text)
        head, tail = render(plan.head, literals), render(plan.tail, literals)
        return [
            (link, head + plan.separator.join(by_link[link]) + tail)
            for link in self._keyspace.links
            if link in by_link
        ]


def ignores(head: Template) -> bool:
    """Whether an INSERT has IGNORE."""
    text = b"".join(piece for piece in head.pieces if isinstance(piece, bytes)).upper()
    return b"IGNORE" in text.partition(b"(")[0].split()


def _wants_id(row: InsertRow, literals: Sequence[bytes]) -> bool:
    """Whether the sequence fills this row's column: nothing, NULL or 0 was given, as for AUTO_INCREMENT."""
    given = row.sequence_value
    if given is None:
        return True
    return _is_zero_or_null(given, literals)


def _given(row: InsertRow, literals: Sequence[bytes]) -> bytes:
    """The text of the auto_increment column's value, as the statement gives it."""
    given = row.sequence_value
    if given is None:
        return b"NULL"
    return b"-" + literals[given.index] if given.negative else literals[given.index]


def _is_zero_or_null(given: Bind, literals: Sequence[bytes]) -> bool:
    value = literal_value(literals[given.index])
    if isinstance(value, str | bytes):  # '0' is 0 for MySQL, which would generate an id of this shard alone
        try:
            return float(value) == 0
        except ValueError:
            return False
    return value is None or value == 0
