"""Networks of a normal and a reduction cell (DARTS, EcoNAS) in plain PyTorch."""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.export.plain.operations import ConvNorm, FactorizedReduce, operation


class Cell(nn.Module):
    """A small graph: states 0 and 1 are the outputs of the two cells before, each node adds up two operations."""

    def __init__(
        self,
        edges: list[tuple[str, int]],
        concat: list[int],
        channels: int,
        inputs: tuple[int, int],
        reduction: bool,
        after_reduction: bool,
    ) -> None:
        super().__init__()
        older, last = inputs
        self.preprocess0 = FactorizedReduce(older, channels) if after_reduction else ConvNorm(older, channels, [(1, 1)])
        self.preprocess1 = ConvNorm(last, channels, [(1, 1)])
        self.edges = nn.ModuleList(
            operation(name, channels, 2 if reduction and state < 2 else 1) for name, state in edges
        )
        self.sources = [state for _, state in edges]
        self.concat = concat

    def forward(self, older: Tensor, last: Tensor) -> Tensor:
        """Takes the outputs of the cell before the last and of the last one; joins the nodes of `concat`."""
        states = [self.preprocess0(older), self.preprocess1(last)]
        for first in range(0, len(self.edges), 2):
            terms = [self.edges[edge](states[self.sources[edge]]) for edge in (first, first + 1)]
            states.append(terms[0] + terms[1])
        return torch.cat([states[number] for number in self.concat], dim=1)


class StridedStem(nn.Module):
    """Two 3 x 3 convolutions of stride 2, for images of ImageNet's size."""

    def __init__(self, inputs: int, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(inputs, channels // 2, [(3, 3)], stride=2, rectify=False)
        self.second = ConvNorm(channels // 2, channels, [(3, 3)], stride=2)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, channels, H / 4, W / 4)."""
        stem: Tensor = self.second(self.first(x))
        return stem


class Network(nn.Module):
    """A stack of cells; those at one and two thirds of the depth are reductions, which double the channels.

    Args:
        genotype: `normal` and `reduce`, lists of [operation, state], two for each node; and their concat lists.
        channels: of the first cell.
        cells: how many.
        classes: number of classes.
        input_channels: colour channels of an image.
        stem: `imagenet` for three strided convolutions before the first cell; else one that keeps the size.
    """

    def __init__(
        self,
        genotype: dict[str, Any],
        *,
        channels: int,
        cells: int,
        classes: int,
        input_channels: int = 3,
        stem: str = "cifar",
    ) -> None:
        super().__init__()
        self.stem: nn.Module
        if stem == "imagenet":
            self.stem = StridedStem(input_channels, channels)
            self.stem1 = ConvNorm(channels, channels, [(3, 3)], stride=2)
            older = last = channels
        else:
            self.stem = ConvNorm(input_channels, 3 * channels, [(3, 3)], rectify=False)
            older = last = 3 * channels
        self.strided, self.depth, after_reduction = stem == "imagenet", cells, stem == "imagenet"
        for index in range(cells):
            reduction = index in (cells // 3, 2 * cells // 3)
            kind = "reduce" if reduction else "normal"
            channels = 2 * channels if reduction else channels
            edges, concat = genotype[kind], genotype[f"{kind}_concat"]
            cell = Cell(edges, concat, channels, (older, last), reduction, after_reduction)
            self.add_module(f"cell{index:02d}", cell)
            older, last, after_reduction = last, channels * len(concat), reduction
        self.head = nn.Linear(last, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps preprocessed images (N, input_channels, H, W) to logits (N, classes)."""
        older = last = self.stem(images)
        if self.strided:
            last = self.stem1(older)
        for index in range(self.depth):
            older, last = last, self.get_submodule(f"cell{index:02d}")(older, last)
        logits: Tensor = self.head(functional.adaptive_avg_pool2d(last, 1).flatten(1))
        return logits
