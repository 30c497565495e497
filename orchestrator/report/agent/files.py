"""The samples and the iterations as files, and what each figure shows."""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence

from orchestrator.report.shown import LeftOut, Shown
from orchestrator.report.tables import comma_separated
from orchestrator.views import Samples, SearchView

SAMPLE = ("number", "iteration", "source", "reward", "accuracy", "cost", "value", "uncertainty", "error", "individual")
ITERATION = (
    "number",
    "threshold",
    "trained",
    "discarded",
    "baseline",
    "mean_reward",
    "hit_ratio",
    "match_ratio",
)


def files(
    view: SearchView, samples: Samples, found: Mapping[str, Sequence[Shown | LeftOut]]
) -> Iterator[tuple[str, str]]:
    """Yields the names of the files and what is in them."""
    yield "samples.csv", _samples(view, samples)
    yield "iterations.csv", _iterations(samples)
    for figure in (one for group in found.values() for one in group):
        if isinstance(figure, Shown):
            yield f"{figure.name}.csv", comma_separated(figure.headings, figure.rows)


def _samples(view: SearchView, samples: Samples) -> str:
    """A row for each sample, with the network behind it once the search's own history says which it is."""
    digests = {one.index: one.candidate for one in view.candidates} if view.finished else {}
    rows = (
        [*(getattr(one, name) for name in SAMPLE), None if one.individual is None else digests.get(one.individual)]
        for one in samples.all
    )
    return comma_separated(["sample", *SAMPLE[1:], "candidate"], rows)


def _iterations(samples: Samples) -> str:
    losses = sorted({name for one in samples.iterations for name in one.losses})
    rows = (
        [*(getattr(one, name) for name in ITERATION), *(one.losses.get(name) for name in losses)]
        for one in samples.iterations
    )
    return comma_separated(["iteration", *ITERATION[1:], *(f"loss_{name}" for name in losses)], rows)
