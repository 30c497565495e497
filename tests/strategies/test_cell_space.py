from __future__ import annotations

from collections import Counter
from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from store.records.candidates import Architecture, Named
from strategies.errors import InvalidArchitecture, InvalidOptions
from strategies.spaces.cell import CellOptions, CellSpace, ZooOptions
from strategies.spaces.genotype import DARTS_OPERATIONS, NASNET_OPERATIONS, Genotype, from_json
from strategies.spaces.published import PUBLISHED
from strategies.spaces.registry import create

ECONAS = create(Named(name="cell"))
ZOO = create(Named(name="zoo"))


def options() -> st.SearchStrategy[CellOptions]:
    names = st.lists(st.sampled_from(DARTS_OPERATIONS), min_size=2, max_size=8, unique=True).map(tuple)
    chosen = st.one_of(st.sampled_from(["darts", "nasnet"]), names)
    return st.builds(CellOptions, nodes=st.integers(1, 6), operations=chosen, concat=st.sampled_from(["loose", "all"]))


@st.composite
def spaces_with_architectures(draw: st.DrawFn) -> tuple[CellSpace, Architecture]:
    space = CellSpace(draw(options()))
    return space, Architecture(space="cell", genes=tuple(draw(st.integers(0, n - 1)) for n in space.choices))


def swap_terms(architecture: Architecture, node: int) -> Architecture:
    genes = list(architecture.genes)
    start = 4 * node
    genes[start : start + 4] = [*genes[start + 2 : start + 4], *genes[start : start + 2]]
    return Architecture(space="cell", genes=tuple(genes))


def encode(space: CellSpace, genotype: Genotype) -> Architecture:
    edges = [edge for cell in (genotype.normal, genotype.reduce) for node in cell for edge in node]
    genes = [gene for name, state in edges for gene in (state, space.operations.index(name))]
    return Architecture(space="cell", genes=tuple(genes))


def neighbours(space: CellSpace, architecture: Architecture, gene: int) -> int:
    """Architectures that differ in one input (gene 0) or one operation (gene 1)."""
    return sum(count - 1 for position, count in enumerate(space.choices) if position % 2 == gene)


def test_the_presets_are_the_papers_two_spaces() -> None:
    assert isinstance(ECONAS, CellSpace)
    assert isinstance(ZOO, CellSpace)
    assert (ECONAS.options.nodes, ECONAS.operations, ECONAS.options.concat) == (4, DARTS_OPERATIONS, "loose")
    assert (ZOO.options.nodes, ZOO.operations, ZOO.options.concat) == (5, NASNET_OPERATIONS, "all")


def test_sizes_of_the_spaces() -> None:
    assert isinstance(ECONAS, CellSpace)
    assert isinstance(ZOO, CellSpace)
    assert f"{ECONAS.size.encodings:.2e}" == "5.84e+22"
    assert f"{ECONAS.size.distinct:.2e}" == "3.12e+20"
    assert f"{ZOO.size.encodings:.2e}" == "5.11e+33"
    assert f"{ZOO.size.distinct:.2e}" == "6.22e+30"


def test_the_distinct_architectures_are_those_that_canonical_tells_apart() -> None:
    space = CellSpace(CellOptions(nodes=1, operations=("none", "skip_connect")))
    every = np.ndindex(*space.choices)
    seen = {space.canonical(Architecture(space="cell", genes=tuple(int(gene) for gene in genes))) for genes in every}
    assert space.size == (256, len(seen)) == (256, 100)


@pytest.mark.parametrize(("nodes", "operations", "inputs"), [(4, 112, 40), (5, 140, 60)])
def test_numbers_of_neighbours(nodes: int, operations: int, inputs: int) -> None:
    space = CellSpace(CellOptions(nodes=nodes))
    start = space.random(np.random.default_rng(0))
    assert (neighbours(space, start, 1), neighbours(space, start, 0)) == (operations, inputs)


