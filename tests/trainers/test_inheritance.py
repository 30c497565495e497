"""What a block inherits: which tensors, and how they are fitted where shapes differ."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from store.checkpoints import CheckpointStore
from store.records.candidates import Named
from strategies.spaces import registry as spaces
from strategies.spaces.genotype import Genotype
from strategies.spaces.nasbench201 import BenchGenotype
from tests.store.builders import save
from trainers import inheritance, state
from trainers.errors import ImpossibleSetting
from trainers.networks.mobile import MobileLayer
from trainers.networks.network import AnyGenotype, FormName, Network, build
from trainers.networks.shape import UNSAID_CELLS, Shape

MANIFEST = "ab" * 32
CELL = spaces.create(Named(name="cell", options={"nodes": 2}))
BENCH = spaces.create(Named(name="nasbench201"))
MNAS = spaces.create(Named(name="mnas"))
SHAPE = Shape(channels=8, cells=5, classes=10, resolution=8)

shapes = st.integers(0, 4).flatmap(lambda dims: st.tuples(*[st.integers(1, 5)] * dims))
pairs = st.integers(0, 4).flatmap(lambda dims: st.tuples(*[st.tuples(*[st.integers(1, 5)] * dims)] * 2))


def bench(*operations: str) -> BenchGenotype:
    return BenchGenotype(operations)


def network(genotype: AnyGenotype, *, seed: int = 0, form: FormName = "plain", **shape: Any) -> Network:
    return build(genotype, SHAPE._replace(**shape), seed=seed, form=form)


def trained(genotype: AnyGenotype, *, seed: int = 9, **shape: Any) -> Network:
    """A network no tensor of which is like a fresh one's, not even of a normalisation."""
    made = network(genotype, seed=seed, **shape)
    rng = np.random.default_rng(seed)
    for named in made.blocks().values():
        for tensor in named.values():
            tensor.copy_(tensor.new_tensor(rng.standard_normal(tuple(tensor.shape)) + 3))
    return made


def arrays(of: Network) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    found = state.tensors_of(of)["model"]
    return {block: {name: array.copy() for name, array in named.items()} for block, named in found.items()}


def inherit(heir: Network, source: Network, **blocks: str) -> dict[str, dict[str, np.ndarray[Any, Any]]]:
    """Lets blocks inherit, those of the same names if none are named; returns the heir's tensors after it."""
    given = arrays(source)
    wanted = blocks or {name: name for name in given if name not in inheritance.CLASSIFIERS}
    state.inherit(heir, {block: given[name] for block, name in wanted.items()})
    return arrays(heir)


def same(left: Any, right: Any) -> bool:
    return left.shape == right.shape and left.tobytes() == right.tobytes()


