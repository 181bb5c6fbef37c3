"""Statement text in, plan key and literals out: the first thing that happens to every query.

Invariants:
- Linear in the statement's length: every repetition in the expressions below is possessive or bounded, so nothing
  is scanned again after a failure further on.
- The key with its `?` replaced, in order, by `literals` is the statement without margin comments, byte by byte.
- What is not certainly a literal stays in the key: the price of a doubt is one more plan, never a wrong one.

Literals are numbers, strings (adjacent strings are one literal, as MySQL concatenates them), `x'..'`, `0x..`,
`b'..'`, `N'..'`, introducers (`_utf8mb4'..'`), and the `?` of a prepared statement (literal `?`). Not literals:
identifiers, `@'name'`, anything inside comments and hints, NULL/TRUE/FALSE, and the plain numbers of ORDER BY and
GROUP BY lists, which are column positions and so part of the plan.

The client's character set must be one in which no multi-byte character contains an ASCII byte (utf8mb4, utf8mb3,
latin1, ascii, binary ...: not gbk, big5, sjis, cp932, gb18030). MySQL's lexical rules:
https://dev.mysql.com/doc/refman/8.4/en/literals.html
"""

import re
from typing import Final, NamedTuple

from router.sql.dialect import Dialect, dialect_of
from router.sql.literals import literal_value, marked

__all__ = ["Dialect", "Normalised", "dialect_of", "literal_value", "normalise", "split_statements"]


class Normalised(NamedTuple):
    """`key`: the statement with `?` for each literal and without margin comments; `literals` exactly as written."""

    key: bytes
    literals: tuple[bytes, ...]


_BACKTICK = rb"(?<=`)[^`]*+(?:``[^`]*+)*+(?:`|\Z)"
_ANSI_NAME = rb'(?<=")[^"]*+(?:""[^"]*+)*+(?:"|\Z)'
_COMMENT = rb"(?<=/)\*[^*]*+(?:\*(?!/)[^*]*+)*+(?:\*/|\Z)|(?<=-)-(?=[\x00-\x20]|\Z)[^\n]*+|(?<=#)[^\n]*+"
_EXPONENT = rb"(?:[eE][+-]?[0-9]++)?"
# A number ends where an identifier cannot go on; digits that follow an identifier's character belong to it.
_NUMBER = (
    rb"(?<![\w$.\x80-\xff][0-9])(?<=[0-9])(?:(?<=0)x[0-9a-fA-F]++|(?<=0)b[01]++|[0-9]*+(?:\.[0-9]*+)?"
    + _EXPONENT
    + rb')(?![\w$\x80-\xff])|(?<![\w$`"\x80-\xff]\.)(?<=\.)[0-9]++'
    + _EXPONENT
    + rb"(?![\w$\x80-\xff])"
)


def _strings(dialect: Dialect) -> bytes:
    """One literal of adjacent strings, from behind its first quote."""
    escape = rb"\\.|" if dialect.backslash_escapes else b""
    plain = rb"\\" if dialect.backslash_escapes else b""
    single = rb"[^'" + plain + rb"]*+(?:(?:" + escape + rb"'')[^'" + plain + rb"]*+)*+'"
    double = rb'[^"' + plain + rb"]*+(?:(?:" + escape + rb'"")[^"' + plain + rb"]*+)*+" + b'"'
    if dialect.ansi_quotes:
        return rb"(?<=')" + single + rb"(?:\s++'" + single + rb")*+"
    return (
        rb"(?:(?<=')" + single + rb'|(?<=")' + double + rb")(?:\s++(?:'" + single + rb'|"' + double + rb"))*+"
    )


def _compile(dialect: Dialect) -> re.Pattern[bytes]:
    # The class in front lets `re` skip to the next byte that matters; the look-behinds choose the branch. The last
    # branch takes an unterminated string whole, so that no later quote in it is tried again.
    branches = [_NUMBER, _strings(dialect), rb"(?<=\?)", _BACKTICK, _COMMENT, rb"(?<=['\"]).*+"]
    if dialect.ansi_quotes:
        branches.insert(3, _ANSI_NAME)
    return re.compile(rb"([0-9'\"`#/\-.?](?:" + b"|".join(branches) + rb"))", re.DOTALL)


_SPLIT: Final = {dialect: _compile(dialect).split for dialect in Dialect}
_WHOLE: Final = {
    dialect: re.compile(rb"['\"](?:" + _strings(dialect) + rb")", re.DOTALL).fullmatch for dialect in Dialect
}
_INTRODUCER: Final = re.compile(rb"(?<![\w$@.`\x80-\xff])(?:[xXbBnN]|_[A-Za-z0-9]++[ \t\r\n]*+)\Z").search
_MARGIN: Final = b" \t\r\n\f\v\0;"
_WORD_OR_MARK: Final = re.compile(rb"[A-Za-z_$\x80-\xff][\w$\x80-\xff]*+|[^\s]").finditer
_AFTER_POSITION: Final = re.compile(
    rb"\s*+(?:\Z|[,);]|(?:asc|desc|order|limit|having|with|for|lock|union|into|window|except|intersect|rows|range|separator)\b)",
    re.I,
).match
_ENDS_LIST: Final = frozenset(
    b"limit having for lock union window into rows range separator on procedure except intersect select".split()
)
_QUOTES: Final = frozenset(b"'\"")
_COMMENT_START: Final = frozenset(b"#/-")
_NAME_START: Final = ord("`")
_DOUBLE: Final = ord('"')


