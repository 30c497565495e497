"""How the report's pictures look: colours that differ for every kind of sight, on white, so that they print."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.artist import Artist
from matplotlib.axes import Axes
from matplotlib.backends.backend_agg import FigureCanvasAgg
from matplotlib.figure import Figure

# Okabe and Ito's colours, told apart also by people who are colour-blind and in greys.
BLUE, ORANGE, GREEN, RED = "#0072B2", "#E69F00", "#009E73", "#D55E00"
PURPLE, SKY, BLACK, GREY = "#CC79A7", "#56B4E9", "#222222", "#9A9A9A"
SERIES = (BLUE, ORANGE, GREEN, PURPLE, RED, SKY)
MARKERS = ("o", "s", "^", "D", "v", "P")


def figure(width: float, height: float) -> Figure:
    """Returns an empty figure of so many inches, drawn without a display."""
    made = Figure(figsize=(width, height), layout="constrained", facecolor="white")
    FigureCanvasAgg(made)
    return made


def look(number: int) -> tuple[str, str]:
    """Returns the colour and the marker of a plot's series, so that it is known by more than its colour."""
    return SERIES[number % len(SERIES)], MARKERS[(number + number // len(SERIES)) % len(MARKERS)]


def plain(axes: Axes) -> None:
    """Leaves two spines and a faint grid."""
    axes.spines[["top", "right"]].set_visible(False)
    axes.grid(visible=True, color="#E4E4E4", linewidth=0.7)
    axes.set_axisbelow(True)


def legend(axes: Axes, handles: Sequence[Artist] | None = None) -> None:
    """Puts the legend above the plot, where it hides nothing."""
    shown = axes.get_legend_handles_labels()[0] if handles is None else handles
    axes.legend(handles=shown, frameon=False, ncols=6, loc="lower left", bbox_to_anchor=(0, 1.0))
