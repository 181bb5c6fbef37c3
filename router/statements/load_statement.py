"""What a LOAD DATA says, read word by word. Pure.

Source: MySQL's and MariaDB's manuals, "LOAD DATA Statement". What only some server knows (COMPRESSION, ALGORITHM, S3
...) ends up in `unread`: an unsharded keyspace's server judges it, a sharded one refuses it.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

from core.errors import not_supported
from router.engine.load_fields import Format
from router.sql.dialect import Dialect
from router.sql.lex import BIND, NAME, VARIABLE, WORD
from router.statements.words import Words, user_variable_name

_INTO: Final = frozenset(("REPLACE", "IGNORE", "INTO"))
_OPAQUE_CHARSETS: Final = frozenset(
    "big5 gbk sjis cp932 gb18030 ucs2 utf16 utf16le utf32".split()  # noqa: SIM905
)
"""Character sets in which a character may contain a byte that is a terminator elsewhere."""


@dataclass(frozen=True, slots=True)
class Target:
    """Where a field goes: a column (lower case), or a user variable."""

    name: str
    variable: bool
    written: bytes


@dataclass(frozen=True, slots=True)
class LoadStatement:
    """`database` and `table` as written, "" for the default. `head`: the text up to the table's format, all of it but
    IGNORE n LINES. `targets` None: no list. `assigned`: columns of SET, lower case. `assignments`: SET's text, or
    empty. `read_variables`: user variables in it. `computes`: SET reads a table or assigns variables. `unread`: what is
    not understood here, or empty."""

    local: bool
    xml: bool
    name: bytes
    database: str
    table: str
    charset: str
    field_end: bytes
    enclosed: bytes
    escape: bytes
    line_start: bytes
    line_end: bytes
    skip_lines: int
    targets: tuple[Target, ...] | None
    assigned: tuple[str, ...]
    assignments: bytes
    read_variables: frozenset[str]
    computes: str
    head: bytes
    unread: str

    def format(self) -> Format:
        """The format of a file whose lines Sluice can tell apart. Raises NOT_SUPPORTED naming the clause."""
        for value, clause in ((self.enclosed, "FIELDS ENCLOSED BY"), (self.escape, "FIELDS ESCAPED BY")):
            if len(value) > 1:
                raise _cannot(f"{clause} of several characters", "Use one character or none.")
        if not self.field_end:
            raise _cannot("FIELDS TERMINATED BY '' (fixed-size rows)", "Use a terminator.")
        if not self.line_end or self.line_end == self.field_end:
            raise _cannot("LINES TERMINATED BY '', or by what ends fields", "Use a terminator of its own.")
        marks = (self.field_end, self.line_end, self.line_start, self.enclosed, self.escape)
        if not all(mark.isascii() for mark in marks):
            raise _cannot("terminators that are not ASCII", "Use ASCII characters.")
        if any(mark and mark == end[:1] for mark in marks[3:] for end in marks[:2]):
            raise _cannot(
                "a terminator that begins with the character of ENCLOSED BY or ESCAPED BY",
                "Use different characters.",
            )
        if self.charset in _OPAQUE_CHARSETS:
            raise _cannot(f"CHARACTER SET {self.charset}", "Convert the file to utf8mb4.")
        return Format(self.field_end, self.enclosed, self.escape, self.line_start, self.line_end)


def _cannot(construct: str, instead: str) -> Exception:
    return not_supported(f"LOAD DATA with {construct} into a sharded table", instead)


def read(words: Words, sql_dialect: Dialect) -> LoadStatement:
    """Reads behind LOAD. Raises SluiceError SYNTAX where it is no LOAD DATA or LOAD XML."""
    xml = words.takes_one("DATA", "XML")
    if not xml:
        raise words.error()
    words.takes_one("LOW_PRIORITY", "CONCURRENT")
    words.takes("FROM")
    local = words.takes("LOCAL")
    unread = ""
    if not words.takes("INFILE"):
        unread = words.takes_one("URL", "S3")
        if not unread:
            raise words.error()
    name = _text(words)
    while (found := words.peek()) is not None and not (found.kind is WORD and found.text in _INTO):
        unread = unread or found.text  # COUNT n, IN PRIMARY KEY ORDER
        words.at += 1
    words.takes_one("REPLACE", "IGNORE")
    words.expect("INTO", "TABLE")
    database, table = "", words.name()
    if words.takes_mark("."):
        database, table = table, words.name()
    if words.takes("PARTITION"):
        _parenthesised(words)
    charset = ""
    if words.takes("CHARACTER", "SET") or words.takes("CHARSET"):
        charset = words.name_or_text().lower()
    field_end, enclosed, line_start, line_end = b"\t", b"", b"", b"\n"
    escape = b"\\" if sql_dialect.backslash_escapes else b""
    if words.takes_one("FIELDS", "COLUMNS"):
        while True:
            if words.takes("TERMINATED", "BY"):
                field_end = _text(words)
            elif words.takes("OPTIONALLY", "ENCLOSED", "BY") or words.takes("ENCLOSED", "BY"):
                enclosed = _text(words)
            elif words.takes("ESCAPED", "BY"):
                escape = _text(words)
            else:
                break
    if words.takes("LINES"):
        while True:
            if words.takes("TERMINATED", "BY"):
                line_end = _text(words)
            elif words.takes("STARTING", "BY"):
                line_start = _text(words)
            else:
                break
    head = words.source(0, words.at)
    skip_lines = 0
    if words.takes("IGNORE"):
        skip_lines = words.number()
        if not words.takes_one("LINES", "ROWS"):
            raise words.error()
    targets = _targets(words)
    assigned: list[str] = []
    variables: set[str] = set()
    assignments, computes = b"", ""
    if words.takes("SET"):
        start = words.at
        while True:
            column = words.name()
            while words.takes_mark("."):
                column = words.name()
            assigned.append(column.lower())
            if not words.takes_mark("=", ":="):
                raise words.error()
            first, behind = words.skip_expression()
            for lexeme in words.lexemes[first:behind]:
                if lexeme.kind is VARIABLE and not lexeme.text.startswith("@@"):
                    variables.add(user_variable_name(lexeme.text))
                elif lexeme.text == ":=":
                    computes = "an assignment of a user variable"
                elif lexeme.kind is WORD and lexeme.text in ("SELECT", "TABLE", "VALUES"):
                    computes = "a subquery"
            if not words.takes_mark(","):
                break
        assignments = words.source(start, words.at)
    rest = words.peek()
    if rest is not None:
        unread = unread or rest.text
    return LoadStatement(
        local, xml == "XML", name, database, table, charset, field_end, enclosed, escape, line_start, line_end,
        skip_lines, targets, tuple(assigned), assignments, frozenset(variables), computes, head, unread,
    )  # fmt: skip


def _targets(words: Words) -> tuple[Target, ...] | None:
    if not words.takes_mark("("):
        return None
    targets: list[Target] = []
    while not words.takes_mark(")"):
        if targets and not words.takes_mark(","):
            raise words.error()
        start = words.at
        found = words.peek()
        if found is not None and found.kind is VARIABLE:
            words.at += 1
            targets.append(Target(user_variable_name(found.text), True, words.source(start, words.at)))
            continue
        name = words.name()
        while words.takes_mark("."):
            name = words.name()
        targets.append(Target(name.lower(), False, words.source(start, words.at)))
    return tuple(targets) or None


def _parenthesised(words: Words) -> None:
    if not words.takes_mark("("):
        raise words.error()
    while not words.takes_mark(")"):
        if words.peek() is None:
            raise words.error()
        words.at += 1


def _text(words: Words) -> bytes:
    """A string, or its bytes in hexadecimal."""
    found = words.peek()
    if found is None or found.kind not in (BIND, NAME):
        raise words.error()
    value = words.value(found) if found.kind is BIND else None
    if isinstance(value, str):
        value = value.encode()
    if not isinstance(value, bytes):
        raise words.error()
    words.at += 1
    return value
