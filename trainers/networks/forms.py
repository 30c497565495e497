"""Forms of execution: how the operations of a network are carried out on tensors.

A network's modules hold parameters in the usual layout and say *what* is computed; a `Form` says *how*. All forms
compute the same function, up to the rounding of floating-point sums. `Plain` is the textbook form on tensors
(N, C, H, W); `trainers.networks.batch_last.BatchLast` is the fast one for small images on CPUs.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from typing import Literal, Protocol

import torch
from torch import Tensor, nn
from torch.nn import functional

Pair = tuple[int, int]
Activation = Literal["relu", "relu6", "silu", "sigmoid"]
_ACTIVATIONS: Mapping[Activation, Callable[[Tensor], Tensor]] = {
    "relu": functional.relu_,
    "relu6": lambda x: functional.hardtanh_(x, 0.0, 6.0),
    "silu": functional.silu,
    "sigmoid": torch.sigmoid,
}


class BatchNorm(nn.Module):
    """Parameters and running statistics of a batch normalisation, without the batch counter that nothing reads."""

    epsilon = 1e-5
    momentum = 0.1

    def __init__(self, channels: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.ones(channels))
        self.bias = nn.Parameter(torch.zeros(channels))
        self.running_mean: Tensor
        self.running_var: Tensor
        self.register_buffer("running_mean", torch.zeros(channels))
        self.register_buffer("running_var", torch.ones(channels))

    @torch.no_grad()
    def reset(self) -> None:
        """Makes it the identity, with statistics of mean 0 and variance 1."""
        for tensor, value in ((self.weight, 1), (self.bias, 0), (self.running_mean, 0), (self.running_var, 1)):
            tensor.fill_(value)


class Form(Protocol):
    """What a network asks of tensors, whose layout only the form knows."""

    def run(self, compute: Callable[[Form], Sequence[Tensor]], parameters: Sequence[Tensor]) -> Sequence[Tensor]:
        """Calls `compute` with a form for one batch.

        Args:
            compute: turns images into tensors (N, features), by the operations below alone.
            parameters: what it uses and gradients may be wanted of; each is used by one operation.
        """
        ...

    def enter(self, images: Tensor) -> Tensor:
        """Takes images (N, C, H, W) into the form's layout."""
        ...

    def add(self, first: Tensor, second: Tensor) -> Tensor:
        """Adds two tensors."""
        ...

    def scale(self, x: Tensor, factors: Tensor) -> Tensor:
        """Multiplies each image by its own factor, of (N,), which no gradient is wanted of."""
        ...

    def relu(self, x: Tensor) -> Tensor:
        """Returns max(x, 0)."""
        ...

    def relu_(self, x: Tensor) -> Tensor:
        """Returns max(x, 0), and may overwrite x."""
        ...

    def activate_(self, x: Tensor, name: Activation) -> Tensor:
        """Applies an activation, and may overwrite x."""
        ...

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        """Joins tensors along the channels."""
        ...

    def concat_relu(self, parts: Sequence[Tensor]) -> Tensor:
        """Returns the ReLU of the joined tensors."""
        ...

    def depthwise(self, x: Tensor, weight: Tensor, *, stride: int, dilation: int) -> Tensor:
        """Convolves each channel with its own kernel, weight (C, 1, k, k) with k odd, padded to the same size."""
        ...

    def pointwise(self, x: Tensor, weight: Tensor) -> Tensor:
        """Convolves with weight (C_out, C_in, 1, 1)."""
        ...

    def convolve(self, x: Tensor, weight: Tensor, *, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
        """Convolves with weight (C_out, C_in, k_h, k_w)."""
        ...

    def max_pool(self, x: Tensor, *, kernel: int, stride: int) -> Tensor:
        """Takes the maximum of each k × k window, padded to the same size."""
        ...

    def average_pool(self, x: Tensor, *, kernel: int, stride: int, padding: int) -> Tensor:
        """Takes the mean of each k × k window over the pixels that lie inside the image."""
        ...

    def every_second(self, x: Tensor, *, first: int) -> Tensor:
        """Takes every second row and column from row and column `first` (0 or 1); beyond the edge are zeros.

        The result has ceil(H / 2) rows whatever `first` is.
        """
        ...

    def normalise(self, x: Tensor, norm: BatchNorm) -> Tensor:
        """Applies batch normalisation, with the batch's statistics and an update of the running ones in training."""
        ...

    def zeros(self, x: Tensor, *, channels: int, stride: int) -> Tensor:
        """Returns zeros of the shape that an operation on x with that stride gives."""
        ...

    def mean_pixel(self, x: Tensor) -> Tensor:
        """Returns the mean over the pixels as a tensor of one pixel, in the form's layout."""
        ...

    def shift(self, x: Tensor, bias: Tensor) -> Tensor:
        """Adds to each channel its own number, of (C,)."""
        ...

    def gate(self, x: Tensor, pixel: Tensor) -> Tensor:
        """Multiplies every pixel by a tensor of one pixel."""
        ...

    def global_mean(self, x: Tensor) -> Tensor:
        """Returns the mean over the pixels as (N, C)."""
        ...

    def flatten(self, x: Tensor) -> Tensor:
        """Returns a tensor of one pixel as (N, C)."""
        ...


class Plain:
    """The textbook form: one PyTorch call for each operation, tensors (N, C, H, W) in any memory format."""

    def run(self, compute: Callable[[Form], Sequence[Tensor]], parameters: Sequence[Tensor]) -> Sequence[Tensor]:
        """See `Form`."""
        return compute(self)

    def enter(self, images: Tensor) -> Tensor:
        """See `Form`."""
        return images

    def add(self, first: Tensor, second: Tensor) -> Tensor:
        """See `Form`."""
        return first + second

    def scale(self, x: Tensor, factors: Tensor) -> Tensor:
        """See `Form`."""
        return x * factors.to(x.dtype).view(-1, 1, 1, 1)

    def relu(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return functional.relu(x)

    def relu_(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return functional.relu_(x)

    def activate_(self, x: Tensor, name: Activation) -> Tensor:
        """See `Form`."""
        return _ACTIVATIONS[name](x)

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        """See `Form`."""
        return torch.cat(list(parts), dim=1)

    def concat_relu(self, parts: Sequence[Tensor]) -> Tensor:
        """See `Form`."""
        return functional.relu_(self.concat(parts))

    def depthwise(self, x: Tensor, weight: Tensor, *, stride: int, dilation: int) -> Tensor:
        """See `Form`."""
        padding = dilation * (weight.shape[-1] // 2)
        groups = weight.shape[0]
        return functional.conv2d(x, weight, None, stride, padding, dilation, groups)

    def pointwise(self, x: Tensor, weight: Tensor) -> Tensor:
        """See `Form`."""
        return functional.conv2d(x, weight)

    def convolve(self, x: Tensor, weight: Tensor, *, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
        """See `Form`."""
        return functional.conv2d(x, weight, None, stride, padding)

    def max_pool(self, x: Tensor, *, kernel: int, stride: int) -> Tensor:
        """See `Form`."""
        return functional.max_pool2d(x, kernel, stride, kernel // 2)

    def average_pool(self, x: Tensor, *, kernel: int, stride: int, padding: int) -> Tensor:
        """See `Form`."""
        return functional.avg_pool2d(x, kernel, stride, padding, count_include_pad=False)

    def every_second(self, x: Tensor, *, first: int) -> Tensor:
        """See `Form`."""
        if first:
            height, width = x.shape[2:]
            x = functional.pad(x[:, :, 1:, 1:], (0, width % 2, 0, height % 2))
        return x[:, :, ::2, ::2]

    def normalise(self, x: Tensor, norm: BatchNorm) -> Tensor:
        """See `Form`."""
        return functional.batch_norm(
            x,
            norm.running_mean,
            norm.running_var,
            norm.weight,
            norm.bias,
            norm.training,
            norm.momentum,
            norm.epsilon,
        )

    def zeros(self, x: Tensor, *, channels: int, stride: int) -> Tensor:
        """See `Form`."""
        batch, _, height, width = x.shape
        return x.new_zeros((batch, channels, -(-height // stride), -(-width // stride)))

    def mean_pixel(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return x.mean((2, 3), keepdim=True)

    def shift(self, x: Tensor, bias: Tensor) -> Tensor:
        """See `Form`."""
        return x + bias.to(x.dtype).view(1, -1, 1, 1)

    def gate(self, x: Tensor, pixel: Tensor) -> Tensor:
        """See `Form`."""
        return x * pixel

    def global_mean(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return x.mean((2, 3))

    def flatten(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return x.flatten(1)


class ChannelsLast(Plain):
    """The textbook form with the channels innermost in memory, with which the library is often faster."""

    def enter(self, images: Tensor) -> Tensor:
        """See `Form`."""
        return images.contiguous(memory_format=torch.channels_last)
