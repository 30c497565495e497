"""The operations of a cell, by their DARTS names: what they compute and which parameters they have.

Every convolution is ReLU, convolution(s), batch normalisation, without bias (NASNet, appendix A.4; DARTS
`cnn/operations.py`). The leading ReLU is left to the caller, because several operations that read one state share it:
an operation whose `rectifies` is true expects its input rectified.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import ClassVar

import torch
from torch import Tensor, nn
from torch.nn import functional

from trainers.networks.forms import BatchNorm, Form, Pair


class Operation(nn.Module):
    """Base of what stands on an edge of a cell.

    Attributes:
        rectifies: whether the definition starts with a ReLU; the input is then expected to be rectified.
        contributes: whether the result can be anything but zeros.
        optional: parts that it may have or not and still be of the same kind, for who inherits weights.
    """

    rectifies: ClassVar[bool] = True
    contributes: ClassVar[bool] = True
    optional: ClassVar[frozenset[str]] = frozenset()

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """Applies the operation to a tensor in the form's layout."""
        raise NotImplementedError


class Linear(nn.Module):
    """A linear layer with bias. Unlike `torch.nn.Linear` it draws no numbers from the global generator when built."""

    def __init__(self, inputs: int, outputs: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.empty(outputs, inputs))
        self.bias = nn.Parameter(torch.empty(outputs))

    def forward(self, x: Tensor) -> Tensor:
        """Maps (N, inputs) to (N, outputs)."""
        return functional.linear(x, self.weight, self.bias)