@pytest.mark.parametrize("nodes", [4, 5])
def test_mutation_reaches_every_neighbour_and_nothing_else(nodes: int) -> None:
    space = CellSpace(CellOptions(nodes=nodes))
    rng = np.random.default_rng(0)
    start = space.random(rng)
    reached = {space.mutate(start, rng)[0].genes for _ in range(6000)}
    different = [tuple(a != b for a, b in zip(start.genes, genes, strict=True)) for genes in reached]
    assert all(sum(changes) == 1 for changes in different)
    by_gene = Counter(changes.index(True) % 2 for changes in different)
    assert by_gene == {0: neighbours(space, start, 0), 1: neighbours(space, start, 1)}


def test_half_of_the_mutations_change_an_input_and_cells_are_equally_likely() -> None:
    rng = np.random.default_rng(0)
    start = ECONAS.random(rng)
    assert isinstance(ECONAS, CellSpace)
    words = [ECONAS.mutate(start, rng)[1] for _ in range(4000)]
    assert abs(sum(": input" in word for word in words) / 4000 - 0.5) < 0.03
    assert abs(sum(word.startswith("normal") for word in words) / 4000 - 0.5) < 0.03


@pytest.mark.parametrize(("weights", "share"), [({"hidden_state": 1.0}, 1.0), ({"operation": 1}, 0.0), ({}, 0.5)])
def test_the_weights_of_the_mutations_are_obeyed(weights: dict[str, float], share: float) -> None:
    rng = np.random.default_rng(0)
    assert isinstance(ECONAS, CellSpace)
    start = ECONAS.random(rng)
    inputs = sum(": input" in ECONAS.mutate(start, rng, weights)[1] for _ in range(2000)) / 2000
    assert abs(inputs - share) < 0.05


@given(spaces_with_architectures(), st.integers(0, 2**32 - 1))
def test_a_neighbour_is_of_the_space_and_never_equivalent(drawn: tuple[CellSpace, Architecture], seed: int) -> None:
    space, start = drawn
    neighbour, words = space.mutate(start, np.random.default_rng(seed))
    assert space.canonical(neighbour) != space.canonical(start)
    assert "->" in words


@given(spaces_with_architectures(), st.data())
def test_the_order_within_a_node_does_not_count(drawn: tuple[CellSpace, Architecture], data: st.DataObject) -> None:
    space, start = drawn
    node = data.draw(st.integers(0, 2 * space.options.nodes - 1))
    assert space.canonical(swap_terms(start, node)) == space.canonical(start)


@given(spaces_with_architectures())
def test_canonical_is_idempotent_and_keeps_each_nodes_terms(drawn: tuple[CellSpace, Architecture]) -> None:
    space, start = drawn
    canonical = space.canonical(start)
    assert space.canonical(canonical) == canonical
    before, after = space.decode(start), space.decode(canonical)
    for cell in ("normal", "reduce"):
        nodes = zip(getattr(before, cell), getattr(after, cell), strict=True)
        assert all(Counter(one) == Counter(other) for one, other in nodes)
    assert (before.normal_concat, before.reduce_concat) == (after.normal_concat, after.reduce_concat)


@given(spaces_with_architectures())
def test_decode_loses_nothing(drawn: tuple[CellSpace, Architecture]) -> None:
    space, start = drawn
    assert encode(space, space.decode(start)) == start


@given(spaces_with_architectures())
def test_describe_is_the_genotype_as_json(drawn: tuple[CellSpace, Architecture]) -> None:
    space, start = drawn
    assert from_json(space.describe(start)) == space.decode(start)


@given(spaces_with_architectures())
def test_loose_ends_are_the_nodes_that_no_node_reads_and_never_an_input(
    drawn: tuple[CellSpace, Architecture],
) -> None:
    space, start = drawn
    genotype = CellSpace(space.options.model_copy(update={"concat": "loose"})).decode(start)
    read = {state for node in genotype.normal for _, state in node}
    assert set(genotype.normal_concat) == set(range(2, 2 + space.options.nodes)) - read
    assert 1 + space.options.nodes in genotype.normal_concat
    assert list(genotype.normal_concat) == sorted(genotype.normal_concat)


