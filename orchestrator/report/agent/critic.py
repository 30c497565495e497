"""The uncertainty-aware critic (FNAS section 4.2): how far its two predictions hold, and what it is trusted with."""

from __future__ import annotations

from collections.abc import Sequence
from itertools import pairwise
from statistics import fmean, median
from typing import NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator import wording
from orchestrator.report import style
from orchestrator.report.agent import looks
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.views.samples import SOURCES, Iteration, Sample, Samples, Source
from strategies.proxy_study.statistics import paired, spearman

MOST_BINS, LEAST_IN_BIN = 10, 5
CALIBRATION, TRUST = "Calibration of the critic", "What the critic is trusted with"
NO_CRITIC = "the search has no critic"
FEW_BARS = 80


class Prediction(NamedTuple):
    """What the critic said of a sample before it was trained, and what came of it: V, R, U and |V - R|."""

    sample: int
    value: float
    reward: float
    uncertainty: float
    error: float


class Bin(NamedTuple):
    """Predictions with about the same U: its least and greatest, how many they are, the means of U and |V - R|."""

    low: float
    high: float
    samples: int
    uncertainty: float
    error: float


class Trust(NamedTuple):
    """One iteration: the threshold, the median U of its new samples, its samples by source, and discarded draws."""

    iteration: int
    threshold: float | None
    median: float | None
    counts: dict[Source, int]
    discarded: int | None

    def share(self, source: Source) -> float:
        """How many of the iteration's samples came from there, in [0, 1]."""
        return self.counts[source] / sum(self.counts.values())


def used(samples: Samples) -> bool:
    """Whether the search has a critic: without one all its predictions are 0 or missing."""
    said = any(one.uncertainty for one in samples.all) or any(one.error is not None for one in samples.all)
    return said or any(one.threshold is not None for one in samples.iterations)


def predictions(samples: Samples) -> list[Prediction]:
    """Returns the trained samples whose rewards were new to the critic, once anything could be trusted.

    Before, it had hardly learnt; and without a threshold nobody relies on what it says.
    """
    trusting = {one.number for one in samples.iterations if one.threshold is not None}
    return [
        Prediction(one.number, one.value, one.reward, one.uncertainty, one.error)
        for one in samples.of("trained")
        if one.value is not None
        and one.reward is not None
        and one.uncertainty is not None
        and one.error is not None
        and one.iteration in trusting
    ]


