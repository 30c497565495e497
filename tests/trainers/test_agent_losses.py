"""What the policy learns by, in numbers that were computed by hand."""

from __future__ import annotations

import math

import pytest
import torch
from torch import Tensor

from trainers.agent import losses

OLD = torch.log(torch.tensor([[0.5, 0.5], [0.25, 0.4]]))  # two tokens of two samples
NEW = torch.log(torch.tensor([[0.75, 0.5], [0.20, 0.3]]))
"""Ratios 1.5 and 1 of the first token, 0.8 and 0.75 of the second."""


GOOD_AND_BAD = torch.tensor([2.0, -1.0])


def batch(weights: list[float]) -> losses.Batch:
    return losses.Batch(OLD, GOOD_AND_BAD, torch.tensor(weights))


def test_the_clipped_objective_counts_the_ratio_no_further_than_the_clip() -> None:
    # The first sample is good: 1.5 counts as 1.2, and 0.8 as it is. The second is bad: of 0.75, the clipped 0.8 counts.
    narrow, _ = losses.clipped(NEW, batch([1.0, 1.0]), 0.2)
    assert narrow == pytest.approx(-(1.2 * 2 + 1.0 * -1 + 0.8 * 2 + 0.8 * -1) / 4)
    wide, _ = losses.clipped(NEW, batch([1.0, 1.0]), 0.6)
    assert wide == pytest.approx(-(1.5 * 2 + 1.0 * -1 + 0.8 * 2 + 0.75 * -1) / 4)


def test_what_is_clipped_has_no_gradient() -> None:
    _, gradient = losses.clipped(NEW, batch([1.0, 1.0]), 0.2)
    # d/dlog p of -ratio * advantage / 4 where it is not clipped.
    torch.testing.assert_close(gradient, torch.tensor([[0.0, 0.25], [-0.8 * 2 / 4, 0.0]]))


@pytest.mark.parametrize("kind", ["ppo", "reinforce"])
def test_a_weight_multiplies_its_sample_s_part(kind: str) -> None:
    def loss(weights: list[float]) -> tuple[float, Tensor]:
        given = batch(weights)
        return losses.clipped(NEW, given, 0.2) if kind == "ppo" else losses.reinforce(NEW, given)

    (first, gradient), (second, other), (both, mixed) = loss([1.0, 0.0]), loss([0.0, 1.0]), loss([0.5, 0.25])
    assert both == pytest.approx(0.5 * first + 0.25 * second)
    torch.testing.assert_close(mixed, 0.5 * gradient + 0.25 * other)
    assert gradient[:, 1].tolist() == [0.0, 0.0]


def test_reinforce_follows_the_log_probabilities_and_trusts_old_samples_no_more_than_fresh_ones() -> None:
    # The sequences' ratios: 1.5 * 0.8 = 1.2, which counts as 1, and 1 * 0.75.
    loss, gradient = losses.reinforce(NEW, batch([1.0, 1.0]))
    assert loss == pytest.approx(-(2 * (math.log(0.75) + math.log(0.2)) - 0.75 * (math.log(0.5) + math.log(0.3))) / 4)
    torch.testing.assert_close(gradient, torch.tensor([[-2.0, 0.75], [-2.0, 0.75]]) / 4)


def test_gradients_by_the_logits_are_autograd_s() -> None:
    torch.manual_seed(1)
    logits, tokens = torch.randn(3, 5, 4, requires_grad=True), torch.randint(4, (3, 5))
    possible = torch.log_softmax(logits, dim=2)
    new = possible.gather(2, tokens.unsqueeze(2)).squeeze(2)
    given = losses.Batch(new.detach() + 0.3 * torch.randn(3, 5), torch.randn(5), torch.rand(5))
    ratios = torch.exp(new - given.old)
    least = torch.minimum(ratios * given.advantages, ratios.clamp(0.8, 1.2) * given.advantages)
    expected = -(least * given.weights).mean()
    loss, gradient = losses.clipped(new.detach(), given, 0.2)
    assert loss == pytest.approx(expected.item())
    found = losses.by_logits(possible.detach(), tokens, gradient)
    torch.testing.assert_close(found, torch.autograd.grad(expected, logits, retain_graph=True)[0])
    spread, of_spread = losses.entropy(possible.detach())
    entropy = -(possible.exp() * possible).sum(dim=2).mean()
    assert spread == pytest.approx(entropy.item())
    torch.testing.assert_close(of_spread, torch.autograd.grad(entropy, logits)[0])


def test_entropy_is_that_of_a_token_s_choices() -> None:
    uniform, certain = [0.25] * 4, [1.0, 1e-30, 1e-30, 1e-30]
    found, _ = losses.entropy(torch.log(torch.tensor([[uniform], [certain]])))
    assert found == pytest.approx(math.log(4) / 2)
