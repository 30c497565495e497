"""Training a candidate: what it learns, what it reports, and that leaving and going on changes no bit."""

from __future__ import annotations

import math
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch

from store.checkpoints import CheckpointStore
from store.errors import BlobCorrupt
from store.records.candidates import Candidate, Data, Fault, Named, Proxy
from store.records.messages import Finished, JobSettings, Saved, Stop, Stopped
from store.records.outcomes import Trained
from store.records.requests import Evaluate, Measure, Train
from tests.trainers.desk import Desk, candidate
from tests.trainers.harness import Daemon, assign
from trainers import step, stepper
from trainers.errors import BadRequest, CheckpointMismatch, DataError, Diverged, ImpossibleSetting
from trainers.job import Stopping
from trainers.step import Sums


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as opened:
        yield opened


def _do(folder: Path, request: Train, resume: str) -> Trained:
    """Goes on in a worker process of its own."""
    with Daemon(folder) as daemon:
        report = daemon.do(assign(request, resume=resume))
    assert isinstance(report, Finished), report
    assert isinstance(report.outcome, Trained)
    return report.outcome


def _arrays(checkpoints: CheckpointStore, digest: str) -> dict[tuple[str, str, str], np.ndarray[Any, Any]]:
    loaded = checkpoints.load(digest).tensors
    return {
        (r, b, n): array for r, blocks in loaded.items() for b, named in blocks.items() for n, array in named.items()
    }


def _momentum(checkpoints: CheckpointStore, digest: str) -> list[np.ndarray[Any, Any]]:
    return [array for (role, _, _), array in _arrays(checkpoints, digest).items() if role == "optimizer"]


def test_going_on_from_e_in_another_process_gives_the_bits_of_training_to_2e_at_once(
    desk: Desk, tmp_path: Path
) -> None:
    at_once = desk.do(Train(candidate=candidate(), epochs=4))
    first = desk.do(Train(candidate=candidate(), epochs=2))
    second = _do(tmp_path, Train(candidate=candidate(), epochs=4), resume=first.checkpoint)
    assert second == at_once
    assert second.history[:2] == first.history
    ours, theirs = (_arrays(desk.checkpoints, digest) for digest in (second.checkpoint, at_once.checkpoint))
    assert ours.keys() == theirs.keys()
    assert all(ours[place].tobytes() == theirs[place].tobytes() for place in ours)
    assert {role for role, _, _ in ours} == {"model", "optimizer"}
    assert any(array.any() for array in _momentum(desk.checkpoints, second.checkpoint))
    assert any(name.endswith("running_var") for _, _, name in ours)


def test_a_stop_in_the_middle_of_an_epoch_changes_no_bit_of_what_another_process_ends_with(
    desk: Desk, tmp_path: Path
) -> None:
    at_once = desk.do(Train(candidate=candidate(), epochs=3))
    order = assign(Train(candidate=candidate(), epochs=3), checkpoint_seconds=1e-9)
    with Daemon(tmp_path) as daemon:
        daemon.send(order)
        while (last := daemon.receive(Saved)).epoch < 1 or last.step < 2:
            pass
        daemon.send(Stop(job=order.job, attempt=order.attempt))
        for report in daemon.until_last():
            last = report if isinstance(report, Saved) else last
    assert isinstance(report, Stopped)
    assert (1, 2) <= (last.epoch, last.step) < (3, 0)
    assert desk.do(Train(candidate=candidate(), epochs=3), resume=last.checkpoint) == at_once


def test_a_checkpoint_at_every_step_changes_nothing_and_each_of_them_can_be_gone_on_from(desk: Desk) -> None:
    request = Train(candidate=candidate(), epochs=2)
    plain = desk.do(request, checkpoint_seconds=1e9)
    assert [(saved.epoch, saved.step) for saved in desk.saved] == [(1, 0), (2, 0)]
    assert desk.do(request, checkpoint_seconds=0.0) == plain
    every = desk.saved
    assert [(s.epoch, s.step) for s in every] == [
        *((0, n) for n in range(1, 5)),
        (1, 0),
        *((1, n) for n in range(1, 5)),
        (2, 0),
    ]
    assert [saved.metrics for saved in every if saved.step == 0] == list(plain.history)
    for saved in every:
        assert desk.do(request, resume=saved.checkpoint, checkpoint_seconds=1e9) == plain


