"""Dense 3 x 3 convolution as matrix products: results and gradients, against torch's."""

from __future__ import annotations

import pytest
import torch
from torch import Tensor
from torch.nn import functional

from trainers.networks import dense
from trainers.networks.batch_last import BatchLast
from trainers.networks.tape import Tape

WAYS = {"whole": dense.whole, "by_shifts": dense.by_shifts, "chosen": dense.convolve}


def numbers(*size: int) -> Tensor:
    return torch.randn(*size, dtype=torch.float64, generator=torch.Generator().manual_seed(sum(size)))


def expected(x: Tensor, weight: Tensor, stride: int) -> tuple[Tensor, Tensor, Tensor]:
    """Returns y, and the gradients of the sum of y squared by x and by the weight; tensors (C, H, W, N)."""
    images, kernel = x.permute(3, 0, 1, 2).clone().requires_grad_(), weight.clone().requires_grad_()
    y = functional.conv2d(images, kernel, None, stride, 1)
    y.square().sum().backward()  # type: ignore[no-untyped-call]
    assert images.grad is not None
    assert kernel.grad is not None
    return y.detach().permute(1, 2, 3, 0), images.grad.permute(1, 2, 3, 0), kernel.grad


def on_a_tape(
    way: str, x: Tensor, weight: Tensor, stride: int, present: Tensor | None
) -> tuple[Tensor, Tensor, Tensor]:
    """The same; x may have a gradient already, to which that of the convolution is added."""
    tape, of_x = Tape(), list[Tensor]()
    x = x.clone()
    tape.record(x, lambda tape, gradient, owned: of_x.append(gradient))
    y = WAYS[way](x, weight, stride, tape)
    result = y.clone()
    if present is not None:
        tape.give(x, present.clone())
    tape.give(y, 2 * y)
    tape.backward()
    of_weight = tape.take_parameter(weight)
    assert of_weight is not None
    return result, of_x[0], of_weight


@pytest.mark.parametrize("accumulated", [False, True])
@pytest.mark.parametrize("channels", [(3, 8), (4, 16), (16, 4)])
@pytest.mark.parametrize(
    ("size", "stride"), [((1, 1), 1), ((2, 2), 1), ((5, 3), 1), ((8, 8), 1), ((2, 2), 2), ((8, 6), 2)]
)
@pytest.mark.parametrize("way", WAYS)
def test_it_is_the_librarys_convolution(
    way: str, size: tuple[int, int], stride: int, channels: tuple[int, int], accumulated: bool
) -> None:
    x, weight = numbers(channels[0], *size, 5), numbers(channels[1], channels[0], 3, 3)
    present = numbers(*x.shape) if accumulated else None
    found, wanted = on_a_tape(way, x, weight, stride, present), list(expected(x, weight, stride))
    if present is not None:
        wanted[1] = wanted[1] + present
    for ours, theirs in zip(found, wanted, strict=True):
        torch.testing.assert_close(ours, theirs)


@pytest.mark.parametrize("way", WAYS)
def test_without_a_tape_nothing_is_recorded(way: str) -> None:
    x, weight = numbers(4, 6, 6, 3), numbers(8, 4, 3, 3)
    torch.testing.assert_close(WAYS[way](x, weight, 2, None), expected(x, weight, 2)[0])


def test_no_gradient_is_computed_for_images() -> None:
    """The stem's input: nothing depends on it."""
    tape, x, weight = Tape(), numbers(3, 4, 4, 2), numbers(8, 3, 3, 3)
    y = dense.convolve(x, weight, 1, tape)
    tape.give(y, torch.ones_like(y))
    tape.backward()
    assert tape.open(x) is None
    assert tape.take_parameter(weight) is not None


@pytest.mark.parametrize(
    ("size", "kernel", "stride", "padding"),
    [
        ((7, 8), 3, (2, 2), (1, 1)),
        ((8, 8), 5, (1, 1), (2, 2)),
        ((8, 8), 3, (1, 1), (0, 0)),
        ((8, 8), 3, (2, 1), (1, 1)),
    ],
)
def test_what_it_cannot_do_is_left_to_the_library(
    size: tuple[int, int], kernel: int, stride: tuple[int, int], padding: tuple[int, int]
) -> None:
    x, weight = numbers(2, *size, 3), numbers(4, 2, kernel, kernel)
    assert not dense.fits(x, weight, stride, padding)
    found = BatchLast().convolve(x, weight, stride=stride, padding=padding)
    wanted = functional.conv2d(x.permute(3, 0, 1, 2), weight, None, stride, padding).permute(1, 2, 3, 0)
    torch.testing.assert_close(found, wanted)
