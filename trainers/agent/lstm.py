"""The recurrence of an LSTM over a batch of sequences, forward and backward, for small batches on one thread.

Through autograd, operation by operation, a step of PPO on 20 sequences of 42 tokens and 100 units would take several
times as long. Here the forward pass is seven operations a token, the backward pass six; all else is done for all tokens
at once, in memory that is set up once for all steps on a batch (`benchmarks/agent.py` has the rates).
"""

from __future__ import annotations

import torch
from torch import Tensor


class Recurrence:
    """An LSTM's steps, with the memory that they need. The gates stand in the order output, input, forget, candidate.

    Args:
        length: T, tokens of a sequence.
        batch: B, sequences.
        units: H.

    Attributes:
        gates: of each token, T of (B, 4H): before its step what enters from below, after it the gates.
        states: the hidden state before the first token, zeros, and after each, T + 1 of (B, H).
        hidden: the states after the tokens, (T, B, H).
    """

    def __init__(self, length: int, batch: int, units: int) -> None:
        self._gates = torch.empty(length, batch, 4 * units)
        self._before, self._cells = torch.zeros(2, length + 1, batch, units).unbind(0)
        self.hidden = self._before[1:]
        self._squashed = torch.empty(length, batch, units)
        # Views of single tokens, made once: a view costs as much as an operation on so few numbers.
        self.gates, self.states = self._gates.unbind(0), self._before.unbind(0)
        self._each_cell, self._each_squashed = self._cells.unbind(0), self._squashed.unbind(0)
        self._sigmoids = self._gates[:, :, : 3 * units].unbind(0)
        parts = torch.split(self._gates, units, dim=2)
        self._outward, self._inward, self._forget, self._candidate = (part.unbind(0) for part in parts)
        self._way_back: _WayBack | None = None

    def step(self, index: int, weight: Tensor) -> None:
        """Takes one step, from what lies in `gates` and from the states before it."""
        gates, cell, squashed = self.gates[index], self._each_cell[index + 1], self._each_squashed[index]
        torch.addmm(gates, self.states[index], weight, out=gates)
        self._sigmoids[index].sigmoid_()
        self._candidate[index].tanh_()
        torch.mul(self._forget[index], self._each_cell[index], out=cell)
        cell.addcmul_(self._inward[index], self._candidate[index])
        torch.tanh(cell, out=squashed)
        torch.mul(self._outward[index], squashed, out=self.states[index + 1])

    def forward(self, table: Tensor, rows: Tensor, weight: Tensor) -> None:
        """Takes all steps of sequences that start from zeros.

        Args:
            table: what each token adds to the gates, bias included, (rows, 4H).
            rows: the table's row for each token, integers, (T, B).
            weight: from hidden state to gates, (H, 4H).
        """
        torch.index_select(table, 0, rows.flatten(), out=self._gates.flatten(0, 1))
        for index in range(len(self.gates)):
            self.step(index, weight)

    def backward(self, gradient: Tensor, weight: Tensor, of_weight: Tensor) -> Tensor:
        """Goes back through the steps of the last `forward`, and returns the gradient of what entered them, (T, B, 4H).

        Args:
            gradient: of the hidden states, (T, B, H).
            weight: as before.
            of_weight: is set to the gradient of `weight`.
        """
        if self._way_back is None:
            self._way_back = _WayBack(*gradient.shape)
        self._way_back.prepare(self._gates, self._cells[:-1], self._squashed)
        below = self._way_back.run(gradient, weight, self._forget)
        torch.mm(self._before[:-1].flatten(0, 1).t(), below.flatten(0, 1), out=of_weight)
        return below


class _WayBack:
    """The way back through the steps, with its memory: gradients, and what multiplies them on their way."""

    def __init__(self, length: int, batch: int, units: int) -> None:
        self._above, self._to_cell = torch.empty(2, length, batch, units).unbind(0)
        self._factors = torch.empty(length, batch, 4, units)
        self._hidden, self._cell = torch.empty(2, batch, units).unbind(0)
        self._each_above, self._each_to_cell = self._above.unbind(0), self._to_cell.unbind(0)
        self._flat = self._factors.flatten(2).unbind(0)
        self._of_hidden, self._of_cell = self._factors[:, :, 0].unbind(0), self._factors[:, :, 1:].unbind(0)

    def prepare(self, gates: Tensor, cells: Tensor, squashed: Tensor) -> None:
        """Sets the factors, for all steps at once: they do not depend on what comes from later steps.

        The gradient of a hidden state reaches the cell's by `to_cell` and the output gate by its factor; that of the
        cell's state reaches the other gates by theirs, and the state before by the forget gate.
        """
        units = cells.shape[2]
        outward, inward, _, candidate = torch.split(gates, units, dim=2)
        sigmoids, factors = gates[:, :, : 3 * units], self._factors.flatten(2)
        torch.addcmul(sigmoids, sigmoids, sigmoids, value=-1, out=factors[:, :, : 3 * units])
        for place, multiplied in enumerate((squashed, candidate, cells)):
            self._factors[:, :, place].mul_(multiplied)
        torch.addcmul(inward, inward * candidate, candidate, value=-1, out=self._factors[:, :, 3])
        torch.addcmul(outward, outward * squashed, squashed, value=-1, out=self._to_cell)

    def run(self, gradient: Tensor, weight: Tensor, forget: tuple[Tensor, ...]) -> Tensor:
        """Returns the gradient of what entered each step from below, (T, B, 4H)."""
        self._above.copy_(gradient)
        transposed, hidden, cell = weight.t().contiguous(), self._hidden, self._cell.zero_()
        spread, last = cell[:, None], len(self._flat) - 1
        for index in range(last, -1, -1):
            if index == last:
                hidden.copy_(self._each_above[index])
            else:
                torch.addmm(self._each_above[index], self._flat[index + 1], transposed, out=hidden)
            cell.addcmul_(hidden, self._each_to_cell[index])
            self._of_hidden[index].mul_(hidden)
            self._of_cell[index].mul_(spread)
            cell.mul_(forget[index])
        return self._factors.flatten(2)
