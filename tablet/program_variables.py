"""User variables (`@x`) that stored programs read or set, and the statements that may run such a program.

A session's user variables live in its router; a program would find another value, and what it sets would be gone.
So the tablet sends such a statement back (NEEDS_VARIABLES, with the names), and the router sends it again on a
connection that has been given these variables, reads them afterwards, and says so with F_VARIABLES.

Invariants: a program may run any other, so each needs the variables of all; what cannot be told from a statement's
text counts as running one. Not seen: names that a program puts together in a PREPARE, names with a blank or a comma.
"""

import re
from typing import Final

from core.rpc.messages import F_WRITE

_COMMENTS: Final = rb"(?:\s+|/\*.*?\*/|--[^\n]*(?:\n|\Z)|#[^\n]*(?:\n|\Z))*"
_FLAGS: Final = re.IGNORECASE | re.DOTALL
_CALL: Final = re.compile(_COMMENTS + rb"call\b", _FLAGS)
_RUNS: Final = re.compile(
    _COMMENTS
    + rb"(?:\(|(?:select|insert|update|delete|replace|with|do|load|values|set|table)\b"
    + rb"|create\s+(?:or\s+replace\s+)?(?:temporary\s+)?table\b)",
    _FLAGS,
)
_FIRES: Final = re.compile(_COMMENTS + rb"(?:insert|update|delete|replace|load|with)\b", _FLAGS)
_VARIABLE: Final = re.compile(
    rb"(?<![@\w$])@(?:`([^`\s,]+)`|'([^'\s,]+)'|\"([^\"\s,]+)\"|([\w$.\x80-\xff]+))"
)

Rows = list[list[bytes | None]]


class ProgramVariables:
    """Of one MySQL; `learn` replaces what was known."""

    def __init__(self) -> None:
        self.names = ""
        """In lower case, with commas between; empty: no program uses any."""
        self._many = False
        self._read: re.Pattern[bytes] | None = None
        self._written: re.Pattern[bytes] | None = None

    def learn(self, rows: Rows, *, many: bool) -> None:
        """`rows` of kind, name, -, body where it has an `@`. `many`: not all are there."""
        found = {
            (part or b"").decode("utf-8", "replace").lower()
            for row in rows
            for groups in _VARIABLE.findall(row[3] or b"")
            for part in groups
            if part
        }
        self.names = ",".join(sorted(found))
        self._many = many
        self._read = _search(rows, b"function")
        self._written = _search(rows, b"trigger")

    def needed_by(self, sql: bytes, flags: int, tables: object) -> bool:
        """Whether `sql` may run a program that needs them. Cheap where `names` is empty: ask that first."""
        if not self.names:
            return False
        if flags & F_WRITE and tables is None and _CALL.match(sql):
            return True
        if _RUNS.match(sql) and (
            self._many or (self._read is not None and self._read.search(sql) is not None)
        ):
            return True
        if not flags & F_WRITE or self._written is None or not _FIRES.match(sql):
            return False
        return self._written.search(sql) is not None


def _search(rows: Rows, kind: bytes) -> re.Pattern[bytes] | None:
    """Finds the names of this kind, and of views, which may stand for any of them; None where there is none."""
    names = {row[1] or b"" for row in rows if row[0] == kind}
    if not names:
        return None
    names |= {row[1] or b"" for row in rows if row[0] == b"view"}
    if any(not name.isascii() or b"`" in name for name in names):
        return re.compile(b"")  # how a client spells it is not known
    found = b"|".join(re.escape(name) for name in sorted(names))
    return re.compile(rb"(?<![\w$])(?:" + found + rb")(?![\w$])", re.IGNORECASE)
