"""Mobile networks: published costs, both forms, blocks and their keys, what cannot be, and training."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import replace
from pathlib import Path

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st
from torch.nn import functional

from store.records.candidates import Candidate, Named, Proxy
from store.records.outcomes import Measured
from store.records.requests import Measure, Train
from strategies.errors import InvalidOptions
from strategies.spaces import registry
from strategies.spaces.mnas import MnasSpace
from strategies.spaces.mobile import MobileBlock, MobileGenotype, read_block
from strategies.spaces.published_mobile import PUBLISHED_MOBILE
from tests.trainers.desk import Desk, candidate
from trainers.cost import cost
from trainers.errors import ImpossibleSetting
from trainers.export import exporting
from trainers.export.exporting import Order
from trainers.networks.forms import Plain
from trainers.networks.network import FormName, build, make
from trainers.networks.shape import UNSAID_CELLS, Shape, check_proxy

IMAGENET = Shape(32, UNSAID_CELLS, 1000, 224, stem="imagenet")
SMALL = Shape(4, UNSAID_CELLS, 5, 8)
SPACE = MnasSpace()


STAGES = [(24, 4, 2), (40, 4, 2), (80, 4, 2), (112, 4, 1), (160, 4, 2), (320, 1, 1)]
"""Channels, layers and stride of HourNAS's 21 layers of MnasNet but the fixed first one."""


def template(block: str, *, vital: bool) -> MobileGenotype:
    """All layers of one kind, or of each stage only the first, which changes the shape."""
    named = [block.format(repeats=1 if vital else layers, stride=s, channels=c) for c, layers, s in STAGES]
    return MobileGenotype(tuple(read_block(one) for one in ["ds_r1_k3_s1_c16_noskip", *named]))


@pytest.mark.parametrize(
    ("name", "parameters", "multiply_adds"),
    [
        ("MnasNet-A1", 3_887_038, 311_579_072),
        ("EfficientNet-B0", 5_288_548, 385_814_752),
        ("MobileNetV2", 3_504_872, 300_774_272),
    ],
)
def test_published_networks_cost_what_they_are_known_to(name: str, parameters: int, multiply_adds: int) -> None:
    assert cost(PUBLISHED_MOBILE[name], IMAGENET) == (parameters, multiply_adds)


def test_the_largest_and_the_smallest_network_of_the_mnasnet_template_cost_what_they_are_known_to() -> None:
    largest = template("ir_r{repeats}_k5_s{stride}_e6_c{channels}_se0.25", vital=False)
    smallest = template("ir_r{repeats}_k3_s{stride}_e1_c{channels}", vital=True)
    assert cost(largest, IMAGENET) == (5_022_700, 529_917_152)
    assert cost(smallest, IMAGENET) == (1_831_672, 62_142_704)


def test_an_inverted_residual_without_expansion_has_its_first_convolution_and_ds_has_none() -> None:
    """EfficientNet-B0 with it in its first block (reference facts D4)."""
    genotype = PUBLISHED_MOBILE["EfficientNet-B0"]
    first = replace(genotype.blocks[0], operation="ir")
    changed = replace(genotype, blocks=(first, *genotype.blocks[1:]))
    assert cost(changed, IMAGENET) == (5_289_636, 398_659_808)


def test_half_the_width_of_mobilenetv2_but_for_the_last_convolution_is_the_published_one() -> None:
    """timm's `mobilenetv2_050` has 1,968,680 parameters; it keeps the 1,280 features that are scaled here."""
    genotype = replace(PUBLISHED_MOBILE["MobileNetV2"], features=2560)
    assert cost(genotype, IMAGENET._replace(channels=16)).parameters == 1_968_680


def test_small_images_keep_their_size_in_stem_and_first_halving_block() -> None:
    genotype = PUBLISHED_MOBILE["MobileNetV2"]
    strides = [layer.stride for layer in genotype.layers(32, small=True)]
    published = [layer.stride for layer in genotype.layers(32, small=False)]
    assert (genotype.ends(32, small=True).stride, np.prod(strides)) == (1, 8)
    assert (genotype.ends(32, small=False).stride, np.prod(published)) == (2, 16)