@given(pairs.flatmap(lambda pair: st.tuples(*(hnp.arrays(np.float32, one) for one in pair))))
def test_what_overlaps_is_inherited_and_the_rest_stays(
    tensors: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
) -> None:
    own, source = tensors
    before = own.copy()
    result = inheritance.overlaid(own, source)
    assert same(own, before)
    assert (result.shape, result.dtype) == (own.shape, own.dtype)
    for place in np.ndindex(own.shape):
        theirs = [at + (source.shape[d] - own.shape[d]) // 2 if d > 1 else at for d, at in enumerate(place)]
        for d in range(2, own.ndim):
            size = min(own.shape[d], source.shape[d])
            theirs[d] = place[d] - (own.shape[d] - size) // 2 + (source.shape[d] - size) // 2
        outside = any(place[d] >= source.shape[d] for d in range(min(2, own.ndim)))
        if outside:
            expected = own[place]
        elif all(0 <= at < source.shape[d] for d, at in enumerate(theirs)) and _in_centre(own, source, place):
            expected = source[tuple(theirs)]
        else:
            expected = np.float32(0)
        assert same(np.asarray(result[place]), np.asarray(expected))


def _in_centre(own: np.ndarray[Any, Any], source: np.ndarray[Any, Any], place: tuple[int, ...]) -> bool:
    def inside(d: int) -> bool:
        first = (own.shape[d] - min(own.shape[d], source.shape[d])) // 2
        return first <= place[d] < first + min(own.shape[d], source.shape[d])

    return all(inside(d) for d in range(2, own.ndim))


@given(shapes.flatmap(lambda shape: st.tuples(hnp.arrays(np.float32, shape), hnp.arrays(np.float32, shape))))
def test_a_tensor_of_the_same_shape_is_inherited_whole(
    tensors: tuple[np.ndarray[Any, Any], np.ndarray[Any, Any]],
) -> None:
    own, source = tensors
    result = inheritance.overlaid(own, source)
    assert same(result, source)
    assert not np.shares_memory(result, source)


def test_a_smaller_kernel_computes_the_same_in_a_larger_one() -> None:
    larger = inheritance.overlaid(np.ones((2, 3, 5, 5), np.float32), np.full((2, 3, 3, 3), 7, np.float32))
    assert (larger[:, :, 1:4, 1:4] == 7).all()
    assert larger.sum() == 7 * 2 * 3 * 9
    smaller = inheritance.overlaid(
        np.ones((2, 1, 3, 3), np.float32), np.arange(50, dtype=np.float32).reshape(2, 1, 5, 5)
    )
    assert smaller[0, 0].tolist() == [[6, 7, 8], [11, 12, 13], [16, 17, 18]]


@pytest.mark.parametrize("space", [CELL, BENCH], ids=["cell", "nasbench201"])
def test_a_network_inherits_all_of_an_equal_one_but_its_classifier(space: Any) -> None:
    genotype = space.decode(space.random(np.random.default_rng(5)))
    source, fresh = arrays(trained(genotype)), arrays(network(genotype))
    result = inherit(network(genotype), trained(genotype))
    assert result.keys() == source.keys()
    for block, named in result.items():
        expected = fresh if block == "head" else source
        assert named.keys() == expected[block].keys()
        assert all(same(array, expected[block][name]) for name, array in named.items())
    assert any(name.endswith("running_var") for named in result.values() for name in named)


@pytest.mark.parametrize("space", [CELL, BENCH], ids=["cell", "nasbench201"])
def test_every_form_inherits_the_same(space: Any) -> None:
    first, second = (space.decode(space.random(np.random.default_rng(seed))) for seed in (1, 2))
    expected = inherit(network(first), trained(second))
    for form in ("batch_last", "channels_last"):
        result = inherit(network(first, form=form), trained(second))
        assert all(
            same(array, expected[block][name]) for block, named in result.items() for name, array in named.items()
        )


@settings(max_examples=10, deadline=None)
@given(st.integers(0, 2**32), st.integers(0, 2**32), st.sampled_from([4, 8, 12]), st.sampled_from([3, 5]))
def test_whatever_is_inherited_the_classifier_and_what_lies_outside_are_as_they_were(
    mine: int, theirs: int, channels: int, cells: int
) -> None:
    heir, source = (CELL.decode(CELL.random(np.random.default_rng(seed))) for seed in (mine, theirs))
    fresh, given = arrays(network(heir)), arrays(trained(source, channels=channels, cells=cells))
    result = inherit(network(heir), trained(source, channels=channels, cells=cells), cell01="cell02", stem="stem")
    assert all(same(array, fresh["head"][name]) for name, array in result["head"].items())
    for block, named in result.items():
        for name, array in named.items():
            if block not in ("cell01", "stem"):
                assert same(array, fresh[block][name])
            other = given.get({"cell01": "cell02"}.get(block, block), {}).get(name)
            if other is not None and not same(array, fresh[block][name]):
                channels_shared = tuple(slice(min(sizes)) for sizes in zip(array.shape[:2], other.shape, strict=False))
                outside = np.ones(array.shape, bool)
                outside[channels_shared] = False
                assert (array[outside] == fresh[block][name][outside]).all()


def test_an_edge_inherits_only_from_the_same_kind_of_operation() -> None:
    heir = bench("nor_conv_1x1", "nor_conv_3x3", "nor_conv_3x3", "skip_connect", "nor_conv_1x1", "avg_pool_3x3")
    other = bench("nor_conv_3x3", "nor_conv_3x3", "none", "nor_conv_3x3", "avg_pool_3x3", "nor_conv_1x1")
    fresh, source = arrays(network(heir))["cell00"], arrays(trained(other))["cell00"]
    result = inherit(network(heir), trained(other), cell00="cell00")["cell00"]
    assert same(result["edges.0.weights.0"], source["edges.0.weights.0"][:, :, 1:2, 1:2])
    assert same(result["edges.0.norm.running_mean"], source["edges.0.norm.running_mean"])
    assert same(result["edges.1.weights.0"], source["edges.1.weights.0"])
    changed = {name for name in result if not same(result[name], fresh[name])}
    assert {name.rpartition(".edges")[2].split(".")[1] for name in changed} == {"0", "1"}


def _cell_genotype(operation: str, before: str = "sep_conv_3x3") -> Genotype:
    node = ((operation, 0), (before, 1))
    return Genotype(normal=(node, node), normal_concat=(2, 3), reduce=(node, node), reduce_concat=(2, 3))


@pytest.mark.parametrize(
    ("mine", "theirs", "cell", "inherits"),
    [
        ("sep_conv_5x5", "sep_conv_3x3", "cell00", True),
        ("dil_conv_3x3", "dil_conv_5x5", "cell00", True),
        ("conv_1x1", "conv_3x3", "cell00", True),
        ("conv_7x1_1x7", "conv_3x1_1x3", "cell00", True),
        ("sep_conv_3x3", "dil_conv_3x3", "cell00", False),
        ("conv_3x3", "sep_conv_3x3", "cell00", False),
        ("conv_3x3", "conv_3x1_1x3", "cell00", False),
        ("conv_1x1", "skip_connect", "cell01", False),  # in a reduction: two pointwise convolutions and one norm
        ("skip_connect", "skip_connect", "cell01", True),
        ("conv_1x1", "max_pool_3x3", "cell00", False),
    ],
)
def test_kinds_of_operation_are_told_apart_though_all_have_a_normalisation(
    mine: str, theirs: str, cell: str, inherits: bool
) -> None:
    heir, source = _cell_genotype(mine), _cell_genotype(theirs)
    fresh = arrays(network(heir))[cell]
    result = inherit(network(heir), trained(source), **{cell: cell})[cell]
    edge = [name for name in fresh if name.startswith("edges.0.")]
    assert [not same(result[name], fresh[name]) for name in edge] == [inherits] * len(edge)
    assert all(not same(result[name], fresh[name]) for name in fresh if name.startswith("edges.1."))


def test_a_cell_after_a_reduction_reads_its_older_input_by_another_operation() -> None:
    genotype = _cell_genotype("sep_conv_3x3")
    fresh = arrays(network(genotype))["cell02"]
    result = inherit(network(genotype), trained(genotype), cell02="cell00")["cell02"]
    assert {name for name in fresh if name.startswith("preprocess0.") and same(result[name], fresh[name])} == {
        name for name in fresh if name.startswith("preprocess0.")
    }
    assert not same(result["preprocess1.weights.0"], fresh["preprocess1.weights.0"])


@pytest.mark.parametrize(("mine", "theirs"), [(8, 16), (16, 8)])
def test_another_width_shares_its_first_channels(mine: int, theirs: int) -> None:
    genotype = bench(*["nor_conv_3x3"] * 6)
    fresh, source = arrays(network(genotype, channels=mine)), arrays(trained(genotype, channels=theirs))
    result = inherit(network(genotype, channels=mine), trained(genotype, channels=theirs))
    least = min(mine, theirs)
    for name in ("edges.0.norm.weight", "edges.0.norm.running_var", "edges.5.weights.0"):
        mixed = result["cell00"][name]
        shared = (slice(least),) * min(2, mixed.ndim)
        assert (mixed[shared] == source["cell00"][name][shared]).all()
        expected = fresh["cell00"][name].copy()
        expected[shared] = source["cell00"][name][shared]
        assert same(mixed, expected)
    assert (result["stem"]["weights.0"][:least] == source["stem"]["weights.0"][:least]).all()


def _layers(of: Network) -> dict[str, MobileLayer]:
    return {name: child for name, child in of.named_children() if isinstance(child, MobileLayer)}


def test_a_mobile_layer_inherits_from_its_kind_with_or_without_squeeze_and_excitation() -> None:
    """Kinds are the convolution, the separable and the inverted residual; only those of a kind share tensors."""
    rng, seen = np.random.default_rng(3), set[tuple[bool, bool]]()
    for _ in range(4):
        mine, theirs = (MNAS.decode(MNAS.random(rng)) for _ in range(2))
        heir, source = network(mine, channels=4, cells=UNSAID_CELLS), trained(theirs, channels=4, cells=UNSAID_CELLS)
        fresh = arrays(heir)
        shared = _layers(heir).keys() & _layers(source).keys()
        result = inherit(heir, source, **{name: name for name in shared})
        for name in shared:
            parts = [{child for child, _ in _layers(one)[name].named_children()} for one in (heir, source)]
            kinds = [{one for one in arrays(net)[name] if not one.startswith("excite.")} for net in (heir, source)]
            alike = kinds[0] == kinds[1]
            changed = {one.split(".")[0] for one in result[name] if not same(result[name][one], fresh[name][one])}
            assert changed == ((parts[0] & parts[1]) if alike else set())
            seen.add((alike, "excite" in parts[0] ^ parts[1]))
    assert seen >= {(True, True), (True, False), (False, False)}


def test_a_weightless_cell_has_nothing_to_inherit() -> None:
    poor, rich = bench(*["skip_connect"] * 6), bench(*["nor_conv_3x3"] * 6)
    heir = network(poor)
    assert arrays(heir).keys() == {"stem", "cell01", "cell03", "norm", "head"}
    result = inherit(heir, trained(rich), cell00="cell00")
    assert all(
        same(array, arrays(network(poor))[block][name]) for block in result for name, array in result[block].items()
    )


def test_initial_is_read_entry_by_entry() -> None:
    found = inheritance.origins([f"stem={MANIFEST}/stem", f"cell03={MANIFEST}/cell02"], ["stem", "cell02", "cell03"])
    assert found == (inheritance.Origin("stem", MANIFEST, "stem"), inheritance.Origin("cell03", MANIFEST, "cell02"))


@pytest.mark.parametrize(
    ("entries", "expected"),
    [
        (["stem"], "BLOCK=MANIFEST/BLOCK"),
        ([f"stem={MANIFEST}"], "BLOCK=MANIFEST/BLOCK"),
        ([f"={MANIFEST}/stem"], "BLOCK=MANIFEST/BLOCK"),
        (["stem=../../etc/passwd"], "BLOCK=MANIFEST/BLOCK"),
        ([f"head={MANIFEST}/head"], "any block but the classifier"),
        ([f"stem={MANIFEST}/auxiliary"], "any block but the classifier"),
        ([f"cell09={MANIFEST}/cell02"], "a block of the network: cell00, head, stem"),
        ([f"stem={MANIFEST}/stem", f"stem={MANIFEST}/cell00"], "one origin of the block stem"),
    ],
)
def test_what_cannot_be_inherited_is_refused_by_key(entries: list[str], expected: str) -> None:
    with pytest.raises(ImpossibleSetting, match=r"candidate\.initial is .*expected") as error:
        inheritance.origins(entries, ["stem", "cell00", "head"])
    assert error.value.value == entries[-1]
    assert expected in error.value.expected


def test_a_block_that_the_checkpoint_does_not_have_is_refused(tmp_path: Path) -> None:
    checkpoints = CheckpointStore(tmp_path)
    manifest = save(checkpoints)
    read = inheritance.read(checkpoints, [inheritance.Origin("stem", manifest, "cells.1")])
    assert set(read["stem"]) == {"cells.1.weight", "cells.1.bias", "cells.1.batches"}
    with pytest.raises(ImpossibleSetting, match=f"stem={manifest}/cells.7"):
        inheritance.read(checkpoints, [inheritance.Origin("stem", manifest, "cells.7")])
