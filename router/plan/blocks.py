"""Which shards a query needs, block by block: the routing half of the planner.

A block is a SELECT, or a set operation, with everything inside it. Its sharded sources are *colocated* when their keys
are equal: then every row of the result comes from rows of one shard, and the shards' results put together are the
result. What is not colocated needs one shard for everything, and carries the refusal for when that is not so.

Invariant: `values` of a block name every shard on which a row that matters can lie (None: all shards).
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from itertools import product
from typing import Final

from router.plan.equalities import Equalities, Values, column_pairs, conjuncts, restrictions
from router.plan.names import Kind, Place, Scope, Source, listed, table_of, table_source
from router.plan.plans import Bind
from router.sql.parse import exp
from router.vschema import ColumnVindex, VSchema

Key = tuple[Bind | None, ...]
Refusal = tuple[str, str]

MAX_VALUES: Final = 10_000
ONE_SHARD: Final = "Give every part the same value of the sharding column, so that one shard has all rows."


class CannotPlanError(Exception):
    """A construct that routing does not understand: the statement passes only where there is one shard."""

    def __init__(self, construct: str, instead: str = ONE_SHARD) -> None:
        super().__init__(construct)
        self.refusal: Refusal = (construct, instead)


@dataclass(slots=True)
class Block:
    """`free`: it needs no particular shard. `values`: keys whose shards it needs. `refusal`: why it cannot run on
    several. `plain`: the shards' rows put together are its rows. `anchor`: the sharded source whose key all others
    share. `exports`: output columns (lower case) that are columns of its sources."""

    free: bool = True
    values: tuple[Key, ...] | None = ()
    vindex: ColumnVindex | None = None
    refusal: Refusal | None = None
    plain: bool = True
    anchor: Source | None = None
    known: Equalities = field(default_factory=Equalities)
    scope: Scope = field(default_factory=Scope)
    exports: dict[str, Place] = field(default_factory=dict)
    names: tuple[str, ...] | None = None  # of the output columns, lower case, where all are known

    @property
    def single(self) -> bool:
        return self.values is not None and len(self.values) <= 1


@dataclass(slots=True)
class _Outer:
    """An outer join: `optional` sources are filled with NULL where no row of `kept` matches."""

    optional: list[Source]
    kept: list[Source]
    conditions: list[exp.Expr]
    strict: bool = False


def same_vindex(one: ColumnVindex | None, other: ColumnVindex | None) -> bool:
    """Whether two vindexes map equal values to equal shards."""
    if one is None or other is None:
        return False
    a, b = one.vindex, other.vindex
    if a is b or one.name == other.name:
        return True
    if type(a) is not type(b) or one.lookup:
        return False
    slots = [slot for slot in getattr(type(a), "__slots__", ("?",)) if slot != "name"]
    return all(hasattr(a, slot) and getattr(a, slot) == getattr(b, slot) for slot in slots)


class Analysis:
    """Analyses the blocks of one statement in one sharded keyspace."""

    def __init__(self, keyspace: str, vschema: VSchema) -> None:
        self.keyspace = keyspace
        self.vschema = vschema
        self._numbers = 0
        self._ctes: dict[str, exp.CTE] = {}
        self._open_ctes: list[str] = []

    def block(self, query: exp.Expr, outer: Scope | None = None, known: Equalities | None = None) -> Block:
        """Raises CannotPlanError, SluiceError."""
        with_ = query.args.get("with_")
        before = self._ctes
        if with_ is not None:
            self._ctes = {**before, **{cte.alias: cte for cte in with_.expressions}}
            if with_.recursive and any(self._names_itself(cte) for cte in with_.expressions):
                self._ctes = before
                raise CannotPlanError("recursive common table expressions over sharded tables")
        try:
            if isinstance(query, exp.Subquery):
                made = self.block(query.this, outer, known)
                if any(query.args.get(part) for part in ("limit", "offset", "order")):
                    made.plain = made.plain and made.single
                return made
            if isinstance(query, exp.SetOperation):
                return self._set_operation(query, outer, known)
            if isinstance(query, exp.Select):
                return self._select(query, outer, known)
        finally:
            self._ctes = before
        if isinstance(query, exp.Values):
            return Block()
        raise CannotPlanError(f"{type(query).__name__.upper()} over sharded tables")

    @staticmethod
    def _names_itself(cte: exp.CTE) -> bool:
        return any(table.name == cte.alias and not table.db for table in cte.this.find_all(exp.Table))

    # ---- SELECT

    def _select(self, select: exp.Select, outer: Scope | None, known: Equalities | None) -> Block:
        scope = Scope(outer)
        known = known.copy() if known is not None else Equalities()
        block = Block(scope=scope, known=known)
        conditions: list[exp.Expr] = []
        outers: list[_Outer] = []
        parts: list[Block] = []  # derived tables that need one shard for themselves
        from_ = select.args.get("from_")
        if from_ is not None:
            left = self._relation(from_.this, scope, known, conditions, outers, parts)
            self._joins(select.args.get("joins") or [], left, scope, known, conditions, outers, parts)
        where = select.args.get("where")
        where_conditions = conjuncts(where.this) if where is not None else []
        self._inner_where_null_is_rejected(where_conditions, scope, conditions, outers)
        for condition in conditions + where_conditions:
            known.learn(condition, scope)
        optional = {id(source) for one in outers if not one.strict for source in one.optional}
        self._anchor(block, [source for source in scope.sources if id(source) not in optional])
        for one in outers:
            if not one.strict:
                self._attach(block, one)
        for part in parts:
            self._combine(block, part, "a derived table with aggregation, DISTINCT, LIMIT or UNION")
        self._subqueries(block, select, where_conditions, conditions, outers)
        self._output(block, select)
        return block

    def _joins(
        self,
        joins: list[exp.Join],
        left: list[Source],
        scope: Scope,
        known: Equalities,
        conditions: list[exp.Expr],
        outers: list[_Outer],
        parts: list[Block],
    ) -> list[Source]:
        for join in joins:
            right = self._relation(join.this, scope, known, conditions, outers, parts)
            on = conjuncts(join.args.get("on")) + self._using(join, left, right)
            side = (join.side or "").upper()
            if side == "LEFT":
                outers.append(_Outer(right, list(left), on))
            elif side == "RIGHT":
                outers.append(_Outer(list(left), right, on))
            elif side:
                raise CannotPlanError(f"{side} JOIN")
            else:
                conditions += on
            left = left + right
        return left

    @staticmethod
    def _using(join: exp.Join, left: list[Source], right: list[Source]) -> list[exp.Expr]:
        made: list[exp.Expr] = []
        for column in join.args.get("using") or []:
            name = column.name
            owners = [one for one in left if name.lower() in one.declared] or (left if len(left) == 1 else [])
            if len(owners) == 1 and len(right) == 1:
                made.append(
                    exp.EQ(
                        this=exp.column(name, owners[0].alias), expression=exp.column(name, right[0].alias)
                    )
                )
        return made

    def _relation(
        self,
        relation: exp.Expr,
        scope: Scope,
        known: Equalities,
        conditions: list[exp.Expr],
        outers: list[_Outer],
        parts: list[Block],
    ) -> list[Source]:
        """Adds what a FROM item names to the scope, and gives it."""
        if isinstance(relation, exp.Paren):
            return self._relation(relation.this, scope, known, conditions, outers, parts)
        nested = relation.args.get("joins") or []
        if isinstance(relation, exp.Table) and isinstance(relation.this, exp.Identifier):
            cte = self._ctes.get(relation.name) if not relation.db else None
            if cte is not None:
                source = self._derived(cte.this, relation.alias_or_name, scope, known, parts, cte)
            else:
                source = self._table(relation)
            scope.sources.append(source)
            return self._joins(nested, [source], scope, known, conditions, outers, parts)
        if isinstance(relation, exp.Subquery) and (
            isinstance(relation.this, exp.Table)
            or (isinstance(relation.this, exp.Subquery) and not relation.alias)
        ):
            left = self._relation(relation.this, scope, known, conditions, outers, parts)
            return self._joins(nested, left, scope, known, conditions, outers, parts)
        if isinstance(relation, exp.Subquery):
            source = self._derived(relation.this, relation.alias, scope, known, parts, relation)
            scope.sources.append(source)
            return self._joins(nested, [source], scope, known, conditions, outers, parts)
        raise CannotPlanError("LATERAL, JSON_TABLE or another table function beside sharded tables")

    def _table(self, node: exp.Table) -> Source:
        alias = node.alias_or_name
        self._numbers += 1
        table = table_of(node, self.keyspace, self.vschema)
        if table is None:
            return Source(self._numbers, alias, Kind.REFERENCE)
        return table_source(self._numbers, alias, table)

    def _derived(
        self,
        query: exp.Expr,
        alias: str,
        scope: Scope,
        known: Equalities,
        parts: list[Block],
        holder: exp.Expr,
    ) -> Source:
        inner = self.block(query, None)
        self._numbers += 1
        renamed = (
            [column.name.lower() for column in holder.args["alias"].columns]
            if holder.args.get("alias")
            else []
        )
        exports = inner.exports
        names = inner.names
        if renamed:
            exports = (
                {new: exports[old] for new, old in zip(renamed, names, strict=False) if old in exports}
                if names is not None
                else {}
            )
            names = tuple(renamed)
        source = Source(self._numbers, alias, Kind.REFERENCE)
        if names is not None:
            source.declared, source.complete = frozenset(names), True
        if inner.free:
            return source
        if inner.refusal is not None or not inner.plain or inner.anchor is None:
            source.kind = Kind.WHOLE
            parts.append(inner)
            return source
        source.kind = Kind.SHARDED
        source.vindex = inner.anchor.vindex
        source.keys = tuple(_exported_keys(inner, exports))
        known.absorb(inner.known)
        for name, place in exports.items():
            known.union((source.number, name), place)
        # the key itself need not be shown: it is known under the inner source's own number
        source.hidden_key = next(_keys(inner.anchor))
        return source

    @staticmethod
    def _inner_where_null_is_rejected(
        where: list[exp.Expr], scope: Scope, conditions: list[exp.Expr], outers: list[_Outer]
    ) -> None:
        """An outer join is an inner one when WHERE asks something of a column of its optional side that NULL does
        not fulfil. Only a side of one source is looked at."""
        for one in outers:
            if len(one.optional) != 1:
                continue
            number = one.optional[0].number
            for condition in where:
                if isinstance(condition, exp.NullSafeEQ):
                    continue
                touched = {place[0] for place in restrictions(condition, scope)}
                touched.update(place[0] for pair in column_pairs(condition, scope) for place in pair)
                if number in touched:
                    one.strict = True
                    conditions += one.conditions
                    break

    # ---- putting together

    def _anchor(self, block: Block, sources: list[Source]) -> None:
        sharded = [source for source in sources if source.kind is Kind.SHARDED]
        if not sharded:
            return
        block.free = False
        anchor = block.anchor = sharded[0]
        block.vindex = anchor.vindex
        block.values = self._values(anchor, block.known)
        for source in sharded[1:]:
            if self._colocated(source, anchor, block.known):
                values = self._values(source, block.known)
                if values is not None and (block.values is None or len(values) < len(block.values)):
                    block.values = values
            else:
                part = Block(False, self._values(source, block.known), source.vindex, anchor=source)
                self._combine(
                    block,
                    part,
                    f"a join of {anchor.alias} and {source.alias} that is not by their sharding columns",
                    "Join them by their sharding columns, or give both the same value of it.",
                )

    def _attach(self, block: Block, join: _Outer) -> None:
        known = block.known.copy()
        optional = {source.number for source in join.optional}
        for condition in join.conditions:
            for one, other in column_pairs(condition, block.scope):
                if (one[0] in optional) != (other[0] in optional):
                    known.union(one, other)
            for place, values in restrictions(condition, block.scope).items():
                if place[0] in optional and known.values(place) is None:
                    known.restrict(place, values)
        kept = [source for source in join.kept if source.kind is Kind.SHARDED]
        for source in join.optional:
            if source.kind is not Kind.SHARDED:
                continue
            if any(self._colocated(source, one, known) for one in kept):
                continue
            part = Block(False, self._values(source, known), source.vindex, anchor=source)
            preserved = listed(one.alias for one in join.kept)
            self._combine(
                block,
                part,
                f"an outer join of {preserved} and {source.alias} that is not by their sharding columns",
                "Join them by their sharding columns, or give both the same value of it.",
            )

    def _combine(self, block: Block, part: Block, construct: str, instead: str = ONE_SHARD) -> None:
        """Adds a part that must lie on the same one shard as the rest."""
        if part.free:
            return
        refusal = part.refusal or (construct, instead)
        if block.free:
            block.free = False
            block.vindex, block.values = part.vindex, part.values
            block.plain = False
        elif not same_vindex(block.vindex, part.vindex) or block.values is None or part.values is None:
            block.values = None
        else:
            block.values = tuple(dict.fromkeys(block.values + part.values))
        if block.refusal is None and not (block.single and (part.refusal is None)):
            block.refusal = refusal
        block.plain = block.plain and block.single

    def _colocated(self, one: Source, other: Source, known: Equalities) -> bool:
        return same_vindex(one.vindex, other.vindex) and any(
            known.same(a, b) for a in _keys(one) for b in _keys(other)
        )

    def _values(self, source: Source, known: Equalities) -> tuple[Key, ...] | None:
        """The keys a source's rows can have, None when any."""
        if source.vindex is None or source.vindex.lookup:
            return None
        best: tuple[Key, ...] | None = None
        for key in _keys(source):
            columns: list[Values] = []
            count = 1
            for place in key:
                values = known.values(place)
                if values is None:
                    break
                columns.append(values)
                count *= len(values)
            else:
                if count <= MAX_VALUES and (best is None or count < len(best)):
                    best = tuple(product(*columns))
        return best

    # ---- subqueries

    def _subqueries(
        self,
        block: Block,
        select: exp.Select,
        where: list[exp.Expr],
        conditions: list[exp.Expr],
        outers: list[_Outer],
    ) -> None:
        loose = {id(sub) for one in outers if not one.strict for c in one.conditions for sub in _queries(c)}
        seen: set[int] = set()
        for root in [
            *where,
            *conditions,
            *(c for one in outers for c in one.conditions),
            *_own_expressions(select),
        ]:
            for query in _queries(root):
                if id(query) not in seen:
                    seen.add(id(query))
                    self._subquery(block, query, loose=id(query) in loose)

    def _subquery(self, block: Block, query: exp.Expr, loose: bool) -> None:
        known = Equalities() if loose else block.known
        inner = self.block(query, block.scope, known)
        if inner.free:
            return
        if inner.refusal is None and inner.anchor is not None and block.anchor is not None and not loose:
            self._link_in(query, inner, block)
            if self._colocated(inner.anchor, block.anchor, inner.known):
                return
        self._combine(
            block,
            inner,
            f"a subquery on {inner.anchor.alias if inner.anchor else 'sharded tables'}, "
            "whose rows may lie on other shards than the outer query's",
        )

    @staticmethod
    def _link_in(query: exp.Expr, inner: Block, block: Block) -> None:
        """`column IN (SELECT other ...)` looks only at rows where the two are equal."""
        holder = query.parent
        while isinstance(holder, (exp.Subquery, exp.Paren)):
            holder = holder.parent
        if not isinstance(holder, exp.In) or not isinstance(query, exp.Select) or not inner.plain:
            return
        columns = holder.this.expressions if isinstance(holder.this, exp.Tuple) else [holder.this]
        if len(columns) != len(query.expressions):
            return
        for column, item in zip(columns, query.expressions, strict=True):
            item = item.unalias()
            if isinstance(column, exp.Column) and isinstance(item, exp.Column):
                one, other = block.scope.resolve(column), inner.scope.resolve(item)
                if one is not None and other is not None:
                    inner.known.union(one, other)

    # ---- what comes out

    def _output(self, block: Block, select: exp.Select) -> None:
        names: list[str] | None = []
        for item in select.expressions:
            inner = item.unalias()
            if isinstance(inner, exp.Star) or (
                isinstance(inner, exp.Column) and isinstance(inner.this, exp.Star)
            ):
                names = None
                self._export_star(block, inner)
                continue
            if names is not None:
                names.append(item.alias_or_name.lower())
            if isinstance(inner, exp.Column):
                place = block.scope.resolve(inner)
                if place is not None:
                    block.exports.setdefault(item.alias_or_name.lower(), place)
        block.names = tuple(names) if names is not None else None
        if not block.free and not block.single and block.plain:
            block.plain = self.is_plain(block, select)

    @staticmethod
    def _export_star(block: Block, star: exp.Expr) -> None:
        for source in block.scope.sources:
            if isinstance(star, exp.Column) and source.alias != star.table:
                continue
            for column in source.declared:
                block.exports.setdefault(column, (source.number, column))

    def is_plain(self, block: Block, select: exp.Select) -> bool:
        """Whether each shard's rows are rows of the result, and all of them."""
        if select.args.get("limit") or select.args.get("offset"):
            return False
        if select.args.get("distinct") and not self.has_key(
            block, [item.unalias() for item in select.expressions]
        ):
            return False
        return self.groups_by_key(block, select) and self.windows_by_key(block, select)

    def has_key(self, block: Block, expressions: list[exp.Expr]) -> bool:
        """Whether the expressions contain all columns of the sharding key, or their equals."""
        if block.anchor is None:
            return False
        places = {
            block.known.find(place)
            for one in expressions
            if isinstance(one, exp.Column) and (place := block.scope.resolve(one)) is not None
        }
        return any(all(block.known.find(place) in places for place in key) for key in _keys(block.anchor))

    @staticmethod
    def key_in_order(block: Block, expressions: list[exp.Expr]) -> bool:
        """Whether the expressions are the columns of the sharding key, in the vindex's order."""
        places = [block.scope.resolve(one) if isinstance(one, exp.Column) else None for one in expressions]
        return block.anchor is not None and any(
            len(key) == len(places)
            and all(
                place is not None and block.known.find(place) == block.known.find(part)
                for place, part in zip(places, key, strict=True)
            )
            for key in _keys(block.anchor)
        )

    def groups_by_key(self, block: Block, select: exp.Select) -> bool:
        """Whether every group of the block lies on one shard (also when there are no groups)."""
        group = select.args.get("group")
        if group is None:
            return not has_aggregates(select)
        if group.args.get("rollup"):
            return False
        return self.has_key(block, grouping(select))

    def windows_by_key(self, block: Block, select: exp.Select) -> bool:
        """Whether every window's partitions lie on one shard each."""
        named = {window.name: window for window in select.args.get("windows") or []}
        for window in _own(select, exp.Window):
            partition = window.args.get("partition_by") or []
            if not partition and window.alias in named:
                partition = named[window.alias].args.get("partition_by") or []
            if not self.has_key(block, partition):
                return False
        return True

    # ---- set operations

    def _set_operation(self, query: exp.SetOperation, outer: Scope | None, known: Equalities | None) -> Block:
        left = self.block(query.left, outer, known)
        right = self.block(query.right, outer, known)
        name = type(query).__name__.upper()
        block = Block(left.free, left.values, left.vindex, left.refusal, left.plain, names=left.names)
        concatenated = (
            isinstance(query, exp.Union)
            and not query.args.get("distinct")
            and all(part.plain and part.refusal is None and not part.free for part in (left, right))
            and same_vindex(left.vindex, right.vindex)
        )
        self._combine(block, right, f"{name} over several shards", "Use one SELECT for each part.")
        if left.free != right.free and not block.single and block.refusal is None:
            block.refusal = (f"{name} over several shards", "Use one SELECT for each part.")
        ordered = any(query.args.get(part) for part in ("order", "limit", "offset"))
        if concatenated and not ordered:
            block.refusal = None
            block.plain = True
        elif not block.free and not block.single:
            block.plain = False
            block.refusal = block.refusal or (f"{name} over several shards", "Use one SELECT for each part.")
        return block


