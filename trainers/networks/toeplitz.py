"""Depthwise convolution of batch-last tensors as matrix products.

A k × k kernel acts on the pixels of a small image as a sparse matrix, the same for all images: output pixel o takes the
weight of tap t from input pixel i where `selection[t, o, i]` is 1. So the matrices of all channels are one product of
weights (C, k²) with the constant selection, and the convolution one product for each channel with (pixels, N). Images
too large for that are cut into bands of output rows, which share their matrix.
"""

from __future__ import annotations

from functools import lru_cache
from typing import Any, NamedTuple

import torch
from torch import Tensor
from torch.autograd import Function

_LARGEST_WHOLE = 160
"""Pixels of the largest image that is convolved in one piece."""
_BAND_ROWS = 4


class Band(NamedTuple):
    """Output rows that one product computes, the input rows that it reads, and its part of the matrix."""

    outputs: slice
    inputs: slice
    rows: slice
    columns: slice


class Geometry(NamedTuple):
    """A depthwise convolution but for its weights.

    Attributes:
        selection: (k², rows, columns) of zeros and ones.
        bands: the products to make.
        size: height and width of the output.
    """

    selection: Tensor
    bands: tuple[Band, ...]
    size: tuple[int, int]


def depthwise(x: Tensor, weight: Tensor, *, stride: int, dilation: int) -> Tensor:
    """Convolves (C, H, W, N) with weight (C, 1, k, k), padded so that the size is kept or divided by the stride."""
    kernel = weight.shape[-1]
    plan = geometry(x.shape[1], x.shape[2], kernel, stride, dilation, x.dtype, x.device)
    output: Tensor = _Depthwise.apply(x, weight, plan)  # type: ignore[no-untyped-call]
    return output


@lru_cache(maxsize=128)
def geometry(
    height: int, width: int, kernel: int, stride: int, dilation: int, dtype: torch.dtype, device: torch.device
) -> Geometry:
    """Returns how images of a size are convolved."""
    padding = dilation * (kernel // 2)
    size = (-(-height // stride), -(-width // stride))
    count = size[0] if height * width <= _LARGEST_WHOLE else min(_BAND_ROWS, size[0])
    bands = tuple(
        _band(first, min(count, size[0] - first), height, width, kernel, stride, dilation)
        for first in range(0, size[0], count)
    )
    rows = (count - 1) * stride + dilation * (kernel - 1) + 1
    # Built as an ordinary tensor even in inference mode, for later backward passes will want it.
    with torch.inference_mode(False):
        selection = torch.zeros(kernel, kernel, count, size[1], rows, width, dtype=dtype)
        for a in range(kernel):
            for b in range(kernel):
                for j in range(size[1]):
                    column = j * stride + b * dilation - padding
                    if 0 <= column < width:
                        for i in range(count):
                            selection[a, b, i, j, i * stride + a * dilation, column] = 1
        selection = selection.view(kernel**2, count * size[1], rows * width)
        if len(bands) == 1:
            selection = selection[:, :, bands[0].columns]
            bands = (bands[0]._replace(columns=slice(0, height * width)),)
        return Geometry(selection.contiguous().to(device), bands, size)


def _band(first: int, count: int, height: int, width: int, kernel: int, stride: int, dilation: int) -> Band:
    """Returns the band of `count` output rows from `first`; rows of the matrix that lie outside are left out."""
    start = first * stride - dilation * (kernel // 2)
    stop = start + (count - 1) * stride + dilation * (kernel - 1) + 1
    inputs = slice(max(start, 0), min(stop, height))
    columns = slice((inputs.start - start) * width, (inputs.stop - start) * width)
    return Band(slice(first, first + count), inputs, slice(0, count * -(-width // stride)), columns)


@lru_cache(maxsize=64)
def averaging(
    height: int, width: int, kernel: int, stride: int, padding: int, dtype: torch.dtype, device: torch.device
) -> tuple[Tensor, tuple[int, int]]:
    """Returns average pooling as a matrix (output pixels, input pixels), and the size of its output.

    Each output is the mean over the pixels of its window that lie inside the image.
    """
    size = ((height + 2 * padding - kernel) // stride + 1, (width + 2 * padding - kernel) // stride + 1)
    with torch.inference_mode(False):
        matrix = torch.zeros(*size, height, width, dtype=dtype)
        for i in range(size[0]):
            for j in range(size[1]):
                top, left = i * stride - padding, j * stride - padding
                matrix[i, j, max(top, 0) : top + kernel, max(left, 0) : left + kernel] = 1
        matrix = matrix.flatten(2).flatten(0, 1)
        return (matrix / matrix.sum(1, keepdim=True)).to(device), size


class _Depthwise(Function):
    """y = M x for each channel and band, M the matrix of the channel's kernel; gradients of both."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, plan: Geometry) -> Tensor:
        channels, batch = x.shape[0], x.shape[3]
        taps, rows, columns = plan.selection.shape
        matrix = (weight.view(channels, taps) @ plan.selection.view(taps, -1)).view(channels, rows, columns)
        ctx.save_for_backward(x, matrix)
        ctx.plan, ctx.shape = plan, weight.shape
        output = x.new_empty((channels, *plan.size, batch))
        for band in plan.bands:
            torch.bmm(_part(matrix, band), _pixels(x, band.inputs), out=_pixels(output, band.outputs))
        return output

    @staticmethod
    def backward(ctx: Any, gradient: Tensor) -> tuple[Tensor | None, Tensor | None, None]:
        x, matrix = ctx.saved_tensors
        plan: Geometry = ctx.plan
        gradient = gradient.contiguous()
        whole = len(plan.bands) == 1
        make = torch.empty_like if whole else torch.zeros_like
        of_x, of_matrix = make(x), make(matrix)
        for band in plan.bands:
            incoming, pixels = _pixels(gradient, band.outputs), _pixels(x, band.inputs)
            part, of_part, of_pixels = _part(matrix, band), _part(of_matrix, band), _pixels(of_x, band.inputs)
            if whole:
                torch.bmm(part.transpose(1, 2), incoming, out=of_pixels)
                torch.bmm(incoming, pixels.transpose(1, 2), out=of_part)
            else:
                of_pixels.baddbmm_(part.transpose(1, 2), incoming)
                of_part.baddbmm_(incoming, pixels.transpose(1, 2))
        selection = plan.selection.view(plan.selection.shape[0], -1)
        return of_x, (of_matrix.view(x.shape[0], -1) @ selection.t()).view(ctx.shape), None


def _part(matrix: Tensor, band: Band) -> Tensor:
    return matrix[:, band.rows, band.columns]


def _pixels(x: Tensor, rows: slice) -> Tensor:
    """Returns rows of images (C, H, W, N) as (C, pixels, N), without copying."""
    return x[:, rows].flatten(1, 2)
