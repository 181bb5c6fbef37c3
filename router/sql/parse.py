"""From lexemes to sqlglot's tree: the only importer of sqlglot.

sqlglot is used to understand a statement, never to print one: what goes to MySQL is cut out of the client's text.
A bind appears in the tree as a number `BIND_BASE + i`; numbers below it were written so in the statement (column
positions). Everything sqlglot would read otherwise than MySQL is settled before, by feeding it from `lex`.
"""

import logging
import re
from typing import Final

from sqlglot import errors, exp
from sqlglot.dialects.mysql import MySQL

from router.sql.json_columns import BIND_BASE, json_columns
from router.sql.lex import BIND, MARK, NAME, NUMBER, VARIABLE, WORD, Lexed, Lexeme

__all__ = ["BIND_BASE", "ParseError", "bind_of", "canonical", "exp", "parse", "places"]

_DIALECT: Final = MySQL()
_TOKENIZER: Final = MySQL.Tokenizer(dialect=_DIALECT)
_PARSER: Final = _DIALECT.parser(error_level=errors.ErrorLevel.RAISE)
_BEFORE_STRING: Final = frozenset(("ESCAPE",))
# Words behind which a literal is a value; behind any other word it names a column (SELECT a 'total').
_BEFORE_VALUE: Final = frozenset(
    """
    SELECT DISTINCT DISTINCTROW ALL ANY SOME WHERE AND OR XOR NOT LIKE RLIKE REGEXP IN BETWEEN LIMIT
    OFFSET BY HAVING ON SET VALUES VALUE CASE WHEN THEN ELSE IS DIV MOD INTERVAL SEPARATOR BINARY RETURN
    UNION EXCEPT INTERSECT ROWS RANGE PRECEDING FOLLOWING ESCAPE DATE TIME TIMESTAMP FOR FROM LEADING
    TRAILING BOTH OUTFILE DUMPFILE SQL_NO_CACHE SQL_CACHE HIGH_PRIORITY STRAIGHT_JOIN SQL_SMALL_RESULT
    SQL_BIG_RESULT SQL_BUFFER_RESULT SQL_CALC_FOUND_ROWS DEFAULT OF TO COLLATE SOUNDS MEMBER AGAINST ROW
    LOW_PRIORITY IGNORE KEY UPDATE COMMENT CHARSET USING
    """.split()  # noqa: SIM905
)
_MODIFIERS: Final = frozenset(("LOW_PRIORITY", "QUICK", "IGNORE"))  # of UPDATE and DELETE

_INTERNAL: Final = re.compile(r" (?:but got|for) <.*", re.DOTALL)
"""What of sqlglot's messages only its authors can read."""

# sqlglot logs what it turns into a Command; here that is an error, and the log is the client's business no more
logging.getLogger("sqlglot").setLevel(logging.CRITICAL)


class ParseError(Exception):
    """sqlglot cannot read the statement. MySQL may well be able to: it is refused only where it must be planned."""


def bind_of(expression: exp.Expr | None) -> int:
    """The bind that a literal of the tree stands for, or -1."""
    if isinstance(expression, exp.Literal):
        text = expression.this
        if len(text) == 10 and text.isdigit() and int(text) >= BIND_BASE:
            return int(text) - BIND_BASE
    return -1


def canonical(lexemes: list[Lexeme], *, aliases: bool = True) -> str:
    """The text sqlglot reads: one blank between lexemes, names quoted, binds as numbers (as strings where only a
    string may stand). `aliases`: a bind behind an operand is a column's alias, and so a name."""
    return " ".join(_canonical_words(lexemes, aliases))


def _canonical_words(lexemes: list[Lexeme], aliases: bool) -> list[str]:
    words: list[str] = []
    before: Lexeme | None = None
    against = False
    modifies = bool(lexemes) and lexemes[0].text in ("UPDATE", "DELETE")
    deletes = bool(lexemes) and lexemes[0].text == "DELETE"
    columns = json_columns(lexemes) if any(one.text == "JSON_TABLE" for one in lexemes) else {}
    for at, lexeme in enumerate(lexemes):
        kind, text = lexeme.kind, lexeme.text
        modifies = modifies and (at == 0 or (kind is WORD and text in _MODIFIERS))
        if modifies and at:
            words.append("")  # sqlglot would take it for the table
        elif deletes and not lexeme.depth and _is_whole_table(lexemes, at):
            words.append("")  # DELETE a.* FROM a, as MySQL still takes it
        elif at in columns:
            words.append(columns[at])
        elif kind is BIND:
            number = BIND_BASE + lexeme.bind
            if before is not None and _is_alias_place(before, aliases):
                words.append(f"`?{lexeme.bind}`")
            elif against or (before is not None and before.text in _BEFORE_STRING):
                words.append(f"'{number}'")
            else:
                words.append(str(number))
            against = False
        elif kind is NAME:
            words.append("`" + text.replace("`", "``") + "`")
        elif kind is WORD:
            against = against or text == "AGAINST"
            words.append(lexeme.raw)
        else:
            words.append(text)
        before = lexeme
    return words


