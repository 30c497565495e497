"""The MNAS space: counts, equivalence, notation, neighbours, keys."""

from __future__ import annotations

import itertools
from dataclasses import replace

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.records.candidates import Architecture, Named, Proxy
from strategies.errors import InvalidArchitecture, InvalidGenotype, InvalidOptions
from strategies.spaces import registry
from strategies.spaces.base import BlockSpace, MutableSpace, WeighedSpace, expand
from strategies.spaces.mnas import CHOICES, SKELETON, MnasOptions, MnasSpace
from strategies.spaces.mobile import MobileBlock, MobileGenotype, from_json, read_block, read_blocks
from strategies.spaces.published_mobile import PUBLISHED_MOBILE

SPACE, FIVE = MnasSpace(), MnasSpace(MnasOptions(blocks=5))
architectures = st.tuples(*(st.integers(0, count - 1) for count in SPACE.choices)).map(
    lambda genes: Architecture(space="mnas", genes=genes)
)


def test_a_block_has_432_choices_and_an_architecture_42_tokens_of_119_values():
    assert np.prod(CHOICES) == 432
    assert (len(SPACE.choices), sum(SPACE.choices)) == (42, 119)
    assert expand(SPACE.random(np.random.default_rng(0)).genes, SPACE.choices).sum() == 42


def test_the_space_of_five_blocks_has_as_many_networks_as_mnasnet_says():
    assert FIVE.size.encodings == 432**5 == pytest.approx(1.5e13, rel=0.01)
    assert SPACE.size.encodings == 432**7


@pytest.mark.parametrize("index", range(len(SKELETON)))
def test_every_choice_of_a_block_is_another_network_unless_canonical_says_the_same(index):
    """All 432, with the block before at its widest and its narrowest; equal canonical genes are equal genotypes."""
    networks, canonical = set(), set()
    base = list(SPACE.random(np.random.default_rng(index)).genes)
    for block in itertools.product(*(range(count) for count in CHOICES)):
        genes = [*base[: 6 * index], *block, *base[6 * index + 6 :]]
        architecture = Architecture(space="mnas", genes=tuple(genes))
        networks.add(SPACE.decode(architecture))
        canonical.add(SPACE.canonical(architecture))
    repeats = [max(1, SKELETON[index].repeats + more) for more in (0, 1, -1)]
    assert len(networks) == len(canonical) == 48 * sum(3 if count > 1 else 1 for count in set(repeats))


def test_the_number_of_distinct_networks_is_the_product_over_the_blocks():
    assert SPACE.size.distinct == (48 * 4) ** 2 * (48 * 7) * (48 * 9) ** 4


@settings(max_examples=30)
@given(architectures)
def test_canonical_and_encode_undo_decode(architecture):
    canonical = SPACE.canonical(architecture)
    assert SPACE.canonical(canonical) == canonical
    assert SPACE.decode(canonical) == SPACE.decode(architecture)
    assert SPACE.encode(SPACE.decode(architecture)) == canonical


@settings(max_examples=30)
@given(architectures)
def test_in_a_block_of_one_layer_nothing_can_be_added(architecture):
    """What `canonical` rests on: such a block never has as many channels as the one before."""
    genotype = SPACE.decode(architecture)
    widths = [genotype.stem, *(block.channels for block in genotype.blocks)]
    single = [index for index, block in enumerate(genotype.blocks) if block.repeats == 1]
    assert all(widths[index] != widths[index + 1] for index in single)


@settings(max_examples=30)
@given(architectures, st.integers(0, 2**32))
def test_a_neighbour_differs_in_one_gene_and_is_never_equivalent(architecture, seed):
    child, words = SPACE.mutate(architecture, np.random.default_rng(seed))
    changed = [at for at, pair in enumerate(zip(architecture.genes, child.genes, strict=True)) if len(set(pair)) > 1]
    assert len(changed) == 1
    assert words.startswith(f"block {changed[0] // 6 + 1}: ")
    assert SPACE.decode(child) != SPACE.decode(architecture)


def test_mobilenetv2_is_in_the_space_and_mnasnets_112_channels_are_not():
    mobilenet = PUBLISHED_MOBILE["MobileNetV2"]
    for space in (SPACE, FIVE):
        found = space.decode(space.encode(mobilenet))
        assert [replace(b, skip="identity") for b in found.blocks] == [
            replace(b, skip="identity") for b in mobilenet.blocks
        ]
    with pytest.raises(InvalidGenotype, match=r"ir_r2_k3_s1_e6_c112_se0\.25: no choice .* 96 channels"):
        SPACE.encode(PUBLISHED_MOBILE["MnasNet-A1"])
    with pytest.raises(InvalidGenotype, match="expected 7 blocks"):
        SPACE.encode(MobileGenotype(mobilenet.blocks[:3]))
    with pytest.raises(InvalidGenotype, match="at the ends"):
        FIVE.encode(replace(mobilenet, blocks=(replace(mobilenet.blocks[0], kernel=5), *mobilenet.blocks[1:])))


