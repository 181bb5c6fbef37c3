"""What statements have alike that differ in their text or values only: worked out once for all of them.

A router says it once by FORM and then names the number (RUN); an EXECUTE brings its own.
"""

from dataclasses import dataclass

from core.errors import SluiceError
from core.rpc.messages import F_BEGIN, F_BRIEF, F_FOUND_ROWS, F_RESERVE
from tablet.backend.connection import Profile
from tablet.pool.admission import FOUND_ROWS, HOLD, PLAIN
from tablet.pool.settings import parse


@dataclass(frozen=True, slots=True)
class Form:
    """`lane` is that of the queue; `refused`: why such a statement cannot run, told before it takes a connection."""

    flags: int
    user: str
    profile: Profile
    tables: list[str] | None
    lane: int
    refused: SluiceError | None


def make_form(flags: int, user: str, settings: str, tables: list[str] | None, database: str) -> Form:
    """`settings` that are none make a Form that is refused."""
    refused: SluiceError | None = None
    if settings:
        try:
            parse(settings)
        except SluiceError as error:
            refused = error
    found_rows = flags & F_FOUND_ROWS != 0
    holds = flags & (F_BEGIN | F_RESERVE) and not flags & F_BRIEF
    lane = (HOLD if holds else PLAIN) | (FOUND_ROWS if found_rows else PLAIN)
    return Form(flags, user, (settings, database, found_rows), tables, lane, refused)
