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

    def log_probabilities(self, genes: Genes, recurrence: Recurrence | None = None) -> Tensor:
        """Returns the log-probabilities of all choices, given the tokens before: (T, n, widest), with a gradient.

        Choices that a position does not have are given a probability of 0.

        Args:
            genes: int16, (n, T).
            recurrence: memory to work in, of `recurrence(n)`; go backward before it is used again.
        """
        tokens = torch.from_numpy(genes.astype(np.int64)).t()
        rows = torch.zeros_like(tokens)
        torch.add(tokens[:-1], self._rows[:-1, None], out=rows[1:])
        work = recurrence or self.recurrence(len(genes))
        states = work(self._table(), rows, self.parameters["recurrent"])
        logits = torch.baddbmm(self.parameters["output_bias"], states, self.parameters["output"])
        return torch.log_softmax(logits + self._impossible, dim=2)

    def recurrence(self, count: int) -> Recurrence:
        """Returns memory for so many sequences."""
        return Recurrence(self._length, count, len(self.parameters["recurrent"]))

    @torch.no_grad()
    def sample(self, count: int, rng: np.random.Generator) -> Sampled:
        """Draws architectures, all of a batch at once, token by token."""
        noise = torch.from_numpy(rng.gumbel(size=(self._length, count, self._widest)).astype(np.float32))
        table, weight, output = self._table(), self.parameters["recurrent"], self.parameters["output"]
        bias = self.parameters["output_bias"] + self._impossible
        # Gumbel's maximum: the largest logit has the distribution of the softmax, once such noise is added.
        noisy, tokens = (noise + bias).unbind(0), torch.empty(self._length, count, dtype=torch.int64)
        work, rows = self.recurrence(count), torch.zeros(count, dtype=torch.int64)
        for position, (logits, token, each) in enumerate(zip(noisy, tokens, output, strict=True)):
            torch.index_select(table, 0, rows, out=work.gates[position])
            work.step(position, weight)
            logits.addmm_(work.states[position + 1], each)
            torch.argmax(logits, dim=1, out=token)
            rows = token + self._rows[position]
        possible = torch.log_softmax(torch.baddbmm(bias, torch.stack(work.states[1:]), output), dim=2)
        chosen = possible.gather(2, tokens[:, :, None]).squeeze(2)
        return Sampled(tokens.t().numpy().astype(np.int16), np.ascontiguousarray(chosen.t().numpy()))

    def _table(self) -> Tensor:
        """What each token adds to the LSTM's gates, bias included: (rows, 4H)."""
        return torch.addmm(self.parameters["bias"], self.parameters["embedding"], self.parameters["input"])
