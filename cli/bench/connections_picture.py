"""A picture of a run as SVG: rows of one curve each over the same seconds. Pure."""

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

WIDTH: Final = 960
ROW: Final = 150
LEFT: Final = 90
RIGHT: Final = 20
GAP: Final = 46


@dataclass(frozen=True, slots=True)
class Curve:
    title: str
    points: Sequence[tuple[float, float]]
    """(seconds, value)."""
    colour: str = "#2563a8"


def svg(title: str, curves: Sequence[Curve], marks: Sequence[tuple[float, str]]) -> str:
    """`marks`: moments with their names, as vertical lines."""
    end_s = max([1.0, *(x for curve in curves for x, _ in curve.points)])
    height = 50 + len(curves) * (ROW + GAP)
    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        f'<text x="{LEFT}" y="24" font-size="16">{escape(title)}</text>',
    ]
    for index, curve in enumerate(curves):
        parts += _row(curve, 60 + index * (ROW + GAP), end_s, marks)
    return "\n".join([*parts, "</svg>", ""])


def _row(curve: Curve, top: int, end_s: float, marks: Sequence[tuple[float, str]]) -> list[str]:
    wide = WIDTH - LEFT - RIGHT
    most = max([1e-9, *(y for _, y in curve.points)]) * 1.08

    def at(x: float, y: float) -> str:
        return f"{LEFT + x / end_s * wide:.1f},{top + ROW - y / most * ROW:.1f}"

    line = " ".join(at(x, y) for x, y in curve.points)
    parts = [
        f'<text x="{LEFT}" y="{top - 6}" font-size="12" fill="#333">{escape(curve.title)}</text>',
        f'<path d="M{LEFT} {top}v{ROW}h{wide}" fill="none" stroke="#999"/>',
    ]
    for share in (0.5, 1.0):
        value = most / 1.08 * share
        y = at(0, value).split(",")[1]
        parts.append(f'<path d="M{LEFT} {y}h{wide}" stroke="#e3e3e3"/>')
        label = f"{value:,.0f}" if value >= 10 else f"{value:.2f}"
        parts.append(
            f'<text x="{LEFT - 6}" y="{y}" font-size="11" text-anchor="end" fill="#555">{label}</text>'
        )
    for moment_s, name in marks:
        x = at(moment_s, 0).split(",")[0]
        parts.append(f'<path d="M{x} {top}v{ROW}" stroke="#b44" stroke-dasharray="3 3"/>')
        parts.append(f'<text x="{x}" y="{top + ROW + 14}" font-size="10" fill="#b44">{escape(name)}</text>')
    parts.append(
        f'<text x="{WIDTH - RIGHT}" y="{top + ROW + 14}" font-size="10" text-anchor="end">{end_s:.0f} s</text>'
    )
    parts.append(f'<polyline points="{line}" fill="none" stroke="{curve.colour}" stroke-width="1.6"/>')
    return parts