def test_skips_need_equal_shapes_and_pooling_does_without_equal_size():
    """1.25 times 96 channels are 0.75 times 160: a layer that halves the size and keeps its channels."""
    genotype = MobileGenotype((MobileBlock("ir", 120, 2, 3, 1, 3), MobileBlock("ir", 120, 2, 3, 2, 3, skip="pool")))
    layers = list(genotype.layers(32, small=False))
    assert [(layer.skip, layer.stride) for layer in layers] == [("none", 1), ("identity", 1), ("pool", 2), ("pool", 1)]
    other = replace(genotype, blocks=(genotype.blocks[0], replace(genotype.blocks[1], skip="identity")))
    assert [layer.skip for layer in other.layers(32, small=False)] == ["none", "identity", "none", "identity"]


@settings(max_examples=30)
@given(architectures)
def test_the_notation_says_all_of_a_network(architecture):
    genotype = SPACE.decode(architecture)
    described = SPACE.describe(architecture)
    text = " | ".join(described.pop("blocks"))
    assert MobileGenotype(read_blocks(text), **described) == genotype
    assert from_json(SPACE.describe(architecture)) == genotype


@pytest.mark.parametrize(
    "text", ["", "ir_r1_k3_s1", "ir_r1_k4_s1_e6_c16", "ds_r1_k3_s1_e6_c16", "ir_r0_k3_s1_e6_c16", "xx_r1_k3_s1_c8"]
)
def test_a_block_that_is_none_is_named(text):
    with pytest.raises(InvalidGenotype, match="expected"):
        read_block(text)
    with pytest.raises(InvalidGenotype, match=r"file\.txt: .*expected.*; .*'nonsense'"):
        read_blocks(f"{text or 'x'}, ds_r1_k3_s1_c16, nonsense", source="file.txt")


def test_json_that_is_no_genotype_is_refused_key_by_key():
    value = {"blocks": [], "stem": "wide", "features": 10**5, "divisor": 0, "activation": "tanh", "cells": 3}
    with pytest.raises(InvalidGenotype) as raised:
        from_json(value, source="file.json")
    assert [problem.partition(":")[0] for problem in raised.value.problems] == [
        *("cells", "stem", "features", "divisor", "activation", "blocks")
    ]
    with pytest.raises(InvalidGenotype, match="stride 3: expected 1 or 2"):
        MobileBlock("cn", 8, stride=3)
    with pytest.raises(InvalidGenotype, match=r"file\.json: .*expected an object"):
        from_json([1], source="file.json")


def test_genes_of_another_space_are_refused():
    for genes, expected in (((0,) * 41, "42 genes, got 41"), ((4, *(0,) * 41), "gene 0 in 0 to 3, got 4")):
        with pytest.raises(InvalidArchitecture, match=expected):
            SPACE.decode(Architecture(space="mnas", genes=genes))
    with pytest.raises(InvalidArchitecture, match="got 'cell'"):
        SPACE.canonical(Architecture(space="cell", genes=(0,) * 42))


def test_it_is_registered_with_its_option():
    space = registry.create(Named(name="mnas", options={"blocks": 5}))
    assert space.spec == Named(name="mnas", options={"blocks": 5})
    assert all(isinstance(space, kind) for kind in (BlockSpace, MutableSpace, WeighedSpace))
    with pytest.raises(InvalidOptions, match=r"space\.blocks"):
        registry.create(Named(name="mnas", options={"blocks": 6}))


def test_more_layers_and_wider_ones_are_more_work():
    light = SPACE.encode(MobileGenotype(tuple(_like(at, "ds", -1) for at in range(7))))
    heavy = SPACE.encode(MobileGenotype(tuple(_like(at, "ir", 1) for at in range(7))))
    assert 0 < SPACE.work(light) < SPACE.work(heavy) / 3


def _like(index, operation, more):
    one = SKELETON[index]
    repeats = max(1, one.repeats + more)
    return MobileBlock(operation, one.channels, repeats, 3, one.stride, 6 if operation == "ir" else 1)


def similarity(first, second):
    a, b = (expand(key.tokens, SPACE.block_choices) for key in (first, second))
    return float(a @ b) / len(SPACE.block_choices)


def test_a_layer_with_another_kernel_in_its_place_is_nearer_than_an_equal_one_of_another_width():
    """Block 4's second layer beside the same with kernel 5, and beside block 3's second, half as wide."""
    genes = list(SPACE.encode(PUBLISHED_MOBILE["MobileNetV2"]).genes)
    here = {key.name: key for key in SPACE.blocks(Architecture(space="mnas", genes=tuple(genes)), Proxy())}
    genes[3 * 6 + 1] = 1
    other = {key.name: key for key in SPACE.blocks(Architecture(space="mnas", genes=tuple(genes)), Proxy())}
    in_place = similarity(here["block4_2"], other["block4_2"])
    assert 1 > in_place > similarity(here["block4_2"], here["block3_2"])
    assert in_place == similarity(here["block4_2"], here["block4_3"])


def test_of_blocks_of_three_and_of_four_layers_the_first_three_are_alike():
    genes = list(SPACE.encode(PUBLISHED_MOBILE["MobileNetV2"]).genes)
    longer = [*genes[:17], 1, *genes[18:]]
    first, second = (
        {key.name: key.tokens for key in SPACE.blocks(Architecture(space="mnas", genes=tuple(each)), Proxy())}
        for each in (genes, longer)
    )
    assert second.keys() - first.keys() == {"block3_4"}
    assert all(first[name] == second[name] for name in first)
