"""A SELECT cut into its clauses by the places of its lexemes."""

from __future__ import annotations

from dataclasses import dataclass
from itertools import pairwise
from typing import Final

from router.sql.lex import BIND, MARK, NAME, NUMBER, VARIABLE, WORD, Lexeme

_MODIFIERS: Final = frozenset(
    """
    ALL DISTINCT DISTINCTROW HIGH_PRIORITY STRAIGHT_JOIN SQL_SMALL_RESULT SQL_BIG_RESULT SQL_BUFFER_RESULT
    SQL_NO_CACHE SQL_CACHE SQL_CALC_FOUND_ROWS
    """.split()  # noqa: SIM905
)
# The words that begin a clause behind the select list, and what each clause is called.
_CLAUSES: Final = {
    "FROM": "from",
    "WHERE": "where",
    "GROUP": "group",
    "HAVING": "having",
    "WINDOW": "window",
    "ORDER": "order",
    "LIMIT": "limit",
    "INTO": "tail",
    "FOR": "tail",
    "LOCK": "tail",
    "PROCEDURE": "tail",
    "UNION": "set",
    "EXCEPT": "set",
    "INTERSECT": "set",
}
_NO_ALIAS: Final = frozenset(
    """
    END NULL TRUE FALSE DAY HOUR MINUTE SECOND MONTH YEAR WEEK QUARTER MICROSECOND DAY_HOUR DAY_MINUTE DAY_SECOND
    HOUR_MINUTE HOUR_SECOND MINUTE_SECOND YEAR_MONTH UNKNOWN
    """.split()  # noqa: SIM905
)
_OPERATORS: Final = frozenset(
    """
    AND OR XOR NOT LIKE RLIKE REGEXP IN BETWEEN IS DIV MOD COLLATE BINARY INTERVAL CASE WHEN THEN ELSE OVER DATE TIME
    TIMESTAMP ESCAPE EXISTS SOUNDS
    """.split()  # noqa: SIM905
)


@dataclass(frozen=True, slots=True)
class Item:
    """An item of a list: `value` without its alias; `alias` as written (the bind's number in `alias_bind` when it is
    a string)."""

    lexemes: tuple[Lexeme, ...]
    value: tuple[Lexeme, ...]
    alias: str
    alias_bind: int = -1

    @property
    def start(self) -> int:
        return self.lexemes[0].start

    @property
    def end(self) -> int:
        return self.lexemes[-1].end

    @property
    def value_end(self) -> int:
        return self.value[-1].end


@dataclass(frozen=True, slots=True)
class Clauses:
    """`places`: for each clause the stretch (start, end) of the text, from its first word on. `items`, `order`,
    `group`: their lists."""

    items: tuple[Item, ...]
    order: tuple[Item, ...]
    group: tuple[Item, ...]
    places: dict[str, tuple[int, int]]


def split_select(lexemes: list[Lexeme]) -> Clauses | None:
    """The clauses of the outermost SELECT; None when it is not a plain one (a set operation, parentheses)."""
    begin = _first_select(lexemes)
    if begin < 0:
        return None
    at = begin + 1
    while at < len(lexemes) and lexemes[at].kind is WORD and lexemes[at].text in _MODIFIERS:
        at += 1
    bounds: list[tuple[str, int]] = [("items", at)]
    for place in range(at, len(lexemes)):
        lexeme = lexemes[place]
        if lexeme.depth or lexeme.kind is not WORD or lexeme.text not in _CLAUSES:
            continue
        clause = _CLAUSES[lexeme.text]
        if clause == "set":
            return None
        following = lexemes[place + 1].text if place + 1 < len(lexemes) else ""
        if clause in ("group", "order") and following != "BY":
            continue
        if lexeme.text == "FOR" and following not in ("UPDATE", "SHARE"):
            continue
        if lexeme.text == "LOCK" and following != "IN":
            continue
        bounds.append((clause, place))
    bounds.append(("end", len(lexemes)))
    places: dict[str, tuple[int, int]] = {}
    stretches: dict[str, list[Lexeme]] = {}
    for (clause, start), (_, end) in pairwise(bounds):
        if end > start and clause not in places:
            places[clause] = (lexemes[start].start, lexemes[end - 1].end)
            stretches[clause] = lexemes[start:end]
    return Clauses(
        _items(stretches.get("items", []), aliases=True),
        _items(stretches.get("order", [])[2:]),
        _items(_without_rollup(stretches.get("group", [])[2:])),
        places,
    )


def split_items(lexemes: list[Lexeme]) -> tuple[Item, ...] | None:
    """The select list of the outermost SELECT."""
    clauses = split_select(lexemes)
    return clauses.items if clauses is not None else None


def naming_items(lexemes: list[Lexeme]) -> tuple[Item, ...] | None:
    """The select list that a result's columns are named after: of set operations the first SELECT's."""
    if lexemes and lexemes[0].text == "(" and lexemes[0].kind is MARK:
        end = next((at for at, one in enumerate(lexemes) if at and not one.depth), len(lexemes))
        return naming_items([one._replace(depth=one.depth - 1) for one in lexemes[1:end]])
    for at, one in enumerate(lexemes):
        if one.depth == 0 and one.kind is WORD and _CLAUSES.get(one.text) == "set":
            return split_items(lexemes[:at])
    return split_items(lexemes)


def _first_select(lexemes: list[Lexeme]) -> int:
    for at, lexeme in enumerate(lexemes):
        if lexeme.depth == 0 and lexeme.kind is WORD and lexeme.text == "SELECT":
            return at
        if lexeme.depth == 0 and at == 0 and lexeme.text != "WITH":
            return -1
    return -1


def _without_rollup(lexemes: list[Lexeme]) -> list[Lexeme]:
    if len(lexemes) > 2 and lexemes[-1].text == "ROLLUP" and lexemes[-2].text == "WITH":
        return lexemes[:-2]
    return lexemes


def _items(lexemes: list[Lexeme], aliases: bool = False) -> tuple[Item, ...]:
    if not lexemes:
        return ()
    groups: list[list[Lexeme]] = [[]]
    for lexeme in lexemes:
        if lexeme.depth == 0 and lexeme.text == "," and lexeme.kind is MARK:
            groups.append([])
        else:
            groups[-1].append(lexeme)
    return tuple(_item(group, aliases) for group in groups if group)


def _item(lexemes: list[Lexeme], aliases: bool) -> Item:
    whole = tuple(lexemes)
    if not aliases or len(lexemes) < 2:
        return Item(whole, whole, "")
    last, before = lexemes[-1], lexemes[-2]
    if last.kind not in (WORD, NAME, BIND):
        return Item(whole, whole, "")
    if before.kind is WORD and before.text == "AS":
        return Item(whole, whole[:-2], last.raw, last.bind)
    if last.kind is WORD and last.text in _NO_ALIAS:
        return Item(whole, whole, "")
    operand = (
        before.kind in (NAME, BIND, NUMBER, VARIABLE)
        or (before.kind is WORD and before.text not in _OPERATORS)
        or (before.kind is MARK and before.text in (")", "*") and last.kind is not BIND)
        or (before.kind is MARK and before.text == ")")
    )
    if before.kind is MARK and before.text == "*":
        operand = False
    return Item(whole, whole[:-1], last.raw, last.bind) if operand else Item(whole, whole, "")
