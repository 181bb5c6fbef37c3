"""A picture of a run: panels of curves over the same seconds, as shapes. Pure.

The shapes are what both forms draw: `svg` here, PNG in `connections_png`.
"""

import math
from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 1200
LEFT: Final = 96
RIGHT: Final = 36
TOP: Final = 96
GAP: Final = 44
FOOT: Final = 46
INK: Final = "#1f2933"
FAINT: Final = "#7b8794"
GRID: Final = "#e4e7eb"
_FONT: Final = 'font-family="Helvetica, Arial, sans-serif"'
_BANDS: Final = ("#f5f7fa", "#ffffff")


@dataclass(frozen=True, slots=True)
class Curve:
    label: str
    points: Sequence[tuple[float, float]]
    """(seconds, value)."""
    colour: str
    filled: bool = False


@dataclass(frozen=True, slots=True)
class Panel:
    title: str
    curves: Sequence[Curve]
    height: int = 110
    log: bool = False
    """The values on a logarithmic scale."""
    most: float = 0.0
    """The scale reaches at least that."""
    line: tuple[float, str] | None = None
    """A value to compare with, and its name."""


@dataclass(frozen=True, slots=True)
class Phase:
    begin_s: float
    end_s: float
    name: str


@dataclass(frozen=True, slots=True)
class Text:
    x: float
    y: float
    text: str
    size: int = 13
    colour: str = INK
    anchor: str = "start"
    """start, middle or end."""
    bold: bool = False


@dataclass(frozen=True, slots=True)
class Line:
    points: Sequence[tuple[float, float]]
    colour: str
    width: float = 1.0
    dashed: bool = False
    """Of two points only."""


@dataclass(frozen=True, slots=True)
class Area:
    points: Sequence[tuple[float, float]]
    colour: str


Shape = Text | Line | Area


@dataclass(frozen=True, slots=True)
class Picture:
    width: int
    height: int
    shapes: Sequence[Shape]


def draw(title: str, subtitle: str, panels: Sequence[Panel], phases: Sequence[Phase]) -> Picture:
    """Panels below each other, phases as bands through all of them."""
    ends = [x for panel in panels for curve in panel.curves for x, _ in curve.points]
    end_s = max([1.0, *ends, *(phase.end_s for phase in phases)])
    height = TOP + sum(panel.height + GAP for panel in panels) - GAP + FOOT
    shapes: list[Shape] = [
        Area(((0, 0), (WIDTH, 0), (WIDTH, height), (0, height)), "#ffffff"),
        Text(LEFT, 36, title, 22, INK, bold=True),
        Text(LEFT, 60, subtitle, 14, FAINT),
    ]
    top = TOP
    for number, panel in enumerate(panels):
        shapes += _panel(panel, top, end_s, phases, named=number == 0)
        top += panel.height + GAP
    bottom = top - GAP
    for second in ticks(0, end_s, 10):
        x = _x(second, end_s)
        shapes += [
            Line(((x, bottom), (x, bottom + 5)), FAINT),
            Text(x, bottom + 20, f"{second:g} s", 12, FAINT, "middle"),
        ]
    return Picture(WIDTH, height, shapes)


def ticks(least: float, most: float, about: int) -> list[float]:
    """Round values from `least` to `most`, some `about` of them.

    >>> ticks(0, 1_000_000, 4)
    [0.0, 250000.0, 500000.0, 750000.0, 1000000.0]
    """
    if most <= least:
        return [least]
    rough = (most - least) / about
    power = 10.0 ** math.floor(math.log10(rough))
    step = next(power * part for part in (1, 2, 2.5, 5, 10) if power * part >= rough * 0.999)
    first = math.ceil(least / step - 1e-9)
    return [n * step for n in range(first, int(most / step + 1e-9) + 1)]


def short(value: float) -> str:
    """A value beside an axis.

    >>> short(1_000_000), short(250_000), short(1500), short(18), short(0.5)
    ('1M', '250k', '1.5k', '18', '0.5')
    """
    for size, letter in ((1e6, "M"), (1e3, "k")):
        if value >= size:
            return f"{value / size:g}{letter}"
    return f"{value:g}"


def _x(second: float, end_s: float) -> float:
    return LEFT + second / end_s * (WIDTH - LEFT - RIGHT)


