"""Adam on one flat tensor.

It is written out because building any `torch.optim` optimiser imports torch's compiler: 2 s of a worker's first job
(measured, torch 2.13).
"""

from __future__ import annotations

import torch
from torch import Tensor

from trainers.agent.flat import Arrays, Named, take

_BETA1, _BETA2, _EPSILON = 0.9, 0.999, 1e-8


class Adam:
    """Adam (Kingma and Ba 2015) without weight decay, with the paper's constants.

    Args:
        size: numbers in the flat tensor.
        rate: step size.
    """

    def __init__(self, size: int, rate: float) -> None:
        self._rate = rate
        self._first, self._second = torch.zeros(size), torch.zeros(size)
        self._steps = torch.zeros(1)

    def step(self, weights: Tensor, gradient: Tensor) -> None:
        """Moves the weights, (size,), in place against a gradient of that shape."""
        torch._fused_adam_(
            [weights],
            [gradient],
            [self._first],
            [self._second],
            [],
            [self._steps.add_(1)],
            lr=self._rate,
            beta1=_BETA1,
            beta2=_BETA2,
            weight_decay=0.0,
            eps=_EPSILON,
            amsgrad=False,
            maximize=False,
        )

    def arrays(self) -> Arrays:
        """Returns both moments and the number of steps, to go on from."""
        return {"first": self._first.numpy(), "second": self._second.numpy(), "steps": self._steps.numpy()}

    def restore(self, arrays: Named, block: str) -> None:
        """Takes over what `arrays` gave; raises as `Flat.fill`."""
        take(arrays, block, self.arrays())
