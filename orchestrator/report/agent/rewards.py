"""The reward of every sample as the search goes on (FNAS, Fig. 4), and how many samples had to be trained for it."""

from __future__ import annotations

from collections import deque
from collections.abc import Sequence
from itertools import accumulate
from statistics import fmean
from typing import Any, NamedTuple

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator import wording
from orchestrator.report import style
from orchestrator.report.agent import looks
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.views.samples import SOURCES, Sample, Samples, Source

LEAST_WINDOW, WINDOWS = 10, 20
"""The running mean is over a twentieth of the samples, but no fewer than ten."""
TRACES = "What each sample's reward came from"


class Trace(NamedTuple):
    """A sample with the mean of the last `window` new samples (if there are so many) and the best trained, up to it."""

    sample: Sample
    mean: float | None
    best: float | None


class Origin(NamedTuple):
    """The samples whose reward came from one source; rewards are None where none is known."""

    source: Source
    samples: int
    share: float
    mean: float | None
    best: float | None


def window(count: int) -> int:
    """Returns over how many new samples the running mean of so many samples goes."""
    return max(LEAST_WINDOW, round(count / WINDOWS))


def traces(samples: Samples) -> list[Trace]:
    """Follows the rewards; exploited samples were drawn for theirs, so they are no part of the running mean."""
    last: deque[float] = deque(maxlen=window(len(samples.all)))
    found, best = list[Trace](), None
    for sample in samples.all:
        if sample.reward is not None and sample.source != "exploited":
            last.append(sample.reward)
        if sample.reward is not None and sample.source == "trained":
            best = sample.reward if best is None else max(best, sample.reward)
        found.append(Trace(sample, fmean(last) if len(last) == last.maxlen else None, best))
    return found


def origins(samples: Samples) -> list[Origin]:
    """Counts the samples of each source that occurs."""
    found = []
    for source in SOURCES:
        group = samples.of(source)
        rewards = [sample.reward for sample in group if sample.reward is not None]
        if group:
            share = len(group) / len(samples.all)
            mean = fmean(rewards) if rewards else None
            found.append(Origin(source, len(group), share, mean, max(rewards, default=None)))
    return found


def over_samples(samples: Samples) -> Shown | LeftOut:
    """Fig. 4: the reward of every sample, in the colour of its source."""
    title = "Reward over samples (FNAS, Fig. 4)"
    found = traces(samples)
    if not any(trace.sample.reward is not None for trace in found):
        return LeftOut(title, "no sample has a reward yet")
    rows = [
        [one.sample.number, one.sample.iteration, one.sample.source, one.sample.reward, one.mean, one.best]
        for one in found
    ]
    headings = ("sample", "iteration", "source", "reward", "running_mean", "best_trained")
    return Shown("rewards", title, _told(samples, found), lambda: _drawn(found), headings, rows)


def by_source(samples: Samples) -> Shown | LeftOut:
    """How many samples were trained ("activated") of all that the agent learnt from."""
    title = 'Trained ("activated") samples of all'
    found = origins(samples)
    if [one.source for one in found] == ["trained"]:
        return LeftOut(title, "every sample was trained: no critic was trusted and no experience was used again")
    rows: list[list[Any]] = [[one.source, one.samples, one.share, one.mean, one.best] for one in found]
    headings = ("source", "samples", "share", "mean_reward", "best_reward")
    return Shown("sources", title, _counted(samples, found), lambda: _sources(samples, found), headings, rows)


def _told(samples: Samples, found: Sequence[Trace]) -> str:
    known = [trace for trace in found if trace.sample.reward is not None]
    text = (
        f"The reward of each of {wording.plural(len(samples.all), 'sample')} in the order in which the agent learnt "
        f"from them. Black line: mean of the last {window(len(samples.all))} new samples (trained or trusted)"
    )
    means = [trace.mean for trace in known if trace.mean is not None]
    text += f", {means[0]:.3f} at first and {means[-1]:.3f} at the end." if means else "."
    if samples.of("trusted"):
        text += " The reward of a trusted sample is what the critic predicted, not what it would have been."
    best = samples.best
    if best is not None:
        text += f" Thin line: the best trained so far; {best.reward:.4f} was reached with sample {best.number:,}."
    return text


def _counted(samples: Samples, found: Sequence[Origin]) -> str:
    parts = [f"{one.samples:,} {one.source} ({100 * one.share:.1f} %)" for one in found]
    return (
        f"Of {wording.plural(len(samples.all), 'sample')}: {', '.join(parts)}. Right: how many had been trained after "
        "each sample; on the dashed line every sample is."
    )


def _drawn(found: Sequence[Trace]) -> Figure:
    figure = style.figure(9, 4.6)
    axes = figure.add_subplot()
    for source in SOURCES:
        group = [one.sample for one in found if one.sample.source == source and one.sample.reward is not None]
        _points(axes, source, group)
    _line(axes, [(one.sample.number, one.best) for one in found], style.BLACK, 0.9, "best trained so far", "--")
    _line(axes, [(one.sample.number, one.mean) for one in found], style.BLACK, 2.0, "running mean of new samples", "-")
    axes.set(xlabel="sample", ylabel="reward")
    looks.counting(axes)
    style.plain(axes)
    style.legend(axes)
    return figure


def _points(axes: Axes, source: Source, group: Sequence[Sample]) -> None:
    if group:
        places = [sample.number for sample in group], [sample.reward for sample in group]
        look = {"color": looks.COLOURS[source], "marker": looks.MARKERS[source], "s": 14, "linewidth": 0.9}
        drawn = axes.scatter(*places, label=source, alpha=0.75, **look)  # type: ignore[arg-type]
        drawn.set_rasterized(len(group) > looks.MANY_POINTS)


def _line(
    axes: Axes, points: Sequence[tuple[int, float | None]], colour: str, width: float, label: str, dashes: str
) -> None:
    known = [(number, value) for number, value in points if value is not None]
    if known:
        xs, ys = [number for number, _ in known], [value for _, value in known]
        axes.plot(xs, ys, color=colour, linewidth=width, linestyle=dashes, label=label, zorder=4)


def _sources(samples: Samples, found: Sequence[Origin]) -> Figure:
    figure = style.figure(9, 3.6)
    bars, lines = figure.subplots(1, 2, width_ratios=(1, 1.4))
    for place, one in enumerate(found):
        look = {"color": looks.COLOURS[one.source], "hatch": looks.HATCHES[one.source], "edgecolor": "white"}
        (bar,) = bars.barh(place, one.samples, 0.62, **look)
        bars.annotate(f" {one.samples:,}", (bar.get_width(), place), va="center", fontsize=9)
    bars.set_yticks(range(len(found)), [one.source for one in found])
    bars.set(xlabel="samples", ylim=(len(found) - 0.5, -0.5))
    bars.margins(x=0.14)
    numbers = range(1, len(samples.all) + 1)
    counts = list(accumulate(int(sample.source == "trained") for sample in samples.all))
    lines.plot(numbers, numbers, color=style.GREY, linewidth=1, linestyle="--", label="if every sample were trained")
    lines.plot(numbers, counts, color=looks.COLOURS["trained"], linewidth=2, label="trained")
    lines.set(xlabel="sample", ylabel="trained samples")
    looks.counting(lines)
    for axes in (bars, lines):
        style.plain(axes)
    bars.grid(visible=False, axis="y")
    style.legend(lines)
    return figure