def _panel(panel: Panel, top: int, end_s: float, phases: Sequence[Phase], *, named: bool) -> list[Shape]:
    values = [y for curve in panel.curves for _, y in curve.points]
    bottom = top + panel.height
    low: float
    high: float
    if panel.log:
        low = math.floor(math.log10(max(1e-2, min([v for v in values if v > 0], default=1.0))))
        high = max(low + 1, math.ceil(math.log10(max([1e-2, panel.most, *values]))))
        marks = [10.0**n for n in range(low, high + 1)]
    else:
        low, high = 0.0, max([1e-9, panel.most, *values]) * 1.06
        marks = ticks(0, high, 4 if panel.height > 150 else 2)

    def y(value: float) -> float:
        at = math.log10(max(value, 10.0**low)) if panel.log else value
        return bottom - (min(max(at, low), high) - low) / (high - low) * panel.height

    shapes: list[Shape] = []
    names: list[Shape] = []
    for number, phase in enumerate(phases):
        x0, x1 = _x(phase.begin_s, end_s), _x(phase.end_s, end_s)
        shapes.append(Area(((x0, top), (x1, top), (x1, bottom), (x0, bottom)), _BANDS[number % 2]))
        if named and x1 - x0 > 30:
            names.append(Text((x0 + x1) / 2, bottom - 10, phase.name, 12, FAINT, "middle"))
    for mark in marks:
        shapes += [
            Line(((LEFT, y(mark)), (WIDTH - RIGHT, y(mark))), GRID),
            Text(LEFT - 8, y(mark) + 4, short(mark), 12, FAINT, "end"),
        ]
    for curve in panel.curves:
        points = [(_x(second, end_s), y(value)) for second, value in curve.points]
        if curve.filled and len(points) > 1:
            shapes.append(
                Area(((points[0][0], bottom), *points, (points[-1][0], bottom)), _tint(curve.colour))
            )
        if len(points) > 1:
            shapes.append(Line(points, curve.colour, 2.0))
    if panel.line is not None:
        value, name = panel.line
        shapes += [
            Line(((LEFT, y(value)), (WIDTH - RIGHT, y(value))), "#b03a3a", 1.5, dashed=True),
            Text(WIDTH - RIGHT, y(value) - 5, name, 12, "#b03a3a", "end"),
        ]
    shapes.append(Line(((LEFT, bottom), (WIDTH - RIGHT, bottom)), FAINT))
    shapes.append(Text(LEFT, top - 8, panel.title, 14, INK, bold=True))
    if len(panel.curves) > 1:
        x = WIDTH - RIGHT
        for curve in reversed(panel.curves):
            shapes.append(Text(x, top - 8, curve.label, 12, curve.colour, "end", bold=True))
            x -= 8 * len(curve.label) + 14
    return [*shapes, *names]


def _tint(colour: str) -> str:
    """A light shade of it."""
    parts = (int(colour[at : at + 2], 16) for at in (1, 3, 5))
    return "#" + "".join(f"{round(255 - (255 - part) * 0.16):02x}" for part in parts)


def svg(picture: Picture) -> str:
    """As an SVG document."""
    w, h = picture.width, picture.height
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {w} {h}" width="{w}" height="{h}" {_FONT}>'
    ]
    for shape in picture.shapes:
        if isinstance(shape, Text):
            weight = ' font-weight="bold"' if shape.bold else ""
            parts.append(
                f'<text x="{shape.x:.1f}" y="{shape.y:.1f}" font-size="{shape.size}" fill="{shape.colour}" '
                f'text-anchor="{shape.anchor}"{weight}>{escape(shape.text)}</text>'
            )
        elif isinstance(shape, Line):
            dashes = ' stroke-dasharray="6 4"' if shape.dashed else ""
            parts.append(
                f'<polyline points="{_pairs(shape.points)}" fill="none" stroke="{shape.colour}" '
                f'stroke-width="{shape.width:g}" stroke-linejoin="round"{dashes}/>'
            )
        else:
            parts.append(f'<polygon points="{_pairs(shape.points)}" fill="{shape.colour}"/>')
    return "\n".join([*parts, "</svg>", ""])


def _pairs(points: Sequence[tuple[float, float]]) -> str:
    return " ".join(f"{x:.1f},{y:.1f}" for x, y in points)
