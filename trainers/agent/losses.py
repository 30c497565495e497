"""What the policy learns by: PPO's clipped objective, and REINFORCE, both with a terminal reward and a baseline."""

from __future__ import annotations

import torch
from torch import Tensor


def clipped(new: Tensor, old: Tensor, advantages: Tensor, weights: Tensor, clip: float) -> Tensor:
    """Returns the negative of PPO's clipped objective (Schulman et al. 2017, equation 7), the mean over tokens.

    All tokens of a sample have its advantage: there is one reward, at the end, and it is not discounted. The ratio is
    to the log-probabilities of the time when the sample was drawn, also for samples that come back from a buffer: this
    is their off-policy correction (FNAS section 5).

    Args:
        new: log-probabilities of the tokens now, (T, n), with a gradient.
        old: the same when they were drawn, (T, n).
        advantages: reward less baseline, (n,).
        weights: importance weights, (n,); each multiplies its sample's part.
        clip: how far the ratio counts from 1.
    """
    ratios = torch.exp(new - old)
    least = torch.minimum(ratios * advantages, ratios.clamp(1 - clip, 1 + clip) * advantages)
    return -(least * weights).mean()


def reinforce(new: Tensor, old: Tensor, advantages: Tensor, weights: Tensor) -> Tensor:
    """Returns the negative of REINFORCE's objective (Williams 1992), the mean over tokens; arguments as for `clipped`.

    A sample that the policy has since become less likely to draw counts less, by the ratio of the probabilities of its
    whole sequence; none counts more than once (truncated importance sampling, as in IMPALA).
    """
    ratios = torch.exp((new.detach() - old).sum(dim=0)).clamp(max=1.0)
    return -(new * (ratios * advantages * weights)).mean()


def entropy(log_probabilities: Tensor) -> Tensor:
    """Returns the mean entropy of the choices of a token, in nats, of log-probabilities (T, n, choices)."""
    return -(log_probabilities.exp() * log_probabilities).sum(dim=2).mean()
