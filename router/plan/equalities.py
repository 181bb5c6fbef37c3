"""What a condition says about columns: which are equal to each other, and which have one of a few values.

Invariant: everything here is implied by the condition being true; what is not understood says nothing.
"""

from __future__ import annotations

from collections.abc import Iterator

from router.plan.names import Place, Scope
from router.plan.plans import Bind
from router.sql.parse import bind_of, exp

Values = tuple[Bind | None, ...]
Restrictions = dict[Place, Values]


class Equalities:
    """Columns known to be equal (a union-find), and the values that columns are restricted to. `blind`: values say
    nothing of shards, so none are told."""

    __slots__ = ("_parent", "_values", "blind")

    def __init__(self, *, blind: bool = False) -> None:
        self.blind = blind
        self._parent: dict[Place, Place] = {}
        self._values: Restrictions = {}

    def copy(self) -> Equalities:
        made = Equalities(blind=self.blind)
        made._parent = dict(self._parent)
        made._values = dict(self._values)
        return made

    def absorb(self, other: Equalities) -> None:
        """Takes in what is known about other sources."""
        for place in list(other._parent):
            self.union(other.find(place), place)
        for place, values in other._values.items():
            self.restrict(place, values)

    def find(self, place: Place) -> Place:
        parent = self._parent
        while (above := parent.get(place, place)) != place:
            place = above
        return place

    def union(self, one: Place, other: Place) -> None:
        one, other = self.find(one), self.find(other)
        if one != other:
            self._parent[other] = one
            values = self._values.pop(other, None)
            if values is not None:
                self.restrict(one, values)

    def restrict(self, place: Place, values: Values) -> None:
        root = self.find(place)
        known = self._values.get(root)
        if known is None or len(values) < len(known):
            self._values[root] = values

    def same(self, one: tuple[Place, ...], other: tuple[Place, ...]) -> bool:
        return len(one) == len(other) and all(
            self.find(a) == self.find(b) for a, b in zip(one, other, strict=True)
        )

    def values(self, place: Place) -> Values | None:
        return None if self.blind else self._values.get(self.find(place))

    def learn(self, condition: exp.Expr, scope: Scope) -> None:
        """Takes in one condition that holds for every row of the result."""
        for one, other in column_pairs(condition, scope):
            self.union(one, other)
        for place, values in restrictions(condition, scope).items():
            self.restrict(place, values)


def conjuncts(condition: exp.Expr | None) -> list[exp.Expr]:
    """The conditions that AND joins."""
    if condition is None:
        return []
    found: list[exp.Expr] = []
    waiting = [condition]
    while waiting:
        one = waiting.pop()
        if isinstance(one, exp.Paren):
            waiting.append(one.this)
        elif isinstance(one, exp.And):
            waiting += (one.expression, one.this)
        else:
            found.append(one)
    return found


def value_of(node: exp.Expr) -> tuple[bool, Bind | None]:
    """Whether `node` is a value that is known once the literals are, and its bind (None for NULL)."""
    negative = False
    while isinstance(node, (exp.Paren, exp.Neg)):
        if isinstance(node, exp.Neg):
            negative = not negative
        node = node.this
    index = bind_of(node)
    if index >= 0:
        return True, Bind(index, negative)
    return isinstance(node, exp.Null), None


def _unwrapped(node: exp.Expr) -> exp.Expr:
    while isinstance(node, exp.Paren):
        node = node.this
    return node


def _row(node: exp.Expr) -> list[exp.Expr]:
    """The parts of a row constructor, or the expression alone."""
    node = _unwrapped(node)
    if isinstance(node, exp.Tuple):
        return list(node.expressions)
    if isinstance(node, exp.Anonymous) and node.name.upper() == "ROW":
        return list(node.expressions)
    return [node]


def column_pairs(condition: exp.Expr, scope: Scope) -> Iterator[tuple[Place, Place]]:
    """Columns that the condition makes equal."""
    if not isinstance(condition, (exp.EQ, exp.NullSafeEQ)):
        return
    left, right = _row(condition.this), _row(condition.expression)
    if len(left) != len(right):
        return
    for one, other in zip(left, right, strict=True):
        one, other = _unwrapped(one), _unwrapped(other)
        if isinstance(one, exp.Column) and isinstance(other, exp.Column):
            a, b = scope.resolve(one), scope.resolve(other)
            if a is not None and b is not None:
                yield a, b


def restrictions(condition: exp.Expr, scope: Scope) -> Restrictions:
    """Columns that can only have one of some values where the condition is true."""
    condition = _unwrapped(condition)
    if isinstance(condition, exp.And):
        found = restrictions(condition.this, scope)
        for place, values in restrictions(condition.expression, scope).items():
            if place not in found or len(values) < len(found[place]):
                found[place] = values
        return found
    if isinstance(condition, exp.Or):
        left = restrictions(condition.this, scope)
        right = restrictions(condition.expression, scope) if left else {}
        return {place: _merged(values, right[place]) for place, values in left.items() if place in right}
    if isinstance(condition, (exp.EQ, exp.NullSafeEQ)):
        return _equal(condition, scope)
    if isinstance(condition, exp.In) and condition.args.get("query") is None and condition.expressions:
        return _in(condition, scope)
    return {}


def _merged(one: Values, other: Values) -> Values:
    return tuple(dict.fromkeys(one + other))


def _equal(condition: exp.Expr, scope: Scope) -> Restrictions:
    found: Restrictions = {}
    left, right = _row(condition.this), _row(condition.expression)
    if len(left) != len(right):
        return found
    null_safe = isinstance(condition, exp.NullSafeEQ)
    for one, other in zip(left, right, strict=True):
        for column, value in ((one, other), (other, one)):
            column = _unwrapped(column)
            known, bind = value_of(value)
            if not isinstance(column, exp.Column) or not known or (null_safe and bind is None):
                continue
            place = scope.resolve(column)
            if place is not None:
                found[place] = (bind,)
    return found


def _in(condition: exp.In, scope: Scope) -> Restrictions:
    columns = _row(condition.this)
    lists: list[list[Bind | None]] = [[] for _ in columns]
    certain = [isinstance(_unwrapped(column), exp.Column) for column in columns]
    for row in condition.expressions:
        values = _row(row)
        if len(values) != len(columns):
            return {}
        for at, value in enumerate(values):
            known, bind = value_of(value)
            certain[at] = certain[at] and known
            lists[at].append(bind)
    found: Restrictions = {}
    for at, column in enumerate(columns):
        column = _unwrapped(column)
        if certain[at] and isinstance(column, exp.Column):
            place = scope.resolve(column)
            if place is not None:
                found[place] = tuple(dict.fromkeys(lists[at]))
    return found
