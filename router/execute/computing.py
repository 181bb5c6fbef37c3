"""The rows of an INSERT some of whose values are selected first.

Invariant: a value is computed once, in the statement's transaction, and then is a literal of `engine.assigning`.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Sequence
from typing import Final

from core.errors import not_supported
from router.engine.assigning import Render
from router.execute.selecting import SHARE, Selected, select
from router.execute.values import render
from router.plan.moves import Computed
from router.plan.plans import Template
from router.sessions.session import Session
from router.view import ClusterView

VALUES_AT_ONCE: Final = 1000
"""Items of one select list; servers take 4096."""


async def values_of(
    session: Session,
    view: ClusterView,
    computed: Computed,
    literals: Sequence[bytes],
    renders: Callable[[Selected, Sequence[int]], list[Render]],
    refusal: tuple[str, str],
    *,
    lenient: bool,
) -> list[bytes]:
    """The literals of the computed values. `renders`: for the columns at these places. Raises SluiceError,
    CannotCopyError."""
    if any(
        _is_bits(literals[bind]) for one in computed.values for bind in one.pieces if isinstance(bind, int)
    ):
        raise not_supported(f"{refusal[0]}, with hexadecimal or bit literals,", refusal[1])
    found: list[bytes] = []
    for first in range(0, len(computed.values), VALUES_AT_ONCE):
        texts = [render(one, literals) for one in computed.values[first : first + VALUES_AT_ONCE]]
        selected = await select(session, view, b"SELECT " + b", ".join(texts), SHARE, lenient=lenient)
        making = renders(selected, computed.places[first : first + VALUES_AT_ONCE])
        for row in selected.rows():
            found += [b"NULL" if cell is None else make(cell) for make, cell in zip(making, row, strict=True)]
    return found


def rows_of(computed: Computed, values: Sequence[bytes], literals: Sequence[bytes]) -> Iterator[list[bytes]]:
    """Each row's values as they are written."""
    for row in computed.rows:
        yield [render(one, literals) if isinstance(one, Template) else values[one] for one in row]


def _is_bits(literal: bytes) -> bool:
    """x'41', 0x41, b'1', 0b1: numbers or text, as the column likes them; of a SELECT they are text."""
    return literal[:2].lower() in (b"x'", b"0x", b"b'", b"0b")