def normalise(sql: bytes, dialect: Dialect = Dialect.DEFAULT) -> Normalised:
    """Takes the literals out of one statement. Never fails: what is not well formed stays in the key."""
    parts = _SPLIT[dialect](sql)
    literals: list[bytes] = []
    comments = False
    for at in range(1, len(parts), 2):
        token = parts[at]
        first = token[0]
        if first in _QUOTES:
            if first == _DOUBLE and dialect.ansi_quotes:
                continue
            before = parts[at - 1]
            if before:
                if before[-1] == 64:  # @'name' is an identifier
                    continue
                if (before[-1] > 57 or b"_" in before) and (mark := _INTRODUCER(before)) is not None:
                    parts[at - 1] = before[: mark.start()]
                    token = before[mark.start() :] + token
            if at == len(parts) - 2 and not parts[-1] and _WHOLE[dialect](parts[at]) is None:
                parts[at] = token  # no end quote: MySQL will refuse it
                continue
        elif first in _COMMENT_START:
            comments = True
            continue
        elif first == _NAME_START:
            continue
        literals.append(token)
        parts[at] = b"?"
    if literals and b"by" in sql.lower():
        literals = _keep_positions(parts, literals)
    if dialect is not Dialect.DEFAULT:
        literals = [marked(literal, dialect) for literal in literals]
    if comments:
        parts = _without_margin_comments(parts)
    parts[-1] = parts[-1].rstrip(_MARGIN)
    parts[0] = parts[0].lstrip(_MARGIN)
    return Normalised(b"".join(parts), tuple(literals))


def _is_margin(token: bytes) -> bool:
    """A comment that means nothing to MySQL or to Sluice."""
    return token[:1] in (b"#", b"-") or (
        token[:2] == b"/*" and token[2:3] not in (b"!", b"+") and token[2:5] != b"vt+" and token[2:4] != b"M!"
    )


def _without_margin_comments(parts: list[bytes]) -> list[bytes]:
    first, last = 0, len(parts) - 1
    while first < last and not parts[first].strip(_MARGIN) and _is_margin(parts[first + 1]):
        first += 2
    while last > first and not parts[last].strip(_MARGIN) and _is_margin(parts[last - 1]):
        last -= 2
    return parts[first : last + 1]


def _keep_positions(parts: list[bytes], literals: list[bytes]) -> list[bytes]:
    """Puts the column positions of ORDER BY and GROUP BY lists back into the text."""
    kept: list[bytes] = []
    lists = [False]  # by depth of parentheses: inside such a list
    expecting = False  # the next thing begins an item of the list
    taken = iter(literals)
    for at, part in enumerate(parts):
        if at % 2:
            if part == b"?":
                literal = next(taken)
                if expecting and literal.isdigit() and len(literal) < 5 and _AFTER_POSITION(parts[at + 1]):
                    parts[at] = literal
                else:
                    kept.append(literal)
            expecting = expecting and part[0] in _COMMENT_START
            continue
        for found in _WORD_OR_MARK(part):
            word = found.group().lower()
            if word == b"by":
                lists[-1] = expecting = True
            elif word == b",":
                expecting = lists[-1]
            elif word == b"(":
                lists.append(False)
                expecting = False
            elif word == b")":
                if len(lists) > 1:
                    lists.pop()
                expecting = False
            else:
                if word in _ENDS_LIST:
                    lists[-1] = False
                expecting = False
    return kept


_STATEMENT_MARK: Final = {
    dialect: re.compile(
        _compile(dialect).pattern[:-1] + rb"|;|(?<![\w$@.`\x80-\xff])[A-Za-z]++(?![\w$\x80-\xff])" + rb")",
        re.DOTALL,
    ).finditer
    for dialect in Dialect
}
_ROUTINE: Final = frozenset((b"procedure", b"function", b"trigger", b"event", b"package"))


def split_statements(sql: bytes, dialect: Dialect = Dialect.DEFAULT) -> list[bytes]:
    """The statements of a text with top-level `;` between them, without empty ones. The rest of the text from a
    CREATE PROCEDURE, FUNCTION, TRIGGER or EVENT on is one statement, since its body has semicolons of its own."""
    statements: list[bytes] = []
    start = 0
    words: list[bytes] = []
    for found in _STATEMENT_MARK[dialect](sql):
        token = found.group()
        if token == b";":
            if words[:1] == [b"create"] and not _ROUTINE.isdisjoint(words):
                break
            statements.append(sql[start : found.start()])
            start = found.end()
            words = []
        elif len(words) < 12 and token.isalpha():
            words.append(token.lower())
    statements.append(sql[start:])
    return [text for text in statements if not _is_empty(text, dialect)]


def _is_empty(text: bytes, dialect: Dialect) -> bool:
    stripped = text.strip(_MARGIN)
    return not stripped or (stripped[0] in _COMMENT_START and not normalise(stripped, dialect).key)
