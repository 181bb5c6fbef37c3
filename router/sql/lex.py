"""Lexemes of a normalised statement, with their places in its text.

Literals are gone before this runs, so the lexical rules are few. The planner cuts and splices text at these places;
the parser (`parse.py`) is fed from the same lexemes, so that both read the statement as MySQL does (`5--1` is a
subtraction, `--` needs a blank behind it to begin a comment, a keyword behind a dot is a name).

Invariant: the lexemes in order, with blanks and comments between, are the text.
"""

import re
from collections.abc import Sequence
from typing import Final, NamedTuple

from core.errors import fail
from router.sql.dialect import Dialect

WORD: Final = "word"
NAME: Final = "name"
BIND: Final = "bind"
NUMBER: Final = "number"
VARIABLE: Final = "variable"
MARK: Final = "mark"
ROW: Final = "row"  # a whole row of VALUES that holds only binds, NULL and DEFAULT; `bind` is its first


class Lexeme(NamedTuple):
    """`kind`: one of the constants above. `text`: a word in capitals, a name without its quotes, else as written.
    `start`, `end`: its place in the statement. `depth`: open parentheses around it. `raw`: a word or name in its
    own case. `bind`: which literal it is, or -1."""

    kind: str
    text: str
    start: int
    end: int
    depth: int
    raw: str = ""
    bind: int = -1


class Lexed(NamedTuple):
    """`conditional`: the text of a `/*! */` comment that MySQL executes and that changes what the statement means;
    empty when there is none."""

    text: str
    lexemes: list[Lexeme]
    conditional: str


_LETTER: Final = r"0-9A-Za-z$_\x80-\U0010ffff"
"""What names without quotes are made of: beyond ASCII all are letters to MySQL, blanks and symbols too."""
_BLANKS: Final = r" \t\n\r\f\v"

_PATTERN: Final = re.compile(
    rf"(?P<blank>[{_BLANKS}]+|/\*(?!M?!).*?\*/|--(?=[\x00-\x20]|\Z)[^\n]*|\#[^\n]*)"
    r"|(?P<conditional>/\*M?!.*?\*/)"
    rf"|(?P<variable>@@(?:`(?:[^`]|``)*`|[{_LETTER}.`])+"
    rf"|@(?:'(?:[^'\\]|\\.|'')*'|\"[^\"]*\"|`(?:[^`]|``)*`|[{_LETTER}.]*))"
    rf"|(?P<number>[0-9]+(?![{_LETTER}]))"
    rf"|(?P<word>[{_LETTER}]+)"
    r"|(?P<bind>\?)"
    r"|`(?P<name>(?:[^`]|``)*)`"
    r"|\"(?P<ansi>(?:[^\"]|\"\")*)\""
    rf"|(?P<mark><=>|->>|:=|->|<=|>=|<>|!=|\|\||&&|<<|>>|[^'\"`{_LETTER}{_BLANKS}])",
    re.DOTALL,
)
_HARMLESS: Final = re.compile(
    r"/\*M?!\d*\s*(?:SQL_NO_CACHE|SQL_CACHE|STRAIGHT_JOIN|HIGH_PRIORITY|LOW_PRIORITY|DELAYED|SQL_SMALL_RESULT"
    r"|SQL_BIG_RESULT|SQL_BUFFER_RESULT)?\s*\*/",
    re.IGNORECASE,
)

_QUOTED: Final = 80
"""Characters that a syntax error quotes, as on the servers."""
_PROGRAMS: Final = frozenset(("PROCEDURE", "FUNCTION", "TRIGGER", "EVENT", "PACKAGE"))
_PLAIN_VALUE: Final = r"\s*+(?:-\s*+)?+(?:\?|NULL\b|DEFAULT\b)\s*+"
_PLAIN_ROW: Final = re.compile(
    rf"\s*+(\((?:{_PLAIN_VALUE}(?:,{_PLAIN_VALUE})*+)?+\))(?=\s*+(?:,|\Z|ON\b|AS\b))", re.IGNORECASE
)