def _keys(source: Source) -> Iterator[tuple[Place, ...]]:
    for key in source.keys:
        yield source.places(key)
    if source.hidden_key:
        yield source.hidden_key


def _exported_keys(inner: Block, exports: dict[str, Place]) -> Iterator[tuple[str, ...]]:
    """The output columns under which a derived table shows its sharding key."""
    assert inner.anchor is not None
    for key in _keys(inner.anchor):
        choices = [
            [name for name, place in exports.items() if inner.known.find(place) == inner.known.find(part)]
            for part in key
        ]
        yield from product(*choices)


def grouping(select: exp.Select) -> list[exp.Expr]:
    """The GROUP BY expressions, with positions and aliases replaced by what they stand for."""
    group = select.args.get("group")
    return [resolved_item(one, select) for one in (group.expressions if group is not None else [])]


def resolved_item(one: exp.Expr, select: exp.Select) -> exp.Expr:
    """What a GROUP BY expression stands for. A plain column stays: MySQL prefers columns of the tables to aliases, and
    which columns there are is not always known."""
    if isinstance(one, exp.Literal) and not one.is_string and len(one.this) < 5:
        at = int(one.this) - 1
        if 0 <= at < len(select.expressions):
            chosen: exp.Expr = select.expressions[at].unalias()
            return chosen
    if isinstance(one, exp.Column) and not one.table:
        for item in select.expressions:
            if isinstance(item, exp.Alias) and item.alias.lower() == one.name.lower():
                inner: exp.Expr = item.unalias()
                if not isinstance(inner, exp.Column):
                    return inner
    return one


