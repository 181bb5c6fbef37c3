"""Which shards a query needs, block by block: the routing half of the planner.

A block is a SELECT, or a set operation, with everything inside it. Its sharded sources are *colocated* when their keys
are equal: then every row of the result comes from rows of one shard, and the shards' results put together are the
result. What is not colocated needs one shard for everything, and carries the refusal for when that is not so.

Invariant: `values` of a block name every shard on which a row that matters can lie (None: all shards).
"""

from __future__ import annotations

from router.plan.block import ONE_SHARD, Block, CannotPlanError, exported_keys, keys_of, same_vindex
from router.plan.colocation import Outer, anchor_block, attach, colocated, combine
from router.plan.equalities import Equalities, column_pairs, conjuncts, restrictions
from router.plan.locality import is_plain
from router.plan.lookups import lookup_of
from router.plan.names import Kind, Scope, Source, cte_of, is_dual, table_of, table_source, tables_in
from router.plan.shape import own_expressions, queries
from router.sql.parse import exp
from router.vschema import TableType, VSchema


class Analysis:
    """Analyses the blocks of one statement in one sharded keyspace. `spread`: equal rows may lie on any shard."""

    def __init__(self, keyspace: str, vschema: VSchema, *, spread: bool = False) -> None:
        self.spread = spread
        self.keyspace = keyspace
        self.vschema = vschema
        self._numbers = 0

    def block(self, query: exp.Expr, outer: Scope | None = None, known: Equalities | None = None) -> Block:
        """Raises CannotPlanError, SluiceError."""
        if isinstance(query, exp.Subquery):
            made = self.block(query.this, outer, known)
            if any(query.args.get(part) for part in ("limit", "offset", "order")):
                made.plain = made.plain and made.single
                made.row_by_row = False
            return made
        if isinstance(query, exp.SetOperation):
            return self._set_operation(query, outer, known)
        if isinstance(query, exp.Select):
            return self._select(query, outer, known)
        if isinstance(query, exp.Values):
            return Block()
        raise CannotPlanError(f"{type(query).__name__.upper()} over sharded tables")

    def _recursive(self, cte: exp.CTE, alias: str) -> Source:
        """A CTE that reads itself: it may be computed anywhere as long as it reads no sharded table."""
        for node in tables_in(cte.this):
            table = table_of(node, self.keyspace, self.vschema)
            if table is not None and table.type is not TableType.REFERENCE:
                raise CannotPlanError("recursive common table expressions over sharded tables")
        self._numbers += 1
        return Source(self._numbers, alias, Kind.REFERENCE)

    # ---- SELECT

    def _select(self, select: exp.Select, outer: Scope | None, known: Equalities | None) -> Block:
        scope = Scope(outer)
        known = known.copy() if known is not None else Equalities(blind=self.spread)
        block = Block(scope=scope, known=known)
        conditions: list[exp.Expr] = []
        outers: list[Outer] = []
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
        kept = [source for source in scope.sources if id(source) not in optional]
        anchor_block(block, kept)
        for one in outers:
            if not one.strict:
                attach(block, one)
        for part in parts:
            combine(block, part, "a derived table with aggregation, DISTINCT, LIMIT or UNION")
        self._subqueries(block, select, where_conditions, conditions, outers)
        self._output(block, select)
        if block.values is None and block.refusal is None:
            block.lookup = lookup_of(kept, conditions + where_conditions, scope)
        return block

    def _joins(
        self,
        joins: list[exp.Join],
        left: list[Source],
        scope: Scope,
        known: Equalities,
        conditions: list[exp.Expr],
        outers: list[Outer],
        parts: list[Block],
    ) -> list[Source]:
        for join in joins:
            right = self._relation(join.this, scope, known, conditions, outers, parts)
            on = conjuncts(join.args.get("on")) + self._using(join, left, right)
            side = (join.side or "").upper()
            if side == "LEFT":
                outers.append(Outer(right, list(left), on))
            elif side == "RIGHT":
                outers.append(Outer(list(left), right, on))
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
        outers: list[Outer],
        parts: list[Block],
    ) -> list[Source]:
        """Adds what a FROM item names to the scope, and gives it."""
        if isinstance(relation, exp.Paren):
            return self._relation(relation.this, scope, known, conditions, outers, parts)
        nested = relation.args.get("joins") or []
        if isinstance(relation, exp.Table) and isinstance(relation.this, exp.Identifier):
            cte = cte_of(relation)
            if cte is not None and any(cte_of(one) is cte for one in cte.this.find_all(exp.Table)):
                source = self._recursive(cte, relation.alias_or_name)
            elif cte is not None:
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
        if isinstance(relation, exp.Table) and isinstance(relation.this, exp.JSONTable):
            scope.sources.append(source := self._json_table(relation))
            return self._joins(nested, [source], scope, known, conditions, outers, parts)
        raise CannotPlanError("LATERAL, or a table function other than JSON_TABLE, beside sharded tables")

    def _json_table(self, node: exp.Table) -> Source:
        """A server makes its rows of a literal, or of a row before it: they are wherever that row is."""
        if next(queries(node.this), None) is not None:
            raise CannotPlanError("JSON_TABLE of a subquery beside sharded tables")
        names = frozenset(one.name.lower() for one in node.this.find_all(exp.JSONColumnDef) if one.this)
        self._numbers += 1
        return Source(self._numbers, node.alias_or_name, Kind.REFERENCE, declared=names, complete=True)

    def _table(self, node: exp.Table) -> Source:
        alias = node.alias_or_name
        self._numbers += 1
        if is_dual(node):
            return Source(self._numbers, alias, Kind.REFERENCE, complete=True)
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
        source.one_shard = not inner.row_by_row
        source.vindex = inner.anchor.vindex
        source.keys = tuple(exported_keys(inner, exports))
        known.absorb(inner.known)
        for name, place in exports.items():
            known.union((source.number, name), place)
        # the key itself need not be shown: it is known under the inner source's own number
        source.hidden_key = next(keys_of(inner.anchor))
        return source

    @staticmethod
    def _inner_where_null_is_rejected(
        where: list[exp.Expr], scope: Scope, conditions: list[exp.Expr], outers: list[Outer]
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

    # ---- subqueries

    def _subqueries(
        self,
        block: Block,
        select: exp.Select,
        where: list[exp.Expr],
        conditions: list[exp.Expr],
        outers: list[Outer],
    ) -> None:
        loose = {id(sub) for one in outers if not one.strict for c in one.conditions for sub in queries(c)}
        seen: set[int] = set()
        for root in [
            *where,
            *conditions,
            *(c for one in outers for c in one.conditions),
            *own_expressions(select),
        ]:
            for query in queries(root):
                if id(query) not in seen:
                    seen.add(id(query))
                    self._subquery(block, query, loose=id(query) in loose)

    def _subquery(self, block: Block, query: exp.Expr, loose: bool) -> None:
        known = Equalities(blind=self.spread) if loose else block.known
        inner = self.block(query, block.scope, known)
        if inner.free:
            return
        if inner.refusal is None and inner.anchor is not None and block.anchor is not None and not loose:
            self._link_in(query, inner, block)
            if colocated(inner.anchor, block.anchor, inner.known):
                return
        combine(
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
        if not block.free:
            block.row_by_row = is_plain(block, select)
            block.plain = block.plain and (block.single or block.row_by_row)
            if not block.single and any(source.one_shard for source in block.scope.sources):
                block.plain = block.row_by_row = False
                block.refusal = block.refusal or (
                    "a derived table with aggregation or LIMIT joined with rows of other shards",
                    ONE_SHARD,
                )

    @staticmethod
    def _export_star(block: Block, star: exp.Expr) -> None:
        for source in block.scope.sources:
            if isinstance(star, exp.Column) and source.alias != star.table:
                continue
            for column in source.declared:
                block.exports.setdefault(column, (source.number, column))

    # ---- set operations

    def _set_operation(self, query: exp.SetOperation, outer: Scope | None, known: Equalities | None) -> Block:
        left = self.block(query.left, outer, known)
        right = self.block(query.right, outer, known)
        name = type(query).__name__.upper()
        block = Block(left.free, left.values, left.vindex, left.refusal, left.plain, False, names=left.names)
        concatenated = (
            isinstance(query, exp.Union)
            and not query.args.get("distinct")
            and all(
                part.plain and part.row_by_row and part.refusal is None and not part.free
                for part in (left, right)
            )
            and same_vindex(left.vindex, right.vindex)
        )
        combine(block, right, f"{name} over several shards", "Use one SELECT for each part.")
        if left.free != right.free and not block.single and block.refusal is None:
            block.refusal = (f"{name} over several shards", "Use one SELECT for each part.")
        ordered = any(query.args.get(part) for part in ("order", "limit", "offset"))
        if concatenated and not ordered:
            block.refusal = None
            block.plain = block.row_by_row = True
        elif not block.free and not block.single:
            block.plain = False
            block.refusal = block.refusal or (f"{name} over several shards", "Use one SELECT for each part.")
        return block
