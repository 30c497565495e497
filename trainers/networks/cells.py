"""One cell of a network: which states it computes, and in which order."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from functools import cached_property
from typing import cast

from torch import Tensor, nn

from strategies.spaces.genotype import FIRST_NODE, Edge, Nodes
from trainers.networks import operations
from trainers.networks.forms import Form
from trainers.networks.operations import AveragePool, ConvNorm, FactorizedReduce, Identity, MaxPool, Operation


class State:
    """A tensor that several operations read, joined and rectified when first asked for, and once only."""

    def __init__(self, form: Form, parts: Sequence[Tensor]) -> None:
        self._form = form
        self.parts = parts

    @cached_property
    def value(self) -> Tensor:
        """The tensor itself."""
        return self.parts[0] if len(self.parts) == 1 else self._form.concat(self.parts)

    @cached_property
    def rectified(self) -> Tensor:
        """Its ReLU."""
        return self._form.relu(self.parts[0]) if len(self.parts) == 1 else self._form.concat_relu(self.parts)

    def as_input(self, operation: Operation) -> Tensor:
        """Returns what an operation expects of this state."""
        return self.rectified if operation.rectifies else self.value


class Cell(nn.Module):
    """A normal or a reduction cell (DARTS `cnn/model.py`).

    Args:
        nodes: the cell's part of a genotype.
        concat: nodes that make the output.
        channels: channels of every node.
        inputs: channels of the outputs of the cell before the last, and of the last cell.
        reduction: whether operations on the two inputs have stride 2.
        after_reduction: whether the last cell was a reduction, so that the older input is twice as large.
    """

    def __init__(
        self,
        nodes: Nodes,
        concat: tuple[int, ...],
        *,
        channels: int,
        inputs: tuple[int, int],
        reduction: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        older, last = inputs
        self.preprocess0: Operation = (
            FactorizedReduce(older, channels) if after_reduction else ConvNorm(older, channels, ((1, 1),))
        )
        self.preprocess1: Operation = ConvNorm(last, channels, ((1, 1),))
        self.nodes, self.concat, self.reduction = nodes, concat, reduction
        self.width = channels
        self.edges = nn.ModuleList(
            operations.create(name, channels, 2 if reduction and state < FIRST_NODE else 1)
            for node in nodes
            for name, state in node
        )
        self.live = _live(nodes, concat)
        self._path_of = {edge: path for path, edge in enumerate(self._droppable())}

    @property
    def paths(self) -> int:
        """Number of edges that path dropout may drop: those with an effect that are no identity (DARTS)."""
        return len(self._path_of)

    @property
    def channels(self) -> int:
        """Channels of the cell's output."""
        return len(self.concat) * self.width

    def forward(
        self, older: State, last: State, form: Form, *, everything: bool = False, keep: Tensor | None = None
    ) -> State:
        """Computes the cell.

        Args:
            older: output of the cell before the last.
            last: output of the last cell.
            form: how tensors are laid out.
            everything: also compute what cannot reach the output, as the published code does; for counting.
            keep: (paths, N), what the outputs of the droppable edges are multiplied by; nothing if absent.

        Returns:
            The concatenated nodes.
        """
        states: dict[int, State] = {}
        for number, (preprocess, source) in enumerate(((self.preprocess0, older), (self.preprocess1, last))):
            if everything or number in self.live:
                states[number] = State(form, [preprocess(source.as_input(preprocess), form)])
        pools: dict[Edge, Tensor] = {}
        for number in range(FIRST_NODE, FIRST_NODE + len(self.nodes)):
            if everything or number in self.live:
                terms = self._terms(number, states, pools, form, keep)
                states[number] = State(form, [_sum(terms, form) if terms else self._nothing(last, form)])
        return State(form, [states[number].value for number in self.concat])

    def _terms(
        self, number: int, states: dict[int, State], pools: dict[Edge, Tensor], form: Form, keep: Tensor | None
    ) -> list[Tensor]:
        """Returns what is summed to a node; equal pools of one state are computed once."""
        terms = []
        for index, edge, operation in self._edges_of(number):
            if not operation.contributes:
                continue
            term = pools.get(edge)
            if term is None:
                term = operation(states[edge[1]].as_input(operation), form)
            if isinstance(operation, MaxPool | AveragePool):
                pools[edge] = term
            path = None if keep is None else self._path_of.get(index)
            terms.append(term if keep is None or path is None else form.scale(term, keep[path]))
        return terms

    def _droppable(self) -> Iterator[int]:
        """Yields the places of the edges that path dropout may drop, in order."""
        for number in range(FIRST_NODE, FIRST_NODE + len(self.nodes)):
            for index, _, operation in self._edges_of(number):
                if number in self.live and operation.contributes and not isinstance(operation, Identity):
                    yield index

    def _edges_of(self, number: int) -> Iterator[tuple[int, Edge, Operation]]:
        """Yields the edges that enter a node: their place in `edges`, what the genotype says, and the operation."""
        first = 2 * (number - FIRST_NODE)
        for index, edge in enumerate(self.nodes[number - FIRST_NODE], first):
            yield index, edge, cast(Operation, self.edges[index])

    def _nothing(self, last: State, form: Form) -> Tensor:
        return form.zeros(last.parts[0], channels=self.width, stride=2 if self.reduction else 1)


def _sum(terms: list[Tensor], form: Form) -> Tensor:
    return terms[0] if len(terms) == 1 else form.add(terms[0], terms[1])


def _live(nodes: Nodes, concat: tuple[int, ...]) -> frozenset[int]:
    """Returns the states from which something other than zeros reaches the output, and the concatenated nodes."""
    live = set(concat)
    for number in range(FIRST_NODE + len(nodes) - 1, FIRST_NODE - 1, -1):
        if number in live:
            live.update(state for name, state in nodes[number - FIRST_NODE] if name != "none")
    return frozenset(live)
