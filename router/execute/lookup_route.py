"""Statements whose shards a lookup table knows: one of its answer, several, or all where it cannot tell."""

from __future__ import annotations

from collections.abc import Callable, Sequence

from router.execute.lookup_links import LookupLinks
from router.execute.route import RouteRunner
from router.gateway import Link
from router.sessions.session import Session

Several = Callable[[Session, Sequence[Link], bytes, Sequence[bytes], bytes | None], None]
"""Runs the statement on these links, which are more than one."""


class LookupRouted:
    """What a RouteRunner calls where a plan has a `lookup`."""

    __slots__ = ("_all", "_flags", "_links", "_several", "_tables", "_writes")

    def __init__(
        self,
        links: LookupLinks,
        every: tuple[Link, ...],
        flags: int,
        tables: tuple[str, ...] | None,
        several: Several,
        *,
        writes: bool,
    ) -> None:
        self._links = links
        self._all = every
        self._flags = flags
        self._tables = tables
        self._several = several
        self._writes = writes

    def __call__(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        session.start(self._run(session, sql, literals, params))

    async def _run(
        self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None
    ) -> None:
        links = await self._links.of(session, literals, writes=self._writes)
        if links is None:
            links = self._all
        if len(links) > 1:
            self._several(session, links, sql, literals, params)
            return
        link = links[0] if links else self._all[0]  # no row anywhere: one server says so, with the columns
        one = RouteRunner(lambda _: link, self._flags, self._tables, _never)
        one.run(session, sql, literals, params)


def _never(session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
    raise AssertionError("a statement for one shard")
