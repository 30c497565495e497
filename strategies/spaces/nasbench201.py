"""The search space of NAS-Bench-201: one cell of four nodes, every pair of them joined by one of five operations.

Node 0 is the cell's input and node 3 its output; a node is the sum of its edges, each an operation on an earlier node
(Dong and Yang 2020, section 2.1). Genes: one operation for each of the six edges, in the order of the benchmark's
strings, `|op~0|+|op~0|op~1|+|op~0|op~1|op~2|`: what enters node 1, then node 2, then node 3, by the node read.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any

import numpy as np

from store.records.base import Config
from store.records.candidates import Architecture, Named, Proxy
from store.records.knowledge import BlockKey
from strategies.errors import InvalidArchitecture, InvalidGenotype
from strategies.spaces.blocks import KeyFormat, bench_blocks, bench_format
from strategies.spaces.work import of_bench

NAME = "nasbench201"
NODES = 4
"""Nodes of the cell; node 0 is its input."""
EDGES = tuple((node, source) for node in range(1, NODES) for source in range(node))
"""The node that an edge enters and the node that it reads, in the order of the genes."""
OPERATIONS = ("none", "skip_connect", "nor_conv_1x1", "nor_conv_3x3", "avg_pool_3x3")
"""The five operations, in the order of the benchmark's `NAS_BENCH_201`."""
_FORMAT = "|op~0|+|op~0|op~1|+|op~0|op~1|op~2|"


@dataclass(frozen=True)
class BenchGenotype:
    """A cell of NAS-Bench-201. Equal values are equal strings, though some different ones compute the same.

    Attributes:
        operations: one for each of `EDGES`.

    Raises:
        InvalidGenotype: if an operation is unknown or there are not six.
    """

    operations: tuple[str, ...]

    def __post_init__(self) -> None:
        known = ", ".join(OPERATIONS)
        problems = [
            f"edge {index}: got operation {name!r}, expected one of {known}"
            for index, name in enumerate(self.operations)
            if name not in OPERATIONS
        ]
        if len(self.operations) != len(EDGES):
            problems.append(f"got {len(self.operations)} operations, expected {len(EDGES)}, one for each edge")
        if problems:
            raise InvalidGenotype(problems)

    @property
    def nodes(self) -> tuple[tuple[tuple[str, int], ...], ...]:
        """The edges of nodes 1, 2 and 3: for each the operations with the node that they read."""
        edges = tuple(zip(self.operations, EDGES, strict=True))
        return tuple(tuple((name, edge[1]) for name, edge in edges if edge[0] == node) for node in range(1, NODES))

    def to_string(self) -> str:
        """Returns the benchmark's notation, e.g. `|none~0|+|skip_connect~0|none~1|+|...|`."""
        return "+".join("|" + "".join(f"{name}~{source}|" for name, source in node) for node in self.nodes)

    @classmethod
    def from_string(cls, text: str, *, source: str | None = None) -> BenchGenotype:
        """Reads the benchmark's notation; the edges of a node may stand in any order.

        Args:
            text: as `to_string` gives it.
            source: where it came from, e.g. a file's name, for the error.

        Raises:
            InvalidGenotype: naming the part of the string that is wrong and what was expected.
        """
        parts = text.strip().split("+")
        if len(parts) != NODES - 1:
            raise InvalidGenotype([f"{text!r:.120}: got {len(parts)} nodes, expected {_FORMAT}"], source)
        problems: list[str] = []
        operations = [name for node, part in enumerate(parts, 1) for name in _read_node(node, part, problems)]
        if problems:
            raise InvalidGenotype(problems, source)
        return cls(tuple(operations))


def _read_node(node: int, text: str, problems: list[str]) -> list[str]:
    """Returns the operations that enter a node by the node that they read; notes what is wrong."""
    pieces = text[1:-1].split("|")
    edges = [piece.partition("~")[::2] for piece in pieces]
    if text[:1] != "|" or text[-1:] != "|" or sorted(state for _, state in edges) != [str(i) for i in range(node)]:
        expected = "|" + "|".join(f"op~{state}" for state in range(node)) + "|"
        problems.append(f"node {node}: got {text!r:.120}, expected {expected}")
        return []
    known = ", ".join(OPERATIONS)
    unknown = [name for name, _ in edges if name not in OPERATIONS]
    problems += [f"node {node}: got operation {name!r:.60}, expected one of {known}" for name in unknown]
    return [name for name, _ in sorted(edges, key=lambda edge: edge[1])]


