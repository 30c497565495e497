"""The cell space of EcoNAS, NASNet and AmoebaNet: a normal and a reduction cell, stacked into a network.

Genes: for the normal cell, then the reduction cell, for each node: first input, its operation, second input, its
operation (EcoNAS A3, steps 1 to 4; step 5 adds the two). An input is a state: 0 and 1 are the cell's inputs, node `i`
(counted from 0) is state `i + 2` and may read every state before it. An operation is its index in the space's list.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from functools import cached_property
from math import prod
from typing import Any, Literal, NamedTuple

import numpy as np
from pydantic import Field, field_validator

from store.records.base import Config
from store.records.candidates import Architecture, Named, Proxy
from store.records.knowledge import BlockKey
from strategies.errors import InvalidArchitecture
from strategies.spaces.blocks import KeyFormat, cell_blocks, cell_format
from strategies.spaces.genotype import (
    DARTS_OPERATIONS,
    FIRST_NODE,
    NASNET_OPERATIONS,
    OPERATIONS,
    Edge,
    Genotype,
    Nodes,
    concat,
)
from strategies.spaces.work import of_cells

CELLS = ("normal", "reduce")
GENES_PER_NODE = 4
OPERATION_SETS: Mapping[str, tuple[str, ...]] = {"darts": DARTS_OPERATIONS, "nasnet": NASNET_OPERATIONS}
HIDDEN_STATE, OPERATION = "hidden_state", "operation"
"""AmoebaNet's two mutations: another input for one operation, or another operation on one input."""


class CellOptions(Config):
    """Options of the space `cell`; the defaults are EcoNAS's search space (A5.1)."""

    nodes: int = Field(default=4, ge=1, le=16, description="nodes of a cell, its two inputs not counted")
    operations: str | tuple[str, ...] = Field(
        default="darts", description="`darts` (8, EcoNAS A5.1), `nasnet` (13, A3), or a list of operations"
    )
    concat: Literal["loose", "all"] = Field(
        default="loose", description="a cell's output: the nodes that no node reads (EcoNAS A5.1), or all nodes (A3)"
    )

    @field_validator("operations")
    @classmethod
    def _known(cls, value: str | tuple[str, ...]) -> str | tuple[str, ...]:
        """A list that is one of the named sets becomes its name, so that equal spaces have equal options."""
        if isinstance(value, str):
            if value not in OPERATION_SETS:
                raise ValueError(f"expected {', '.join(OPERATION_SETS)}, or a list of operations")
            return value
        if unknown := [name for name in value if name not in OPERATIONS]:
            raise ValueError(f"expected operations among {', '.join(OPERATIONS)}, got {', '.join(unknown)}")
        if len(value) < 2 or len(set(value)) != len(value):
            raise ValueError("expected at least two operations, each once")
        return next((name for name, members in OPERATION_SETS.items() if members == value), value)


class ZooOptions(CellOptions):
    """Options of the space `zoo`; the defaults are the space of EcoNAS's model zoo (A3)."""

    nodes: int = Field(default=5, ge=1, le=16, description="nodes of a cell, its two inputs not counted")
    operations: str | tuple[str, ...] = Field(default="nasnet", description="as for `cell`")
    concat: Literal["loose", "all"] = Field(default="all", description="as for `cell`")


class Size(NamedTuple):
    """How many architectures a space has: encodings, and those left when the order inside a node does not count."""

    encodings: int
    distinct: int


