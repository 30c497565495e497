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
    """Parameters by name, all views of one tensor, and their gradients likewise.

    Args:
        shapes: of each parameter.

    Attributes:
        weights: all numbers, (size,), zeros at first.
        gradient: of all numbers, (size,), whatever was there at first.
    """

    def __init__(self, shapes: Mapping[str, Sequence[int]]) -> None:
        self._shapes = dict(shapes)
        size = sum(prod(shape) for shape in shapes.values())
        self.weights, self.gradient = torch.zeros(size), torch.empty(size)
        self._parameters, self._gradients = self._views(self.weights), self._views(self.gradient)

    def _views(self, flat: Tensor) -> dict[str, Tensor]:
        pieces = torch.split(flat, [prod(shape) for shape in self._shapes.values()])
        return {name: piece.view(*shape) for (name, shape), piece in zip(self._shapes.items(), pieces, strict=True)}

    def fill(self, arrays: Named, block: str) -> None:
        """Takes over values by name; `block` is what they are known by.

        Raises:
            InvalidAgentRequest: if one is missing or has another shape or type.
        """
        take(arrays, block, self.arrays())

    def arrays(self) -> Arrays:
        """Returns all parameters by name; they share memory with this."""
        return {name: parameter.numpy() for name, parameter in self._parameters.items()}


def take(given: Named, block: str, targets: Named) -> None:
    """Copies a block of the state into arrays by name; raises as `Flat.fill`."""
    for name, target in targets.items():
        found = given.get(name)
        if found is None or found.shape != target.shape or found.dtype != target.dtype:
            what = "nothing" if found is None else f"{found.dtype} of shape {found.shape}"
            expected = f"{target.dtype} of shape {target.shape} by choices and options"
            raise InvalidAgentRequest(f"arrays.{block}.{name}", what, expected)
        np.copyto(target, found)
