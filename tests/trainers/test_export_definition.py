"""`network.py` of an export: plain PyTorch computes what our networks compute."""

from __future__ import annotations

import ast
import sys
from pathlib import Path

import numpy as np
import pytest
import torch
from torch import nn

from store.records.candidates import Named
from strategies.spaces import registry as spaces
from strategies.spaces.genotype import OPERATIONS, Genotype
from strategies.spaces.nasbench201 import OPERATIONS as BENCH_OPERATIONS
from strategies.spaces.nasbench201 import BenchGenotype
from strategies.spaces.published import PUBLISHED
from strategies.spaces.published_mobile import PUBLISHED_MOBILE
from trainers.export import definition
from trainers.networks.network import AnyGenotype, Network, build
from trainers.networks.shape import UNSAID_CELLS, Shape

SMALL = Shape(4, 3, 10, 8, input_channels=1)
ODD = Shape(4, 5, 3, 13)
LARGE = Shape(4, 3, 5, 40, stem="imagenet")
AUXILIARY = Shape(4, 3, 10, 29, auxiliary=True)


def trained(genotype: AnyGenotype, shape: Shape) -> Network:
    """A network whose statistics and scales are no longer the initial ones."""
    network, generator = build(genotype, shape, seed=1), torch.Generator().manual_seed(2)
    with torch.no_grad():
        for name, tensor in network.state_dict().items():
            if "norm" in name:
                tensor.uniform_(0.5, 1.5, generator=generator)
    return network.eval()


def plain(genotype: AnyGenotype, shape: Shape, folder: Path) -> nn.Module:
    path = folder / definition.FILE
    path.write_text(definition.text("A network", genotype, shape))
    return definition.load(path)


def assert_same(genotype: AnyGenotype, shape: Shape, folder: Path) -> None:
    network, exported = trained(genotype, shape), plain(genotype, shape, folder)
    exported.load_state_dict(definition.state(network.state_dict(), exported))
    size = (3, shape.input_channels, shape.resolution, shape.resolution)
    images = torch.randn(size, generator=torch.Generator().manual_seed(3))
    with torch.no_grad():
        torch.testing.assert_close(exported.eval()(images), network(images).logits, atol=1e-5, rtol=1e-5)


def of_one_operation(name: str) -> Genotype:
    """A genotype that has the operation with both strides, once on each input and once on a node."""
    cell = (((name, 0), ("skip_connect", 1)), ((name, 2), (name, 1)))
    return Genotype(cell, cell, (2, 3), (3,))


@pytest.mark.parametrize("name", OPERATIONS)
def test_every_operation_computes_the_same_with_both_strides(name: str, tmp_path: Path) -> None:
    assert_same(of_one_operation(name), SMALL, tmp_path)


@pytest.mark.parametrize("shape", [SMALL, ODD, LARGE, AUXILIARY], ids=["small", "odd", "imagenet", "auxiliary"])
def test_stems_and_sizes_compute_the_same_and_the_auxiliary_head_is_left_out(shape: Shape, tmp_path: Path) -> None:
    assert_same(PUBLISHED["DARTS_V2"], shape, tmp_path)
    assert not any("auxiliary" in name for name in plain(PUBLISHED["DARTS_V2"], shape, tmp_path).state_dict())


@pytest.mark.parametrize("seed", range(3))
def test_random_networks_of_the_zoo_compute_the_same(seed: int, tmp_path: Path) -> None:
    space = spaces.create(Named(name="zoo"))
    assert_same(space.decode(space.random(np.random.default_rng(seed))), SMALL, tmp_path)


@pytest.mark.parametrize("name", BENCH_OPERATIONS)
def test_networks_of_nasbench201_compute_the_same(name: str, tmp_path: Path) -> None:
    operations = (name, "skip_connect", name, "nor_conv_3x3", name, "avg_pool_3x3")
    assert_same(BenchGenotype(operations), SMALL._replace(cells=5), tmp_path)


@pytest.mark.parametrize("shape", [SMALL, LARGE], ids=["small", "imagenet"])
@pytest.mark.parametrize("name", PUBLISHED_MOBILE)
def test_mobile_networks_compute_the_same(name: str, shape: Shape, tmp_path: Path) -> None:
    assert_same(PUBLISHED_MOBILE[name], shape._replace(cells=UNSAID_CELLS), tmp_path)


def test_random_mobile_networks_with_every_operation_and_skip_compute_the_same(tmp_path: Path) -> None:
    space = spaces.create(Named(name="mnas"))
    genotype = space.decode(space.random(np.random.default_rng(1)))
    layers = list(genotype.layers(4, small=True))
    assert {layer.operation for layer in layers} == {"cn", "ds", "ir"}
    assert {layer.skip for layer in layers} == {"identity", "pool", "none"}
    assert_same(genotype, ODD._replace(cells=UNSAID_CELLS), tmp_path)


@pytest.mark.parametrize("shape", [SMALL, LARGE])
def test_the_names_of_parameters_are_those_of_the_weights_and_nothing_else_counts(shape: Shape, tmp_path: Path) -> None:
    genotype = PUBLISHED["DARTS_V1"]
    network, exported = build(genotype, shape, seed=1), plain(genotype, shape, tmp_path)
    weights = definition.state(network.state_dict(), exported)
    assert list(weights) == list(exported.state_dict())
    assert sum(each.numel() for each in exported.parameters()) == sum(each.numel() for each in network.parameters())


def test_the_file_needs_torch_alone_and_says_the_genotype(tmp_path: Path) -> None:
    genotype = PUBLISHED["DARTS_V2"]
    tree = ast.parse(definition.text("A network", genotype, SMALL))
    imports = [node for node in ast.walk(tree) if isinstance(node, ast.Import | ast.ImportFrom)]
    names = {alias.name for node in imports if isinstance(node, ast.Import) for alias in node.names}
    names |= {node.module or "" for node in imports if isinstance(node, ast.ImportFrom)}
    assert {name.split(".")[0] for name in names} - set(sys.stdlib_module_names) == {"torch"}
    values = {
        node.target.id: ast.literal_eval(node.value)
        for node in tree.body
        if isinstance(node, ast.AnnAssign) and isinstance(node.target, ast.Name) and node.value is not None
    }
    assert values["GENOTYPE"] == definition.describe(genotype)
    assert values["SHAPE"] == {"channels": 4, "cells": 3, "classes": 10, "input_channels": 1, "stem": "cifar"}


def test_a_missing_tensor_is_an_error_and_no_random_weight(tmp_path: Path) -> None:
    network, exported = (
        trained(of_one_operation("conv_3x3"), SMALL),
        plain(of_one_operation("conv_3x3"), SMALL, tmp_path),
    )
    weights = network.state_dict()
    del weights["cell01.preprocess1.weights.0"]
    with pytest.raises(KeyError, match=r"cell01\.preprocess1\.convolutions\.0\.weight"):
        definition.state(weights, exported)
