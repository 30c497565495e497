"""The networks of NAS-Bench-201: against a plain one of torch's modules, in all forms, and through the trainer."""

from __future__ import annotations

from pathlib import Path
from typing import Any, cast

import numpy as np
import pytest
import torch
from torch import Tensor, nn

from store.records.candidates import Candidate, Named, Proxy
from store.records.requests import Evaluate, Measure, Train
from strategies.spaces.nasbench201 import EDGES, OPERATIONS, BenchGenotype, BenchSpace
from tests.trainers.desk import Desk, candidate
from trainers.cost import cost
from trainers.errors import ImpossibleSetting
from trainers.networks.base import Network
from trainers.networks.network import FormName, build, fastest
from trainers.networks.shape import Shape

SPACE = BenchSpace()
SMALL = Shape(channels=4, cells=5, classes=5, resolution=8)
CELLS = [
    "|nor_conv_3x3~0|+|nor_conv_3x3~0|nor_conv_3x3~1|+|nor_conv_3x3~0|nor_conv_3x3~1|nor_conv_3x3~2|",
    "|avg_pool_3x3~0|+|avg_pool_3x3~0|nor_conv_1x1~1|+|skip_connect~0|avg_pool_3x3~1|nor_conv_3x3~2|",
    "|skip_connect~0|+|none~0|skip_connect~1|+|nor_conv_1x1~0|skip_connect~1|skip_connect~2|",
    "|none~0|+|nor_conv_3x3~0|nor_conv_1x1~1|+|none~0|avg_pool_3x3~1|skip_connect~2|",
    "|nor_conv_3x3~0|+|none~0|avg_pool_3x3~1|+|skip_connect~0|none~1|none~2|",
    "|none~0|+|none~0|none~1|+|none~0|none~1|none~2|",
]


class Published(nn.Module):
    """AutoDL-Projects' `TinyNetwork` with torch's modules: every edge computed, in its order, nothing shared."""

    def __init__(self, genotype: BenchGenotype, shape: Shape) -> None:
        super().__init__()
        channels, stage = shape.channels, (shape.cells - 2) // 3
        self.genotype = genotype
        self.stem = nn.Sequential(conv(3, channels, 3), nn.BatchNorm2d(channels))
        cells: list[nn.Module] = []
        for index in range(3):
            if index:
                cells.append(reduction(channels))
                channels *= 2
            cells += [nn.ModuleList(edge(name, channels) for name in genotype.operations) for _ in range(stage)]
        self.cells = nn.ModuleList(cells)
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, shape.classes)

    def forward(self, images: Tensor) -> Tensor:
        x = self.stem(images)
        for cell in self.cells:
            if isinstance(cell, nn.ModuleDict):
                x = cell["shortcut"](x) + cell["inner"](x)
                continue
            states = [x]
            for node in (1, 2, 3):
                entering = [index for index, (target, _) in enumerate(EDGES) if target == node]
                edges = cast(nn.ModuleList, cell)
                terms = [edges[index](states[EDGES[index][1]]) for index in entering]
                states.append(sum(terms[1:], terms[0]))
            x = states[-1]
        scores: Tensor = self.head(torch.relu(self.norm(x)).mean((2, 3)))
        return scores


class Zero(nn.Module):
    def forward(self, x: Tensor) -> Tensor:
        return x * 0


