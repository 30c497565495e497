"""Networks of a NAS-Bench-201 cell in plain PyTorch."""

from __future__ import annotations

from typing import Any

from torch import Tensor, nn
from torch.nn import functional

from trainers.export.plain.operations import ConvNorm, operation


class Cell(nn.Module):
    """Four nodes: the input, and three that each add up one operation on every node before."""

    def __init__(self, names: list[str], channels: int) -> None:
        super().__init__()
        self.edges = nn.ModuleList(operation(name, channels, 1) for name in names)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to the last node, (N, C, H, W)."""
        states, edge = [x], 0
        for node in range(1, 4):
            terms = [self.edges[edge + source](states[source]) for source in range(node)]
            states.append(sum(terms[1:], start=terms[0]))
            edge += node
        return states[-1]


class ResidualBlock(nn.Module):
    """Halves the size and doubles the channels: two 3 x 3 convolutions beside a mean over 2 x 2 pixels."""

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.first = ConvNorm(channels, 2 * channels, [(3, 3)], stride=2)
        self.second = ConvNorm(2 * channels, 2 * channels, [(3, 3)])
        self.shortcut = nn.Conv2d(channels, 2 * channels, 1, bias=False)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, 2 C, H / 2, W / 2)."""
        total: Tensor = self.shortcut(functional.avg_pool2d(x, 2)) + self.second(self.first(x))
        return total


class Network(nn.Module):
    """Three stages of equal cells, with a residual block before the second and the third.

    Args:
        genotype: `arch`, the cell in the benchmark's notation.
        channels: of the first stage.
        cells: how many, the two residual blocks included.
        classes: number of classes.
        input_channels: colour channels of an image.
    """

    def __init__(
        self, genotype: dict[str, Any], *, channels: int, cells: int, classes: int, input_channels: int = 3
    ) -> None:
        super().__init__()
        nodes = genotype["arch"].split("+")
        names = [edge.partition("~")[0] for node in nodes for edge in node.strip("|").split("|")]
        self.depth, stage = cells, (cells - 2) // 3
        self.stem = ConvNorm(input_channels, channels, [(3, 3)], rectify=False)
        for index in range(cells):
            reduction = index % (stage + 1) == stage
            cell = ResidualBlock(channels) if reduction else Cell(names, channels)
            self.add_module(f"cell{index:02d}", cell)
            channels = 2 * channels if reduction else channels
        self.norm = nn.BatchNorm2d(channels)
        self.head = nn.Linear(channels, classes)

    def forward(self, images: Tensor) -> Tensor:
        """Maps preprocessed images (N, input_channels, H, W) to logits (N, classes)."""
        x = self.stem(images)
        for index in range(self.depth):
            x = self.get_submodule(f"cell{index:02d}")(x)
        x = functional.relu(self.norm(x))
        logits: Tensor = self.head(functional.adaptive_avg_pool2d(x, 1).flatten(1))
        return logits
