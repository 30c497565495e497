"""Pooling of batch-last tensors (C, H, W, N)."""

from __future__ import annotations

from functools import lru_cache

import torch
from torch import Tensor
from torch.nn import functional

from trainers.networks.tape import Tape, multiply_into

_LARGEST_AVERAGED = 64
"""Pixels of the largest image that is average-pooled by a matrix product."""
_aten = torch.ops.aten


def maximum(x: Tensor, kernel: int, stride: int, tape: Tape | None) -> Tensor:
    """Takes the maximum of each k × k window of (C, H, W, N), padded to the same size."""
    images = _for_pool(x)
    window = ((kernel, kernel), (stride, stride), (kernel // 2, kernel // 2))
    if tape is None:
        return _from_pool(functional.max_pool2d(images, *window))
    pooled, where = _aten.max_pool2d_with_indices(images, *window)

    def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
        incoming = _for_pool(gradient)
        of_images = _aten.max_pool2d_with_indices_backward(incoming, images, *window, (1, 1), False, where)
        tape.give(x, _from_pool(of_images))

    result = _from_pool(pooled)
    tape.record(result, backward)
    return result


def average(x: Tensor, kernel: int, stride: int, padding: int, tape: Tape | None) -> Tensor:
    """Takes the mean of each k × k window of (C, H, W, N) over the pixels that lie inside the image."""
    channels, height, width, batch = x.shape
    if height * width > _LARGEST_AVERAGED:
        return _average_large(x, kernel, stride, padding, tape)
    small, size = averaging(height, width, kernel, stride, padding, x.dtype, x.device)
    matrix = small.expand(channels, -1, -1)
    result = torch.bmm(matrix, x.view(channels, height * width, batch)).view(channels, *size, batch)
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            if tape.wants(x):
                multiply_into(tape, x, matrix.transpose(1, 2), gradient.view(channels, -1, batch))

        tape.record(result, backward)
    return result


def _average_large(x: Tensor, kernel: int, stride: int, padding: int, tape: Tape | None) -> Tensor:
    images = _for_pool(x)
    window = ((kernel, kernel), (stride, stride), (padding, padding), False, False)
    result = _from_pool(functional.avg_pool2d(images, *window))
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            of_images = _aten.avg_pool2d_backward(_for_pool(gradient), images, *window, None)
            tape.give(x, _from_pool(of_images))

        tape.record(result, backward)
    return result


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


def _for_pool(x: Tensor) -> Tensor:
    """Returns the tensor as C channels-last images of N channels, without copying."""
    return x.permute(0, 3, 1, 2)


def _from_pool(x: Tensor) -> Tensor:
    return x.permute(0, 2, 3, 1).contiguous()