@given(options(), st.integers(0, 2**32 - 1))
def test_random_architectures_are_of_the_space(chosen: CellOptions, seed: int) -> None:
    space = CellSpace(chosen)
    drawn = space.random(np.random.default_rng(seed))
    assert encode(space, space.decode(drawn)) == drawn
    assert drawn == space.random(np.random.default_rng(seed))


@settings(max_examples=20)
@given(options())
def test_a_space_can_be_made_again_from_its_spec(chosen: CellOptions) -> None:
    space = CellSpace(chosen)
    spec = Named.model_validate_json(space.spec.model_dump_json())
    assert create(spec) == space
    assert create(spec).spec == space.spec


def test_random_architectures_are_uniform_over_every_gene() -> None:
    rng = np.random.default_rng(0)
    draws = np.array([ECONAS.random(rng).genes for _ in range(4000)])
    for position, count in enumerate(ECONAS.choices):
        shares = np.bincount(draws[:, position], minlength=count) / 4000
        assert np.abs(shares - 1 / count).max() < 0.04


@pytest.mark.parametrize("name", ["DARTS_V1", "DARTS_V2"])
def test_published_cells_are_of_the_space(name: str) -> None:
    assert isinstance(ECONAS, CellSpace)
    genotype = PUBLISHED[name]
    assert ECONAS.decode(encode(ECONAS, genotype)) == genotype.with_concat("loose")


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        (Architecture(space="other", genes=(0,) * 32), "'other'"),
        (Architecture(space="cell", genes=(0,) * 31), "32 genes, got 31"),
        (Architecture(space="cell", genes=(2, *(0,) * 31)), "gene 0 in 0 to 1, got 2"),
        (Architecture(space="cell", genes=(0, -1, *(0,) * 30)), "gene 1 in 0 to 7, got -1"),
    ],
)
def test_genes_of_another_space_are_refused(architecture: Architecture, said: str) -> None:
    for verb in (ECONAS.canonical, ECONAS.decode, ECONAS.describe):
        with pytest.raises(InvalidArchitecture, match=said):
            verb(architecture)


def test_a_list_that_is_a_named_set_is_the_named_set() -> None:
    by_list = create(Named(name="cell", options={"operations": list(DARTS_OPERATIONS)}))
    assert by_list.spec == ECONAS.spec
    assert create(Named(name="cell", options=ZooOptions().model_dump())).spec == ZOO.spec


@pytest.mark.parametrize(
    ("named", "key", "value", "said"),
    [
        ({"name": "cells"}, "space.name", "cells", "cell, mnas, nasbench201, zoo"),
        ({"name": "cell", "node": 4}, "space.node", 4, "unknown option, expected one of nodes, operations, concat"),
        ({"name": "cell", "nodes": 0}, "space.nodes", 0, "greater than or equal to 1"),
        ({"name": "zoo", "operations": "dart"}, "space.operations", "dart", "darts, nasnet"),
        ({"name": "cell", "operations": ["none", "conv"]}, "space.operations", ["none", "conv"], "got conv"),
        ({"name": "cell", "operations": ["none"]}, "space.operations", ["none"], "at least two"),
        ({"name": "cell", "concat": "some"}, "space.concat", "some", "'loose' or 'all'"),
    ],
)
def test_wrong_options_name_key_value_and_what_was_expected(
    named: dict[str, Any], key: str, value: object, said: str
) -> None:
    with pytest.raises(InvalidOptions, match="space") as caught:
        create(Named.model_validate(named))
    (problem,) = caught.value.problems
    assert (problem.key, problem.value) == (key, value)
    assert said in problem.expected


def test_all_wrong_options_are_named_at_once() -> None:
    with pytest.raises(InvalidOptions) as caught:
        create(Named(name="cell", options={"nodes": -1, "concat": "x", "colour": 1}))
    assert [problem.key for problem in caught.value.problems] == ["space.nodes", "space.concat", "space.colour"]
