"""Depthwise convolution of batch-last tensors as matrix products.

A k × k kernel acts on the pixels of a small image as a sparse matrix, the same for all images: output pixel o takes the
weight of tap t from input pixel i where `selection[t, o, i]` is 1. So the matrices of all channels are one product of
weights (C, k²) with the constant selection, and the convolution one product for each channel with (pixels, N). Images
too large for that are cut into bands of output rows, which share their matrix.
"""

from __future__ import annotations

from functools import lru_cache
from typing import NamedTuple

import torch
from torch import Tensor

from trainers.networks.tape import Tape, multiply_into

_LARGEST_WHOLE = 100
"""Pixels of the largest image that is convolved in one piece."""
_BAND_ROWS = 4
"""Output rows of a band: fewer make more products, more make products of more zeros (measured at 8 to 32 pixels)."""


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


def depthwise(x: Tensor, weight: Tensor, stride: int, dilation: int, tape: Tape | None) -> Tensor:
    """Convolves (C, H, W, N) with weight (C, 1, k, k), padded so that the size is kept or divided by the stride."""
    channels, height, width, batch = x.shape
    plan = geometry(height, width, weight.shape[-1], stride, dilation, x.dtype, x.device)
    taps, rows, columns = plan.selection.shape
    selection = plan.selection.view(taps, rows * columns)
    matrix = torch.mm(weight.view(channels, taps), selection).view(channels, rows, columns)
    result = x.new_empty((channels, *plan.size, batch))
    for band in plan.bands:
        torch.bmm(_part(matrix, band), _pixels(x, band.inputs), out=_pixels(result, band.outputs))
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            if len(plan.bands) == 1:
                incoming = gradient.view(channels, -1, batch)
                of_matrix = torch.bmm(incoming, x.view(channels, -1, batch).transpose(1, 2))
                if tape.wants(x):
                    multiply_into(tape, x, matrix.transpose(1, 2), incoming)
            else:
                of_matrix = _gradients(x, matrix, plan, gradient, _open(tape, x))
            tape.give_parameter(weight, torch.mm(of_matrix.view(channels, -1), selection.t()))

        tape.record(result, backward)
    return result


def _open(tape: Tape, x: Tensor) -> Tensor | None:
    """Returns what to add the gradient of x to, if that is wanted."""
    if tape.wants(x) and tape.open(x) is None:
        tape.give(x, torch.zeros_like(x))
    return tape.open(x)


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


def _gradients(x: Tensor, matrix: Tensor, plan: Geometry, gradient: Tensor, of_x: Tensor | None) -> Tensor:
    """Returns the gradient of the matrix, and adds that of x to `of_x` if it is given; for images cut into bands."""
    of_matrix = torch.zeros_like(matrix)
    for band in plan.bands:
        incoming, pixels = _pixels(gradient, band.outputs), _pixels(x, band.inputs)
        _part(of_matrix, band).baddbmm_(incoming, pixels.transpose(1, 2))
        if of_x is not None:
            _pixels(of_x, band.inputs).baddbmm_(_part(matrix, band).transpose(1, 2), incoming)
    return of_matrix


def _part(matrix: Tensor, band: Band) -> Tensor:
    return matrix[:, band.rows, band.columns]


def _pixels(x: Tensor, rows: slice) -> Tensor:
    """Returns rows of images (C, H, W, N) as (C, pixels, N), without copying."""
    return x[:, rows].flatten(1, 2)