class BenchOptions(Config):
    """The space has no options: the benchmark is all of it."""


@dataclass(frozen=True)
class BenchSpace:
    """All 15,625 cells of NAS-Bench-201."""

    options: BenchOptions = field(default_factory=BenchOptions)

    @cached_property
    def spec(self) -> Named:
        """The name, without options."""
        return Named(name=NAME)

    @property
    def choices(self) -> tuple[int, ...]:
        """Five operations at each of the six edges."""
        return (len(OPERATIONS),) * len(EDGES)

    @property
    def size(self) -> int:
        """The number of encodings, each of which the benchmark has an entry for."""
        return prod(self.choices)

    def random(self, rng: np.random.Generator) -> Architecture:
        """Returns an architecture drawn uniformly over the encoding."""
        return self._architecture(rng.integers(0, self.choices).tolist())

    def canonical(self, architecture: Architecture) -> Architecture:
        """Returns the same architecture: every encoding stands for itself.

        Many cells compute the same as another, but they were trained one by one for the benchmark, and its table has
        one accuracy for each encoding.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        self._checked(architecture)
        return architecture

    def decode(self, architecture: Architecture) -> BenchGenotype:
        """Returns the cell.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        return BenchGenotype(tuple(OPERATIONS[gene] for gene in self._checked(architecture)))

    def encode(self, genotype: BenchGenotype) -> Architecture:
        """Returns the architecture of a cell; the reverse of `decode`."""
        return self._architecture([OPERATIONS.index(name) for name in genotype.operations])

    def describe(self, architecture: Architecture) -> dict[str, Any]:
        """Returns the cell in the benchmark's notation as `{"arch": "|none~0|+|...|"}`.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        return {"arch": self.decode(architecture).to_string()}

    def work(self, architecture: Architecture) -> float:
        """Returns the relative time of a step of training (`strategies.spaces.work`).

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        return of_bench(self.decode(architecture))

    @property
    def block_choices(self) -> tuple[int, ...]:
        """The number of values of each token of a block's key (`strategies.spaces.blocks`)."""
        return self._keys.choices

    def blocks(self, architecture: Architecture, proxy: Proxy) -> tuple[BlockKey, ...]:
        """Returns the network's blocks: stem, cells, the two that halve the size, and the last normalisation.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
            InvalidOptions: if the proxy has more channels than keys can tell apart.
        """
        return bench_blocks(self._keys, self._checked(architecture), proxy)

    @cached_property
    def _keys(self) -> KeyFormat:
        return bench_format(self.choices)

    def mutate(
        self, architecture: Architecture, rng: np.random.Generator, weights: Mapping[str, float] | None = None
    ) -> tuple[Architecture, str]:
        """Returns a neighbour: one edge, drawn uniformly, gets another operation, drawn uniformly among the four.

        Args:
            architecture: the parent.
            rng: source of randomness.
            weights: passed over, for there is one kind of mutation only.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        genes = list(self._checked(architecture))
        position = int(rng.integers(len(genes)))
        old, step = genes[position], int(rng.integers(1, len(OPERATIONS)))
        genes[position] = (old + step) % len(OPERATIONS)
        node, source = EDGES[position]
        words = f"edge {source} -> {node}: {OPERATIONS[old]} -> {OPERATIONS[genes[position]]}"
        return self._architecture(genes), words

    def _architecture(self, genes: list[int]) -> Architecture:
        return Architecture(space=NAME, genes=tuple(genes))

    def _checked(self, architecture: Architecture) -> tuple[int, ...]:
        genes = architecture.genes
        if architecture.space != NAME:
            raise InvalidArchitecture(NAME, genes, f"the space's name, got {architecture.space!r}")
        if len(genes) != len(EDGES):
            raise InvalidArchitecture(NAME, genes, f"{len(EDGES)} genes, got {len(genes)}")
        for position, gene in enumerate(genes):
            if not 0 <= gene < len(OPERATIONS):
                raise InvalidArchitecture(NAME, genes, f"gene {position} in 0 to {len(OPERATIONS) - 1}, got {gene}")
        return genes
