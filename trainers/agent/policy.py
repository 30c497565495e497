"""The policy: an LSTM that draws an architecture token by token (NASNet, appendix A.2; FNAS section 6.1).

Each token's embedding goes into one LSTM layer, and an output layer of the next position's own gives the probabilities
of its choices. What goes in first is learnt too.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.agent.flat import Flat
from trainers.agent.lstm import Recurrence

Genes = npt.NDArray[np.int16]
Floats = npt.NDArray[np.float32]

SCALE = 0.1
"""Weights are uniform in [-0.1, 0.1] at first, and biases 0 (NASNet, appendix A.2)."""
_NEVER = -1e9  # a logit that is never drawn and, unlike an infinite one, multiplies a probability of 0 to 0


class Sampled(NamedTuple):
    """Architectures with each token's log-probability: int16 and float32, (count, T)."""

    genes: Genes
    log_probabilities: Floats


class Policy(Flat):
    """A distribution over architectures.

    Args:
        choices: number of choices at each of T positions.
        hidden: units of the LSTM.
    """

    def __init__(self, choices: Sequence[int], hidden: int) -> None:
        self._length, self._widest = len(choices), max(choices)
        # The row of the embedding's table that each position's first choice has; row 0 goes in first.
        self._rows = torch.tensor(np.cumsum([1, *choices[:-1]]))
        self._impossible = torch.zeros(self._length, 1, self._widest)
        for position, count in enumerate(choices):
            self._impossible[position, :, count:] = _NEVER
        super().__init__(
            {
                "embedding": (1 + sum(choices[:-1]), hidden),
                "input": (hidden, 4 * hidden),
                "recurrent": (hidden, 4 * hidden),
                "bias": (4 * hidden,),
                "output": (self._length, hidden, self._widest),
                "output_bias": (self._length, 1, self._widest),
            }
        )

    def initialise(self, rng: np.random.Generator) -> None:
        """Sets all weights anew."""
        for name, values in self.arrays().items():
            values[...] = 0 if name.endswith("bias") else rng.uniform(-SCALE, SCALE, values.shape).astype(np.float32)

    def memory(self, count: int) -> Recurrence:
        """Returns the memory to work in with so many architectures."""
        return Recurrence(self._length, count, len(self._parameters["recurrent"]))

    def sample(self, count: int, rng: np.random.Generator) -> Sampled:
        """Draws architectures, all of a batch at once, token by token."""
        noise = torch.from_numpy(rng.gumbel(size=(self._length, count, self._widest)).astype(np.float32))
        table, weight, output = self._table(), self._parameters["recurrent"], self._parameters["output"]
        # Gumbel's maximum: the largest logit has the distribution of the softmax, once such noise is added.
        noisy, tokens = noise.add_(self._bias()).unbind(0), torch.empty(self._length, count, dtype=torch.int64)
        memory, rows = self.memory(count), torch.zeros(count, dtype=torch.int64)
        for position, (logits, token, each) in enumerate(zip(noisy, tokens, output, strict=True)):
            torch.index_select(table, 0, rows, out=memory.gates[position])
            memory.step(position, weight)
            logits.addmm_(memory.states[position + 1], each)
            torch.argmax(logits, dim=1, out=token)
            rows = token + self._rows[position]
        chosen = self._possible(memory.hidden).gather(2, tokens[:, :, None]).squeeze(2)
        return Sampled(tokens.t().numpy().astype(np.int16), np.ascontiguousarray(chosen.t().numpy()))

    def log_probabilities(self, tokens: Tensor, memory: Recurrence) -> Tensor:
        """Returns the log-probabilities of all choices, given the tokens before: (T, n, widest).

        Choices that a position does not have are given a probability of 0.

        Args:
            tokens: integers, (T, n).
            memory: to work in, for n architectures.
        """
        memory.forward(self._table(), self._entering(tokens), self._parameters["recurrent"])
        return self._possible(memory.hidden)

    def back(self, of_logits: Tensor, tokens: Tensor, memory: Recurrence) -> None:
        """Sets `gradient` from the gradient by the logits, (T, n, widest).

        Args:
            of_logits: the gradient.
            tokens: those of the last call of `log_probabilities`.
            memory: likewise.
        """
        given, found = self._parameters, self._gradients
        torch.bmm(memory.hidden.transpose(1, 2), of_logits, out=found["output"])
        torch.sum(of_logits, 1, keepdim=True, out=found["output_bias"])
        of_states = torch.bmm(of_logits, given["output"].transpose(1, 2))
        below = memory.backward(of_states, given["recurrent"], found["recurrent"])
        of_table = torch.zeros(len(given["embedding"]), below.shape[2])
        of_table.index_add_(0, self._entering(tokens).flatten(), below.flatten(0, 1))
        torch.sum(of_table, 0, out=found["bias"])
        torch.mm(given["embedding"].t(), of_table, out=found["input"])
        torch.mm(of_table, given["input"].t(), out=found["embedding"])

    def _entering(self, tokens: Tensor) -> Tensor:
        """Returns the row of the embedding's table that goes in before each token: that of the token before, (T, n)."""
        rows = torch.zeros_like(tokens)
        torch.add(tokens[:-1], self._rows[:-1, None], out=rows[1:])
        return rows

    def _table(self) -> Tensor:
        """Returns what each token adds to the LSTM's gates, bias included: (rows, 4H)."""
        return torch.addmm(self._parameters["bias"], self._parameters["embedding"], self._parameters["input"])

    def _bias(self) -> Tensor:
        """Returns the bias of the logits, (T, 1, widest)."""
        return self._parameters["output_bias"] + self._impossible

    def _possible(self, states: Tensor) -> Tensor:
        """Returns the log-probabilities of all choices, (T, n, widest), from the hidden states, (T, n, H)."""
        return torch.log_softmax(torch.baddbmm(self._bias(), states, self._parameters["output"]), dim=2)
