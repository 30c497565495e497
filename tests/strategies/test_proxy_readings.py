"""What a proxy study reads off the outcome of a training."""

from __future__ import annotations

from typing import Any

import pytest

from store.records.outcomes import EpochMetrics, Failure, Trained
from strategies.proxy_study.readings import Reading, Readings, read
from tests.strategies.builders import failure


def trained(*accuracies: float, epochs: int | None = None, best: float | None = None) -> Trained:
    history = tuple(
        EpochMetrics(epoch=epoch, train_loss=1.0, train_accuracy=value + 0.1, validation_accuracy=value)
        for epoch, value in enumerate(accuracies, 1)
    )
    return Trained(
        candidate="c", epochs=epochs or len(accuracies), accuracy=best or max(accuracies), history=history,
        checkpoint="m", parameters=1, multiply_adds=10, images=7,
    )  # fmt: skip


def test_a_training_is_read_off_at_any_of_its_epochs() -> None:
    outcome = trained(0.3, 0.6, 0.5, 0.7)
    last = read(outcome, 4, "best")
    assert last._replace(gap=None) == Reading(0.7, None, 10, 7)
    assert last.gap == pytest.approx(0.1)
    assert read(outcome, 3, "best").accuracy == 0.6
    assert read(outcome, 3, "last").accuracy == 0.5
    assert read(outcome, 1, "last").accuracy == 0.3


def test_a_final_accuracy_without_a_history_is_enough_at_the_end_alone() -> None:
    table = trained(epochs=12, best=0.9)
    assert read(table, 12, "last").accuracy == 0.9
    assert read(table, 6, "best").failure == "no finite validation accuracy at epoch 6 (None)"


@pytest.mark.parametrize("which", ["best", "last"])
def test_what_is_not_finite_counts_as_failed(which: Any) -> None:
    assert read(trained(0.5, float("nan"), best=float("nan")), 2, which).accuracy is None
    assert read(failure("loss is NaN"), 2, which) == Reading(failure="diverged: loss is NaN")
    assert isinstance(failure(), Failure)


def test_readings_survive_being_saved() -> None:
    row = (Reading(0.5, 0.1, 1000, 400), Reading(failure="out_of_memory: too large"))
    readings = Readings([row, row])
    assert Readings.restore(readings.state()) == readings
