"""Means: rho by epochs and sample ratio (Fig. 4), good models retained by rho (Fig. 9)."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.figure import Figure
from matplotlib.ticker import MaxNLocator

from orchestrator.report import style
from orchestrator.report.study.numbers import Means
from store.records.studies import Study
from strategies.proxy_study.statistics import BIN

BACKGROUND = {"facecolor": "white", "edgecolor": "none", "alpha": 0.85, "pad": 0.6}
HATCHES = ("", "//", "..", "xx")


def means(found: Means) -> Figure:
    """Draws the mean rho over the epochs, a line for each sample ratio (Fig. 4)."""
    figure = style.figure(8, 4.4)
    axes = figure.add_subplot()
    for number, ratio in enumerate(found.ratios):
        line = found.line(ratio)
        colour, marker = style.look(number)
        epochs = [mean.epochs for mean in line]
        axes.plot(
            epochs,
            [mean.mean for mean in line],
            color=colour,
            marker=marker,
            markersize=7,
            label=f"s = {ratio:g}",
            zorder=3,
        )
        for rhos in zip(*(mean.rhos for mean in line), strict=True) if found.even(ratio) else ():
            axes.plot(epochs, rhos, color=colour, linewidth=0.7, alpha=0.4, zorder=1)
    axes.set(xlabel="epochs (e)", ylabel="mean rho", xticks=sorted({mean.epochs for mean in found.means}))
    style.plain(axes)
    style.legend(axes)
    return figure


def retained(study: Study) -> Figure:
    """Draws how many good models the settings of each bin retain, and what a random order would (Fig. 9)."""
    figure = style.figure(max(6.0, 1.1 * len(study.bins) + 2), 4.4)
    axes = figure.add_subplot()
    width = 0.8 / len(study.retained_by_chance)
    for number, among in enumerate(sorted(study.retained_by_chance, key=int)):
        chance = study.retained_by_chance[among]
        colour, _ = style.look(number)
        places = [
            index + (number - (len(study.retained_by_chance) - 1) / 2) * width for index in range(len(study.bins))
        ]
        heights = [each.retained[among] for each in study.bins]
        hatch = HATCHES[number % len(HATCHES)]
        bars = axes.bar(places, heights, width * 0.94, color=colour, hatch=hatch, edgecolor="white")
        bars.set_label(f"among the {among} best")
        axes.bar_label(bars, [f"{height:.1f}" for height in heights], fontsize=8, padding=1.5, bbox=BACKGROUND)
        axes.axhline(chance, color=colour, linewidth=1.2, linestyle="--", label=f"random order: {chance:.1f}")
    names = [f"{each.lower:.1f} to {each.lower + BIN:.1f}\nn = {each.settings}" for each in study.bins]
    axes.set(xlabel="rho of the settings (n of them)", ylabel=f"of the {study.good} best networks, retained")
    axes.set_xticks(range(len(names)), names)
    axes.set_ylim(0, study.good * 1.08)
    style.plain(axes)
    axes.grid(visible=False, axis="x")
    style.legend(axes)
    return figure


def settled(counts: Sequence[float], rhos: Sequence[float | None], name: str | None) -> Figure:
    """Draws the recommended setting's rho over the number of networks."""
    figure = style.figure(8, 3.4)
    axes = figure.add_subplot()
    values = [float("nan") if rho is None else rho for rho in rhos]
    axes.plot(counts, values, color=style.GREEN, marker="o", markersize=3.5)
    axes.set(xlabel="networks", ylabel=f"rho of {name}")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.plain(axes)
    return figure
