"""The values of one execution of a prepared statement as the literals that plans read.

Invariant: nothing is decoded before a plan, or a statement that must go as text, asks for a value.
"""

from collections.abc import Iterator, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Final, overload

from router.sql.dialect import Dialect
from router.sql.lex import BIND, WORD, lex
from router.sql.literals import marked
from wire.binary import BinaryValue
from wire.literals import literal
from wire.statements import Execute, parse_execute

if TYPE_CHECKING:
    from router.sessions.prepared import PreparedStatement

PLACEHOLDER: Final = b"?"
_HEAD: Final = b"\x17\0\0\0\0"
"""Command and statement id of an execution."""


class BoundLiterals(Sequence[bytes]):
    """The literals of one execution: those of the text, and the bound values as literals, made when asked for."""

    __slots__ = ("_dialect", "_execute", "_statement", "_values")

    def __init__(self, statement: "PreparedStatement", execute: Execute | bytes, dialect: Dialect) -> None:
        """`execute`: the execution, or what follows the statement's id in one with types and without long data.
        `dialect`: of the session, in which they are read."""
        self._statement = statement
        self._execute = execute
        self._dialect = dialect
        self._values: list[bytes] | None = None

    @classmethod
    def of_tokens(cls, statement: "PreparedStatement", tokens: Iterator[bytes]) -> "BoundLiterals":
        """With `tokens` for the parameters."""
        found = cls(statement, b"", Dialect.DEFAULT)
        found._values = [next(tokens) if token == PLACEHOLDER else token for token in statement.literals]
        return found

    @overload
    def __getitem__(self, index: int) -> bytes: ...

    @overload
    def __getitem__(self, index: slice) -> Sequence[bytes]: ...

    def __getitem__(self, index: int | slice) -> bytes | Sequence[bytes]:
        if self._values is None:
            self._values = self._make()
        return self._values[index]

    def __len__(self) -> int:
        return len(self._statement.literals)

    def _make(self) -> list[bytes]:
        execute = self._execute
        if isinstance(execute, bytes):
            execute = parse_execute(_HEAD + execute, self._statement.parameter_count)
        bound = iter(zip(execute.values(), execute.types, strict=False))
        found: list[bytes] = []
        for index, token in enumerate(self._statement.literals):
            if token == PLACEHOLDER:
                value, kind = next(bound)
                token = bound_literal(value, kind & 0xFF, self._dialect)
                if isinstance(value, bytes | float) and index in _limits(self._statement.key):
                    token = _whole(value, token)
            found.append(token)
        return found

    def text(self) -> bytes:
        """The statement with the bound values as literals."""
        statement = self._statement
        if statement.pieces is None:
            statement.pieces = _pieces(statement.key)
        return b"".join(
            piece if isinstance(piece, bytes) else b" " + self[piece] + b" " for piece in statement.pieces
        )


def bound_literal(value: BinaryValue, type: int, dialect: Dialect) -> bytes:
    """The literal for a bound value, as a session with that dialect writes and reads it. Raises CommandError 1367."""
    return marked(literal(value, type, no_backslash_escapes=not dialect.backslash_escapes), dialect)


def bound_text(sql: bytes, literals: Sequence[bytes]) -> bytes:
    """The text to send where a prepared execution must go as text."""
    return literals.text() if isinstance(literals, BoundLiterals) else sql


def _pieces(key: bytes) -> list[bytes | int]:
    text = key.decode("utf-8", "surrogateescape")
    pieces: list[bytes | int] = []
    at = 0
    for lexeme in lex(text, whole_rows=False).lexemes:
        if lexeme.kind == BIND:
            pieces.append(text[at : lexeme.start].encode("utf-8", "surrogateescape"))
            pieces.append(lexeme.bind)
            at = lexeme.end
    pieces.append(text[at:].encode("utf-8", "surrogateescape"))
    return pieces


@lru_cache(maxsize=1024)
def _limits(key: bytes) -> frozenset[int]:
    """The literals that are a LIMIT or an OFFSET."""
    found: set[int] = set()
    behind = False
    for lexeme in lex(key.decode("utf-8", "surrogateescape"), whole_rows=False).lexemes:
        if lexeme.kind == BIND and behind:
            found.add(lexeme.bind)
        elif lexeme.kind is WORD and lexeme.text in ("LIMIT", "OFFSET"):
            behind = True
        elif lexeme.text != ",":
            behind = False
    return frozenset(found)


def _whole(value: bytes | float, token: bytes) -> bytes:
    """A LIMIT as servers read it of a text or a double: drivers of JavaScript bind no integers. Else `token`."""
    if isinstance(value, float):
        return b"%d" % int(value) if value.is_integer() and value >= 0 else token
    return value if value.isdigit() else token
