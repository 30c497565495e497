"""The report's pictures: each as a PNG file, and as an SVG that the page carries in itself."""

from __future__ import annotations

import base64
import io
from collections.abc import Iterator
from dataclasses import dataclass
from typing import TYPE_CHECKING

from orchestrator import summary, wording
from orchestrator.views import History, SearchView, timelines

if TYPE_CHECKING:
    from matplotlib.figure import Figure

DPI = 150
CELLS_SHOWN = 3
LARGEST_SVG = 1 << 20


@dataclass(frozen=True, slots=True)
class Picture:
    """A picture of the report: the name of its file, what it is for those who cannot see it, and its bytes."""

    name: str
    section: str
    alternative: str
    png: bytes
    svg: bytes

    @property
    def source(self) -> str:
        """The picture as a data URI: SVG, which prints sharply, unless that is very large."""
        small = len(self.svg) <= LARGEST_SVG
        kind, content = ("svg+xml", self.svg) if small else ("png", self.png)
        return f"data:image/{kind};base64,{base64.b64encode(content).decode()}"


def pictures(history: History, view: SearchView) -> Iterator[Picture]:
    """Yields the pictures that a search has something to show for."""
    from orchestrator.report import cells, plots

    over_cycles = plots.accuracy_over_cycles(view.curves)
    if over_cycles is not None:
        yield _picture("accuracy", "accuracy", "Mean validation accuracy of each rung after each cycle.", over_cycles)
    over_births = plots.accuracy_over_births(view.candidates)
    if over_births is not None:
        yield _picture(
            "births", "accuracy", "Accuracy of each candidate in order of birth, and the best so far.", over_births
        )
    workers, restarts = timelines(history, view.id)
    chart = plots.gantt(workers, restarts)
    if chart is not None:
        busy = ", ".join(f"{worker.worker} {wording.duration(worker.busy)}" for worker in workers)
        yield _picture("workers", "workers", f"What each worker did when. Busy: {busy}.", chart)
    for rank, found in enumerate(view.best[:CELLS_SHOWN], start=1):
        cell = cells.drawn(summary.genotype(view, found))
        if cell is not None:
            name = f"Normal and reduction cell of candidate {found.candidate[:8]}, number {rank} of the best."
            yield _picture(f"cells-{rank}", "cells", name, cell)


def _picture(name: str, section: str, alternative: str, figure: Figure) -> Picture:
    png, svg = io.BytesIO(), io.BytesIO()
    figure.savefig(png, format="png", dpi=DPI)
    figure.savefig(svg, format="svg", metadata={"Date": None})
    return Picture(name, section, alternative, png.getvalue(), svg.getvalue())
