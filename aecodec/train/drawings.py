"""Drawn pictures to train on: text, interfaces, plots and saturated colours, which photographs hardly have.

Every picture has an alphabet, colours and a layout that are its own, drawn at twice its size and reduced, or without
smoothing. The same seed gives the same pictures wherever Pillow draws alike.
"""

from __future__ import annotations

import colorsys
from collections.abc import Callable

import numpy as np
from PIL import Image
from PIL import ImageDraw

Point = tuple[float, float]
Colour = tuple[int, int, int]
Glyph = list[list[Point]]

SEED = 1129
OVERSAMPLING = 2
LETTERS = 20  # in an alphabet
GRID = (3, 4)  # the points across and down that strokes of a letter join


def drawings(count: int, height: int, width: int) -> list[np.ndarray]:
    """The first `count` drawings: uint8 [height, width, 3]."""
    random = np.random.default_rng(SEED)
    return [_drawing(random, height, width) for _ in range(count)]


def _drawing(random: np.random.Generator, height: int, width: int) -> np.ndarray:
    canvas = Canvas(random, height, width)
    KINDS[int(random.integers(len(KINDS)))](canvas)
    return canvas.pixels()


class Canvas:
    """A picture in the making, its random numbers, and its alphabet."""

    def __init__(self, random: np.random.Generator, height: int, width: int) -> None:
        self.random = random
        self.size = width, height
        self.factor = OVERSAMPLING if random.random() < 0.75 else 1  # 1: no smoothing, as in old interfaces
        self.width, self.height = width * self.factor, height * self.factor
        self.dark = random.random() < 0.3
        self.image = Image.new("RGB", (self.width, self.height), self.paper())
        self.pen = ImageDraw.Draw(self.image)
        self.alphabet = [_glyph(random) for _ in range(LETTERS)]
        self.slant = random.choice([0.0, 0.0, 0.2])

    def pixels(self) -> np.ndarray:
        return np.asarray(self.image.resize(self.size, Image.Resampling.BOX))

    def between(self, low: float, high: float) -> float:
        return float(self.random.uniform(low, high))

    def length(self, low: float, high: float) -> int:
        """A length in pixels of the finished picture, as one of this canvas."""
        return round(self.between(low, high) * self.factor)

    def colour(self, saturation: float, value: float) -> Colour:
        red, green, blue = (round(255 * part) for part in colorsys.hsv_to_rgb(self.between(0, 1), saturation, value))
        return red, green, blue

    def vivid(self) -> Colour:
        """Pure colours half of the time."""
        if self.random.random() < 0.5:
            red, green, blue = (255 * self.random.integers(0, 2, 3)).tolist()
            return red, green, blue
        return self.colour(self.between(0.6, 1), self.between(0.4, 1))

    def paper(self) -> Colour:
        """White, grey or black half of the time."""
        saturation = self.between(0, 0.3) if self.random.random() < 0.5 else 0
        return self.colour(saturation, self.between(0, 0.2) if self.dark else self.between(0.85, 1))

    def ink(self) -> Colour:
        return self.colour(self.between(0, 0.8), self.between(0.7, 1) if self.dark else self.between(0, 0.4))

    def write(self, left: float, top: float, right: float, size: int, colour: Colour) -> None:
        """A line of words from `left` up to `right`, its letters `size` high."""
        thick = max(1, round(size * 0.12))
        while left < right - size:
            for _ in range(int(self.random.integers(1, 9))):
                for stroke in self.alphabet[int(self.random.integers(LETTERS))]:
                    points = [(left + size * (0.6 * x + self.slant * (1 - y)), top + size * y) for x, y in stroke]
                    self.pen.line(points, colour, thick)
                left += size * 0.8
                if left >= right - size:
                    return
            left += size * 0.6


def _glyph(random: np.random.Generator) -> Glyph:
    """Two or three strokes between points of a grid, in 0..1."""
    columns, rows = GRID
    strokes: Glyph = []
    for _ in range(int(random.integers(2, 4))):
        places = random.integers((0, 0), GRID, (int(random.integers(2, 4)), 2)).tolist()
        strokes.append([(column / (columns - 1), row / (rows - 1)) for column, row in places])
    return strokes


