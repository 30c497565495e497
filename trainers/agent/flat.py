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
        self._shapes = dict(shapes)
        self.weights = torch.zeros(sum(prod(shape) for shape in shapes.values()))
        self.parameters = {name: view.requires_grad_() for name, view in self.views(self.weights).items()}

    def views(self, flat: Tensor) -> dict[str, Tensor]:
        """Returns the parts of a flat tensor, (size,), that belong to each parameter."""
        pieces = torch.split(flat, [prod(shape) for shape in self._shapes.values()])
        return {name: piece.view(*shape) for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)}

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