def conv(channels_in: int, channels: int, kernel: int, stride: int = 1) -> nn.Conv2d:
    return nn.Conv2d(channels_in, channels, kernel, stride, kernel // 2, bias=False)


def unit(channels_in: int, channels: int, kernel: int, stride: int = 1) -> nn.Sequential:
    return nn.Sequential(nn.ReLU(), conv(channels_in, channels, kernel, stride), nn.BatchNorm2d(channels))


def edge(name: str, channels: int) -> nn.Module:
    if name.startswith("nor_conv"):
        return unit(channels, channels, int(name[-1]))
    pool = nn.AvgPool2d(3, 1, 1, count_include_pad=False)
    return {"none": Zero(), "skip_connect": nn.Identity(), "avg_pool_3x3": pool}[name]


def reduction(channels: int) -> nn.ModuleDict:
    inner = nn.Sequential(unit(channels, 2 * channels, 3, 2), unit(2 * channels, 2 * channels, 3))
    return nn.ModuleDict(
        {"inner": inner, "shortcut": nn.Sequential(nn.AvgPool2d(2, 2), conv(channels, 2 * channels, 1))}
    )


def give_weights(ours: Network, theirs: Published) -> None:
    """Copies the weights, which are in the same order but for a residual block's shortcut, the first one of ours."""
    sources = dict(ours.named_parameters())
    cells = {f"cell{index:02d}": cell for index, cell in enumerate(theirs.cells)}
    for name, cell in cells.items():
        if isinstance(cell, nn.ModuleDict):
            place(cell["shortcut"], [sources.pop(f"{name}.shortcut")])
            place(cell["inner"], [sources.pop(key) for key in list(sources) if key.startswith(f"{name}.")])
    shared = [module for name, module in theirs.named_children() if name != "cells"]
    plain = [cell for cell in theirs.cells if not isinstance(cell, nn.ModuleDict)]
    targets = [shared[0], *plain, *shared[1:]]
    place(nn.ModuleList(targets), list(sources.values()))


@torch.no_grad()
def place(module: nn.Module, weights: list[Tensor]) -> None:
    targets = list(module.parameters())
    assert [target.shape for target in targets] == [weight.shape for weight in weights]
    for target, weight in zip(targets, weights, strict=True):
        target.copy_(weight)


def cells() -> list[BenchGenotype]:
    rng = np.random.default_rng(0)
    return [*map(BenchGenotype.from_string, CELLS), *(SPACE.decode(SPACE.random(rng)) for _ in range(8))]


@pytest.mark.parametrize("form", ["plain", "channels_last", "batch_last"])
@pytest.mark.parametrize("genotype", cells(), ids=BenchGenotype.to_string)
def test_every_form_computes_what_the_published_network_does(genotype: BenchGenotype, form: FormName) -> None:
    ours = build(genotype, SMALL, seed=3, form=form).double()
    theirs = Published(genotype, SMALL).double()
    give_weights(ours, theirs)
    images = torch.randn(6, 3, 8, 8, dtype=torch.float64, generator=torch.Generator().manual_seed(1))
    for training in (True, False):
        found, expected = ours.train(training)(images).logits, theirs.train(training)(images)
        torch.testing.assert_close(found, expected)
    theirs.train()(images).square().sum().backward()
    ours.train()(images).logits.square().sum().backward()
    for name, of_ours, of_theirs in (
        ("stem", ours.get_parameter("stem.weights.0"), next(theirs.stem.parameters())),
        ("head", ours.head.weight, theirs.head.weight),
    ):
        assert of_theirs.grad is not None, name
        found = torch.zeros_like(of_theirs) if of_ours.grad is None else of_ours.grad
        torch.testing.assert_close(found, of_theirs.grad, msg=name)


@pytest.mark.parametrize("resolution", [4, 12, 16])
@pytest.mark.parametrize("text", CELLS)
def test_gradients_and_statistics_are_the_same_in_all_forms(text: str, resolution: int) -> None:
    size, seeded = (5, 3, resolution, resolution), torch.Generator().manual_seed(resolution)
    genotype, images = BenchGenotype.from_string(text), torch.randn(size, dtype=torch.float64, generator=seeded)
    found = []
    for form in ("plain", "channels_last", "batch_last"):
        network = build(genotype, SMALL._replace(resolution=resolution), seed=1, form=form).double()
        network(images).logits.square().sum().backward()
        gradients = {name: parameter.grad for name, parameter in network.named_parameters()}
        found.append(gradients | {name: each for name, each in network.state_dict().items() if "running" in name})
    for other in found[1:]:
        for name, tensor in found[0].items():
            assert (tensor is None) == (other[name] is None), name
            if tensor is not None:
                torch.testing.assert_close(other[name], tensor, msg=name, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize(
    ("operation", "parameters", "multiply_adds"),
    [
        ("nor_conv_3x3", 1_531_546, 220_119_680),
        ("nor_conv_1x1", 241_306, 31_376_000),
        ("skip_connect", 73_306, 7_783_040),
        ("none", 73_306, 7_783_040),
        ("avg_pool_3x3", 73_306, 7_783_040),
    ],
)
def test_published_counts(operation: str, parameters: int, multiply_adds: int) -> None:
    """Facts C: 16 channels, five cells a stage, 10 classes."""
    assert cost(BenchGenotype((operation,) * 6), Shape(16, 17, 10, 32)) == (parameters, multiply_adds)


def test_edges_that_cannot_reach_the_output_are_counted_but_not_computed() -> None:
    hidden = BenchGenotype.from_string(CELLS[4].replace("nor_conv_3x3~0", "nor_conv_1x1~0"))
    shown = BenchGenotype(
        tuple("nor_conv_1x1" if name == "nor_conv_1x1" else "skip_connect" for name in hidden.operations)
    )
    assert cost(hidden, SMALL) == cost(shown, SMALL)
    network = build(hidden, SMALL, seed=0)
    network(torch.randn(2, 3, 8, 8)).logits.sum().backward()
    assert network.get_parameter("cell00.edges.0.weights.0").grad is None


def test_blocks_are_the_stem_the_cells_and_the_two_parts_of_the_head() -> None:
    network = build(BenchGenotype.from_string(CELLS[0]), SMALL._replace(cells=8), seed=0)
    blocks = network.blocks()
    assert list(blocks) == ["stem", *(f"cell{index:02d}" for index in range(8)), "norm", "head"]
    assert [name for name, block in blocks.items() if "shortcut" in block] == ["cell02", "cell05"]
    assert sum(len(block) for block in blocks.values()) == len(network.state_dict())


def test_there_is_nothing_to_drop_and_no_auxiliary_head() -> None:
    network = build(BenchGenotype.from_string(CELLS[0]), SMALL, seed=0)
    assert network.paths == 0
    assert network(torch.randn(2, 3, 8, 8), keep=torch.ones(0, 2)).auxiliary is None


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"cells": 20}, None),
        ({"cells": 6}, r"proxy\.cells is 6: expected 3N \+ 2"),
        ({"cells": 3}, r"proxy\.cells is 3"),
        ({"resolution": 10}, r"proxy\.resolution is 10: expected a multiple of 4"),
        ({"stem": "imagenet", "resolution": 224}, r"proxy\.stem is 'imagenet': expected cifar"),
        ({"auxiliary": True, "resolution": 32}, r"trainer\.auxiliary is True: expected false"),
    ],
)
def test_settings_that_cannot_be_are_refused_by_their_key(changes: dict[str, Any], said: str | None) -> None:
    genotype, shape = BenchGenotype.from_string(CELLS[0]), SMALL._replace(**changes)
    if said is None:
        assert len(build(genotype, shape, seed=0).blocks()) == 3 + 20
        return
    for verb in (lambda: build(genotype, shape, seed=0), lambda: cost(genotype, shape)):
        with pytest.raises(ImpossibleSetting, match=said):
            verb()


