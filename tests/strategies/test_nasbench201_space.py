"""The search space of NAS-Bench-201 and its notation."""

from __future__ import annotations

from itertools import pairwise

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from store.records.candidates import Architecture, Named
from strategies.errors import InvalidArchitecture, InvalidGenotype, InvalidOptions
from strategies.spaces.base import MutableSpace
from strategies.spaces.nasbench201 import EDGES, NAME, OPERATIONS, BenchGenotype, BenchSpace
from strategies.spaces.registry import create

SPACE = BenchSpace()
RESIDUAL = "|nor_conv_3x3~0|+|none~0|nor_conv_3x3~1|+|skip_connect~0|none~1|nor_conv_3x3~2|"
architectures = st.tuples(*[st.integers(0, 4)] * 6).map(lambda genes: Architecture(space=NAME, genes=genes))


def test_the_space_is_registered_and_has_15625_architectures() -> None:
    assert create(Named(name="nasbench201")) == SPACE
    assert isinstance(SPACE, MutableSpace)
    assert SPACE.size == 15_625
    assert SPACE.spec == Named(name="nasbench201")


def test_it_has_no_options() -> None:
    with pytest.raises(InvalidOptions, match="nodes"):
        create(Named(name="nasbench201", options={"nodes": 4}))


def test_the_benchmarks_order_of_operations_and_edges() -> None:
    assert OPERATIONS == ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
    assert EDGES == ((1, 0), (2, 0), (2, 1), (3, 0), (3, 1), (3, 2))


def test_genes_stand_in_the_order_of_the_published_string() -> None:
    described = SPACE.describe(Architecture(space=NAME, genes=(3, 0, 3, 1, 0, 3)))
    assert described == {"arch": RESIDUAL}
    assert BenchGenotype.from_string(RESIDUAL).nodes[1] == (("none", 0), ("nor_conv_3x3", 1))


@given(architectures)
def test_a_string_is_read_back_to_the_same_architecture(architecture: Architecture) -> None:
    genotype = SPACE.decode(architecture)
    assert BenchGenotype.from_string(genotype.to_string()) == genotype
    assert SPACE.encode(genotype) == architecture


def test_the_edges_of_a_node_may_stand_in_any_order() -> None:
    turned = "|nor_conv_3x3~0|+|nor_conv_3x3~1|none~0|+|nor_conv_3x3~2|skip_connect~0|none~1|\n"
    assert BenchGenotype.from_string(turned).to_string() == RESIDUAL


@pytest.mark.parametrize(
    ("text", "named"),
    [
        ("", "got 1 nodes, expected |op~0|+|op~0|op~1|+|op~0|op~1|op~2|"),
        (RESIDUAL + "+|none~0|", "got 4 nodes"),
        (RESIDUAL.replace("|none~0|", "|conv_3x3~0|"), "node 2: got operation 'conv_3x3', expected one of none, skip"),
        (RESIDUAL.replace("~2", "~1"), "node 3: got '|skip_connect~0|none~1|nor_conv_3x3~1|', expected |op~0|op~1|"),
        (RESIDUAL.replace("none~1|", ""), "node 3"),
        (RESIDUAL[1:], "node 1: got 'nor_conv_3x3~0|', expected |op~0|"),
        ("+".join(["|none|", "|none~0|none~1|", "|none~0|none~1|none~2|"]), "node 1: got '|none|'"),
        ("++", "node 1: got ''"),
    ],
)
def test_a_string_that_is_no_cell_is_refused_by_what_is_wrong_with_it(text: str, named: str) -> None:
    with pytest.raises(InvalidGenotype) as caught:
        BenchGenotype.from_string(text, source="cell.txt")
    assert named in str(caught.value)
    assert str(caught.value).startswith("cell.txt: ")


@pytest.mark.parametrize(("operations", "named"), [(("none",) * 5, "expected 6"), (("max_pool",) * 6, "edge 0")])
def test_other_genotypes_are_refused(operations: tuple[str, ...], named: str) -> None:
    with pytest.raises(InvalidGenotype, match=named):
        BenchGenotype(operations)


@pytest.mark.parametrize(
    ("architecture", "said"),
    [
        (Architecture(space="cell", genes=(0,) * 6), "'cell'"),
        (Architecture(space=NAME, genes=(0,) * 7), "6 genes, got 7"),
        (Architecture(space=NAME, genes=(0, 5, 0, 0, 0, 0)), "gene 1 in 0 to 4, got 5"),
        (Architecture(space=NAME, genes=(-1, 0, 0, 0, 0, 0)), "gene 0 in 0 to 4, got -1"),
    ],
)
def test_genes_of_another_space_are_refused(architecture: Architecture, said: str) -> None:
    for verb in (SPACE.canonical, SPACE.decode, SPACE.describe):
        with pytest.raises(InvalidArchitecture, match=said):
            verb(architecture)


@given(architectures)
def test_every_encoding_stands_for_itself(architecture: Architecture) -> None:
    """Also for cells that compute the same: the benchmark's table has an accuracy for each."""
    assert SPACE.canonical(architecture) == architecture


@given(architectures, st.integers(0, 2**32 - 1))
def test_a_neighbour_differs_in_one_edge(architecture: Architecture, seed: int) -> None:
    neighbour, words = SPACE.mutate(architecture, np.random.default_rng(seed))
    changed = [edge for edge in range(6) if neighbour.genes[edge] != architecture.genes[edge]]
    assert len(changed) == 1
    node, source = EDGES[changed[0]]
    old, new = (OPERATIONS[each.genes[changed[0]]] for each in (architecture, neighbour))
    assert words == f"edge {source} -> {node}: {old} -> {new}"


def test_all_24_neighbours_are_equally_likely_whatever_kinds_of_mutation_are_weighted() -> None:
    rng, start = np.random.default_rng(0), Architecture(space=NAME, genes=(0, 1, 2, 3, 4, 0))
    weights = {"hidden_state": 1.0, "operation": 0.0}
    reached = [SPACE.mutate(start, rng, weights)[0].genes for _ in range(4800)]
    counts = np.unique(np.array(reached), axis=0, return_counts=True)[1]
    assert len(counts) == 24
    assert np.abs(counts / 4800 - 1 / 24).max() < 0.015


def test_random_architectures_are_uniform_and_come_from_the_generator_alone() -> None:
    drawn = np.array([SPACE.random(rng).genes for rng in [np.random.default_rng(0)] for _ in range(3000)])
    shares = np.stack([np.bincount(column, minlength=5) for column in drawn.T]) / 3000
    assert np.abs(shares - 0.2).max() < 0.04
    twice = [SPACE.random(np.random.default_rng(7)) for _ in range(2)]
    assert all(first == second for first, second in pairwise(twice))
