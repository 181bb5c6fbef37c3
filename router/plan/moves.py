"""Writes that read on other shards than they write to: the rows are read first, and what they say is written then.

Values only, as `plans`; `router.execute.move_insert` and `move_change` run them.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

from router.plan.plans import InsertPlan, Template


@dataclass(frozen=True, slots=True)
class Computed:
    """Rows of VALUES, some of whose values are selected first. `values`: their expressions; `places`: of each, the
    place of the column that it is for; `rows`: of each row the text of each value, or which of `values` it is."""

    values: tuple[Template, ...]
    places: tuple[int, ...]
    rows: tuple[tuple[Template | int, ...], ...]


@dataclass(frozen=True, slots=True)
class InsertMove:
    """INSERT ... SELECT whose rows are read first, and then written where they belong. `query`: the SELECT. `insert`:
    how its rows are written, without any row yet; `columns`: those that are written, in its order. `key`, `generated`:
    the places of the sharding column and of the one that a sequence fills, -1 for none; `len(columns)` where that is
    added to the columns. `copies`: every shard gets every row. `computed`: the query
    gives values of rows."""

    query: Template
    insert: InsertPlan
    columns: tuple[str, ...]
    key: int = -1
    generated: int = -1
    copies: bool = False
    computed: Computed | None = None


@dataclass(frozen=True, slots=True)
class ChangeMove:
    """UPDATE or DELETE of one table, whose rows are found first and then changed by their primary keys. `rows`: FROM
    and all behind it of the SELECT that finds them; `items`: what that gives behind the key, each with a comma before
    it. `head`: the statement up to its WHERE; piece -1-k is the k-th of those values, for the columns `fetched`.
    `tail`: its ORDER BY. `changed`: as in OwnedPart. `self_read`: a subquery reads the table. `joined`: it is not the
    whole FROM. `copies`: every shard has the same rows. `moved`: the sharding columns that are assigned to, all of
    them `fetched`; then the query gives, behind what is fetched, what the columns `foreseen` will have."""

    keyspace: str
    table: str
    alias: bytes
    items: Template
    rows: Template
    head: Template
    tail: Template
    fetched: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    foreseen: tuple[str, ...] = ()
    changed: frozenset[str] | None = None
    self_read: bool = False
    joined: bool = False
    copies: bool = False


def query_of(changes: Sequence[ChangeMove]) -> Template:
    """The SELECT that finds the rows of all; piece -1-k stands for the expressions of the k-th one's key."""
    pieces: list[bytes | int] = [b"SELECT "]
    for number, one in enumerate(changes):
        pieces += (b", " if number else b"", -1 - number, *one.items.pieces)
    return Template((*pieces, b" ", *changes[0].rows.pieces))


@dataclass(frozen=True, slots=True)
class SeveralChanges:
    """UPDATE or DELETE of several tables: the rows of all are found before the first is changed."""

    changes: tuple[ChangeMove, ...]


Move = InsertMove | ChangeMove | SeveralChanges
