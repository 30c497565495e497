"""A training's state as tensors by block, and back."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from store.records.candidates import Recipe
from strategies.spaces import registry as spaces
from tests.trainers.desk import candidate
from trainers import state
from trainers.errors import CheckpointMismatch
from trainers.networks.network import Network, build
from trainers.networks.shape import Shape
from trainers.sgd import SGD
from trainers.step import Batch, Sums, train_step

DIGEST = "d" * 64


def _made(seed: int) -> tuple[Network, SGD]:
    asked = candidate()
    genotype = spaces.create(asked.space).decode(asked.architecture)
    network = build(genotype, Shape(4, 3, 10, 8), seed=seed)
    return network, SGD(network, Recipe())


def _trained(seed: int) -> tuple[Network, SGD]:
    network, optimizer = _made(seed)
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(seed))
    _step(network, optimizer, images)
    return network, optimizer


def _step(network: Network, optimizer: SGD, images: torch.Tensor) -> None:
    sums = Sums.zero(torch.device("cpu"))
    train_step(network.train(), optimizer, [Batch(images, torch.arange(8))], 1, 0.1, Recipe(), sums)


def _bytes(tensors: state.Tensors) -> dict[tuple[str, str, str], bytes]:
    return {
        (role, block, name): array.tobytes()
        for role, blocks in tensors.items()
        for block, named in blocks.items()
        for name, array in named.items()
    }


def test_a_state_put_into_another_network_is_the_same_bit_for_bit() -> None:
    tensors = state.tensors_of(*_trained(0))
    for target in (_made(1), _trained(1)):
        assert _bytes(state.tensors_of(*target)) != _bytes(tensors)
        state.restore(DIGEST, tensors, *target)
        assert _bytes(state.tensors_of(*target)) == _bytes(tensors)


def test_a_step_after_restoring_is_the_step_that_would_have_followed() -> None:
    """Guards the flat tensors of `SGD`: what is restored must be what it works on, joined or not."""
    first, second, third = _trained(0), _made(1), _trained(1)
    for target in (second, third):
        state.restore(DIGEST, state.tensors_of(*first), *target)
    images = torch.randn(8, 3, 8, 8, generator=torch.Generator().manual_seed(9))
    found = set()
    for network, optimizer in (first, second, third):
        _step(network, optimizer, images)
        found.add(str(sorted(_bytes(state.tensors_of(network, optimizer)).items())))
    assert len(found) == 1


def test_tensors_are_grouped_by_block_of_the_network() -> None:
    tensors = state.tensors_of(*_made(0))
    for role in ("model", "optimizer"):
        assert list(tensors[role]) == ["stem", "cell00", "cell01", "cell02", "head"]
    assert set(tensors["optimizer"]["head"]) == {"weight", "bias"}
    assert set(tensors["model"]["stem"]) > set(tensors["optimizer"]["stem"])


def test_weights_alone_need_no_momentum() -> None:
    network, _ = _made(1)
    tensors = state.tensors_of(*_trained(0))
    state.restore(DIGEST, tensors, network)
    assert _bytes(state.tensors_of(network)) == {
        place: data for place, data in _bytes(tensors).items() if place[0] == "model"
    }


def _without(named: dict[str, Any]) -> None:
    del named["weight"]


def _with_another(named: dict[str, Any]) -> None:
    named["another"] = np.zeros(1, np.float32)


def _reshaped(named: dict[str, Any]) -> None:
    named["weight"] = named["weight"].reshape(-1)


def _doubled(named: dict[str, Any]) -> None:
    named["weight"] = named["weight"].astype(np.float64)


@pytest.mark.parametrize(
    ("change", "words"),
    [
        (_without, "the checkpoint lacks model/head/weight"),
        (_with_another, "the network has no model/head/another"),
        (_reshaped, "for model/head/weight"),
        (_doubled, "float64 in the checkpoint"),
    ],
)
def test_a_state_that_does_not_fit_is_refused_and_nothing_is_written(change: Any, words: str) -> None:
    target, tensors = _made(1), state.tensors_of(*_trained(0))
    before = _bytes(state.tensors_of(*target))
    change(tensors["model"]["head"])
    with pytest.raises(CheckpointMismatch, match=words):
        state.restore(DIGEST, tensors, *target)
    assert _bytes(state.tensors_of(*target)) == before
