"""Rho over two factors: bars in three dimensions as the paper has them, and the same as a map with its values."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import product
from math import cos, radians, sin
from statistics import fmean
from typing import TYPE_CHECKING, Any, cast

from matplotlib import colormaps
from matplotlib.axes import Axes
from matplotlib.colors import Normalize
from matplotlib.figure import Figure
from matplotlib.patches import Rectangle

from orchestrator.report import style
from orchestrator.report.study.grid import FACTORS, Plane, told

if TYPE_CHECKING:
    from mpl_toolkits.mplot3d.axes3d import Axes3D  # type: ignore[import-untyped]

HEIGHT = 4.8
"""Of a row, in inches."""
ELEVATION, AZIMUTHS = 28, (-55, -125, 35, 145)
BAR = 0.62
LEAST_SPAN = 0.3
"""Of rho from the darkest to the brightest colour, so that small differences do not look large."""
LONG = 3
"""A map up to so many times as wide as it is high, or the other way round, has square cells."""
PALETTE = "cividis"
DARK = 0.5
"""Cells under this share of the colours' span get white numbers."""


def drawn(planes: Sequence[Plane]) -> Figure:
    """Draws each plane as bars and as a map, a row for each; placed by hand, as no layout knows the bars' extent."""
    figure = style.figure(11, HEIGHT * len(planes))
    figure.set_layout_engine("none")
    scale, height = _scale(planes), 1 / len(planes)
    for row, plane in enumerate(planes):
        base = 1 - (row + 1) * height
        bars = cast("Axes3D", figure.add_axes((0.0, base, 0.54, height), projection="3d"))
        _bars(bars, plane, scale)
        _map(figure.add_axes((0.61, base + 0.13 * height, 0.34, 0.7 * height)), plane, scale)
    return figure


def _scale(planes: Sequence[Plane]) -> Normalize:
    rhos = [setting.rho or 0.0 for plane in planes for setting in plane.settings]
    low, high = min(rhos), max(rhos)
    return Normalize(low, max(high, low + LEAST_SPAN))


def _colour(scale: Normalize, rho: float) -> Any:
    return colormaps[PALETTE](float(scale(rho)))


def _bars(axes: Axes3D, plane: Plane, scale: Normalize) -> None:
    """Bars from far to near, each drawn whole: matplotlib's own order of their faces lets far ones shine through."""
    axes.computed_zorder = False
    azimuth = _azimuth(plane)
    for order, (column, row) in enumerate(sorted(_places(plane), key=lambda place: _nearness(place, azimuth))):
        rho = plane.rho(plane.columns[column], plane.rows[row]) or 0.0
        base = (column - BAR / 2, row - BAR / 2, min(rho, 0.0))
        axes.bar3d(*base, BAR, BAR, abs(rho), color=_colour(scale, rho), shade=True, zorder=order + 1)
    axes.view_init(ELEVATION, azimuth)
    _ticks(axes, plane, plane.along_y, plane.along_x)
    axes.set_zlabel("rho", labelpad=2)
    axes.tick_params(labelsize=8, pad=3)
    axes.xaxis.labelpad = axes.yaxis.labelpad = 16
    axes.set_box_aspect((1, 1, 0.72), zoom=0.92)


def _places(plane: Plane) -> list[tuple[int, int]]:
    """Column and row of every setting, by their numbers."""
    whole = product(range(len(plane.columns)), range(len(plane.rows)))
    return [(c, r) for c, r in whole if (plane.columns[c], plane.rows[r]) in plane.cells]


def _nearness(place: tuple[int, int], azimuth: float) -> float:
    return place[0] * cos(radians(azimuth)) + place[1] * sin(radians(azimuth))


def _azimuth(plane: Plane) -> float:
    """The side from which the lower bars stand before the higher ones."""
    rhos = {place: plane.rho(plane.columns[place[0]], plane.rows[place[1]]) or 0.0 for place in _places(plane)}
    return min(
        AZIMUTHS,
        key=lambda azimuth: (
            sum(rho * _nearness(place, azimuth) for place, rho in rhos.items())
            - sum(fmean(rhos.values()) * _nearness(place, azimuth) for place in rhos)
        ),
    )


def _map(axes: Axes, plane: Plane, scale: Normalize) -> None:
    """A square for each setting with its rho, and the entropies beside the lines that they belong to."""
    columns, rows = len(plane.columns), len(plane.rows)
    for (column, x), (row, y) in product(enumerate(plane.columns), enumerate(plane.rows)):
        _square(axes, (column, row), plane.rho(x, y), scale)
    beside: dict[str, Any] = {"textcoords": "offset points", "fontsize": 9, "annotation_clip": False}
    for row, y in enumerate(plane.rows):
        axes.annotate(_entropy(plane.along_x[y]), (columns - 0.5, row), xytext=(6, 0), va="center", ha="left", **beside)
    for column, x in enumerate(plane.columns):
        axes.annotate(
            _entropy(plane.along_y[x]), (column, rows - 0.5), xytext=(0, 5), va="bottom", ha="center", **beside
        )
    _ticks(axes, plane)
    axes.set(xlim=(-0.5, columns - 0.5), ylim=(-0.5, rows - 0.5))
    axes.set_aspect("equal" if max(columns, rows) <= LONG * min(columns, rows) else "auto")
    axes.set_title(f"rho at {told(plane.fixed)}\noutside: entropy of the line", fontsize=10, pad=20)
    axes.tick_params(length=0)
    axes.spines[:].set_visible(False)


def _square(axes: Axes, at: tuple[int, int], rho: float | None, scale: Normalize) -> None:
    corner = (at[0] - 0.5, at[1] - 0.5)
    if rho is None:
        axes.add_patch(Rectangle(corner, 1, 1, facecolor="white", edgecolor="#CCCCCC", hatch="///", linewidth=0.5))
        return
    axes.add_patch(Rectangle(corner, 1, 1, facecolor=_colour(scale, rho), edgecolor="white", linewidth=1.5))
    colour = "white" if scale(rho) < DARK else style.BLACK
    axes.text(*at, f"{rho:.2f}", ha="center", va="center", fontsize=10, color=colour)


def _entropy(value: float | None) -> str:
    return "" if value is None else f"{value:+.1f}"


def _ticks(
    axes: Axes,
    plane: Plane,
    under_x: Mapping[float, float | None] | None = None,
    under_y: Mapping[float, float | None] | None = None,
) -> None:
    """Names the levels, and under each the entropy of the line that starts there, where they are given."""
    for letter, levels, name, under in (
        (plane.x, plane.columns, "x", under_x or {}),
        (plane.y, plane.rows, "y", under_y or {}),
    ):
        factor = FACTORS[letter]
        texts = ["\n".join(filter(None, (factor.shown(level), _entropy(under.get(level))))) for level in levels]
        label = f"{factor.name} ({letter})"
        axes.set(**{f"{name}ticks": range(len(levels)), f"{name}ticklabels": texts, f"{name}label": label})
