"""The fast form for small images on CPUs: tensors (C, H, W, N), the images of the batch innermost and contiguous.

Small images make the usual kernels slow: rows of 2 to 16 pixels leave vector units mostly idle, and some gradients of
depthwise convolutions take ten times longer than others. With the batch innermost every operation is a matrix product
or a loop over long contiguous rows, whatever the size of the images:

- pointwise convolution: one product, (C_out, C_in) with (C_in, H W N);
- depthwise convolution of any kernel, stride and dilation: one product for each channel, of the matrix by which the
  kernel acts on the pixels with (H W, N) (see `toeplitz`);
- batch normalisation: group normalisation of one sample with one channel in each group, which is the same sum;
- pooling: the usual kernels for channels-last tensors, which see N channels.
"""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor
from torch.nn import functional

from trainers.networks.forms import BatchNorm, Pair
from trainers.networks.toeplitz import averaging, depthwise

_LARGEST_AVERAGED = 64
"""Pixels of the largest image that is average-pooled by a matrix product."""


class BatchLast:
    """See the module's description and `Form`."""

    def enter(self, images: Tensor) -> Tensor:
        """See `Form`."""
        return images.permute(1, 2, 3, 0).contiguous()

    def relu(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return functional.relu(x)

    def relu_(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return functional.relu_(x)

    def concat(self, parts: Sequence[Tensor]) -> Tensor:
        """See `Form`."""
        return torch.cat(list(parts))

    def concat_relu(self, parts: Sequence[Tensor]) -> Tensor:
        """See `Form`."""
        return functional.relu_(self.concat(parts))

    def depthwise(self, x: Tensor, weight: Tensor, *, stride: int, dilation: int) -> Tensor:
        """See `Form`."""
        return depthwise(x, weight, stride=stride, dilation=dilation)

    def pointwise(self, x: Tensor, weight: Tensor) -> Tensor:
        """See `Form`."""
        return (weight.flatten(1) @ x.flatten(1)).view(-1, *x.shape[1:])

    def convolve(self, x: Tensor, weight: Tensor, *, stride: Pair = (1, 1), padding: Pair = (0, 0)) -> Tensor:
        """See `Form`. Dense kernels are best left to the library, whose layout the tensor is brought into and back."""
        images = x.permute(3, 0, 1, 2).contiguous(memory_format=torch.channels_last)
        return functional.conv2d(images, weight, None, stride, padding).permute(1, 2, 3, 0).contiguous()

    def max_pool(self, x: Tensor, *, kernel: int, stride: int) -> Tensor:
        """See `Form`."""
        return _from_pool(functional.max_pool2d(_for_pool(x), kernel, stride, kernel // 2))

    def average_pool(self, x: Tensor, *, kernel: int, stride: int, padding: int) -> Tensor:
        """See `Form`."""
        channels, height, width, batch = x.shape
        if height * width > _LARGEST_AVERAGED:
            pooled = functional.avg_pool2d(_for_pool(x), kernel, stride, padding, count_include_pad=False)
            return _from_pool(pooled)
        matrix, size = averaging(height, width, kernel, stride, padding, x.dtype, x.device)
        pooled = torch.bmm(matrix.expand(channels, -1, -1), x.view(channels, height * width, batch))
        return pooled.view(channels, *size, batch)

    def every_second(self, x: Tensor, *, first: int) -> Tensor:
        """See `Form`."""
        if first:
            height, width = x.shape[1:3]
            x = functional.pad(x[:, 1:, 1:], (0, 0, 0, width % 2, 0, height % 2))
        return x[:, ::2, ::2].contiguous()

    def normalise(self, x: Tensor, norm: BatchNorm) -> Tensor:
        """See `Form`."""
        channels, length = x.shape[0], x[0].numel()
        if not norm.training:
            flat = x.view(1, channels, length)
            mean, variance = norm.running_mean, norm.running_var
            return functional.batch_norm(
                flat, mean, variance, norm.weight, norm.bias, False, 0.0, norm.epsilon
            ).view_as(x)
        normal, mean, scale = torch.native_group_norm(
            x, norm.weight, norm.bias, 1, channels, length, channels, norm.epsilon
        )
        with torch.no_grad():
            variance = scale.square().reciprocal_().sub_(norm.epsilon).mul_(length / max(length - 1, 1))
            norm.running_mean.lerp_(mean.view(-1), norm.momentum)
            norm.running_var.lerp_(variance.view(-1), norm.momentum)
        return normal

    def zeros(self, x: Tensor, *, channels: int, stride: int) -> Tensor:
        """See `Form`."""
        _, height, width, batch = x.shape
        return x.new_zeros((channels, -(-height // stride), -(-width // stride), batch))

    def global_mean(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return x.mean((1, 2)).t()

    def flatten(self, x: Tensor) -> Tensor:
        """See `Form`."""
        return x.flatten(0, 2).t()


def _for_pool(x: Tensor) -> Tensor:
    """Returns the tensor as C channels-last images of N channels, without copying."""
    return x.permute(0, 3, 1, 2)


def _from_pool(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()
