"""Accuracy against cost of the trained samples, with the target that the reward asks for (FNAS, Eq. 2)."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

from matplotlib.figure import Figure
from matplotlib.ticker import FuncFormatter

from orchestrator import wording
from orchestrator.report import style
from orchestrator.report.agent import looks
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.views.samples import Sample, Samples

TITLE = "Accuracy and cost"


class Cost(NamedTuple):
    """What the spec counts as cost: its name, whether it is in milliseconds, and the target if there is one."""

    name: str
    milliseconds: bool
    target: float | None

    def told(self, value: float | None) -> str:
        """A cost in words: `0.312 M multiply-adds` or `4.20 ms`."""
        if value is None:
            return "-"
        return f"{value:.3g} ms" if self.milliseconds else f"{wording.amount(value)} {self.name}"


def against_accuracy(samples: Samples, cost: Cost) -> Shown | LeftOut:
    """Every trained sample by its cost and its accuracy, the one with the highest reward marked."""
    found = [one for one in samples.of("trained") if one.cost is not None and one.accuracy is not None]
    if not found:
        return LeftOut(TITLE, "no trained sample has an accuracy and a cost")
    rows = [[one.number, one.cost, one.accuracy, one.reward, one.individual] for one in found]
    headings = ("sample", cost.name.replace(" ", "_").replace("-", "_"), "accuracy", "reward", "individual")
    best = samples.best
    return Shown("costs", TITLE, _told(found, best, cost), lambda: _drawn(found, best, cost), headings, rows)


def _told(found: Sequence[Sample], best: Sample | None, cost: Cost) -> str:
    costs = [one.cost or 0.0 for one in found]
    text = (
        f"{wording.plural(len(found), 'trained sample')}, the later the lighter, from {cost.told(min(costs))} to "
        f"{cost.told(max(costs))}."
    )
    if cost.target is not None:
        within = sum(value <= cost.target for value in costs)
        text += f" Dashed: the target, {cost.told(cost.target)}, which {within:,} of them keep."
    if best is not None and best.accuracy is not None:
        text += (
            f" Star: the highest reward, {best.reward:.4f}, with {wording.accuracy(best.accuracy)} at "
            f"{cost.told(best.cost)}."
        )
    return text


def _drawn(found: Sequence[Sample], best: Sample | None, cost: Cost) -> Figure:
    figure = style.figure(8.5, 4.6)
    axes = figure.add_subplot()
    places = [one.cost for one in found], [100 * (one.accuracy or 0.0) for one in found]
    numbers = [one.number for one in found]
    look = {"c": numbers, "cmap": "cividis", "s": 22, "edgecolor": "white", "linewidth": 0.3}
    drawn = axes.scatter(*places, **look)  # type: ignore[arg-type]
    drawn.set_rasterized(len(found) > looks.MANY_POINTS)
    figure.colorbar(drawn, ax=axes, label="sample")
    if best is not None and best.cost is not None and best.accuracy is not None:
        at = [best.cost], [100 * best.accuracy]
        axes.scatter(*at, s=190, color=style.RED, marker="*", edgecolor="white", label="highest reward", zorder=5)
    if cost.target is not None:
        axes.axvline(cost.target, color=style.RED, linewidth=1.3, linestyle="--", label="target")
    axes.set(xlabel="latency, ms" if cost.milliseconds else cost.name, ylabel="validation accuracy, %")
    if not cost.milliseconds:
        axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: wording.amount(value)))
    style.plain(axes)
    style.legend(axes)
    return figure
