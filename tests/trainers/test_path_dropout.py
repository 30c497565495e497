"""Path dropout: which edges may be dropped, and what is computed and learnt then, in every form."""

from __future__ import annotations

from typing import cast

import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch import Tensor

from strategies.spaces.genotype import Genotype
from strategies.spaces.published import PUBLISHED
from tests.trainers.test_networks_forms import genotypes
from trainers.networks.cell_network import CellNetwork
from trainers.networks.cells import Cell
from trainers.networks.forms import Plain
from trainers.networks.network import FormName, build
from trainers.networks.operations import Identity, Operation
from trainers.networks.shape import Shape

SHAPE = Shape(channels=4, cells=3, classes=5, resolution=8)
PLAIN = Plain()


def made(genotype: Genotype, form: FormName = "plain", shape: Shape = SHAPE) -> CellNetwork:
    return cast(CellNetwork, build(genotype, shape, seed=2, form=form).double())


def masks(paths: int, images: int, probability: float = 0.4) -> Tensor:
    drawn = torch.rand(paths, images, generator=torch.Generator().manual_seed(paths)) >= probability
    return drawn.double() / (1 - probability)


def batch(resolution: int = 8, images: int = 6) -> Tensor:
    generator = torch.Generator().manual_seed(images)
    return torch.randn(images, 3, resolution, resolution, dtype=torch.float64, generator=generator)


def as_published(network: CellNetwork, images: Tensor, keep: Tensor) -> Tensor:
    """DARTS's forward pass with `drop_path`, on the network's operations: each edge by itself, nothing shared."""
    older = last = network.stem(images, PLAIN)
    rows = iter(keep)
    for cell in network.cells():
        older, last = last, cell_as_published(cell, older, last, rows)
    scores: Tensor = network.head(last.mean((2, 3)))
    return scores


def cell_as_published(cell: Cell, older: Tensor, last: Tensor, rows: object) -> Tensor:
    states = [cell.preprocess0(torch.relu(older), PLAIN), cell.preprocess1(torch.relu(last), PLAIN)]
    for number, node in enumerate(cell.nodes):
        terms = []
        for index, (_, state) in enumerate(node):
            operation = cast(Operation, cell.edges[2 * number + index])
            source = torch.relu(states[state]) if operation.rectifies else states[state]
            term = operation(source, PLAIN)
            if number + 2 in cell.live and operation.contributes and not isinstance(operation, Identity):
                term = term * next(rows)[:, None, None, None]  # type: ignore[call-overload]
            terms.append(term)
        states.append(terms[0] + terms[1])
    return torch.cat([states[number] for number in cell.concat], dim=1)


def learnt(network: CellNetwork, images: Tensor, keep: Tensor, scores: Tensor | None = None) -> dict[str, Tensor]:
    scores = network(images, keep=keep).logits if scores is None else scores
    scores.square().sum().backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    return {"scores": scores.detach(), **gradients}


def assert_same(found: dict[str, Tensor], wanted: dict[str, Tensor]) -> None:
    for name, tensor in wanted.items():
        other = found.get(name, torch.zeros_like(tensor))
        torch.testing.assert_close(other, tensor, msg=name, atol=1e-9, rtol=1e-7)


@pytest.mark.parametrize("form", ["plain", "channels_last", "batch_last"])
@pytest.mark.parametrize("name", ["DARTS_V2", "AmoebaNet", "SETN"])
def test_scores_and_gradients_are_those_of_plain_autograd(name: str, form: FormName) -> None:
    """AmoebaNet's cells have pools and strided skips that are dropped, and equal pools that share a computation."""
    images, network, reference = batch(), made(PUBLISHED[name], form), made(PUBLISHED[name])
    keep = masks(network.paths, len(images))
    wanted = learnt(reference, images, keep, as_published(reference, images, keep))
    assert_same(learnt(network, images, keep), wanted)


@settings(deadline=None, max_examples=25)
@given(genotypes(), st.sampled_from(["plain", "batch_last"]))
def test_the_same_for_random_cells(genotype: Genotype, form: FormName) -> None:
    images, network, reference = batch(), made(genotype, form), made(genotype)
    keep = masks(network.paths, len(images))
    wanted = learnt(reference, images, keep, as_published(reference, images, keep))
    assert_same(learnt(network, images, keep), wanted)


@pytest.mark.parametrize("form", ["plain", "channels_last", "batch_last"])
def test_ones_drop_nothing(form: FormName) -> None:
    images, network = batch(), made(PUBLISHED["SETN"], form)
    ones = torch.ones(network.paths, len(images), dtype=torch.float64)
    assert torch.equal(network(images, keep=ones).logits, network(images).logits)


def test_each_image_has_its_own_paths() -> None:
    """In evaluation, where images do not meet in normalisations: only the image whose paths are dropped changes."""
    images, network = batch(), made(PUBLISHED["DARTS_V2"], "batch_last").eval()
    keep = torch.ones(network.paths, len(images), dtype=torch.float64)
    keep[:, 2] = 0
    with torch.no_grad():
        changed = (network(images, keep=keep).logits != network(images).logits).any(dim=1)
    assert changed.tolist() == [index == 2 for index in range(len(images))]


def test_identities_and_what_has_no_effect_are_never_dropped() -> None:
    nodes = (
        (("skip_connect", 0), ("none", 1)),  # an identity in a normal cell, a strided skip in a reduction
        (("max_pool_3x3", 1), ("sep_conv_3x3", 0)),
        (("sep_conv_3x3", 0), ("sep_conv_3x3", 1)),  # no node reads it
    )
    network = made(Genotype(nodes, nodes, (2, 3), (2, 3)))
    assert [cell.paths for cell in network.cells()] == [2, 3, 3]
    assert network.paths == 8


def test_darts_v2_has_6_paths_in_a_normal_cell_and_8_less_its_identities_in_a_reduction() -> None:
    network = made(PUBLISHED["DARTS_V2"], shape=SHAPE._replace(cells=8))
    assert [cell.paths for cell in network.cells()] == [6, 6, 5, 6, 6, 5, 6, 6]
