"""What the policy learns by: PPO's clipped objective, and REINFORCE, both with a terminal reward and a baseline.

Each function returns a loss and its gradient. All tokens of a sample have its advantage: there is one reward, at the
end, and it is not discounted.
"""

from __future__ import annotations

from typing import NamedTuple

import torch
from torch import Tensor


class Batch(NamedTuple):
    """Samples that are learnt from.

    Attributes:
        old: log-probabilities of the tokens when they were drawn, (T, n).
        advantages: reward less baseline, (n,).
        weights: importance weights, (n,); each multiplies its sample's part.
    """

    old: Tensor
    advantages: Tensor
    weights: Tensor


def clipped(new: Tensor, batch: Batch, clip: float) -> tuple[float, Tensor]:
    """Returns the negative of PPO's clipped objective (Schulman et al. 2017, equation 7), the mean over tokens.

    The ratio is to the log-probabilities of the time when the sample was drawn, also for samples that come back from a
    buffer: this is their off-policy correction (FNAS section 5).

    Args:
        new: log-probabilities of the tokens now, (T, n).
        batch: the samples.
        clip: how far the ratio counts from 1.

    Returns:
        The loss, and its gradient by `new`, (T, n): that of the ratio times the advantage, and 0 where it is clipped.
    """
    ratios = torch.exp(new - batch.old)
    free = ratios * batch.advantages
    held = ratios.clamp(1 - clip, 1 + clip) * batch.advantages
    share = -batch.weights / new.numel()
    return float((torch.minimum(free, held) * share).sum()), free.mul_(free <= held).mul_(share)


def reinforce(new: Tensor, batch: Batch) -> tuple[float, Tensor]:
    """Returns the negative of REINFORCE's objective (Williams 1992), the mean over tokens; all else as `clipped`.

    A sample that the policy has since become less likely to draw counts less, by the ratio of the probabilities of its
    whole sequence; none counts more than once (truncated importance sampling, as in IMPALA).
    """
    ratios = torch.exp((new - batch.old).sum(dim=0)).clamp(max=1.0)
    gradient = -(ratios * batch.advantages * batch.weights / new.numel()).expand_as(new)
    return float((new * gradient).sum()), gradient


def entropy(possible: Tensor) -> tuple[float, Tensor]:
    """Returns the mean entropy of a token's choices, in nats, and its gradient by the logits.

    Args:
        possible: log-probabilities of all choices, (T, n, choices).
    """
    probabilities = possible.exp()
    each = -(probabilities * possible).sum(dim=2, keepdim=True)
    return float(each.mean()), probabilities.mul_(possible + each).div_(-each.numel())


def by_logits(possible: Tensor, tokens: Tensor, gradient: Tensor) -> Tensor:
    """Returns the gradient by the logits, (T, n, choices), of what has this one by the drawn tokens' log-probabilities.

    Args:
        possible: log-probabilities of all choices.
        tokens: those that were drawn, integers, (T, n).
        gradient: by their log-probabilities, (T, n).
    """
    each = gradient.unsqueeze(2)
    return possible.exp().mul_(-each).scatter_add_(2, tokens.unsqueeze(2), each)