def test_images_of_a_size_that_cannot_be_halved_twice_are_refused() -> None:
    with pytest.raises(ImpossibleSetting, match="resolution is 6"):
        build(BenchGenotype.from_string(CELLS[0]), SMALL, seed=0)(torch.zeros(1, 3, 6, 6))


def test_the_form_is_chosen_by_device_genotype_and_shape() -> None:
    dense, cpu = BenchGenotype.from_string(CELLS[0]), torch.device("cpu")
    assert fastest(dense, SMALL, cpu) == "batch_last"
    assert fastest(dense, Shape(16, 17, 10, 32), cpu) == "channels_last"
    assert fastest(BenchGenotype.from_string(CELLS[2]), Shape(16, 17, 10, 32), cpu) == "batch_last"
    assert fastest(dense, SMALL, torch.device("cuda")) == "plain"


def bench_candidate(**changes: Any) -> Candidate:
    architecture = SPACE.encode(BenchGenotype.from_string(CELLS[1]))
    proxy = Proxy(channels=4, cells=5, sample_ratio=0.25)
    fields: dict[str, Any] = {"space": Named(name="nasbench201"), "architecture": architecture, "proxy": proxy}
    return candidate(**{**fields, **changes})


def test_the_cell_trainer_trains_scores_and_measures_them_and_goes_on_bit_for_bit(tmp_path: Path) -> None:
    """On the digits: 8 x 8 pixels, so that the last stage has 2 x 2."""
    asked = bench_candidate()
    with Desk(tmp_path) as desk:
        at_once = desk.do(Train(candidate=asked, epochs=4))
        half = desk.do(Train(candidate=asked, epochs=2))
        assert desk.do(Train(candidate=asked, epochs=4), resume=half.checkpoint) == at_once
        assert at_once.history[-1].train_loss < at_once.history[0].train_loss
        scored = desk.do(Evaluate(candidate=asked, checkpoint=at_once.checkpoint))
        assert scored.accuracy == at_once.history[-1].validation_accuracy
        counted = desk.do(Measure(candidate=asked))
        assert (counted.parameters, counted.multiply_adds) == (at_once.parameters, at_once.multiply_adds)


def test_a_setting_that_cannot_be_is_refused_before_any_training(tmp_path: Path) -> None:
    asked = bench_candidate(proxy=Proxy(channels=4, cells=20, resolution=6))
    with Desk(tmp_path) as desk, pytest.raises(ImpossibleSetting, match=r"proxy\.resolution is 6"):
        desk.do(Train(candidate=asked, epochs=1))


def test_every_operation_is_in_the_tests() -> None:
    assert {name for text in CELLS for name in BenchGenotype.from_string(text).operations} == set(OPERATIONS)
