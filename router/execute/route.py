"""Tier 1: the whole statement on one shard, the client's own text, packets copied.

Made once a plan: `choose` is a closure over everything that does not change, so a hit costs a vindex and a dict.
"""

from collections.abc import Callable, Sequence
from decimal import Decimal
from typing import Any, Final

from core.errors import SluiceError, fail
from core.rpc import messages as m
from router.execute.values import value_of
from router.gateway import Link
from router.plan.plans import Bind, Choice, Chooser
from router.sessions.insert_ids import forward_insert
from router.sessions.session import Session
from router.view import SYSTEM_SCHEMAS, ClusterView, KeyspaceView
from router.vindexes.base import MultiColumnVindex, Value, Vindex, VindexError
from router.vindexes.unicode_loose import UnicodeLoose

Choose = Callable[[Sequence[bytes]], Link | None]
"""The one link of a statement with these literals; None when it is not exactly one."""

NOWHERE: Final[tuple[Link, ...]] = ()


def shard_of(keyspace: KeyspaceView, vindex: Vindex, value: Value) -> Link | None:
    """The link to the shard of `value`; None when no row can have it. Raises VINDEX_VALUE."""
    try:
        keyspace_id = vindex.keyspace_id(value)
    except VindexError as error:
        raise fail("VINDEX_VALUE", vindex=vindex.name, value=error.value, reason=error.reason) from None
    if keyspace_id is None:
        return None
    return keyspace.by_shard[keyspace.shard_map.shard_for(keyspace_id)]


def _is_settled(vindex: Vindex, value: Value) -> bool:
    """False where rows equal to `value` may lie on several shards: MySQL compares a text column with a number as
    numbers, so that 5 equals '5', '05' and '5.0'."""
    return not (isinstance(vindex, UnicodeLoose) and isinstance(value, int | Decimal))


def chooser_links(chooser: Chooser, view: ClusterView) -> Callable[[Sequence[bytes]], tuple[Link, ...]]:
    """All links of a statement. Empty: no row anywhere can match."""
    if not chooser.keyspace or chooser.keyspace in SYSTEM_SCHEMAS:
        return lambda literals: (view.any_link(),)
    keyspace = view.keyspace(chooser.keyspace)
    if chooser.choice is Choice.SCATTER:
        links = keyspace.links
        return lambda literals: links
    if chooser.choice in (Choice.UNSHARDED, Choice.ANY):
        return lambda literals: keyspace.links[:1]
    if chooser.columns > 1:
        return _of_tuples(keyspace, view, chooser)
    vindex = _vindex(view, chooser)
    values = chooser.values

    def of_values(literals: Sequence[bytes]) -> tuple[Link, ...]:
        found: dict[Link, None] = {}
        for bind in values:
            if bind is not None:
                try:
                    value = value_of(bind, literals)
                    if not _is_settled(vindex, value):
                        return keyspace.links
                    link = shard_of(keyspace, vindex, value)
                except SluiceError:
                    return keyspace.links
                if link is not None:
                    found[link] = None
        return tuple(link for link in keyspace.links if link in found)

    return of_values


def _of_tuples(
    keyspace: KeyspaceView, view: ClusterView, chooser: Chooser
) -> Callable[[Sequence[bytes]], tuple[Link, ...]]:
    """As `chooser_links`, for a vindex over several columns."""
    vindex = view.vschema.keyspaces[chooser.keyspace].vindexes[chooser.vindex]
    assert isinstance(vindex, MultiColumnVindex)
    width = chooser.columns
    rows = [chooser.values[at : at + width] for at in range(0, len(chooser.values), width)]

    def of_tuples(literals: Sequence[bytes]) -> tuple[Link, ...]:
        shards: set[str] = set()
        for row in rows:
            if any(bind is None for bind in row):
                continue
            try:
                values = [value_of(bind, literals) for bind in row if bind is not None]
                if width == vindex.column_count:
                    keyspace_id = vindex.row_keyspace_id(values)
                    found: tuple[str, ...] = ()
                    if keyspace_id is not None:
                        found = (keyspace.shard_map.shard_for(keyspace_id),)
                else:
                    key_range = vindex.prefix(values)
                    found = () if key_range is None else keyspace.shard_map.shards_in(key_range)
            except (SluiceError, VindexError):
                return keyspace.links
            shards.update(found)
        return tuple(link for link in keyspace.links if link.shard in shards)

    return of_tuples


