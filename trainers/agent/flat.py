"""Named parameters in one flat tensor, so that an optimiser's step is a handful of operations."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from math import prod

import numpy as np
import numpy.typing as npt
import torch
from torch import Tensor

from trainers.errors import InvalidAgentRequest

Arrays = dict[str, npt.NDArray[np.generic]]


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

    def fill(self, arrays: Mapping[str, npt.NDArray[np.generic]], block: str) -> None:
        """Takes over values by name; `block` is what they are known by.

        Raises:
            InvalidAgentRequest: if one is missing or has another shape or type.
        """
        for name, parameter in self.parameters.items():
            copy(arrays, f"{block}.{name}", name, parameter.detach().numpy())

    def arrays(self) -> Arrays:
        """Returns all parameters by name; they share memory with this."""
        return {name: parameter.detach().numpy() for name, parameter in self.parameters.items()}


def copy(arrays: Mapping[str, npt.NDArray[np.generic]], key: str, name: str, target: npt.NDArray[np.generic]) -> None:
    """Copies one of the state's arrays to a place of its shape and type.

    Raises:
        InvalidAgentRequest: if it is missing or has another shape or type; `key` names it.
    """
    found = arrays.get(name)
    expected = f"an array of {target.dtype} of shape {target.shape}, as these choices and options have it"
    if found is None:
        raise InvalidAgentRequest(f"arrays.{key}", "nothing", expected)
    if (found.shape, found.dtype) != (target.shape, target.dtype):
        raise InvalidAgentRequest(f"arrays.{key}", f"an array of {found.dtype} of shape {found.shape}", expected)
    np.copyto(target, found)
