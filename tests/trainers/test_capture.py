"""Captured steps against single calls. On a CPU a recorder that repeats by calling stands in for CUDA's graphs."""

from __future__ import annotations

import logging
from collections.abc import Callable, Iterator
from typing import Any

import numpy as np
import pytest
import torch

from store.records.candidates import Data, Proxy, Recipe
from strategies.spaces.published import PUBLISHED
from trainers import datasets
from trainers.capture import Captured, CudaGraphs, Recording
from trainers.data import DeviceData
from trainers.datasets import Images
from trainers.networks.network import build
from trainers.networks.shape import Shape
from trainers.plan import make_deterministic
from trainers.sgd import SGD
from trainers.stepper import Eager, Stepper

CPU = torch.device("cpu")
BATCHES = 5
RECIPES: dict[str, dict[str, Any]] = {
    "plain": {},
    "accumulated": {"accumulate": 2},
    "in one step": {"accumulate": BATCHES},
    "dropping paths": {"path_dropout": 0.5},
    "moving within epochs": {"rate_per_step": True, "warmup_epochs": 1, "nesterov": True, "cutout": 4},
    "random boxes": {"crop": "resized", "colour_jitter": 0.4, "label_smoothing": 0.1},
}


class Repeating:
    """A recorder: does the work a few times, as CUDA's warm-up, and then again whenever it is replayed."""

    def __init__(self) -> None:
        self.recorded = self.closed = 0

    def __call__(self, work: Callable[[], None]) -> Recording:
        for _ in range(3):
            work()
        self.recorded += 1
        return _Repeated(self, work)


class _Repeated:
    def __init__(self, recorder: Repeating, work: Callable[[], None]) -> None:
        self._recorder, self.replay = recorder, work

    def close(self) -> None:
        self._recorder.closed += 1


def _eager(changes: dict[str, Any], device: torch.device = CPU, *, streamed: bool = False) -> Eager:
    rng = np.random.default_rng(0)
    images = Images("random", rng.integers(0, 256, (60, 3, 12, 12), dtype=np.uint8), np.arange(60) % 10, 10)
    small = {"batch_size": 10, "schedule_epochs": 3, "learning_rate": 0.1, "padding": 2}
    recipe = Recipe.model_validate(small | changes)
    split = datasets.split(images, Data(name="random", fingerprint="", validation_fraction=0.15))
    proxy = Proxy(channels=4, cells=3, resolution=8)
    data = DeviceData(images, split, proxy, recipe, 0, device, streamed=streamed)
    network = build(PUBLISHED["DARTS_V2"], Shape(4, 3, 10, 8), seed=0, form="plain", device=device)
    return Eager(network, SGD(network, recipe), data, recipe, 7, fused=True)


def _nothing() -> None:
    return None


def _trained(stepper: Stepper, first: int = 0) -> dict[str, float]:
    """Two epochs, of which the first is entered at a step, and their sums."""
    seen = 0
    for epoch in (1, 2):
        stepper.begin(epoch)
        for number in range(first if epoch == 1 else 0, stepper.steps):
            seen += stepper.step(number, _nothing)
    assert seen == stepper.sums.images
    return stepper.sums.numbers()


def _state(eager: Eager) -> Iterator[tuple[str, torch.Tensor]]:
    yield from eager.network.state_dict().items()
    yield from eager.optimizer.momentum.items()


def _same(ours: Eager, theirs: Eager) -> None:
    for (name, mine), (_, other) in zip(_state(ours), _state(theirs), strict=True):
        assert torch.equal(mine, other), name


@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
@pytest.mark.parametrize("window", [1, 2, 64])
def test_captured_steps_are_the_single_calls_bit_for_bit(changes: dict[str, Any], window: int) -> None:
    plain, inner, recorder = _eager(changes), _eager(changes), Repeating()
    captured = Captured(inner, recorder, window)
    assert captured.steps == plain.steps
    assert _trained(captured) == _trained(plain)
    _same(inner, plain)
    assert recorder.recorded == 1


def test_streamed_pixels_are_copied_step_by_step() -> None:
    plain, inner = _eager({}), _eager({}, streamed=True)
    assert _trained(Captured(inner, Repeating())) == _trained(plain)
    _same(inner, plain)


def test_an_epoch_can_be_entered_at_any_step() -> None:
    plain, inner = _eager({"path_dropout": 0.5}), _eager({"path_dropout": 0.5})
    assert _trained(Captured(inner, Repeating(), 2), first=3) == _trained(plain, first=3)
    _same(inner, plain)


