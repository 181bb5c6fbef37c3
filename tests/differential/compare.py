"""What an answer is, and when two are equal: the rules of the corpus's README.

Invariant: a refusal is an answer that Sluice gives of its own and says so; anything else that differs is wrong.
"""

import re
import unicodedata
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

import pymysql
from pymysql.constants import FIELD_TYPE

EQUAL: Final = "equal"
REFUSED: Final = "refused"
WRONG: Final = "wrong"

_REAL: Final = (FIELD_TYPE.FLOAT, FIELD_TYPE.DOUBLE)
_CLUSTER: Final = 15000  # errors from here up are the cluster's own
_NOT_SUPPORTED: Final = 1235
_UNKNOWN_TABLE: Final = 1146  # a view: the VSchema does not name it
_OWN_TABLE: Final = re.compile(r"Table '\w+\.\w*view\w*' doesn't exist\b.*")

Row = tuple[Any, ...]
Ties = Callable[[int, Any, Any], bool]
"""Whether ORDER BY takes two values of a column for equal, so that their rows may come in either order."""


@dataclass(frozen=True, slots=True)
class Answer:
    """One statement's answer: an error, or columns and rows, or affected rows."""

    error: int = 0
    text: str = ""
    columns: tuple[str, ...] = ()
    rows: tuple[Row, ...] = ()
    affected: int = 0
    real: frozenset[int] = frozenset()  # positions of FLOAT and DOUBLE columns

    @property
    def refusal(self) -> bool:
        return (
            self.error >= _CLUSTER
            or (self.error == _NOT_SUPPORTED and "Sluice" in self.text)
            or (self.error == _UNKNOWN_TABLE and bool(_OWN_TABLE.fullmatch(self.text)))
        )


@dataclass(frozen=True, slots=True)
class Verdict:
    kind: str
    reason: str = ""


def ask(cnx: "pymysql.Connection[Any]", sql: str) -> Answer:
    """The answer to one statement. A connection that breaks, or takes too long, is error 2013."""
    try:
        with cnx.cursor() as cursor:
            cursor.execute(sql)
            rows = tuple(cursor.fetchall())
            described = cursor.description or ()
            made = Answer(
                columns=tuple(one[0] for one in described),
                rows=rows,
                affected=0 if described else cursor.rowcount,
                real=frozenset(at for at, one in enumerate(described) if one[1] in _REAL),
            )
            while cursor.nextset():
                pass
            return made
    except pymysql.err.Error as error:
        number = error.args[0] if error.args and isinstance(error.args[0], int) else 2013
        return Answer(error=number or 2013, text=str(error.args[-1]) if error.args else repr(error))


def never(at: int, one: Any, other: Any) -> bool:
    """No two values tie."""
    del at, one, other
    return False


def judge(plain: Answer, sharded: Answer, case: Mapping[str, Any], ties: Ties = never) -> Verdict:
    """Compares the answers to one statement. `case`: a planner case or a step of a script."""
    if sharded.error and sharded.error == plain.error:
        return Verdict(EQUAL)
    if sharded.refusal:
        return Verdict(REFUSED, f"{sharded.error}: {sharded.text}")
    if plain.error or sharded.error:
        return Verdict(
            WRONG,
            f"error {plain.error or 'none'} against {sharded.error or 'none'}: {sharded.text or plain.text}",
        )
    compare = case.get("compare", "rows")
    if compare in ("status", "none"):
        return Verdict(EQUAL)
    if plain.columns != sharded.columns:
        return Verdict(WRONG, f"columns {list(plain.columns)} against {list(sharded.columns)}")
    if plain.affected != sharded.affected:
        return Verdict(WRONG, f"affected rows {plain.affected} against {sharded.affected}")
    if compare == "columns":
        return Verdict(EQUAL)
    if compare == "count" or not case.get("deterministic", True):
        same = len(plain.rows) == len(sharded.rows)
        return (
            Verdict(EQUAL) if same else Verdict(WRONG, f"{len(plain.rows)} rows against {len(sharded.rows)}")
        )
    return _rows(plain, sharded, case, ties)


def _rows(plain: Answer, sharded: Answer, case: Mapping[str, Any], ties: Ties) -> Verdict:
    one = [_row(row, plain.real, case) for row in plain.rows]
    other = [_row(row, plain.real, case) for row in sharded.rows]
    if Counter(one) != Counter(other):
        missing, extra = Counter(one) - Counter(other), Counter(other) - Counter(one)
        return Verdict(
            WRONG,
            f"{len(one)} rows against {len(other)}; only plain: {list(missing)[:3]}; only sharded: {list(extra)[:3]}",
        )
    if case.get("ordered") and one != other:
        return Verdict(WRONG, f"order: {one[:5]} against {other[:5]}")
    leading: Sequence[int] = case.get("order_columns") or ()
    for first, second in zip(one, other, strict=True):
        for at in leading:
            if first[at] != second[at] and not ties(at, first[at], second[at]):
                return Verdict(WRONG, f"order of columns {leading}: {first} against {second}")
    return Verdict(EQUAL)


def _row(row: Row, real: frozenset[int], case: Mapping[str, Any]) -> Row:
    return tuple(_value(value, at in real, case) for at, value in enumerate(row))


def _value(value: Any, is_real: bool, case: Mapping[str, Any]) -> Any:
    if value is None or isinstance(value, bytes):
        return value
    text = str(value)
    if is_real:
        return f"{float(text):.10g}"
    if "SHOW CREATE TABLE" in case.get("query", "").upper():
        text = re.sub(r" AUTO_INCREMENT=\d+", "", text)
    if case.get("sort_csv"):
        text = ",".join(sorted(text.split(",")))
    if case.get("fold"):
        bare = "".join(c for c in unicodedata.normalize("NFKD", text) if not unicodedata.combining(c))
        text = bare.casefold().rstrip(" ")
    return text