class ConvNorm(Operation):
    """(ReLU,) one or more convolutions in a row, one batch normalisation."""

    def __init__(self, channels_in: int, channels: int, kernels: tuple[Pair, ...], stride: int = 1) -> None:
        super().__init__()
        self.weights = nn.ParameterList()
        self.strides: list[Pair] = []
        for height, width in kernels:
            self.weights.append(nn.Parameter(torch.empty(channels, channels_in, height, width)))
            channels_in = channels
            # Of a pair (1, k), (k, 1) each strides along its own long side.
            self.strides.append((stride if height >= width else 1, stride if width >= height else 1))
        self.norm = BatchNorm(channels)

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """See `Operation`."""
        for weight, stride in zip(self.weights, self.strides, strict=True):
            height, width = weight.shape[2:]
            if (height, width) == (1, 1) and stride == (1, 1):
                x = form.pointwise(x, weight)
            else:
                x = form.convolve(x, weight, stride=stride, padding=(height // 2, width // 2))
        return form.normalise(x, self.norm)


class FactorizedReduce(Operation):
    """Halves the size: two pointwise convolutions, of the even and of the odd pixels, side by side.

    For odd sizes the odd pixels are followed by zeros, as in the form of NNI and AutoDL-Projects.

    Args:
        channels_in: channels of the input.
        channels: channels of the output, an even number.
    """

    def __init__(self, channels_in: int, channels: int) -> None:
        super().__init__()
        self.even = nn.Parameter(torch.empty(channels // 2, channels_in, 1, 1))
        self.odd = nn.Parameter(torch.empty(channels // 2, channels_in, 1, 1))
        self.norm = BatchNorm(channels)

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """See `Operation`."""
        even = form.pointwise(form.every_second(x, first=0), self.even)
        odd = form.pointwise(form.every_second(x, first=1), self.odd)
        return form.normalise(form.concat([even, odd]), self.norm)


class DepthwiseSeparable(nn.Module):
    """Depthwise convolution, pointwise convolution, batch normalisation; nothing in between."""

    def __init__(self, channels: int, kernel: int, *, stride: int, dilation: int) -> None:
        super().__init__()
        self.stride, self.dilation = stride, dilation
        self.depthwise = nn.Parameter(torch.empty(channels, 1, kernel, kernel))
        self.pointwise = nn.Parameter(torch.empty(channels, channels, 1, 1))
        self.norm = BatchNorm(channels)

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """Applies the three to a rectified tensor."""
        x = form.depthwise(x, self.depthwise, stride=self.stride, dilation=self.dilation)
        return form.normalise(form.pointwise(x, self.pointwise), self.norm)


class SeparableConv(Operation):
    """A depthwise separable convolution applied twice (NASNet, appendix A.4), or once if dilated."""

    def __init__(self, channels: int, kernel: int, *, stride: int, dilation: int = 1, repeats: int = 2) -> None:
        super().__init__()
        self.halves = nn.ModuleList(
            DepthwiseSeparable(channels, kernel, stride=stride if index == 0 else 1, dilation=dilation)
            for index in range(repeats)
        )

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """See `Operation`."""
        for index, half in enumerate(self.halves):
            x = half(form.relu_(x) if index else x, form)
        return x


class MaxPool(Operation):
    """Maximum over a window; neither ReLU nor batch normalisation."""

    rectifies = False

    def __init__(self, kernel: int, stride: int) -> None:
        super().__init__()
        self.kernel, self.stride = kernel, stride

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """See `Operation`."""
        return form.max_pool(x, kernel=self.kernel, stride=self.stride)


class AveragePool(Operation):
    """Mean over the part of a 3 × 3 window that lies inside; neither ReLU nor batch normalisation."""

    rectifies = False

    def __init__(self, stride: int) -> None:
        super().__init__()
        self.stride = stride

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """See `Operation`."""
        return form.average_pool(x, kernel=3, stride=self.stride, padding=1)


class Identity(Operation):
    """Hands its input on."""

    rectifies = False

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """See `Operation`."""
        return x


class Zero(Operation):
    """Contributes nothing; a cell leaves it out of its sums."""

    rectifies = False
    contributes = False

    def __init__(self, channels: int, stride: int) -> None:
        super().__init__()
        self.channels, self.stride = channels, stride

    def forward(self, x: Tensor, form: Form) -> Tensor:
        """See `Operation`."""
        return form.zeros(x, channels=self.channels, stride=self.stride)


def _separable(kernel: int) -> Callable[[int, int], Operation]:
    return lambda channels, stride: SeparableConv(channels, kernel, stride=stride)


def _dilated(kernel: int) -> Callable[[int, int], Operation]:
    return lambda channels, stride: SeparableConv(channels, kernel, stride=stride, dilation=2, repeats=1)


def _max_pool(kernel: int) -> Callable[[int, int], Operation]:
    return lambda channels, stride: MaxPool(kernel, stride)


def _dense(*kernels: Pair) -> Callable[[int, int], Operation]:
    return lambda channels, stride: ConvNorm(channels, channels, kernels, stride)


def _skip(channels: int, stride: int) -> Operation:
    return Identity() if stride == 1 else FactorizedReduce(channels, channels)


_FACTORIES: dict[str, Callable[[int, int], Operation]] = {
    "none": Zero,
    "max_pool_3x3": _max_pool(3),
    "max_pool_5x5": _max_pool(5),
    "max_pool_7x7": _max_pool(7),
    "avg_pool_3x3": lambda channels, stride: AveragePool(stride),
    "skip_connect": _skip,
    "sep_conv_3x3": _separable(3),
    "sep_conv_5x5": _separable(5),
    "sep_conv_7x7": _separable(7),
    "dil_conv_3x3": _dilated(3),
    "dil_conv_5x5": _dilated(5),
    "conv_1x1": _dense((1, 1)),
    "conv_3x3": _dense((3, 3)),
    "conv_3x1_1x3": _dense((1, 3), (3, 1)),
    "conv_7x1_1x7": _dense((1, 7), (7, 1)),
}


def create(name: str, channels: int, stride: int) -> Operation:
    """Returns the operation of a name, from `channels` to `channels`, with uninitialised convolutions.

    Args:
        name: one of `strategies.spaces.genotype.OPERATIONS`.
        channels: channels of the input and of the output; even if stride is 2.
        stride: 1, or 2 in a reduction cell on its two inputs.
    """
    return _FACTORIES[name](channels, stride)
