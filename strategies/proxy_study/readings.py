"""What the trainings of a study told, network by network, as plain values that `Run.save` can keep."""

from __future__ import annotations

import math
from collections.abc import Sequence
from dataclasses import dataclass, field
from typing import Any, Literal, NamedTuple

from store.records.outcomes import AnyOutcome, EpochMetrics, Failure, Trained, best_accuracy


class Reading(NamedTuple):
    """One network in one setting.

    Attributes:
        accuracy: validation accuracy in [0, 1]; none if the training failed.
        gap: training less validation accuracy in the last epoch.
        multiply_adds: of one image.
        images: training images of an epoch, where the trainer says.
        failure: why there is no accuracy.
    """

    accuracy: float | None = None
    gap: float | None = None
    multiply_adds: int | None = None
    images: int | None = None
    failure: str | None = None


def read(outcome: AnyOutcome, epochs: int, which: Literal["best", "last"]) -> Reading:
    """Reads a training off at an epoch, which may be before its end.

    Args:
        outcome: what came of the training.
        epochs: where to read it.
        which: the accuracy of the best epoch until then, or of that epoch.
    """
    if isinstance(outcome, Failure):
        return Reading(failure=outcome.words)
    if not isinstance(outcome, Trained):
        return Reading(failure=f"got a {outcome.kind!r} outcome for a training")
    known = [metrics for metrics in outcome.history if metrics.epoch <= epochs]
    last = known[-1] if known and known[-1].epoch == epochs else None
    accuracy = _accuracy(outcome, epochs, known, last, which)
    if accuracy is None or not math.isfinite(accuracy):
        return Reading(failure=f"no finite validation accuracy at epoch {epochs} ({accuracy})")
    return Reading(accuracy, _gap(last), outcome.multiply_adds, outcome.images)


def _accuracy(
    outcome: Trained, epochs: int, known: list[EpochMetrics], last: EpochMetrics | None, which: Literal["best", "last"]
) -> float | None:
    """At its end a training need not have a history, e.g. one that was read from a table of final accuracies."""
    if epochs == outcome.epochs and (which == "best" or last is None):
        return outcome.accuracy
    if last is None:
        return None
    return best_accuracy(known) if which == "best" else last.validation_accuracy


def _gap(last: EpochMetrics | None) -> float | None:
    if last is None or last.validation_accuracy is None:
        return None
    gap = last.train_accuracy - last.validation_accuracy
    return gap if math.isfinite(gap) else None


@dataclass
class Readings:
    """All readings: a row for each network, with the original setting's first and then one for each setting."""

    rows: list[tuple[Reading, ...]] = field(default_factory=list)

    def column(self, setting: int) -> list[Reading]:
        """Returns the readings of one setting by network; -1 is the original one."""
        return [row[setting + 1] for row in self.rows]

    def state(self) -> dict[str, Any]:
        """Returns plain values, one list of lists for each field."""
        return {name: [[getattr(reading, name) for reading in row] for row in self.rows] for name in Reading._fields}

    @classmethod
    def restore(cls, state: dict[str, Any]) -> Readings:
        """Returns what `state` was taken of."""
        tables: Sequence[list[list[Any]]] = [state[name] for name in Reading._fields]
        rows = zip(*tables, strict=True)
        return cls([tuple(Reading(*cells) for cells in zip(*row, strict=True)) for row in rows])
