"""Activations beside ReLU, and squeeze and excitation's parts, of batch-last tensors (C, H, W, N)."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainers.networks.forms import Activation
from trainers.networks.tape import Tape

_aten = torch.ops.aten


def activate(x: Tensor, name: Activation, tape: Tape | None) -> Tensor:
    """Applies an activation other than ReLU to a tensor that nothing else reads."""
    if name == "sigmoid":
        result = torch.sigmoid(x)
    else:
        result = functional.silu(x) if name == "silu" else functional.hardtanh(x, 0.0, 6.0)
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            if name == "sigmoid":
                tape.give(x, _aten.sigmoid_backward(gradient, result))
            elif name == "silu":
                tape.give(x, _aten.silu_backward(gradient, x))
            else:
                tape.give(x, _aten.hardtanh_backward(gradient, x, 0.0, 6.0))

        tape.record(result, backward)
    return result


def mean_pixel(x: Tensor, tape: Tape | None) -> Tensor:
    """Returns the mean over the pixels, (C, 1, 1, N)."""
    result, pixels = x.mean((1, 2), keepdim=True), x.shape[1] * x.shape[2]
    if tape is not None:
        tape.record(result, lambda tape, gradient, owned: tape.give(x, (gradient / pixels).expand_as(x).contiguous()))
    return result


def shift(x: Tensor, bias: Tensor, tape: Tape | None) -> Tensor:
    """Adds to each channel its own number, of (C,)."""
    result = x + bias.view(-1, 1, 1, 1)
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            tape.give_parameter(bias, gradient.sum((1, 2, 3)))
            tape.give(x, gradient, owned=owned)

        tape.record(result, backward)
    return result


def gate(x: Tensor, pixel: Tensor, tape: Tape | None) -> Tensor:
    """Multiplies every pixel by a tensor (C, 1, 1, N)."""
    result = x * pixel
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            tape.give(pixel, (gradient * x).sum((1, 2), keepdim=True))
            tape.give(x, gradient.mul_(pixel) if owned else gradient * pixel)

        tape.record(result, backward)
    return result
