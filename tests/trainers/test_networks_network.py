"""Cells and whole networks: shapes, blocks, initial weights, settings that cannot be."""

from __future__ import annotations

import pytest
import torch
from torch.nn import functional as F

from strategies.spaces.genotype import Genotype, loose_ends
from strategies.spaces.published import PUBLISHED
from trainers.errors import ImpossibleSetting
from trainers.networks.network import build
from trainers.networks.shape import Shape

SMALL = Shape(channels=4, cells=5, classes=10, resolution=8)


def make(name="DARTS_V2", seed=0, form=None, **changes):
    return build(PUBLISHED[name], SMALL._replace(**changes), seed=seed, form=form)


@pytest.mark.parametrize("name", ["NASNet", "AmoebaNet"])
def test_loose_ends_are_the_published_concat_lists(name):
    genotype = PUBLISHED[name]
    assert loose_ends(genotype.normal) == genotype.normal_concat
    assert loose_ends(genotype.reduce) == genotype.reduce_concat


@pytest.mark.parametrize(("cells", "reductions"), [(20, [6, 13]), (14, [4, 9]), (8, [2, 5]), (5, [1, 3]), (3, [1, 2])])
def test_reductions_stand_at_one_and_two_thirds(cells, reductions):
    network = make(cells=cells)
    assert [index for index, cell in enumerate(network.cells()) if cell.reduction] == reductions


@pytest.mark.parametrize("resolution", [4, 8, 9, 12, 16, 24, 32])
@pytest.mark.parametrize("input_channels", [1, 3])
def test_any_resolution_and_grey_images(resolution, input_channels):
    network = make("AmoebaNet", resolution=resolution, input_channels=input_channels)
    logits, auxiliary = network(torch.randn(2, input_channels, resolution, resolution))
    assert logits.shape == (2, 10)
    assert auxiliary is None


def test_auxiliary_head_answers_in_training_only():
    network = make(auxiliary=True, resolution=32)
    images = torch.randn(2, 3, 32, 32)
    assert network(images).auxiliary.shape == (2, 10)
    assert network.eval()(images).auxiliary is None


def test_auxiliary_head_reads_the_second_reduction():
    network = make(auxiliary=True, resolution=32)
    network(torch.randn(2, 3, 32, 32)).auxiliary.sum().backward()
    reached = [index for index, cell in enumerate(network.cells()) if cell.preprocess1.norm.weight.grad is not None]
    assert reached == [0, 1, 2, 3]


def test_auxiliary_head_that_does_not_fit_is_refused_when_built_and_when_run():
    with pytest.raises(ImpossibleSetting, match=r"proxy\.resolution is 24: expected 29 to 40 pixels"):
        make(auxiliary=True, resolution=24)
    with pytest.raises(ImpossibleSetting, match="resolution is 24"):
        make(auxiliary=True, resolution=32)(torch.randn(2, 3, 24, 24))


LARGE = {"stem": "imagenet", "resolution": 64}


@pytest.mark.parametrize("form", ["plain", "batch_last"])
def test_the_imagenet_stem_divides_the_size_by_eight_and_gives_two_states(form):
    network = make(form=form, **LARGE)
    blocks = network.blocks()
    assert list(blocks)[:3] == ["stem", "stem1", "cell00"]
    shapes = [
        tuple(blocks[block][name].shape) for block, name in (("stem", "first.weights.0"), ("stem", "second.weights.0"))
    ]
    assert [*shapes, tuple(blocks["stem1"]["weights.0"].shape)] == [(2, 3, 3, 3), (4, 2, 3, 3), (4, 4, 3, 3)]
    assert "preprocess0.even" in blocks["cell00"]  # the first cell halves the older state
    assert network(torch.randn(2, 3, 64, 64)).logits.shape == (2, 10)


def test_the_imagenet_stem_computes_what_darts_does():
    """Against torch's functions: two strided convolutions with a ReLU between, and a third after another."""
    network = make(form="plain", **LARGE).double()
    images, seen = torch.randn(3, 3, 64, 64, dtype=torch.float64), []
    network.cell00.register_forward_pre_hook(lambda cell, given: seen.extend(state.value for state in given[:2]))
    network(images)

    def unit(x, weight):
        return F.batch_norm(F.conv2d(x, weight, None, 2, 1), None, None, training=True)

    stem, stem1 = network.stem, network.stem1
    older = unit(torch.relu(unit(images, stem.first.weights[0])), stem.second.weights[0])
    torch.testing.assert_close(seen[0], older)
    torch.testing.assert_close(seen[1], unit(torch.relu(older), stem1.weights[0]))
    assert (seen[0].shape[-1], seen[1].shape[-1]) == (16, 8)


@pytest.mark.parametrize("resolution", [200, 224, 256])
@pytest.mark.parametrize("form", ["plain", "batch_last"])
def test_the_auxiliary_head_of_large_images(resolution, form):
    network = make(cells=3, stem="imagenet", resolution=resolution, auxiliary=True, form=form)
    assert network(torch.randn(1, 3, resolution, resolution)).auxiliary.shape == (1, 10)
    assert [name for name in network.auxiliary.state_dict() if name.startswith("norm")] == []


