"""Writes a search's accuracies as TensorBoard scalars, with the package tensorboard and without torch."""

from __future__ import annotations

import re
from collections.abc import Iterator
from contextlib import closing
from pathlib import Path
from statistics import fmean
from typing import NamedTuple

from orchestrator.errors import ExtraMissing
from orchestrator.views import History, SearchView, progress

_UNFIT = re.compile(r"[^\w .()+-]")


class Scalar(NamedTuple):
    """A point of a curve; `time` in seconds since 1970."""

    tag: str
    step: int
    value: float
    time: float


def tensorboard(history: History, view: SearchView, folder: Path, *, candidates: bool) -> dict[str, int]:
    """Writes one run for the search and, if wished, one for each candidate; returns how many points each has.

    The search's run has `accuracy/best` over the epochs spent until then, and `rung E epochs/mean` and `/best` of the
    trainings that ended at each rung; a candidate's run has its curves over its epochs.

    Args:
        history: with stories.
        view: of the search.
        folder: a log directory; each run is a folder in it.
        candidates: whether every candidate has a run.

    Raises:
        ExtraMissing: if tensorboard is not installed.
        OSError: if the folder cannot be written.
    """
    name = _UNFIT.sub("_", view.name).strip(". ") or view.id[:12]
    written = {name: _write(folder / name, list(_search(history, view)))}
    if candidates:
        for candidate in view.candidates:
            points = [("validation", candidate.curve), ("training", candidate.training)]
            scalars = [
                Scalar(f"accuracy/{tag}", epoch, value, view.opened) for tag, curve in points for epoch, value in curve
            ]
            run = f"{name}/candidate {candidate.index} ({candidate.candidate[:8]})"
            written[run] = _write(folder / run, scalars)
    return written


def _search(history: History, view: SearchView) -> Iterator[Scalar]:
    reached: dict[int, list[float]] = {}
    for step in progress(history, view.id):
        time = view.opened + step.seconds
        yield Scalar("accuracy/best", step.spent, step.best, time)
        yield Scalar("accuracy/each", step.spent, step.accuracy, time)
        there = reached.setdefault(step.epochs, [])
        there.append(step.accuracy)
        yield Scalar(f"rung {step.epochs} epochs/mean", step.spent, fmean(there), time)
        yield Scalar(f"rung {step.epochs} epochs/best", step.spent, max(there), time)


def _write(folder: Path, scalars: list[Scalar]) -> int:
    """Writes one run. One that is there already is replaced: TensorBoard would draw both over each other."""
    try:
        from tensorboard.compat.proto.event_pb2 import Event
        from tensorboard.compat.proto.summary_pb2 import Summary
        from tensorboard.summary.writer.event_file_writer import EventFileWriter
    except ModuleNotFoundError as error:
        raise ExtraMissing("tensorboard", "tensorboard") from error
    for old in folder.glob("events.out.tfevents.*"):
        old.unlink()
    with closing(EventFileWriter(str(folder))) as writer:
        for one in scalars:
            summary = Summary(value=[Summary.Value(tag=one.tag, simple_value=one.value)])
            writer.add_event(Event(wall_time=one.time, step=one.step, summary=summary))
    return len(scalars)