def _own(select: exp.Expr, kind: type[exp.Expr]) -> Iterator[exp.Expr]:
    """Nodes of `kind` that belong to this block, not to a subquery."""
    for root in _own_expressions(select):
        waiting = [root]
        while waiting:
            one = waiting.pop()
            if isinstance(one, exp.Query):
                continue
            if isinstance(one, kind):
                yield one
            waiting += one.iter_expressions()


def has_aggregates(select: exp.Select) -> bool:
    """Whether the block aggregates, GROUP BY or not: an aggregate that is not a window function's."""
    return bool(select.args.get("group")) or any(
        not isinstance(one.parent, exp.Window) for one in _own(select, exp.AggFunc)
    )


def _own_expressions(select: exp.Expr) -> Iterator[exp.Expr]:
    yield from select.expressions
    for part in ("group", "having", "order", "limit", "offset", "where"):
        node = select.args.get(part)
        if isinstance(node, exp.Expr):
            yield node
    yield from select.args.get("windows") or []


def _queries(root: exp.Expr) -> Iterator[exp.Expr]:
    """The outermost queries inside an expression."""
    waiting = [root]
    while waiting:
        one = waiting.pop()
        if isinstance(one, (exp.Select, exp.SetOperation)):
            yield one
        else:
            waiting += one.iter_expressions()
