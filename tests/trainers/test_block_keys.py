"""Keys of blocks beside the blocks of the networks that are built: names, and tensors of equal keys."""

from __future__ import annotations

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from store.records.candidates import Named, Proxy
from strategies.errors import InvalidOptions
from strategies.spaces import registry
from strategies.spaces.base import BlockSpace, expand
from trainers.networks.forms import Plain
from trainers.networks.network import make
from trainers.networks.shape import Shape

SPACES = {
    "cell": registry.create(Named(name="cell")),
    "zoo": registry.create(Named(name="zoo")),
    "small": registry.create(
        Named(name="cell", options={"nodes": 2, "operations": ["skip_connect", "conv_1x1"], "concat": "loose"})
    ),
    "nasbench201": registry.create(Named(name="nasbench201")),
}
PROXIES = {
    "nasbench201": st.builds(Proxy, channels=st.sampled_from([4, 5, 8]), cells=st.sampled_from([5, 8, 11])),
} | dict.fromkeys(
    ("cell", "zoo", "small"),
    st.builds(
        Proxy,
        channels=st.sampled_from([4, 6, 8]),
        cells=st.integers(3, 9),
        stem=st.sampled_from([None, "imagenet"]),
    ),
)


def tensors(space, architecture, proxy):
    """Names and shapes of each block's tensors, as the trainer's network has them."""
    shape = Shape.of(proxy, resolution=64, classes=10)
    with torch.device("meta"):
        network = make(space.decode(architecture), shape, Plain())
    blocks = network.blocks()
    return {
        name: tuple((tensor, tuple(value.shape)) for tensor, value in block.items())
        for name, block in blocks.items()
        if name != "head"
    }


@pytest.mark.parametrize("name", SPACES)
@settings(max_examples=8, deadline=None)
@given(data=st.data())
def test_blocks_have_the_networks_names_and_equal_keys_mean_equal_tensors(name, data):
    space, seen = SPACES[name], {}
    rng = np.random.default_rng(data.draw(st.integers(0, 2**32)))
    for proxy in data.draw(st.lists(PROXIES[name], min_size=1, max_size=3)):
        architecture = space.random(rng)
        blocks, built = space.blocks(architecture, proxy), tensors(space, architecture, proxy)
        assert [block.name for block in blocks] == list(built)
        for block in blocks:
            assert all(0 <= token < count for token, count in zip(block.tokens, space.block_choices, strict=True))
            assert seen.setdefault(block.tokens, built[block.name]) == built[block.name]


@pytest.mark.parametrize("name", SPACES)
def test_other_tensors_mean_another_key_for_every_two_blocks_of_many_networks(name):
    space, rng, keys = SPACES[name], np.random.default_rng(0), {}
    stems = (None,) if name == "nasbench201" else (None, "imagenet")
    for proxy in (Proxy(channels=c, cells=n, stem=stem) for c in (4, 8, 16) for n in (5, 8) for stem in stems):
        architecture = space.random(rng)
        built = tensors(space, architecture, proxy)
        for block in space.blocks(architecture, proxy):
            keys.setdefault(block.tokens, set()).add(built[block.name])
    assert len(keys) > 20
    assert all(len(each) == 1 for each in keys.values())


def similarity(space, first, second):
    a, b = (expand(block.tokens, space.block_choices) for block in (first, second))
    return float(a @ b) / len(space.block_choices)


def test_a_cell_with_another_operation_in_its_place_is_nearer_than_an_equal_one_of_another_width():
    space, proxy = SPACES["nasbench201"], Proxy(channels=8, cells=5)
    one = registry.create(Named(name="nasbench201")).random(np.random.default_rng(1))
    other = one.model_copy(update={"genes": ((one.genes[0] + 1) % 5, *one.genes[1:])})
    query = space.blocks(one, proxy)[3]
    in_place, elsewhere = space.blocks(other, proxy)[3], space.blocks(one, proxy)[1]
    assert query.name == in_place.name == "cell02"
    assert similarity(space, query, query) == pytest.approx(1)
    assert similarity(space, query, in_place) > similarity(space, query, elsewhere)


def test_the_fixed_blocks_of_nasbench201_are_the_same_in_every_network():
    space, proxy, rng = SPACES["nasbench201"], Proxy(channels=8, cells=5), np.random.default_rng(0)
    first, second = (space.blocks(space.random(rng), proxy) for _ in range(2))
    equal = [a.name for a, b in zip(first, second, strict=True) if a.tokens == b.tokens]
    assert equal == ["stem", "cell01", "cell03", "norm"]


@pytest.mark.parametrize("name", ["cell", "nasbench201"])
def test_more_channels_than_keys_tell_apart_are_refused(name):
    space = SPACES[name]
    architecture = space.random(np.random.default_rng(0))
    with pytest.raises(InvalidOptions, match=r"proxy\.channels is 32768: expected fewer.* 32767"):
        space.blocks(architecture, Proxy(channels=32768, cells=5))


@pytest.mark.parametrize("name", SPACES)
def test_spaces_have_blocks(name):
    assert isinstance(SPACES[name], BlockSpace)
    assert max(SPACES[name].block_choices) <= 256
