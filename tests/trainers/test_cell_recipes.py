"""The `cell` trainer with all parts of a recipe, without validation images, and on the test split."""

from __future__ import annotations

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from store.records.candidates import Candidate, Data, Named, Proxy
from store.records.outcomes import Trained
from store.records.requests import Evaluate, Train
from strategies.spaces import registry as spaces
from tests.trainers.desk import Desk, candidate
from tests.trainers.test_capture import Repeating
from trainers import training
from trainers.capture import Captured
from trainers.errors import ImpossibleSetting
from trainers.fingerprint import DIGITS
from trainers.job import Job
from trainers.stepper import Eager

EVERYTHING: dict[str, Any] = {
    "nesterov": True,
    "rate_per_step": True,
    "warmup_epochs": 1,
    "warmup_learning_rate": 0.01,
    "label_smoothing": 0.1,
    "accumulate": 2,
    "path_dropout": 0.5,
    "cutout": 2,
}
ALL_IMAGES = Data(name="digits", fingerprint=DIGITS, validation_fraction=0.0)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as opened:
        yield opened


def _everything(**changes: Any) -> Candidate:
    return candidate(genes=1, recipe=EVERYTHING, **changes)


def test_steps_of_several_batches_are_left_and_entered_as_wholes(desk: Desk) -> None:
    """Five batches, two to a step: the third step has one. Checkpoints are gone on from bit for bit."""
    request = Train(candidate=_everything(), epochs=2)
    plain = desk.do(request, checkpoint_seconds=1e9)
    assert desk.do(request, checkpoint_seconds=0.0) == plain
    every = desk.saved
    assert [(saved.epoch, saved.step) for saved in every] == [(0, 1), (0, 2), (1, 0), (1, 1), (1, 2), (2, 0)]
    for saved in (every[0], every[3], every[4]):
        assert desk.do(request, resume=saved.checkpoint, checkpoint_seconds=1e9) == plain


@pytest.mark.parametrize("part", sorted(EVERYTHING.keys() - {"warmup_learning_rate"}))
def test_every_part_of_a_recipe_changes_the_training(part: str, desk: Desk) -> None:
    """In two epochs: path dropout is 0 in the first."""
    with_part = {part: EVERYTHING[part]}
    checkpoints = {
        desk.do(Train(candidate=candidate(genes=1, recipe=each), epochs=2)).checkpoint for each in ({}, with_part)
    }
    assert len(checkpoints) == 2


def test_the_trainers_loop_is_the_same_over_captured_steps(desk: Desk, monkeypatch: pytest.MonkeyPatch) -> None:
    recorders: list[Repeating] = []

    def captured(job: Job, eager: Eager) -> Captured:
        recorders.append(Repeating())
        return Captured(eager, recorders[-1], window=2)

    request = Train(candidate=_everything(), epochs=2)
    single = desk.do(request)
    monkeypatch.setattr(training, "_stepper", captured)
    plain = desk.do(request)
    assert [metrics.train_loss for metrics in plain.history] == pytest.approx(
        [metrics.train_loss for metrics in single.history], rel=1e-3
    )
    desk.do(request, checkpoint_seconds=0.0)
    for saved in (desk.saved[1], desk.saved[3]):
        assert desk.do(request, resume=saved.checkpoint) == plain
    assert {recorder.recorded - recorder.closed for recorder in recorders} == {0}
    assert recorders[0].recorded == 2


def test_path_dropout_is_nothing_where_a_network_has_no_paths(desk: Desk) -> None:
    """Those of NAS-Bench-201 were never trained with it."""
    space = Named(name="nasbench201")
    bench = {
        "space": space,
        "architecture": spaces.create(space).random(np.random.default_rng(0)),
        "proxy": Proxy(channels=4, cells=5, sample_ratio=0.25),
    }
    plain, dropping = (
        desk.do(Train(candidate=candidate(recipe=recipe, **bench), epochs=2)) for recipe in ({}, {"path_dropout": 0.5})
    )
    assert plain.history == dropping.history


def test_without_images_held_out_there_is_no_validation_and_the_test_split_can_be_scored(desk: Desk) -> None:
    everything = candidate(data=ALL_IMAGES, proxy=Proxy(channels=4, cells=3))
    trained = desk.do(Train(candidate=everything, epochs=2))
    assert isinstance(trained, Trained)
    assert trained.accuracy is None
    assert {(each.validation_loss, each.validation_accuracy) for each in trained.history} == {(None, None)}
    assert all(0 < each.train_loss < 5 for each in trained.history)
    tested = desk.do(Evaluate(candidate=everything, checkpoint=trained.checkpoint, split="test"))
    seen = desk.do(Evaluate(candidate=everything, checkpoint=trained.checkpoint, split="train"))
    assert (tested.images, seen.images) == (297, 1500)
    assert 0.1 < tested.accuracy < 1
    with pytest.raises(ImpossibleSetting, match=r"evaluate\.split is 'validation': expected train or test"):
        desk.do(Evaluate(candidate=everything, checkpoint=trained.checkpoint))


def test_the_test_split_is_refused_to_whoever_holds_out_images(desk: Desk) -> None:
    trained = desk.do(Train(candidate=candidate(), epochs=1))
    with pytest.raises(ImpossibleSetting, match=r"evaluate\.split is 'test': expected validation or train"):
        desk.do(Evaluate(candidate=candidate(), checkpoint=trained.checkpoint, split="test"))


@pytest.mark.parametrize(
    ("recipe", "key"),
    [
        ({"precision": "bfloat16"}, "recipe.precision"),
        ({"schedule": "exponential"}, "recipe.rate_decay"),
        ({"path_dropout": 0.2, "schedule_epochs": None}, "recipe.path_dropout"),
        ({"nesterov": True, "momentum": 0.0}, "recipe.nesterov"),
    ],
)
def test_a_recipe_that_cannot_be_carried_out_is_refused_by_key(recipe: dict[str, Any], key: str, desk: Desk) -> None:
    with pytest.raises(ImpossibleSetting) as raised:
        desk.do(Train(candidate=candidate(recipe=recipe), epochs=1))
    assert raised.value.key == key


def test_whether_steps_are_captured_on_a_gpu_changes_nothing_on_a_cpu(desk: Desk) -> None:
    request = Train(candidate=candidate(), epochs=1)
    assert desk.do(request, cuda_graphs=True) == desk.do(request, cuda_graphs=False)
