"""SET_VAR hints (MySQL) in a statement's text: `/*+ SET_VAR(name = value) ... */`."""

import re
from typing import Final

_HINTS: Final = re.compile(rb"/\*\+.*?\*/", re.DOTALL)
_SET_VAR: Final = re.compile(
    rb"\bSET_VAR\s*\(\s*`?(\w+)`?\s*=\s*('(?:[^'\\]|''|\\.)*'|\"(?:[^\"\\]|\"\"|\\.)*\"|[^\s)]*)\s*\)",
    re.IGNORECASE | re.DOTALL,
)


def hinted(text: bytes) -> dict[str, bytes]:
    """The variables that hints set: lower-case name -> value as written. The first of a name counts, as in MySQL."""
    found: dict[str, bytes] = {}
    for hints in _HINTS.finditer(text):
        for one in _SET_VAR.finditer(hints.group()):
            found.setdefault(one.group(1).decode("utf-8", "replace").lower(), one.group(2))
    return found


def without(text: bytes, names: frozenset[str]) -> bytes:
    """The text with the SET_VAR hints of these variables blanked out."""

    def blanked(one: "re.Match[bytes]") -> bytes:
        named = one.group(1).decode("utf-8", "replace").lower() in names
        return b" " * len(one.group()) if named else one.group()

    def left(hints: "re.Match[bytes]") -> bytes:
        rest = _SET_VAR.sub(blanked, hints.group())
        return rest if rest[3:-2].strip() else b" " * len(rest)  # an empty one would be a syntax error

    return _HINTS.sub(left, text)
