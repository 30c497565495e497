"""The networks of NAS-Bench-201 (Dong and Yang 2020, section 2.1; AutoDL-Projects `TinyNetwork`).

A 3 × 3 convolution with batch normalisation; three stages of N equal cells with C, 2C and 4C channels, before the
second and the third a residual block that halves the size; batch normalisation, ReLU, global mean, a linear layer.
"""

from __future__ import annotations

from collections.abc import Iterator
from functools import reduce
from typing import cast

import torch
from torch import Tensor, nn

from strategies.spaces.nasbench201 import EDGES, NODES, BenchGenotype
from trainers.networks import operations
from trainers.networks.base import Network
from trainers.networks.cells import State
from trainers.networks.forms import BatchNorm, Form
from trainers.networks.operations import AveragePool, ConvNorm, Linear, Operation
from trainers.networks.shape import Shape, check_bench, check_bench_size

_NAMES = {"nor_conv_1x1": "conv_1x1", "nor_conv_3x3": "conv_3x3"}
_REDUCTIONS = 2


class BenchCell(nn.Module):
    """A cell: four nodes, each the sum of one operation on every earlier node."""

    def __init__(self, genotype: BenchGenotype, channels: int) -> None:
        super().__init__()
        self.width = channels
        names = [_NAMES.get(name, name) for name in genotype.operations]
        self.edges = nn.ModuleList(operations.create(name, channels, 1) for name in names)
        self.live = _live(genotype)

    def forward(self, x: State, form: Form, *, everything: bool = False) -> State:
        """Computes the cell.

        Args:
            x: the cell's input.
            form: how tensors are laid out.
            everything: also compute what cannot reach the output, for counting.

        Returns:
            The last node.
        """
        states, pools = [x], dict[int, Tensor]()
        for node in range(1, NODES):
            if not everything and node not in self.live:
                states.append(x)
                continue
            terms = []
            for operation, source in self._edges_of(node):
                if not operation.contributes:
                    continue
                if not isinstance(operation, AveragePool):
                    terms.append(operation(states[source].as_input(operation), form))
                    continue
                if source not in pools:
                    pools[source] = operation(states[source].value, form)
                terms.append(pools[source])
            total = reduce(form.add, terms) if terms else form.zeros(x.value, channels=self.width, stride=1)
            states.append(State(form, [total]))
        return states[-1]

    def _edges_of(self, node: int) -> Iterator[tuple[Operation, int]]:
        for (target, source), operation in zip(EDGES, self.edges, strict=True):
            if target == node:
                yield cast(Operation, operation), source


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


def _live(genotype: BenchGenotype) -> frozenset[int]:
    """Returns the nodes from which something other than zeros reaches the last one, and that one."""
    live = {NODES - 1}
    for (node, source), name in reversed(list(zip(EDGES, genotype.operations, strict=True))):
        if node in live and name != "none":
            live.add(source)
    return frozenset(live)
