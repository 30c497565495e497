"""The knowledge pool (FNAS section 4.3): for how many blocks it had an entry, and for how many a similar one."""

from __future__ import annotations

from collections.abc import Sequence

from matplotlib.axes import Axes
from matplotlib.figure import Figure

from orchestrator import wording
from orchestrator.report import style
from orchestrator.report.agent import looks
from orchestrator.report.shown import LeftOut, Shown
from orchestrator.views import PoolUse
from orchestrator.views.samples import Iteration, Samples

RATIOS, SIMILARITIES = "Hits and matches in the knowledge pool", "Similarity of the nearest entries"
NOT_ASKED = "the search asked no knowledge pool"


def ratios(samples: Samples, use: PoolUse) -> Shown | LeftOut:
    """Hit and match ratio over the iterations."""
    known = [one for one in samples.iterations if one.hit_ratio is not None or one.match_ratio is not None]
    if not known:
        return LeftOut(RATIOS, NOT_ASKED if not use.networks else "no iteration with a question has ended")
    rows = [[one.number, one.hit_ratio, one.match_ratio] for one in known]
    headings = ("iteration", "hit_ratio", "match_ratio")
    return Shown("pool", RATIOS, _told(known, use), lambda: _drawn(known), headings, rows)


def similarities(samples: Samples, bar: float | None) -> Shown | LeftOut:
    """How many blocks had a nearest entry of which cosine similarity."""
    counts = samples.similarities
    if not any(counts):
        return LeftOut(SIMILARITIES, "no block was compared with an entry")
    width = 1 / len(counts)
    rows = [[place * width, (place + 1) * width, count] for place, count in enumerate(counts)]
    text = (
        f"Cosine similarity of the keys of {wording.plural(sum(counts), 'block')} and of the entry that was nearest to "
        f"each; {counts[-1]:,} lie in the last bin, from {1 - width:.2f} to 1, in which equal keys are."
    )
    text += f" From the bar at {bar:g} on, a block starts from the entry." if bar is not None else ""
    headings = ("similarity_from", "similarity_to", "blocks")
    return Shown("similarity", SIMILARITIES, text, lambda: _histogram(counts, bar), headings, rows)


def _told(known: Sequence[Iteration], use: PoolUse) -> str:
    text = (
        "For each iteration, of all blocks of the networks that were to be trained: the share for which the pool had "
        "any entry to compare with (hit), and for which one was similar enough to start from (match)."
    )
    last = known[-1]
    if last.hit_ratio is not None and last.match_ratio is not None:
        text += f" In the last one {100 * last.hit_ratio:.1f} % and {100 * last.match_ratio:.1f} %"
        text += (
            f"; in all {100 * use.hit_ratio:.1f} % and {100 * use.match_ratio:.1f} % of "
            f"{wording.plural(use.blocks, 'block')}."
            if use.blocks
            else "."
        )
    return text


def _drawn(known: Sequence[Iteration]) -> Figure:
    figure = style.figure(8, 3.8)
    axes = figure.add_subplot()
    _line(axes, [(one.number, one.hit_ratio) for one in known], style.GREEN, "hit", 4.0)
    _line(axes, [(one.number, one.match_ratio) for one in known], style.BLUE, "match", 1.4)
    axes.set(xlabel="iteration", ylabel="of the blocks, %", ylim=(-3, 103))
    looks.counting(axes)
    style.plain(axes)
    style.legend(axes)
    return figure


def _line(axes: Axes, points: Sequence[tuple[int, float | None]], colour: str, label: str, width: float) -> None:
    """A line that can be seen below or above another one on the same place, by its width."""
    places = [number for number, value in points if value is not None]
    values = [100 * value for _, value in points if value is not None]
    axes.plot(places, values, color=colour, marker="o", markersize=2.5 * width**0.5, linewidth=width, label=label)


def _histogram(counts: Sequence[int], bar: float | None) -> Figure:
    figure = style.figure(8, 3.6)
    axes = figure.add_subplot()
    width = 1 / len(counts)
    lefts = [place * width for place in range(len(counts))]
    axes.bar(lefts, counts, width, align="edge", color=style.BLUE, edgecolor="white", linewidth=0.6)
    if bar is not None:
        axes.axvline(bar, color=style.RED, linewidth=1.4, linestyle="--", label=f"bar, {bar:g}")
        style.legend(axes)
    axes.set(xlabel="cosine similarity of the nearest entry", ylabel="blocks", xlim=(0, 1))
    style.plain(axes)
    axes.grid(visible=False, axis="x")
    return figure
