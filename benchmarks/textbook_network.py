"""The peer of `training.py`: a cell network as the public DARTS code's users write it, one `nn.Module` per operation.

Operations and their order are those of DARTS `cnn/operations.py` and `cnn/model.py`; the code is our own.
"""

from __future__ import annotations

import torch
from torch import Tensor, nn

from strategies.spaces.genotype import Genotype, Nodes


def norm_after(*modules: nn.Module, channels: int) -> nn.Sequential:
    """ReLU, the modules, batch normalisation."""
    return nn.Sequential(nn.ReLU(), *modules, nn.BatchNorm2d(channels))


def separable(channels: int, kernel: int, stride: int, dilation: int = 1) -> nn.Sequential:
    """ReLU, depthwise, pointwise, batch normalisation."""
    padding = dilation * (kernel // 2)
    depthwise = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
    return norm_after(depthwise, nn.Conv2d(channels, channels, 1, bias=False), channels=channels)


class FactorizedReduce(nn.Module):
    """Halves height and width by two strided 1 x 1 convolutions, one shifted by a pixel."""

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(channels_in, channels // 2, 1, stride=2, bias=False)
        self.odd = nn.Conv2d(channels_in, channels // 2, 1, stride=2, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """(N, channels_in, H, W) to (N, channels, H / 2, W / 2)."""
        x = torch.relu(x)
        return self.norm(torch.cat([self.even(x), self.odd(x[:, :, 1:, 1:])], 1))


class Zero(nn.Module):
    """Multiplies by zero, as the public code does."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Returns zeros of the strided shape."""
        return x[:, :, :: self.stride, :: self.stride] * 0.0


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """The eight operations of DARTS and EcoNAS."""
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    if name == "max_pool_3x3":
        return nn.MaxPool2d(3, stride, 1)
    if name == "avg_pool_3x3":
        return nn.AvgPool2d(3, stride, 1, count_include_pad=False)
    kind, _, size = name.rpartition("_")
    kernel = int(size[0])
    if kind == "sep_conv":
        return nn.Sequential(separable(channels, kernel, stride), separable(channels, kernel, 1))
    if kind == "dil_conv":
        return separable(channels, kernel, stride, dilation=2)
    raise ValueError(f"the benchmark's network has no {name}")


class Cell(nn.Module):
    """A cell: each node the sum of two operations on earlier states."""

    def __init__(
        self, nodes: Nodes, concat: tuple[int, ...], older: int, last: int, channels: int, reduce: bool, after: bool
    ) -> None:
        super().__init__()
        self.concat, self.sources = concat, [state for node in nodes for _, state in node]
        self.older = (
            FactorizedReduce(older, channels)
            if after
            else norm_after(nn.Conv2d(older, channels, 1, bias=False), channels=channels)
        )
        self.last = norm_after(nn.Conv2d(last, channels, 1, bias=False), channels=channels)
        edges = [edge for node in nodes for edge in node]
        self.operations = nn.ModuleList(
            operation(name, channels, 2 if reduce and state < 2 else 1) for name, state in edges
        )

    def forward(self, older: Tensor, last: Tensor) -> Tensor:
        """Computes the nodes in order and joins those of the concat list."""
        states = [self.older(older), self.last(last)]
        for first in range(0, len(self.operations), 2):
            a, b = (self.operations[edge](states[self.sources[edge]]) for edge in (first, first + 1))
            states.append(a + b)
        return torch.cat([states[state] for state in self.concat], 1)


class Network(nn.Module):
    """Stem, cells with reductions at one and two thirds of the depth, global mean, linear classifier."""

    def __init__(self, genotype: Genotype, channels: int, cells: int, classes: int) -> None:
        super().__init__()
        older = last = 3 * channels
        self.stem = nn.Sequential(nn.Conv2d(3, last, 3, padding=1, bias=False), nn.BatchNorm2d(last))
        self.cells, after = nn.ModuleList(), False
        for index in range(cells):
            reduce = index in (cells // 3, 2 * cells // 3)
            channels *= 2 if reduce else 1
            nodes = genotype.reduce if reduce else genotype.normal
            concat = genotype.reduce_concat if reduce else genotype.normal_concat
            self.cells.append(Cell(nodes, concat, older, last, channels, reduce, after))
            older, last, after = last, len(concat) * channels, reduce
        self.classifier = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        """(N, 3, H, W) to logits (N, classes)."""
        older = last = self.stem(images)
        for cell in self.cells:
            older, last = last, cell(older, last)
        return self.classifier(last.mean((2, 3)))
