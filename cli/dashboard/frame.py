"""One frame: which sections get how many lines, and all of them put together. Pure.

Invariant: a frame has exactly `height` lines, none wider than `width`. What is least important goes first: the
sparklines shrink to one line, then sections shrink to their sum, then the last ones are left out.
"""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

from rich.text import Text

from cli import invocation
from cli.dashboard import health, sections
from cli.dashboard import text as t
from cli.dashboard.text import UNICODE, Glyphs
from cli.dashboard.view import View

Section = Callable[[View, int, int, Glyphs], list[Text]]

_MAX_ALERTS: Final = 3
MAX_WORKER_LINES: Final = 9
"""More workers than that are summed up, however high the window is: they are all alike."""


@dataclass(frozen=True, slots=True)
class Wish:
    """Lines a section needs at least, is well served with, and could use."""

    least: int
    good: int
    most: int


def allocate(height: int, wishes: list[Wish]) -> list[int]:
    """Lines of each section, the most important one first; 0: it is left out.

    >>> allocate(20, [Wish(2, 4, 40), Wish(2, 4, 6), Wish(1, 3, 3)])
    [13, 4, 3]
    >>> allocate(4, [Wish(2, 4, 40), Wish(2, 4, 6), Wish(1, 3, 3)])
    [2, 2, 0]
    """
    given = [0] * len(wishes)
    left = height
    for index, wish in enumerate(wishes):
        if wish.least <= left:
            given[index] = wish.least
            left -= wish.least
    for goal in ("good", "most"):
        for index, wish in enumerate(wishes):
            if given[index]:
                more = min(left, max(0, getattr(wish, goal) - given[index]))
                given[index] += more
                left -= more
    return given


def render(view: View, width: int, height: int, glyphs: Glyphs = UNICODE) -> list[Text]:
    """The frame's lines, for a terminal of that size."""
    sample = view.sample
    alerts = health.alert_lines(view, width, _MAX_ALERTS if height >= 24 else 1, glyphs)
    head = [health.title(view, width, glyphs), health.facts(view, width), *alerts]
    foot = _foot(view, width)
    room = height - len(head) - 1
    if sample is None:
        lines = [*head, *_first_steps(view)]
        return _exactly([*lines[: height - 1], *[Text()] * (height - 1 - len(lines)), foot], width, height)
    workers, tablets = len(sample.workers), len(sample.tablets)
    order: list[tuple[Section, Wish]] = [
        (sections.shards, _wish(tablets, 1, 8)),
        (sections.workers, _wish(min(workers + (workers > 1), MAX_WORKER_LINES), 1, 5)),
        (sections.errors, _wish(3 * len(sample.errors), 1, 3)),
        (sections.limits, _wish(len(sample.limits), 1, 4)),
        (_sparks, Wish(1, 3, 3)),
    ]
    wishes = [wish for _, wish in order]
    blanks = min(len(order), max(0, room - sum(wish.good for wish in wishes)))
    given = allocate(room - blanks, wishes)
    blocks = {
        section: section(view, width, rows, glyphs) if rows else []
        for (section, _), rows in zip(order, given, strict=True)
    }
    shown = [
        blocks[section]
        for section in (_sparks, sections.workers, sections.shards, sections.limits, sections.errors)
        if blocks[section]
    ]
    spare = room - sum(map(len, shown))
    body: list[Text] = []
    for block in shown:
        if spare:
            body.append(Text())
            spare -= 1
        body += block
    return _exactly([*head, *body, *[Text()] * spare, foot], width, height)


def _wish(rows: int, least: int, good: int) -> Wish:
    """Of a table with a heading: so many of its `rows` at least, and for a good view of it. An empty one is a line."""
    if not rows:
        return Wish(1, 1, 1)
    return Wish(1 + min(rows, least), 1 + min(rows, good), 1 + rows)


def _sparks(view: View, width: int, rows: int, glyphs: Glyphs) -> list[Text]:
    return health.sparks(view, width, rows, glyphs)


def _first_steps(view: View) -> list[Text]:
    if view.silent_since_s is None:
        return []
    command = invocation.name()
    return [
        Text(),
        Text(" This goes on by itself as soon as the router answers."),
        Text(f" {command} status tells what runs, {command} up starts what is missing."),
    ]


_LEGEND: Final = (
    "in use: the tablet's own too",
    "rates: of 3 s",
    "shared: one run for several reads",
    "set.hit: settings found",
    "threads: MySQL's count",
)
"""What the columns mean, the most puzzling first: as many as there is room for."""


def _foot(view: View, width: int) -> Text:
    words = f" q {view.quits}   p {'go on' if view.paused else 'pause'}" if view.keys else ""
    line = Text.assemble((words, "bold"))
    legend = ""
    for entry in _LEGEND:
        if line.cell_len + 3 + len(legend) + len(entry) + 3 > width:
            break
        legend += entry + "   "
    if legend:
        line.append(" " * (width - line.cell_len - len(legend)) + legend, t.DIM)
    return line


def _exactly(lines: list[Text], width: int, height: int) -> list[Text]:
    for line in lines:
        line.truncate(width)
        line.no_wrap = True
        line.rstrip()
    return lines[:height]
