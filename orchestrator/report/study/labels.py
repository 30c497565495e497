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


def place(axes: Axes, labels: Sequence[Label], points: Sequence[tuple[float, float]]) -> None:
    """Writes the labels, each where it costs least: little overlap with earlier ones, few points covered, close by.

    The axes must have their final place: nothing may be laid out again after this. Bold labels choose first.
    """
    pixel = axes.figure.dpi / 72
    dots = axes.transData.transform(points) if points else np.empty((0, 2))
    taken: list[Box] = []
    left, low, right, high = axes.get_window_extent().extents
    bounds = (left, low, right, high)
    for label in sorted(labels, key=lambda one: not one.bold):
        anchor = axes.transData.transform((label.x, label.y))
        note = _write(axes, label)
        extent = Text.get_window_extent(note)  # of the text alone, without its line
        radius, offset, box = _best(anchor, (extent.width, extent.height), pixel, taken, dots, bounds)
        note.set_position(offset)
        if note.arrow_patch is not None:
            note.arrow_patch.set_visible(radius > RADII[1])
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
    anchor: Floats, size: tuple[float, float], pixel: float, taken: Sequence[Box], dots: Floats, bounds: Box
) -> tuple[float, tuple[float, float], Box]:
    """Returns how far a label stands off and the offset of its centre in points, and its box in pixels."""
    choices = []
    for radius, (right, up) in product(RADII, DIRECTIONS):
        centre = (right * (radius + size[0] / pixel / 2), up * (radius + size[1] / pixel / 2))
        x, y = anchor[0] + centre[0] * pixel, anchor[1] + centre[1] * pixel
        box = (x - size[0] / 2, y - size[1] / 2, x + size[0] / 2, y + size[1] / 2)
        choices.append((_cost(box, taken, dots, bounds, pixel) + DISTANCE * radius, radius, centre, box))
    _, radius, centre, box = min(choices, key=lambda choice: choice[0])
    return radius, centre, box


def _cost(box: Box, taken: Sequence[Box], dots: Floats, bounds: Box, pixel: float) -> float:
    """How much a box hides, in terms of its own width and height in points."""
    room = CLEARANCE * pixel
    low_x, low_y, high_x, high_y = box[0] - room, box[1] - room, box[2] + room, box[3] + room
    overlap = sum(
        max(0.0, min(high_x, other[2]) - max(low_x, other[0])) * max(0.0, min(high_y, other[3]) - max(low_y, other[1]))
        for other in taken
    )
    outside = max(0.0, bounds[0] - low_x, high_x - bounds[2]) + max(0.0, bounds[1] - low_y, high_y - bounds[3])
    margin = POINT * pixel
    covered = (
        (dots[:, 0] > low_x - margin)
        & (dots[:, 0] < high_x + margin)
        & (dots[:, 1] > low_y - margin)
        & (dots[:, 1] < high_y + margin)
    )
    return OVERLAP * overlap / pixel**2 + OUTSIDE * outside / pixel + COVERED * float(covered.sum())
