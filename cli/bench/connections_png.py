"""A picture of a run as PNG. The one importer of Pillow, which is imported only when a PNG is asked for."""

import io
from collections.abc import Sequence
from typing import Final

from PIL import Image, ImageDraw, ImageFont

from cli.bench.connections_picture import Line, Picture, Text

_SCALE: Final = 4
"""Drawn so much larger, then halved: that makes lines smooth."""
_DASH: Final = (6, 4)
_ANCHORS: Final = {"start": "ls", "middle": "ms", "end": "rs"}

Points = list[tuple[float, float]]


def png(picture: Picture) -> bytes:
    """As a PNG file of twice the picture's size."""
    image = Image.new("RGB", (picture.width * _SCALE, picture.height * _SCALE), "white")
    canvas = ImageDraw.Draw(image)
    for shape in picture.shapes:
        if isinstance(shape, Text):
            font = ImageFont.load_default(shape.size * _SCALE)
            at = (shape.x * _SCALE, shape.y * _SCALE)
            stroke = _SCALE * 0.12 if shape.bold else 0  # the built-in font has one weight
            canvas.text(
                at, shape.text, shape.colour, font, _ANCHORS[shape.anchor], stroke_width=stroke
            )  # fmt: skip
        elif isinstance(shape, Line):
            points = _scaled(shape.points)
            for piece in _dashes(points) if shape.dashed else (points,):
                canvas.line(piece, shape.colour, round(shape.width * _SCALE), joint="curve")
        else:
            canvas.polygon(_scaled(shape.points), shape.colour)
    half = image.resize((image.width // 2, image.height // 2), Image.Resampling.LANCZOS)
    out = io.BytesIO()
    half.save(out, "PNG", optimize=True)
    return out.getvalue()


def _scaled(points: Sequence[tuple[float, float]]) -> Points:
    return [(x * _SCALE, y * _SCALE) for x, y in points]


def _dashes(points: Points) -> list[Points]:
    """Of a level line."""
    (x, y), (end, _) = points[0], points[-1]
    pieces: list[Points] = []
    while x < end:
        pieces.append([(x, y), (min(x + _DASH[0] * _SCALE, end), y)])
        x += sum(_DASH) * _SCALE
    return pieces
