"""One set of column definitions out of those of several shards.

The shards run the same text on the same tables, so definitions may differ only in what depends on data: the display
length, and a wider integer or string. Anything else means that the tables differ, and rows of one could be taken for
another's: an error, never a guess.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import replace
from typing import Final

from core.errors import SluiceError, fail
from router.engine.keys import STRING_TYPES
from wire.columns import Column
from wire.constants import (
    NOT_NULL_FLAG,
    TYPE_INT24,
    TYPE_LONG,
    TYPE_LONGLONG,
    TYPE_NULL,
    TYPE_SHORT,
    TYPE_TINY,
    UNSIGNED_FLAG,
)

_INTEGERS: Final = (TYPE_TINY, TYPE_SHORT, TYPE_INT24, TYPE_LONG, TYPE_LONGLONG)


def common_columns(answers: Sequence[tuple[list[Column], list[bytes]]]) -> tuple[list[Column], list[bytes]]:
    """The definitions of all shards as one, parsed and raw: the first shard's, as wide as the widest.

    Raises SluiceError SHARDS_DIFFER.
    """
    columns, raw = answers[0]
    if all(other == raw for _, other in answers[1:]):
        return list(columns), list(raw)
    for other, _ in answers[1:]:
        if len(other) != len(columns):
            raise fail("SHARDS_DIFFER", what=f"{len(columns)} columns and {len(other)} columns")
    merged = [_common([answer[0][at] for answer in answers]) for at in range(len(columns))]
    return merged, [
        payload if column == original else column.encode()
        for column, original, payload in zip(merged, columns, raw, strict=True)
    ]


def _common(candidates: Sequence[Column]) -> Column:
    column = candidates[0]
    for other in candidates[1:]:
        column = _pair(column, other)
    return column


def _pair(one: Column, other: Column) -> Column:
    kind = _type(one, other)
    if one.charset != other.charset and TYPE_NULL not in (one.type, other.type):
        raise _differ(one, f"character sets {one.charset} and {other.charset}")
    return replace(
        other if one.type == TYPE_NULL else one,
        type=kind,
        length=max(one.length, other.length),
        decimals=max(one.decimals, other.decimals),
        flags=one.flags if one.flags & NOT_NULL_FLAG <= other.flags & NOT_NULL_FLAG else other.flags,
    )


def _type(one: Column, other: Column) -> int:
    if one.type == other.type or other.type == TYPE_NULL:
        if one.type in _INTEGERS and (one.flags ^ other.flags) & UNSIGNED_FLAG:
            raise _differ(one, "signed and unsigned")
        return one.type
    if one.type == TYPE_NULL:
        return other.type
    if one.type in _INTEGERS and other.type in _INTEGERS:
        if (one.flags ^ other.flags) & UNSIGNED_FLAG:
            raise _differ(one, "signed and unsigned")
        return max(one.type, other.type, key=_INTEGERS.index)
    if one.type in STRING_TYPES and other.type in STRING_TYPES:
        return one.type if one.length >= other.length else other.type
    raise _differ(one, f"types {one.type} and {other.type}")


def _differ(column: Column, what: str) -> SluiceError:
    return fail("SHARDS_DIFFER", what=f"'{column.name.decode('utf-8', 'replace')}' has {what}")
