"""Accuracy over cycles or births, and the Gantt chart of the workers."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from itertools import accumulate
from typing import Any, Final

from matplotlib.axes import Axes
from matplotlib.figure import Figure
from matplotlib.patches import Patch
from matplotlib.ticker import MaxNLocator, StrMethodFormatter

from orchestrator.report import style
from orchestrator.views import CandidateView, Segment, Step, WorkerTimeline
from orchestrator.views.search import MEAN_ACCURACY

MANY_BARS = 1500
MANY_POINTS = 3000
MANY_LINES = 18
KIND_COLOURS: Final = {
    "train": style.BLUE,
    "resume": style.ORANGE,
    "evaluate": style.GREEN,
    "measure": style.PURPLE,
    "compute": style.GREY,
}
CUT_SHORT: Final = {"failed": style.RED, "lost": style.BLACK, "stopped": style.GREY}


def accuracy_over_cycles(curves: Mapping[str, Any]) -> Figure | None:
    """Draws the mean validation accuracy of each rung after each cycle (EcoNAS, Fig. 10); None if no curve has it."""
    rungs = {name.removeprefix(MEAN_ACCURACY): curves[name] for name in curves if name.startswith(MEAN_ACCURACY)}
    if not any(value is not None for values in rungs.values() for value in values):
        return None
    figure = style.figure(8, 4)
    axes = figure.add_subplot()
    for number, (rung, values) in enumerate(rungs.items()):
        points = [(cycle, value) for cycle, value in enumerate(values) if value is not None]
        cycles, accuracies = [cycle for cycle, _ in points], [100 * value for _, value in points]
        colour, marker = style.look(number)
        axes.plot(cycles, accuracies, label=f"trained for {rung} epochs", markersize=5, color=colour, marker=marker)
    axes.set(xlabel="cycle", ylabel="mean validation accuracy, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.plain(axes)
    style.legend(axes)
    return figure


def accuracy_over_births(candidates: Sequence[CandidateView]) -> Figure | None:
    """Draws each candidate's accuracy in the order of their births, and the best so far; None if none has one."""
    scored = [(candidate.index, candidate.accuracy, candidate.epochs) for candidate in candidates]
    known = sorted((index, 100 * accuracy, epochs) for index, accuracy, epochs in scored if accuracy is not None)
    if not known:
        return None
    figure = style.figure(8, 4)
    axes = figure.add_subplot()
    for number, level in enumerate(sorted({epochs for _, _, epochs in known})):
        points = [(index, accuracy) for index, accuracy, epochs in known if epochs == level]
        colour, marker = style.look(number)
        births, accuracies = [index for index, _ in points], [accuracy for _, accuracy in points]
        axes.scatter(births, accuracies, label=f"after {level} epochs", s=22, color=colour, marker=marker)
    best = list(accumulate((accuracy for _, accuracy, _ in known), max))
    axes.step([index for index, _, _ in known], best, where="post", color=style.BLACK, linewidth=1, label="best so far")
    axes.set(xlabel="candidate, in order of birth", ylabel="best validation accuracy, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.plain(axes)
    style.legend(axes)
    return figure


def accuracy_over_epochs(steps: Sequence[Step]) -> Figure | None:
    """Draws each training over the epochs spent until it ended, and the best so far; None if there are not two."""
    if len(steps) < 2:
        return None
    figure = style.figure(8, 4)
    axes = figure.add_subplot()
    for number, level in enumerate(sorted({step.epochs for step in steps})):
        group = [step for step in steps if step.epochs == level]
        colour, marker = style.look(number)
        places = [step.spent for step in group], [100 * step.accuracy for step in group]
        drawn = axes.scatter(*places, label=f"after {level} epochs", s=16, color=colour, marker=marker)
        drawn.set_rasterized(len(steps) > MANY_POINTS)
    spent, best = [step.spent for step in steps], [100 * step.best for step in steps]
    axes.step(spent, best, where="post", color=style.BLACK, linewidth=1, label="best so far")
    axes.set(xlabel="epochs spent", ylabel="validation accuracy, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    axes.xaxis.set_major_formatter(StrMethodFormatter("{x:,.0f}"))
    style.plain(axes)
    style.legend(axes)
    return figure


def training(candidates: Sequence[CandidateView]) -> Figure | None:
    """Draws the accuracy of the training images of candidates without validation; None if there is no such one."""
    shown = [candidate for candidate in candidates if candidate.training and not candidate.curve][:MANY_LINES]
    if not shown:
        return None
    figure = style.figure(8, 4)
    axes = figure.add_subplot()
    for number, candidate in enumerate(shown):
        colour, _ = style.look(number)
        dashes = ("-", "--", ":")[number // len(style.SERIES) % 3]
        epochs, accuracies = (
            [epoch for epoch, _ in candidate.training],
            [100 * value for _, value in candidate.training],
        )
        axes.plot(epochs, accuracies, color=colour, linestyle=dashes, label=candidate.candidate[:8])
    axes.set(xlabel="epoch", ylabel="accuracy of the training images, %")
    axes.xaxis.set_major_locator(MaxNLocator(integer=True))
    style.plain(axes)
    style.legend(axes)
    return figure


def gantt(workers: Sequence[WorkerTimeline], restarts: Sequence[float]) -> Figure | None:
    """Draws what each worker did when, in running time; None if no attempt was made."""
    if not any(worker.segments for worker in workers):
        return None
    figure = style.figure(11, 1.5 + 0.5 * len(workers))
    axes = figure.add_subplot()
    many = sum(len(worker.segments) for worker in workers) > MANY_BARS
    for row, worker in enumerate(workers):
        _bars(axes, row, worker.segments, rasterized=many)
    for restart in restarts:
        axes.axvline(restart, color=style.BLACK, linewidth=1, linestyle=(0, (4, 3)))
    axes.set(xlabel="running time, s", yticks=range(len(workers)), ylim=(len(workers) - 0.45, -0.55))
    axes.set_yticklabels([f"{worker.worker} ({worker.device})" for worker in workers])
    axes.set_xlim(left=0)
    style.plain(axes)
    axes.grid(visible=False, axis="y")
    _legend(axes, workers, restarts=bool(restarts))
    return figure


def _bars(axes: Axes, row: int, segments: Sequence[Segment], *, rasterized: bool) -> None:
    for kind, colour in KIND_COLOURS.items():
        spans = [(s.start, s.end - s.start) for s in segments if s.kind == kind]
        axes.broken_barh(
            spans, (row - 0.36, 0.72), color=colour, edgecolor="white", linewidth=0.6, rasterized=rasterized
        )
    for outcome, colour in CUT_SHORT.items():
        cut = [segment for segment in segments if segment.outcome == outcome]
        spans = [(s.start, s.end - s.start) for s in cut]
        axes.broken_barh(
            spans,
            (row - 0.36, 0.72),
            facecolor="none",
            edgecolor=colour,
            hatch="////",
            linewidth=1.2,
            rasterized=rasterized,
        )
        if outcome != "stopped":
            axes.plot([s.end for s in cut], [row] * len(cut), linestyle="", marker="x", color=colour, markersize=6)


def _legend(axes: Axes, workers: Sequence[WorkerTimeline], *, restarts: bool) -> None:
    """Explains the kinds and endings that occur, above the bars."""
    segments = [segment for worker in workers for segment in worker.segments]
    words = {"failed": "attempt failed", "lost": "killed with its daemon", "stopped": "stopped at a checkpoint"}
    kinds = {segment.kind for segment in segments}
    outcomes = {segment.outcome for segment in segments}
    handles: list[Any] = [Patch(color=colour, label=kind) for kind, colour in KIND_COLOURS.items() if kind in kinds]
    handles += [
        Patch(facecolor="white", edgecolor=colour, hatch="////", label=words[outcome])
        for outcome, colour in CUT_SHORT.items()
        if outcome in outcomes
    ]
    if restarts:
        handles += axes.plot([], [], color=style.BLACK, linewidth=1, linestyle=(0, (4, 3)), label="taken up again")
    style.legend(axes, handles)