def test_steps_in_another_order_have_the_same_draws() -> None:
    plain, inner = _eager({}), _eager({})
    captured = Captured(inner, Repeating())
    for stepper in (plain, captured):
        stepper.begin(1)
        for number in (4, 0, 1, 3):
            stepper.step(number, _nothing)
    _same(inner, plain)


def test_recording_leaves_no_trace() -> None:
    inner = _eager({})
    before = [value.clone() for _, value in _state(inner)]
    captured = Captured(inner, _refusing)
    captured.begin(1)
    with pytest.raises(torch.OutOfMemoryError):
        captured.step(0, _nothing)
    assert all(torch.equal(value, old) for (_, value), old in zip(_state(inner), before, strict=True))
    assert captured.sums.numbers() == {"loss": 0.0, "correct": 0, "images": 0}
    assert all(parameter.grad is None for parameter in inner.network.parameters())


def _refusing(work: Callable[[], None]) -> Recording:
    work()
    raise torch.OutOfMemoryError


def test_what_cannot_be_recorded_is_done_by_single_calls_and_logged(caplog: pytest.LogCaptureFixture) -> None:
    def failing(work: Callable[[], None]) -> Recording:
        work()
        raise RuntimeError("operation not permitted when stream is capturing")

    plain, inner = _eager({}), _eager({})
    with caplog.at_level(logging.WARNING, "coldframe.worker"):
        assert _trained(Captured(inner, failing)) == _trained(plain)
    _same(inner, plain)
    (record,) = caplog.records
    assert "not permitted when stream is capturing" in record.getMessage()


def test_scoring_sees_every_image_those_of_a_smaller_last_batch_too() -> None:
    plain, recorder = _eager({}), Repeating()
    captured = Captured(_eager({}), recorder)
    images, labels = next(plain.data.validation())
    assert len(labels) == 9
    batches = [(images[first : first + 4], labels[first : first + 4]) for first in range(0, 9, 4)]
    for _ in range(2):
        assert captured.evaluate(batches).numbers() == plain.evaluate(batches).numbers()
    assert recorder.recorded == 1
    assert captured.evaluate([]).images == 0


def test_scoring_between_epochs_sees_the_weights_of_the_moment() -> None:
    plain, inner = _eager({}), _eager({})
    captured = Captured(inner, Repeating())
    found = []
    for stepper in (plain, captured):
        scores = []
        for epoch in (1, 2):
            stepper.begin(epoch)
            for number in range(stepper.steps):
                stepper.step(number, _nothing)
            scores.append(stepper.evaluate(plain.data.validation()).numbers())
        found.append(scores)
    assert found[0] == found[1]
    assert found[0][0] != found[0][1]


def test_closing_gives_back_what_was_recorded() -> None:
    recorder = Repeating()
    captured = Captured(_eager({}), recorder)
    _trained(captured)
    captured.evaluate(captured._eager.data.validation())
    captured.close()
    assert (recorder.recorded, recorder.closed) == (2, 2)


def test_it_says_that_it_lives_before_every_step() -> None:
    beats: list[int] = []
    captured = Captured(_eager({"accumulate": 2}), Repeating())
    captured.begin(1)
    for number in range(captured.steps):
        captured.step(number, lambda number=number: beats.append(number))
    assert set(beats) == {0, 1, 2}


@pytest.mark.gpu
@pytest.mark.skipif(not torch.cuda.is_available(), reason="needs a CUDA device: torch.cuda.is_available() is false")
@pytest.mark.filterwarnings("ignore:.*deterministic.*:UserWarning")
@pytest.mark.parametrize("changes", RECIPES.values(), ids=RECIPES)
def test_a_cuda_graph_agrees_with_single_calls_on_the_gpu(changes: dict[str, Any]) -> None:
    """To rounding: cuDNN may choose other kernels while it captures, and some of its sums have no fixed order."""
    device = torch.device("cuda")
    make_deterministic(device)
    plain, inner = _eager(changes, device), _eager(changes, device)
    captured = Captured(inner, CudaGraphs())
    theirs, ours = _trained(plain), _trained(captured)
    assert captured._recordable, "nothing was captured: see the log"
    assert ours["loss"] == pytest.approx(theirs["loss"], rel=1e-3)
    for (name, mine), (_, other) in zip(_state(inner), _state(plain), strict=True):
        torch.testing.assert_close(mine, other, rtol=1e-2, atol=1e-3, msg=lambda text, name=name: f"{name}: {text}")
    scored = [stepper.evaluate(plain.data.validation()).means()[0] for stepper in (plain, captured)]
    assert scored[0] == pytest.approx(scored[1], rel=1e-2)
    captured.close()