def chooser_one(chooser: Chooser, view: ClusterView, shard: str = "") -> Choose:
    """The link where it is one; a statement that can match nothing goes to any shard, for its columns.

    `shard`: the one that the session targets, whatever the statement says."""
    if not chooser.keyspace or chooser.keyspace in SYSTEM_SCHEMAS:
        return lambda literals: view.any_link()
    keyspace = view.keyspace(chooser.keyspace)
    if shard:
        if shard not in keyspace.by_shard:  # never anywhere else than where the client wants it
            raise fail("UNKNOWN_DATABASE", database=f"{keyspace.name}:{shard}")
        target = keyspace.by_shard[shard]
        return lambda literals: target
    if len(keyspace.links) == 1 or chooser.choice is Choice.UNSHARDED:
        link = keyspace.links[0]
        return lambda literals: link
    if chooser.choice is Choice.ANY:
        return lambda literals: view.any_link(keyspace.name)
    if chooser.choice is Choice.SCATTER:
        return lambda literals: None
    if chooser.choice is Choice.EQUAL and chooser.columns == 1 and len(chooser.values) == 1:
        bind = chooser.values[0]
        if bind is None:
            return lambda literals: keyspace.links[0]
        return _equal(keyspace, _vindex(view, chooser), bind)
    links_of = chooser_links(chooser, view)

    def one_of(literals: Sequence[bytes]) -> Link | None:
        links = links_of(literals)
        if len(links) == 1:
            return links[0]
        return None if links else keyspace.links[0]

    return one_of


def _equal(keyspace: KeyspaceView, vindex: Vindex, bind: Bind) -> Choose:
    index, negative = bind.index, bind.negative
    keyspace_id_of = vindex.keyspace_id
    shard_for = keyspace.shard_map.shard_for
    by_shard = keyspace.by_shard
    first = keyspace.links[0]
    plain_numbers = _is_settled(vindex, 0) and not negative

    def choose(literals: Sequence[bytes]) -> Link | None:
        literal = literals[index]
        if plain_numbers and literal.isdigit():
            try:
                keyspace_id = keyspace_id_of(int(literal))
            except VindexError:
                return None
            return first if keyspace_id is None else by_shard[shard_for(keyspace_id)]
        try:
            value = value_of(bind, literals)
            return (shard_of(keyspace, vindex, value) or first) if _is_settled(vindex, value) else None
        except SluiceError:  # MySQL may still compare it as equal to a row on any shard
            return None

    return choose


def _vindex(view: ClusterView, chooser: Chooser) -> Vindex:
    vindex = view.vschema.keyspaces[chooser.keyspace].vindexes[chooser.vindex]
    assert isinstance(vindex, Vindex)
    return vindex


class RouteRunner:
    """Runs on one shard when `choose` names one, else hands over to `several` (a runner for many shards)."""

    __slots__ = ("_choose", "_extra", "_flags", "_several", "_tables")

    def __init__(
        self,
        choose: Choose,
        flags: int,
        tables: tuple[str, ...] | None,
        several: Callable[[Session, bytes, Sequence[bytes], bytes | None], None],
        database: str = "",
    ) -> None:
        """`database`: the default database on the tablet, where it is not the keyspace's own."""
        self._extra = {"database": database} if database else None
        self._choose = choose
        self._flags = flags
        self._tables = tables
        self._several = several

    def run(self, session: Session, sql: bytes, literals: Sequence[bytes], params: bytes | None) -> None:
        link = self._choose(literals)
        if link is None:
            self._several(session, sql, literals, params)
        elif self._flags & m.F_INSERT_ID:
            forward_insert(session, link, self._flags, self._tables, sql, params, self._extra)
        elif params is None:
            session.forward(link, self._flags, self._tables, sql, self._extra)
        else:
            extra: dict[str, Any] = {"params": params}
            if self._extra is not None:
                extra |= self._extra
            session.forward(link, self._flags | m.F_PREPARED, self._tables, sql, extra)
