"""Dense 3 × 3 convolution of batch-last tensors as matrix products.

Two ways, both without the ninefold copy of the usual one:

- `by_shifts`, for most sizes: the image's rows are copied to (H + 2, C, W N), the outer two zero, so that three rows
  in a row are one matrix of 3 C long lines. Its product with the weights of a kernel's middle column gives an output
  row; the left and the right column see the same lines a pixel (N numbers) further on. So a convolution is three
  products for each row of the image, of (C_out, 3 C) with (3 C, W N). With stride 2 even and odd pixels of a row are
  lines of their own, and two products do.
- `whole`, for images of few pixels: one product with the matrix by which the kernel acts on all pixels, (C_out pixels,
  C pixels) with (C pixels, N). At 2 × 2 pixels every output sees every input, and nothing in it is in vain.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional

from trainers.networks.tape import Tape, multiply_into
from trainers.networks.toeplitz import geometry

_KERNEL = 3
_LARGEST_WHOLE = 4
"""Output pixels of the largest image that is convolved by one matrix."""
_FEW_CHANNELS = 16
"""From so many output channels on the weights' gradient is computed transposed, which MKL does twice as fast."""


def fits(x: Tensor, weight: Tensor, stride: tuple[int, int], padding: tuple[int, int]) -> bool:
    """Whether this module can convolve (C, H, W, N) by that weight (C_out, C, k_h, k_w)."""
    square = weight.shape[2:] == (_KERNEL, _KERNEL) and padding == (1, 1) and stride in ((1, 1), (2, 2))
    return square and x.shape[1] % stride[0] == 0 and x.shape[2] % stride[0] == 0


