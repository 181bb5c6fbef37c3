"""How sql_mode changes the lexical rules: whether "x" is a string, and whether a backslash escapes."""

from enum import Enum


class Dialect(Enum):
    """What sql_mode changes in the lexical rules."""

    DEFAULT = "default"
    NO_BACKSLASH_ESCAPES = "no_backslash_escapes"
    ANSI_QUOTES = "ansi_quotes"
    ANSI_QUOTES_NO_BACKSLASH_ESCAPES = "ansi_quotes,no_backslash_escapes"

    __hash__ = object.__hash__  # Enum's own is Python code, and this is a key on the hot path

    @property
    def ansi_quotes(self) -> bool:
        """Whether "x" is an identifier."""
        return self in (Dialect.ANSI_QUOTES, Dialect.ANSI_QUOTES_NO_BACKSLASH_ESCAPES)

    @property
    def backslash_escapes(self) -> bool:
        """Whether a backslash in a string escapes the next character."""
        return self in (Dialect.DEFAULT, Dialect.ANSI_QUOTES)


def dialect_of(sql_mode: str) -> Dialect:
    """The lexical rules of a sql_mode value such as `ANSI_QUOTES,STRICT_TRANS_TABLES` (or the mode ANSI)."""
    modes = {mode.strip() for mode in sql_mode.upper().split(",")}
    ansi = not modes.isdisjoint(("ANSI_QUOTES", "ANSI", "DB2", "MAXDB", "MSSQL", "ORACLE", "POSTGRESQL"))
    if "NO_BACKSLASH_ESCAPES" in modes:
        return Dialect.ANSI_QUOTES_NO_BACKSLASH_ESCAPES if ansi else Dialect.NO_BACKSLASH_ESCAPES
    return Dialect.ANSI_QUOTES if ansi else Dialect.DEFAULT
