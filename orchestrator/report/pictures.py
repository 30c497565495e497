"""The report's pictures: each as a PNG file, and as an SVG that the page carries in itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator import summary, wording
from orchestrator.views import History, SearchView, Step, timelines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
CELLS_SHOWN = 3
LARGEST_SVG = 1 << 20


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the report.

    Attributes:
        name: of its file.
        section: of the page, in which it stands.
        alternative: what it is, for those who cannot see it.
        png: the file's bytes.
        svg: the same for the page.
        caption: what stands below it.
    """

    name: str
    section: str
    alternative: str
    png: bytes
    svg: bytes
    caption: str

    @property
    def source(self) -> str:
        """The picture as a data URI: SVG, which prints sharply, unless that is very large."""
        small = len(self.svg) <= LARGEST_SVG
        kind, content = ("svg+xml", self.svg) if small else ("png", self.png)
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def pictures(history: History, view: SearchView, steps: Sequence[Step]) -> Iterator[Picture]:
    """Yields the pictures that a search has something to show for.

    Args:
        history: the folded journal.
        view: the search.
        steps: its trainings as they ended.
    """
    from orchestrator.report import cells, plots

    yield from _accuracies(view, steps)
    workers, restarts = timelines(history, view.id)
    chart = plots.gantt(workers, restarts)
    if chart is not None:
        busy = ", ".join(f"{worker.worker} {wording.duration(worker.busy)}" for worker in workers)
        yield picture("workers", "workers", f"What each worker did when. Busy: {busy}.", chart)
    for rank, found in enumerate(view.best[:CELLS_SHOWN], start=1):
        genotype = summary.genotype(view, found)
        cell = cells.drawn(genotype)
        if cell is not None:
            name = f"{cells.kind(genotype)} of candidate {found.candidate[:8]}, number {rank} of the best."
            yield picture(f"cells-{rank}", "cells", f"{name} {cells.told(genotype)}", cell, caption=name)


def _accuracies(view: SearchView, steps: Sequence[Step]) -> Iterator[Picture]:
    """Over cycles, births and epochs; over a training's epochs where no image was held out; none of a proxy study."""
    from orchestrator.report import plots

    if view.study is not None:
        return
    over_cycles = plots.accuracy_over_cycles(view.curves)
    if over_cycles is not None:
        yield picture("accuracy", "accuracy", _cycles(view), over_cycles)
    over_births = plots.accuracy_over_births(view.candidates)
    if over_births is not None:
        words = "Accuracy of each candidate in order of birth, and the best so far."
        yield picture("births", "accuracy", words, over_births)
    over_epochs = plots.accuracy_over_epochs(steps)
    if over_epochs is not None:
        yield picture("progress", "accuracy", _progress(steps), over_epochs)
    training = plots.training(view.candidates)
    if training is not None:
        words = "Accuracy of the training images after each epoch: these networks have no validation images."
        yield picture("training", "accuracy", words, training)


def _cycles(view: SearchView) -> str:
    """What the picture of the rungs shows: without a barrier, trainings of a cycle go on in the next one."""
    words = "Mean validation accuracy of each rung after each cycle; cycle 0 is the initial population"
    if view.spec["strategy"]["options"].get("barrier") is False:
        words += ", and a cycle ends when its last training has been asked for, so only what has ended by then counts"
    return f"{words}."


def _progress(steps: Sequence[Step]) -> str:
    """What the picture of the progress shows: when the best came, and how much of the search it took."""
    best = next(step for step in steps if step.best == steps[-1].best)
    return (
        f"Each training as it ended, over the epochs spent until then (what the store answered included), and the best "
        f"so far: {wording.accuracy(best.best)} after {best.spent:,} of {steps[-1].spent:,} epochs."
    )


def picture(name: str, section: str, alternative: str, figure: Figure, *, caption: str = "") -> Picture:
    """Renders a figure; the caption is the alternative text unless another is given."""
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    figure.set_layout_engine("none")  # it is laid out now; to do that again would take as long as to draw it
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return Picture(name, section, alternative, png.getvalue(), svg.getvalue(), caption or alternative)
