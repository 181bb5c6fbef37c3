"""Numbers, bars, sparklines and columns as text of a known width. Pure.

Invariants: no line is ever wider than asked; what must be cut ends in an ellipsis; text from elsewhere cannot
steer the terminal.
"""

import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.cells import cell_len, set_cell_size
from rich.text import Text

GOOD: Final = "green"
WARN: Final = "yellow"
BAD: Final = "bold red"
DIM: Final = "dim"
HEAD: Final = "bold underline"


@dataclass(frozen=True, slots=True)
class Glyphs:
    """The characters that a terminal can show."""

    full: str
    empty: str
    levels: str
    dot: str
    ellipsis: str
    none: str


UNICODE: Final = Glyphs("█", "░", "▁▂▃▄▅▆▇█", "●", "…", "–")
ASCII: Final = Glyphs("#", ".", "_.-:=+*#", "*", "~", "-")


def count(value: float) -> str:
    """At most 6 characters: 950, 9,500, 95.0k, 950k, 9.50M.

    >>> [count(x) for x in (0, 0.4, 7.25, 999, 9999, 12345, 123456, 1234567, 2.5e9)]
    ['0', '0.4', '7.2', '999', '9,999', '12.3k', '123k', '1.23M', '2.50G']
    """
    if value < 9.95 and value != int(value):
        return f"{value:.1f}"
    if value < 9_999.5:
        return f"{value:,.0f}"
    for unit, size in (("k", 1e3), ("M", 1e6), ("G", 1e9)):
        scaled = value / size
        if scaled < 999.5:
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f}{unit}"
    return f"{value:.0e}"


def duration(seconds: float | None, none: str = "–") -> str:
    """At most 6 characters: 85us, 1.2ms, 120ms, 1.5s, 12s, 12m.

    >>> [duration(x) for x in (0.000085, 0.0012, 0.0123, 0.12, 1.5, 12, 720, 7300, None)]
    ['85us', '1.20ms', '12.3ms', '120ms', '1.50s', '12.0s', '12m', '2h', '–']
    """
    if seconds is None:
        return none
    if seconds < 0.000_999_5:
        return f"{seconds * 1e6:.0f}us"
    for unit, size, most in (("ms", 1e-3, 0.999_5), ("s", 1.0, 99.5)):
        if seconds < most:
            scaled = seconds / size
            digits = 2 if scaled < 9.995 else 1 if scaled < 99.95 else 0
            return f"{scaled:.{digits}f}{unit}"
    return f"{seconds / 60:.0f}m" if seconds < 5970 else f"{seconds / 3600:.0f}h"


def span(seconds: float) -> str:
    """How long something has lasted, in its two largest units: 45s, 3m 20s, 5h 2m, 3d 4h."""
    whole = int(seconds)
    for name, size, lower, lower_size in (("d", 86400, "h", 3600), ("h", 3600, "m", 60), ("m", 60, "s", 1)):
        if whole >= size:
            return f"{whole // size}{name} {whole % size // lower_size}{lower}"
    return f"{whole}s"


def clock(when_s: float) -> str:
    """Local time of day."""
    return time.strftime("%H:%M:%S", time.localtime(when_s))


def plain(text: str) -> str:
    """One line of printable characters: an error's text may hold anything, escape sequences too."""
    return "".join(c if c.isprintable() else " " for c in text)


def cut(text: str, width: int, ellipsis: str = "…") -> str:
    """`text` in at most `width` cells."""
    if cell_len(text) <= width:
        return text
    return set_cell_size(text, width - 1).rstrip() + ellipsis if width > 0 else ""


def wrap(text: str, width: int, lines: int, ellipsis: str = "…") -> list[str]:
    """`text` in at most `lines` lines, broken at blanks where there are any; cut where that is not enough."""
    found: list[str] = []
    rest = text
    while rest and len(found) < lines - 1 and cell_len(rest) > width:
        head = set_cell_size(rest, width)
        at = len(head) if rest[len(head) : len(head) + 1] == " " else head.rfind(" ")
        at = at if at > width // 2 else len(head.rstrip()) or 1
        found.append(rest[:at].rstrip())
        rest = rest[at:].lstrip()
    return [*found, cut(rest, width, ellipsis)] if rest or not found else found


def bar(used: float, whole: float, width: int, glyphs: Glyphs) -> str:
    """A bar of `width` cells; any use at all shows."""
    if whole <= 0:
        return glyphs.empty * width
    filled = min(width, max(round(used / whole * width), 1 if used > 0 else 0))
    return glyphs.full * filled + glyphs.empty * (width - filled)


def spark(values: Sequence[float | None], width: int, glyphs: Glyphs) -> str:
    """The last `width` values from 0 to their maximum; a blank where one is not known."""
    shown = values[-width:] if width > 0 else ()
    top = max((v for v in shown if v is not None), default=0.0)
    levels = glyphs.levels
    last = len(levels) - 1

    def level(value: float | None) -> str:
        if value is None:
            return " "
        return levels[round(value / top * last)] if top > 0 else levels[0]

    return "".join(map(level, shown)).rjust(max(width, 0))


@dataclass(frozen=True, slots=True)
class Column:
    title: str
    right: bool = True
    drop: int = 0
    """Where the width does not do, the column of the highest number goes first; 0: it stays."""


def columns(
    heads: Sequence[Column], rows: Sequence[Sequence[Text | str]], width: int, ellipsis: str = "…"
) -> list[Text]:
    """A heading line and a line a row, each at most `width` cells. The first column gives way when all else has."""
    texts = [[cell if isinstance(cell, Text) else Text(cell) for cell in row] for row in rows]
    needs = _needs(heads, texts)
    shown = list(range(len(heads)))
    while sum(needs[i] + 1 for i in shown) - 1 > width:
        victim = max(shown, key=lambda i: heads[i].drop)
        if not heads[victim].drop:
            others = sum(needs[i] + 1 for i in shown[1:])
            needs[shown[0]] = max(1, width - others)
            break
        shown.remove(victim)
    # What is left over goes between the columns, so that they are spread over the line.
    spare = width - sum(needs[i] + 1 for i in shown) + 1
    gap = 1 + min(2, max(0, spare) // max(1, len(shown) - 1))
    lines = [Text()]
    for i in shown:
        lines[0].append(_fit(Text(heads[i].title, HEAD), needs[i], heads[i].right, ellipsis))
        lines[0].append(" " * gap)
    for row in texts:
        line = Text()
        for i in shown:
            line.append_text(_fit(row[i], needs[i], heads[i].right, ellipsis))
            line.append(" " * gap)
        lines.append(line)
    for line in lines:
        line.rstrip()
        line.truncate(width)
    return lines


def fits(heads: Sequence[Column], rows: Sequence[Sequence[Text | str]], width: int) -> bool:
    """Whether `columns` would show all of them whole."""
    return sum(_needs(heads, rows)) + len(heads) - 1 <= width


def _needs(heads: Sequence[Column], rows: Sequence[Sequence[Text | str]]) -> list[int]:
    return [
        max([cell_len(head.title), *(cell_len(str(row[i])) for row in rows)]) for i, head in enumerate(heads)
    ]


def _fit(cell: Text, width: int, right: bool, ellipsis: str) -> Text:
    size = cell.cell_len
    if size > width:
        return Text(cut(cell.plain, width, ellipsis), cell.style)
    pad = " " * (width - size)
    return Text.assemble(pad, cell) if right else Text.assemble(cell, pad)
