"""Which lookup table knows the shards of a block whose sharding column has no value.

Invariant: only conditions that compare the column itself with values count. What follows through another column
(`a.email = b.code AND b.code = '5'`) may be compared in another type or collation.
"""

from __future__ import annotations

from typing import Final

from router.plan.equalities import Restrictions, restrictions
from router.plan.names import Kind, Scope, Source
from router.plan.plans import LookupRoute
from router.sql.parse import exp
from router.vindexes import Lookup

MAX_VALUES: Final = 100
"""Beyond that all shards are asked: each value is a read of the lookup table."""
_UNLIKE: Final = (
    "lookup_unicodeloosemd5_hash"  # it keeps a digest, which is not equal where its collation says so
)


def lookup_of(sources: list[Source], conditions: list[exp.Expr], scope: Scope) -> LookupRoute | None:
    """The owned lookup vindex with the fewest values. `sources` are those whose rows are never filled with NULL;
    `conditions` hold for every row of the result."""
    candidates = [
        (source, one)
        for source in sources
        if source.kind is Kind.SHARDED and source.table is not None
        if source.vindex is not None and not source.vindex.lookup
        for one in source.table.column_vindexes
        if one.owned and len(one.columns) == 1
    ]
    if not candidates:
        return None
    said: Restrictions = {}
    for condition in conditions:
        for place, values in restrictions(condition, scope).items():
            if place not in said or len(values) < len(said[place]):
                said[place] = values
    best: tuple[bool, int] | None = None
    found: LookupRoute | None = None
    for source, one in candidates:
        lookup, given = one.vindex, said.get((source.number, one.columns[0]))
        if given is None or len(given) > MAX_VALUES or not isinstance(lookup, Lookup):
            continue
        if lookup.write_only or lookup.type.startswith(_UNLIKE) or len(lookup.columns) != 1:
            continue
        rank = (not lookup.unique, len(given))
        if best is None or rank < best:
            assert source.table is not None
            best, found = rank, LookupRoute(source.table.name, one.columns[0], one.name, given)
    return found
