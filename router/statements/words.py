"""A statement of the session's own, read word by word.

The lexemes are those of the planner (`router.sql.lex`), of the statement as it came: so quotes, comments and literals
mean here what they mean there. A statement that stands whole in an executable comment (`/*!40101 SET ... */`, as
mysqldump writes them) is read as if the comment's marks were not there.
"""

import re
from typing import Final

from router.sql.dialect import Dialect
from router.sql.lex import BIND, MARK, NAME, NUMBER, VARIABLE, WORD, Lexeme, lex, syntax_error
from router.sql.literals import literal_value
from router.sql.normalise import normalise

_WHOLE_COMMENT: Final = re.compile(rb"\s*/\*(M?)!(\d{5,6}(?!\d))?(.*?)\*/[\s;]*\Z", re.DOTALL)


def unwrapped(sql: bytes) -> bytes:
    """The statement inside an executable comment that is the whole text; else `sql`."""
    found = _WHOLE_COMMENT.match(sql)
    return found.group(3) if found is not None and b"*/" not in found.group(3) else sql


class Words:
    """A cursor over one statement. Methods that expect something raise MySQL's syntax error (1064) otherwise."""

    __slots__ = ("at", "dialect", "lexemes", "literals", "text")

    def __init__(self, sql: bytes, dialect: Dialect = Dialect.DEFAULT, *, unwrap: bool = True) -> None:
        normalised = normalise(unwrapped(sql) if unwrap else sql, dialect)
        self.text = normalised.key.decode("utf-8", "surrogateescape")
        self.literals = normalised.literals
        self.lexemes = lex(self.text, dialect, self.literals, whole_rows=False).lexemes
        self.dialect = dialect
        self.at = 0

    def peek(self, ahead: int = 0) -> Lexeme | None:
        """The next lexeme, or the one `ahead` of it; None at the end."""
        at = self.at + ahead
        return self.lexemes[at] if at < len(self.lexemes) else None

    def sees(self, *words: str) -> bool:
        """Whether the next words are these (in capitals)."""
        for ahead, word in enumerate(words):
            found = self.peek(ahead)
            if found is None or found.kind is not WORD or found.text != word:
                return False
        return True

    def takes(self, *words: str) -> bool:
        """Takes these words if they are next."""
        if self.sees(*words):
            self.at += len(words)
            return True
        return False

    def takes_one(self, *words: str) -> str:
        """Takes the next word if it is one of these, and gives it; else ""."""
        found = self.peek()
        if found is not None and found.kind is WORD and found.text in words:
            self.at += 1
            return found.text
        return ""

    def takes_mark(self, *marks: str) -> bool:
        """Takes the next lexeme if it is one of these marks."""
        found = self.peek()
        if found is not None and found.kind is MARK and found.text in marks:
            self.at += 1
            return True
        return False

    def expect(self, *words: str) -> None:
        """Takes exactly these words."""
        if not self.takes(*words):
            raise self.error()

    def end(self) -> None:
        """The statement is over."""
        if self.at < len(self.lexemes):
            raise self.error()

    def name(self) -> str:
        """Takes an identifier, in its own case."""
        found = self.peek()
        if found is None or found.kind not in (WORD, NAME):
            raise self.error()
        self.at += 1
        return found.raw or found.text

    def name_or_text(self) -> str:
        """Takes an identifier or a string."""
        found = self.peek()
        if found is not None and found.kind is BIND:
            value = self.value(found)
            if isinstance(value, str):
                self.at += 1
                return value
        return self.name()

    def number(self) -> int:
        """Takes a whole number, not negative."""
        found = self.peek()
        if found is not None and found.kind is NUMBER:
            self.at += 1
            return int(found.text)
        if found is not None and found.kind is BIND:
            value = self.value(found)
            if isinstance(value, int):
                self.at += 1
                return value
        raise self.error()

    def value(self, lexeme: Lexeme) -> object:
        """What a literal's lexeme means."""
        return literal_value(self.literals[lexeme.bind], dialect=self.dialect)

    def skip_expression(self) -> tuple[int, int]:
        """Takes everything up to the next comma outside parentheses: the first lexeme and the one behind the last."""
        start = self.at
        depth = self.lexemes[start].depth if start < len(self.lexemes) else 0
        while self.at < len(self.lexemes):
            found = self.lexemes[self.at]
            if found.kind is MARK and found.text == "," and found.depth == depth:
                break
            self.at += 1
        if self.at == start:
            raise self.error()
        return start, self.at

    def source(self, start: int, end: int) -> bytes:
        """The text from lexeme `start` to before lexeme `end`, with its literals."""
        pieces: list[str | bytes] = []
        at = self.lexemes[start].start
        for lexeme in self.lexemes[start:end]:
            if lexeme.kind is BIND:
                pieces += (self.text[at : lexeme.start], self.literals[lexeme.bind])
                at = lexeme.end
        pieces.append(self.text[at : self.lexemes[end - 1].end])
        return b"".join(p if isinstance(p, bytes) else p.encode("utf-8", "surrogateescape") for p in pieces)

    def rest(self) -> bytes:
        """Everything from here on, with its literals; empty at the end."""
        return self.source(self.at, len(self.lexemes)) if self.at < len(self.lexemes) else b""

    def error(self) -> Exception:
        """MySQL's 1064 near this place."""
        found = self.peek()
        if found is None:
            return syntax_error(self.text, len(self.text))
        binds = sum(one.kind is BIND for one in self.lexemes[: self.at])
        return syntax_error(self.text, found.start, self.literals[binds:])


def variable_name(text: str) -> tuple[str, str]:
    """Scope ("", "session", "global", "persist", "persist_only") and lower-case name of what `@@...` says."""
    body = text.removeprefix("@@").replace("`", "").lower()
    scope, dot, name = body.partition(".")
    if dot and scope in ("session", "local", "global", "persist", "persist_only"):
        return ("session" if scope == "local" else scope), name
    return "", body


def user_variable_name(text: str) -> str:
    """The lower-case name of what `@...` says."""
    name = text.removeprefix("@")
    if name[:1] in ("'", '"', "`") and name[-1:] == name[:1] and len(name) > 1:
        name = name[1:-1].replace(name[:1] * 2, name[:1])
    return name.lower()


__all__ = [
    "BIND", "MARK", "NAME", "NUMBER", "VARIABLE", "WORD", "Lexeme", "Words", "unwrapped",
    "user_variable_name", "variable_name",
]  # fmt: skip