def test_widths_are_rounded_to_the_divisor_and_never_lose_more_than_a_tenth() -> None:
    """torchvision's `_make_divisible` for a width multiplier of 0.35."""
    genotype = replace(PUBLISHED_MOBILE["MobileNetV2"], stem=100)
    assert genotype.ends(35, small=True).stem == 32
    assert [layer.outputs for layer in genotype.layers(35, small=True) if layer.place == 0] == [
        *(8, 8, 16, 24, 32, 56, 112)
    ]


def outcome(
    genotype: MobileGenotype, shape: Shape, form: FormName
) -> tuple[torch.Tensor, dict[str, torch.Tensor], torch.Tensor, dict[str, torch.Tensor]]:
    """Logits, gradients, evaluation and running statistics after one backward pass, in float64."""
    network = build(genotype, shape, seed=7, form=form).double()
    generator = torch.Generator().manual_seed(0)
    size = (6, shape.input_channels, shape.resolution, shape.resolution)
    images = torch.randn(size, generator=generator, dtype=torch.float64)
    logits = network(images).logits
    functional.cross_entropy(logits, torch.arange(6) % 5).backward()
    gradients = {name: parameter.grad for name, parameter in network.named_parameters() if parameter.grad is not None}
    assert len(gradients) == len(list(network.parameters()))
    statistics = {name: tensor for name, tensor in network.state_dict().items() if "running" in name}
    with torch.no_grad():
        return logits.detach(), gradients, network.eval()(images).logits, statistics


def assert_both_forms_agree(genotype: MobileGenotype, shape: Shape) -> None:
    plain, fast = outcome(genotype, shape, "plain"), outcome(genotype, shape, "batch_last")
    for expected, found in zip(plain, fast, strict=True):
        torch.testing.assert_close(found, expected, atol=1e-9, rtol=1e-6)


@settings(max_examples=8, deadline=None)
@given(
    seed=st.integers(0, 2**32),
    activation=st.sampled_from(["relu", "relu6", "silu"]),
    resolution=st.integers(4, 13),
    stem=st.sampled_from([None, "imagenet"]),
)
def test_random_networks_compute_the_same_in_both_forms(seed, activation, resolution, stem):
    genotype = SPACE.decode(SPACE.random(np.random.default_rng(seed)))
    genotype = replace(genotype, blocks=genotype.blocks[seed % 4 :][:3], activation=activation)
    assert_both_forms_agree(genotype, SMALL._replace(resolution=resolution, stem=stem))


def test_every_operation_computes_the_same_in_both_forms_with_squeeze_and_every_skip() -> None:
    blocks = tuple(
        MobileBlock(operation, 32, 2, kernel, stride, 6 if operation == "ir" else 1, squeeze=True, skip=skip)
        for operation, kernel, stride, skip in [("cn", 3, 1, "pool"), ("ds", 5, 2, "pool"), ("ir", 5, 1, "identity")]
    )
    assert_both_forms_agree(MobileGenotype(blocks, activation="relu6"), SMALL._replace(resolution=9))
    assert_both_forms_agree(MobileGenotype(blocks, divisor=1), SMALL._replace(resolution=13, channels=6))


def test_a_skip_adds_the_input_or_its_mean_over_windows() -> None:
    """With the last normalisation's scale at 0, what is left of a block is what it adds."""
    for skip, added in (("identity", lambda x: x), ("pool", lambda x: functional.avg_pool2d(x, 3, 1, 1, False, False))):
        block = MobileBlock("ir", 32, expansion=3, skip=skip)
        genotype = MobileGenotype((block,), divisor=1)
        network = build(genotype, SMALL, seed=0, form="plain")
        layer = network.get_submodule("block1_1")
        with torch.no_grad():
            layer.get_parameter("project.norm.weight").zero_()
            x = torch.randn(2, 4, 8, 8, generator=torch.Generator().manual_seed(1))
            torch.testing.assert_close(layer(x, Plain()), added(x))


PROXIES = st.builds(Proxy, channels=st.sampled_from([3, 4, 8, 32]), stem=st.sampled_from([None, "imagenet"]))


