"""OK packets of several shards become the one that a single MySQL would have sent for the whole statement.

Source: the info strings are those of MySQL's UPDATE, INSERT ... VALUES and ALTER ("Rows matched", "Records", ...).
"""

from __future__ import annotations

import re
from collections.abc import Sequence

from wire.answers import Ok

_FIELD = re.compile(rb"([A-Za-z ]+): (\d+)")


def combine_oks(answers: Sequence[Ok], *, status: int | None = None) -> Ok:
    """Affected rows and warnings are added, the first generated id stays, numbers in `info` are added field by field.

    `status` replaces the flags, else the last shard's stay; session changes are not carried over, since each shard
    reports its own connection's. ValueError if there is no answer.
    """
    if not answers:
        raise ValueError("no answers to combine")
    return Ok(
        affected_rows=sum(answer.affected_rows for answer in answers),
        last_insert_id=next((answer.last_insert_id for answer in answers if answer.last_insert_id), 0),
        status=answers[-1].status if status is None else status,
        warnings=sum(answer.warnings for answer in answers),
        info=combine_info([answer.info for answer in answers]),
    )


def combine_info(infos: Sequence[bytes]) -> bytes:
    """`Rows matched: 1  Changed: 1  Warnings: 0` of each shard as one; the first text where they have other fields."""
    texts = [info for info in infos if info]
    if not texts:
        return b""
    fields = [_FIELD.findall(text) for text in texts]
    names = [name for name, _ in fields[0]]
    if not names or any([name for name, _ in other] != names for other in fields):
        return texts[0]
    sums = [sum(int(other[at][1]) for other in fields) for at in range(len(names))]
    return b"  ".join(b"%s: %d" % (name.strip(), total) for name, total in zip(names, sums, strict=True))


def insert_info(rows: int, answers: Sequence[Ok], *, ignores: bool, warnings: int = 0) -> bytes:
    """The info of an INSERT of `rows` rows that ran as several statements. `ignores`: with IGNORE. `warnings`: others
    than theirs."""
    duplicates = 0
    for one in answers:
        said = {name.strip(): number for name, number in _FIELD.findall(one.info)}.get(b"Duplicates")
        if said is not None:
            duplicates += int(said)
        else:  # of one row, it does not say
            duplicates += 1 - min(one.affected_rows, 1) if ignores else max(one.affected_rows - 1, 0)
    warnings += sum(one.warnings for one in answers)
    return b"Records: %d  Duplicates: %d  Warnings: %d" % (rows, duplicates, warnings)