def _text(canvas: Canvas) -> None:
    """A page in one or two columns, with a heading."""
    size, margin = canvas.length(6, 22), canvas.length(3, 16)
    columns, ink = int(canvas.random.integers(1, 3)), canvas.ink()
    canvas.write(margin, margin, canvas.width - margin, round(1.5 * size), canvas.ink())
    for column in range(columns):
        left = margin + column * canvas.width / columns
        top = margin + 2.5 * size
        while top < canvas.height:
            canvas.write(left, top, canvas.width * (column + canvas.between(0.6, 1)) / columns - margin, size, ink)
            top += 1.6 * size


def _interface(canvas: Canvas) -> None:
    """Windows with a title bar, and rows of a label, a button or a field."""
    for _ in range(int(canvas.random.integers(1, 4))):
        left, top = canvas.between(-0.2, 0.5) * canvas.width, canvas.between(-0.1, 0.5) * canvas.height
        right, bottom = left + canvas.between(0.5, 1) * canvas.width, top + canvas.between(0.5, 1) * canvas.height
        size = canvas.length(7, 13)
        canvas.pen.rectangle((left, top, right, bottom), canvas.paper(), canvas.ink(), canvas.factor)
        canvas.pen.rectangle((left, top, right, top + 2 * size), canvas.vivid())
        canvas.write(left + size, top + size / 2, (left + right) / 2, size, canvas.paper())
        for row in np.arange(top + 3 * size, bottom - 2 * size, 2.2 * size).tolist():
            middle = left + canvas.between(0.4, 0.6) * (right - left)
            canvas.write(left + size, row, middle, size, canvas.ink())
            fill = canvas.vivid() if canvas.random.random() < 0.3 else canvas.paper()
            box = (middle + size, row - size / 3, max(right - size, middle + 2 * size), row + 1.3 * size)
            canvas.pen.rounded_rectangle(box, canvas.length(0, 4), fill, canvas.ink(), canvas.factor)


def _plot(canvas: Canvas) -> None:
    """Axes, a grid, and curves, bars or points."""
    left, bottom = canvas.length(8, 30), canvas.height - canvas.length(8, 30)
    width, size = canvas.width - left, canvas.length(6, 10)
    for at in np.linspace(0, bottom, int(canvas.random.integers(3, 9))).tolist():
        canvas.pen.line((left, at, canvas.width, at), canvas.colour(0, 0.3 if canvas.dark else 0.85), 1)
    for _ in range(int(canvas.random.integers(1, 5))):
        count, colour, kind = int(canvas.random.integers(8, 80)), canvas.vivid(), canvas.random.integers(3)
        walk = np.cumsum(canvas.random.normal(0, 1, count))
        heights = (walk - walk.min()) / (np.ptp(walk) + 1e-6) * canvas.between(0.3, 0.9) * bottom
        places = left + width * (np.arange(count) + 0.5) / count
        points: list[Point] = [(float(x), float(bottom - y)) for x, y in zip(places, heights, strict=True)]
        if kind == 0:
            canvas.pen.line(points, colour, canvas.length(1, 3))
        for x, y in points if kind else []:
            half = 0.35 * width / count if kind == 1 else 1.5 * canvas.factor
            canvas.pen.rectangle((x - half, y, x + half, bottom if kind == 1 else y + 2 * half), colour)
    canvas.pen.line((left, 0, left, bottom, canvas.width, bottom), canvas.ink(), canvas.factor)
    canvas.write(left, bottom + canvas.factor * 3, canvas.width, size, canvas.ink())


def _colours(canvas: Canvas) -> None:
    """Flat shapes of saturated colours, or a run from one to another below them."""
    if canvas.random.random() < 0.5:
        ramp = np.linspace(0, 1, canvas.width)[None, :, None] * np.ones((canvas.height, 1, 1))
        run = np.array(canvas.vivid()) * (1 - ramp) + np.array(canvas.vivid()) * ramp
        canvas.image.paste(Image.fromarray(run.round().astype(np.uint8)))
    for _ in range(int(canvas.random.integers(2, 14))):
        x, y = canvas.between(-0.1, 0.9) * canvas.width, canvas.between(-0.1, 0.9) * canvas.height
        box = (x, y, x + canvas.length(8, 120), y + canvas.length(8, 120))
        shape = canvas.random.integers(3)
        if shape == 0:
            canvas.pen.rectangle(box, canvas.vivid())
        elif shape == 1:
            canvas.pen.ellipse(box, canvas.vivid())
        else:
            canvas.pen.polygon([box[:2], box[2:], (canvas.between(0, canvas.width), y)], canvas.vivid())


KINDS: tuple[Callable[[Canvas], None], ...] = (_text, _interface, _plot, _colours)
