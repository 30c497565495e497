"""Batch normalisation of batch-last tensors (C, H, W, N), and the running statistics of a whole network."""

from __future__ import annotations

import torch
from torch import Tensor
from torch.nn import functional

from trainers.networks.forms import BatchNorm
from trainers.networks.tape import Tape

_aten = torch.ops.aten


class Statistics:
    """Means and scales of one batch, until `update` moves the running statistics towards them.

    A network has some 200 normalisations of 8 to 32 channels; one by one, their updates would be 1,500 tiny operations.
    """

    def __init__(self) -> None:
        self._seen: dict[int, list[tuple[BatchNorm, Tensor, Tensor]]] = {}

    def add(self, norm: BatchNorm, mean: Tensor, scale: Tensor, length: int) -> None:
        """Notes a batch's statistics.

        Args:
            norm: the normalisation, used once in a batch.
            mean: mean of each channel.
            scale: 1 / sqrt(variance + epsilon) of each channel, of the biased variance.
            length: how many numbers each channel had.
        """
        self._seen.setdefault(length, []).append((norm, mean, scale))

    @torch.no_grad()
    def update(self) -> None:
        """Updates the running mean and the running unbiased variance of all that were added, and forgets them."""
        means: list[Tensor] = []
        variances: list[Tensor] = []
        norms = [norm for seen in self._seen.values() for norm, _, _ in seen]
        for length, seen in self._seen.items():
            scales = torch.cat([scale.view(-1) for _, _, scale in seen])
            unbiased = length / max(length - 1, 1)
            variance = scales.square_().reciprocal_().sub_(BatchNorm.epsilon).mul_(unbiased)
            variances += torch.split(variance, [norm.weight.numel() for norm, _, _ in seen])
            means += [mean.view(-1) for _, mean, _ in seen]
        if norms:
            torch._foreach_lerp_([norm.running_mean for norm in norms], means, BatchNorm.momentum)
            torch._foreach_lerp_([norm.running_var for norm in norms], variances, BatchNorm.momentum)
        self._seen.clear()


def by_batch(x: Tensor, norm: BatchNorm, statistics: Statistics, tape: Tape | None) -> Tensor:
    """Normalises (C, H, W, N) by the batch's statistics, and adds these to `statistics`."""
    channels, length = x.shape[0], x[0].numel()
    result, mean, scale = torch.native_group_norm(
        x, norm.weight, norm.bias, 1, channels, length, channels, norm.epsilon
    )
    statistics.add(norm, mean, scale, length)
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            of_x, of_weight, of_bias = _aten.native_group_norm_backward(
                gradient, x, mean, scale, norm.weight, 1, channels, length, channels, (True, True, True)
            )
            tape.give(x, of_x)
            tape.give_parameter(norm.weight, of_weight)
            tape.give_parameter(norm.bias, of_bias)

        tape.record(result, backward)
    return result


def by_running(x: Tensor, norm: BatchNorm, tape: Tape | None) -> Tensor:
    """Normalises (C, H, W, N) by the running statistics."""
    flat = x.view(1, x.shape[0], -1)
    mean, variance = norm.running_mean, norm.running_var
    result = functional.batch_norm(flat, mean, variance, norm.weight, norm.bias, False, 0.0, norm.epsilon)
    result = result.view_as(x)
    if tape is not None:

        def backward(tape: Tape, gradient: Tensor, owned: bool) -> None:
            of_x, of_weight, of_bias = _aten.native_batch_norm_backward(
                gradient.view_as(flat),
                flat,
                norm.weight,
                mean,
                variance,
                None,
                None,
                False,
                norm.epsilon,
                [True] * 3,
            )
            tape.give(x, of_x.view_as(x))
            tape.give_parameter(norm.weight, of_weight)
            tape.give_parameter(norm.bias, of_bias)

        tape.record(result, backward)
    return result