def convolve(x: Tensor, weight: Tensor, stride: int, tape: Tape | None) -> Tensor:
    """Convolves (C, H, W, N) with weight (C_out, C, 3, 3), padded by one pixel; stride 1, or 2 if H and W are even."""
    pixels = (x.shape[1] // stride) * (x.shape[2] // stride)
    return (whole if pixels <= _LARGEST_WHOLE else by_shifts)(x, weight, stride, tape)


def whole(x: Tensor, weight: Tensor, stride: int, tape: Tape | None) -> Tensor:
    """Convolves by one matrix product; see the module's description."""
    channels, height, width, batch = x.shape
    plan = geometry(height, width, _KERNEL, stride, 1, x.dtype, x.device)
    taps, outputs, inputs = plan.selection.shape
    selection = plan.selection.view(taps, outputs * inputs)
    of_taps = torch.mm(weight.view(-1, taps), selection).view(-1, channels, outputs, inputs)
    matrix = of_taps.transpose(1, 2).reshape(-1, channels * inputs)
    flat = x.view(channels * inputs, batch)
    result = torch.mm(matrix, flat).view(-1, *plan.size, batch)
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            incoming = gradient.view(-1, batch)
            of_matrix = torch.mm(incoming, flat.t()).view(-1, outputs, channels, inputs)
            of_weight = torch.mm(of_matrix.transpose(1, 2).reshape(-1, outputs * inputs), selection.t())
            tape.give_parameter(weight, of_weight)
            if tape.wants(x):
                multiply_into(tape, x, matrix.t(), incoming)

        tape.record(result, backward)
    return result


class _Lines(NamedTuple):
    """An image's rows, as `by_shifts` reads them.

    Attributes:
        rows: (H + 2, C s, W N / s), the outer two zero: s lines for each channel with stride s.
        windows: (H / s, 3 C s, W N / s), the rows that each output row sees.
    """

    rows: Tensor
    windows: Tensor


def by_shifts(x: Tensor, weight: Tensor, stride: int, tape: Tape | None) -> Tensor:
    """Convolves row by row; see the module's description."""
    _, height, width, batch = x.shape
    lines = _lines(x, stride)
    matrices = _matrices(weight, stride)
    result = x.new_empty((weight.shape[0], height // stride, width // stride, batch))
    _multiply(matrices, lines.windows, result, accumulate=False)
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            tape.give_parameter(weight, _of_weight(gradient, lines.windows, weight, stride))
            if not tape.wants(x):
                return
            if stride != 1:
                tape.give(x, _of_strided(gradient, matrices, lines, x))
                return
            present = tape.open(x)
            target = torch.empty_like(x) if present is None else present
            mirrored = _matrices(weight.flip(2, 3).transpose(0, 1), 1)
            _multiply(mirrored, _lines(gradient, 1).windows, target, accumulate=present is not None)
            if present is None:
                tape.give(x, target)

        tape.record(result, backward)
    return result


def _lines(x: Tensor, stride: int) -> _Lines:
    channels, height, width, batch = x.shape
    length = width // stride * batch
    rows = x.new_empty((height + 2, channels * stride, length))
    rows[:: height + 1].zero_()
    if stride == 1:
        rows[1:-1].copy_(x.flatten(2).transpose(0, 1))
    else:
        inner = rows[1:-1].view(height, channels, stride, width // stride, batch)
        inner.copy_(x.view(channels, height, width // stride, stride, batch).permute(1, 0, 3, 2, 4))
    return _Lines(rows, _windows(rows, stride))


def _windows(rows: Tensor, stride: int) -> Tensor:
    height, lines, length = rows.shape[0] - 2, *rows.shape[1:]
    return rows.as_strided((height // stride, _KERNEL * lines, length), (stride * lines * length, length, 1))


def _matrices(weight: Tensor, stride: int) -> Tensor:
    """Returns what windows are multiplied by for each shift, -1, 0 and with stride 1 also 1: (shifts, C_out, 3 C s)."""
    columns = functional.pad(weight, (stride - 1, 0)) if stride > 1 else weight
    shifted = columns.view(*columns.shape[:3], -1, stride)
    return shifted.permute(3, 0, 2, 1, 4).flatten(2)


def _shifts(count: int, batch: int) -> list[tuple[int, slice, slice]]:
    """Returns for each shift its index, and which part of a result's lines it makes from which part of a window's."""
    before, after, all_of_it = slice(None, -batch), slice(batch, None), slice(None)
    return [(1, all_of_it, all_of_it), (0, after, before), (2, before, after)][:count]


def _multiply(matrices: Tensor, windows: Tensor, result: Tensor, *, accumulate: bool) -> None:
    """Writes the convolution to (C, H, W, N), or adds it."""
    height, batch = result.shape[1], result.shape[3]
    target = result.flatten(2).transpose(0, 1)
    of_shift = matrices.unsqueeze(1).expand(-1, height, -1, -1).unbind()
    for index, of_result, of_window in _shifts(len(matrices), batch):
        matrix, part, source = of_shift[index], target[:, :, of_result], windows[:, :, of_window]
        if index == 1 and not accumulate:
            torch.bmm(matrix, source, out=part)
        else:
            part.baddbmm_(matrix, source)


def _of_weight(gradient: Tensor, windows: Tensor, weight: Tensor, stride: int) -> Tensor:
    """Returns the weights' gradient."""
    channels_out, channels = weight.shape[:2]
    incoming = gradient.flatten(2).transpose(0, 1)
    shifts = _shifts(_KERNEL if stride == 1 else 2, gradient.shape[3])
    found: dict[int, Tensor] = {}
    for index, of_result, of_window in shifts:
        part, source = incoming[:, :, of_result], windows[:, :, of_window]
        if channels_out < _FEW_CHANNELS:
            found[index] = torch.bmm(part, source.transpose(1, 2)).sum(0)
        else:
            found[index] = torch.bmm(source, part.transpose(1, 2)).sum(0).t()
    by_shift = torch.stack([found[index] for index in range(len(shifts))]).view(
        len(shifts), channels_out, _KERNEL, channels, stride
    )
    return by_shift.permute(1, 3, 2, 0, 4).flatten(3)[..., stride - 1 :]


def _of_strided(gradient: Tensor, matrices: Tensor, lines: _Lines, x: Tensor) -> Tensor:
    """Returns the gradient of x with stride 2, where the windows of neighbouring output rows share a row."""
    channels, height, width, batch = x.shape
    rows = torch.zeros_like(lines.rows)
    incoming = gradient.flatten(2).transpose(0, 1)
    for row, window in enumerate(_windows(rows, 2)):
        for index, of_result, of_window in _shifts(len(matrices), batch):
            window[:, of_window].addmm_(matrices[index].t(), incoming[row, :, of_result])
    inner = rows[1:-1].view(height, channels, 2, width // 2, batch)
    return inner.permute(1, 0, 3, 2, 4).reshape(channels, height, width, batch)
