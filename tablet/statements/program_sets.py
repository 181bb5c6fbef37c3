"""Which session variables a stored program SETs, by its body.

Counted is what a SET names that begins a statement of the program, or a text which it prepares. Not seen: names that
the program puts together, and `timestamp`, whose value does not tell whether it was set. What servers put back at a
program's end is left out: sql_mode, and the character sets of what a client sends.
"""

import re
from collections.abc import Container, Iterator
from typing import Final

_FLAGS: Final = re.IGNORECASE | re.DOTALL
_BLANKS: Final = rb"(?:\s+|/\*.*?\*/|--[^\n]*(?:\n|\Z)|#[^\n]*(?:\n|\Z))*"
_SET: Final = re.compile(
    rb"(?:\A|[;:'\"]|\b(?:begin|atomic|then|else|do|loop|repeat)\b|\bhandler\s+for\b[^;]*?)"
    + _BLANKS
    + rb"\bset\b(?!\s+statement\b)([^;]*)",
    _FLAGS,
)
_ASSIGNED: Final = re.compile(
    rb"(?:\A|,)\s*(?:(?:session|local)\s+|@@(?:(?:session|local)\s*\.\s*)?)?`?([a-z_][a-z_0-9]*)`?\s*:?=",
    _FLAGS,
)
_CHARSET: Final = re.compile(rb"(?:\A|,)\s*(?:names|charset|character\s+set)\b", _FLAGS)
_TRANSACTION: Final = re.compile(rb"\s*(?:session|local)\s+transaction\b", _FLAGS)
_ISOLATIONS: Final = ("transaction_isolation", "transaction_read_only", "tx_isolation", "tx_read_only")
_LEFT_OUT: Final = frozenset(
    """
    timestamp sql_mode character_set_client character_set_connection collation_connection autocommit
    last_insert_id identity pseudo_thread_id version port hostname socket license error_count warning_count
    """.split()  # noqa: SIM905
)


def variables_set(body: bytes, variables: Container[str]) -> Iterator[str]:
    """Those of `variables`, a server's, that a program with this body SETs in its session."""
    for assignments in _SET.findall(body):
        names = [name.decode().lower() for name in _ASSIGNED.findall(assignments)]
        if _CHARSET.search(assignments):
            names.append("character_set_results")
        if _TRANSACTION.match(assignments):
            names += _ISOLATIONS
        yield from (name for name in names if name in variables and name not in _LEFT_OUT)
