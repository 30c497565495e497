"""Named parameters in one flat tensor, so that an optimiser's step is a handful of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod
from typing import Any

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.errors import InvalidAgentRequest

Arrays = dict[str, npt.NDArray[Any]]
Named = Mapping[str, npt.NDArray[Any]]


class Flat:
    """Parameters by name, all views of one tensor.

    Args:
        shapes: of each parameter.

    Attributes:
        weights: all numbers, (size,), zeros at first.
        parameters: views of it by name, leaves of autograd.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        sizes = [prod(shape) for shape in shapes.values()]
        self.weights = torch.zeros(sum(sizes))
        pieces = zip(shapes.items(), torch.split(self.weights, sizes), strict=True)
        self.parameters = {name: piece.view(*shape).requires_grad_() for (name, shape), piece in pieces}

    def gradient(self, loss: Tensor) -> Tensor:
        """Returns the gradient of a loss by all parameters, (size,)."""
        return torch.cat([each.reshape(-1) for each in torch.autograd.grad(loss, list(self.parameters.values()))])

    def fill(self, arrays: Named, block: str) -> None:
        """Takes over values by name; `block` is what they are known by.

        Raises:
            InvalidAgentRequest: if one is missing or has another shape or type.
        """
        take(arrays, block, self.arrays())

    def arrays(self) -> Arrays:
        """Returns all parameters by name; they share memory with this."""
        return {name: parameter.detach().numpy() for name, parameter in self.parameters.items()}


def take(
    given: Mapping[str, npt.NDArray[np.generic]], block: str, targets: Mapping[str, npt.NDArray[np.generic]]
) -> None:
    """Copies a block of the state into arrays by name; raises as `Flat.fill`."""
    for name, target in targets.items():
        found = given.get(name)
        key, expected = f"arrays.{block}.{name}", f"{target.dtype} of shape {target.shape} by choices and options"
        if found is None:
            raise InvalidAgentRequest(key, "nothing", expected)
        if (found.shape, found.dtype) != (target.shape, target.dtype):
            raise InvalidAgentRequest(key, f"{found.dtype} of shape {found.shape}", expected)
        np.copyto(target, found)
