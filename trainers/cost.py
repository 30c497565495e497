"""What a network costs: its parameters, and the multiply-adds of one image."""

from __future__ import annotations

from collections.abc import Sequence
from typing import NamedTuple

import torch
from torch import Tensor
from torch.utils.flop_counter import FlopCounterMode

from strategies.spaces.genotype import Genotype
from trainers.networks.forms import BatchNorm, Plain
from trainers.networks.network import CellNetwork, check_auxiliary


class Cost(NamedTuple):
    """Size of a network.

    Attributes:
        parameters: trainable numbers; with those of the auxiliary head if the network has one.
        multiply_adds: of the convolutions and linear layers for one image in evaluation, hence without the auxiliary
            head; normalisation, pooling and sums are not counted.
    """

    parameters: int
    multiply_adds: int


def cost(
    genotype: Genotype,
    *,
    channels: int,
    cells: int,
    resolution: int,
    classes: int,
    auxiliary: bool = False,
    input_channels: int = 3,
) -> Cost:
    """Counts what the published networks' code would execute, operations that cannot reach the output included.

    Nothing is computed: the network is made of shapes only (torch's meta device).

    Args:
        genotype: the two cells.
        channels: initial channels C.
        cells: number of cells.
        resolution: pixels of an image's side.
        classes: number of classes.
        auxiliary: whether the network has the auxiliary head.
        input_channels: channels of an image.

    Raises:
        ImpossibleSetting: if the auxiliary head does not fit the resolution.
    """
    if auxiliary:
        check_auxiliary(resolution)
    with torch.device("meta"), torch.no_grad():
        network = CellNetwork(
            genotype,
            channels=channels,
            cells=cells,
            classes=classes,
            input_channels=input_channels,
            auxiliary=auxiliary,
        ).eval()
        network.form = _Counted()
        counter = FlopCounterMode(display=False)
        with counter:
            network(torch.empty(1, input_channels, resolution, resolution), everything=True)
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
