"""The networks of NAS-Bench-201 (Dong and Yang 2020, section 2.1; AutoDL-Projects `TinyNetwork`).

A 3 × 3 convolution with batch normalisation; three stages of N equal cells with C, 2C and 4C channels, before the
second and the third a residual block that halves the size; batch normalisation, ReLU, global mean, a linear layer.
"""

from __future__ import annotations

from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from strategies.spaces.nasbench201 import EDGES, NODES, BenchGenotype
from trainers.networks import operations
from trainers.networks.base import Network
from trainers.networks.cells import State
from trainers.networks.forms import BatchNorm, Form
from trainers.networks.operations import AveragePool, ConvNorm, Identity, Linear, Operation
from trainers.networks.shape import Shape, check_bench, check_bench_size

_NAMES = {"nor_conv_1x1": "conv_1x1", "nor_conv_3x3": "conv_3x3"}
_REDUCTIONS = 2


Terms = dict[int, tuple[int, ...]]
"""For each node that is computed, the edges that are added to it."""


class BenchCell(nn.Module):
    """A cell: four nodes, each the sum of one operation on every earlier node."""

    def __init__(self, genotype: BenchGenotype, channels: int) -> None:
        super().__init__()
        names = [_NAMES.get(name, name) for name in genotype.operations]
        self.edges = nn.ModuleList(operations.create(name, channels, 1) for name in names)
        self._width = channels
        self._all = _all_terms(genotype)
        self._needed = _needed_terms(genotype)

    def forward(self, x: State, form: Form, *, everything: bool = False) -> State:
        """Computes the cell.

        Args:
            x: the cell's input.
            form: how tensors are laid out.
            everything: also compute what cannot reach the output, for counting.

        Returns:
            The last node.
        """
        states, pools = {0: x}, dict[int, Tensor]()
        for node, edges in (self._all if everything else self._needed).items():
            states[node] = self._sum(edges, states, pools, form)
        return states[NODES - 1]

    def _sum(self, edges: tuple[int, ...], states: dict[int, State], pools: dict[int, Tensor], form: Form) -> State:
        """Returns the sum of edges; equal pools of one node are computed once."""
        if not edges:
            return State(form, [form.zeros(states[0].value, channels=self._width, stride=1)])
        if len(edges) == 1 and isinstance(self.edges[edges[0]], Identity):
            return states[EDGES[edges[0]][1]]
        terms = []
        for edge in edges:
            operation, source = cast(Operation, self.edges[edge]), EDGES[edge][1]
            pooled = isinstance(operation, AveragePool)
            if not pooled or source not in pools:
                term = operation(states[source].as_input(operation), form)
                if pooled:
                    pools[source] = term
            terms.append(pools[source] if pooled else term)
        return State(form, [reduce(form.add, terms)])


class ResidualBlock(nn.Module):
    """Halves the size and doubles the channels: two 3 × 3 convolutions beside a mean over 2 × 2 pixels."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels_in, channels, ((3, 3),), stride=2)
        self.second = ConvNorm(channels, channels, ((3, 3),))
        self.shortcut = nn.Parameter(torch.empty(channels, channels_in, 1, 1))

    def forward(self, x: State, form: Form, *, everything: bool = False) -> State:
        """Maps (channels_in, r, r) to (channels, r / 2, r / 2), r even."""
        inner = State(form, [self.first(x.rectified, form)])
        outer = form.pointwise(form.average_pool(x.value, kernel=2, stride=2, padding=0), self.shortcut)
        return State(form, [form.add(outer, self.second(inner.rectified, form))])


class BenchNetwork(Network):
    """The network of a NAS-Bench-201 cell. It has neither path dropout nor an auxiliary head, as published.

    Args:
        genotype: the cell.
        shape: see `Shape`; 17 cells are the published three stages of five cells and two residual blocks.
        form: how operations are carried out.

    Raises:
        ImpossibleSetting: if such networks cannot have the shape.
    """

    def __init__(self, genotype: BenchGenotype, shape: Shape, form: Form) -> None:
        super().__init__(form)
        check_bench(shape)
        channels, stage = shape.channels, (shape.cells - _REDUCTIONS) // (_REDUCTIONS + 1)
        self.stem = ConvNorm(shape.input_channels, channels, ((3, 3),))
        self._cells = [f"cell{index:02d}" for index in range(shape.cells)]
        for index, name in enumerate(self._cells):
            if index % (stage + 1) == stage:
                self.add_module(name, ResidualBlock(channels, 2 * channels))
                channels *= 2
            else:
                self.add_module(name, BenchCell(genotype, channels))
        self.norm = BatchNorm(channels)
        self.head = Linear(channels, shape.classes)

    def _features(self, images: Tensor, form: Form, everything: bool, keep: Tensor | None) -> list[Tensor]:
        check_bench_size(images.shape[-1])
        state = State(form, [self.stem(form.enter(images), form)])
        for name in self._cells:
            state = self.get_submodule(name)(state, form, everything=everything)
        return [form.global_mean(form.relu_(form.normalise(state.value, self.norm)))]


def _all_terms(genotype: BenchGenotype) -> Terms:
    """Returns every edge that is not `none`, by the node that it enters."""
    kept = [edge for edge, name in enumerate(genotype.operations) if name != "none"]
    return {node: tuple(edge for edge in kept if EDGES[edge][0] == node) for node in range(1, NODES)}


def _needed_terms(genotype: BenchGenotype) -> Terms:
    """Returns the edges by which something other than zeros reaches the last node, and those that lie between.

    A convolution of zeros is something, for its batch normalisation adds a bias; a pool or an identity is not.
    """
    terms = _all_terms(genotype)
    for node in range(1, NODES):
        zeros = {node for node, edges in terms.items() if not edges}
        terms[node] = tuple(
            edge
            for edge in terms[node]
            if EDGES[edge][1] not in zeros or genotype.operations[edge] in ("nor_conv_1x1", "nor_conv_3x3")
        )
    read = {NODES - 1}
    for node in reversed(range(1, NODES)):
        read.update(EDGES[edge][1] for edge in terms[node] if node in read)
    return {node: edges for node, edges in terms.items() if node in read}
