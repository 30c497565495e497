"""Operations of the cells: everything but pools and identities begins with a ReLU and ends with normalisation."""

from __future__ import annotations

import torch
from torch import Tensor, nn
from torch.nn import functional


class ConvNorm(nn.Module):
    """ReLU (unless `rectify` is false), convolutions in a row, batch normalisation."""

    def __init__(
        self, inputs: int, outputs: int, kernels: list[tuple[int, int]], stride: int = 1, rectify: bool = True
    ) -> None:
        super().__init__()
        self.rectify = rectify
        self.convolutions = nn.ModuleList()
        for height, width in kernels:
            strides = (stride if height >= width else 1, stride if width >= height else 1)
            padding = (height // 2, width // 2)
            self.convolutions.append(nn.Conv2d(inputs, outputs, (height, width), strides, padding, bias=False))
            inputs = outputs
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, H / stride, W / stride)."""
        x = functional.relu(x) if self.rectify else x
        for convolution in self.convolutions:
            x = convolution(x)
        normalised: Tensor = self.norm(x)
        return normalised


class SeparableConv(nn.Module):
    """`repeats` times: ReLU, a convolution of each channel by itself, one across channels, batch normalisation."""

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int = 1, repeats: int = 2) -> None:
        super().__init__()
        self.halves = nn.ModuleList(
            DepthwiseSeparable(channels, kernel, stride if repeat == 0 else 1, dilation) for repeat in range(repeats)
        )

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C, H / stride, W / stride)."""
        for half in self.halves:
            x = half(functional.relu(x))
        return x


class DepthwiseSeparable(nn.Module):
    """A convolution of each channel by itself, one across channels, batch normalisation."""

    def __init__(self, channels: int, kernel: int, stride: int, dilation: int) -> None:
        super().__init__()
        padding = dilation * (kernel // 2)
        self.depthwise = nn.Conv2d(channels, channels, kernel, stride, padding, dilation, groups=channels, bias=False)
        self.pointwise = nn.Conv2d(channels, channels, 1, bias=False)
        self.norm = nn.BatchNorm2d(channels)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to (N, C, H / stride, W / stride)."""
        normalised: Tensor = self.norm(self.pointwise(self.depthwise(x)))
        return normalised


class FactorizedReduce(nn.Module):
    """ReLU, then the even and the odd pixels each through a 1 x 1 convolution, side by side; halves the size."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.even = nn.Conv2d(inputs, outputs // 2, 1, bias=False)
        self.odd = nn.Conv2d(inputs, outputs // 2, 1, bias=False)
        self.norm = nn.BatchNorm2d(outputs)

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs, H, W) to (N, outputs, ceil(H / 2), ceil(W / 2)); beyond the edge of odd sizes are zeros."""
        x = functional.relu(x)
        odd = functional.pad(x[:, :, 1:, 1:], (0, x.shape[3] % 2, 0, x.shape[2] % 2))
        halves = [self.even(x[:, :, ::2, ::2]), self.odd(odd[:, :, ::2, ::2])]
        normalised: Tensor = self.norm(torch.cat(halves, dim=1))
        return normalised


class Zero(nn.Module):
    """Nothing: zeros of the right size."""

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, C, H, W) to zeros (N, C, H / stride, W / stride)."""
        return torch.zeros_like(x[:, :, :: self.stride, :: self.stride])


def operation(name: str, channels: int, stride: int) -> nn.Module:
    """Returns the operation of a name that ends with its kernel's size, e.g. `sep_conv_3x3` or `conv_7x1_1x7`."""
    kind, _, kernel = name.rpartition("_")
    size = int(kernel[-1]) if kernel[-1:].isdigit() else 0
    if name == "none":
        return Zero(stride)
    if name == "skip_connect":
        return nn.Identity() if stride == 1 else FactorizedReduce(channels, channels)
    if kind == "max_pool":
        return nn.MaxPool2d(size, stride, size // 2)
    if kind == "avg_pool":
        return nn.AvgPool2d(size, stride, size // 2, count_include_pad=False)
    if kind == "sep_conv":
        return SeparableConv(channels, size, stride)
    if kind == "dil_conv":
        return SeparableConv(channels, size, stride, dilation=2, repeats=1)
    if name in ("conv_3x1_1x3", "conv_7x1_1x7"):
        return ConvNorm(channels, channels, [(1, size), (size, 1)], stride)
    if kind in ("conv", "nor_conv"):
        return ConvNorm(channels, channels, [(size, size)], stride)
    raise ValueError(f"unknown operation {name!r}")
