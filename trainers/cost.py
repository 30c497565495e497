"""What a network costs: its parameters, and the multiply-adds of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from trainers.networks.forms import BatchNorm, Plain
from trainers.networks.network import AnyGenotype, make
from trainers.networks.shape import Shape


class Cost(NamedTuple):
    """Size of a network.

    Attributes:
        parameters: trainable numbers; with those of the auxiliary head if the network has one.
        multiply_adds: of the convolutions and linear layers for one image in evaluation, hence without the auxiliary
            head; normalisation, pooling and sums are not counted.
    """

    parameters: int
    multiply_adds: int


def cost(genotype: AnyGenotype, shape: Shape) -> Cost:
    """Counts what the published networks' code would execute, operations that cannot reach the output included.

    Nothing is computed: the network is made of shapes only (torch's meta device).

    Args:
        genotype: its cells.
        shape: width, depth, and the images that it is for.

    Raises:
        ImpossibleSetting: if a network of this kind cannot have the shape.
    """
    with torch.device("meta"), torch.no_grad():
        network = make(genotype, shape, _Counted()).eval()
        with FlopCounterMode(display=False) as counter:
            network(torch.empty(1, shape.input_channels, shape.resolution, shape.resolution), everything=True)
    parameters = sum(parameter.numel() for parameter in network.parameters())
    return Cost(parameters, counter.get_total_flops() // 2)


class _Counted(Plain):
    """The plain form without what is not counted, of which only the shapes are kept: four times faster to run."""

    def relu(self, x: Tensor) -> Tensor:
        return x

    def relu_(self, x: Tensor) -> Tensor:
        return x

    def concat_relu(self, parts: Sequence[Tensor]) -> Tensor:
        return self.concat(parts)

    def normalise(self, x: Tensor, norm: BatchNorm) -> Tensor:
        return x

    def max_pool(self, x: Tensor, *, kernel: int, stride: int) -> Tensor:
        return x[:, :, ::stride, ::stride]

    def average_pool(self, x: Tensor, *, kernel: int, stride: int, padding: int) -> Tensor:
        return x[:, :, ::stride, ::stride]