def lex(
    text: str,
    dialect: Dialect = Dialect.DEFAULT,
    literals: Sequence[bytes] = (),
    *,
    whole_rows: bool = True,
) -> Lexed:
    """The lexemes of one normalised statement; of a stored program those up to its first semicolon. `whole_rows`: a
    plain row of VALUES is one lexeme, which hides its binds. Raises SluiceError SYNTAX for what is no lexeme (an open
    quote, a parenthesis too many, a second statement), quoting the text with its `literals`."""
    lexemes: list[Lexeme] = []
    conditional = ""
    at = depth = binds = 0
    end = len(text)
    match = _PATTERN.match
    rows = False  # between VALUES and what follows the rows of an INSERT
    while at < end:
        if (
            rows
            and lexemes[-1].depth == 0
            and (lexemes[-1].text == "," or lexemes[-1].text.startswith("VALUE"))
        ):
            row = _PLAIN_ROW.match(text, at)
            if row is not None:
                start, at = row.span(1)
                body = row.group(1)
                lexemes.append(Lexeme(ROW, body, start, at, 0, body, binds))
                binds += body.count("?")
                continue
        found = match(text, at)
        if found is None:
            raise syntax_error(text, at, literals[binds:])
        kind = found.lastgroup or ""
        start, at = at, found.end()
        if kind == "blank":
            continue
        if kind == "word":
            if lexemes and lexemes[-1].text == "." and lexemes[-1].kind is MARK:
                lexemes.append(Lexeme(NAME, found.group(), start, at, depth, found.group()))
            else:
                raw = found.group()
                word = raw.upper() if raw.isascii() else _in_capitals(raw)
                lexemes.append(Lexeme(WORD, word, start, at, depth, raw))
                if depth == 0:
                    rows = (
                        whole_rows
                        and word in ("VALUES", "VALUE")
                        and lexemes[0].text in ("INSERT", "REPLACE")
                    )
        elif kind == "mark":
            mark = found.group()
            if mark == ")":
                depth -= 1
                if depth < 0:
                    raise syntax_error(text, start, literals[binds:])
            elif mark == ";":
                if _makes_program(lexemes):
                    break
                raise syntax_error(text, start, literals[binds:])
            lexemes.append(Lexeme(MARK, mark, start, at, depth))
            if mark == "(":
                depth += 1
        elif kind == "bind":
            lexemes.append(Lexeme(BIND, "?", start, at, depth, "?", binds))
            binds += 1
        elif kind == "name":
            name = found.group("name").replace("``", "`")
            lexemes.append(Lexeme(NAME, name, start, at, depth, name))
        elif kind == "ansi":
            if not dialect.ansi_quotes:
                raise syntax_error(text, start, literals[binds:])
            name = found.group("ansi").replace('""', '"')
            lexemes.append(Lexeme(NAME, name, start, at, depth, name))
        elif kind == "variable":
            lexemes.append(Lexeme(VARIABLE, found.group(), start, at, depth))
        elif kind == "number":
            lexemes.append(Lexeme(NUMBER, found.group(), start, at, depth))
        elif _HARMLESS.fullmatch(found.group()) is None:
            conditional = conditional or found.group()
    if depth:
        raise syntax_error(text, end)
    return Lexed(text, lexemes, conditional)


def _in_capitals(word: str) -> str:
    """Its ASCII letters in capitals: no other one makes a keyword (I is the capital of a dotless i, too)."""
    return "".join([one.upper() if one.isascii() else one for one in word])


def _makes_program(lexemes: list[Lexeme]) -> bool:
    """Whether this is a stored program: its body has semicolons, and is the server's to read."""
    if not lexemes or lexemes[0].text not in ("CREATE", "ALTER"):
        return False
    return any(one.kind is WORD and one.text in _PROGRAMS for one in lexemes[1:16])


def within(conditional: str) -> str:
    """The text that an executable comment holds."""
    return re.sub(r"\A/\*M?!\d*|\*/\Z", "", conditional).strip()


def syntax_error(text: str, at: int, literals: Sequence[bytes] = ()) -> Exception:
    """MySQL's 1064 near the place `at`, `literals` being those from there on."""
    line = text.count("\n", 0, at) + 1
    near = restored(text[at : at + _QUOTED], literals)[:_QUOTED]
    return fail(
        "SYNTAX",
        message="You have an error in your SQL syntax; check the manual that corresponds to your MySQL server "
        f"version for the right syntax to use near '{near}' at line {line}",
    )


def restored(text: str, literals: Sequence[bytes]) -> str:
    """Normalised text with its literals in their places again."""
    pieces: list[str] = []
    at = binds = 0
    while at < len(text):
        found = _PATTERN.match(text, at)
        end = found.end() if found is not None else at + 1
        if found is not None and found.lastgroup == "bind" and binds < len(literals):
            pieces.append(literals[binds].decode("utf-8", "replace"))
            binds += 1
        else:
            pieces.append(text[at:end])
        at = end
    return "".join(pieces)