@settings(max_examples=8, deadline=None)
@given(seed=st.integers(0, 2**32), proxies=st.lists(PROXIES, min_size=1, max_size=2), count=st.sampled_from([5, 7]))
def test_keys_have_the_networks_names_and_equal_keys_mean_equal_tensors(seed, proxies, count):
    space, rng, seen = registry.create(Named(name="mnas", options={"blocks": count})), np.random.default_rng(seed), {}
    for proxy in proxies:
        architecture = space.random(rng)
        with torch.device("meta"):
            network = make(space.decode(architecture), Shape.of(proxy, resolution=32, classes=10), Plain())
        built = {
            name: tuple((tensor, tuple(value.shape)) for tensor, value in block.items())
            for name, block in network.blocks().items()
        }
        keys = space.blocks(architecture, proxy)
        assert [*(key.name for key in keys), "head"] == list(built)
        for key in keys:
            assert all(0 <= t < n for t, n in zip(key.tokens, space.block_choices, strict=True))
            assert seen.setdefault(key.tokens, built[key.name]) == built[key.name]


def test_networks_too_wide_for_keys_are_refused() -> None:
    architecture = SPACE.random(np.random.default_rng(0))
    with pytest.raises(InvalidOptions, match=r"proxy\.channels is 1000: expected fewer"):
        SPACE.blocks(architecture, Proxy(channels=1000))


@pytest.mark.parametrize(
    ("proxy", "auxiliary", "message"),
    [
        (Proxy(cells=8), False, r"proxy\.cells is 8: expected nothing"),
        (Proxy(), True, r"trainer\.auxiliary is True: expected false"),
    ],
)
def test_settings_that_mobile_networks_cannot_have_are_named(proxy: Proxy, auxiliary: bool, message: str) -> None:
    with pytest.raises(ImpossibleSetting, match=message):
        check_proxy("mnas", proxy, auxiliary=auxiliary)
    shape = Shape.of(proxy, resolution=8, classes=10, auxiliary=auxiliary)
    with pytest.raises(ImpossibleSetting, match=message):
        build(PUBLISHED_MOBILE["MobileNetV2"], shape, seed=0)


@pytest.fixture
def desk(tmp_path: Path) -> Iterator[Desk]:
    with Desk(tmp_path) as opened:
        yield opened


def mobile(seed: int = 0, **changes: object) -> Candidate:
    architecture = SPACE.canonical(SPACE.random(np.random.default_rng(seed)))
    proxy = Proxy(channels=4, sample_ratio=0.1)
    return candidate(space=SPACE.spec, architecture=architecture, proxy=proxy, **changes)


def test_training_to_e_and_on_to_2e_gives_what_2e_at_once_gives(desk: Desk) -> None:
    at_once = desk.do(Train(candidate=mobile(), epochs=2))
    first = desk.do(Train(candidate=mobile(), epochs=1))
    second = desk.do(Train(candidate=mobile(), epochs=2), resume=first.checkpoint)
    assert second == at_once
    assert second.history[0] == first.history[0]


def test_a_network_that_started_from_anothers_layers_is_exported_with_its_depth_in_blocks(
    desk: Desk, tmp_path: Path
) -> None:
    source = desk.do(Train(candidate=mobile(1), epochs=1))
    blocks = [key.name for key in SPACE.blocks(mobile(1).architecture, mobile(1).proxy)]
    shared = [key.name for key in SPACE.blocks(mobile().architecture, mobile().proxy) if key.name in blocks]
    heir = mobile().inheriting(tuple(f"{name}={source.checkpoint}/{name}" for name in shared))
    trained = desk.do(Train(candidate=heir, epochs=1))
    assert len(shared) > 7
    order = Order(heir, trained.checkpoint, None, None, "digits", {}, {}, "safetensors")
    card = exporting.export(desk.checkpoints, order, tmp_path / "out")
    assert card["network"]["cells"] is None
    assert "7 blocks of layers, 4 initial channels, 10 classes" in (tmp_path / "out" / "card.md").read_text()


def test_measuring_tells_cost_and_the_images_as_the_network_reads_them(desk: Desk) -> None:
    measured = desk.do(Measure(candidate=mobile()))
    genotype = SPACE.decode(mobile().architecture)
    parameters, multiply_adds = cost(genotype, Shape(4, UNSAID_CELLS, 10, 8, input_channels=1))
    assert measured == Measured(parameters=parameters, multiply_adds=multiply_adds, image_shape=(1, 8, 8))
