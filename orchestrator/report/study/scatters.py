"""Points: the networks' ranks (Fig. 3), overfitting (Fig. 7), consistency against acceleration (Figs. 8 and A3)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter, LogLocator, NullFormatter

from orchestrator.report import style
from orchestrator.report.study import labels
from orchestrator.report.study.grid import FACTORS
from orchestrator.report.study.numbers import Gap, Point, Ranks
from store.records.studies import Study

NARROW = 300.0
"""Accelerations that differ by less have more ticks than the powers of ten."""
FEW = 14
"""Up to so many settings are all named in the scatter."""


def ranks(low: Ranks, high: Ranks) -> Figure:
    """Draws the ranks in two settings side by side (Fig. 3)."""
    figure = style.figure(9, 4.9)
    figure.set_layout_engine("compressed")
    panels = figure.subplots(1, 2, sharex=True, sharey=True)
    for axes, shown in zip(panels, (low, high), strict=True):
        count = len(shown.networks)
        axes.plot([1, count], [1, count], color=style.GREY, linewidth=1, linestyle="--")
        axes.scatter(shown.original, shown.reduced, s=26, color=style.BLUE, edgecolor="white", linewidth=0.5, zorder=3)
        axes.set(xlabel="rank in the original setting", aspect="equal")
        axes.set_title(f"{shown.setting.name}: rho = {shown.setting.rho:.2f}", fontsize=11)
        style.plain(axes)
    panels[0].set_ylabel("rank in the reduced setting")
    return figure


def gaps(found: Sequence[Gap]) -> Figure:
    """Draws rho over the gap between training and validation accuracy, a mark for each width c (Fig. 7)."""
    figure = style.figure(8, 4.4)
    axes = figure.add_subplot()
    for number, channels in enumerate(FACTORS["c"].of(gap.setting for gap in found)):
        group = [gap for gap in found if gap.setting.proxy.channels == channels]
        colour, marker = style.look(number)
        places = [gap.points for gap in group], [gap.rho for gap in group]
        axes.scatter(*places, s=24, color=colour, marker=marker, label=f"c = {channels:g}")
    axes.set(xlabel="training less validation accuracy, percentage points", ylabel="rho")
    style.plain(axes)
    style.legend(axes)
    return figure


def consistency(study: Study, found: Sequence[Point], *, tolerant: bool) -> Figure:
    """Draws every setting's rho over its acceleration, and names those that stand out (Figs. 8 and A3)."""
    figure = style.figure(10, 5.6)
    axes = figure.add_subplot()
    best = {name for _, name in study.groups}
    chosen = [point for point in found if point.setting.name == study.recommended]
    good = [point for point in found if point.setting.name in best and point not in chosen]
    beside = [point for point in found if not point.setting.families and point not in chosen and point not in good]
    rest = [point for point in found if point not in chosen and point not in good and point not in beside]
    _points(axes, rest, style.BLUE, "o", 20, "a setting")
    _points(axes, beside, style.PURPLE, "D", 32, "beside the grid")
    _points(axes, good, style.ORANGE, "s", 40, "best of its group of acceleration")
    _points(axes, chosen, style.GREEN, "*", 170, "recommended")
    for edge, _ in study.groups:
        axes.axvline(edge, color="#D5D5D5", linewidth=0.8, linestyle=":", zorder=0)
    axes.set(xscale="log", xlabel="acceleration: cost of the original setting over this one's")
    axes.set_ylabel("tolerant rho" if tolerant else "rho")
    narrow = max(p.acceleration for p in found) < NARROW * min(p.acceleration for p in found)
    axes.xaxis.set_major_locator(LogLocator(subs=(1, 2, 5) if narrow else (1,)))
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:,.0f}" if value >= 100 else f"{value:.3g}"))
    axes.xaxis.set_minor_formatter(NullFormatter())
    axes.margins(x=0.06, y=0.08)
    style.plain(axes)
    style.legend(axes)
    _names(figure, axes, found, [*chosen, *good, *beside] if len(found) > FEW else found, study.recommended)
    return figure


def _points(axes: Axes, found: Sequence[Point], colour: str, marker: str, size: float, label: str) -> None:
    if not found:
        return
    for point in found:
        if point.interval is not None:
            axes.plot([point.acceleration] * 2, point.interval, color=colour, linewidth=0.8, alpha=0.3, zorder=1)
    places = [point.acceleration for point in found], [point.value for point in found]
    axes.scatter(*places, s=size, color=colour, marker=marker, label=label, edgecolor="white", linewidth=0.5, zorder=3)


def _names(figure: Figure, axes: Axes, found: Sequence[Point], named: Sequence[Point], chosen: str | None) -> None:
    """Lays the figure out for good, then writes the names."""
    figure.draw_without_rendering()
    figure.set_layout_engine("none")
    texts = [
        labels.Label(point.acceleration, point.value, point.setting.name, bold=point.setting.name == chosen)
        for point in named
    ]
    labels.place(axes, texts, [(point.acceleration, point.value) for point in found])