@dataclass(frozen=True)
class CellSpace:
    """All pairs of a normal and a reduction cell with a number of nodes over a list of operations."""

    options: CellOptions = field(default_factory=CellOptions)

    @cached_property
    def spec(self) -> Named:
        """The name `cell` and all options; a preset such as `zoo` is the same space under another name."""
        return Named(name="cell", options=self.options.model_dump(mode="json"))

    @cached_property
    def operations(self) -> tuple[str, ...]:
        """The operations in the order of their genes."""
        chosen = self.options.operations
        return OPERATION_SETS[chosen] if isinstance(chosen, str) else chosen

    @cached_property
    def choices(self) -> tuple[int, ...]:
        """The number of choices at each position; an input has as many as there are earlier states."""
        node = [(FIRST_NODE + index, len(self.operations)) * 2 for index in range(self.options.nodes)]
        return tuple(choice for _ in CELLS for genes in node for choice in genes)

    @cached_property
    def size(self) -> Size:
        """The number of encodings, and of architectures that `canonical` tells apart."""
        edges = [(FIRST_NODE + index) * len(self.operations) for index in range(self.options.nodes)]
        cells = len(CELLS)
        return Size(prod(k**2 for k in edges) ** cells, prod(k * (k + 1) // 2 for k in edges) ** cells)

    def random(self, rng: np.random.Generator) -> Architecture:
        """Returns an architecture drawn uniformly over the encoding (EcoNAS A3, steps 1 to 4)."""
        return self._architecture(rng.integers(0, self.choices).tolist())

    def canonical(self, architecture: Architecture) -> Architecture:
        """Returns the encoding in which each node's (operation, input) pairs are in ascending order.

        A node adds its two terms, so their order makes no difference to what can be learnt; it does decide in which
        order parameters are created, so it is this encoding that is trained.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        genes = self._checked(architecture)
        pairs = [sorted(((op1, in1), (op2, in2))) for in1, op1, in2, op2 in _nodes(genes)]
        return self._architecture([gene for node in pairs for op, state in node for gene in (state, op)])

    def decode(self, architecture: Architecture) -> Genotype:
        """Returns the cells in DARTS notation.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        genes = self._checked(architecture)
        half = len(genes) // len(CELLS)
        normal, reduce = self._cell(genes[:half]), self._cell(genes[half:])
        rule = self.options.concat
        return Genotype(normal, reduce, concat(normal, rule), concat(reduce, rule))

    def describe(self, architecture: Architecture) -> dict[str, Any]:
        """Returns the genotype as a JSON-ready map; `InvalidArchitecture` as for `decode`."""
        return self.decode(architecture).to_json()

    def work(self, architecture: Architecture) -> float:
        """Returns the relative time of a step of training (`strategies.spaces.work`).

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        return of_cells(self.decode(architecture))

    @property
    def block_choices(self) -> tuple[int, ...]:
        """The number of values of each token of a block's key (`strategies.spaces.blocks`)."""
        return self._keys.choices

    def blocks(self, architecture: Architecture, proxy: Proxy) -> tuple[BlockKey, ...]:
        """Returns the network's blocks: the stem, or both, and every cell (`strategies.spaces.blocks`).

        The genes are taken as they are: terms of a node in another order are parameters in another order.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
            InvalidOptions: if the proxy has more channels than keys can tell apart.
        """
        genotype, genes = self.decode(architecture), architecture.genes
        half = len(genes) // len(CELLS)
        outputs = {False: len(genotype.normal_concat), True: len(genotype.reduce_concat)}
        return cell_blocks(self._keys, {False: genes[:half], True: genes[half:]}, outputs, proxy)

    @cached_property
    def _keys(self) -> KeyFormat:
        return cell_format(self.choices[: len(self.choices) // len(CELLS)])

    def mutate(
        self, architecture: Architecture, rng: np.random.Generator, weights: Mapping[str, float] | None = None
    ) -> tuple[Architecture, str]:
        """Returns a neighbour by one of AmoebaNet's two mutations (EcoNAS 4.2: without its identity mutation).

        Cell, node and the term within it are uniform, and so is the new value among those that differ from the old.
        A neighbour never has the canonical encoding of its parent.

        Args:
            architecture: the parent.
            rng: source of randomness.
            weights: relative weight of `hidden_state` and `operation`; equal if absent.

        Raises:
            InvalidArchitecture: if the genes are not of this space.
        """
        genes = list(self._checked(architecture))
        weights = weights or {}
        hidden, operation = weights.get(HIDDEN_STATE, 0.0), weights.get(OPERATION, 0.0)
        share = hidden / (hidden + operation) if hidden + operation > 0 else 0.5
        offset = 0 if rng.random() < share else 1
        position = 2 * int(rng.integers(len(genes) // 2)) + offset
        old, step = genes[position], int(rng.integers(1, self.choices[position]))
        genes[position] = (old + step) % self.choices[position]
        return self._architecture(genes), self._words(position, old, genes[position])

    def _architecture(self, genes: list[int]) -> Architecture:
        return Architecture(space=self.spec.name, genes=tuple(genes))

    def _checked(self, architecture: Architecture) -> tuple[int, ...]:
        genes, choices = architecture.genes, self.choices
        if architecture.space != self.spec.name:
            raise InvalidArchitecture(self.spec.name, genes, f"the space's name, got {architecture.space!r}")
        if len(genes) != len(choices):
            raise InvalidArchitecture(self.spec.name, genes, f"{len(choices)} genes, got {len(genes)}")
        for position, (gene, count) in enumerate(zip(genes, choices, strict=True)):
            if not 0 <= gene < count:
                raise InvalidArchitecture(self.spec.name, genes, f"gene {position} in 0 to {count - 1}, got {gene}")
        return genes

    def _cell(self, genes: tuple[int, ...]) -> Nodes:
        return tuple((self._edge(op1, in1), self._edge(op2, in2)) for in1, op1, in2, op2 in _nodes(genes))

    def _edge(self, operation: int, state: int) -> Edge:
        return self.operations[operation], state

    def _words(self, position: int, old: int, new: int) -> str:
        cell, rest = divmod(position, GENES_PER_NODE * self.options.nodes)
        node, gene = divmod(rest, GENES_PER_NODE)
        where = f"{CELLS[cell]} node {node + FIRST_NODE}"
        if gene % 2:
            return f"{where}: {self.operations[old]} -> {self.operations[new]}"
        return f"{where}: input {old} -> {new}"


def _nodes(genes: tuple[int, ...]) -> Iterator[tuple[int, ...]]:
    return (genes[start : start + GENES_PER_NODE] for start in range(0, len(genes), GENES_PER_NODE))
