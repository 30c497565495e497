"""What `coldframe simulate --out` writes: searches and curves as CSV, and the regret against epochs as a plot."""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import Any

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator.report import style
from orchestrator.report.tables import comma_separated
from orchestrator.simulate.compare import Curve, regret_curve
from orchestrator.simulate.search import Simulated, Simulator

SEARCHES, CURVES, PLOT = "searches.csv", "regret.csv", "regret.png"
_DPI = 150


def write(folder: Path, simulators: Sequence[Simulator], runs: Sequence[Sequence[Simulated]]) -> list[str]:
    """Writes the files into a folder, made if it is not there, and returns their names.

    Args:
        folder: where to.
        simulators: one for each spec.
        runs: the searches of each.
    """
    folder.mkdir(parents=True, exist_ok=True)
    names = [simulator.plan.spec.name for simulator in simulators]
    curves = [regret_curve(some, one.benchmark.best) for one, some in zip(simulators, runs, strict=True)]
    (folder / SEARCHES).write_text(comma_separated(_SEARCHES, _rows(names, runs)), encoding="utf-8")
    (folder / CURVES).write_text(comma_separated(_CURVES, _points(names, curves)), encoding="utf-8")
    written = [SEARCHES, CURVES]
    figure = plot(names, curves, [len(some) for some in runs])
    if figure is not None:
        figure.savefig(folder / PLOT, dpi=_DPI)
        written.append(PLOT)
    return written


def plot(names: Sequence[str], curves: Sequence[Curve | None], searches: Sequence[int]) -> Figure | None:
    """Draws regret against epochs, a line with its 95 % band for each spec; None if there is no curve."""
    if not any(curves):
        return None
    figure = style.figure(8, 4.5)
    axes = figure.add_subplot()
    for number, (name, curve, count) in enumerate(zip(names, curves, searches, strict=True)):
        if curve is None:
            continue
        colour, _ = style.look(number)
        axes.plot(curve.epochs, 100 * curve.mean, color=colour, label=f"{name} ({count} searches)")
        axes.fill_between(curve.epochs, 100 * curve.low, 100 * curve.high, color=colour, alpha=0.2, linewidth=0)
    axes.set(xlabel="epochs trained", ylabel="regret of the network named so far, % points")
    _scale(axes, [curve for curve in curves if curve is not None])
    style.plain(axes)
    axes.legend(frameon=False)
    return figure


def _scale(axes: Axes, curves: Sequence[Curve]) -> None:
    """Makes the regret logarithmic, for it falls a hundredfold; where it reaches 0 it cannot be."""
    lowest = 100 * min(float(curve.mean.min()) for curve in curves)
    if lowest <= 0:
        axes.set_ylim(bottom=0)
        return
    axes.set_yscale("log")
    axes.set_ylim(bottom=lowest / 2)
    axes.yaxis.set_major_formatter("{x:g}")


_FIELDS = ("seed", "accuracy", "true_accuracy", "regret", "epochs", "seconds", "idle_share")
_SEARCHES = ("spec", *_FIELDS, "genes", "failure")
_CURVES = ("spec", "epochs", "mean_regret", "low", "high")


def _rows(names: Sequence[str], runs: Sequence[Sequence[Simulated]]) -> Iterable[Sequence[Any]]:
    for name, some in zip(names, runs, strict=True):
        for run in some:
            yield name, *(getattr(run, field) for field in _FIELDS), " ".join(map(str, run.genes or ())), run.failure


def _points(names: Sequence[str], curves: Sequence[Curve | None]) -> Iterable[Sequence[Any]]:
    for name, curve in zip(names, curves, strict=True):
        if curve is not None:
            for epochs, mean, low, high in zip(*curve, strict=True):
                yield name, int(epochs), float(mean), float(low), float(high)
