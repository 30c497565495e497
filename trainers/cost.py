"""What a network costs: its parameters, and the multiply-adds of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor, nn

from trainers.networks.forms import Activation, BatchNorm, Pair, Plain
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
        genotype: its cells or blocks.
        shape: width, depth, and the images that it is for.

    Raises:
        ImpossibleSetting: if a network of this kind cannot have the shape.
    """
    counted = _Counted()
    with torch.device("meta"), torch.no_grad():
        network = make(genotype, shape, counted).eval()
        parameters, of_head = sum(each.numel() for each in network.parameters()), network.head.weight.numel()
        network.set_submodule("head", nn.Identity())
        network(torch.empty(1, shape.input_channels, shape.resolution, shape.resolution), everything=True)
    return Cost(parameters, counted.multiply_adds + of_head)


class _Counted(Plain):
    """The plain form, which counts its convolutions; of what is not counted it keeps only the shapes.

    Torch's `FlopCounterMode`, and sums, means and products of meta tensors, are avoided: they import torch's compiler,
    which takes 2 s of a worker's first job.
    """

    def __init__(self) -> None:
        self.multiply_adds = 0

    def depthwise(self, x: Tensor, weight: Tensor, *, stride: int, dilation: int) -> Tensor:
        return self._count(super().depthwise(x, weight, stride=stride, dilation=dilation), weight)

    def pointwise(self, x: Tensor, weight: Tensor) -> Tensor:
        return self._count(super().pointwise(x, weight), weight)

    def convolve(self, x: Tensor, weight: Tensor, *, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
        return self._count(super().convolve(x, weight, stride=stride, padding=padding), weight)

    def _count(self, result: Tensor, weight: Tensor) -> Tensor:
        self.multiply_adds += result.numel() * weight[0].numel()
        return result

    def add(self, first: Tensor, second: Tensor) -> Tensor:
        return first

    def relu(self, x: Tensor) -> Tensor:
        return x

    def relu_(self, x: Tensor) -> Tensor:
        return x

    def activate_(self, x: Tensor, name: Activation) -> Tensor:
        return x

    def mean_pixel(self, x: Tensor) -> Tensor:
        return x[:, :, :1, :1]

    def shift(self, x: Tensor, bias: Tensor) -> Tensor:
        return x

    def gate(self, x: Tensor, pixel: Tensor) -> Tensor:
        return x

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        batch, _, height, width = parts[0].shape
        return parts[0].new_empty((batch, sum(part.shape[1] for part in parts), height, width))

    def concat_relu(self, parts: Sequence[Tensor]) -> Tensor:
        return self.concat(parts)

    def every_second(self, x: Tensor, *, first: int) -> Tensor:
        return x[:, :, ::2, ::2]

    def normalise(self, x: Tensor, norm: BatchNorm) -> Tensor:
        return x

    def max_pool(self, x: Tensor, *, kernel: int, stride: int) -> Tensor:
        return x[:, :, ::stride, ::stride]

    def average_pool(self, x: Tensor, *, kernel: int, stride: int, padding: int) -> Tensor:
        return x[:, :, ::stride, ::stride]

    def global_mean(self, x: Tensor) -> Tensor:
        return x[:, :, 0, 0]