def _is_whole_table(lexemes: list[Lexeme], at: int) -> bool:
    """Whether this is the dot or the star of `a.*` in a list of tables."""
    first = at if lexemes[at].text == "." else at - 1
    if first < 1 or first + 2 >= len(lexemes):
        return False
    return [one.text for one in lexemes[first : first + 2]] == [".", "*"] and lexemes[first + 2].text in (
        ",",
        "FROM",
        "USING",
    )


def _is_alias_place(before: Lexeme, guess: bool) -> bool:
    """Whether a string behind `before` names a column: behind AS, or (a guess) an operand."""
    if before.kind is WORD:
        return before.text == "AS" or (guess and before.text not in _BEFORE_VALUE)
    return guess and (
        before.kind in (NAME, BIND, NUMBER, VARIABLE) or (before.kind is MARK and before.text == ")")
    )


def parse(lexed: Lexed) -> exp.Expr:
    """The tree of one statement. Raises ParseError."""
    words = _canonical_words(lexed.lexemes, True)
    try:
        return _parse(" ".join(words))
    except _UnreadError as error:
        if not any(lexeme.kind is BIND for lexeme in lexed.lexemes):
            raise ParseError(_located(error, words, lexed)) from None
    words = _canonical_words(lexed.lexemes, False)
    try:
        return _parse(" ".join(words))
    except _UnreadError as error:
        raise ParseError(_located(error, words, lexed)) from None


def places(lexed: Lexed, tree: exp.Expr) -> dict[int, int]:
    """Where the identifiers of a tree stand: `id()` of each to the index of its lexeme. One whose place cannot be told
    for certain is left out."""
    for guess in (True, False):
        starts: dict[int, int] = {}
        at = 0
        for index, word in enumerate(_canonical_words(lexed.lexemes, guess)):
            starts[at] = index
            at += len(word) + 1
        found: dict[int, int] = {}
        sound = True
        for node in tree.find_all(exp.Identifier):
            start = node.meta.get("start")
            if start is None:
                continue
            place = starts.get(start)
            if place is None or lexed.lexemes[place].raw != node.this:
                # an alias written as a string is another text here; anything else means the other guess
                sound = sound and place is not None and lexed.lexemes[place].kind is BIND
                continue
            found[id(node)] = place
        if sound:
            return found
    return {}


class _UnreadError(Exception):
    """What sqlglot says of the text it was given, and the column of that text (from 1; 0: not known)."""

    def __init__(self, says: str, column: int = 0) -> None:
        super().__init__(says)
        self.says = says
        self.column = column


def _parse(text: str) -> exp.Expr:
    try:
        trees = _PARSER.parse(_TOKENIZER.tokenize(text), text)
    except errors.ParseError as error:
        first = error.errors[0] if error.errors else {}
        says = _INTERNAL.sub("", str(first.get("description", "")))
        raise _UnreadError(says, int(first.get("col", 0))) from None
    except (errors.SqlglotError, RecursionError, ValueError, AttributeError, TypeError, IndexError) as error:
        raise _UnreadError(str(error).split("\n", 1)[0]) from None
    if len(trees) != 1 or not isinstance(trees[0], exp.Expr) or isinstance(trees[0], exp.Command):
        raise _UnreadError("the planner does not know it")
    return trees[0]


def _located(error: _UnreadError, words: list[str], lexed: Lexed) -> str:
    """The error with its place in the client's text, which has other blanks and lines."""
    end = 0
    for word, lexeme in zip(words, lexed.lexemes, strict=True):
        end += len(word)
        if error.column and end >= error.column:
            line = lexed.text.count("\n", 0, lexeme.start) + 1
            near = "a literal" if lexeme.kind is BIND else f"'{lexed.text[lexeme.start : lexeme.end]}'"
            return f"{error.says} near {near} at line {line}"
        end += 1
    return error.says
