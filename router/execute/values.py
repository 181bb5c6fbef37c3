"""Binds of a plan as the literals of one statement give them."""

from collections.abc import Sequence

from core.errors import fail
from router.plan.plans import Bind, Template
from router.sql.normalise import literal_value
from router.vindexes.base import Value


def value_of(bind: Bind, literals: Sequence[bytes]) -> Value:
    """The value of a bind for a vindex. Raises VINDEX_VALUE for a literal that has none (a bit literal, say)."""
    token = literals[bind.index]
    value = literal_value(token)
    if isinstance(value, float):
        if not value.is_integer():
            raise fail(
                "VINDEX_VALUE", vindex="", value=token.decode("utf-8", "replace"), reason="it is a float"
            )
        value = int(value)
    if bind.negative:
        if value is None or isinstance(value, (bytes, str)):
            raise fail(
                "VINDEX_VALUE", vindex="", value=f"-{token.decode('utf-8', 'replace')}", reason="not a number"
            )
        return -value
    return value


def number_of(bind: Bind | int | None, literals: Sequence[bytes]) -> int | None:
    """A LIMIT's or OFFSET's value."""
    if bind is None or isinstance(bind, int):
        return bind
    value = value_of(bind, literals)
    if not isinstance(value, int) or value < 0:
        raise fail("SYNTAX", message="LIMIT and OFFSET are whole numbers, not negative")
    return value


def render(template: Template, literals: Sequence[bytes], spots: Sequence[bytes] = ()) -> bytes:
    """The template's text: binds as they were written, piece -1-k as `spots[k]`."""
    return b"".join(
        piece if isinstance(piece, bytes) else literals[piece] if piece >= 0 else spots[-1 - piece]
        for piece in template.pieces
    )


def literals_name_part(literals: Sequence[bytes], index: int) -> bytes:
    """A literal as part of a name in backticks."""
    return literals[index].replace(b"`", b"``")