def test_a_stop_while_it_validates_is_heeded_and_no_step_is_made_twice(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    request = Train(candidate=candidate(), epochs=2)
    plain = desk.do(request)

    def stopped(*given: Any) -> Sums:
        desk.stop()
        return step.evaluate(*given)

    with monkeypatch.context() as patch:
        patch.setattr(stepper, "evaluate", stopped)
        with pytest.raises(Stopping):
            desk.do(request)
    assert [(saved.epoch, saved.step) for saved in desk.saved] == [(0, 5)]
    assert desk.do(request, resume=desk.saved[0].checkpoint) == plain


def test_asked_for_epochs_that_are_done_it_answers_from_the_checkpoint(desk: Desk) -> None:
    request = Train(candidate=candidate(), epochs=1)
    done = desk.do(request)
    assert desk.do(request, resume=done.checkpoint) == done
    assert desk.saved == []


def test_a_small_network_learns_the_digits(desk: Desk) -> None:
    learner = candidate(genes=3, proxy=Proxy(channels=8, cells=3), recipe={"schedule_epochs": 5})
    outcome = desk.do(Train(candidate=learner, epochs=5))
    accuracies = [metrics.validation_accuracy for metrics in outcome.history]
    assert outcome.accuracy == max(accuracies) > 0.85
    assert outcome.history[-1].train_loss < outcome.history[0].train_loss / 2
    assert [metrics.epoch for metrics in outcome.history] == [1, 2, 3, 4, 5]
    assert all(accuracy * 150 == pytest.approx(round(accuracy * 150)) for accuracy in accuracies)


def test_other_seeds_and_architectures_end_elsewhere(desk: Desk) -> None:
    checkpoints = {
        desk.do(Train(candidate=each, epochs=1)).checkpoint
        for each in (candidate(), candidate(seed=2), candidate(genes=1), candidate(recipe={"learning_rate": 0.05}))
    }
    assert len(checkpoints) == 4


@pytest.fixture
def steps_made(monkeypatch: pytest.MonkeyPatch) -> list[tuple[float, float]]:
    """The learning rate and the largest gradient norm of each step that the trainer makes."""
    made: list[tuple[float, float]] = []

    def noted(model: Any, optimizer: Any, batches: Any, count: int, rate: float, recipe: Any, sums: Any) -> None:
        made.append((rate, recipe.gradient_clip))
        step.train_step(model, optimizer, batches, count, rate, recipe, sums)

    monkeypatch.setattr(stepper, "train_step", noted)
    return made


@pytest.mark.parametrize(
    ("schedule", "expected"),
    [
        ("cosine", [0.1, 0.1 * (2 + math.sqrt(3)) / 4, 0.075, 0.05, 0.025, 0.1 * (2 - math.sqrt(3)) / 4]),
        ("cosine_restarts", [0.1, 0.05, 0.1, 0.05, 0.1, 0.05]),
    ],
)
def test_training_to_e_then_2e_then_3e_goes_along_the_schedule(
    schedule: str, expected: list[float], desk: Desk, steps_made: list[tuple[float, float]]
) -> None:
    """E is 2: one cosine over 3E epochs is entered where it was left, restarts begin anew at E and 2E."""
    length = 6 if schedule == "cosine" else 2
    learner = candidate(recipe={"schedule": schedule, "schedule_epochs": length, "minimum_learning_rate": 0.0})
    resume = None
    for epochs in (2, 4, 6):
        resume = desk.do(Train(candidate=learner, epochs=epochs), resume=resume).checkpoint
        assert len(steps_made) == 5 * epochs
    rates = [rate for rate, _ in steps_made]
    assert rates == pytest.approx([rate for rate in expected for _ in range(5)])


def test_the_gradient_is_clipped_to_the_norm_of_the_recipe(desk: Desk, steps_made: list[tuple[float, float]]) -> None:
    gentle, wild = candidate(recipe={"gradient_clip": 0.01}), candidate(recipe={"gradient_clip": 100.0})
    checkpoints = [desk.do(Train(candidate=each, epochs=1)).checkpoint for each in (gentle, wild)]
    assert [clip for _, clip in steps_made] == [0.01] * 5 + [100.0] * 5
    moved = [max(float(np.abs(array).max()) for array in _momentum(desk.checkpoints, each)) for each in checkpoints]
    assert moved[0] < moved[1] / 2


def test_the_accuracy_is_that_of_the_best_epoch_and_not_of_the_last(
    desk: Desk, monkeypatch: pytest.MonkeyPatch
) -> None:
    correct = iter([60, 90, 30])

    def scripted(*given: Any) -> Sums:
        return Sums.of({**step.evaluate(*given).numbers(), "correct": next(correct)}, torch.device("cpu"))

    monkeypatch.setattr(stepper, "evaluate", scripted)
    outcome = desk.do(Train(candidate=candidate(), epochs=3))
    assert [metrics.validation_accuracy for metrics in outcome.history] == [60 / 150, 90 / 150, 30 / 150]
    assert outcome.accuracy == 90 / 150


def test_two_seeds_begin_with_other_weights(desk: Desk) -> None:
    weights = []
    for seed in (1, 1, 2):
        with pytest.MonkeyPatch.context() as patch:
            patch.setattr(stepper, "train_step", lambda model, *_: weights.append(_bytes(model)) or desk.stop())
            with pytest.raises(Stopping):
                desk.do(Train(candidate=candidate(seed=seed), epochs=1))
    assert weights[0] == weights[1] != weights[2]


def _bytes(model: Any) -> bytes:
    return b"".join(value.detach().numpy().tobytes() for value in model.stem.parameters())


def test_momentum_is_forgotten_where_the_recipe_says_so(desk: Desk) -> None:
    forgetful = candidate(recipe={"reset_momentum_epochs": 2})
    desk.do(Train(candidate=forgetful, epochs=3))
    moving = [any(array.any() for array in _momentum(desk.checkpoints, saved.checkpoint)) for saved in desk.saved]
    assert moving == [True, False, True]


def test_evaluation_with_a_checkpoints_weights_repeats_its_validation(desk: Desk) -> None:
    trained = desk.do(Train(candidate=candidate(), epochs=2))
    found = desk.do(Evaluate(candidate=candidate(), checkpoint=trained.checkpoint))
    last = trained.history[-1]
    assert (found.accuracy, found.loss, found.images) == (last.validation_accuracy, last.validation_loss, 150)
    seen = desk.do(Evaluate(candidate=candidate(), checkpoint=trained.checkpoint, split="train"))
    assert seen.images == 338
    assert 0 <= seen.accuracy <= 1


def test_measuring_counts_and_times_one_image(desk: Desk) -> None:
    trained = desk.do(Train(candidate=candidate(), epochs=1))
    counted = desk.do(Measure(candidate=candidate()))
    assert (counted.parameters, counted.multiply_adds, counted.latency_ms) == (
        trained.parameters,
        trained.multiply_adds,
        None,
    )
    assert counted.parameters == sum(array.size for array in _momentum(desk.checkpoints, trained.checkpoint))
    timed = desk.do(Measure(candidate=candidate(), device="cpu"))
    assert 0 < timed.latency_ms < 1000
    with pytest.raises(ImpossibleSetting, match=r"measure\.device is 'cuda:0'"):
        desk.do(Measure(candidate=candidate(), device="cuda:0"))


def test_a_loss_that_is_not_finite_ends_the_training_and_is_no_matter_of_luck(desk: Desk) -> None:
    wild = candidate(recipe={"learning_rate": 1e30, "gradient_clip": 1e30})
    messages = set()
    for seconds in (0.0, 1e9):
        with pytest.raises(Diverged) as raised:
            desk.do(Train(candidate=wild, epochs=2), checkpoint_seconds=seconds)
        messages.add(str(raised.value))
    assert len(messages) == 1
    assert all(math.isfinite(number) for saved in desk.saved for number in _sums(desk, saved))


def _sums(desk: Desk, saved: Saved) -> list[float]:
    return list(desk.checkpoints.manifest(saved.checkpoint).sums.values())


def test_a_scripted_fault_strikes_before_the_epoch_is_saved(desk: Desk) -> None:
    with pytest.raises(Diverged):
        desk.do(Train(candidate=candidate(), epochs=3), faults=(Fault(kind="nan", epoch=2),))
    assert [(saved.epoch, saved.step) for saved in desk.saved] == [(1, 0)]


def test_a_damaged_checkpoint_raises_the_stores_error(desk: Desk, tmp_path: Path) -> None:
    trained = desk.do(Train(candidate=candidate(), epochs=1))
    for pack in (tmp_path / "blobs" / "packs").rglob("*"):
        if pack.is_file() and pack.stat().st_size > 1000 and pack.suffix != ".json":
            data = bytearray(pack.read_bytes())
            data[len(data) // 2] ^= 1
            pack.chmod(0o644)
            pack.write_bytes(bytes(data))
    with pytest.raises(BlobCorrupt):
        desk.do(Train(candidate=candidate(), epochs=2), resume=trained.checkpoint)


def _with_data(**changes: Any) -> Candidate:
    return candidate(data=Data(**({"name": "digits", "fingerprint": "scikit-learn-digits-1"} | changes)))


@pytest.mark.parametrize(
    ("changed", "words"),
    [
        (lambda: candidate(proxy=Proxy(resolution=16)), "proxy.resolution is 16: expected at most the 8 pixels"),
        (lambda: candidate(initial=("0" * 64,)), "candidate.initial"),
        (lambda: candidate(trainer=Named(name="cell", options={"auxiliary": True})), "auxiliary head"),
        (lambda: _with_data(fingerprint="another"), "its content is now scikit-learn-di"),
        (lambda: _with_data(name="npz"), "data.path is absent"),
        (lambda: _with_data(validation_fraction=0.0001), "data.validation_fraction"),
    ],
)
def test_a_candidate_that_cannot_be_trained_is_refused_by_key_and_value(changed: Any, words: str, desk: Desk) -> None:
    with pytest.raises((ImpossibleSetting, DataError)) as raised:
        desk.do(Train(candidate=changed(), epochs=1))
    assert words in str(raised.value)


def test_a_checkpoint_of_another_candidate_or_past_the_epochs_is_refused(desk: Desk) -> None:
    trained = desk.do(Train(candidate=candidate(), epochs=2))
    with pytest.raises(CheckpointMismatch, match="another candidate"):
        desk.do(Train(candidate=candidate(seed=2), epochs=3), resume=trained.checkpoint)
    with pytest.raises(CheckpointMismatch, match="epoch 2 is past the 1 epochs"):
        desk.do(Train(candidate=candidate(), epochs=1), resume=trained.checkpoint)
    with pytest.raises(BadRequest, match="does not fit"):
        desk.do(Evaluate(candidate=candidate(genes=1), checkpoint=trained.checkpoint))


def test_the_test_of_a_resume_would_notice_lost_momentum(desk: Desk) -> None:
    """Guards the tests above: the digest at 2E depends on the momentum at E."""
    plain, forgetful = candidate(), candidate(recipe={"reset_momentum_epochs": 1})
    first, second = (desk.do(Train(candidate=each, epochs=2)).checkpoint for each in (plain, forgetful))
    ours, theirs = _arrays(desk.checkpoints, first), _arrays(desk.checkpoints, second)
    assert any(ours[place].tobytes() != theirs[place].tobytes() for place in ours if place[0] == "model")


def test_settings_are_only_how_it_is_run() -> None:
    """The fields of `JobSettings` are none of the outcome's business; a new one must be looked at."""
    fields = {"data_path", "cache", "tables", "cuda_graphs", "checkpoint_seconds", "faults", "log_bytes"}
    assert set(JobSettings.model_fields) == fields