@pytest.mark.parametrize(
    ("changes", "said"),
    [
        ({"resolution": 2}, r"proxy\.resolution is 2: expected at least 4 pixels, for the cifar network"),
        ({"stem": "imagenet", "resolution": 31}, r"proxy\.resolution is 31: expected at least 32 pixels"),
        ({"stem": "imagenet", "resolution": 64, "channels": 5}, r"proxy\.channels is 5: expected an even number"),
        ({"stem": "imagenet", "resolution": 192, "auxiliary": True}, r"resolution is 192: expected 193 to 256 pixels"),
        ({"stem": "imagenet", "resolution": 257, "auxiliary": True}, r"resolution is 257: expected 193 to 256 pixels"),
    ],
)
def test_shapes_that_cannot_be_are_refused_by_their_key(changes, said):
    with pytest.raises(ImpossibleSetting, match=said):
        make(**changes)


def test_both_forms_compute_the_same_with_the_imagenet_stem():
    images, found = torch.randn(3, 3, 48, 48, dtype=torch.float64), []
    for form in ("plain", "batch_last"):
        network = make("AmoebaNet", form=form, stem="imagenet", resolution=48).double()
        logits = network(images).logits
        logits.square().sum().backward()
        found.append([logits.detach(), *(each.grad for each in network.parameters() if each.grad is not None)])
    for ours, theirs in zip(*found, strict=True):
        torch.testing.assert_close(ours, theirs, atol=1e-9, rtol=1e-6)


def test_blocks_are_the_prefixes_of_the_state():
    network = make(auxiliary=True, resolution=32)
    blocks = network.blocks()
    assert list(blocks) == ["stem", "cell00", "cell01", "cell02", "cell03", "auxiliary", "cell04", "head"]
    joined = {f"{block}.{name}": tensor for block, tensors in blocks.items() for name, tensor in tensors.items()}
    state = network.state_dict()
    assert joined.keys() == state.keys()
    assert all(joined[name].data_ptr() == tensor.data_ptr() for name, tensor in state.items())


def test_no_batch_counters_are_stored():
    assert not [name for name in make().state_dict() if "num_batches" in name]


def test_state_can_be_moved_to_another_network():
    source, target = make(seed=1), make(seed=2)
    source(torch.randn(4, 3, 8, 8))
    target.load_state_dict(source.state_dict())
    images = torch.randn(2, 3, 8, 8)
    assert torch.equal(source.eval()(images).logits, target.eval()(images).logits)


def test_initial_weights_depend_on_the_seed_alone():
    before = torch.get_rng_state()
    first = make(seed=5).state_dict()
    assert torch.equal(torch.get_rng_state(), before)
    torch.manual_seed(99)
    torch.rand(3)
    second, other = make(seed=5, form="plain").state_dict(), make(seed=6).state_dict()
    assert all(torch.equal(first[name], second[name]) for name in first)
    assert not torch.equal(first["stem.weights.0"], other["stem.weights.0"])


def test_another_block_changes_no_weights():
    without, with_head = make().state_dict(), make(auxiliary=True, resolution=32).state_dict()
    assert all(torch.equal(tensor, with_head[name]) for name, tensor in without.items())


def test_initial_weights_are_distributed_as_in_pytorch():
    state = make(channels=16).state_dict()
    for name, fan_in in (("cell00.preprocess0.weights.0", 48), ("cell00.edges.0.halves.0.depthwise", 9)):
        weight = state[name]
        bound = fan_in**-0.5
        assert weight.abs().max() <= bound
        assert weight.std().item() == pytest.approx(bound / 3**0.5, rel=0.15)
    assert torch.equal(state["cell00.preprocess0.norm.weight"], torch.ones(16))
    assert torch.equal(state["cell00.preprocess0.norm.running_var"], torch.ones(16))
    # head.bias has the bound of head.weight, 1 / sqrt(inputs).
    assert state["head.bias"].abs().max() <= state["head.weight"].shape[1] ** -0.5


def test_a_genotype_of_nothing_gives_a_constant():
    nothing = (("none", 0), ("none", 1))
    network = build(Genotype((nothing,), (nothing,), (2,), (2,)), SMALL, seed=0)
    logits = network(torch.randn(3, 3, 8, 8)).logits
    assert torch.equal(logits, network.head.bias.expand(3, 10))
    logits.sum().backward()
    assert network.head.bias.grad is not None


def test_what_cannot_reach_the_output_is_left_alone():
    node, hidden = (("sep_conv_3x3", 0), ("none", 1)), (("none", 2), ("skip_connect", 1))
    network = build(Genotype((node, hidden), (node, hidden), (3,), (3,)), SMALL, seed=0)
    before = {name: tensor.clone() for name, tensor in network.state_dict().items()}
    network(torch.randn(4, 3, 8, 8)).logits.square().sum().backward()
    assert all(parameter.grad is None for parameter in network.cell00.edges[0].parameters())
    after = network.state_dict()
    assert all(torch.equal(after[name], before[name]) for name in before if ".edges.0." in name)
    assert network.cell00.preprocess1.norm.weight.grad is not None