def bins(found: Sequence[Prediction]) -> list[Bin]:
    """Returns up to ten bins by ascending U, of as equal numbers of predictions as can be and five or more in each."""
    ordered = sorted(found, key=lambda one: one.uncertainty)
    count = min(MOST_BINS, len(ordered) // LEAST_IN_BIN)
    edges = [round(place * len(ordered) / count) for place in range(count + 1)] if count > 1 else []
    groups = [ordered[low:high] for low, high in pairwise(edges)]
    return [
        Bin(
            group[0].uncertainty,
            group[-1].uncertainty,
            len(group),
            fmean(one.uncertainty for one in group),
            fmean(one.error for one in group),
        )
        for group in groups
    ]


def trusts(samples: Samples) -> list[Trust]:
    """Returns each iteration with the samples that the agent learnt from in it."""
    rows = {one.number: one for one in samples.iterations}
    groups: dict[int, list[Sample]] = {}
    for sample in samples.all:
        groups.setdefault(sample.iteration, []).append(sample)
    return [_trust_of(number, group, rows.get(number)) for number, group in sorted(groups.items())]


def _trust_of(number: int, group: Sequence[Sample], row: Iteration | None) -> Trust:
    fresh = [one.uncertainty for one in group if one.source != "exploited" and one.uncertainty is not None]
    counts = {source: sum(one.source == source for one in group) for source in SOURCES}
    threshold, discarded = (row.threshold, row.discarded) if row else (None, None)
    return Trust(number, threshold, median(fresh) if fresh else None, counts, discarded)


def calibration(samples: Samples) -> Shown | LeftOut:
    """U against |V - R|, and V against R, of trained samples: predicted before the critic learnt from them."""
    if not used(samples):
        return LeftOut(CALIBRATION, NO_CRITIC)
    found = predictions(samples)
    if len(found) < 2:
        return LeftOut(CALIBRATION, "there are not two trained samples with a prediction that could be trusted")
    rows = [[*one] for one in bins(found)]
    headings = ("uncertainty_from", "uncertainty_to", "samples", "mean_uncertainty", "mean_error")
    return Shown("calibration", CALIBRATION, _told(found), lambda: _drawn(found), headings, rows)


def trust(samples: Samples) -> Shown | LeftOut:
    """The threshold, and how many samples of each iteration were trained."""
    if not used(samples):
        return LeftOut(TRUST, NO_CRITIC)
    found = trusts(samples)
    rows = [
        [one.iteration, one.threshold, one.median, *(one.counts[source] for source in SOURCES), one.discarded]
        for one in found
    ]
    headings = ("iteration", "threshold", "median_uncertainty", *SOURCES, "discarded")
    return Shown("trust", TRUST, _trusted(found), lambda: _trust(found), headings, rows)


def _told(found: Sequence[Prediction]) -> str:
    text = (
        f"{wording.plural(len(found), 'trained sample')}, with what the critic predicted before it learnt from them; "
        "those from before anything could be trusted are left out. Left: how uncertain it was (U) and how wrong "
        "(|V - R|); on the dashed line both are equal."
    )
    rho = spearman(paired([one.uncertainty for one in found], [one.error for one in found]))
    text += f" Spearman's coefficient of the two is {rho:.2f}." if rho is not None else ""
    if groups := bins(found):
        low, high = groups[0], groups[-1]
        text += (
            f" Orange: means of {len(groups)} bins of about {low.samples} samples; where U is lowest the mean error is "
            f"{low.error:.4f}, where it is highest {high.error:.4f}."
        )
    mean = fmean(one.error for one in found)
    text += f" Right: predicted (V) and real rewards (R); the mean of |V - R| is {mean:.4f}"
    rho = spearman(paired([one.value for one in found], [one.reward for one in found]))
    return text + (f", Spearman's coefficient {rho:.2f}." if rho is not None else ".")


def _trusted(found: Sequence[Trust]) -> str:
    new = sum(one.counts["trained"] + one.counts["trusted"] for one in found)
    trained = sum(one.counts["trained"] for one in found)
    text = (
        f"For each of {wording.plural(len(found), 'iteration')}: above, the threshold, and the median of U of the "
        "samples that were new in it; a sample with a larger U is trained. Below, where its samples' rewards came "
        f"from. Of {wording.plural(new, 'new sample')} {trained:,} were trained ({100 * trained / max(new, 1):.1f} %)"
    )
    discarded = [one.discarded for one in found if one.discarded is not None]
    return text + (f"; {wording.plural(sum(discarded), 'further trusted draw')} thrown away." if discarded else ".")


def _drawn(found: Sequence[Prediction]) -> Figure:
    figure = style.figure(9.5, 4.4)
    left, right = figure.subplots(1, 2)
    _scatter(left, [one.uncertainty for one in found], [one.error for one in found])
    _scatter(right, [one.reward for one in found], [one.value for one in found])
    if groups := bins(found):
        means = [one.uncertainty for one in groups], [one.error for one in groups]
        left.plot(*means, color=style.ORANGE, marker="s", markersize=6, linewidth=1.6, label="means of bins", zorder=4)
    left.set(xlabel="predicted error U", ylabel="error |V - R|")
    left.set_xlim(left=min(0.0, min(one.uncertainty for one in found)))
    left.set_ylim(bottom=0.0)
    right.set(xlabel="reward R", ylabel="predicted reward V")
    for axes in (left, right):
        style.plain(axes)
        style.legend(axes)
    return figure


def _scatter(axes: Axes, xs: Sequence[float], ys: Sequence[float]) -> None:
    """Points, and the line on which both are equal, as far as the points go."""
    low, high = max(min(xs), min(ys)), min(max(xs), max(ys))
    if low < high:
        axes.plot([low, high], [low, high], color=style.GREY, linewidth=1, linestyle="--", label="equal", zorder=1)
    drawn = axes.scatter(xs, ys, s=16, color=style.BLUE, alpha=0.6, edgecolor="white", linewidth=0.3, zorder=3)
    drawn.set_rasterized(len(xs) > looks.MANY_POINTS)


def _trust(found: Sequence[Trust]) -> Figure:
    figure = style.figure(9, 4.8)
    above, below = figure.subplots(2, 1, sharex=True)
    _follow(above, [(one.iteration, one.median) for one in found], style.SKY, "median U of new samples", 1.0)
    _follow(above, [(one.iteration, one.threshold) for one in found], style.RED, "threshold", 1.8)
    above.set(ylabel="predicted error U")
    numbers = [one.iteration for one in found]
    bottom = [0.0] * len(found)
    edge = "white" if len(found) <= FEW_BARS else "none"
    for source in (source for source in SOURCES if any(one.counts[source] for one in found)):
        heights = [one.share(source) for one in found]
        look = {"color": looks.COLOURS[source], "hatch": looks.HATCHES[source], "edgecolor": edge, "linewidth": 0.4}
        below.bar(numbers, heights, 0.92, bottom, label=source, **look)
        bottom = [low + height for low, height in zip(bottom, heights, strict=True)]
    below.set(xlabel="iteration", ylabel="share of samples", ylim=(0, 1))
    looks.counting(below)
    for axes in (above, below):
        style.plain(axes)
        style.legend(axes)
    return figure


def _follow(axes: Axes, points: Sequence[tuple[int, float | None]], colour: str, label: str, width: float) -> None:
    known = [(number, value) for number, value in points if value is not None]
    if known:
        places = [number for number, _ in known], [value for _, value in known]
        axes.plot(*places, color=colour, linewidth=width, marker="o", markersize=2.5, label=label)
