"""Writes that read on other shards than they write to: the rows are read first, and what they say is written then.

Values only, as `plans`; `router.execute.move_insert` and `move_change` run them.
"""

from __future__ import annotations

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
    """UPDATE or DELETE of one table, whose rows are found first and then changed by their primary keys. `query`: the
    SELECT that finds them; its piece -1 stands for the expressions of the key. `head`: the statement up to its WHERE;
    piece -1-k is the k-th of the values that the query gives behind the key, for the columns `fetched`. `tail`: its
    ORDER BY. `changed`: as in OwnedPart. `self_read`: a subquery reads the table. `joined`: it is not the whole FROM.
    `copies`: every shard has the same rows. `moved`: the sharding columns that are assigned to, all of them `fetched`;
    then the query gives, behind what is fetched, what the columns `foreseen` will have."""

    keyspace: str
    table: str
    alias: bytes
    query: Template
    head: Template
    tail: Template
    fetched: tuple[str, ...] = ()
    moved: tuple[str, ...] = ()
    foreseen: tuple[str, ...] = ()
    changed: frozenset[str] | None = None
    self_read: bool = False
    joined: bool = False
    copies: bool = False


Move = InsertMove | ChangeMove
