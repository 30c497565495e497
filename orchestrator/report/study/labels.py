"""Puts names beside points so that they hide each other and the points as little as can be."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import product

import numpy as np
import numpy.typing as npt
from matplotlib.axes import Axes
from matplotlib.text import Annotation, Text

from orchestrator.report import style

SIZE = 8.0
RADII = (9.0, 16.0, 26.0, 40.0, 56.0)
DIRECTIONS = ((1, 0), (0.7, 0.7), (0.7, -0.7), (-1, 0), (-0.7, 0.7), (-0.7, -0.7), (0, 1), (0, -1))
OVERLAP, OUTSIDE, COVERED, DISTANCE = 4.0, 8.0, 14.0, 0.35
MISTAKEN, NEAR = 40.0, 14.0
POINT = 3.0
CLEARANCE = 1.5

Box = tuple[float, float, float, float]
Floats = npt.NDArray[np.float64]


@dataclass(frozen=True, slots=True)
class Label:
    """A text for the point at (x, y), in the axes' data."""

    x: float
    y: float
    text: str
    bold: bool = False


@dataclass(frozen=True, slots=True)
class _Field:
    """What a label should keep clear of, in pixels: all points, those that have names, and the axes' edges."""

    dots: Floats
    named: Floats
    bounds: Box
    pixel: float


def place(axes: Axes, labels: Sequence[Label], points: Sequence[tuple[float, float]]) -> None:
    """Writes the labels, each where it costs least: little overlap with earlier ones, few points covered, close by.

    The axes must have their final place: nothing may be laid out again after this. Bold labels choose first.
    """
    if not labels:
        return
    left, low, right, high = axes.get_window_extent().extents
    named = axes.transData.transform([(label.x, label.y) for label in labels])
    field = _Field(axes.transData.transform(points), named, (left, low, right, high), axes.figure.dpi / 72)
    taken: list[Box] = []
    for label, anchor in sorted(zip(labels, named, strict=True), key=lambda pair: not pair[0].bold):
        note = _write(axes, label)
        extent = Text.get_window_extent(note)  # of the text alone, without its line
        radius, offset, box = _best(anchor, (extent.width, extent.height), taken, field)
        note.set_position(offset)
        if note.arrow_patch is not None:
            note.arrow_patch.set_visible(radius > RADII[0])
        taken.append(box)


def _write(axes: Axes, label: Label) -> Annotation:
    return axes.annotate(
        label.text,
        (label.x, label.y),
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=SIZE,
        fontweight="bold" if label.bold else "normal",
        color=style.BLACK,
        zorder=6,
        arrowprops={"arrowstyle": "-", "color": "#777777", "linewidth": 0.6, "shrinkA": 1, "shrinkB": 2},
    )


def _best(
    anchor: Floats, size: tuple[float, float], taken: Sequence[Box], field: _Field
) -> tuple[float, tuple[float, float], Box]:
    """Returns how far a label stands off and the offset of its centre in points, and its box in pixels."""
    choices, pixel = [], field.pixel
    for radius, (right, up) in product(RADII, DIRECTIONS):
        centre = (right * (radius + size[0] / pixel / 2), up * (radius + size[1] / pixel / 2))
        x, y = anchor[0] + centre[0] * pixel, anchor[1] + centre[1] * pixel
        box = (x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)
        choices.append((_cost(box, anchor, taken, field) + DISTANCE * radius, radius, centre, box))
    _, radius, centre, box = min(choices, key=lambda choice: choice[0])
    return radius, centre, box


def _cost(box: Box, anchor: Floats, taken: Sequence[Box], field: _Field) -> float:
    """How much a box hides, and how easily it is taken for another point's name, in terms of points of length."""
    room, bounds = CLEARANCE * field.pixel, field.bounds
    low_x, low_y, high_x, high_y = wide = box[0] - room, box[1] - room, box[2] + room, box[3] + room
    overlap = sum(
        max(0.0, min(high_x, other[2]) - max(low_x, other[0])) * max(0.0, min(high_y, other[3]) - max(low_y, other[1]))
        for other in taken
    )
    outside = max(0.0, bounds[0] - low_x, high_x - bounds[2]) + max(0.0, bounds[1] - low_y, high_y - bounds[3])
    others = field.named[np.any(field.named != anchor, axis=1)]
    hidden = COVERED * _within(field.dots, wide, POINT * field.pixel) + MISTAKEN * _within(
        others, box, NEAR * field.pixel
    )
    return OVERLAP * overlap / field.pixel**2 + OUTSIDE * outside / field.pixel + hidden


def _within(dots: Floats, box: Box, margin: float) -> int:
    """How many points lie in a box or no farther than a margin from it."""
    right_of, above = dots[:, 0] > box[0] - margin, dots[:, 1] > box[1] - margin
    return int(np.sum(right_of & above & (dots[:, 0] < box[2] + margin) & (dots[:, 1] < box[3] + margin)))
